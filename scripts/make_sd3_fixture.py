"""Writes Tests/Fixtures/sd3: a tiny random pipeline of Stable Diffusion 3.5, and what diffusers makes of it.

    python3 -m venv venv
    venv/bin/pip install torch numpy diffusers transformers sentencepiece
    venv/bin/python scripts/make_sd3_fixture.py
    venv/bin/python scripts/make_sd3_fixture.py --variants
    venv/bin/python scripts/make_sd3_fixture.py --compare FOLDER

The files kept in the repository were written with torch 2.15.0, diffusers 0.42.1 and transformers 5.24.0. Weights are
drawn by their names (numbers_by_name.py); the transformer has them as bfloat16 in shards, the other parts as float16, and
diffusers computes in float32. Vocabularies are those of Tests/Fixtures/text.

sd3-variants holds pictures of 28 steps by folders whose transformer has the form of Stable Diffusion 3 medium, 3.5
medium and 3.5 large, in each of three types. The tests make the same folders: the transformer's weights drawn by name,
its table of positions and all other parts those of the fixture, then all of them in the type.

With --compare the script writes nothing: it loads a folder that `sd3:save` wrote, and says how far its picture is from
that of the fixture.
"""

import argparse
import shutil
import tempfile
from pathlib import Path

import torch
from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, SD3Transformer2DModel, StableDiffusion3Pipeline
from diffusers.utils import logging
from transformers import CLIPTextConfig, CLIPTextModelWithProjection, CLIPTokenizer, T5Config, T5EncoderModel
from transformers import T5Tokenizer
from transformers.utils import logging as transformers_logging

from fixture_file import FOLDER, save, strings
from numbers_by_name import centred, parameter

SD3, TEXT = FOLDER / "sd3", FOLDER / "text"
PROMPT, STEPS, GUIDANCE, SIDE = "Two red circles and a blue square, it's a photo", 4, 5.0, 16
CLIP_WIDTHS, T5_WIDTH, PROJECTION = (8, 12), 24, 6
VARIANTS = {
    "medium": {"num_layers": 2, "qk_norm": None, "dual_attention_layers": ()},
    "medium35": {"num_layers": 3, "qk_norm": "rms_norm", "dual_attention_layers": (0, 1)},
    "large35": {"num_layers": 4, "qk_norm": "rms_norm", "dual_attention_layers": (), "num_attention_heads": 4,
                "attention_head_dim": 4},
}
TYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
VARIANT_STEPS = 28


def fill(model, prefix):
    """Draws all parameters by their names, each part's by its own prefix."""
    with torch.no_grad():
        for name, value in model.named_parameters():
            value.copy_(parameter(f"{prefix}.{name}", tuple(value.shape)))
    return model


def clip(part, tokenizer, width, activation):
    config = CLIPTextConfig(
        vocab_size=len(tokenizer), hidden_size=width, intermediate_size=2 * width, num_hidden_layers=2,
        num_attention_heads=2, max_position_embeddings=77, hidden_act=activation, projection_dim=PROJECTION,
        eos_token_id=2, bos_token_id=0, pad_token_id=1)
    return fill(CLIPTextModelWithProjection(config), part).half()


def pipeline():
    tokenizers = [CLIPTokenizer.from_pretrained(TEXT / "pairs", model_max_length=77, pad_token=pad)
                  for pad in ("<|endoftext|>", "!")]
    t5_tokenizer = T5Tokenizer.from_pretrained(TEXT / "t5")
    t5_config = T5Config(
        vocab_size=len(t5_tokenizer) + 5, d_model=T5_WIDTH, d_kv=4, d_ff=20, num_layers=2, num_heads=3,
        feed_forward_proj="gated-gelu")
    transformer = SD3Transformer2DModel(
        sample_size=16, patch_size=2, in_channels=4, out_channels=4, num_layers=2, attention_head_dim=8,
        num_attention_heads=2, joint_attention_dim=T5_WIDTH, caption_projection_dim=16,
        pooled_projection_dim=2 * PROJECTION, pos_embed_max_size=16, dual_attention_layers=(0,), qk_norm="rms_norm")
    vae = AutoencoderKL(
        latent_channels=4, block_out_channels=[8, 8], layers_per_block=1, norm_num_groups=4, scaling_factor=1.5305,
        shift_factor=0.0609, use_quant_conv=False, use_post_quant_conv=False,
        down_block_types=["DownEncoderBlock2D"] * 2, up_block_types=["UpDecoderBlock2D"] * 2)
    return StableDiffusion3Pipeline(
        tokenizer=tokenizers[0], tokenizer_2=tokenizers[1], tokenizer_3=t5_tokenizer,
        text_encoder=clip("text_encoder", tokenizers[0], CLIP_WIDTHS[0], "quick_gelu"),
        text_encoder_2=clip("text_encoder_2", tokenizers[1], CLIP_WIDTHS[1], "gelu"),
        text_encoder_3=fill(T5EncoderModel(t5_config), "text_encoder_3").half(),
        transformer=fill(transformer, "transformer").bfloat16(), vae=fill(vae, "vae").half(),
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0))


