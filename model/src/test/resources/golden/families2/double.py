"""Reference values in double throughout, computed with NumPy only: python3 double.py NAME ...

transformers computes norms and rotary tables in single precision even in a model of doubles, so its `.f64` values are good to
about 1e-7. This program computes logits, loss and every adapter gradient (by complex steps, exact to rounding) in double and
writes `double_oft.safetensors` and `double_lora.safetensors`; it also prints how far transformers' values are from them.
"""
import json, struct, sys
import numpy as np


def read(path):
    data = open(path, "rb").read()
    n = struct.unpack("<Q", data[:8])[0]
    out = {}
    for name, t in json.loads(data[8:8 + n]).items():
        if name != "__metadata__":
            a, b = t["data_offsets"]
            kind = {"F32": np.float32, "F64": np.float64, "I64": np.int64}[t["dtype"]]
            out[name] = np.frombuffer(data[8 + n + a:8 + n + b], kind).reshape(t["shape"])
    return out


def write(path, tensors):
    header, at = {}, 0
    for name in sorted(tensors):
        size = tensors[name].nbytes
        header[name] = {"dtype": "F64", "shape": list(tensors[name].shape), "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        for name in sorted(tensors):
            f.write(np.ascontiguousarray(tensors[name]).tobytes())


def norm(x, w, eps):
    return w * x / np.sqrt((x * x).mean(-1, keepdims=True) + eps)


def frequencies(rope, D, T, c):
    """Inverse frequencies of the rotated values of a head, and the factor on cosine and sine."""
    R = int(D * rope.get("partial_rotary_factor", 1))
    f, a = rope["rope_theta"] ** (-np.arange(0, R, 2) / R), 1
    if rope["rope_type"] == "linear":
        f = f / rope["factor"]
    elif rope["rope_type"] == "longrope":
        original = c["original_max_position_embeddings"]
        f = f / np.array(rope["long_factor" if T > original else "short_factor"])
        factor = c["max_position_embeddings"] / original
        a = np.sqrt(1 + np.log(factor) / np.log(original)) if factor > 1 else 1
    else:
        assert rope["rope_type"] == "default"
    return f, a


def rotate(x, rope, c):
    """x (B, heads, T, D), half-split pairs of the first values of each head."""
    T, D = x.shape[-2:]
    f, a = frequencies(rope, D, T, c)
    h = len(f)
    angle = np.arange(T)[:, None] * f[None]
    cos, sin = a * np.cos(angle), a * np.sin(angle)
    lo, hi = x[..., :h], x[..., h:2 * h]
    return np.concatenate([lo * cos - hi * sin, hi * cos + lo * sin, x[..., 2 * h:]], -1)


def adapted(x, w, p, module, c):
    """A linear layer with PEFT's LoRA, or its OFT with the Cayley map by a Neumann series."""
    at = "base_model.model." + module
    if c["peft_type"] == "LORA":
        low = x @ p[at + ".lora_A.weight"].T @ p[at + ".lora_B.weight"].T
        return x @ w.T + c["lora_alpha"] / c["r"] * low
    v = p[at + ".oft_R.weight"]
    b = c["oft_block_size"]
    q = np.zeros((len(v), b, b), v.dtype)
    rows, cols = np.triu_indices(b, 1)
    q[:, rows, cols] = v
    q = q - q.transpose(0, 2, 1)
    terms = c["num_cayley_neumann_terms"]
    r, power = np.eye(b) + 2 * q, q
    for i in range(2, terms):
        power = power @ q
        r = r + (1 if i == terms - 1 else 2) * power
    blocks = x.reshape(*x.shape[:-1], len(v), b)
    return np.einsum("...rk,rkc->...rc", blocks, r).reshape(x.shape) @ w.T


def tanh(x):
    """With a finite derivative by complex steps, which np.tanh of a complex number has as well for moderate x only."""
    return (1 - np.exp(-2 * x)) / (1 + np.exp(-2 * x))


def silu(x):
    return x / (1 + np.exp(-x))


def gelu(x):
    return 0.5 * x * (1 + tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x ** 3)))


