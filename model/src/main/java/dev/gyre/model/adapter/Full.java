package dev.gyre.model.adapter;

import dev.gyre.model.options.OneOf;

/// Full fine-tuning: no adapter, every weight is trained.
@OneOf.Case(value = "full", doc = "full fine-tuning: every weight, the upper baseline")
public record Full() implements Tuning {
}
