#!/usr/bin/env python3
"""What a training step should take on an H200, counted and not measured: `bench/h200_estimate.py >bench/h200.md`.

Each part takes the longest of what its traffic, its shared-memory transactions and its arithmetic need, by the rules below. A
part that changes is one line here."""

BYTES = 0.85 * 4.3e12  # bytes/s of streaming kernels
PRODUCTS = {"bf16": 700e12, "tf32": 380e12, "f32": 50e12}  # FLOP/s of cuBLAS
SM, CLOCK = 132, 1.9e9
SHARED = 0.75 * SM * CLOCK  # transactions/s: 128 bytes each, one a cycle and multiprocessor at best


class Shape:
    def __init__(self, name, layers, C, F, H, KV, V, B, T):
        self.name, self.layers, self.C, self.F, self.H, self.KV, self.V, self.B, self.T = name, layers, C, F, H, KV, V, B, T
        self.N, self.D, self.kv = B * T, C // H, C // H * KV
        self.inputs = 6 * C + F  # of q, k, v, o, gate, up and down
        self.outputs = 3 * C + 2 * self.kv + 2 * F
        self.weights = 2 * C * C + 2 * C * self.kv + 3 * C * F


def streamed(s, bytes_per_token_and_layer):
    return s.layers * s.N * bytes_per_token_and_layer / BYTES


def attention(s):
    """Transactions of a warp in a step of 32 keys for 16 of 64 rows (AttentionMmaKernels, D = 128; the left factors of scores are
    in registers). For each 16 of D: scores load two factors of 2; a product loads four. It also loads 8 for its left factor.
    Scores pass through the workspace in 16 stores and loads of 2. A tile of keys costs 1 load and 1 store for each 16 of D
    when transposed, else the store is 2; 4 and 8 for probabilities, 12 for what dK, dV need of each query."""
    k = s.D // 16
    scores, passing, product, transposed, tile = 4 * k, 32, 4 * k + 8, 2 * k, 3 * k
    steps = s.B * s.H * s.layers * (s.T / 64) * (s.T / 2 / 32 + 1) * 8
    return {"attention: sums of the softmax": steps * (scores + passing + transposed) / SHARED,
            "attention: forward": steps * (scores + passing + 4 + product + transposed + tile) / SHARED,
            "attention: dQ": steps * (2 * (scores + passing + transposed) + 4 + product + tile) / SHARED,
            "attention: dK, dV": steps * (2 * (scores + passing + transposed + product + tile) + 8 + 12) / SHARED,
            "attention: output, dQ, dK, dV to BF16, O dO": streamed(s, 6 * (2 * s.C + 2 * s.kv) + 4 * s.C)}


def step(s, precision):
    rows = {f"products by cuBLAS in {precision}: forward, dX": 4 * s.weights * s.layers * s.N / PRODUCTS[precision],
            f"output head in {precision}: forward, dX": 4 * s.C * s.V * s.N / PRODUCTS[precision]}
    packed = precision == "bf16"
    a = 2 if packed else 4  # bytes of an activation that products read or write
    if packed:
        # the gradient of the residual stream, for o and down; all else is written in BF16
        rows["factors to BF16: 4 bytes read, 2 written"] = streamed(s, 6 * 2 * s.C)
    else:
        rows["weights decoded to F32, twice"] = 2 * s.layers * 6 * s.weights / BYTES
    rows |= attention(s)
    rows["SwiGLU, its gradient, once more"] = streamed(s, (3 + 5 + 3) * a * s.F)
    # of a lane: 32 multiply-adds an element, 16 loads for 64 of them, in F32 8 for 16
    tiles = s.N * s.inputs * s.layers * 32 * (16 / 64 if packed else 8 / 16) / 32
    rows["rotations: forward"] = max(streamed(s, 2 * a * s.inputs), tiles / SHARED)
    # to F32 in sums of three and two, else as it came
    back = a * s.inputs + (4 + 8 + 8 + 4 + 8) * s.C + a * (s.C + s.F)
    rows["rotations: back"] = max(streamed(s, back), tiles / SHARED)
    rows["rotations: dR"] = max(streamed(s, 2 * a * s.inputs), tiles / SHARED)
    rows["RMSNorm, gradients, once more"] = streamed(s, 2 * (2 * (4 + a) + 16) * s.C)
    rows["Cayley: 10 us a launch, 2 launches for each rotation"] = s.layers * 7 * 2 * 10e-6
    rows["RoPE, residual sums, cross entropy"] = streamed(s, 4 * a * (s.C + s.kv) + 2 * (8 + a) * s.C) + 12 * s.N * s.V / BYTES
    return rows


SEVEN = Shape("Llama 2 7B", 32, 4096, 11008, 32, 32, 32000, 4, 2048)
LLAMA3 = Shape("Llama 3 8B", 32, 4096, 14336, 32, 8, 128256, 4, 2048)
ROWS = Shape("Llama 2 7B", 32, 4096, 11008, 32, 32, 32000, 16, 512)

print(f"""# A step on an H200, estimated

Written by `bench/h200_estimate.py`; **nothing here was measured**, no GPU was at hand. OFTv2 with blocks of 32 on all seven modules,
a base in BF16, no checkpointing. Rules: {BYTES / 1e12:.2f} TB/s for streaming kernels, cuBLAS at {PRODUCTS['bf16'] / 1e12:.0f} TFLOP/s in BF16
({PRODUCTS['tf32'] / 1e12:.0f} in TF32, {PRODUCTS['f32'] / 1e12:.0f} in F32), {SM} multiprocessors at {CLOCK / 1e9:.1f} GHz, shared memory at 75 % of one transaction
a cycle. Attention counts the transactions of `AttentionMmaKernels`; it may be off by 40 %. Time of the host is not in it.

## {SEVEN.name}, {SEVEN.B} x {SEVEN.T} tokens, `precision: bf16`

| part | ms | share |
|---|---|---|""")
parts = step(SEVEN, "bf16")
total = sum(parts.values())
for name, seconds in parts.items():
    print(f"| {name} | {1000 * seconds:.0f} | {100 * seconds / total:.0f} % |")
print(f"| **together** | **{1000 * total:.0f}** | {SEVEN.N / total:,.0f} tokens/s |")
print("\n## Others\n\n| step | ms | tokens/s |\n|---|---|---|")
for shape, precision in ((SEVEN, "bf16"), (SEVEN, "tf32"), (SEVEN, "f32"), (ROWS, "bf16"), (LLAMA3, "bf16")):
    seconds = step(shape, precision)
    if precision != "bf16":  # attention in F32, by the F32 kernels' estimate of 2.02 s for this shape
        for name in list(seconds):
            if name.startswith("attention"):
                del seconds[name]
        seconds["attention in F32"] = 2.02
    together = sum(seconds.values())
    print(f"| {shape.name}, {shape.B} x {shape.T}, {precision} | {1000 * together:.0f} | {shape.N / together:,.0f} |")
print("| PyTorch + PEFT 0.21, Llama 2 7B, 4 x 2048, by the same rules | 670 | 12,200 |")
