"""Tiny random models with heads, PEFT adapters, and the values they give: golden/tasks (README.md has the format)."""
import sys, os, json, torch
from safetensors.torch import save_file
import transformers as tf, peft
out = sys.argv[1]
torch.manual_seed(7)
def randomise(m):
    g = torch.Generator().manual_seed(11)
    for n, p in m.named_parameters():
        with torch.no_grad():
            if "norm" in n.lower() and n.endswith("weight"): p.copy_(1 + 0.1*torch.randn(p.shape, generator=g))
            elif p.dim() > 1: p.copy_(torch.randn(p.shape, generator=g)*0.25)
            else: p.copy_(torch.randn(p.shape, generator=g)*0.1)
def inputs(name, cfg, kind, left, image):
    g = torch.Generator().manual_seed(5)
    B, T = 3, 11
    d = {}
    if image:
        d["pixel_values"] = torch.randn((B, cfg.num_channels) + tuple(image), generator=g)
    else:
        pad = cfg.pad_token_id
        ids = torch.randint(5, cfg.vocab_size, (B, T), generator=g); mask = torch.ones(B, T, dtype=torch.long)
        for b, n in enumerate([T, 7, 4]):
            if left: ids[b, :T-n] = pad; mask[b, :T-n] = 0
            else: ids[b, n:] = pad; mask[b, n:] = 0
        d["input_ids"], d["attention_mask"] = ids, mask
        if getattr(cfg, "type_vocab_size", 0) > 1 and name.split("-")[0] in ("bert", "deberta"):
            d["token_type_ids"] = torch.randint(0, cfg.type_vocab_size, (B, T), generator=g) * mask
    L = cfg.num_labels
    if kind == "cls": y = torch.randint(0, L, (B,), generator=g)
    elif kind == "tok":
        y = torch.randint(0, L, (B, T), generator=g); y[d["attention_mask"] == 0] = -100; y[0, 2] = -100
    elif kind == "reg": y = torch.randn((B, L) if L > 1 else (B,), generator=g)
    elif kind == "multi": y = torch.randint(0, 2, (B, L), generator=g).float()
    else: y = None
    if y is not None: d["labels"] = y
    return d
def make(name, cls, cfg, kind, targets, task, save=None, left=False, image=None, **call):
    folder = os.path.join(out, name); os.makedirs(folder, exist_ok=True)
    cfg._attn_implementation = "eager"
    m = cls(cfg).eval(); randomise(m); m.save_pretrained(folder)
    d = inputs(name, cfg, kind, left, image)
    for method in ["oft", "lora"]:
        m = cls.from_pretrained(folder, attn_implementation="eager").eval()
        kw = dict(target_modules=targets, task_type=task)
        if save: kw["modules_to_save"] = save
        c = peft.OFTConfig(r=0, oft_block_size=8, use_cayley_neumann=True, **kw) if method == "oft" else peft.LoraConfig(r=3, lora_alpha=5, **kw)
        pm = peft.get_peft_model(m, c).eval()
        g = torch.Generator().manual_seed(3)
        with torch.no_grad():
            for n, p in pm.named_parameters():
                if p.requires_grad and ("oft_R" in n or "lora_" in n): p.copy_(torch.randn(p.shape, generator=g)*0.1)
        pm.save_pretrained(os.path.join(folder, "adapter_"+method))
        ref = {k: v.contiguous() for k, v in d.items()}
        for dt, tag in [(torch.float32, "f32"), (torch.float64, "f64")]:
            p2 = pm.to(dt); p2.zero_grad()
            f = {k: (v.to(dt) if v.is_floating_point() else v) for k, v in d.items()}
            o = p2(**f, **call)
            if kind == "emb":
                h = o.last_hidden_state; k = d["attention_mask"].unsqueeze(-1).to(dt)
                e = torch.nn.functional.normalize((h*k).sum(1)/k.sum(1), dim=-1)
                ref["logits."+tag] = e.detach().clone().contiguous(); continue
            ref["logits."+tag] = o.logits.detach().clone().contiguous(); ref["loss."+tag] = o.loss.detach().reshape(1).clone()
            o.loss.backward()
            for n, p in p2.named_parameters():
                if p.requires_grad and p.grad is not None:
                    n2 = n.replace(".default", "").replace("modules_to_save.", "")
                    ref["grad/"+n2+"."+tag] = p.grad.detach().clone().contiguous()
        save_file(ref, os.path.join(folder, "reference_%s.safetensors" % method))
    print(name, "ok")
