"""The arms of gpu.py: PyTorch in this process, clipx-bench in one of its own; and the device that both are timed on."""
import contextlib
import json
import signal
import statistics
import subprocess
import time

import torch
from torch.nn import functional as F


class left_out(Exception):
    """An arm that has no numbers, and is not wrong: it does not fit, or took too long to compile."""


def said(e):
    """What an exception says, on one line."""
    if getattr(e, "stderr", None):  # of a process: how it ended
        return e.stderr.strip().splitlines()[-1]
    return (str(e).strip() or type(e).__name__).splitlines()[0]


@contextlib.contextmanager
def at_most(seconds, what):
    if seconds <= 0:
        raise left_out(f"no time left for {what}")
    late = []

    def stop(*_):
        late.append(True)
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds, 2)  # again, where something swallowed it
    try:
        yield
    except Exception:
        if late:  # as it was raised, or wrapped by the compiler
            raise left_out(f"{what} took more than {seconds:g} s") from None
        raise
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


class gpu:
    """What differs between a GPU and the dry run on a CPU."""

    def __init__(self, device):
        self.dry, self.device = device == "cpu", torch.device(device)

    def sync(self):
        if not self.dry:
            torch.cuda.synchronize()

    def allocated(self):
        return 0 if self.dry else torch.cuda.memory_allocated()

    def peak(self):
        return 0 if self.dry else torch.cuda.max_memory_allocated()

    def reset(self):
        if not self.dry:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()

    def name(self):
        return "CPU, dry run: these times mean nothing" if self.dry else torch.cuda.get_device_name()

    def time(self, work):
        self.sync()
        start = time.perf_counter()
        work()
        self.sync()
        return (time.perf_counter() - start) * 1e3

    def load_compiler(self):
        """All that torch.compile imports, before anything can interrupt an import."""
        x = torch.randn(64, 64, device=self.device, dtype=torch.bfloat16, requires_grad=True)
        for mode in (None, "max-autotune-no-cudagraphs"):
            torch.compile(lambda a: F.gelu(a @ a).sum(), mode=mode)(x).backward()

    def ceilings(self):
        """bf16 product of random matrices, TFLOP/s; copying on the device, GB/s read and written."""
        n, count = (256, 1 << 22) if self.dry else (8192, 1 << 30)
        a, b = (torch.randn(n, n, device=self.device, dtype=torch.bfloat16) for _ in range(2))
        ms = [self.time(lambda: a @ b) for _ in range(13)][3:]
        x = torch.randn(count, device=self.device)
        y = torch.empty_like(x)
        copies = [self.time(lambda: y.copy_(x)) for _ in range(8)][3:]
        return {"bf16_tflops": 2 * n**3 / statistics.median(ms) * 1e-9, "copy_gbs": 8 * count / statistics.median(copies) * 1e-6}


class torch_arm:
    """make() gives a function of a turn; it is made, compiled and called for the first time in start()."""

    def __init__(self, g, name, make, weights=0, seconds=None):
        self.g, self.name, self.make, self.weights, self.seconds = g, name, make, weights, seconds
        self.work, self.turn, self.peak_mib = None, 0, None

    def call(self):
        self.turn += 1
        return self.work(self.turn)

    def start(self):
        self.g.reset()
        before = self.g.allocated()
        try:
            with contextlib.nullcontext() if self.seconds is None else at_most(self.seconds, "compiling"):
                self.work = self.make()
                for _ in range(3):
                    self.call()
                self.g.reset()  # what compiling took is not counted
                out = self.call()
                self.g.sync()
        except torch.OutOfMemoryError as e:
            raise left_out("does not fit: " + str(e).split(". ")[0]) from None
        if not self.g.dry:
            self.peak_mib = (self.g.peak() - before + self.weights) / 2**20
        return out

    def run(self, calls):
        return [self.g.time(self.call) for _ in range(calls)]

    def pause(self):
        self.g.reset()

    def stop(self):
        self.work = None
        self.g.reset()


class clipx_arm:
    """clipx-bench as a server: a line when it is ready, then one for each number of calls that it is sent."""

    def __init__(self, name, command, out=None):
        self.name, self.out, self.facts, self.peak_mib = name, out, {}, None
        self.command = [*map(str, command), "--serve"]
        self.process = None

    def hear(self):
        line = self.process.stdout.readline()
        if line:
            return json.loads(line)
        message = (self.process.stderr.read().strip() or f"status {self.process.wait()}").splitlines()[-1]
        if "out of memory" in message:
            raise left_out("does not fit: " + message)
        raise RuntimeError(message)

    def open(self, more=()):
        self.process = subprocess.Popen([*self.command, *more], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True)
        return self.hear()

    def start(self):
        self.facts = self.open(["--out", str(self.out)] if self.out else [])
        self.run(3)
        return self.facts

    def run(self, calls):
        if not self.process:
            self.open()
            self.ask(1)
        return self.ask(calls)

    def ask(self, calls):
        try:
            print(calls, file=self.process.stdin, flush=True)
        except BrokenPipeError:
            pass
        line = self.hear()
        self.facts |= line
        self.peak_mib = line["weights_mib"] + line["activations_peak_mib"]
        return line["runs"]

    def pause(self):
        """Gives its memory back until the next run."""
        self.stop()

    def stop(self):
        if self.process:
            self.process.communicate()
            self.process = None
