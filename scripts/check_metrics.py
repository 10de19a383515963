#!/usr/bin/env python3
"""Writes Tests/Fixtures/metrics: what the established tools make of small features and pictures, for Riffle's tests.

    python3 -m venv venv
    venv/bin/pip install torch torchvision pytorch-fid torch-fidelity clean-fid prdc
    venv/bin/python scripts/check_metrics.py

The files kept in the repository were written with torch 2.15.0, pytorch-fid 0.3.0, torch-fidelity 0.4.0, clean-fid
0.1.35, prdc 0.2, NumPy 2.4.6, SciPy 1.17.1 and Pillow 13.0.0. No network is run and no weights are needed: features are
random numbers, and the tools' own functions compute distances of them in float64. Where two tools give the same number,
the script compares them first.

`features.npz` holds features and numbers, `resized.npz` pictures, and `statistics-*.npz` statistics as pytorch-fid, EDM
and ADM write them. A file of statistics that Riffle wrote is read as these tools read it, and compared with another, by

    venv/bin/python scripts/check_metrics.py FILE OTHER
"""

import pathlib
import sys

import numpy as np
import torch
from cleanfid.fid import frechet_distance
from cleanfid.resize import make_resizer
from prdc import compute_prdc
from pytorch_fid.fid_score import calculate_frechet_distance, compute_statistics_of_path
from torch_fidelity.interpolate_compat_tensorflow import interpolate_bilinear_2d_like_tensorflow1x
from torch_fidelity.metric_fid import fid_statistics_to_metric
from torch_fidelity.metric_isc import isc_features_to_metric
from torch_fidelity.metric_kid import kernel_mmd
from torch_fidelity.metric_prc import calculate_precision_recall_full

FOLDER = pathlib.Path(__file__).resolve().parent.parent / "Tests" / "Fixtures" / "metrics"
SIZES = [(5, 9), (17, 13), (2, 3)]
KID = dict(kid_kernel_poly_degree=3, kid_kernel_poly_gamma=None, kid_kernel_poly_coef0=1, kid_kernel="poly")


def agree(name, a, b, tolerance=1e-9):
    if not np.allclose(a, b, rtol=tolerance, atol=0):
        sys.exit(f"{name}: the tools differ, {a} and {b}")
    return a


def statistics(features):
    return features.mean(0), np.cov(features, rowvar=False)


def distance(one, other):
    of_torch_fidelity = fid_statistics_to_metric(
        dict(mu=one[0], sigma=one[1]), dict(mu=other[0], sigma=other[1]), False)
    found = calculate_frechet_distance(*one, *other)
    agree("FID of clean-fid", found, frechet_distance(*one, *other))
    return agree("FID", found, of_torch_fidelity["frechet_inception_distance"])


def features(random):
    """Two sets of features, and every distance between them."""
    mix = random.normal(size=(6, 6))
    a = (random.normal(size=(60, 6)) @ mix + 0.5).astype(np.float32)
    b = (random.uniform(-1.5, 1.5, size=(45, 6)) @ mix).astype(np.float32)
    x, y = a.astype(np.float64), b.astype(np.float64)
    (mean, covariance), other = statistics(x), statistics(y)
    rows = [np.stack([random.choice(len(f), 20, replace=False) for _ in range(4)]) for f in (x, y)]
    kernel = [kernel_mmd(x[i], y[j], **KID) for i, j in zip(*rows)]
    prdc = compute_prdc(x, y, nearest_k=3)
    precision, recall = calculate_precision_recall_full(torch.from_numpy(y), torch.from_numpy(x), 3)
    agree("precision and recall", [prdc["precision"], prdc["recall"]], [precision, recall], 1e-6)
    logits = 2 * random.normal(size=(40, 7))
    score = isc_features_to_metric(torch.from_numpy(logits), splits=3, shuffle=False)
    return dict(
        a=a, b=b, mean=mean, covariance=covariance, frechet_distance=distance((mean, covariance), other),
        rows_a=rows[0].astype(np.int32), rows_b=rows[1].astype(np.int32), kernel_distances=np.array(kernel),
        prdc=np.array([prdc[key] for key in ("precision", "recall", "density", "coverage")]), logits=logits,
        inception_score=np.array(list(score.values())))


def resized(random):
    """A picture with edges, and what each tool makes of it at several sizes."""
    picture = random.integers(0, 256, (11, 7, 3), dtype=np.uint8)
    picture[3:6, 2:5] = [255, 0, 255]
    planes = torch.from_numpy(picture).permute(2, 0, 1)[None].float()
    results = dict(picture=picture)
    for size in SIZES:
        tf1 = interpolate_bilinear_2d_like_tensorflow1x(planes, size=size, align_corners=False)
        of_pytorch_fid = torch.nn.functional.interpolate(planes, size=size, mode="bilinear", align_corners=False)
        clean = make_resizer("PIL", False, "bicubic", size[::-1])(picture)
        for name, found in [("tf1", tf1), ("pytorch-fid", of_pytorch_fid)]:
            results[f"{name}.{size[0]}x{size[1]}"] = found[0].permute(1, 2, 0).numpy()
        results[f"clean.{size[0]}x{size[1]}"] = clean
    return results


def write():
    random = np.random.default_rng(17)
    FOLDER.mkdir(parents=True, exist_ok=True)
    found = features(random)
    np.savez_compressed(FOLDER / "features.npz", **found)
    np.savez_compressed(FOLDER / "resized.npz", **resized(random))
    mu, sigma = found["mean"], found["covariance"]
    np.savez_compressed(FOLDER / "statistics-pytorch-fid.npz", mu=mu, sigma=sigma)
    np.savez(FOLDER / "statistics-edm.npz", mu=mu, sigma=sigma)
    pictures = random.integers(0, 256, (2, 3, 3, 3), dtype=np.uint8)
    spatial = statistics(random.normal(size=(30, 4)))
    np.savez(FOLDER / "statistics-adm.npz", arr_0=pictures, mu=mu, sigma=sigma, mu_s=spatial[0], sigma_s=spatial[1])
    print(f"written to {FOLDER}")


def compare(path, other):
    """Reads statistics as pytorch-fid does, and as EDM does, and prints their distance to another file's."""
    mu, sigma = compute_statistics_of_path(path, None, 1, 2048, "cpu")
    edm = dict(np.load(path))
    if not (np.array_equal(mu, edm["mu"]) and np.array_equal(sigma, edm["sigma"])):
        sys.exit(f"{path}: pytorch-fid and EDM read different numbers")
    if mu.dtype != np.float64 or sigma.dtype != np.float64 or sigma.shape != (len(mu), len(mu)):
        sys.exit(f"{path}: mu {mu.dtype} {mu.shape}, sigma {sigma.dtype} {sigma.shape}")
    print(distance((mu, sigma), compute_statistics_of_path(other, None, 1, 2048, "cpu")))


if __name__ == "__main__":
    if len(sys.argv) == 1:
        write()
    elif len(sys.argv) == 3:
        compare(*sys.argv[1:])
    else:
        sys.exit(__doc__)
