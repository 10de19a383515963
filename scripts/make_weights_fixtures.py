"""Writes the files of Tests/Fixtures that PyTorch and NumPy write and Riffle reads.

    python3 -m venv venv
    venv/bin/pip install torch numpy safetensors
    venv/bin/python scripts/make_weights_fixtures.py

The files kept in the repository were written with torch 2.15.0 and NumPy 2.4.6. `weights.safetensors` holds what the
PyTorch files hold, contiguous and in types that Riffle computes with.
"""

import argparse
from collections import OrderedDict
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

FOLDER = Path(__file__).resolve().parent.parent / "Tests" / "Fixtures"


def archive():
    """Deflated entries, whose sizes stand in fields of 64 bits."""
    words = np.arange(5000, dtype=np.int16) // 7
    np.savez_compressed(FOLDER / "archive.npz", words=words, labels=np.array([1, 2, 3], np.uint8))


def tensors():
    """One tensor of each type, and tensors that are views of a storage."""
    count = torch.arange(24, dtype=torch.float32)
    shared = count.reshape(4, 6) / 8
    values = OrderedDict()
    for name in ["float64", "float16", "bfloat16", "int8", "int16", "int32", "int64", "uint8"]:
        values[name] = (count[:6] - 2).abs().to(getattr(torch, name)).reshape(2, 3)
    values["bool"] = torch.tensor([True, False, True])
    values["uint16"] = torch.tensor([1, 2, 65535], dtype=torch.uint16)
    values["float8"] = torch.tensor([0.5, -448, 0.001953125]).to(torch.float8_e4m3fn)
    values["shared.whole"] = shared
    values["shared.rows"] = shared[1:3]
    values["shared.columns"] = shared[:, 2:5]
    values["shared.transposed"] = shared.t()
    values["shared.steps"] = shared[::2, 1::2]
    values["shared.expanded"] = shared[0, :1].expand(5)
    values["channels_last"] = count.reshape(1, 2, 3, 4).contiguous(memory_format=torch.channels_last)
    values["scalar"] = torch.tensor(0.25)
    values["none"] = torch.zeros(0, 3)
    return values


def readable(x):
    """The tensor that Riffle makes of it: float32, float64 or int32, in order."""
    if x.is_floating_point():
        return (x if x.dtype == torch.float64 else x.float()).contiguous().clone()
    return x.to(torch.int32).contiguous().clone()


def network():
    return torch.nn.Sequential(OrderedDict(first=torch.nn.Linear(2, 8), last=torch.nn.Linear(8, 2)))


def checkpoint():
    """What a training script keeps: two states of a network, its optimizer, settings and numbers."""
    torch.manual_seed(1)
    net, average = network(), torch.nn.Module()
    average.module = network()
    optimizer = torch.optim.Adam(net.parameters())
    net(torch.ones(3, 2)).sum().backward()
    optimizer.step()
    return {
        "net_model": net.state_dict(),
        "ema_model": average.state_dict(),
        "optim": optimizer.state_dict(),
        "args": argparse.Namespace(lr=1e-4, model="small", sizes=[2, 8]),
        "best": np.float64(0.5),
        "parameter": torch.nn.Parameter(torch.arange(3.0)),
        "size": torch.Size([2, 3]),
        "device": torch.device("cpu"),
        "step": 400000,
        "note": "caf\u00e9",
        "large": 2**80,
    }


def pytorch():
    values, whole = tensors(), checkpoint()
    forms = {"zip": {}, "older": {"_use_new_zipfile_serialization": False}, "protocol5": {"pickle_protocol": 5}}
    forms["older5"] = {**forms["older"], **forms["protocol5"]}
    for name, options in forms.items():
        torch.save(values, FOLDER / f"tensors-{name}.pt", **options)
        torch.save(whole, FOLDER / f"checkpoint-{name}.pt", **options)
    torch.save(torch.arange(3.0), FOLDER / "single.pt")
    # Small enough that a test can damage every bit.
    torch.save({"w": torch.arange(3.0, dtype=torch.bfloat16)}, FOLDER / "small.pt", **forms["older"])
    expected = {name: readable(x) for name, x in values.items()}
    for part in ["net_model", "ema_model"]:
        expected |= {f"{part}.{name}": readable(x) for name, x in whole[part].items()}
    save_file(expected, FOLDER / "weights.safetensors")


def small_floats():
    """Every value of the types of 8 bits, and what PyTorch makes of it."""
    names = ["float8_e5m2", "float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2fnuz", "float8_e8m0fnu"]
    values = {name: torch.arange(256, dtype=torch.uint8).view(getattr(torch, name)) for name in names}
    save_file(values | {f"{name}.expected": x.float() for name, x in values.items()}, FOLDER / "float8.safetensors")


if __name__ == "__main__":
    archive()
    small_floats()
    pytorch()
