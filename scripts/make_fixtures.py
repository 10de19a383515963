"""Writes Tests/Fixtures/*.safetensors: the results of PyTorch, torchcfm, diffusers and POT that Riffle's tests expect.

    python3 -m venv venv
    venv/bin/pip install torch numpy POT diffusers
    venv/bin/pip install --no-deps torchcfm==1.0.7
    venv/bin/python scripts/make_fixtures.py

The files kept in the repository were written with torch 2.15.0, diffusers 0.42.1 and POT 0.9.7. Everything is
computed in float64 and stored as float32, so a fixture is exact to the last digit it holds.

Weights are not stored. They are drawn by `draw`, from a name and an index alone, so that any language can draw the same
weights. The files hold everything else that a test needs (inputs, loss weights `c`, settings); gradients are those of
sum(c * output).
"""

import math
from contextlib import contextmanager
from unittest.mock import patch

import ot
import torch
import torch.nn.functional as F
from diffusers import SD3Transformer2DModel
from diffusers.models import embeddings, normalization
from diffusers.utils import logging
from torchcfm.models.unet import unet

from fixture_file import save, strings
from numbers_by_name import centred, draw, parameter, rounded
from reference_dit import DiT, time_features

# Networks


def rms_norm(self, x):
    """diffusers' RMSNorm, without its float32."""
    return F.rms_norm(x, self.dim, self.weight, self.eps)


@contextmanager
def in_double():
    """Keeps float64 where torchcfm and diffusers go through float32: embeddings, norms and torchcfm's softmax."""
    with (
        patch.object(torch.Tensor, "float", torch.Tensor.double),
        patch.object(unet, "timestep_embedding", time_features),
        patch.object(embeddings, "get_timestep_embedding", time_features),
        patch.object(normalization.RMSNorm, "forward", rms_norm),
    ):
        yield


def run(make, call, dtype, x, c, inputs):
    """The output, its gradient for x, the gradients for the parameters, and the shapes of all that the state holds.

    Some gradients are zero: a key's bias does not change a softmax, and with as many groups as channels a group norm
    removes whatever was added to a channel. Rounding leaves 1e-15 of such gradients, which is set to zero.
    """
    model = make().to(dtype)
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    for name, p in trained.items():
        p.data = parameter(name, p.shape).to(dtype)
    inputs = {key: value.to(dtype) if value.is_floating_point() else value for key, value in inputs.items()}
    x = x.detach().to(dtype).requires_grad_()
    output = call(model, x, **inputs)
    (c.to(dtype) * output).sum().backward()
    gradients = {name: torch.where(p.grad.abs() < 1e-12, 0, p.grad) for name, p in trained.items()}
    return output.detach(), x.grad, gradients, {name: list(value.shape) for name, value in model.state_dict().items()}


