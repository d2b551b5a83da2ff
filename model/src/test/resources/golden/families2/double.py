"""Reference values in double throughout, computed with NumPy only: python3 double.py olmo2

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


def rotate(x, theta):
    """x (B, heads, T, D), half-split pairs."""
    T, D = x.shape[-2:]
    angle = np.arange(T)[:, None] * theta ** (-np.arange(0, D, 2) / D)[None]
    cos, sin = np.concatenate([np.cos(angle)] * 2, -1), np.concatenate([np.sin(angle)] * 2, -1)
    return x * cos + np.concatenate([-x[..., D // 2:], x[..., :D // 2]], -1) * sin


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


def olmo2(w, p, c, adapter, ids):
    H, KV, eps = c["num_attention_heads"], c["num_key_value_heads"], c["rms_norm_eps"]
    D = c["hidden_size"] // H
    B, T = ids.shape

    def lin(module, x):
        return adapted(x, w[module + ".weight"], p, module, adapter)

    def heads(x, n):
        return x.reshape(B, T, n, D).transpose(0, 2, 1, 3)

    x = w["model.embed_tokens.weight"][ids]
    for i in range(c["num_hidden_layers"]):
        at = f"model.layers.{i}."
        q = norm(lin(at + "self_attn.q_proj", x), w[at + "self_attn.q_norm.weight"], eps)
        k = norm(lin(at + "self_attn.k_proj", x), w[at + "self_attn.k_norm.weight"], eps)
        v = heads(lin(at + "self_attn.v_proj", x), KV).repeat(H // KV, 1)
        theta = c["rope_parameters"]["rope_theta"]
        q, k = rotate(heads(q, H), theta), rotate(heads(k, KV), theta).repeat(H // KV, 1)
        s = q @ k.transpose(0, 1, 3, 2) / np.sqrt(D)
        s = np.where(np.tril(np.ones((T, T), bool)), s, -np.inf)
        s = np.exp(s - s.real.max(-1, keepdims=True))
        y = (s / s.sum(-1, keepdims=True) @ v).transpose(0, 2, 1, 3).reshape(B, T, H * D)
        x = x + norm(lin(at + "self_attn.o_proj", y), w[at + "post_attention_layernorm.weight"], eps)
        gate = lin(at + "mlp.gate_proj", x)
        y = lin(at + "mlp.down_proj", gate / (1 + np.exp(-gate)) * lin(at + "mlp.up_proj", x))
        x = x + norm(y, w[at + "post_feedforward_layernorm.weight"], eps)
    return norm(x, w["model.norm.weight"], eps) @ w["lm_head.weight"].T


def loss(logits, labels):
    z, y = logits[:, :-1], labels[:, 1:]
    used = y != -100
    z, y = z[used], y[used]
    top = z.real.max(-1, keepdims=True)
    return (np.log(np.exp(z - top).sum(-1)) + top[:, 0] - z[np.arange(len(y)), y]).mean()


def main(family):
    model = {"olmo2": olmo2}[family]
    config = json.load(open(family + "/config.json"))
    w = {k: v.astype(np.float64) for k, v in read(family + "/model.safetensors").items()}
    for method in ("oft", "lora"):
        folder = f"{family}/adapter_{method}"
        adapter = json.load(open(folder + "/adapter_config.json"))
        p = {k: v.astype(np.float64) for k, v in read(folder + "/adapter_model.safetensors").items()}
        golden = read(f"{family}/reference_{method}.safetensors")
        ids, labels, mask = golden["input_ids"], golden["labels"], golden["attention_mask"]
        logits = model(w, p, config, adapter, ids)
        out = {"logits": logits, "loss": np.array([loss(logits, labels)])}
        for name, value in p.items():
            grad = np.empty(value.size)
            for i in range(value.size):
                step = value.astype(np.complex128)
                step.flat[i] += 1e-30j
                grad[i] = loss(model(w, {**p, name: step}, config, adapter, ids), labels).imag / 1e-30
            out["grad/" + name] = grad.reshape(value.shape)
        write(f"{family}/double_{method}.safetensors", out)
        far = lambda a, b: np.abs(a - b).max() / np.abs(a).max()
        print(method, "logits", far(logits[mask == 1], golden["logits.f64"][mask == 1]), "gradients",
              max(far(v, golden[k + ".f64"]) for k, v in out.items() if k.startswith("grad/")))


if __name__ == "__main__":
    main(sys.argv[1])
