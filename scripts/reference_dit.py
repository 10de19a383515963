"""DiT (Peebles and Xie 2023) in PyTorch, with the parameter names of the published checkpoints.

The second time, `span_embedder`, is Riffle's. Images are not square in general: the published code is the case where
they are.
"""

import math

import torch
import torch.nn as nn
import torch.nn.functional as F


def time_features(t, width, period=10000.0, **_):
    """t [n] -> [n, width]: cosines, then sines, of t at frequencies from 1 to 1 / period.

    The timestep_embedding of torchcfm and DiT, and diffusers' as Stable Diffusion 3 calls it, in the type of t.
    """
    frequencies = torch.exp(-math.log(period) * torch.arange(width // 2, dtype=t.dtype) / (width // 2))
    angles = t[:, None] * frequencies
    return torch.cat([torch.cos(angles), torch.sin(angles)], dim=-1)


def positions(rows, columns, width):
    """Sines and cosines of a patch's column, then of its row: [1, rows x columns, width]."""
    def waves(count):
        frequencies = 10000.0 ** (-torch.arange(width // 4, dtype=torch.float64) / (width // 4))
        angles = torch.arange(count, dtype=torch.float64)[:, None] * frequencies
        return torch.cat([angles.sin(), angles.cos()], dim=-1)

    half = (rows, columns, width // 2)
    table = torch.cat([waves(columns)[None].expand(half), waves(rows)[:, None].expand(half)], dim=-1)
    return table.reshape(1, rows * columns, width)


def embedder(width):
    return nn.ModuleDict({"mlp": nn.Sequential(nn.Linear(256, width), nn.SiLU(), nn.Linear(width, width))})


def modulation(width, parts):
    return nn.Sequential(nn.SiLU(), nn.Linear(width, parts * width))


def modulated(x, shift, scale):
    return F.layer_norm(x, x.shape[-1:], eps=1e-6) * (1 + scale) + shift


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.attn = nn.ModuleDict({"qkv": nn.Linear(width, 3 * width), "proj": nn.Linear(width, width)})
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(width, 4 * width), "fc2": nn.Linear(4 * width, width)})
        self.adaLN_modulation = modulation(width, 6)

    def forward(self, x, conditioning):
        shift1, scale1, gate1, shift2, scale2, gate2 = self.adaLN_modulation(conditioning)[:, None].chunk(6, dim=-1)
        n, tokens, width = x.shape
        qkv = self.attn["qkv"](modulated(x, shift1, scale1)).reshape(n, tokens, 3, self.heads, -1)
        mixed = F.scaled_dot_product_attention(*qkv.permute(2, 0, 3, 1, 4)).transpose(1, 2).reshape(n, tokens, width)
        x = x + gate1 * self.attn["proj"](mixed)
        hidden = F.gelu(self.mlp["fc1"](modulated(x, shift2, scale2)), approximate="tanh")
        return x + gate2 * self.mlp["fc2"](hidden)


class DiT(nn.Module):
    """v(x, s) or u(x, s, t) for images [n, channels, height, width], times [n] and labels [n]."""

    def __init__(self, image, patch, width, depth, heads, classes=None, learn_sigma=False, two_times=False):
        super().__init__()
        (height, breadth, self.channels), self.patch = image, patch
        self.grid = (height // patch, breadth // patch)
        outputs = patch * patch * self.channels * (2 if learn_sigma else 1)
        self.x_embedder = nn.ModuleDict({"proj": nn.Conv2d(self.channels, width, patch, stride=patch)})
        self.pos_embed = nn.Parameter(positions(*self.grid, width), requires_grad=False)
        self.t_embedder = embedder(width)
        if two_times:
            self.span_embedder = embedder(width)
        if classes is not None:
            self.y_embedder = nn.ModuleDict({"embedding_table": nn.Embedding(classes + 1, width)})
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(depth))
        final = {"linear": nn.Linear(width, outputs), "adaLN_modulation": modulation(width, 2)}
        self.final_layer = nn.ModuleDict(final)

    def forward(self, x, s, t=None, y=None):
        h = self.x_embedder["proj"](x).flatten(2).transpose(1, 2) + self.pos_embed
        conditioning = self.t_embedder["mlp"](time_features(1000 * s, 256))
        if t is not None:
            conditioning = conditioning + self.span_embedder["mlp"](time_features(1000 * (t - s), 256))
        if y is not None:
            conditioning = conditioning + self.y_embedder["embedding_table"](y)
        for block in self.blocks:
            h = block(h, conditioning)
        shift, scale = self.final_layer["adaLN_modulation"](conditioning)[:, None].chunk(2, dim=-1)
        h = self.final_layer["linear"](modulated(h, shift, scale))
        h = h.reshape(len(x), *self.grid, self.patch, self.patch, -1)
        return torch.einsum("nhwpqc->nchpwq", h).reshape(len(x), -1, *x.shape[2:])[:, : self.channels]
