/// Models served to other programs: one decoder for all requests, and an HTTP server with the paths and bodies of OpenAI's
/// API.
@NullMarked
package dev.gyre.trainer.serve;

import org.jspecify.annotations.NullMarked;
