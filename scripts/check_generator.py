#!/usr/bin/env python3
"""Compares a one-step generator's picture in Riffle with that of stock diffusers from the same folder.

    python3 -m venv venv && venv/bin/pip install torch diffusers transformers
    riffle examples run fgm_sd3 --tiny --out fgm-sd3
    venv/bin/python scripts/check_generator.py RIFFLE fgm-sd3

diffusers has no start of its own: the noise that it is given is that of the start, (1 - start) z, and its one step
begins at the sigma of which the scheduler's shift makes 1 - start.
"""

import json
import pathlib
import subprocess
import sys
import tempfile

import torch
from diffusers import StableDiffusion3Pipeline
from diffusers.utils import logging
from safetensors.torch import load_file

PROMPT, SIDE, LIMIT = "A red car, and 2 blue cats 🙂", 32, 1e-4
SCRIPT = """
local folder, out, prompt = ...
local sd3 = riffle.sd3(folder)
local side = tonumber(arg[4])
local noise = riffle.randn(sd3:latents(1, side, side))
local latents = riffle.flow.generate(sd3.network, noise, { labels = sd3:encode(prompt), start = sd3.start })
riffle.data.save(out, { noise = noise, picture = sd3:decode(latents) })
"""


def ours(riffle, folder):
    with tempfile.TemporaryDirectory() as scratch:
        script, out = pathlib.Path(scratch) / "make.lua", pathlib.Path(scratch) / "made.safetensors"
        script.write_text("local riffle = require 'riffle'\n" + SCRIPT)
        subprocess.run([riffle, script, folder, out, PROMPT, str(SIDE)], check=True)
        return {name: value.permute(0, 3, 1, 2) for name, value in load_file(out).items()}


def theirs(folder, noise):
    index = json.loads((folder / "model_index.json").read_text())
    # Of folders without T5 diffusers has to hear it.
    absent = {name: None for name in ("text_encoder_3", "tokenizer_3") if index[name] == [None, None]}
    pipe = StableDiffusion3Pipeline.from_pretrained(folder, torch_dtype=torch.float32, **absent)
    pipe.set_progress_bar_config(disable=True)
    start = index["_generator"]["start"]
    shift = pipe.scheduler.config.shift
    sigma = (1 - start) / (shift - (shift - 1) * (1 - start))
    pictures = pipe(PROMPT, latents=(1 - start) * noise, sigmas=[sigma], num_inference_steps=1, guidance_scale=1,
                    height=SIDE, width=SIDE, output_type="pt").images
    return 2 * pictures - 1


def main():
    riffle, folder = sys.argv[1], pathlib.Path(sys.argv[2])
    logging.set_verbosity_error()
    made = ours(riffle, folder)
    picture = theirs(folder, made["noise"])
    difference = (picture - made["picture"]).abs().max().item()
    seen = (picture.abs() < 1).float().mean().item()
    print(f"the pictures differ by {difference:.1e}, at most {LIMIT:.0e}; {seen:.2f} of the numbers are not clamped")
    sys.exit(difference > LIMIT)


if __name__ == "__main__":
    main()
