"""What every arm shares: its options, its clock, and the one JSON line that it prints."""
import argparse
import json
import resource
import statistics
import time


def options(**extra):
    """The options of all arms and those of this one; extra gives name=default."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--out", help="the result of the first run, as .npy")
    for name, default in extra.items():
        kind = {"action": "store_true"} if default is False else {"nargs": "*"} if default == [] else {"default": default}
        parser.add_argument("--" + name.replace("_", "-"), **kind)
    return parser.parse_args()


class clock:
    """Milliseconds since it was made."""

    def __init__(self):
        self.start = time.perf_counter()

    def ms(self):
        return (time.perf_counter() - self.start) * 1e3


def measure(work, runs, load_ms, warm_up=2, **extra):
    """Warm-up, then the runs; prints the line. Warming up ends early where a run takes seconds."""
    spent = clock()
    for _ in range(warm_up):
        work()
        if spent.ms() > 5e3:
            break
    times = []
    for _ in range(runs):
        one = clock()
        work()
        times.append(round(one.ms(), 4))
    line = {"min_ms": min(times), "median_ms": statistics.median(times), "runs": times, "load_ms": round(load_ms, 1),
            "peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)}
    print(json.dumps(line | extra), flush=True)
