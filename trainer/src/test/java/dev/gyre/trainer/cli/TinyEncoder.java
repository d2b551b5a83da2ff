package dev.gyre.trainer.cli;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;

/// The golden BERT without a head, with a tokenizer of some words; sentence-transformers' files can be put beside it.
public final class TinyEncoder {
    private static final Path GOLDEN = Path.of("../model/src/test/resources/golden/tasks");
    private static final String WORDS = "number of the art food people kind and so on 1 2 3 4 5 6 7 8 9 good bad film";

    private TinyEncoder() {
    }

    /// @param name a folder of the golden models
    /// @param to folder that is made
    public static Path in(String name, Path to) throws IOException {
        Path model = Files.createDirectories(to);
        for (String f : List.of("config.json", "model.safetensors"))
            Files.copy(GOLDEN.resolve(name).resolve(f), model.resolve(f));
        StringBuilder vocabulary = new StringBuilder("{\"[PAD]\": 0, \"[UNK]\": 1, \"[CLS]\": 2, \"[SEP]\": 3");
        int id = 4;
        for (String word : WORDS.split(" "))
            vocabulary.append(", \"").append(word).append("\": ").append(id++);
        Files.writeString(model.resolve("tokenizer.json"), """
                {"version": "1.0", "truncation": null, "padding": null, "added_tokens": [],
                "normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true,
                "strip_accents": null, "lowercase": false}, "pre_tokenizer": {"type": "BertPreTokenizer"},
                "post_processor": {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}},
                {"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "[SEP]", "type_id": 0}}],
                "pair": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
                {"SpecialToken": {"id": "[SEP]", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}},
                {"SpecialToken": {"id": "[SEP]", "type_id": 1}}],
                "special_tokens": {"[CLS]": {"id": "[CLS]", "ids": [2], "tokens": ["[CLS]"]},
                "[SEP]": {"id": "[SEP]", "ids": [3], "tokens": ["[SEP]"]}}},
                "decoder": null, "model": {"type": "WordPiece", "unk_token": "[UNK]",
                "continuing_subword_prefix": "##", "max_input_chars_per_word": 100, "vocab": %s}}}
                """.formatted(vocabulary));
        return model;
    }
}
