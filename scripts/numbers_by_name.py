"""Numbers that a name decides, the same in every program that fills networks for a comparison."""

import math

import numpy as np
import torch

UNIT = math.sqrt(3)  # the half-width at which a uniform number has variance one


def draw(name, shape):
    """Uniform numbers in [0, 1): a SplitMix64 stream that starts at the FNV-1a hash of the name."""
    seed = 0xCBF29CE484222325
    for byte in name.encode():
        seed = (seed ^ byte) * 0x100000001B3 % 2**64
    z = np.uint64(seed) + np.arange(1, math.prod(shape) + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = z ^ (z >> np.uint64(31))
    return torch.from_numpy((z >> np.uint64(40)).astype(np.float64) / 2**24).reshape(shape)


def rounded(values):
    """The nearest float32 values, kept in float64: the values that a float32 program starts from."""
    return values.to(torch.float32).double()


def centred(name, shape, scale=UNIT):
    """Uniform numbers in [-scale, scale)."""
    return rounded((2 * draw(name, shape) - 1) * scale)


def parameter(name, shape):
    """A parameter's value: no layer starts at zero, and signals keep about their size through every layer."""
    if len(shape) > 1:
        return centred(name, shape, math.sqrt(3 / math.prod(shape[1:])))
    middle = 1 if name.endswith(".weight") else 0
    return rounded(middle + 0.2 * (2 * draw(name, shape) - 1))
