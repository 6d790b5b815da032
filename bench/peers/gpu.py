"""Measures clipx against PyTorch's modes on one GPU: all arms of a row in turn, in one call, what goes in and comes out in its memory.

    python3 bench/peers/gpu.py [--only 'vit_l14*' loss_8k] [--modes autocast bf16 compile max-autotune] [--seconds 540]

Before a row is timed its results are compared with PyTorch's in f32: the least cosine must reach 0.9995, a loss be within 1e-3. A ratio
is the best PyTorch mode's p50 over an arm's: above 1 is faster. `--device cpu` runs all of this on tiny models, to try it where there
is no GPU: its times mean nothing. Exit status: 1 if an arm failed or clipx disagreed; what does not fit, what was left out and
a mode of PyTorch that is less exact (it is marked, and no rival) change nothing.
"""
import argparse
import copy
import dataclasses
import datetime
import fnmatch
import json
import math
import pathlib
import shlex
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
try:
    import numpy as np
    import torch
    from torch.nn import functional as F

    import gpu_models
    from gpu_arms import clipx_arm, gpu, left_out, said, torch_arm
except ImportError as missing:
    sys.exit(f"gpu.py: {missing}; it needs torch, transformers, safetensors and numpy, as bench/peers/setup.sh installs them")

COSINE, LOSS = 0.9995, 1e-3
MODES = ["autocast", "bf16", "compile", "max-autotune"]


def say(*words):
    print(*words, file=sys.stderr, flush=True)


@dataclasses.dataclass
class result:
    arm: str
    ms: list = dataclasses.field(default_factory=list)
    agreement: float | None = None  # least cosine with PyTorch in f32, or the relative error of a loss
    agrees: bool = True
    note: str = ""
    failed: bool = False
    peak_mib: float | None = None


@dataclasses.dataclass
class row:
    """make() -> arms, judge; judge(arm, what its start() gave) -> (agreement, agrees)."""
    name: str
    make: object
    apart: bool = False  # arms must not hold memory while another runs


def least_cosine(a, b):
    a, b = a.double().cpu(), b.double().cpu()
    return float(F.cosine_similarity(a, b).min()) if a.shape == b.shape and a.isfinite().all() else math.nan


