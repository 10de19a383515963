"""Runs workloads of Riffle, PyTorch and JAX side by side and prints a table of medians, ratios and peak memory.

With --json, each row is a line that is printed as soon as the row is measured; table.py makes the table of
docs/performance.md of these lines.

Every contender is a process of its own that has built its model, warmed up, and waits. In each round every contender
in turn makes the same number of steps while the others sleep, in one order and then in the other; a figure is the
median over rounds. Shapes, batch, number of network evaluations, clipping, AdamW and moving average are the same on
every side. This program needs only Python's standard library; the peers are in .build/peers, an environment that is
made when a peer is first named.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PEERS = ROOT / ".build" / "peers"
RIFFLE = str(ROOT / ".build" / "release" / "riffle")
MODELS = ["mlp", "mlp-wide", "unet", "unet-cifar", "dit", "dit-s"]
WORKS = ["sample", "flow", "itvm", "lfmd", "fgm"]
# The arithmetic of one forward pass of a batch: products and convolutions, as PyTorch's FlopCounterMode counts them.
GFLOP = {"mlp": 0.2186, "mlp-wide": 13.44, "unet": 50.80, "unet-cifar": 99.55, "dit": 96.91, "dit-s": 96.86}
PACKAGES = {"torch": ["torch", "numpy", "pot"], "jax": ["jax"]}
# The arithmetic of one step, in forward passes of the network. A backward pass counts as two, a backward pass to the
# inputs alone as one, and a derivative doubles a pass.
PASSES = {"sample": 1, "flow": 3, "itvm": 9, "lfmd": 7, "fgm": 7}


def python_of(peers):
    """The interpreter of the peers' environment, in which their packages are installed first."""
    python = PEERS / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(PEERS)], check=True, stdout=sys.stderr)
    for peer in peers:
        if subprocess.run([python, "-c", f"import {peer}"], stderr=subprocess.DEVNULL).returncode:
            subprocess.run([python, "-m", "pip", "install", "--quiet", *PACKAGES[peer]], check=True, stdout=sys.stderr)
    if "torch" in peers and subprocess.run([python, "-c", "import torchcfm.models.unet"], stderr=subprocess.DEVNULL).returncode:
        subprocess.run([python, "-m", "pip", "install", "--quiet", "--no-deps", "torchcfm==1.0.7"], check=True, stdout=sys.stderr)
    return str(python)


class Contender:
    """A worker process, which prints "ready", then makes as many steps as each line says and prints "done"."""

    def __init__(self, name, command):
        self.name, self.seconds, self.peak = name, [], 0.0
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)
        self.expect("ready")

    def expect(self, word):
        line = self.process.stdout.readline().strip()
        if line != word:
            raise RuntimeError(f"{self.name}: {line} {self.process.stderr.read()[-2000:]}".strip())

    def run(self, steps):
        time.sleep(0.05)   # the last contender's threads may spin for some milliseconds before they sleep
        start = time.perf_counter()
        self.process.stdin.write(f"{steps}\n")
        self.process.stdin.flush()
        self.expect("done")
        return (time.perf_counter() - start) / steps

    def finish(self):
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        self.peak = int(status.split("VmHWM:")[1].split()[0]) / 1024
        self.process.stdin.close()
        self.process.wait()


def contenders(model, work, options, python):
    """The names and commands of all contenders that can do a workload."""
    riffle = [RIFFLE, str(HERE / "worker.lua"), model, work]
    yield "riffle", riffle
    if options.beside:
        yield "riffle beside", [options.beside, *riffle[1:]]
    if "riffle" in options.bf16:
        yield "riffle bf16", riffle + ["bf16"]
    if "torch" in options.against:
        worker = [python, str(HERE / "torch_worker.py"), model, work]
        yield "torch", worker
        yield "torch compiled", worker + ["--compile"]
        if "torch" in options.bf16:
            yield "torch bf16", worker + ["--bf16"]
            yield "torch bf16 compiled", worker + ["--bf16", "--compile"]
    if "jax" in options.against and not model.startswith("unet"):
        yield "jax", [python, str(HERE / "jax_worker.py"), model, work]


def measure(model, work, options, python):
    """The rows of one workload: the milliseconds and MiB that each contender took."""
    entered, failed = [], []
    for name, command in contenders(model, work, options, python):
        try:
            entered.append(Contender(name, command))
        except RuntimeError as error:
            failed.append((name, str(error).splitlines()[-1][:200]))
    slowest = max(entry.run(1) for entry in entered)
    steps = max(1, round(0.1 / slowest))
    rounds = max(options.rounds, round(3 / (steps * slowest)))   # turns of a tenth of a second vary most
    for turn in range(rounds):
        # Whoever comes after a pause is slower; the order turns round so that nobody always does.
        for entry in entered if turn % 2 == 0 else entered[::-1]:
            entry.seconds.append(entry.run(steps))
    for entry in entered:
        entry.finish()
    return [
        {"model": model, "work": work, "name": entry.name, "ms": 1e3 * statistics.median(entry.seconds), "least_ms": 1e3 * min(entry.seconds),
         "peak_mib": entry.peak, "steps": steps * rounds}
        for entry in entered
    ], failed


