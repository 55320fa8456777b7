#!/usr/bin/env python3
"""Trains the 784-400-20 MLP VAE in PyTorch on a folder of MNIST IDX files and prints the test -ELBO of every epoch.

Grey pixels as Bernoulli targets, Adam 1e-3, batch 128 with the last batch partial, one eps per image; nats per image.
Published for 10 epochs: 105.59 (pytorch/examples `vae`).   usage: mnist_twin.py IDX_DIR [--epochs 10] [--seed 1] [--threads 1]
"""
import argparse
import gzip
import os
import time
from pathlib import Path

os.environ.setdefault("GOMP_SPINCOUNT", "0")  # before torch: idle OpenMP threads must not spin

import numpy as np
import torch

from model import Vae, preset

BATCH = 128


def read_images(path):
    """An IDX file of unsigned bytes, plain or .gz, as (N,1,H,W) f32 in [0,1]."""
    path = path if path.exists() else path.with_name(path.name + ".gz")
    with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as f:
        data = f.read()
    if data[:4] != b"\0\0\x08\x03":
        raise ValueError(f"{path} is not an IDX file of images")
    n, h, w = np.frombuffer(data, ">u4", 3, 4)
    return torch.from_numpy(np.frombuffer(data, np.uint8, offset=16).reshape(n, 1, h, w) / np.float32(255))


def evaluate(vae, images):
    with torch.no_grad():
        parts = [(len(x), *vae.loss(x, torch.randn(len(x), vae.latent))) for x in images.split(1000)]
    return [sum(p[0] * p[i].item() for p in parts) / len(images) for i in (1, 2, 3)]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    train = read_images(args.data / "train-images-idx3-ubyte")
    test = read_images(args.data / "t10k-images-idx3-ubyte")
    vae = Vae(preset("mlp"))
    adam = torch.optim.Adam(vae.parameters(), lr=1e-3)
    for epoch in range(1, args.epochs + 1):
        start, total = time.perf_counter(), 0.0
        for rows in torch.randperm(len(train)).split(BATCH):
            loss, _, _ = vae.loss(train[rows], torch.randn(len(rows), vae.latent))
            adam.zero_grad()
            loss.backward()
            adam.step()
            total += loss.item() * len(rows)
        seconds = time.perf_counter() - start
        elbo, nll, kl = evaluate(vae, test)
        print(f"epoch {epoch}: train {total / len(train):.2f}, test -elbo {elbo:.2f} (nll {nll:.2f}, kl {kl:.2f}), "
              f"{seconds:.1f} s", flush=True)


if __name__ == "__main__":
    main()