class bench:
    def __init__(self, o):
        self.o, self.g, self.began = o, gpu(o.device), time.monotonic()
        self.folder = tempfile.TemporaryDirectory(prefix="clipx-gpu-", dir=o.work)
        self.work = pathlib.Path(self.folder.name)
        self.models = {}
        self.rng = np.random.default_rng(0)

    def left(self):
        return self.o.seconds - (time.monotonic() - self.began)

    def compile_seconds(self, mode):
        """What a compiler may take, where there is one: never what the rows to come need without."""
        if mode in ("autocast", "bf16"):
            return None
        return min(self.o.tune_seconds if mode == "max-autotune" else self.o.compile_seconds, self.left() - 12 * self.rows_left)

    def model(self, name):
        if name not in self.models:
            self.models.clear()  # one at a time in memory
            self.models[name] = gpu_models.make(name, self.work / name)
        return self.models[name], self.work / name

    def clipx(self, name, verb, *args, **more):
        return clipx_arm(name, [self.o.bench, verb, "--backend", self.o.backend, "--threads", self.o.threads, *args], **more)

    # Towers.

    def tower(self, name, tower, inputs, peers, *args):
        """inputs: for clipx, a file; peers: {suffix: tensor on the device}. Four copies take turns, so that no cache holds them."""
        modules, folder = self.model(name)
        base = modules(tower).to(self.g.device).eval()
        low = copy.deepcopy(base).to(torch.bfloat16)
        if name in gpu_models.RESNETS:
            base, low = (m.to(memory_format=torch.channels_last) for m in (base, low))
        with torch.no_grad():
            reference = base(next(iter(peers.values()))).float()
        out = self.work / "rows.npy"
        batch = next(iter(peers.values())).shape[0]
        arms = [self.clipx("clipx bf16", "encode", "--model", folder, "--tower", tower, "--batch", batch, "--precision", "bf16",
                           "--resident", *inputs, *args, out=out)]
        for suffix, x in peers.items():
            for mode in self.o.modes:
                model = base if mode == "autocast" else low
                copies = [(x if tower == "text" or mode == "autocast" else x.to(torch.bfloat16)).clone() for _ in range(4)]

                def make(mode=mode, model=model, copies=copies):
                    torch._dynamo.reset()
                    call = model if mode in ("autocast", "bf16") else \
                        torch.compile(model, dynamic=False, mode="max-autotune" if mode == "max-autotune" else None)

                    def work(turn):
                        with torch.no_grad(), torch.autocast(self.g.device.type, torch.bfloat16, enabled=mode == "autocast"):
                            return call(copies[turn % 4])
                    return work
                size = sum(p.numel() * p.element_size() for p in model.parameters())
                arms.append(torch_arm(self.g, f"torch {mode}{suffix}", make, size,
                                      self.compile_seconds(mode)))

        def judge(arm, got):
            rows = torch.from_numpy(np.load(out)) if isinstance(arm, clipx_arm) else got.float()
            cosine = least_cosine(rows, reference)
            return cosine, cosine >= COSINE
        return arms, judge

    def image(self, name, batch):
        n = gpu_models.image_size(name)
        pixels = torch.randn(batch, 3, n, n, generator=torch.Generator().manual_seed(1))
        path = self.work / "pixels.npy"
        np.save(path, pixels.numpy())
        x = pixels.to(self.g.device)
        if name in gpu_models.RESNETS:
            x = x.to(memory_format=torch.channels_last)
        return self.tower(name, "image", ["--input", path], {"": x})

    def text(self, name, batch):
        """Lengths as of captions on the web, made up: log-normal about 14 tokens, 5 to 77, start and end counted."""
        lengths = np.clip(np.exp(self.rng.normal(np.log(14), 0.45, batch)).round().astype(int), 5, 77)
        ids = np.full((batch, 77), gpu_models.END, np.int64)
        for row_ids, n in zip(ids, lengths):
            row_ids[: n - 1] = self.rng.integers(1, 49406, n - 1)
            row_ids[0] = 49406
        say(f"  {batch} texts: {lengths.mean():.1f} tokens on average, {lengths.max()} in the longest")
        path = self.work / "ids.npy"
        np.save(path, ids)
        full = torch.from_numpy(ids).to(self.g.device)
        peers = {", 77": full, ", longest": full[:, : lengths.max()].contiguous()}
        return self.tower(name, "text", ["--tokens", path], peers)

    # The loss.

    def loss(self, n, width):
        """Features and their gradients in bf16, the loss in f32."""
        torch.manual_seed(2)
        features = torch.randn(2 * n, width).to(torch.bfloat16)
        path = self.work / "features.npy"
        np.save(path, features.float().numpy())
        start = math.log(1 / 0.07)

        def value(x, y, scale):
            logits = scale.exp() * F.normalize(x, dim=1) @ F.normalize(y, dim=1).T
            labels = torch.arange(x.shape[0], device=x.device)
            return (F.cross_entropy(logits.float(), labels) + F.cross_entropy(logits.T.float(), labels)) / 2

        def leaves(rows, dtype):
            x, y = (part.to(self.g.device, dtype).requires_grad_() for part in rows.chunk(2))
            return x, y, torch.tensor(start, device=self.g.device, dtype=dtype if dtype != torch.bfloat16 else torch.float32,
                                      requires_grad=True)

        def chunked():
            """The loss of unit rows in f32, a thousand rows of logits at a time."""
            with torch.no_grad():
                x, y = (F.normalize(part.to(self.g.device, torch.float32), dim=1) for part in features.chunk(2))
                total = torch.zeros((), device=self.g.device, dtype=torch.float64)
                for a, b in ((x, y), (y, x)):
                    for at in range(0, n, 1024):
                        logits = math.exp(start) * a[at : at + 1024] @ b.T
                        own = logits.diagonal(at)[: logits.shape[0]]
                        total += (logits.logsumexp(1) - own).double().sum()
                return float(total) / (2 * n)

        def gradients():
            """clipx's gradient of a few pairs against autograd's in f64."""
            few = min(n, 1024)
            part = torch.cat([rows[:few] for rows in features.chunk(2)])
            np.save(self.work / "few.npy", part.float().numpy())
            out = self.work / "gradient.npy"
            command = [self.o.bench, "loss", "--backend", self.o.backend, "--n", few, "--dim", width, "--precision", "bf16", "--runs", 1,
                       "--input", self.work / "few.npy", "--out", out]
            subprocess.run([*map(str, command)], check=True, capture_output=True, text=True)
            x, y, scale = leaves(part, torch.float64)
            value(x, y, scale).backward()
            return least_cosine(torch.from_numpy(np.load(out)), x.grad)

        want, cosine = chunked(), gradients()
        say(f"  loss {want:.6f}; gradient of {min(n, 1024)} pairs, least cosine with f64: {cosine:.6f}")
        size = ["--n", n, "--dim", width, "--precision", "bf16", "--input", path]
        arms = [self.clipx("clipx bf16", "loss", *size)]
        if n > 4096:
            arms.append(self.clipx("clipx bf16, in tiles", "loss", *size, "--tile", 4096))
        if self.o.backend == "cuda":
            arms.append(self.clipx("clipx bf16, tf32", "loss", *size, "--tf32"))
        for mode in self.o.modes:
            def make(mode=mode):
                torch._dynamo.reset()
                kind = {"compile": None, "max-autotune": "max-autotune-no-cudagraphs"}.get(mode)
                call = value if mode in ("autocast", "bf16") else torch.compile(value, dynamic=False, mode=kind)
                x, y, scale = leaves(features, torch.float32 if mode == "autocast" else torch.bfloat16)

                def work(turn):
                    with torch.autocast(self.g.device.type, torch.bfloat16, enabled=mode == "autocast"):
                        out = call(x, y, scale)
                    for leaf in (x, y, scale):
                        leaf.grad = None
                    out.backward()
                    return out
                return work
            arms.append(torch_arm(self.g, "torch " + mode, make, 0,
                                  self.compile_seconds(mode)))

        def judge(arm, got):
            error = abs((got["loss"] if isinstance(arm, clipx_arm) else float(got.detach())) - want) / want
            fine = error <= LOSS and (not isinstance(arm, clipx_arm) or cosine >= COSINE)
            return error, fine
        return arms, judge

    def rows(self):
        if self.g.dry:
            return [row("vit_b2", lambda: self.image("ViT-tiny", 2)), row("rn_b2", lambda: self.image("RN-tiny", 2)),
                    row("text_b8", lambda: self.text("ViT-tiny", 8)), row("loss_64", lambda: self.loss(64, 32), apart=True)]
        models = {"vit_l14": "ViT-L-14", "vit_b32": "ViT-B-32", "rn50": "RN50"}
        out = [row(f"{short}_b{batch}", lambda n=name, b=batch: self.image(n, b))
               for short, name in models.items() for batch in (256, 1, 32)]
        out += [row(f"text_b{batch}", lambda b=batch: self.text("ViT-B-32", b)) for batch in (4096, 256)]
        return out + [row(f"loss_{n // 1024}k", lambda n=n: self.loss(n, 768), apart=n >= 32768) for n in (8192, 32768, 65536)]

    def measure(self, r):
        """All rounds of a row: its results, and the floating-point operations of the work as clipx does it."""
        try:
            arms, judge = r.make()
        except Exception as e:
            return [result("-", note=said(e), failed=True)], None
        results, running = [], []
        for arm in arms:
            one = result(arm.name)
            results.append(one)
            try:
                first = arm.start()
                one.agreement, one.agrees = judge(arm, first)
                one.peak_mib = arm.peak_mib
                trial = arm.run(1)[0]
                running.append((arm, one, max(3, min(50, int(self.o.turn_ms / trial)))))
                if r.apart:
                    arm.pause()
            except left_out as e:
                one.note = str(e)
                arm.stop()
            except Exception as e:  # an arm that fails is a line of the table
                one.note, one.failed = said(e), True
                arm.stop()
            say(f"{r.name}: {arm.name}:", one.note or f"agreement {one.agreement:.7f}{'' if one.agrees else ' DISAGREES'}")
        for _ in range(self.o.rounds):
            for item in list(running):
                arm, one, calls = item
                try:
                    if r.apart:
                        arm.run(1)  # takes its memory again
                    one.ms += arm.run(calls)
                    if r.apart:
                        arm.pause()
                except Exception as e:
                    one.note, one.failed = said(e), True
                    running.remove(item)
        flops = next((a.facts["gflops"] * a.facts["median_ms"] * 1e6 for a in arms if isinstance(a, clipx_arm) and "gflops" in a.facts),
                     None)
        for arm in arms:
            arm.stop()
        return results, flops


