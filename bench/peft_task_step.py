#!/usr/bin/env python3
"""Training steps of a classifier, Gyre and PyTorch + PEFT in turn: BERT-base with 8 x 128 tokens, ViT-B/16 with 8 images.

    bench/peft_task_step.py --rounds 3 --python VENV/bin/python
    bench/peft_task_step.py --cases bert:oft32,vit:lora16 --python "./tuned.sh VENV/bin/python" --json out.jsonl

Methods are OFTv2 (Cayley-Neumann, block size), LoRA (rank, alpha twice as much) and PSOFT (rank, exact Cayley) on all linear
layers of the body, the classifier trained whole beside them (modules_to_save); random weights, F32, forward, loss, backward,
clip, AdamW. Each measurement is a process of its own; the two take turns, and a ratio is the median of the rounds' ratios.
Theirs is measured as ours is: a sample is a group of steps of at least 0.4 s; samples during which other processes took over
5 % of the machine are left out of the median when three clean ones remain; peak memory is VmHWM over the steps alone. Dropout
is off on both sides. PyTorch runs as --python says: a wrapper in front of it can preload and set what it needs at its best.
"""
import argparse
import json
import os
import pathlib
import shlex
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
BERT = (8, 128)
VIT = 8


def busy():
    f = open("/proc/stat").readline().split()
    return (sum(map(int, f[1:4])) + sum(map(int, f[6:9]))) / os.sysconf("SC_CLK_TCK")


def status_mb(key):
    for line in open("/proc/self/status"):
        if line.startswith(key):
            return int(line.split()[1]) / 1024


