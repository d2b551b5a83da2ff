#!/usr/bin/env python3
"""A training step of PyTorch + PEFT, for comparison with `gyre bench step --method oft32 --base bf16 --precision bf16`: a
Llama of random weights in BF16, OFTv2 (Cayley-Neumann, block size 32) on all linear layers, AdamW, forward, backward and
update. Prints one JSON object."""
import argparse
import json
import statistics
import time

import torch
from peft import OFTConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

parser = argparse.ArgumentParser(description=__doc__)
for name, default in (("layers", 4), ("hidden", 4096), ("ffn", 11008), ("heads", 32), ("kv-heads", 32), ("vocabulary", 32000),
                      ("batch", 4), ("seq", 2048), ("steps", 5), ("warm-up", 3)):
    parser.add_argument("--" + name, type=int, default=default)
o = parser.parse_args()
device = "cuda" if torch.cuda.is_available() else "cpu"
torch.manual_seed(1)
config = LlamaConfig(hidden_size=o.hidden, intermediate_size=o.ffn, num_hidden_layers=o.layers, num_attention_heads=o.heads,
                     num_key_value_heads=o.kv_heads, vocab_size=o.vocabulary, max_position_embeddings=o.seq, use_cache=False)
torch.set_default_dtype(torch.bfloat16)
with torch.device(device):
    model = LlamaForCausalLM._from_config(config, attn_implementation="sdpa")
model = get_peft_model(model, OFTConfig(oft_block_size=32, use_cayley_neumann=True, target_modules="all-linear"))
trainable = [p for p in model.parameters() if p.requires_grad]
optimiser = torch.optim.AdamW(trainable, lr=1e-4)
tokens = torch.randint(o.vocabulary, (o.batch, o.seq), device=device)


def wait():
    if device == "cuda":
        torch.cuda.synchronize()


seconds = []
for step in range(o.warm_up + o.steps):
    wait()
    begun = time.perf_counter()
    loss = model(input_ids=tokens, labels=tokens).loss
    loss.backward()
    torch.nn.utils.clip_grad_norm_(trainable, 1.0)
    optimiser.step()
    optimiser.zero_grad()
    wait()
    seconds.append(time.perf_counter() - begun)
median = statistics.median(seconds[o.warm_up:])
print(json.dumps({"torch": torch.__version__, "device": torch.cuda.get_device_name() if device == "cuda" else device,
                  "layers": o.layers, "batch": o.batch, "seq": o.seq, "step_ms": round(1000 * median, 3),
                  "tokens_per_s": round(o.batch * o.seq / median, 1), "loss": float(loss.detach()),
                  "trainable": sum(p.numel() for p in trainable),
                  "peak_mb": torch.cuda.max_memory_allocated() >> 20 if device == "cuda" else None}))
