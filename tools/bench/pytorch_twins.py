#!/usr/bin/env python3
"""Times PyTorch on the workloads of `vkvae bench` and prints one JSON object.

  step/mlp, step/conv64   one training step, batch 128: forward, backward, Adam, fresh eps (samples/models/*.json)
  step/res128             the same with batch 64
  decode/conv64           128 latents through the decoder
  decode/taesd            the decoder of TAESD, 64x64x4 -> 512x512x3, random weights

Each is timed in every mode and layout that makes sense here; a repetition is --steps executions and one synchronisation,
or one execution where it takes longer than a second.
  eager     as written
  compile   torch.compile, mode "max-autotune" (PyTorch 2)
  graph     a CUDA graph captured by hand (CUDA)
Debian's PyTorch multiplies with whatever libblas.so.3 is: without libopenblas0-openmp it is ten times slower.
usage: pytorch_twins.py [--only step/mlp] [--modes eager,compile,graph] [--device cpu|cuda] [--dtype f32|f16|bf16] ...
"""
import argparse
import contextlib
import json
import os
import statistics
import sys
import time
from pathlib import Path

os.environ.setdefault("GOMP_SPINCOUNT", "0")  # before torch: spinning OpenMP threads make the conv twin 2 to 3 times slower

import torch
from torch import nn
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "golden"))
from model import Vae, preset

BATCH = {"res128": 64}
USUAL_BATCH = 128


def autocast(args):
    dtype = {"f16": torch.float16, "bf16": torch.bfloat16}.get(args.dtype)
    return torch.autocast(args.device, dtype) if dtype else contextlib.nullcontext()


def make_adam(parameters, args, capturable):
    options = {"capturable": True} if capturable else {}
    try:
        return torch.optim.Adam(parameters, lr=1e-3, fused=args.device == "cuda", foreach=args.device != "cuda", **options)
    except TypeError:  # torch 1.x before "fused"
        return torch.optim.Adam(parameters, lr=1e-3, foreach=True, **options)


def training_step(name, args, mode, layout):
    """A function that does one step. The loss is not scaled for f16: this is about time."""
    vae = Vae(preset(name)).to(args.device, memory_format=layout)
    adam = make_adam(vae.parameters(), args, capturable=mode == "graph")
    batch = BATCH.get(name, USUAL_BATCH)
    x = torch.rand(batch, *vae.input, device=args.device).contiguous(memory_format=layout)
    loss_of = torch.compile(vae.loss, mode="max-autotune") if mode == "compile" else vae.loss

    def step():
        with autocast(args):
            loss, _, _ = loss_of(x, torch.randn(batch, vae.latent, device=args.device))
        adam.zero_grad(set_to_none=True)
        loss.backward()
        adam.step()

    return step


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.ModuleList(nn.Conv2d(64, 64, 3, padding=1) for _ in range(3))

    def forward(self, x):
        return F.relu(self.conv[2](F.relu(self.conv[1](F.relu(self.conv[0](x))))) + x)


class Squash(nn.Module):
    def forward(self, z):
        return torch.tanh(z / 3) * 3


def taesd_decoder():
    layers = [Squash(), nn.Conv2d(4, 64, 3, padding=1), nn.ReLU()]
    for _ in range(3):
        layers += [Block(), Block(), Block(), nn.Upsample(scale_factor=2), nn.Conv2d(64, 64, 3, padding=1, bias=False)]
    return nn.Sequential(*layers, Block(), nn.Conv2d(64, 3, 3, padding=1))


def decoding(name, args, mode, layout):
    if name == "taesd":
        decode = taesd_decoder().to(args.device, memory_format=layout)
        z = torch.randn(1, 4, 64, 64, device=args.device).contiguous(memory_format=layout)
    else:
        vae = Vae(preset(name)).to(args.device, memory_format=layout)
        decode, z = vae.decoder, torch.randn(USUAL_BATCH, vae.latent, device=args.device)
    if mode == "compile":
        decode = torch.compile(decode, mode="max-autotune")

    def run():
        with torch.no_grad(), autocast(args):
            return decode(z)

    return run


WORKLOADS = {"step/mlp": training_step, "step/conv64": training_step, "step/res128": training_step,
             "decode/conv64": decoding, "decode/taesd": decoding}


def captured(run):
    """The same work as one CUDA graph. The warm-up on a side stream is what PyTorch's documentation asks for."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            run()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run()
    return graph.replay


def time_ms(run, args):
    def repeat(count):
        for _ in range(count):
            run()
        if args.device == "cuda":
            torch.cuda.synchronize()

    def timed(count):
        start = time.perf_counter()
        repeat(count)
        return (time.perf_counter() - start) / count

    repeat(1)
    once = timed(1)
    if once > 10:  # seconds that say enough, as in vkvae bench
        return [1e3 * once]
    repeat(1)
    return [1e3 * timed(args.steps if once < 1 else 1) for _ in range(args.repeats)]


def possible(mode, args):
    if mode == "compile":
        return hasattr(torch, "compile")
    return mode == "eager" or args.device == "cuda"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="workloads whose name begins so")
    parser.add_argument("--modes", default="eager,compile,graph")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--dtype", choices=("f32", "f16", "bf16"), default="f32")
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, default=0, help="0: one for each CPU")
    args = parser.parse_args()
    torch.set_num_threads(args.threads or os.cpu_count())
    names = [name for name in WORKLOADS if name.startswith(args.only)]
    if not names:
        parser.error(f"no workload's name begins with '{args.only}'; there are {', '.join(WORKLOADS)}")

    rows = []
    for name in names:
        for mode in [m for m in args.modes.split(",") if possible(m, args)]:
            for layout in ("nchw",) if name.endswith("mlp") else ("nchw", "nhwc"):
                torch.manual_seed(1)
                memory_format = torch.channels_last if layout == "nhwc" else torch.contiguous_format
                run = WORKLOADS[name](name.split("/")[1], args, mode, memory_format)
                times = time_ms(captured(run) if mode == "graph" else run, args)
                rows.append({"name": name, "mode": mode, "layout": layout, "dtype": args.dtype,
                             "ms": round(statistics.median(times), 3), "best_ms": round(min(times), 3)})
    device = torch.cuda.get_device_name() if args.device == "cuda" else "cpu"
    print(json.dumps({"torch": torch.__version__, "device": device, "threads": torch.get_num_threads(), "results": rows}))


if __name__ == "__main__":
    main()