def facts_of(name, results, flops, ceiling):
    """A row in the shape that is written."""
    timed = [x for x in results if x.ms and x.agrees and not x.failed]
    best = min((statistics.median(x.ms) for x in timed if x.arm.startswith("torch")), default=None)
    arms = []
    for x in results:
        line = {"arm": x.arm, "agreement": x.agreement, "agrees": x.agrees, "note": x.note, "failed": x.failed, "peak_mib": x.peak_mib}
        if x.ms:
            p50 = statistics.median(x.ms)
            line |= {"min_ms": min(x.ms), "p50_ms": p50, "p90_ms": sorted(x.ms)[int(0.9 * (len(x.ms) - 1))], "calls": len(x.ms),
                     "ratio": best / p50 if best and x in timed else None,
                     "percent": flops / p50 * 1e-9 / ceiling * 100 if flops else None}
        arms.append(line)
    return {"row": name, "gflop": flops and flops * 1e-9, "arms": arms}


def table(rows):
    def number(value, digits):
        return "-" if value is None else f"{value:.{digits}f}"

    lines = [["row", "arm", "min ms", "p50 ms", "p90 ms", "calls", "ratio", "% of GEMM", "peak MiB", "agreement"]]
    for r in rows:
        for a in r["arms"]:
            agreement = "-" if a["agreement"] is None else f"{a['agreement']:.6f}" + ("" if a["agrees"] else " DISAGREES")
            cells = [number(a.get(k), 3) for k in ("min_ms", "p50_ms", "p90_ms")] + [str(a.get("calls", "-")), number(a.get("ratio"), 2),
                    number(a.get("percent"), 1), number(a["peak_mib"], 0), agreement]
            lines.append([r["row"], a["arm"], *cells] if not a["note"] else [r["row"], a["arm"], a["note"]])
    widths = [max(len(c[i]) for c in lines if len(c) > 3) for i in range(len(lines[0]))]

    def padded(cells):
        left = 2 if len(cells) > 3 else 3
        return "  ".join(c.ljust(w) if i < left else c.rjust(w) for i, (c, w) in enumerate(zip(cells, widths))).rstrip()
    return "\n".join(map(padded, lines))


