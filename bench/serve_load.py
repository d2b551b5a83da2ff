#!/usr/bin/env python3
"""Clients that ask a running `gyre serve` for some time; every answer is held against the first one to the same question.

    gyre serve examples/small-llama --port 8080 &
    bench/serve_load.py --url http://127.0.0.1:8080 --seconds 600 --clients 8

Questions differ in prompt, model, temperature and seed, and half of them are streamed, so an answer that depends on who else
asks shows. Prints what was asked, lost (no answer, or another status than 200) and different, tokens a second and times;
exits with 1 if anything was lost or different. With --pid the largest resident size of that process as well (Linux).
"""
import argparse
import json
import random
import threading
import time
import urllib.request


def ask(url, question):
    request = urllib.request.Request(url + "/v1/completions", json.dumps(question).encode(),
                                     {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=600) as reply:
        if not question["stream"]:
            answer = json.load(reply)
            return answer["choices"][0]["text"], answer["usage"]["completion_tokens"]
        text, tokens, done = "", 0, False
        for line in reply:
            line = line.decode().strip()
            if line == "data: [DONE]":
                done = True
            elif line.startswith("data: "):
                piece = json.loads(line[6:])
                if piece.get("usage"):
                    tokens = piece["usage"]["completion_tokens"]
                text += "".join(c["text"] for c in piece["choices"])
        if not done:
            raise IOError("the stream ended early")
        return text, tokens


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--url", default="http://127.0.0.1:8080")
    p.add_argument("--seconds", type=float, default=600)
    p.add_argument("--clients", type=int, default=8)
    p.add_argument("--tokens", type=int, default=60)
    p.add_argument("--pid", type=int)
    a = p.parse_args()
    with urllib.request.urlopen(a.url + "/v1/models") as reply:
        models = [m["id"] for m in json.load(reply)["data"]]
    questions = [{"model": m, "prompt": text, "max_tokens": a.tokens, "temperature": t, "seed": s}
                 for m in models for text in ("copy hello = ", "reverse abc = ", "a", "sort 3 1 2 = ")
                 for t, s in ((0, 1), (0.8, 1), (0.8, 7))]
    # the answers of a server that answers nobody else
    alone = [ask(a.url, dict(q, stream=False))[0] for q in questions]
    lock = threading.Lock()
    counts = {"asked": 0, "lost": 0, "different": 0, "tokens": 0}
    times, errors = [], []
    end = time.time() + a.seconds

    def client(seed):
        r = random.Random(seed)
        while time.time() < end:
            i = r.randrange(len(questions))
            stream = r.random() < 0.5
            q = dict(questions[i], stream=stream)
            if stream:
                q["stream_options"] = {"include_usage": True}
            begun = time.time()
            try:
                text, tokens = ask(a.url, q)
            except Exception as e:  # whatever it is, the answer is lost
                with lock:
                    counts["asked"] += 1
                    counts["lost"] += 1
                    errors.append(repr(e))
                continue
            with lock:
                counts["asked"] += 1
                counts["tokens"] += tokens
                counts["different"] += text != alone[i]
                times.append(time.time() - begun)

    threads = [threading.Thread(target=client, args=(s,)) for s in range(a.clients)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    times.sort()
    result = dict(counts, clients=a.clients, models=len(models), tokens_per_second=round(counts["tokens"] / a.seconds, 1))
    if times:
        result.update(median_seconds=round(times[len(times) // 2], 3), slowest_seconds=round(times[-1], 3))
    if a.pid:
        with open(f"/proc/{a.pid}/status") as f:
            result["largest_resident_mb"] = next(int(x.split()[1]) // 1024 for x in f if x.startswith("VmHWM"))
    if errors:
        result["first_error"] = errors[0]
    print(json.dumps(result))
    raise SystemExit(1 if counts["lost"] or counts["different"] or not counts["asked"] else 0)


if __name__ == "__main__":
    main()
