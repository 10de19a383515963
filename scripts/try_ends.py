"""Ends a training at random moments, and looks whether it goes on to the same bits.

    scripts/try_ends.py [--program .build/release/riffle] [--kills 200] [--signals 50] [--seed 1]

A training of each kind in Tests/RiffleLuaTests/runs/kinds.lua, with a checkpoint every three steps, is killed at random
moments (SIGKILL) and begun again until it ends. Its last states have to be those of a training that was never killed, bit
for bit, and after each kill every checkpoint in its folder has to be whole. Then SIGTERM, SIGINT and SIGUSR1 at random
moments of the loop have to leave a checkpoint and the exit code 75.
"""

import argparse
import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = ROOT / "Tests/RiffleLuaTests/runs/kinds.lua"
KINDS = ["teacher", "itvm", "fgm", "power", "pairs"]
STEPS = 30


class Training:
    def __init__(self, program, kind, folder):
        self.program, self.kind, self.folder = program, kind, folder
        self.pairs = folder / "pairs"
        code = f"""riffle.seed(1)
        local w = riffle.data.pair_writer("{self.pairs}", {{ n = 10, shape = {{ 8, 8, 3 }}, labels = true }})
        w:add(riffle.randn(10, 8, 8, 3), riffle.rand(10, 8, 8, 3), {{ labels = riffle.randint(3, 10) }})
        w:close()"""
        subprocess.run([program, "-e", code], check=True)

    def start(self, name):
        run = self.folder / name
        out = f"{run}.safetensors"
        words = [self.program, SCRIPT, "--kind", self.kind, "--run", run, "--out", out, "--pairs", self.pairs]
        return subprocess.Popen(
            words + ["--steps", str(STEPS), "--save-every", "3"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )

    def end(self, name):
        return (self.folder / f"{name}.safetensors").read_bytes()

    def check_files(self, name):
        """Every checkpoint that is there is whole, and no file is left half written for long."""
        for path in (self.folder / name / "checkpoints").glob("*.safetensors"):
            result = subprocess.run([self.program, "inspect", path], capture_output=True, text=True)
            if result.returncode:
                sys.exit(f"torn: {path}: {result.stderr}")


def finish(process):
    _, error = process.communicate(timeout=600)
    return process.returncode, error


def kill(training, name, process, number, draw):
    """Kills a process at a random moment."""
    time.sleep(draw.uniform(0, 1.2 * training.seconds))
    process.kill()
    return signal.SIGKILL


def check_killed(training, name, sent, code, error):
    if code != -signal.SIGKILL:
        sys.exit(f"{training.kind} ended with {code}: {error}")
    training.check_files(name)
    return True


def stop(training, name, process, number, draw):
    """Sends a process one of three signals at a random moment of its loop."""
    log = training.folder / name / "log.jsonl"
    before = log.stat().st_size if log.exists() else 0
    # The loop goes on from the first row that this process writes.
    while process.poll() is None and (not log.exists() or log.stat().st_size <= before):
        time.sleep(0.001)
    time.sleep(draw.uniform(0, 0.8 * training.seconds))
    if process.poll() is not None:
        return None
    sent = [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1][number % 3]
    process.send_signal(sent)
    return sent


def check_stopped(training, name, sent, code, error):
    status = json.loads((training.folder / name / "status.json").read_text())
    if code == -(sent or 0) or code == 130:
        # It came behind the loop, where nothing is lost: the last checkpoint has all steps.
        if status["state"] != "finished":
            sys.exit(f"{training.kind} ended with {code} in its loop: {error}")
        return False
    checkpoint = training.folder / name / (status["checkpoint"] or "none")
    if code != 75 or status["state"] not in ("stopped", "finished") or not checkpoint.exists():
        sys.exit(f"{training.kind} ended with {code} after {sent}: {status}, {error}")
    return True


def try_ends(trainings, wanted, draw, end, check):
    """Ends trainings before their time, the kinds in turn, until so many ends are counted in all; each training then
    goes on to its own end. `end` ends a process and returns the signal; `check` looks at what is left, and returns
    whether the end counts."""
    ends = trials = 0
    while ends < wanted:
        training = trainings[trials % len(trainings)]
        name = f"{end.__name__}-{trials}"
        trials += 1
        while True:
            process = training.start(name)
            sent = end(training, name, process, ends, draw) if ends < wanted else None
            code, error = finish(process)
            if code == 0:
                break
            ends += check(training, name, sent, code, error)
        if training.end(name) != training.whole:
            sys.exit(f"{training.kind}, {name}: other bits than those of the training that nobody ended")
        shutil.rmtree(training.folder / name)
    return trials


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default=ROOT / ".build/release/riffle", type=Path)
    parser.add_argument("--kills", default=200, type=int)
    parser.add_argument("--signals", default=50, type=int)
    parser.add_argument("--seed", default=1, type=int)
    options = parser.parse_args()
    draw = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as scratch:
        trainings = []
        for kind in KINDS:
            folder = Path(scratch) / kind
            folder.mkdir()
            training = Training(options.program, kind, folder)
            start = time.time()
            code, error = finish(training.start("whole"))
            if code:
                sys.exit(f"{kind}: {error}")
            training.seconds = time.time() - start
            training.whole = training.end("whole")
            trainings.append(training)
            print(f"{kind}: {training.seconds:.2f} s without an end before its time")
        start = time.time()
        trials = try_ends(trainings, options.kills, draw, kill, check_killed)
        print(f"{options.kills} kills of {trials} trainings, {time.time() - start:.0f} s: always the same bits, no torn file")
        start = time.time()
        trials = try_ends(trainings, options.signals, draw, stop, check_stopped)
        print(f"{options.signals} signals to {trials} trainings, {time.time() - start:.0f} s: always a checkpoint and 75")


if __name__ == "__main__":
    main()
