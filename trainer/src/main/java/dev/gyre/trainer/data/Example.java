package dev.gyre.trainer.data;

import dev.gyre.model.token.ChatTemplate;
import java.util.List;

/// One example as it is in a file.
public sealed interface Example {
    /// Running text.
    record Text(String text) implements Example {
    }

    /// A task and its answer.
    record Completion(String prompt, String completion) implements Example {
    }

    /// A conversation, rendered by the model's chat template.
    record Chat(List<ChatTemplate.Message> messages) implements Example {
        public Chat {
            messages = List.copyOf(messages);
        }
    }
}
