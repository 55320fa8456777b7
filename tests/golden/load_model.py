#!/usr/bin/env python3
"""Proves that a plain nn.Module loads a vkvae model file unchanged: strict names and shapes, and the same numbers.

usage: load_model.py MODEL.safetensors [--npy X.npy MU.npy [OUT.npy]] [--mean] [--tolerance 1e-4]
X is (N,C,H,W) f32; MU is the encoder's mu of X; OUT is the decoder's output for z = mu: the raw parameters of the
likelihood, or with --mean the Bernoulli mean.  Exit code 1: a difference is above tolerance * the largest value (at least 1).
"""
import argparse
import json
import sys

import numpy as np
import torch

from model import Vae

DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "U8": "u1", "BF16": "<u2"}


def read_with_numpy(path):
    """The metadata and tensors of a safetensors file: an 8-byte length, a JSON header, the bytes."""
    with open(path, "rb") as f:
        header = json.loads(f.read(int.from_bytes(f.read(8), "little")))
        data = f.read()
    metadata, tensors = header.pop("__metadata__", {}), {}
    for name, t in header.items():
        begin, end = t["data_offsets"]
        a = np.frombuffer(data[begin:end], DTYPES[t["dtype"]])
        if t["dtype"] == "BF16":
            a = (a.astype("<u4") << 16).view("<f4")
        tensors[name] = torch.from_numpy(a.reshape(t["shape"]).copy())
    return metadata, tensors


def read_safetensors(path):
    try:
        from safetensors import safe_open
    except ImportError:
        return read_with_numpy(path)
    with safe_open(path, framework="pt") as f:
        return f.metadata() or {}, {name: f.get_tensor(name) for name in f.keys()}


def load(path):
    metadata, tensors = read_safetensors(path)
    vae = Vae(json.loads(metadata["vkvae_config"]))
    vae.load_state_dict(tensors, strict=True)
    return vae.eval()


def differs(name, ours, path, tolerance):
    """Prints and returns whether `ours` is away from the array in `path`."""
    theirs = np.load(path).astype(np.float64)
    if theirs.shape != ours.shape:
        print(f"{name}: shape {theirs.shape} in {path}, expected {ours.shape}")
        return True
    error = np.abs(theirs - ours).max()
    ok = error <= tolerance * max(1.0, np.abs(ours).max())  # a NaN is not ok
    print(f"{name} {ours.shape}: largest difference {error:.2e} of {np.abs(ours).max():.3g}: {'ok' if ok else 'WRONG'}")
    return not ok


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("--npy", nargs="+", default=[], metavar="FILE")
    parser.add_argument("--mean", action="store_true")
    parser.add_argument("--tolerance", type=float, default=1e-4)
    args = parser.parse_args()
    if len(args.npy) not in (0, 2, 3):
        parser.error("--npy takes X.npy MU.npy [OUT.npy]")

    vae = load(args.model)
    print(f"{args.model}: loaded, {sum(p.numel() for p in vae.parameters())} parameters")
    if not args.npy:
        return 0
    vae.double()  # the difference seen is then the other side's alone
    with torch.no_grad():
        mu, _ = vae.encode(torch.from_numpy(np.load(args.npy[0])).double())
        out = vae.decoder(mu).reshape(-1, *vae.input)
        if args.mean:
            out = torch.sigmoid(out)
    wrong = [differs(n, t.numpy(), p, args.tolerance) for n, t, p in zip(("mu", "out"), (mu, out), args.npy[1:])]
    return 1 if any(wrong) else 0


if __name__ == "__main__":
    sys.exit(main())
