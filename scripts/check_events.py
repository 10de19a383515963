#!/usr/bin/env python3
"""Compares the event files of a run with its log, by TensorBoard's own reader.

    python3 -m venv venv && venv/bin/pip install tensorboard pillow
    venv/bin/python scripts/check_events.py RUN

Every number of log.jsonl has to be in the events at its step, rounded to float32, and no other; pictures have to be
those of images/, and decode; histograms have to count as many numbers as they say.
"""

import io
import json
import math
import pathlib
import struct
import sys

from PIL import Image
from tensorboard.backend.event_processing import event_accumulator


def float32(number):
    try:
        return struct.unpack("f", struct.pack("f", number))[0]
    except OverflowError:
        return math.copysign(math.inf, number)


def same(a, b):
    return a == b or (math.isnan(a) and math.isnan(b))


def logged(run):
    """The numbers of log.jsonl: by name, a list of steps with values."""
    numbers = {}
    refuse = lambda word: sys.exit(f"log.jsonl is not strict JSON: {word}")
    for line in (run / "log.jsonl").read_text().splitlines():
        row = json.loads(line, parse_constant=refuse)
        strange = row.pop("not_finite", {})
        step = row.pop("step")
        for name, value in row.items():
            if name in ("time", "seconds") or isinstance(value, (bool, str)):
                continue
            value = float(strange[name]) if value is None else value
            numbers.setdefault(name, []).append((step, float32(value)))
    return numbers


def check_scalars(events, run, problems):
    numbers = logged(run)
    tags = set(events.Tags()["scalars"])
    problems += [f"only the log has '{name}'" for name in numbers.keys() - tags]
    problems += [f"only the events have '{name}'" for name in tags - numbers.keys()]
    for name in numbers.keys() & tags:
        found = [(event.step, event.value) for event in events.Scalars(name)]
        wanted = numbers[name]
        if len(found) != len(wanted):
            problems.append(f"'{name}' has {len(wanted)} rows in the log and {len(found)} events")
        for (step, value), (at, number) in zip(wanted, found):
            if step != at or not same(value, number):
                problems.append(f"'{name}' is {value} at step {step} in the log, {number} at step {at} in the events")
                break
    return sum(len(rows) for rows in numbers.values())


def check_images(events, run, problems):
    count = 0
    for name in events.Tags()["images"]:
        for event in events.Images(name):
            path = run / "images" / name / f"{event.step:08d}.png"
            if not path.exists() or path.read_bytes() != event.encoded_image_string:
                problems.append(f"the picture '{name}' at step {event.step} is not that of {path}")
            picture = Image.open(io.BytesIO(event.encoded_image_string))
            picture.load()
            if picture.size != (event.width, event.height) or picture.text.get("step") != str(event.step):
                problems.append(f"the picture '{name}' at step {event.step} has another size or step")
            count += 1
    return count


def check_histograms(events, problems):
    count = 0
    for name in events.Tags()["histograms"]:
        for event in events.Histograms(name):
            value = event.histogram_value
            limits = list(value.bucket_limit)
            if sum(value.bucket) != value.num or limits != sorted(limits) or len(limits) != len(value.bucket):
                problems.append(f"the histogram '{name}' at step {event.step} does not add up")
            if not value.min <= value.sum / value.num <= value.max or limits[-1] != value.max:
                problems.append(f"the histogram '{name}' at step {event.step} has a mean beyond its limits")
            count += 1
    return count


def main():
    run = pathlib.Path(sys.argv[1]) if len(sys.argv) == 2 else sys.exit(__doc__)
    everything = {kind: 0 for kind in ("scalars", "images", "histograms", "compressedHistograms", "tensors")}
    events = event_accumulator.EventAccumulator(str(run), size_guidance=everything)
    events.Reload()
    problems = []
    scalars = check_scalars(events, run, problems)
    images = check_images(events, run, problems)
    histograms = check_histograms(events, problems)
    files = len(list(run.glob("events.out.tfevents.*")))
    print(f"{run}: {scalars} numbers, {images} pictures, {histograms} histograms in {files} event files")
    for problem in problems:
        print(f"  {problem}")
    print("differences were found" if problems else "events and log agree")
    sys.exit(1 if problems else 0)


main()
