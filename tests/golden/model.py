"""The PyTorch twin of a vkvae model: a plain nn.Module built from the model JSON, with the parameter names of the file.

Shapes in the JSON are (H, W, C); tensors here are PyTorch's (N, C, H, W). A layer keeps its position in the JSON as its
index, so layers without parameters take a number too: encoder.layers.5.weight is the sixth entry of "encoder".
"""
import json
import math
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

ACTIVATIONS = {
    "relu": F.relu,
    "leaky_relu": F.leaky_relu,  # slope 0.01
    "elu": F.elu,                # alpha 1
    "silu": F.silu,
    "gelu": F.gelu,              # exact, with erf
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "softplus": F.softplus,
}


class Activation(nn.Module):
    def __init__(self, name):
        super().__init__()
        self.f = ACTIVATIONS[name]

    def forward(self, h):
        return self.f(h)


class FlatLinear(nn.Linear):
    """A linear layer over all features: an image needs no "flatten" before it."""

    def forward(self, h):
        return super().forward(h.flatten(1))


class ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of each pixel of (N, C, H, W), the last axis of vkvae's NHWC."""

    def forward(self, h):
        return super().forward(h.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def size(shape):
    return torch.Size(shape).numel()


def conv(cls, spec, shape):
    options = {k: spec[k] for k in ("stride", "padding", "output_padding", "bias") if k in spec}
    layer = cls(shape[0], spec["out"], spec["kernel"], **options)
    with torch.no_grad():
        return layer, tuple(layer(torch.zeros(1, *shape)).shape[1:])


def make_layer(spec, shape):
    """One JSON entry and its input shape, (C, H, W) or (features,): the module and its output shape."""
    kind = spec["type"]
    if kind == "linear":
        return FlatLinear(size(shape), spec["out"], bias=spec.get("bias", True)), (spec["out"],)
    if kind == "conv2d":
        return conv(nn.Conv2d, spec, shape)
    if kind == "conv_transpose2d":
        return conv(nn.ConvTranspose2d, spec, shape)
    if kind == "activation":
        return Activation(spec["name"]), shape
    if kind == "flatten":
        return nn.Flatten(), (size(shape),)
    if kind == "reshape":
        h, w, c = spec["shape"]
        return nn.Unflatten(1, (c, h, w)), (c, h, w)
    if kind == "group_norm":
        return nn.GroupNorm(spec["groups"], shape[0], eps=spec.get("eps", 1e-5)), shape
    if kind == "layer_norm":
        cls = nn.LayerNorm if len(shape) == 1 else ChannelNorm
        return cls(shape[0], eps=spec.get("eps", 1e-5)), shape
    if kind == "upsample":
        c, h, w = shape
        scale = spec.get("scale", 2)
        return nn.Upsample(scale_factor=scale, mode="nearest"), (c, h * scale, w * scale)
    if kind == "residual":
        layer = Residual(spec["layers"], shape)
        return layer, layer.shape
    raise ValueError(f"unknown layer type {kind!r}")


class Stack(nn.Module):
    """A list of layers, each with its optional "activation"."""

    def __init__(self, specs, shape):
        super().__init__()
        self.layers = nn.ModuleList()
        self.activations = [ACTIVATIONS[s["activation"]] if "activation" in s else None for s in specs]
        for spec in specs:
            layer, shape = make_layer(spec, shape)
            self.layers.append(layer)
        self.shape = shape  # of the output, without the batch

    def forward(self, h):
        for layer, activation in zip(self.layers, self.activations):
            h = layer(h)
            if activation:
                h = activation(h)
        return h


def stride_of(specs):
    """The product of the strides of all convolutions."""
    return math.prod(stride_of(s.get("layers", [])) * (s.get("stride", 1) if s["type"] == "conv2d" else 1) for s in specs)


class Residual(Stack):
    """The layers, plus their input: as it is, or where the shapes differ through a 1x1 convolution or a linear layer."""

    def __init__(self, specs, shape):
        super().__init__(specs, shape)
        if self.shape == shape:
            self.shortcut = nn.Identity()
        elif len(shape) == 1:
            self.shortcut = nn.Linear(shape[0], self.shape[0])
        else:
            stride = 1 if self.shape[1:] == shape[1:] else stride_of(specs)
            self.shortcut = nn.Conv2d(shape[0], self.shape[0], 1, stride)

    def forward(self, h):
        return super().forward(h) + self.shortcut(h)


class Vae(nn.Module):
    def __init__(self, spec):
        super().__init__()
        h, w, c = spec["input"]
        self.likelihood = spec["likelihood"]
        self.latent = spec["latent"]
        self.input = (c, h, w)
        self.encoder = Stack(spec["encoder"], self.input)
        self.fc_mu = nn.Linear(size(self.encoder.shape), self.latent)
        self.fc_logvar = nn.Linear(size(self.encoder.shape), self.latent)
        self.decoder = Stack(spec["decoder"], (self.latent,))

    def encode(self, x):
        h = self.encoder(x).flatten(1)
        return self.fc_mu(h), self.fc_logvar(h)

    def loss(self, x, eps, beta=1.0):
        """Mean over the batch of nll + beta * kl, in nats; also nll and kl.  x: (N, C, H, W), eps: (N, latent)."""
        if self.likelihood != "bernoulli":
            raise ValueError(f"no twin for likelihood {self.likelihood!r}")
        mu, logvar = self.encode(x)
        z = mu + torch.exp(0.5 * logvar) * eps
        logits = self.decoder(z).reshape(x.shape)
        nll = F.binary_cross_entropy_with_logits(logits, x, reduction="sum") / len(x)
        kl = 0.5 * (mu.square() + logvar.exp() - 1 - logvar).sum() / len(x)
        return nll + beta * kl, nll, kl


def preset(name):
    """The JSON of samples/models/<name>.json."""
    return json.loads((Path(__file__).parents[2] / "samples" / "models" / (name + ".json")).read_text())
