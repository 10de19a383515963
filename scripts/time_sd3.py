#!/usr/bin/env python3
"""Times Stable Diffusion 3 at its true size, by Riffle and by diffusers, on one machine in one run.

    python3 -m venv venv && venv/bin/pip install torch numpy diffusers transformers
    venv/bin/python scripts/time_sd3.py RIFFLE FOLDER [--rounds 3] [--side 512]

FOLDER gets a random pipeline of the sizes of Stable Diffusion 3 medium without T5, as bfloat16 in shards (6 GB), unless
it is there already. Each row of the table is a process of its own, which loads the network, evaluates it and decodes
latents; files are read once before, so that all processes find them in memory. "peak" is the most memory that the
process had, and "when read" the most that Riffle's tensors had once the network was read, over the weights' bytes. Both
answer for the same noise, time and text; "off by" is the relative distance of a velocity from diffusers' in float32.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

LENGTH, WIDTH, SUMMARY, CHANNELS = 333, 4096, 2048, 16
SHARD = 2 << 30
TRANSFORMER = dict(
    sample_size=128, patch_size=2, in_channels=16, out_channels=16, num_layers=24, attention_head_dim=64,
    num_attention_heads=24, joint_attention_dim=WIDTH, caption_projection_dim=1536, pooled_projection_dim=SUMMARY,
    pos_embed_max_size=192)
VAE = dict(
    latent_channels=CHANNELS, block_out_channels=(128, 256, 512, 512), layers_per_block=2, sample_size=1024,
    scaling_factor=1.5305, shift_factor=0.0609, use_quant_conv=False, use_post_quant_conv=False,
    down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4)
CLIPS = {
    "text_encoder": dict(hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12,
                         hidden_act="quick_gelu", projection_dim=768),
    "text_encoder_2": dict(hidden_size=1280, intermediate_size=5120, num_hidden_layers=32, num_attention_heads=20,
                           hidden_act="gelu", projection_dim=1280),
}

SCRIPT = """
local riffle = require "riffle"
local args = riffle.args { folder = "", storage = "float32", inputs = "", result = "", rounds = 3, side = 512 }
local clock, model = riffle.clock, riffle.sd3(args.folder, { storage = args.storage })
local function least(fn)
  local best, value = math.huge, nil
  for _ = 1, args.rounds do
    local start = clock()
    value = fn()
    best = math.min(best, clock() - start)
  end
  return best, value
end
local start = clock()
local net = model.network
local load = clock() - start
local weights = riffle.memory.stats().peak
local given = riffle.data.load(args.inputs)
local x = given.noise:permute { 1, 3, 4, 2 }
local evaluation, velocity = least(function()
  return riffle.no_grad(function() return net(x, given.time, given.tokens, given.summary) end)
end)
local autoencoder = model.autoencoder
local decode = least(function() return riffle.no_grad(function() return model:decode(x) end) end)
riffle.data.save(args.result, { velocity = velocity:permute { 1, 4, 2, 3 } })
print(([[{"load": %g, "evaluate": %g, "decode": %g, "weights": %d}]]):format(load, evaluation, decode, weights))
"""


# MARK: - The pipeline

def random_weights(names_and_shapes, folder, stem, seed):
    """Writes bfloat16 weights in shards with their index, one shard in memory at a time."""
    import torch
    from safetensors.torch import save_file

    generator = torch.Generator().manual_seed(seed)
    shards, size = [[]], 0
    for name, shape in names_and_shapes:
        count = 2 * torch.Size(shape).numel()
        if size + count > SHARD:
            shards.append([])
            size = 0
        shards[-1].append((name, shape))
        size += count
    index = {}
    for number, shard in enumerate(shards, 1):
        tensors = {}
        for name, shape in shard:
            # Small enough for a signal to stay finite in every layer; norms' weights are near 1.
            scale = 0.5 / max(1, torch.Size(shape[1:]).numel()) ** 0.5 if len(shape) > 1 else 0.02
            middle = 1.0 if len(shape) == 1 and "norm" in name and name.endswith("weight") else 0.0
            noise = torch.empty(shape, dtype=torch.bfloat16)
            tensors[name] = noise.normal_(0, 1, generator=generator).mul_(scale).add_(middle)
        file = f"{stem}.safetensors" if len(shards) == 1 else f"{stem}-{number:05}-of-{len(shards):05}.safetensors"
        save_file(tensors, folder / file, metadata={"format": "pt"})
        index |= dict.fromkeys(tensors, file)
    if len(shards) > 1:
        (folder / f"{stem}.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": index}))


def vocabulary(folder, pad):
    """CLIP's tokens by number, of which the merges are any: bytes, bytes at the ends of words, pairs of them."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in printable]
    letters = [chr(byte) for byte in printable] + [chr(256 + number) for number in range(len(others))]
    ends = [letter + "</w>" for letter in letters]
    merges = [(a, b) for a in letters for b in ends][:49408 - 514]
    tokens = letters + ends + [a + b for a, b in merges] + ["<|startoftext|>", "<|endoftext|>"]
    folder.mkdir()
    (folder / "vocab.json").write_text(json.dumps({token: number for number, token in enumerate(tokens)}))
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2"] + [" ".join(pair) for pair in merges]) + "\n")
    special = {"bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>", "unk_token": "<|endoftext|>",
               "pad_token": pad, "model_max_length": 77, "tokenizer_class": "CLIPTokenizer"}
    (folder / "tokenizer_config.json").write_text(json.dumps(special))