def decoder(w, p, c, adapter, ids):
    kind = c["model_type"]
    gemma, after, before = kind.startswith("gemma"), kind == "olmo2", kind != "olmo2"
    H, KV, eps = c["num_attention_heads"], c["num_key_value_heads"], c["rms_norm_eps"]
    D = c.get("head_dim") or c["hidden_size"] // H
    B, T = ids.shape
    multiplier = c.get("residual_multiplier", 1)

    def lin(module, x):
        y = adapted(x, w[module + ".weight"], p, module, adapter)
        return y + w[module + ".bias"] if module + ".bias" in w else y

    def heads(x, n):
        return x.reshape(B, T, n, D).transpose(0, 2, 1, 3)

    def rms(module, x):
        return norm(x, w[module + ".weight"] + (1 if gemma else 0), eps)

    x = w["model.embed_tokens.weight"][ids]
    x = x * (np.sqrt(c["hidden_size"]) if gemma else c.get("embedding_multiplier", 1))
    types = c.get("layer_types") or ["full_attention"] * c["num_hidden_layers"]
    if kind == "phi3" and c.get("sliding_window"):
        types = ["sliding_attention"] * c["num_hidden_layers"]
    for i in range(c["num_hidden_layers"]):
        at = f"model.layers.{i}."
        h = rms(at + "input_layernorm", x) if before else x
        if kind == "phi3":
            q, k, v = np.split(lin(at + "self_attn.qkv_proj", h), [H * D, (H + KV) * D], -1)
        else:
            q, k, v = (lin(at + f"self_attn.{n}_proj", h) for n in "qkv")
        if kind == "olmo2":
            q, k = rms(at + "self_attn.q_norm", q), rms(at + "self_attn.k_norm", k)
        q, k, v = heads(q, H), heads(k, KV), heads(v, KV).repeat(H // KV, 1)
        if kind == "gemma3_text":
            q, k = rms(at + "self_attn.q_norm", q), rms(at + "self_attn.k_norm", k)
        rope = c["rope_parameters"]
        rope = rope.get(types[i], rope)
        if kind != "smollm3" or c["no_rope_layers"][i]:
            q, k = rotate(q, rope, c), rotate(k, rope, c)
        scale = c["query_pre_attn_scalar"] ** -0.5 if gemma else c.get("attention_multiplier", D ** -0.5)
        s = q @ k.repeat(H // KV, 1).transpose(0, 1, 3, 2) * scale
        cap = c.get("attn_logit_softcapping") if kind == "gemma2" else None
        if cap:
            s = cap * tanh(s / cap)
        seen = np.tril(np.ones((T, T), bool))
        if types[i] == "sliding_attention":
            seen &= ~np.tril(np.ones((T, T), bool), -c["sliding_window"])
        s = np.where(seen, s, -np.inf)
        s = np.exp(s - s.real.max(-1, keepdims=True))
        y = (s / s.sum(-1, keepdims=True) @ v).transpose(0, 2, 1, 3).reshape(B, T, H * D)
        y = lin(at + "self_attn.o_proj", y)
        if gemma or after:
            y = rms(at + "post_attention_layernorm", y)
        x = x + multiplier * y
        h = x if after else rms(at + ("pre_feedforward_layernorm" if gemma else "post_attention_layernorm"), x)
        if kind == "phi3":
            gate, up = np.split(lin(at + "mlp.gate_up_proj", h), 2, -1)
        else:
            gate, up = lin(at + "mlp.gate_proj", h), lin(at + "mlp.up_proj", h)
        y = lin(at + "mlp.down_proj", (gelu if gemma else silu)(gate) * up)
        if gemma or after:
            y = rms(at + "post_feedforward_layernorm", y)
        x = x + multiplier * y
    x = rms("model.norm", x)
    logits = x @ w["model.embed_tokens.weight" if c["tie_word_embeddings"] else "lm_head.weight"].T
    logits = logits / c.get("logits_scaling", 1)
    cap = c.get("final_logit_softcapping")
    return cap * tanh(logits / cap) if cap else logits


def loss(logits, labels):
    z, y = logits[:, :-1], labels[:, 1:]
    used = y != -100
    z, y = z[used], y[used]
    top = z.real.max(-1, keepdims=True)
    return (np.log(np.exp(z - top).sum(-1)) + top[:, 0] - z[np.arange(len(y)), y]).mean()


def main(family):
    config = json.load(open(family + "/config.json"))
    w = {k: v.astype(np.float64) for k, v in read(family + "/model.safetensors").items()}
    for method in ("oft", "lora"):
        folder = f"{family}/adapter_{method}"
        adapter = json.load(open(folder + "/adapter_config.json"))
        p = {k: v.astype(np.float64) for k, v in read(folder + "/adapter_model.safetensors").items()}
        golden = read(f"{family}/reference_{method}.safetensors")
        ids, labels, mask = golden["input_ids"], golden["labels"], golden["attention_mask"]
        logits = decoder(w, p, config, adapter, ids)
        out = {"logits": logits, "loss": np.array([loss(logits, labels)])}
        for name, value in p.items():
            grad = np.empty(value.size)
            for i in range(value.size):
                step = value.astype(np.complex128)
                step.flat[i] += 1e-30j
                grad[i] = loss(decoder(w, {**p, name: step}, config, adapter, ids), labels).imag / 1e-30
            out["grad/" + name] = grad.reshape(value.shape)
        write(f"{family}/double_{method}.safetensors", out)
        far = lambda a, b: np.abs(a - b).max() / np.abs(a).max()
        print(family, method, "logits", far(logits[mask == 1], golden["logits.f64"][mask == 1]), "gradients",
              max(far(v, golden[k + ".f64"]) for k, v in out.items() if k.startswith("grad/")))


if __name__ == "__main__":
    for name in sys.argv[1:]:
        main(name)
