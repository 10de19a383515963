"""Writes Tests/Fixtures/pictures: small pictures and arrays in every form that Riffle reads, with what PIL makes of them.

    python3 -m venv venv
    venv/bin/pip install pillow numpy
    venv/bin/python scripts/make_picture_fixtures.py

The files kept in the repository were written with Pillow 13.0.0 (libjpeg-turbo 3.2.0, libwebp 1.6.0) and NumPy 2.4.6.
In `expected.npz`, `NAME` is the picture as PIL decodes, turns and converts it, and `FILTER.WIDTHxHEIGHT` what PIL's
`resize` makes of photo.png.
"""

import gzip
import io
import json
import struct
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

FOLDER = Path(__file__).resolve().parent.parent / "Tests" / "Fixtures" / "pictures"
FILTERS = {
    "box": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
SIZES = [(12, 12), (33, 20), (7, 40), (64, 48), (1, 1)]


def photo(width, height, shift=0):
    """A picture with gradients, edges and a little noise."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    noise = np.random.default_rng(shift).normal(0, 6, (height, width, 3))
    waves = np.stack([np.sin(x / 5 + shift), np.cos(y / 4), np.sin((x + y) / 6)], -1)
    squares = np.where((x // 7 + y // 5) % 2 == 0, 50, -50)[..., None]
    return np.clip(128 + 70 * waves + squares + noise, 0, 255).astype(np.uint8)


def save(name, image, **options):
    image.save(FOLDER / name, **options)
    return name


def decoded(name, mode):
    """What PIL reads, turned as EXIF says."""
    return np.asarray(ImageOps.exif_transpose(Image.open(FOLDER / name)).convert(mode))


def safetensors(path, arrays, metadata=None):
    header, blobs, end = {"__metadata__": metadata or {}}, [], 0
    for key in sorted(arrays, key=lambda key: (-arrays[key].itemsize, key)):
        array = arrays[key]
        kind = {"float32": "F32", "int32": "I32", "float16": "F16"}[array.dtype.name]
        header[key] = {"dtype": kind, "shape": list(array.shape), "data_offsets": [end, end + array.nbytes]}
        end += array.nbytes
        blobs.append(array.tobytes())
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(len(text).to_bytes(8, "little") + text + b"".join(blobs))


def kinds():
    """Pictures of every kind, and the mode in which PIL's reading is expected."""
    rgb = Image.fromarray(photo(24, 18))
    alpha = np.tile(np.linspace(0, 255, 24).astype(np.uint8), (18, 1))
    rgba = rgb.copy()
    rgba.putalpha(Image.fromarray(alpha))
    yield save("grey.jpg", rgb.convert("L")), "L"
    yield save("rgb.jpg", rgb), "RGB"
    yield save("whole.jpg", rgb, subsampling=0, quality=95), "RGB"
    yield save("half.jpg", rgb, subsampling=1), "RGB"
    yield save("progressive.jpg", rgb, progressive=True), "RGB"
    yield save("inks.jpg", rgb.convert("CMYK")), "RGB"
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        yield save(f"turned{orientation}.jpg", rgb, exif=exif), "RGB"
    exif[0x0112] = 6
    yield save("turned6.png", rgb, exif=exif), "RGB"
    yield save("turned6.webp", rgb, exif=exif), "RGB"
    yield save("lossy.webp", rgb, quality=80), "RGB"
    yield save("lossless.webp", rgb, lossless=True), "RGB"
    yield save("alpha.webp", rgba, quality=80), "RGBA"
    yield save("grey.png", rgb.convert("L")), "L"
    yield save("grey1.png", rgb.convert("1")), "L"
    yield save("palette.png", rgb.quantize(16)), "RGB"
    yield save("palette-alpha.png", rgba.quantize(16)), "RGBA"
    yield save("grey-alpha.png", rgba.convert("LA")), "LA"
    yield save("rgba.png", rgba), "RGBA"
    yield save("photo.png", Image.fromarray(photo(40, 32, 2))), "RGB"


def resized():
    image = Image.open(FOLDER / "photo.png")
    for word, kernel in FILTERS.items():
        for size in SIZES:
            yield f"{word}.{size[0]}x{size[1]}", np.asarray(image.resize(size, kernel))
    rgba = Image.open(FOLDER / "rgba.png")
    yield "alpha.10x9", np.asarray(rgba.resize((10, 9), Image.Resampling.LANCZOS))
    floats = Image.fromarray(np.asarray(image.convert("L")).astype(np.float32) / 127.5 - 1)
    yield "floats.13x11", np.asarray(floats.resize((13, 11), Image.Resampling.BICUBIC)).astype(np.float32)


def arrays():
    pictures = np.stack([photo(10, 8, i) for i in range(6)])
    labels = np.array([0, 1, 2, 2, 1, 0], np.int64)
    np.savez(FOLDER / "stored.npz", arr_0=pictures, arr_1=labels)
    np.savez_compressed(FOLDER / "deflated.npz", arr_0=pictures, arr_1=labels)
    np.save(FOLDER / "floats.npy", (pictures.astype(np.float32) / 127.5 - 1).transpose(0, 3, 1, 2).copy())
    digits = np.stack([np.asarray(Image.fromarray(p).convert("L")) for p in pictures])
    images = struct.pack(">IIII", 0x803, *digits.shape) + digits.tobytes()
    marks = struct.pack(">II", 0x801, len(labels)) + labels.astype(np.uint8).tobytes()
    (FOLDER / "t10k-images-idx3-ubyte").write_bytes(images)
    (FOLDER / "t10k-labels-idx1-ubyte").write_bytes(marks)
    (FOLDER / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(images, mtime=0))
    (FOLDER / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(marks, mtime=0))
    latents = np.random.default_rng(1).normal(0, 1, (5, 4, 4, 2))
    safetensors(
        FOLDER / "latents.safetensors",
        {
            "x": latents.astype(np.float16),
            "tokens": latents.reshape(5, 4, 8).astype(np.float32),
            "summary": latents.reshape(5, 32)[:, :3].astype(np.float32),
        },
    )
    return pictures, digits


def archive(pictures):
    """A set as EDM's dataset_tool writes it."""
    names = [f"00000/img{i:08d}.png" for i in range(len(pictures))]
    with zipfile.ZipFile(FOLDER / "edm.zip", "w", zipfile.ZIP_STORED) as file:
        for name, picture in zip(names, pictures[:, :, :8]):
            data = io.BytesIO()
            Image.fromarray(picture).save(data, "png")
            file.writestr(zipfile.ZipInfo(name, (2000, 1, 1, 0, 0, 0)), data.getvalue())
        labels = json.dumps({"labels": [[name, i % 3] for i, name in enumerate(names)]})
        file.writestr(zipfile.ZipInfo("dataset.json", (2000, 1, 1, 0, 0, 0)), labels)


def main():
    FOLDER.mkdir(parents=True, exist_ok=True)
    expected, modes = {}, {}
    for name, mode in kinds():
        expected[name] = np.atleast_3d(decoded(name, mode))
    for name, array in resized():
        expected[name] = array
    pictures, digits = arrays()
    archive(pictures)
    np.savez_compressed(FOLDER / "expected.npz", pictures=pictures, digits=digits, **expected)
    files = sorted(FOLDER.iterdir())
    print(f"{len(files)} files, {sum(file.stat().st_size for file in files)} bytes")


if __name__ == "__main__":
    main()