def make(folder):
    import torch
    from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, SD3Transformer2DModel
    from transformers import CLIPTextConfig, CLIPTextModelWithProjection

    folder.mkdir(parents=True)
    libraries = {"scheduler": ("diffusers", "FlowMatchEulerDiscreteScheduler"), "vae": ("diffusers", "AutoencoderKL"),
                 "transformer": ("diffusers", "SD3Transformer2DModel")}
    with torch.device("meta"):
        parts = {"transformer": SD3Transformer2DModel(**TRANSFORMER), "vae": AutoencoderKL(**VAE)}
        for part, sizes in CLIPS.items():
            config = CLIPTextConfig(vocab_size=49408, max_position_embeddings=77, eos_token_id=2, **sizes)
            parts[part] = CLIPTextModelWithProjection(config)
    for number, (part, model) in enumerate(parts.items()):
        inside = folder / part
        inside.mkdir()
        if part in CLIPS:
            model.config.save_pretrained(inside)
        else:
            model.save_config(inside)
        names = [(name, tuple(value.shape)) for name, value in model.state_dict().items()
                 if not name.endswith("position_ids")]
        random_weights(names, inside, "model" if part in CLIPS else "diffusion_pytorch_model", number)
        print(f"{part}: {sum(value.numel() for value in model.parameters()):,} parameters", file=sys.stderr)
    for part, pad in (("tokenizer", "<|endoftext|>"), ("tokenizer_2", "!")):
        vocabulary(folder / part, pad)
        libraries[part] = ("transformers", "CLIPTokenizer")
    for part in CLIPS:
        libraries[part] = ("transformers", "CLIPTextModelWithProjection")
    FlowMatchEulerDiscreteScheduler(shift=3.0).save_pretrained(folder / "scheduler")
    index = {"_class_name": "StableDiffusion3Pipeline", "_diffusers_version": "0.42.1",
             "text_encoder_3": [None, None], "tokenizer_3": [None, None]} | {k: list(v) for k, v in libraries.items()}
    (folder / "model_index.json").write_text(json.dumps(index, indent=2))


# MARK: - Timing

def least(rounds, body):
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        value = body()
        times.append(time.perf_counter() - start)
    return min(times), value


