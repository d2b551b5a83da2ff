/// From files to batches: JSONL and plain text, tokens with their loss mask, packing, a seeded order that can be
/// resumed.
@NullMarked
package dev.gyre.trainer.data;

import org.jspecify.annotations.NullMarked;
