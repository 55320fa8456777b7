#!/usr/bin/env python3
"""Writes golden.safetensors and residual.safetensors beside it: 20 Adam steps of golden.json and residual.json with
given x and eps, computed in float64, stored as f32.

Tensors, in PyTorch's names and layouts: the initial weights; x [20,6,C,H,W]; eps [20,6,D]; losses [20];
grad.<name>, the gradients of step 0; final.<name>, the weights after step 20.
Prints how far PyTorch's own f32 run is from this truth.  usage: make_golden.py [OUT_FOLDER]
"""
import json
import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn

from model import Vae

STEPS, BATCH, SEED = 20, 6, 7
HERE = Path(__file__).parent


def write_safetensors(path, tensors, metadata):
    header, at = {"__metadata__": metadata}, 0
    arrays = {name: np.ascontiguousarray(t, dtype="<f4") for name, t in tensors.items()}
    for name, a in arrays.items():
        header[name] = {"dtype": "F32", "shape": list(a.shape), "data_offsets": [at, at + a.nbytes]}
        at += a.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(len(text).to_bytes(8, "little") + text)
        for a in arrays.values():
            f.write(a.tobytes())


def run(spec, weights, x, eps, dtype):
    """Losses, gradients of step 0 and final weights, as float64 numpy."""
    vae = Vae(spec).to(dtype)
    vae.load_state_dict(weights)
    adam = torch.optim.Adam(vae.parameters(), lr=1e-3, betas=(0.9, 0.999), eps=1e-8)
    losses, grads = [], {}
    for t in range(STEPS):
        loss, _, _ = vae.loss(torch.tensor(x[t], dtype=dtype), torch.tensor(eps[t], dtype=dtype))
        adam.zero_grad()
        loss.backward()
        if t == 0:
            grads = {n: p.grad.double().numpy().copy() for n, p in vae.named_parameters()}
        adam.step()
        losses.append(loss.item())
    return np.array(losses), grads, {n: p.detach().double().numpy() for n, p in vae.named_parameters()}


def deviation(a, b):
    """The largest difference, relative to the largest element."""
    return np.abs(a - b).max() / np.abs(b).max()


def make(name, out):
    spec = json.loads((HERE / (name + ".json")).read_text())
    torch.manual_seed(SEED)
    vae = Vae(spec)
    weights = vae.state_dict()
    for layer, module in vae.named_modules():  # a norm at (1, 0) would hide mistakes
        if isinstance(module, (nn.GroupNorm, nn.LayerNorm)):
            for parameter in ("weight", "bias"):
                weights[f"{layer}.{parameter}"] += 0.2 * torch.randn_like(weights[f"{layer}.{parameter}"])

    rng = np.random.default_rng(SEED)
    h, w, c = spec["input"]
    x = (rng.random((STEPS, BATCH, c, h, w)) ** 3).astype(np.float32)  # mostly dark, so that there is something to learn
    eps = rng.standard_normal((STEPS, BATCH, spec["latent"])).astype(np.float32)

    truth = run(spec, weights, x, eps, torch.float64)
    single = run(spec, weights, x, eps, torch.float32)
    losses, grads, final = truth
    print(name + ": losses", " ".join(f"{v:.4f}" for v in losses))
    print(f"f32 against float64: losses {np.abs(single[0] / losses - 1).max():.1e}", end="")
    print(f", gradients {max(deviation(single[1][n], g) for n, g in grads.items()):.1e}", end="")
    print(f", final weights {max(deviation(single[2][n], v) for n, v in final.items()):.1e}", end="")
    start = {n: v.numpy() for n, v in weights.items()}
    print(f" (of the change {max(deviation(single[2][n] - start[n], v - start[n]) for n, v in final.items()):.1e})")

    tensors = dict(start)
    tensors |= {"x": x, "eps": eps, "losses": losses}
    tensors |= {"grad." + n: g for n, g in grads.items()} | {"final." + n: v for n, v in final.items()}
    out = out / (name + ".safetensors")
    write_safetensors(out, tensors, {"format": "pt", "vkvae_config": json.dumps(spec), "torch": torch.__version__,
                                     "numpy": np.__version__, "python": sys.version.split()[0]})
    print(f"{out.name}: {out.stat().st_size} bytes, {len(tensors)} tensors")


def main():
    torch.set_num_threads(1)
    for name in ("golden", "residual"):
        make(name, Path(sys.argv[1]) if len(sys.argv) > 1 else HERE)


if __name__ == "__main__":
    main()
