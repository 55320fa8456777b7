#!/usr/bin/env python3
"""Times the PyTorch training step (forward, backward, Adam) of vkvae's benchmark models; prints one JSON object.

Models: samples/models/mlp.json and conv64.json, or the JSON files named.
A repetition is `--steps` steps on a batch that lies on the device, with fresh eps each step, and one synchronisation.
usage: pytorch_twins.py [MODEL.json ...] [--device cpu|cuda] [--batch 128] [--steps 10] [--repeats 15] [--threads N]
"""
import argparse
import json
import os
import statistics
import sys
import time
from pathlib import Path

os.environ.setdefault("GOMP_SPINCOUNT", "0")  # before torch: spinning OpenMP threads make the conv twin 2 to 3 times slower

import torch

sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "golden"))
from model import Vae, preset


def make_adam(parameters, device):
    try:
        return torch.optim.Adam(parameters, lr=1e-3, fused=device == "cuda", foreach=device != "cuda")
    except TypeError:  # torch 1.x before "fused"
        return torch.optim.Adam(parameters, lr=1e-3, foreach=True)


def time_training(spec, args, memory_format):
    """Milliseconds a step, one number for each repetition."""
    torch.manual_seed(1)
    vae = Vae(spec).to(args.device, memory_format=memory_format)
    adam = make_adam(vae.parameters(), args.device)
    x = torch.rand(args.batch, *vae.input, device=args.device).contiguous(memory_format=memory_format)

    def run(steps):
        for _ in range(steps):
            loss, _, _ = vae.loss(x, torch.randn(args.batch, vae.latent, device=args.device))
            adam.zero_grad(set_to_none=True)
            loss.backward()
            adam.step()
        if args.device == "cuda":
            torch.cuda.synchronize()

    run(max(2, args.steps))
    times = []
    for _ in range(args.repeats):
        start = time.perf_counter()
        run(args.steps)
        times.append(1e3 * (time.perf_counter() - start) / args.steps)
    return times


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("models", nargs="*", type=Path)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--threads", type=int, default=0, help="0: one for each CPU")
    args = parser.parse_args()
    torch.set_num_threads(args.threads or os.cpu_count())

    specs = [json.loads(p.read_text()) for p in args.models] or [preset("mlp"), preset("conv64")]
    rows = []
    for spec in specs:
        convolutional = any("conv" in s["type"] for s in spec["encoder"])
        for layout in ("nchw", "nhwc") if convolutional else ("nchw",):
            memory_format = torch.channels_last if layout == "nhwc" else torch.contiguous_format
            times = time_training(spec, args, memory_format)
            rows.append({"model": spec["name"], "layout": layout, "batch": args.batch,
                         "median_ms": round(statistics.median(times), 3), "best_ms": round(min(times), 3)})
    name = torch.cuda.get_device_name() if args.device == "cuda" else "cpu"
    print(json.dumps({"torch": torch.__version__, "device": name, "threads": torch.get_num_threads(),
                      "steps": args.steps, "repeats": args.repeats, "results": rows}, indent=2))


if __name__ == "__main__":
    main()