def time_diffusers(options):
    """One process of diffusers; prints what it measured."""
    import torch
    from diffusers import AutoencoderKL, SD3Transformer2DModel
    from safetensors.torch import load_file, save_file

    torch.set_num_threads(os.cpu_count())
    dtype = getattr(torch, options.dtype)
    given = {name: value.to(dtype) for name, value in load_file(options.inputs).items()}
    with torch.inference_mode():
        start = time.perf_counter()
        net = SD3Transformer2DModel.from_pretrained(options.folder, subfolder="transformer", torch_dtype=dtype)
        net.eval()
        # Weights that are mapped are read when they are touched.
        total = sum(value.float().sum().item() for value in net.parameters())
        load = time.perf_counter() - start
        noisy = 1000 * (1 - given["time"])
        evaluate, answer = least(options.rounds, lambda: net(
            hidden_states=given["noise"], timestep=noisy, encoder_hidden_states=given["tokens"],
            pooled_projections=given["summary"], return_dict=False)[0])
        save_file({"velocity": -answer.float().contiguous()}, options.result)
        vae = AutoencoderKL.from_pretrained(options.folder, subfolder="vae", torch_dtype=dtype).eval()
        latents = given["noise"] / vae.config.scaling_factor + vae.config.shift_factor
        decode, _ = least(options.rounds, lambda: vae.decode(latents, return_dict=False)[0])
    print(json.dumps({"load": load, "evaluate": evaluate, "decode": decode, "sum": total}))


def run(command):
    """The last line that a process printed, as JSON, with the most memory that it had."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    lines = process.stdout.read().strip().splitlines()
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        raise SystemExit(f"{command[0]} failed")
    return json.loads(lines[-1]) | {"memory": usage.ru_maxrss * 1024}


def inputs(path, side):
    import torch
    from safetensors.torch import save_file

    generator = torch.Generator().manual_seed(7)
    def normal(*shape):
        return torch.randn(shape, generator=generator)
    save_file({"noise": normal(1, CHANNELS, side // 8, side // 8), "time": torch.tensor([0.3]),
               "tokens": normal(1, LENGTH, WIDTH), "summary": normal(1, SUMMARY)}, path)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("riffle")
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--dtype", help=argparse.SUPPRESS)
    parser.add_argument("--inputs", help=argparse.SUPPRESS)
    parser.add_argument("--result", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.dtype:
        return time_diffusers(options)
    if not (options.folder / "model_index.json").exists():
        make(options.folder)
    weights = sum(path.stat().st_size for path in (options.folder / "transformer").glob("*.safetensors"))
    print(f"the network's files: {weights / 1e9:.2f} GB of bfloat16")
    for path in options.folder.rglob("*.safetensors"):
        with open(path, "rb") as file:
            while file.read(1 << 26):
                pass
    with tempfile.TemporaryDirectory() as name:
        scratch = pathlib.Path(name)
        given, script = scratch / "inputs.safetensors", scratch / "time.lua"
        inputs(given, options.side)
        script.write_text(SCRIPT)
        rows = {}
        for dtype in ("float32", "bfloat16"):
            for who in ("riffle", "diffusers"):
                result = scratch / f"{who}-{dtype}.safetensors"
                shared = ["--inputs", str(given), "--result", str(result), "--rounds", str(options.rounds)]
                command = [options.riffle, str(script), "--folder", str(options.folder), "--storage", dtype,
                           "--side", str(options.side), *shared] if who == "riffle" else [
                    sys.executable, __file__, options.riffle, str(options.folder), "--dtype", dtype, *shared]
                rows[who, dtype] = run(command)
        table(rows, scratch, 2 * weights)


def table(rows, scratch, weights):
    from safetensors.torch import load_file

    exact = load_file(scratch / "diffusers-float32.safetensors")["velocity"].double()
    print(f"{'':20}{'load s':>9}{'peak GB':>9}{'when read':>11}{'evaluate s':>11}{'decode s':>9}{'off by':>10}")
    for (who, dtype), row in rows.items():
        answer = load_file(scratch / f"{who}-{dtype}.safetensors")["velocity"].double()
        off = ((answer - exact).norm() / exact.norm()).item()
        own = weights if dtype == "float32" else weights / 2
        read = f"{row['weights'] / own:.2f}" if "weights" in row else ""
        print(f"{who + ' ' + dtype:20}{row['load']:9.2f}{row['memory'] / 1e9:9.2f}"
              f"{read:>11}"
              f"{row['evaluate']:11.2f}{row['decode']:9.2f}{off:10.1e}")
    for dtype in ("float32", "bfloat16"):
        ours, theirs = rows["riffle", dtype], rows["diffusers", dtype]
        ratios = ", ".join(f"{key} {theirs[key] / ours[key]:.2f}" for key in ("load", "memory", "evaluate", "decode"))
        print(f"diffusers' {dtype} over Riffle's: {ratios}")


if __name__ == "__main__":
    main()
