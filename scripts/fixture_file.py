"""Files of Tests/Fixtures, as scripts write them."""

import json
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).resolve().parent.parent / "Tests" / "Fixtures"
KINDS = {"float32": "F32", "int64": "I64", "int32": "I32"}


def save(name, tensors, metadata):
    """Writes a safetensors file, which (unlike the package's own) comes out the same each time."""
    arrays = {key: np.asarray(value.detach().numpy()) for key, value in tensors.items()}
    arrays = {key: a.astype(np.float32) if a.dtype == np.float64 else a for key, a in arrays.items()}
    header, blobs, end = {"__metadata__": metadata}, [], 0
    for key in sorted(arrays, key=lambda key: (-arrays[key].itemsize, key)):
        array, start = arrays[key], end
        end += array.nbytes
        header[key] = {"dtype": KINDS[array.dtype.name], "shape": array.shape, "data_offsets": [start, end]}
        blobs.append(array.tobytes())
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path = FOLDER / f"{name}.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(len(text).to_bytes(8, "little") + text + b"".join(blobs))
    print(f"{path.name}: {len(arrays)} tensors, {path.stat().st_size} bytes")


def strings(settings):
    """Settings as safetensors metadata: strings as they are, the rest as JSON."""
    return {key: value if isinstance(value, str) else json.dumps(value) for key, value in settings.items()}
