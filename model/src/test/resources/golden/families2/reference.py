"""Tiny random models with adapters, and reference values by transformers and PEFT: python3 reference.py NAME ...

A folder that is there keeps its model and its adapters; its `reference_*.safetensors` are written again. In double, the padding
is left to causality: a row of scores that is masked whole is -inf throughout in transformers' softmax, which is in single precision.
"""
import os, sys
import torch
from peft import LoraConfig, OFTConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM

SIZES = dict(vocab_size=97, hidden_size=32, intermediate_size=56, num_hidden_layers=3, num_attention_heads=2,
             num_key_value_heads=1, pad_token_id=0, max_position_embeddings=64)
NEW = {
    "phi4-mini": dict(model_type="phi3", original_max_position_embeddings=6, sliding_window=7, tie_word_embeddings=True,
                      bos_token_id=1, eos_token_id=2, rope_parameters=dict(
                          rope_type="longrope", rope_theta=10000.0, partial_rotary_factor=0.75,
                          short_factor=[1.0, 1.1, 1.2, 1.3, 1.4, 1.5], long_factor=[1.0, 1.5, 2.5, 4.0, 6.0, 9.0])),
    "smollm3-window": dict(model_type="smollm3", no_rope_layers=[1, 0, 1], use_sliding_window=True, sliding_window=4,
                           attention_bias=True, mlp_bias=True, tie_word_embeddings=False, bos_token_id=1,
                           eos_token_id=2, rope_parameters=dict(rope_type="linear", factor=2.0, rope_theta=5e5)),
}


def spread(module):
    """Values far from those of a fresh model, for norms and biases too."""
    with torch.no_grad():
        for name, p in module.named_parameters():
            if p.requires_grad and ("oft_R" in name or "lora_" in name):
                p.normal_(0, 0.1)
            elif "norm" in name or name.endswith("bias"):
                p.add_(torch.randn_like(p) * 0.2)
            elif p.dim() == 2 and "lora" not in name:
                p.normal_(0, 0.25)


def create(name):
    torch.manual_seed(4711)
    config = dict(NEW[name])
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(config.pop("model_type"), **SIZES, **config))
    spread(model)
    model.save_pretrained(name)
    for method, peft in (("oft", OFTConfig(target_modules="all-linear", oft_block_size=8, task_type="CAUSAL_LM")),
                         ("lora", LoraConfig(target_modules="all-linear", r=3, lora_alpha=5, task_type="CAUSAL_LM"))):
        adapted = get_peft_model(AutoModelForCausalLM.from_pretrained(name), peft)
        with torch.no_grad():
            for n, p in adapted.named_parameters():
                if p.requires_grad:
                    p.normal_(0, 0.1)
        adapted.save_pretrained(f"{name}/adapter_{method}")
    os.remove(f"{name}/generation_config.json")
    for method in ("oft", "lora"):
        os.remove(f"{name}/adapter_{method}/README.md")
    ids = torch.randint(3, 97, (3, 11))
    mask = torch.ones_like(ids)
    for row, length in enumerate((11, 8, 6)):
        ids[row, length:] = 0
        mask[row, length:] = 0
    labels = ids.masked_fill(mask == 0, -100)
    labels[:, :2] = -100
    return dict(input_ids=ids, attention_mask=mask, labels=labels)


def main(name):
    inputs = create(name) if not os.path.exists(name) else None
    for method in ("oft", "lora"):
        path = f"{name}/reference_{method}.safetensors"
        data = inputs or load_file(path)
        data = {k: data[k] for k in ("input_ids", "attention_mask", "labels")}
        out = dict(data)
        for dtype, suffix in ((torch.float32, "f32"), (torch.float64, "f64")):
            base = AutoModelForCausalLM.from_pretrained(name, attn_implementation="eager", dtype=dtype)
            model = PeftModel.from_pretrained(base, f"{name}/adapter_{method}", is_trainable=True).to(dtype).eval()
            given = dict(data) if dtype == torch.float32 else {k: data[k] for k in ("input_ids", "labels")}
            y = model(**given)
            y.loss.backward()
            out["logits." + suffix] = y.logits.detach().contiguous()
            out["loss." + suffix] = y.loss.detach().reshape(1).contiguous()
            for n, p in model.named_parameters():
                if p.requires_grad:
                    out[f"grad/{n.replace('.default', '')}.{suffix}"] = p.grad.contiguous()
        save_file(out, path)


if __name__ == "__main__":
    for name in sys.argv[1:]:
        main(name)
