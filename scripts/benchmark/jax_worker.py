"""JAX's side of a workload: python jax_worker.py MODEL WORK, for mlp, mlp-wide, dit and dit-s.

One jitted function a step, with its state donated, as JAX is meant to be used. See steps.py for how it is driven.
"""

import argparse
import math
from functools import partial

import jax
import jax.numpy as jnp

from steps import serve

DEPTH = {"dit": 6, "dit-s": 12}
WIDTH = {"mlp": 256, "mlp-wide": 512, "dit": 384, "dit-s": 384}
SHAPE = {"mlp": (256, 2), "mlp-wide": (4096, 2), "dit": (16, 32, 32, 3), "dit-s": (8, 32, 32, 3)}
HEADS, PATCH = 6, 2


def layer(key, inputs, outputs):
    return {"weight": jax.random.normal(key, (inputs, outputs)) / math.sqrt(inputs), "bias": jnp.zeros(outputs)}


def linear(p, x):
    return x @ p["weight"] + p["bias"]


def features(t, width):
    frequencies = jnp.exp(-math.log(1e4) * jnp.arange(width // 2) / (width // 2))
    angles = 1000 * t[:, None] * frequencies
    return jnp.concatenate([jnp.cos(angles), jnp.sin(angles)], axis=-1)


def embedded(p, t, width):
    return linear(p["second"], jax.nn.silu(linear(p["first"], features(t, width))))


def build(model, key):
    """Parameters of a model."""
    keys = iter(jax.random.split(key, 256))
    width = WIDTH[model]
    wide = 64 if model.startswith("mlp") else 256

    def embedder():
        return {"first": layer(next(keys), wide, width), "second": layer(next(keys), width, width)}

    p = {"time": embedder(), "span": embedder()}
    if model.startswith("mlp"):
        p |= {"first": layer(next(keys), 2, width), "last": layer(next(keys), width, 2)}
        p["hidden"] = [layer(next(keys), width, width) for _ in range(4)]
        return p
    tokens, numbers = (32 // PATCH) ** 2, 3 * PATCH * PATCH
    p |= {"patches": layer(next(keys), numbers, width), "positions": 0.02 * jax.random.normal(next(keys), (tokens, width))}
    p |= {"modulation": layer(next(keys), width, 2 * width), "last": layer(next(keys), width, numbers)}
    sizes = {"qkv": 3 * width, "proj": width, "fc1": 4 * width, "modulation": 6 * width}
    p["blocks"] = [
        {name: layer(next(keys), width, outputs) for name, outputs in sizes.items()} | {"fc2": layer(next(keys), 4 * width, width)}
        for _ in range(DEPTH[model])
    ]
    return p


def mlp(p, x, s, t):
    h = linear(p["first"], x) + embedded(p["time"], s, 64) + embedded(p["span"], t - s, 64)
    for hidden in p["hidden"]:
        h = linear(hidden, jax.nn.silu(h))
    return linear(p["last"], jax.nn.silu(h))


def modulated(x, shift, scale):
    mean = x.mean(-1, keepdims=True)
    variance = jnp.square(x - mean).mean(-1, keepdims=True)
    return (x - mean) * jax.lax.rsqrt(variance + 1e-6) * (1 + scale) + shift


def dit(p, x, s, t):
    n, side = len(x), 32 // PATCH
    conditioning = jax.nn.silu(embedded(p["time"], s, 256) + embedded(p["span"], t - s, 256))
    patches = x.reshape(n, side, PATCH, side, PATCH, 3).transpose(0, 1, 3, 2, 4, 5).reshape(n, side * side, -1)
    h = linear(p["patches"], patches) + p["positions"]
    width = h.shape[-1]
    for block in p["blocks"]:
        shift1, scale1, gate1, shift2, scale2, gate2 = jnp.split(linear(block["modulation"], conditioning)[:, None], 6, axis=-1)
        qkv = linear(block["qkv"], modulated(h, shift1, scale1)).reshape(n, side * side, 3, HEADS, width // HEADS)
        mixed = jax.nn.dot_product_attention(qkv[:, :, 0], qkv[:, :, 1], qkv[:, :, 2])
        h = h + gate1 * linear(block["proj"], mixed.reshape(n, side * side, width))
        h = h + gate2 * linear(block["fc2"], jax.nn.gelu(linear(block["fc1"], modulated(h, shift2, scale2))))
    shift, scale = jnp.split(linear(p["modulation"], conditioning)[:, None], 2, axis=-1)
    h = linear(p["last"], modulated(h, shift, scale)).reshape(n, side, side, PATCH, PATCH, 3)
    return h.transpose(0, 1, 3, 2, 4, 5).reshape(x.shape)


def losses(net, x):
    """The loss of each kind of work: (student, teacher, average, key) -> number."""
    n, stop = len(x), jax.lax.stop_gradient

    def wide(t):
        return t.reshape(-1, *[1] * (x.ndim - 1))

    def draw(key):
        key, noise = jax.random.split(key)
        s, t = jnp.sort(jax.random.uniform(key, (2, n)), axis=0)
        return s, t, jax.random.normal(noise, x.shape)

    def flow(p, teacher, average, key):
        t, _, z = draw(key)
        return jnp.square(net(p, z + wide(t) * (x - z), t, t) - (x - z)).mean()

    def itvm(p, teacher, average, key):
        s, t, z = draw(key)
        start, middle = z + wide(s) * (x - z), jnp.maximum(t - 0.05, s)
        middle_point = start + wide(middle - s) * net(average, start, s, middle)
        end = middle_point + wide(t - middle) * net(teacher, middle_point, middle, middle)
        wanted = (end - start) / jnp.maximum(wide(t - s), 1e-5)
        at_start = jnp.square(net(p, start, s, s) - stop(net(teacher, start, s, s))).mean()
        return at_start + jnp.square(net(p, start, s, t) - stop(wanted)).mean()

    def lfmd(p, teacher, average, key):
        s, t, z = draw(key)
        start = z + wide(s) * (x - z)
        end, slope = jax.jvp(lambda t: start + wide(t - s) * net(p, start, s, t), (t,), (jnp.ones_like(t),))
        return jnp.square(slope - stop(net(teacher, end, t, t))).mean()

    def fgm(p, teacher, average, key):
        key, other = jax.random.split(key)
        t, _, noise = draw(key)
        z = jax.random.normal(other, x.shape)
        made = z + net(p, z, jnp.zeros(n), jnp.ones(n))
        point = noise + wide(t) * (made - noise)
        teacher_velocity, own_velocity = net(teacher, point, t, t), net(stop(average), point, t, t)
        return jnp.square(teacher_velocity - own_velocity).mean() + 2 * ((teacher_velocity - own_velocity) * (own_velocity - (made - noise))).mean()

    return {"flow": flow, "itvm": itvm, "lfmd": lfmd, "fgm": fgm}


class Workload:
    def __init__(self, model, work):
        net = mlp if model.startswith("mlp") else dit
        keys = jax.random.split(jax.random.PRNGKey(0), 3)
        self.x = jax.random.normal(keys[0], SHAPE[model])
        student, self.teacher = build(model, keys[1]), build(model, keys[2])
        zeros = jax.tree.map(jnp.zeros_like, student)
        self.state = (student, zeros, jax.tree.map(jnp.copy, zeros), jax.tree.map(jnp.copy, student), jnp.zeros(()))
        self.key, self.net = keys[0], jax.jit(net)
        if work != "sample":
            self.train = partial(self.compiled(losses(net, self.x)[work]), self.teacher)

    @staticmethod
    def compiled(loss):
        @partial(jax.jit, donate_argnums=1)
        def train(teacher, state, key):
            student, first, second, average, count = state
            gradient = jax.grad(loss)(student, teacher, average, key)
            norm = jnp.sqrt(sum(jnp.square(g).sum() for g in jax.tree.leaves(gradient)))
            gradient = jax.tree.map(lambda g: g * jnp.minimum(1, 1 / (norm + 1e-6)), gradient)
            count = count + 1
            first = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, first, gradient)
            second = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, second, gradient)

            def updated(p, m, v):
                return p * (1 - 1e-6) - 1e-4 * (m / (1 - 0.9**count)) / (jnp.sqrt(v / (1 - 0.999**count)) + 1e-8)

            student = jax.tree.map(updated, student, first, second)
            average = jax.tree.map(lambda a, p: 0.999 * a + 0.001 * p, average, student)
            return student, first, second, average, count

        return train

    def step(self):
        self.key, key = jax.random.split(self.key)
        if hasattr(self, "train"):
            self.state = jax.block_until_ready(self.train(self.state, key))
        else:
            s, t = jax.random.uniform(key, (2, len(self.x)))
            self.net(self.state[0], self.x, s, t).block_until_ready()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model", choices=SHAPE)
    parser.add_argument("work", choices=["sample", "flow", "itvm", "lfmd", "fgm"])
    options = parser.parse_args()
    serve(Workload(options.model, options.work).step)


if __name__ == "__main__":
    main()
