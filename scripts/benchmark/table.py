"""Makes the Markdown table of docs/performance.md: table.py ROWS. The file ROWS holds the output of one or more runs of
`scripts/bench --against torch,jax --json`; the output of each run begins with the limits of its machine."""

import json
import sys

# The goals of each workload: the times of the fastest float32 peer, and of PyTorch in bfloat16, over Riffle's.
GOALS = {"mlp": (1.4, None), "mlp-wide": (1.4, None), "unet": (2, 1.3), "unet-cifar": (2, 1.3), "dit": (2, 1.2), "dit-s": (2, 1.2)}
SPECIAL = {
    ("mlp", "sample"): (1.15, None), ("mlp-wide", "sample"): (1.15, None), ("dit", "lfmd"): (2, 1.3), ("dit-s", "lfmd"): (2, 1.3),
    ("unet", "lfmd"): (3, 2), ("unet-cifar", "lfmd"): (3, 2),
}
MEMORY_GOAL = 0.6


def number(value):
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def fastest(entries, wanted):
    return min((entry for name, entry in entries.items() if wanted(name)), key=lambda entry: entry["ms"], default=None)


def against(own, peer, goal):
    """The peer's time over Riffle's, bold where the ratio reaches its goal; empty where there is no peer."""
    if not own or not peer:
        return ""
    ratio = peer["ms"] / own["ms"]
    text = f"{ratio:.2f}"
    return f"{'**' + text + '**' if goal and ratio >= goal else text} ({peer['name']} {number(peer['ms'])})"


def main():
    machine, workloads = None, {}
    for line in open(sys.argv[1], encoding="utf-8"):
        row = json.loads(line)
        if "threads" in row:
            machine = row
        elif "failed" not in row:
            workloads.setdefault((row["model"], row["work"]), {})[row["name"]] = {**row, "peak_gflops": machine["peak_gflops"]}
    print("| model | work | Riffle, ms | of the peak | faster than float32 peers | at the peak | goal | than bfloat16 | goal | MiB | of PyTorch's |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for (model, work), entries in workloads.items():
        own = entries["riffle"]
        goals = SPECIAL.get((model, work), GOALS[model])
        least = own["gflop"] / own["peak_gflops"] * 1e3   # milliseconds of the arithmetic alone
        peer = fastest(entries, lambda name: "riffle" not in name and "bf16" not in name)
        # Winograd's convolutions in the U-Nets need less arithmetic than `least` counts.
        possible = f"{peer['ms'] / least:.2f}" if peer and not model.startswith("unet") else ""
        quick = min(own, entries.get("riffle bf16", own), key=lambda entry: entry["ms"])
        torch = min((row["peak_mib"] for name, row in entries.items() if name in ("torch", "torch compiled")), default=None)
        share = own["peak_mib"] / torch if torch else None
        memory = "" if share is None else f"**{share:.2f}**" if share <= MEMORY_GOAL else f"{share:.2f}"
        cells = [
            model, work, number(own["ms"]), f"{100 * least / own['ms']:.0f} %", against(own, peer, goals[0]), possible, goals[0],
            against(quick, fastest(entries, lambda name: "torch bf16" in name), goals[1]), goals[1] or "", f"{own['peak_mib']:.0f}", memory,
        ]
        print("| " + " | ".join(str(cell) for cell in cells) + " |")


if __name__ == "__main__":
    main()
