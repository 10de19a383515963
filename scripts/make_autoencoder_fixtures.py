"""Writes Tests/Fixtures/autoencoder/: what diffusers' autoencoders make of random pictures and latents.

    python3 -m venv venv
    venv/bin/pip install torch numpy diffusers
    venv/bin/python scripts/make_autoencoder_fixtures.py

The files kept in the repository were written with torch 2.15.0 and diffusers 0.42.1, in float64. Weights are drawn by
their names (numbers_by_name.py), and so are pictures and latents. Each file has the configuration as diffusers writes
it. Of gradients, which are those of sum(c * output), the files hold the norm and the product with a drawn direction;
those of the training are of pictures, means and log-variances, with noise drawn by its name.
"""

import json

import torch
from diffusers import AutoencoderKL, AutoencoderTiny
from diffusers.utils import logging

from fixture_file import save, strings
from numbers_by_name import centred, parameter

KLS = {
    "quant": dict(  # as Stable Diffusion 1
        latent_channels=4, block_out_channels=[8, 16], layers_per_block=1, norm_num_groups=4, scaling_factor=0.18215),
    "shifted": dict(  # as Stable Diffusion 3
        latent_channels=16, block_out_channels=[8, 8, 16], layers_per_block=2, norm_num_groups=8,
        scaling_factor=1.5305, shift_factor=0.0609, use_quant_conv=False, use_post_quant_conv=False),
    "plain": dict(
        in_channels=1, out_channels=1, latent_channels=3, block_out_channels=[8], layers_per_block=1,
        norm_num_groups=2, scaling_factor=2.0, mid_block_add_attention=False),
}
TINIES = {
    "tiny": dict(latent_channels=4),
    "tiny-wide": dict(latent_channels=16, num_encoder_blocks=(1, 0, 2), num_decoder_blocks=(2, 1, 0)),
}
# Heights and widths of pictures, and of latents that are decoded by tiles of 4: some tiles are as large as others, some
# are cut off.
SIZES = {"quant": (12, 8), "shifted": (8, 12), "plain": (3, 5), "tiny": (16, 24), "tiny-wide": (8, 12)}
TILED = (7, 11)


def fill(model):
    """Draws all parameters by their names; returns them in order."""
    parameters = dict(sorted(model.named_parameters()))
    for name, value in parameters.items():
        value.data = parameter(name, tuple(value.shape)).double()
    return parameters


def traces(parameters):
    gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters.values()]
    dots = [(g * centred(f"probe.{name}", tuple(g.shape))).sum() for name, g in zip(parameters, gradients)]
    return {"norms": torch.stack([g.norm() for g in gradients]), "dots": torch.stack(dots)}


def weighed(name, value):
    return (centred(f"c.{name}", tuple(value.shape)) * value).sum()


def settings(model, parameters, size):
    config = {key: value for key, value in json.loads(model.to_json_string()).items() if key != "_name_or_path"}
    shapes = {name: list(value.shape) for name, value in parameters.items()}
    return strings({"config": config, "shapes": shapes, "size": size})


def write_kl(name, options):
    levels = len(options["block_out_channels"])
    options |= {"down_block_types": ["DownEncoderBlock2D"] * levels, "up_block_types": ["UpDecoderBlock2D"] * levels}
    model = AutoencoderKL(**options).double()
    parameters = fill(model)
    config, (height, width) = model.config, SIZES[name]
    pictures = centred("pictures", (2, config.in_channels, height, width))
    posterior = model.encode(pictures).latent_dist
    noise = centred("noise", tuple(posterior.mean.shape))
    output = model.decode(posterior.mean + posterior.std * noise).sample
    (weighed("output", output) + weighed("mean", posterior.mean) + weighed("variance", posterior.logvar)).backward()
    with torch.no_grad():
        shift = config.shift_factor or 0
        latents = centred("latents", (1, config.latent_channels, *TILED))
        z = latents / config.scaling_factor + shift
        decoded = model.decode(z).sample
        model.use_tiling, model.tile_latent_min_size = True, 4
        model.tile_sample_min_size = 4 * 2 ** (levels - 1)
        tiled = model.decode(z).sample
        tiled_means = model.encode(decoded).latent_dist.mean
    tensors = {
        "output": output, "mean": posterior.mean, "variance": posterior.logvar,
        "encoded": (posterior.mean - shift) * config.scaling_factor, "decoded": decoded[..., ::4, ::4], "tiled": tiled,
        "tiled_encoded": (tiled_means - shift) * config.scaling_factor,
    } | traces(parameters)
    save(f"autoencoder/{name}", tensors, settings(model, parameters, SIZES[name]))
    print(f"  tiles change the picture by {((tiled - decoded).abs().max() / decoded.abs().max()).item():.2f}")


def write_tiny(name, options):
    levels = len(options.get("num_encoder_blocks", (1, 3, 3, 3)))
    widths = {"encoder_block_out_channels": (4,) * levels, "decoder_block_out_channels": (4,) * levels}
    model = AutoencoderTiny(**(options | widths)).double()
    parameters = fill(model)
    pictures = centred("pictures", (2, 3, *SIZES[name]))
    latents = model.encode(pictures).latents
    output = model.decode(latents).sample
    (weighed("output", output) + weighed("mean", latents)).backward()
    tensors = {"output": output, "mean": latents} | traces(parameters)
    save(f"autoencoder/{name}", tensors, settings(model, parameters, SIZES[name]))


if __name__ == "__main__":
    torch.set_num_threads(1)
    logging.set_verbosity_error()
    for name, options in KLS.items():
        write_kl(name, options)
    for name, options in TINIES.items():
        write_tiny(name, options)
