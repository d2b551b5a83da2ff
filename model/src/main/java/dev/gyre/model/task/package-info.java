/// Models that predict something else than the next token: a body (an encoder of text, a vision transformer, a decoder)
/// and a head that gives classes, labels, numbers or an embedding. A [TaskModel] is one on the host, a [TaskSession] trains
/// and evaluates it; adapters sit on its linear layers and know nothing of either.
@NullMarked
package dev.gyre.model.task;

import org.jspecify.annotations.NullMarked;