def build(model, method):
    import torch
    import transformers
    import peft
    torch.manual_seed(0)
    off = dict(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    if model == "bert":
        net = transformers.BertForSequenceClassification(transformers.BertConfig(num_labels=2, **off))
        ids = torch.randint(0, net.config.vocab_size, BERT)
        batch = dict(input_ids=ids, attention_mask=torch.ones_like(ids), labels=torch.randint(0, 2, BERT[:1]))
    else:
        net = transformers.ViTForImageClassification(transformers.ViTConfig(num_labels=10, **off))
        batch = dict(pixel_values=torch.rand(VIT, 3, 224, 224) * 2 - 1, labels=torch.randint(0, 10, (VIT,)))
    linear = sorted({n.split(".")[-1] for n, m in net.named_modules()
                     if isinstance(m, torch.nn.Linear) and n != "classifier"})
    number = int("".join(c for c in method if c.isdigit()) or 0)
    common = dict(target_modules=linear, modules_to_save=["classifier"])
    if method.startswith("oft"):
        config = peft.OFTConfig(r=0, oft_block_size=number, use_cayley_neumann=True, num_cayley_neumann_terms=5, **common)
    elif method.startswith("lora"):
        config = peft.LoraConfig(r=number, lora_alpha=2 * number, **common)
    elif method.startswith("psoft"):
        config = peft.PsoftConfig(r=number, psoft_alpha=number, psoft_svd="lowrank", psoft_svd_lowrank_niter=2, **common)
    else:
        sys.exit(f"{method}: use oft32, lora16, psoft64 or other numbers")
    return peft.get_peft_model(net, config), batch


def theirs(model, method, threads, seconds, patience):
    import torch
    torch.set_num_threads(threads)
    net, batch = build(model, method)
    net.train()
    trainable = [p for p in net.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(trainable, lr=1e-4)

    def step():
        loss = net(**batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trainable, 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        return float(loss.detach())

    try:
        open("/proc/self/clear_refs", "w").write("5")
    except OSError:
        pass
    first = [step() for _ in range(3)][0]
    samples, spent, clean, left = [], 0.0, 0, patience
    while (spent < seconds or len(samples) < 3 or clean < 3) and spent < 3 * seconds + 0.4:
        while left > 0:
            b = busy()
            time.sleep(0.2)
            left -= 0.2
            if busy() - b <= 0.05 * 0.2 * os.cpu_count() + 0.0101:
                break
        b0, c0, t0, k = busy(), time.process_time(), time.perf_counter(), 0
        while True:
            loss = step()
            k += 1
            if time.perf_counter() - t0 >= 0.4:
                break
        wall = time.perf_counter() - t0
        others = max(0.0, busy() - b0 - (time.process_time() - c0)) / (wall * os.cpu_count())
        samples.append((wall / k, others, k))
        spent += wall
        clean += others < 0.05
    enough = clean >= 3
    ms = statistics.median(x for x, o, _ in samples if not enough or o < 0.05) * 1e3
    print(json.dumps(dict(step_ms=ms, peak_mb=round(status_mb("VmHWM")), clean=clean, samples=samples,
                          trainable=sum(p.numel() for p in trainable), loss=[first, loss], torch=torch.__version__)))


def last_json(command, env):
    p = subprocess.run(command, capture_output=True, text=True, env=env, cwd=ROOT)
    try:
        return json.loads([x for x in p.stdout.splitlines() if x.startswith("{")][-1])
    except (IndexError, ValueError):
        error = (p.stderr.strip().splitlines() or ["no output"])[-1]
        sys.exit(f"{shlex.join(command)}: exit code {p.returncode}: {error[:300]}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", default="bert:oft32,bert:lora16,bert:psoft64,vit:oft32,vit:lora16")
    parser.add_argument("--python", default=sys.executable, help="command that runs PyTorch's side")
    parser.add_argument("--gyre", default="./gyre", help="command that runs ours")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10, help="measuring time of each process")
    parser.add_argument("--patience", type=float, default=60, help="seconds each may wait for quiet moments")
    parser.add_argument("--json", help="file to append every measurement to")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    o = parser.parse_args()
    if o.worker:
        theirs(*o.worker.split(":"), o.threads, o.seconds, o.patience)
        return
    env = dict(os.environ, OMP_NUM_THREADS=str(o.threads), MKL_NUM_THREADS=str(o.threads))
    cases = o.cases.split(",")
    pairs = {c: [] for c in cases}
    for r in range(o.rounds):
        for c in cases:
            model, method = c.split(":")
            times = ["--threads", str(o.threads), "--seconds", str(o.seconds), "--patience", str(o.patience)]
            us = last_json(shlex.split(o.gyre) + ["bench", "step", "--size", model, "--method", method, "--json"] + times,
                           dict(os.environ))
            them = last_json(shlex.split(o.python) + [os.path.abspath(__file__), "--worker", c] + times, env)
            pairs[c].append((us, them))
            print(f"round {r + 1} {c}: ours {us['step_ms']:.0f} ms, {us['peak_mb']} MiB ({us['clean']} clean); theirs "
                  f"{them['step_ms']:.0f} ms, {them['peak_mb']} MiB ({them['clean']} clean)", file=sys.stderr, flush=True)
            if o.json:
                with open(o.json, "a") as f:
                    f.write(json.dumps(dict(case=c, ours=us, theirs=them)) + "\n")
    print("| model, method | trainable, ours / theirs | Gyre, ms | PyTorch, ms | time | Gyre, MiB | PyTorch, MiB | memory | clean |")
    print("|---|---|---|---|---|---|---|---|---|")
    for c, both in pairs.items():
        middle = lambda f: statistics.median(f(u, t) for u, t in both)
        ratios = ", ".join(f"{u['step_ms'] / t['step_ms']:.2f}" for u, t in both)
        clean = sum(u["clean"] + t["clean"] for u, t in both)
        samples = sum(len(u["samples"]) + len(t["samples"]) for u, t in both)
        print(f"| {c.replace(':', ', ')} | {both[0][0]['trainable']:,} / {both[0][1]['trainable']:,} "
              f"| {middle(lambda u, t: u['step_ms']):.0f} | {middle(lambda u, t: t['step_ms']):.0f} "
              f"| {middle(lambda u, t: u['step_ms'] / t['step_ms']):.2f} ({ratios}) "
              f"| {middle(lambda u, t: u['peak_mb']):.0f} | {middle(lambda u, t: t['peak_mb']):.0f} "
              f"| {middle(lambda u, t: u['peak_mb'] / t['peak_mb']):.2f} | {clean}/{samples} |")


if __name__ == "__main__":
    main()