PRODUCTS = {
    "riffle": """local riffle = require "riffle"
local a, b = riffle.randn(2048, 2048), riffle.randn(2048, 2048)
local best = math.huge
for _ = 1, 12 do
  local start = riffle.clock()
  local c = a:matmul(b)
  best = math.min(best, riffle.clock() - start)
  c = nil
  collectgarbage()   -- the next result goes where this one was: pages that the system has to clear are not the product's time
end
print(2 * 2048 ^ 3 / best / 1e9)""",
    "torch": """import time, torch
a, b, c = torch.randn(2048, 2048), torch.randn(2048, 2048), torch.empty(2048, 2048)
def seconds():
    start = time.perf_counter()
    torch.mm(a, b, out=c)
    return time.perf_counter() - start
print(2 * 2048 ** 3 / min(seconds() for _ in range(12)) / 1e9)""",
}


def output(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def machine(against, python):
    """The limits of the machine: the rates of multiply-adds, of memory, and of each side's products of large matrices."""
    program = ROOT / ".build" / "ceiling"
    compiler = shutil.which("clang") or "cc"
    flags = ["-O3", "-march=native", "-mprefer-vector-width=512", "-ffp-contract=fast", "-pthread"]
    subprocess.run([compiler, *flags, HERE / "ceiling.c", "-o", program], check=True, stdout=sys.stderr)
    threads = len(os.sched_getaffinity(0))
    rates = output(program, str(threads)).split()
    commands = {"riffle": [RIFFLE, "-e"], **({"torch": [python, "-c"]} if "torch" in against else {})}
    products = {name: float(output(*command, PRODUCTS[name])) for name, command in commands.items()}
    versions = {name: output(python, "-c", f"import {name}; print({name}.__version__)").strip() for name in against}
    return {"threads": threads, "versions": versions, "peak_gflops": float(rates[0]), "gbytes": float(rates[1]), "products": products}


def described(limits):
    products = ", ".join(f"{name} {rate:.0f}" for name, rate in limits["products"].items())
    return (f"{limits['threads']} threads: {limits['peak_gflops']:.0f} GFLOP/s of multiply-adds, {limits['gbytes']:.0f} GB/s of memory;"
            f" products of large matrices: {products} GFLOP/s")


def show(rows, failed, limit):
    own = next(row for row in rows if row["name"] == "riffle")
    share = PASSES[own["work"]] * GFLOP[own["model"]] / (own["ms"] / 1e3) / limit
    for row in rows:
        ratio = "" if row is own else f"{row['ms'] / own['ms']:6.2f}x time {row['peak_mib'] / own['peak_mib']:6.2f}x memory"
        extra = f"{100 * share:5.0f} % of {limit:.0f} GFLOP/s" if row is own else ratio
        print(f"{row['model']:<11}{row['work']:<8}{row['name']:<20}{row['ms']:>10.2f} ms {row['peak_mib']:>7.0f} MiB  {extra}", flush=True)
    for name, why in failed:
        print(f"{own['model']:<11}{own['work']:<8}{name:<20}   did not run: {why}", flush=True)


def listed(text, known):
    names = text.split(",")
    for name in names:
        if name not in known:
            raise argparse.ArgumentTypeError(f"'{name}' is none of {', '.join(known)}")
    return names


def executable(text):
    if not os.access(text, os.X_OK):
        raise argparse.ArgumentTypeError(f"'{text}' is no program that can be run")
    return str(Path(text).resolve())


def turns(text):
    count = int(text)
    if count < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is no number of turns")
    return count


def main():
    parser = argparse.ArgumentParser(prog="scripts/bench", description="Times Riffle's workloads, alone or beside PyTorch and JAX.")
    parser.add_argument("--against", type=lambda text: listed(text, list(PACKAGES)), default=[], help="torch, jax or both, by commas")
    parser.add_argument("--beside", type=executable, help="another build of riffle, which runs every workload too: what did a change cost?")
    parser.add_argument("--models", type=lambda text: listed(text, MODELS), default=MODELS, help=f"by commas, of {', '.join(MODELS)}")
    parser.add_argument("--works", type=lambda text: listed(text, WORKS), default=WORKS, help=f"by commas, of {', '.join(WORKS)}")
    parser.add_argument("--rounds", type=turns, default=7, help="turns of each contender, more where they are short")
    parser.add_argument("--bf16", type=lambda text: listed(text, ["riffle", "torch"]), default=[], help="who runs in bfloat16 too: riffle, torch or both, by commas")
    parser.add_argument("--json", action="store_true", help="a line of JSON for each row instead of the table")
    options = parser.parse_args()
    python = python_of(options.against) if options.against else ""
    limits = machine(options.against, python)
    print(json.dumps(limits) if options.json else described(limits), flush=True)
    for model in options.models:
        for work in options.works:
            rows, failed = measure(model, work, options, python)
            if not options.json:
                show(rows, failed, limits["peak_gflops"])
                continue
            gflop = PASSES[work] * GFLOP[model]
            for row in rows:
                print(json.dumps({**row, "gflop": gflop}), flush=True)
            for name, why in failed:
                print(json.dumps({"model": model, "work": work, "name": name, "failed": why}), flush=True)


if __name__ == "__main__":
    main()