def opened(folder):
    pipe = StableDiffusion3Pipeline.from_pretrained(folder, torch_dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def run(pipe, noise, steps, kind):
    return pipe(PROMPT, num_inference_steps=steps, guidance_scale=GUIDANCE, latents=noise.clone(), height=SIDE,
                width=SIDE, output_type=kind).images


def start():
    return centred("noise", (1, 4, SIDE // 2, SIDE // 2)).float()


def variants():
    """What diffusers makes of the folders that the tests write."""
    tensors = {"noise": start()}
    for variant, form in VARIANTS.items():
        for word, dtype in TYPES.items():
            pipe = opened(SD3)
            table = pipe.transformer.pos_embed.pos_embed
            config = dict(pipe.transformer.config) | form
            pipe.transformer = fill(SD3Transformer2DModel.from_config(config), "transformer")
            pipe.transformer.pos_embed.pos_embed.copy_(table)
            with tempfile.TemporaryDirectory() as folder, torch.no_grad():
                pipe.to(dtype).save_pretrained(Path(folder) / "sd3")
                pipe = opened(Path(folder) / "sd3")
                for kind in ("latent", "pt"):
                    result = run(pipe, tensors["noise"], VARIANT_STEPS, kind)
                    name = {"latent": "latents", "pt": "pictures"}[kind]
                    tensors[f"{variant}.{word}.{name}"] = 2 * result - 1 if kind == "pt" else result
    return tensors


def outputs(folder):
    pipe, noise = opened(folder), start()
    with torch.no_grad():
        tokens, _, summary, _ = pipe.encode_prompt(PROMPT, None, None, do_classifier_free_guidance=False)
        latents, pictures = run(pipe, noise, STEPS, "latent"), run(pipe, noise, STEPS, "pt")
        without = StableDiffusion3Pipeline(**(pipe.components | {"text_encoder_3": None, "tokenizer_3": None}))
        without_tokens, _, _, _ = without.encode_prompt(PROMPT, None, None, do_classifier_free_guidance=False)
    return {"noise": noise, "tokens": tokens[:, ::4], "summary": summary, "without": without_tokens[:, ::8],
            "latents": latents, "pictures": 2 * pictures - 1}


def write():
    """The folder, with the older files of two vocabularies, which are smaller."""
    shutil.rmtree(SD3, ignore_errors=True)
    pipe = pipeline()
    pipe.save_pretrained(SD3)
    shutil.rmtree(SD3 / "transformer")
    pipe.transformer.save_pretrained(SD3 / "transformer", max_shard_size="30KB")
    for part, source in (("tokenizer", "pairs"), ("tokenizer_3", "t5")):
        (SD3 / part / "tokenizer.json").unlink()
        for path in (TEXT / source).iterdir():
            if path.name != "tokenizer_config.json":
                shutil.copy(path, SD3 / part)
    for path in SD3.rglob("*"):
        if path.is_file():
            path.chmod(0o644)


if __name__ == "__main__":
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--compare")
    arguments.add_argument("--variants", action="store_true")
    options = arguments.parse_args()
    torch.set_num_threads(1)
    logging.set_verbosity_error()
    transformers_logging.set_verbosity_error()
    if options.compare:
        for name, value in outputs(options.compare).items():
            print(f"{name}: {(value - outputs(SD3)[name]).abs().max().item():.1e}")
    elif options.variants:
        forms = {variant: {**form, "dual_attention_layers": list(form["dual_attention_layers"])}
                 for variant, form in VARIANTS.items()}
        settings = {"prompt": PROMPT, "steps": VARIANT_STEPS, "guidance": GUIDANCE, **forms}
        save("sd3-variants", variants(), strings(settings))
    else:
        write()
        tensors = outputs(SD3)
        save("sd3-outputs", tensors, strings({"prompt": PROMPT, "steps": STEPS, "guidance": GUIDANCE}))
        seen = (tensors["pictures"].abs() < 1).float().mean().item()
        print(f"  {seen:.2f} of the pictures' numbers are not clamped")
