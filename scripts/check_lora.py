#!/usr/bin/env python3
"""Compares adapters of low rank with PEFT's, and their files in both directions.

    python3 -m venv venv && venv/bin/pip install torch peft
    venv/bin/python scripts/check_lora.py                    # writes Tests/Fixtures/lora
    venv/bin/python scripts/check_lora.py RIFFLE             # compares what RIFFLE and PEFT make of each other's files

The networks are a DiT and one of convolutions, strided and with a kernel that is not square. Weights are drawn from
their names, as tests draw them (numbers_by_name.py); those of adapters too, so that no B is zero.
"""

import json
import math
import pathlib
import shutil
import subprocess
import sys
import tempfile

import peft
import torch
import torch.nn as nn
from safetensors.torch import load_file, save_file

from numbers_by_name import draw
from reference_dit import DiT

FOLDER = pathlib.Path(__file__).resolve().parent.parent / "Tests" / "Fixtures" / "lora"
SIZES = dict(image=(4, 8, 2), patch=2, width=16, depth=1, heads=2)
LAYERS = ["qkv", "proj", "fc1", "fc2", "linear", "adaLN_modulation.1"]
CONFIG = dict(r=2, lora_alpha=3, target_modules=LAYERS)
# Layers with a rank and an alpha of their own; the first is a convolution.
PATTERNS = dict(rank_pattern={"x_embedder.proj": 3}, alpha_pattern={"x_embedder.proj": 5, "fc1": 1})


def fill(model):
    """Sets every parameter to numbers drawn from its name."""
    for name, p in model.named_parameters():
        if not p.requires_grad:
            continue  # fixed positions
        if p.dim() > 1:
            value = math.sqrt(3 / math.prod(p.shape[1:])) * (2 * draw(name, p.shape) - 1)
        else:
            value = (1 if name.endswith(".weight") else 0) + 0.2 * (2 * draw(name, p.shape) - 1)
        p.data = value.float()
    return model.float()


def fill_adapters(model):
    for name, p in model.named_parameters():
        if "lora_" in name:
            p.data = (math.sqrt(3 / math.prod(p.shape[1:])) * (2 * draw(name, p.shape) - 1)).float()
    return model.eval()


