#!/usr/bin/env python3
"""Compares the feature networks with PyTorch's, under the same random weights.

    python3 -m venv venv && venv/bin/pip install torch torchvision pytorch-fid lpips efficientnet_lite_pytorch
    venv/bin/python scripts/check_features.py                    # writes Tests/Fixtures/features.json
    venv/bin/python scripts/check_features.py RIFFLE             # compares files of weights, read by RIFFLE, and speed

The weights are uniform numbers of Philox4x32-10: tensor k of a file, in the order of names, has those of seed k, so that
tests draw the same without a file of weights. Pictures are bytes of seed 1000. With RIFFLE, all values of each network
are compared at the size it was trained on, and so is LPIPS with its published weights by channel.
"""

import json
import math
import pathlib
import subprocess
import sys
import tempfile

import lpips
import numpy as np
import pytorch_fid.inception as fid
import torch
import torchvision
from efficientnet_lite_pytorch import EfficientNet

FIXTURE = pathlib.Path(__file__).resolve().parent.parent / "Tests" / "Fixtures" / "features.json"
IMAGENET = ([0.485 * 255, 0.456 * 255, 0.406 * 255], [0.229 * 255, 0.224 * 255, 0.225 * 255])
torch.set_num_threads(2)


def uniform(seed, count):
    """The first numbers of Riffle's stream 0 of a seed."""
    block = np.arange((count + 3) // 4, dtype=np.uint64)
    low = np.uint64(0xFFFFFFFF)
    a, b, c, d = block & low, block >> np.uint64(32), np.zeros_like(block), np.zeros_like(block)
    keys = np.array([seed & 0xFFFFFFFF, seed >> 32], dtype=np.uint64)
    for _ in range(10):
        p, q = a * np.uint64(0xD2511F53), c * np.uint64(0xCD9E8D57)
        a, b, c, d = (q >> np.uint64(32)) ^ b ^ keys[0], q & low, (p >> np.uint64(32)) ^ d ^ keys[1], p & low
        keys = (keys + np.array([0x9E3779B9, 0xBB67AE85], dtype=np.uint64)) & low
    words = np.stack([a, b, c, d], 1).reshape(-1)[:count]
    return (words >> np.uint64(8)).astype(np.float32) * np.float32(2**-24)


def randomize(network):
    """Sets a network's parameters; tensors of one dimension are scales and variances near 1, or shifts near 0."""
    state = {name: tensor for name, tensor in network.state_dict().items() if not name.endswith("num_batches_tracked")}
    for seed, name in enumerate(sorted(state)):
        tensor = state[name]
        u = torch.from_numpy(uniform(seed, tensor.numel())).reshape(tensor.shape)
        if tensor.dim() > 1:
            fan = tensor[0].numel()
            value = (2 * u - 1) * np.float32(math.sqrt(6 / fan))
        elif name.endswith(("running_var", "bn.weight")) or ("_bn" in name and name.endswith("weight")):
            value = u + 0.5
        else:
            value = (u - 0.5) * np.float32(0.2)
        tensor.copy_(value)
    return network.eval()


def filled(network, weights):
    """A network with the weights of a file, or random ones."""
    if weights is None:
        return randomize(network)
    network.load_state_dict(torch.load(weights, weights_only=True))
    return network.eval()


def pictures(count, side):
    bytes = (uniform(1000, count * side * side * 3) * 256).astype(np.uint8)
    return torch.from_numpy(bytes.reshape(count, side, side, 3))


def scaled(bytes, shift, scale):
    shift, scale = (torch.tensor(x, dtype=torch.float32).reshape(-1, 1, 1) for x in (shift, scale))
    return (bytes.permute(0, 3, 1, 2).float() - shift) / scale


class Inception:
    name, side, small = "inception-2015", 299, 75
    scaling = ([128], [128])

    def __init__(self, weights=None):
        fid.load_state_dict_from_url = lambda *_, **__: fid._inception_v3(
            num_classes=1008, aux_logits=False, weights=None).state_dict()
        self.network = filled(fid.fid_inception_v3(), weights)

    def __call__(self, x):
        n, result = self.network, {}
        for part in ["Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3"]:
            x = getattr(n, part)(x)
        x = result["64"] = torch.max_pool2d(x, 3, 2)
        x = n.Conv2d_4a_3x3(n.Conv2d_3b_1x1(x))
        x = result["192"] = torch.max_pool2d(x, 3, 2)
        for part in ["5b", "5c", "5d", "6a", "6b", "6c", "6d", "6e"]:
            x = getattr(n, "Mixed_" + part)(x)
        result["768"] = x
        x = n.Mixed_7c(n.Mixed_7b(n.Mixed_7a(x)))
        x = result["2048"] = x.mean((2, 3))
        result["logits_unbiased"] = x @ n.fc.weight.T
        result["logits"] = n.fc(x)
        return result


class Layered:
    """A network of torchvision with features and a classifier."""

    side, small, scaling = 224, 64, IMAGENET

    def __init__(self, weights=None):
        self.network = filled(self.make(), weights)

    def __call__(self, x):
        result = {}
        for index, layer in enumerate(self.network.features):
            # An activation in place would change the value before it.
            x = layer(x.clone())
            if index in self.feature_taps:
                result[self.feature_taps[index]] = x
        if x.shape[2] in (6, 7, 13):
            if self.flattens:
                x = x.flatten(1)
            for index, layer in enumerate(self.network.classifier):
                x = layer(x.clone())
                if index in self.classifier_taps:
                    result[self.classifier_taps[index]] = x.flatten(1)
        return result


class VGG16(Layered):
    name, flattens, make = "vgg16", True, staticmethod(torchvision.models.vgg16)
    feature_taps = {3: "relu1_2", 8: "relu2_2", 15: "relu3_3", 22: "relu4_3", 29: "relu5_3"}
    classifier_taps = {4: "fc2", 6: "logits"}


class AlexNet(Layered):
    name, flattens, make = "alexnet", True, staticmethod(torchvision.models.alexnet)
    feature_taps = {1: "relu1", 4: "relu2", 7: "relu3", 9: "relu4", 11: "relu5"}
    classifier_taps = {5: "fc2", 6: "logits"}


class SqueezeNet(Layered):
    name, flattens, make = "squeezenet1.1", False, staticmethod(torchvision.models.squeezenet1_1)
    feature_taps = {1: "relu1", 4: "relu2", 7: "relu3", 9: "relu4", 10: "relu5", 11: "relu6", 12: "relu7"}
    classifier_taps = {3: "logits"}


class EfficientNetLite0:
    name, side, small = "efficientnet-lite0", 224, 64
    scaling = ([127], [128])

    def __init__(self, weights=None):
        self.network = filled(EfficientNet.from_name("efficientnet-lite0"), weights)
        for index, name in {0: "reduction_1", 2: "reduction_2", 4: "reduction_3", 10: "reduction_4",
                            15: "reduction_5"}.items():
            keep = lambda _, __, value, name=name: self.reductions.__setitem__(name, value)
            self.network._blocks[index].register_forward_hook(keep)

    def __call__(self, x):
        self.reductions = {}
        # The package pads for pictures of 224 pixels; other even sizes that halve five times pad the same.
        values = self.network.extract_features(x).mean((2, 3))
        return {**self.reductions, "features": values, "logits": self.network._fc(values)}


NETWORKS = [Inception, VGG16, AlexNet, SqueezeNet, EfficientNetLite0]


def summary(values):
    """The mean over positions: some numbers of it, and its length."""
    mean = (values.mean((2, 3)) if values.dim() == 4 else values).double()
    return {"length": mean.norm().item(), "numbers": mean[:, :: max(1, mean.shape[1] // 8)].flatten().tolist()}


def write_fixture():
    networks = {}
    for make in NETWORKS:
        network = make()
        with torch.no_grad():
            values = network(scaled(pictures(2, network.small), *network.scaling))
        networks[network.name] = {"side": network.small, "taps": {tap: summary(x) for tap, x in values.items()}}
    # The weights by channel are those of a file without the classifier, and positive as the published ones are.
    distance = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False)
    for seed in range(5):
        weight = getattr(distance, f"lin{seed}").model[1].weight.data
        weight.copy_(torch.from_numpy(uniform(seed, weight.numel())).reshape(weight.shape))
    found = lpips_of(distance, AlexNet().network, 64).flatten().tolist()
    FIXTURE.write_text(json.dumps({"networks": networks, "lpips": found}) + "\n")


def lpips_of(distance, classifier, side):
    """LPIPS with a classifier's features in place of those that the package would load."""
    for index in range(1, distance.net.N_slices + 1):
        for name, layer in getattr(distance.net, f"slice{index}").named_children():
            layer.load_state_dict(classifier.features[int(name)].state_dict())
    a, b = scaled(pictures(4, side), [127.5], [127.5]).split(2)
    with torch.no_grad():
        return distance.eval()(a, b)


def run(riffle, folder, script):
    path = folder / "script.lua"
    path.write_text('local riffle = require "riffle"\n' + script)
    done = subprocess.run([riffle, path], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{script}\n{done.stderr}")
    return done.stdout


def compare(name, found, wanted):
    error = np.abs(found - wanted).max() / np.abs(wanted).max()
    print(f"{name:40} {error:.1e}{'' if error < 1e-4 else '  TOO FAR'}")
    return error < 1e-4


def check(riffle):
    folder, fine = pathlib.Path(tempfile.mkdtemp()), True
    for make in NETWORKS:
        network = make()
        weights = folder / f"{network.name}.pth"
        torch.save(network.network.state_dict(), weights)
        bytes = pictures(2, network.side)
        np.save(folder / "x.npy", bytes.numpy().astype(np.int32))
        with torch.no_grad():
            wanted = network(scaled(bytes, *network.scaling))
        for tap, values in wanted.items():
            run(riffle, folder, f"""
                local features = riffle.metrics.features("{weights}", {{ tap = "{tap}" }})
                riffle.data.save("{folder}/y.npy", features(riffle.data.load("{folder}/x.npy")))""")
            mean = values.mean((2, 3)) if values.dim() == 4 else values
            fine &= compare(f"{network.name} {tap}", np.load(folder / "y.npy"), mean.numpy())
        np.save(folder / "x.npy", pictures(32, network.side).numpy().astype(np.int32))
        race(riffle, folder, network, weights)
    for name, make in [("alex", AlexNet), ("vgg", VGG16), ("squeeze", SqueezeNet)]:
        lines = pathlib.Path(lpips.__file__).parent / "weights" / "v0.1" / f"{name}.pth"
        distance, network = lpips.LPIPS(net=name, pnet_rand=True, verbose=False), make()
        wanted = lpips_of(distance, network.network, 64).flatten()
        np.save(folder / "x.npy", pictures(4, 64).numpy().astype(np.int32))
        run(riffle, folder, f"""
            local d = riffle.metrics.perceptual("{folder}/{network.name}.pth", "{lines}")
            local x = riffle.data.load("{folder}/x.npy")
            riffle.data.save("{folder}/y.npy", d(x:slice(1, 1, 2), x:slice(1, 3, 4)))""")
        fine &= compare(f"lpips {name}", np.load(folder / "y.npy"), wanted.numpy())
    sys.exit(0 if fine else 1)


# What PyTorch's side of a race runs in a process of its own, as Riffle's side does.
TORCH = """
import sys, time
sys.path.insert(0, sys.argv[1])
import check_features as checks, torch
network = next(x for x in checks.NETWORKS if x.name == sys.argv[2])(sys.argv[3])
x = checks.scaled(checks.pictures(32, network.side), *network.scaling)
def once():
    start = time.perf_counter()
    with torch.no_grad():
        network(x)
    return time.perf_counter() - start
once()
print(min(once() for _ in range(3)))
"""


def race(riffle, folder, network, weights, rounds=3):
    """Pictures a second at batch 32 and the process's peak memory: the best of some rounds, the two in turn."""
    script = folder / "race.lua"
    script.write_text(f"""local riffle = require "riffle"
        local features = riffle.metrics.features("{weights}")
        local x = riffle.data.load("{folder}/x.npy")
        features(x)
        local best = math.huge
        for _ = 1, 3 do
          local start = riffle.clock()
          features(x)
          best = math.min(best, riffle.clock() - start)
        end
        print(best)""")
    here = str(pathlib.Path(__file__).resolve().parent)
    commands = {"riffle": [riffle, script], "torch": [sys.executable, "-c", TORCH, here, network.name, weights]}
    best = {name: (0, math.inf) for name in commands}
    for _ in range(rounds):
        for name, command in commands.items():
            done = subprocess.run(["/usr/bin/env", "time", "-f", "%M", *command], capture_output=True, text=True, check=True)
            speed = 32 / float(done.stdout.split()[0])
            best[name] = max(best[name][0], speed), min(best[name][1], int(done.stderr.split()[-1]) / 1024)
    ratios = best["riffle"][0] / best["torch"][0], best["riffle"][1] / best["torch"][1]
    print("{:20} {:7.1f} pictures/s and {:5.0f} MiB, torch {:7.1f} and {:5.0f}, ratios {:.2f} and {:.2f}".format(
        network.name, *best["riffle"], *best["torch"], *ratios), flush=True)


if __name__ == "__main__":
    check(sys.argv[1]) if len(sys.argv) > 1 else write_fixture()
