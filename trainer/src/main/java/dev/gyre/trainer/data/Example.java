package dev.gyre.trainer.data;

import dev.gyre.model.token.ChatTemplate;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/// One example as it is in a file.
public sealed interface Example {
    /// Whether it asks for an answer: a prompt with a completion, or a conversation with an answer that is trained on.
    default boolean isTask() {
        return this instanceof Completion || this instanceof Chat c && c.answer() >= 0;
    }

    /// Running text.
    record Text(String text) implements Example {
    }

    /// A task and its answer.
    record Completion(String prompt, String completion) implements Example {
    }

    /// A conversation, rendered by the model's chat template.
    ///
    /// @param variables what the template gets besides the messages, such as `tools`
    record Chat(List<ChatTemplate.Message> messages, Map<String, @Nullable Object> variables) implements Example {
        public Chat {
            messages = List.copyOf(messages);
            variables = Collections.unmodifiableMap(new LinkedHashMap<>(variables));
        }

        public Chat(List<ChatTemplate.Message> messages) {
            this(messages, Map.of());
        }

        /// Number of the message that is asked for when the conversation is a task: the last one of the assistant that is
        /// trained on; -1 if there is none. The messages before it are the prompt.
        int answer() {
            for (int i = messages.size() - 1; i > 0; i--)
                if (messages.get(i).isAnswer() && messages.get(i).trained())
                    return i;
            return -1;
        }
    }
}