def traces(name, gradient):
    """The stored part of a parameter's gradient: 64 of its elements, its norm, and its product with a drawn direction."""
    flat = gradient.flatten()
    return {
        f"grad.{name}": flat[:: max(1, len(flat) // 64)][:64],
        f"norm.{name}": flat.norm()[None],
        f"dot.{name}": (flat @ centred(f"probe.{name}", flat.shape))[None],
    }


def difference(a, b):
    """The greatest difference relative to the greatest number of b, or absolute where b is zero."""
    return ((a - b).abs().max() / (b.abs().max() or 1)).item()


def write_network(file, settings, make, call, shape, inputs):
    """Writes a network's output call(make(), x, **inputs) for a drawn x [2, channels, height, width], with gradients."""
    x, c = centred("input.x", (2, *shape)), centred("input.c", (2, *shape))
    with in_double():
        output, grad_x, gradients, shapes = run(make, call, torch.float64, x, c, inputs)
    tensors = {"x": x, "c": c, "output": output, "grad_x": grad_x} | inputs
    for name, gradient in gradients.items():
        tensors |= traces(name, gradient)
    save(file, tensors, strings(settings | {"shapes": shapes}))

    single, single_x, singles, _ = run(make, call, torch.float32, x, c, inputs)
    worst = max(difference(singles[name], gradients[name]) for name in gradients)
    count = sum(gradient.numel() for gradient in gradients.values())
    print(f"  {count} parameters; float32 differs by {difference(single, output):.1e} in the output, "
          f"{difference(single_x, grad_x):.1e} in grad_x, up to {worst:.1e} in a parameter's gradient")


# The U-Net of torchcfm

UNETS = {
    "unet-plain": dict(
        dim=(3, 16, 16), channel_mult=[1, 2], num_res_blocks=1, attention_resolutions="8", num_heads=2),
    "unet-classes": dict(
        dim=(3, 16, 16), channel_mult=[1, 2, 2], num_res_blocks=2, attention_resolutions="8", num_heads=2,
        num_head_channels=16, class_cond=True, num_classes=5),  # 4 heads of 16, not 2 of 32
    # The images are not square. torchcfm counts attention_resolutions in the last side: 4 means at half size.
    "unet-scale-shift": dict(
        dim=(2, 12, 8), channel_mult=[1, 2], num_res_blocks=1, attention_resolutions="4", num_heads=1,
        use_scale_shift_norm=True, resblock_updown=True),
}
UNET_DEFAULTS = dict(
    num_channels=32, dropout=0.0, num_head_channels=-1, class_cond=False, num_classes=None,
    use_scale_shift_norm=False, resblock_updown=False, use_new_attention_order=False, learn_sigma=False)


def write_unet(file, settings):
    def call(model, x, t, y=None):
        model.dtype = x.dtype
        return model(t, x, y)

    settings = UNET_DEFAULTS | settings
    inputs = {"t": draw("input.t", (2,))} | ({"y": torch.tensor([3, 0])} if settings["class_cond"] else {})
    write_network(file, settings, lambda: unet.UNetModelWrapper(**settings), call, settings["dim"], inputs)


# DiT

DITS = {
    "dit-two-times": dict(image=[8, 12, 3], patch=2, width=32, depth=2, heads=4, two_times=True),
    "dit-classes": dict(image=[8, 8, 2], patch=4, width=48, depth=2, heads=3, classes=5, learn_sigma=True),
}
DIT_DEFAULTS = dict(classes=None, learn_sigma=False, two_times=False)


def write_dit(file, settings):
    def call(model, x, **inputs):
        return model(x, **inputs)

    settings = DIT_DEFAULTS | settings
    height, breadth, channels = settings["image"]
    inputs = {"s": draw("input.s", (2,))}
    if settings["two_times"]:
        inputs |= {"t": draw("input.t", (2,))}
    if settings["classes"] is not None:
        inputs |= {"y": torch.tensor([3, settings["classes"]])}  # the second sample has no class
    write_network(file, settings, lambda: DiT(**settings), call, (channels, height, breadth), inputs)


# The MM-DiT of diffusers

MMDITS = {
    "mmdit-plain": dict(
        size=[8, 8], sample_size=8, in_channels=4, num_layers=2, num_attention_heads=4, attention_head_dim=8,
        pos_embed_max_size=6),
    "mmdit-dual": dict(
        size=[8, 12], sample_size=10, in_channels=3, num_layers=3, num_attention_heads=2, attention_head_dim=16,
        pos_embed_max_size=9, qk_norm="rms_norm", dual_attention_layers=[1]),
}
MMDIT_DEFAULTS = dict(
    patch_size=2, joint_attention_dim=24, caption_projection_dim=32, pooled_projection_dim=20, qk_norm=None,
    dual_attention_layers=[])


def write_mmdit(file, settings):
    """Our times run from noise to data; diffusers' run from data to noise, at 1000, and it predicts noise - data."""
    def call(model, x, t, tokens, summary):
        return -model(x, tokens, summary, 1000 * (1 - t), return_dict=False)[0]

    settings = MMDIT_DEFAULTS | settings
    own = {key: value for key, value in settings.items() if key != "size"}
    own["out_channels"] = channels = settings["in_channels"]
    inputs = {
        "t": draw("input.t", (2,)),
        "tokens": centred("input.tokens", (2, 5, settings["joint_attention_dim"])),
        "summary": centred("input.summary", (2, settings["pooled_projection_dim"])),
    }
    write_network(file, settings, lambda: SD3Transformer2DModel(**own), call, (channels, *settings["size"]), inputs)


# Operations


def record(op, function, **inputs):
    """An operation's inputs, output, loss weights and gradients, under its name."""
    inputs = {key: value.requires_grad_() for key, value in inputs.items()}
    output = function(*inputs.values())
    c = centred(f"{op}.c", output.shape)
    (c * output).sum().backward()
    gradients = {f"grad_{key}": value.grad for key, value in inputs.items()}
    return {f"{op}.{key}": value for key, value in (inputs | {"output": output, "c": c} | gradients).items()}


def record_drawn(op, function, **shapes):
    return record(op, function, **{key: centred(f"{op}.{key}", shape) for key, shape in shapes.items()})


def activations():
    """Inputs dense near zero, with tails where exp would overflow in float32 or the output is all but zero."""
    def inputs(op, reach):
        return rounded(reach * centred(f"{op}.x", (4, 32), 1) ** 3)

    return (
        record("gelu_tanh", lambda x: F.gelu(x, approximate="tanh"), x=inputs("gelu_tanh", 8))
        | record("gelu_erf", F.gelu, x=inputs("gelu_erf", 8))
        | record("silu", F.silu, x=inputs("silu", 100))
        | record("softplus", F.softplus, x=inputs("softplus", 100))
        | record("softmax", lambda x: F.softmax(x, dim=-1), x=rounded(100 + inputs("softmax", 10)))
    )


def layers():
    def convolution(stride, padding):
        return lambda x, weight, bias: F.conv2d(x, weight, bias, stride, padding)

    def attention(q, k, v):
        return F.scaled_dot_product_attention(q, k, v)

    return (
        record_drawn(
            "group_norm", lambda x, weight, bias: F.group_norm(x, 4, weight, bias, eps=1e-5),
            x=(2, 12, 5, 7), weight=(12,), bias=(12,))
        | record_drawn(
            "layer_norm", lambda x, weight, bias: F.layer_norm(x, (20,), weight, bias, eps=1e-5),
            x=(3, 4, 20), weight=(20,), bias=(20,))
        | record_drawn("conv2d_3x3", convolution(1, 1), x=(2, 5, 7, 9), weight=(6, 5, 3, 3), bias=(6,))
        | record_drawn("conv2d_3x3_stride2", convolution(2, 1), x=(2, 5, 8, 7), weight=(6, 5, 3, 3), bias=(6,))
        | record_drawn("conv2d_1x1", convolution(1, 0), x=(2, 5, 4, 6), weight=(7, 5, 1, 1), bias=(7,))
        | record_drawn("upsample", lambda x: F.interpolate(x, scale_factor=2, mode="nearest"), x=(2, 3, 4, 5))
        | record_drawn("attention", attention, q=(2, 3, 7, 8), k=(2, 3, 7, 8), v=(2, 3, 7, 8))
        | record_drawn("attention_cross", attention, q=(2, 3, 7, 8), k=(2, 3, 5, 8), v=(2, 3, 5, 8))
    )


def optimizer(op, make, settings):
    """A vector, three gradients for it, and the vector after each of three steps."""
    start, gradients = centred(f"{op}.start", (8,)), centred(f"{op}.gradients", (3, 8))
    p = torch.nn.Parameter(start.clone())
    steps, rule = [], make([p], **settings)
    for gradient in gradients:
        p.grad = gradient.clone()
        rule.step()
        steps.append(p.detach().clone())
    return {f"{op}.start": start, f"{op}.gradients": gradients, f"{op}.steps": torch.stack(steps)}


def clipping(op, max_norm):
    """Two gradients, their norm together, and both clipped."""
    shapes = {"a": (5,), "b": (2, 3)}
    parameters = {key: torch.nn.Parameter(torch.zeros(shape, dtype=torch.float64)) for key, shape in shapes.items()}
    tensors = {f"{op}.{key}": centred(f"{op}.{key}", shape) for key, shape in shapes.items()}
    for key, p in parameters.items():
        p.grad = tensors[f"{op}.{key}"].clone()
    norm = torch.nn.utils.clip_grad_norm_(parameters.values(), max_norm)
    return tensors | {f"{op}.norm": norm[None]} | {f"{op}.clipped_{key}": p.grad for key, p in parameters.items()}


def write_operations():
    adamw = dict(lr=0.1, betas=[0.9, 0.999], eps=1e-8, weight_decay=0.01)
    sgd = dict(lr=0.1, momentum=0.9)
    norms = {"group_norm": dict(groups=4, eps=1e-5), "layer_norm": dict(eps=1e-5)}
    save(
        "ops",
        activations() | layers() | optimizer("adamw", torch.optim.AdamW, adamw)
        | optimizer("sgd", torch.optim.SGD, sgd) | clipping("clip_grad_norm", 1.0),
        strings(norms | {"adamw": adamw, "sgd": sgd, "clip_grad_norm": dict(max_norm=1.0)}))


# Distances


def write_distances():
    a = centred("distance.a", (500, 2))
    b = rounded(0.5 * centred("distance.b", (500, 2)) + torch.tensor([1.0, -0.5]))
    angles = 2 * math.pi * draw("distance.projections", (200,))
    projections = rounded(torch.stack([angles.cos(), angles.sin()]))
    sliced = ot.sliced_wasserstein_distance(a.numpy(), b.numpy(), projections=projections.numpy(), p=2)
    tensors = {"a": a, "b": b, "projections": projections, "sliced_wasserstein": torch.tensor([float(sliced)]).double()}
    save("distances", tensors, {"p": "2"})


if __name__ == "__main__":
    torch.set_num_threads(1)
    logging.set_verbosity_error()
    for file, settings in UNETS.items():
        write_unet(file, settings)
    for file, settings in DITS.items():
        write_dit(file, settings)
    for file, settings in MMDITS.items():
        write_mmdit(file, settings)
    write_operations()
    write_distances()
