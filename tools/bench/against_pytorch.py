#!/usr/bin/env python3
"""Runs `vkvae bench` and its PyTorch twins on one machine in alternation, and prints the table of ratios.

Each round takes every workload on both sides, one after the other, so that a busy machine is busy for both. A number is
the median of the rounds; PyTorch's is that of its best mode and layout. On two CPU cores a round of step/res128 takes
some three minutes.
usage: against_pytorch.py [--vkvae build/release/tools/vkvae] [--python python3] [--rounds 3] [--only step/]
       [--precision f16] [-- TWIN OPTIONS]
"""
import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
NAMES = ("step/mlp", "step/conv64", "step/res128", "decode/conv64", "decode/taesd")


def last_json(command):
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(f"against_pytorch: {' '.join(map(str, command))} ended with {done.returncode}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def main():
    arguments, twin_options = sys.argv[1:], []
    if "--" in arguments:
        cut = arguments.index("--")
        arguments, twin_options = arguments[:cut], arguments[cut + 1:]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vkvae", type=Path, default=ROOT / "build/release/tools/vkvae")
    parser.add_argument("--python", default="python3", help="an interpreter with torch")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="workloads whose name begins so")
    parser.add_argument("--precision", default="f32", help="vkvae's; PyTorch's is among its own options, --dtype")
    parser.add_argument("--autotune", default="cached", help="vkvae's, of training steps")
    args = parser.parse_args(arguments)
    names = [name for name in NAMES if name.startswith(args.only)]
    if not names or args.rounds < 1:
        parser.error(f"--only takes the beginning of one of {', '.join(NAMES)}, --rounds a positive number")

    ours, theirs = {name: [] for name in names}, {name: {} for name in names}
    for _ in range(args.rounds):
        for name in list(names):
            bench = last_json([args.vkvae, "bench", "--only", name, "--precision", args.precision, "--autotune",
                               args.autotune, "--json", "--quiet"])
            if not bench["results"]:
                print(f"{name} is left out: {bench['left_out'][0]['why']}", file=sys.stderr)
                names.remove(name)
                continue
            ours[name] += [row["host_ms"] for row in bench["results"] if row["name"] == name]
            twins = last_json([args.python, ROOT / "tools/bench/pytorch_twins.py", "--only", name, *twin_options])
            for row in twins["results"]:
                theirs[name].setdefault(f"{row['mode']} {row['layout']} {row['dtype']}", []).append(row["ms"])

    if not names:
        sys.exit(1)
    print(f"vkvae on {bench['device']} ({bench['driver']}), {bench['precision']}")
    print(f"PyTorch {twins['torch']} on {twins['device']}, {twins['threads']} threads\n")
    print(f"{'workload':16} {'vkvae ms':>10} {'PyTorch ms':>11} {'ratio':>6}  PyTorch's best")
    for name in names:
        mine = statistics.median(ours[name])
        mode, best = min(((mode, statistics.median(ms)) for mode, ms in theirs[name].items()), key=lambda row: row[1])
        print(f"{name:16} {mine:10.2f} {best:11.2f} {mine / best:6.2f}  {mode}")


if __name__ == "__main__":
    main()
