"""Writes Tests/Fixtures/encoder-*.safetensors: what transformers' text encoders make of random tokens.

    python3 -m venv venv
    venv/bin/pip install torch numpy transformers
    venv/bin/python scripts/make_encoder_fixtures.py

The files kept in the repository were written with torch 2.15.0 and transformers 5.24.0, in float64. Weights are drawn
by their names (numbers_by_name.py). Of gradients, which are those of sum(c * output) over all outputs, the files hold
the norm and the product with a drawn direction.
"""

from contextlib import contextmanager
from unittest.mock import patch

import torch
from transformers import CLIPTextConfig, CLIPTextModelWithProjection, T5Config, T5EncoderModel
from transformers.models.t5 import modeling_t5
from transformers.utils import logging

from fixture_file import save, strings
from numbers_by_name import centred, draw, parameter

CLIPS = {
    "clip-quick": dict(vocabulary=40, width=24, depth=3, heads=3, length=12, feed_forward=40, activation="quick_gelu",
                       projection=10, end_token=None, ends=[39, 39, 39]),
    "clip-gelu": dict(vocabulary=30, width=16, depth=2, heads=4, length=9, feed_forward=None, activation="gelu",
                      projection=None, end_token=21, ends=[20, 20, None]),
}
T5S = {
    "t5": dict(vocabulary=30, width=16, depth=3, heads=3, head_width=4, feed_forward=20, lengths=[2, 9]),
    "t5-long": dict(vocabulary=20, width=8, depth=1, heads=2, head_width=4, feed_forward=8, lengths=[1, 150]),
}


class PlainNorm(modeling_t5.T5LayerNorm):
    """T5's norm, without its float32."""

    def forward(self, x):
        return self.weight * x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.variance_epsilon)


@contextmanager
def in_double():
    with patch.object(torch.Tensor, "float", torch.Tensor.double), patch.object(modeling_t5, "T5LayerNorm", PlainNorm):
        yield


def fill(model, names=lambda name: name):
    """Draws all parameters by the names that files have; returns the names."""
    model.double()
    parameters = {names(name): value for name, value in model.named_parameters()}
    with torch.no_grad():
        for name, value in parameters.items():
            value.copy_(parameter(name, tuple(value.shape)))
    return parameters


def written(name, model, parameters, ids, outputs, settings):
    loss = sum((centred(f"c.{key}", tuple(value.shape)) * value).sum() for key, value in outputs.items())
    loss.backward()
    order = sorted(parameters)
    gradients = [torch.zeros_like(parameters[key]) if parameters[key].grad is None else parameters[key].grad
                 for key in order]
    dots = [(gradient * centred(f"probe.{key}", tuple(gradient.shape))).sum() for key, gradient in zip(order, gradients)]
    tensors = {"ids": ids} | outputs | {
        "norms": torch.stack([gradient.norm() for gradient in gradients]), "dots": torch.stack(dots)}
    save(f"encoder-{name}", tensors, strings(settings | {"names": order}))


def write_clip(name, settings):
    settings = dict(settings)
    ends = settings.pop("ends")
    config = CLIPTextConfig(
        vocab_size=settings["vocabulary"], hidden_size=settings["width"], num_hidden_layers=settings["depth"],
        num_attention_heads=settings["heads"], max_position_embeddings=settings["length"],
        intermediate_size=settings["feed_forward"] or 4 * settings["width"], hidden_act=settings["activation"],
        projection_dim=settings["projection"] or 4, pad_token_id=None, bos_token_id=None,
        eos_token_id=2 if settings["end_token"] is None else settings["end_token"] - 1, attn_implementation="sdpa")
    model = CLIPTextModelWithProjection(config)
    parameters = fill(model)
    ids = (draw(f"{name}.ids", (len(ends), settings["length"])) * (settings["vocabulary"] - 2)).long()
    # Padded with the end, with 0, and whole or without an end.
    for row, end in enumerate(ends):
        if end is not None:
            ids[row] = torch.where(ids[row] == end, 1, ids[row])
            ids[row, 3 + 2 * row] = end
            ids[row, 4 + 2 * row :] = end if row == 0 else 0
    result = model(ids, output_hidden_states=True)
    pooled = model.text_model(ids).pooler_output
    outputs = {"tokens": result.hidden_states[-2], "summary": result.text_embeds if settings["projection"] else pooled}
    if settings["projection"] is None:
        parameters.pop("text_projection.weight")
    written(name, model, parameters, ids, outputs, settings)


def write_t5(name, settings):
    settings = dict(settings)
    lengths = settings.pop("lengths")
    config = T5Config(
        vocab_size=settings["vocabulary"], d_model=settings["width"], num_layers=settings["depth"],
        num_heads=settings["heads"], d_kv=settings["head_width"], d_ff=settings["feed_forward"], dropout_rate=0,
        feed_forward_proj="gated-gelu", attn_implementation="eager")
    with in_double():
        model = T5EncoderModel(config)
        parameters = fill(model)
        ids = (draw(f"{name}.ids", tuple(lengths)) * settings["vocabulary"]).long()
        ids[-1, 3:7] = 0
        outputs = {"tokens": model(ids).last_hidden_state}
        written(name, model, parameters, ids, outputs, settings)


if __name__ == "__main__":
    torch.set_num_threads(1)
    logging.set_verbosity_error()
    for name, settings in CLIPS.items():
        write_clip(name, settings)
    for name, settings in T5S.items():
        write_t5(name, settings)
