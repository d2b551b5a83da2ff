/// What commands show: lines, tables, a status line, the progress of a run; exit codes, Ctrl-C.
@NullMarked
package dev.gyre.trainer.cli.screen;

import org.jspecify.annotations.NullMarked;