class Convolutions(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.second = nn.Conv2d(8, 12, (3, 5), stride=2, padding=(1, 2))
        self.narrow = nn.Conv2d(12, 6, 1)
        self.head = nn.Linear(6, 4)

    def forward(self, x):
        h = self.narrow(nn.functional.silu(self.second(nn.functional.silu(self.first(x)))))
        return self.head(h.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def images(name, *shape):
    return (2 * draw(name, shape) - 1).float()


def plain(file, tensors):
    save_file({name: tensor.detach().contiguous() for name, tensor in tensors.items()}, str(file))


def write_fixture():
    """A folder of PEFT's, and what the network with these adapters answers, computed in float64."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    model = fill_adapters(peft.get_peft_model(fill(DiT(**SIZES)), peft.LoraConfig(**CONFIG, **PATTERNS)))
    model.save_pretrained(FOLDER)
    (FOLDER / "README.md").unlink(missing_ok=True)
    config = json.loads((FOLDER / "adapter_config.json").read_text())
    config["target_modules"].sort()
    (FOLDER / "adapter_config.json").write_text(json.dumps(config, indent=2) + "\n")
    x, s = images("input.x", 2, 2, 4, 8), draw("input.s", (2,)).float()
    output = model.double()(x.double(), s.double()).float()
    plain(FOLDER / "answer.safetensors", {"x": x, "s": s, "output": output})
    print(*(f"{path.name}: {path.stat().st_size} bytes" for path in sorted(FOLDER.iterdir())), sep="\n")


SCRIPT = """
local riffle = require "riffle"
local nn, data = riffle.nn, riffle.data
local folder = %r
local function dit() return nn.dit { image = { 4, 8, 2 }, patch = 2, width = 16, depth = 1, heads = 2 } end
local function convolutions()
  return nn.module {
    first = nn.conv2d(3, 8), second = nn.conv2d(8, 12, { kernel = { 3, 5 }, stride = 2 }),
    narrow = nn.conv2d(12, 6, { kernel = 1 }), head = nn.linear(6, 4),
    forward = function(self, x) return self.head(self.narrow(self.second(self.first(x):silu()):silu())) end,
  }
end
local inputs = data.load(folder .. "/inputs.safetensors")
local function answer(name, net)
  local x = inputs[name .. ".x"]:permute(1, 3, 4, 2)
  local y = name == "dit" and net(x, inputs.s) or net(x)
  return y:permute(1, 4, 2, 3)
end
local answers = {}
for name, make in pairs { dit = dit, convolutions = convolutions } do
  local base = make():load(folder .. "/" .. name .. ".safetensors")
  for _, from in ipairs { "peft", "old" } do
    local source = folder .. "/" .. name .. "-" .. from .. (from == "old" and ".safetensors" or "")
    local net = base:lora { from = source }
    answers[name .. "." .. from] = answer(name, net)
    answers[name .. "." .. from .. ".merged"] = answer(name, net:merge_lora())
  end
  local own = base:lora { rank = 2, alpha = 3, train = name == "dit" and { "t_embedder.mlp.2" } or { "head" } }
  for _, p in pairs(own:parameters()) do
    if p.trainable then p:assign(riffle.randn(table.unpack(p:shape())) * 0.2) end
  end
  os.execute("mkdir -p " .. folder .. "/" .. name .. "-riffle")
  own:save(folder .. "/" .. name .. "-riffle/adapter_model.safetensors")
  answers[name .. ".riffle"] = answer(name, own)
end
data.save(folder .. "/answers.safetensors", answers)
"""


def old_names(folder, alpha):
    """The same adapters as diffusers wrote them: other names, and each layer's alpha as a tensor."""
    tensors = {}
    for name, tensor in load_file(str(folder / "adapter_model.safetensors")).items():
        layer, part, _ = name.removeprefix("base_model.model.").rsplit(".", 2)
        tensors[f"transformer.{layer}.lora.{'down' if part == 'lora_A' else 'up'}.weight"] = tensor
        tensors[f"transformer.{layer}.alpha"] = torch.tensor(float(alpha(layer)))
    return tensors


def compare(riffle):
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch)
        x = {"dit": images("input.x", 2, 2, 4, 8), "convolutions": images("input.image", 2, 3, 9, 8)}
        s = draw("input.s", (2,)).float()
        plain(folder / "inputs.safetensors", {f"{name}.x": value for name, value in x.items()} | {"s": s})
        makes = {"dit": lambda: DiT(**SIZES), "convolutions": Convolutions}
        configs = {
            "dit": CONFIG | PATTERNS,
            "convolutions": dict(
                r=2, lora_alpha=3, use_rslora=True, target_modules=["first", "second", "narrow", "head"]),
        }
        alphas = {
            "dit": lambda layer: 5 if layer == "x_embedder.proj" else 1 if layer.endswith("fc1") else 3,
            "convolutions": lambda layer: 3 * math.sqrt(2),
        }
        wanted = {}
        with torch.no_grad():
            def answer(name, model):
                return model(x[name], s) if name == "dit" else model(x[name])

            for name, make in makes.items():
                base = fill(make())
                plain(folder / f"{name}.safetensors", base.state_dict())
                model = fill_adapters(peft.get_peft_model(base, peft.LoraConfig(**configs[name])))
                model.save_pretrained(folder / f"{name}-peft")
                plain(folder / f"{name}-old.safetensors", old_names(folder / f"{name}-peft", alphas[name]))
                for kind in ("peft", "peft.merged", "old", "old.merged"):
                    wanted[f"{name}.{kind}"] = answer(name, model)
            (folder / "run.lua").write_text(SCRIPT % str(folder))
            subprocess.run([riffle, folder / "run.lua"], check=True)
            for name, make in makes.items():
                model = peft.PeftModel.from_pretrained(fill(make()), folder / f"{name}-riffle").eval()
                wanted[f"{name}.riffle"] = answer(name, model)
        answers = load_file(str(folder / "answers.safetensors"))
        worst = 0.0
        for name, value in sorted(wanted.items()):
            off = ((answers[name] - value).abs().max() / value.abs().max()).item()
            print(f"{name}: off by {off:.1e} of the largest number")
            worst = max(worst, off)
        sys.exit(0 if worst < 1e-5 else "they differ")


if len(sys.argv) > 1:
    compare(sys.argv[1])
else:
    write_fixture()