def options():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--only", nargs="+", default=["*"], metavar="ROW", help="names or patterns, such as 'vit_*'; --list shows them")
    p.add_argument("--list", action="store_true")
    p.add_argument("--modes", nargs="+", choices=MODES, default=MODES, help="of PyTorch")
    p.add_argument("--rounds", type=int, default=7, help="turns of each arm")
    p.add_argument("--turn-ms", type=float, default=100, help="of one turn; 3 to 50 calls")
    p.add_argument("--seconds", type=float, default=540, help="for all: rows that come too late are left out")
    p.add_argument("--compile-seconds", type=float, default=45, help="that torch.compile may take for a row")
    p.add_argument("--tune-seconds", type=float, default=75, help="the same for max-autotune")
    p.add_argument("--device", choices=["cuda", "cpu"], default="cuda", help="cpu: a dry run on tiny models")
    p.add_argument("--threads", type=int, default=2, help="of clipx in the dry run")
    p.add_argument("--bench", type=pathlib.Path, help="clipx-bench (build/cuda/clipx-bench; dry: build/release/clipx-bench)")
    p.add_argument("--work", type=pathlib.Path, help="folder for weights, about 2.5 GB (the system's for temporary files)")
    p.add_argument("--json", type=pathlib.Path, default=ROOT / "build/gpu.json", help="results")
    o = p.parse_args()
    o.backend = o.device
    o.bench = (o.bench or ROOT / ("build/cuda" if o.device == "cuda" else "build/release") / "clipx-bench").absolute()
    return o


def main():
    o = options()
    b = bench(o)
    every = b.rows()
    for pattern in o.only:
        if not fnmatch.filter([r.name for r in every], pattern):
            sys.exit(f"gpu.py: no row {pattern}; there are: " + " ".join(r.name for r in every))
    chosen = [r for r in every if any(fnmatch.fnmatch(r.name, pattern) for pattern in o.only)]
    if o.list:
        print("\n".join(r.name for r in chosen))
        return 0
    if o.device == "cuda" and not torch.cuda.is_available():
        sys.exit("gpu.py: skipped: no device: PyTorch finds no GPU; --device cpu is a dry run")
    if not o.bench.exists():
        sys.exit(f"gpu.py: {o.bench} is missing: cmake --preset cuda && cmake --build --preset cuda --target clipx-bench")
    facts = {"date": datetime.datetime.now().isoformat(" ", "seconds"), "device": b.g.name(), "torch": torch.__version__,
             "command": shlex.join(["bench/peers/gpu.py", *sys.argv[1:]]), **b.g.ceilings()}
    ceilings = (f"{facts['device']}: product {facts['bf16_tflops']:.1f} TFLOP/s in bf16, copy {facts['copy_gbs']:.0f} GB/s; "
                f"torch {torch.__version__}")
    say(ceilings)
    if {"compile", "max-autotune"} & set(o.modes):
        b.g.load_compiler()
    done = []
    for i, r in enumerate(chosen):
        b.rows_left = len(chosen) - i - 1
        if b.left() < 5:
            done.append({"row": r.name, "gflop": None, "arms": [
                {"arm": "-", "agreement": None, "agrees": True, "note": f"left out: {o.seconds:.0f} s are over", "failed": False,
                 "peak_mib": None}]})
            continue
        done.append(facts_of(r.name, *b.measure(r), facts["bf16_tflops"]))
        o.json.parent.mkdir(parents=True, exist_ok=True)
        o.json.write_text(json.dumps(facts | {"rows": done}, indent=1) + "\n")
    print(ceilings)
    print(table(done))
    say("written:", o.json)
    return 1 if any(a["failed"] or not a["agrees"] and a["arm"].startswith("clipx") for r in done for a in r["arms"]) else 0


if __name__ == "__main__":
    sys.exit(main())
