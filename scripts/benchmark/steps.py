"""The loop in which every peer's worker makes its steps."""

import sys


def serve(step):
    """Warms up and prints "ready"; then makes as many steps as each line of the input says, and prints "done"."""
    for _ in range(3):
        step()
    print("ready", flush=True)
    for line in sys.stdin:
        for _ in range(int(line)):
            step()
        print("done", flush=True)
