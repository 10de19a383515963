"""PyTorch's side of a workload: python torch_worker.py MODEL WORK [--bf16] [--compile].

Written as a careful user would: images channels last, fused AdamW, averages and clipping over all parameters at once, fused
attention wherever it has the derivatives that are asked for. See steps.py for how it is driven.
"""

import argparse
import contextlib
import copy
import sys
import warnings
from pathlib import Path

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from steps import serve

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from reference_dit import DiT, time_features  # noqa: E402

warnings.filterwarnings("ignore")


def embedder(features, width):
    return nn.Sequential(nn.Linear(features, width), nn.SiLU(), nn.Linear(width, width))


class MLP(nn.Module):
    def __init__(self, width, depth=4, dim=2):
        super().__init__()
        self.time, self.span = embedder(64, width), embedder(64, width)
        self.first, self.last = nn.Linear(dim, width), nn.Linear(width, dim)
        self.hidden = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))

    def forward(self, x, s, t):
        h = self.first(x) + self.time(time_features(1000 * s, 64)) + self.span(time_features(1000 * (t - s), 64))
        for layer in self.hidden:
            h = layer(F.silu(h))
        return self.last(F.silu(h))


def unet(channels, multipliers):
    from torchcfm.models.unet.unet import UNetModelWrapper, timestep_embedding

    class TwoTimed(UNetModelWrapper):
        def __init__(self):
            super().__init__(
                dim=(3, 32, 32), num_res_blocks=2, num_channels=channels, channel_mult=multipliers, num_heads=4,
                num_head_channels=64, attention_resolutions="16", dropout=0.0)
            self.span_embed = embedder(channels, 4 * channels)

        def forward(self, x, s, t):
            conditioning = self.time_embed(timestep_embedding(s, self.model_channels))
            conditioning = conditioning + self.span_embed(timestep_embedding(t - s, self.model_channels))
            skips, h = [], x
            for block in self.input_blocks:
                h = block(h, conditioning)
                skips.append(h)
            h = self.middle_block(h, conditioning)
            for block in self.output_blocks:
                h = block(torch.cat([h, skips.pop()], dim=1), conditioning)
            return self.out(h)

    return TwoTimed()


def dit(depth):
    return DiT((32, 32, 3), 2, 384, depth, 6, two_times=True)


MODELS = {
    "mlp": (lambda: MLP(256), (256, 2)),
    "mlp-wide": (lambda: MLP(512), (4096, 2)),
    "unet": (lambda: unet(64, [1, 2, 2]), (16, 3, 32, 32)),
    "unet-cifar": (lambda: unet(128, [1, 2, 2, 2]), (8, 3, 32, 32)),
    "dit": (lambda: dit(6), (16, 3, 32, 32)),
    "dit-s": (lambda: dit(12), (8, 3, 32, 32)),
}


class Workload:
    """A student, its teacher and its average, and a step of each kind of work."""

    def __init__(self, model, compiled):
        make, self.shape = MODELS[model]
        self.layout = torch.channels_last if model.startswith("unet") else torch.contiguous_format
        self.student = make().float().to(memory_format=self.layout)
        for parameter in self.student.parameters():
            # Layers of zeros would let a clever program skip work.
            if not parameter.detach().any():
                nn.init.normal_(parameter, std=0.02)
        teacher, average = (copy.deepcopy(self.student).requires_grad_(False) for _ in range(2))
        self.parameters = [p for p in self.student.parameters() if p.requires_grad]
        self.averages = [a for a, p in zip(average.parameters(), self.student.parameters()) if p.requires_grad]
        self.optimizer = torch.optim.AdamW(self.parameters, lr=1e-4, fused=True)
        wrap = torch.compile if compiled else lambda network: network
        self.net, self.teacher, self.average = wrap(self.student), wrap(teacher), wrap(average)
        self.x = self.noise()

    def noise(self):
        return torch.randn(self.shape).contiguous(memory_format=self.layout)

    def wide(self, t):
        return t.view(-1, *[1] * (len(self.shape) - 1))

    def pairs(self):
        return torch.rand(2, self.shape[0]).sort(0).values

    def update(self, loss):
        loss.backward()
        nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        torch._foreach_lerp_(self.averages, self.parameters, 1e-3)

    def sample(self):
        with torch.no_grad():
            self.net(self.x, torch.rand(self.shape[0]), torch.rand(self.shape[0]))

    def flow(self):
        t, z = torch.rand(self.shape[0]), self.noise()
        self.update((self.net(torch.lerp(z, self.x, self.wide(t)), t, t) - (self.x - z)).square().mean())

    def itvm(self):
        (s, t), z = self.pairs(), self.noise()
        x, wide = torch.lerp(z, self.x, self.wide(s)), self.wide
        middle = torch.maximum(t - 0.05, s)
        with torch.no_grad():
            start = self.teacher(x, s, s)
            point = x + wide(middle - s) * self.average(x, s, middle)
            end = point + wide(t - middle) * self.teacher(point, middle, middle)
            wanted = (end - x) / wide(t - s).clamp(min=1e-5)
        self.update((self.net(x, s, s) - start).square().mean() + (self.net(x, s, t) - wanted).square().mean())

    def lfmd(self):
        (s, t), z = self.pairs(), self.noise()
        x = torch.lerp(z, self.x, self.wide(s))
        end, slope = torch.func.jvp(
            lambda t: x + self.wide(t - s) * self.student(x, s, t), (t,), (torch.ones_like(t),))
        with torch.no_grad():
            wanted = self.teacher(end.detach(), t, t)
        self.update((slope - wanted).square().mean())

    def fgm(self):
        z, noise, t = self.noise(), self.noise(), torch.rand(self.shape[0])
        zero, one = torch.zeros(self.shape[0]), torch.ones(self.shape[0])
        made = z + self.net(z, zero, one)
        x, known = torch.lerp(noise, made, self.wide(t)), made - noise
        teacher_velocity, own_velocity = self.teacher(x, t, t), self.average(x, t, t)
        gap = teacher_velocity - own_velocity
        self.update(gap.square().mean() + 2 * (gap * (own_velocity - known)).mean())


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model", choices=MODELS)
    parser.add_argument("work", choices=["sample", "flow", "itvm", "lfmd", "fgm"])
    parser.add_argument("--bf16", action="store_true")
    parser.add_argument("--compile", action="store_true")
    options = parser.parse_args()
    torch.manual_seed(0)
    workload = Workload(options.model, options.compile)
    precision = torch.autocast("cpu", torch.bfloat16) if options.bf16 else contextlib.nullcontext()
    # PyTorch's fused attention on processors has no forward mode.
    attention = sdpa_kernel(SDPBackend.MATH) if options.work == "lfmd" else contextlib.nullcontext()
    with precision, attention:
        serve(getattr(workload, options.work))


if __name__ == "__main__":
    main()
