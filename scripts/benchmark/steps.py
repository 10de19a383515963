"""What every peer's worker does with its step."""

import sys


def serve(step):
    """Warms up, says "ready", then makes as many steps as each line of the input asks for and says "done"."""
    for _ in range(3):
        step()
    print("ready", flush=True)
    for line in sys.stdin:
        for _ in range(int(line)):
            step()
        print("done", flush=True)