E = dict(attention_probs_dropout_prob=0., hidden_dropout_prob=0.)
bert = dict(vocab_size=61, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=40, max_position_embeddings=20, pad_token_id=0, **E)
bt = ["query", "key", "value", "dense"]
make("bert-tokens", tf.BertForTokenClassification, tf.BertConfig(num_labels=5, hidden_act="gelu_new", **bert), "tok", bt, "TOKEN_CLS")
make("bert-embedding", tf.BertModel, tf.BertConfig(**bert), "emb", ["query", "value", "intermediate.dense"], "FEATURE_EXTRACTION")
make("bert-two-numbers", tf.BertForSequenceClassification, tf.BertConfig(num_labels=2, problem_type="regression", **bert), "reg", ["query", "value"], "SEQ_CLS")
make("distilbert-4way", tf.DistilBertForSequenceClassification, tf.DistilBertConfig(vocab_size=61, dim=32, n_layers=2, n_heads=2, hidden_dim=48, max_position_embeddings=20, dropout=0., attention_dropout=0., seq_classif_dropout=0., num_labels=4, pad_token_id=0), "cls", ["q_lin", "k_lin", "v_lin", "out_lin", "lin1", "lin2"], "SEQ_CLS", save=["pre_classifier"])
deb = dict(vocab_size=61, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48, max_position_embeddings=24, pad_token_id=0, relative_attention=True, **E)
make("deberta-own-projections", tf.DebertaV2ForSequenceClassification, tf.DebertaV2Config(num_labels=3, pos_att_type=["c2p", "p2c"], share_att_key=False, position_buckets=-1, max_relative_positions=6, position_biased_input=True, type_vocab_size=2, norm_rel_ebd="none", pooler_hidden_act="tanh", embedding_size=16, problem_type="single_label_classification", **deb), "cls", ["query_proj", "value_proj", "pos_key_proj", "pos_query_proj", "dense"], "SEQ_CLS")
make("deberta-c2p-tokens", tf.DebertaV2ForTokenClassification, tf.DebertaV2Config(num_labels=4, pos_att_type="c2p", share_att_key=True, position_buckets=4, position_biased_input=False, norm_rel_ebd="layer_norm", **deb), "tok", ["query_proj", "key_proj", "value_proj"], "TOKEN_CLS")
make("deberta-conv-3way", tf.DebertaV2ForSequenceClassification, tf.DebertaV2Config(num_labels=3, pos_att_type=["p2c", "c2p"], share_att_key=True, position_buckets=4, position_biased_input=False, norm_rel_ebd="layer_norm", conv_kernel_size=3, conv_act="gelu", problem_type="single_label_classification", **deb), "cls", ["query_proj", "value_proj", "dense"], "SEQ_CLS")
# gradients of weights themselves, of what the convolution adds
folder = os.path.join(out, "deberta-conv-3way")
m = tf.DebertaV2ForSequenceClassification.from_pretrained(folder, attn_implementation="eager").eval()
m(**inputs("deberta-conv-3way", m.config, "cls", False, None)).loss.backward()
save_file({"grad/"+n: p.grad.clone().contiguous() for n, p in m.named_parameters() if ".conv." in n or "word_embeddings" in n or "layer.0.attention.self.query" in n}, os.path.join(folder, "reference_full.safetensors"))
mod = dict(vocab_size=61, hidden_size=32, intermediate_size=24, num_hidden_layers=4, num_attention_heads=2, max_position_embeddings=32, pad_token_id=0, bos_token_id=1, eos_token_id=2, cls_token_id=1, sep_token_id=2, local_attention=4)
make("modernbert-tokens", tf.ModernBertForTokenClassification, tf.ModernBertConfig(num_labels=4, attention_bias=True, mlp_bias=True, norm_bias=True, classifier_bias=True, **mod), "tok", ["Wqkv", "Wo", "Wi"], "TOKEN_CLS")
make("modernbert-cls", tf.ModernBertForSequenceClassification, tf.ModernBertConfig(num_labels=3, classifier_pooling="cls", **mod), "multi", ["Wqkv", "Wo", "Wi"], "SEQ_CLS")
vit = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=40, image_size=12, patch_size=4, num_channels=1, **E)
make("vit-interpolated", tf.ViTForImageClassification, tf.ViTConfig(num_labels=3, qkv_bias=False, hidden_act="gelu_pytorch_tanh", **vit), "cls", ["q_proj", "v_proj", "fc1"], None, save=["classifier"], image=(20, 16), interpolate_pos_encoding=True)
make("vit-cropped", tf.ViTForImageClassification, tf.ViTConfig(num_labels=3, **{**vit, "image_size": 14}), "cls", ["q_proj", "v_proj", "fc1"], None, save=["classifier"], image=(14, 14))
make("deit-3way", tf.DeiTForImageClassification, tf.DeiTConfig(num_labels=3, **vit), "cls", ["q_proj", "k_proj", "o_proj", "fc2"], None, save=["classifier"], image=(12, 12))
ll = dict(vocab_size=61, hidden_size=32, intermediate_size=40, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=32, pad_token_id=0, bos_token_id=1, eos_token_id=2)
make("llama-3way", tf.LlamaForSequenceClassification, tf.LlamaConfig(num_labels=3, **ll), "cls", ["q_proj", "v_proj", "down_proj"], "SEQ_CLS")
make("qwen2-left", tf.Qwen2ForSequenceClassification, tf.Qwen2Config(num_labels=1, **ll), "reg", ["q_proj", "k_proj", "o_proj"], "SEQ_CLS", left=True)
make("llama-tokens", tf.LlamaForTokenClassification, tf.LlamaConfig(num_labels=4, **ll), "tok", ["q_proj", "gate_proj"], "TOKEN_CLS")
