"""Measures clipx-bench against its peers: every arm a process of its own, all arms of a row in turn, for several rounds.

    build/peers/bin/python bench/peers/run.py [--rows vit_b32_b1 text ...] [--quick] [--markdown]

A row's ratio is a peer's median over clipx's (a median of the rounds' medians). It is printed only for arms whose embeddings agree
with those of clipx in f32. Inputs are made on the first run (prepare.py). Exit status: 1 if an arm failed or disagreed, else 0;
a target that was missed changes nothing.
"""
import argparse
import contextlib
import dataclasses
import datetime
import fnmatch
import importlib.metadata
import importlib.util
import json
import os
import pathlib
import shlex
import statistics
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PEERS = ROOT / "build/peers"
if __name__ == "__main__" and (PEERS / "bin/python").exists() and pathlib.Path(sys.prefix).resolve() != PEERS.resolve():
    os.execv(PEERS / "bin/python", [str(PEERS / "bin/python"), *sys.argv])
try:
    import numpy as np
    import prepare
except ImportError as missing:
    sys.exit(f"run.py: {missing}; make the peers' environment with: sh bench/peers/setup.sh")

PACKAGES = "torch torchvision open_clip_torch transformers onnxruntime openvino tokenizers pillow numpy".split()
COSINE = {"f32": 0.9999, "bf16": 0.999}
# Nominal GFLOP of an image tower per image, a multiply-add counted as two. clipx's own line counts less: it leaves out what is not
# read of the last block, so its GF/s are of work done.
GFLOP = {"ViT-B-32": 8.82, "ViT-L-14": 162.0, "RN50": 12.2}


@dataclasses.dataclass
class arm:
    """A command and what came of it. group: clipx, or the set of peers that a ratio takes the best of."""
    name: str
    group: str
    command: list
    needs: tuple = ()
    precision: str = "f32"
    out: pathlib.Path | None = None
    gflop: float = 0
    runs: int = 0  # 0: as the options say
    lines: list = dataclasses.field(default_factory=list)
    error: str = ""
    cosine: float | None = None

    def ms(self):
        return statistics.median(line["median_ms"] for line in self.lines)

    def agrees(self):
        return self.cosine is None or self.cosine >= COSINE[self.precision]

    def facts(self):
        facts = {"arm": self.name, "group": self.group, "precision": self.precision, "command": shlex.join(self.command)}
        if self.error:
            facts["error"] = self.error
        if not self.lines:
            return facts
        gflops = statistics.median(line.get("gflops") or 0 for line in self.lines) or self.gflop / self.ms() * 1e3
        return facts | {
            "median_ms": self.ms(), "min_ms": min(line["min_ms"] for line in self.lines), "gflops": gflops or None,
            "peak_mib": max((line.get("peak_mib") or 0 for line in self.lines)) or None,
            "load_ms": statistics.median(line.get("load_ms") or 0 for line in self.lines) or None,
            "cosine": self.cosine, "ran": self.lines[0].get("ran"), "rounds": self.lines}


@dataclasses.dataclass
class row:
    """Arms that do the same work, and targets: (what is meant, group, least ratio of its best arm to clipx; None: no target)."""
    name: str
    make: object  # (setting) -> arms; makes the inputs
    targets: list


class setting:
    """Options, folders and the processor's features, and the commands of the arms."""

    def __init__(self, o):
        self.o, self.work, self.bench = o, o.work, o.bench
        info = pathlib.Path("/proc/cpuinfo").read_text() if pathlib.Path("/proc/cpuinfo").exists() else ""
        entries = [line.partition(":") for line in info.splitlines()]
        self.cpu = next((value.strip() for key, _, value in entries if key.strip() == "model name"), "unknown")
        self.flags = next((set(value.split()) for key, _, value in entries if key.strip() == "flags"), set())

    def clipx(self, name, verb, *args, **more):
        return arm(name, more.pop("group", "clipx"), [str(self.bench), verb, *map(str, args), "--json"], **more)

    def peer(self, name, script, *args, needs=(), group="peer", **more):
        return arm(name, group, [sys.executable, str(HERE / "arms" / (script + ".py")), *map(str, args)], needs, **more)

    def encode(self, name, model, batch, *args, precision="f32", **more):
        return self.clipx(name, "encode", "--model", model, "--precision", precision, "--batch", batch, "--threads", self.o.threads,
                          "--warmup", 2, *args, precision=precision, **more)

    def torch(self, name, *args, library="open_clip", needs=(), **more):
        return self.peer(name, "torch_towers", "--threads", self.o.threads, "--library", library, *args,
                         needs=("torch", library, *needs), **more)

    def engine(self, name, script, onnx, *args, **more):
        needs = ("onnxruntime",) if script == "ort" else ("openvino",)
        return self.peer(name, script, "--threads", self.o.threads, "--onnx", onnx, *args, needs=needs, **more)


def image_f32(s, name, batch):
    folder, pixels, onnx = prepare.model_folder(s.work, name), prepare.images(s.work, batch), prepare.image_onnx(s.work, name, batch)
    count = {"gflop": GFLOP[name] * batch}
    torch = ["--model", folder, "--input", pixels]
    arms = [s.encode("clipx", folder, batch, "--tower", "image", "--input", pixels, **count),
            s.engine("onnxruntime", "ort", onnx, "--input", pixels, **count),
            s.engine("openvino", "ov", onnx, "--input", pixels, **count),
            s.torch("torch eager", *torch, **count)]
    modes = [] if s.o.quick else ["compile", "freeze"]
    modes += ["nhwc"] if name.startswith("RN") else []
    return arms + [s.torch("torch " + mode, *torch, "--mode", mode, **count) for mode in modes]


def image_bf16(s, name, batch):
    folder, pixels, onnx = prepare.model_folder(s.work, name), prepare.images(s.work, batch), prepare.image_onnx(s.work, name, batch)
    count, low = {"gflop": GFLOP[name] * batch}, {"gflop": GFLOP[name] * batch, "precision": "bf16"}
    ours, torch = ["--tower", "image", "--input", pixels], ["--model", folder, "--input", pixels]
    arms = [s.encode("clipx bf16", folder, batch, *ours, **low),
            s.encode("clipx f32", folder, batch, *ours, group="own f32", **count),
            s.engine("openvino bf16", "ov", onnx, "--input", pixels, "--precision", "bf16", **low),
            s.torch("torch bf16", *torch, "--precision", "bf16", **low),
            s.torch("torch autocast", *torch, "--precision", "autocast", **low)]
    return arms + ([] if s.o.quick else [s.torch("torch bf16 freeze", *torch, "--precision", "bf16", "--mode", "freeze", **low)])


def text(s):
    """64 captions: clipx packs them, three peers pad to the longest, open_clip to 77. Peers get ids; clipx tokenizes before its clock."""
    name = "ViT-B-32"
    folder, lines = prepare.model_folder(s.work, name), prepare.captions(s.work, s.o.shards)[1]
    full, longest = prepare.tokens(s.work, s.o.shards)
    onnx, hf = prepare.hf_text_onnx(s.work, name, s.o.shards), prepare.hf_text(s.work, name)
    ids, theirs = ["--tower", "text", "--input", longest], {"library": "transformers", "group": "longest"}
    arms = [s.encode("clipx", folder, prepare.CAPTIONS, "--tower", "text", "--texts", lines),
            s.engine("onnxruntime", "ort", onnx, "--input", longest, group="longest"),
            s.engine("openvino", "ov", onnx, "--input", longest, group="longest"),
            s.torch("transformers eager", "--model", hf, *ids, **theirs)]
    if not s.o.quick:
        arms.append(s.torch("transformers freeze", "--model", hf, *ids, "--mode", "freeze", **theirs))
    return arms + [s.torch("open_clip eager", "--model", folder, "--tower", "text", "--input", full, group="open_clip")]


def tokenize(s):
    every, bpe = prepare.captions(s.work, s.o.shards)[0], prepare.vocabulary(s.work)
    return [s.clipx("clipx", "tokenize", "--bpe", bpe, "--texts", every),
            s.peer("HF tokenizers", "tokenizer", "--texts", every, "--tokenizer", prepare.hf_tokenizer(s.work), needs=("tokenizers",)),
            s.peer("open_clip", "tokenizer", "--texts", every, "--bpe", bpe, "--library", "open_clip", needs=("open_clip",),
                   group="open_clip", runs=1)]


def preprocess(s):
    files, size = prepare.jpeg_files(s.work), ["--size", 224]
    return [s.clipx("clipx", "preprocess", *size, *files),
            s.peer("Pillow, open_clip", "preprocess", *size, "--files", *files, needs=("open_clip", "PIL", "torchvision")),
            s.peer("torchvision uint8", "preprocess", *size, "--library", "torchvision", "--files", *files, needs=("torchvision",),
                   group="torchvision")]


def loader(s):
    shards, pairs = sorted(map(str, s.o.shards.glob("*.tar"))), ["--size", 112, "--batch", 256, "--pairs", 15360, "--threads", s.o.threads]
    return [s.clipx("clipx", "loader", *pairs, "--data", *shards),
            s.peer("Pillow, DataLoader", "loader", *pairs, "--shards", *shards, needs=("torch", "torchvision", "PIL")),
            s.peer("torchvision uint8", "loader", *pairs, "--library", "torchvision", "--shards", *shards, needs=("torch", "torchvision"),
                   group="torchvision")]


def train(s, name, precision):
    """A step on the same pairs from the same weights: the loss of the first one tells whether the work is the same."""
    shards, folder = sorted(map(str, s.o.shards.glob("*.tar"))), prepare.small_model(s.work, name)
    pairs = ["--folder", folder, "--batch", 256, "--threads", s.o.threads, "--warmup", 2]
    peers = ["--model", folder, "--batch", 256, "--threads", s.o.threads, "--precision", precision, "--shards", *shards]
    arms = [s.clipx("clipx", "train", *pairs, "--precision", precision, "--shards", *shards, precision=precision)]
    for mode in ["eager"] + ([] if s.o.quick else ["compile"]):
        arms.append(s.peer("torch " + mode, "train", *peers, "--mode", mode, precision=precision, needs=("torch", "open_clip", "PIL")))
    return arms


def rows(s):
    wide, wide_bf16 = "avx512f" in s.flags, "avx512_bf16" in s.flags
    vit = [("vit_b32", "ViT-B-32", 1, 1.15), ("vit_b32", "ViT-B-32", 16, 1.05), ("vit_l14", "ViT-L-14", 1, 1.15 if wide else 1.05),
           ("rn50", "RN50", 1, 1.05), ("rn50", "RN50", 16, 1.05)]
    out = [row(f"{short}_b{batch}", lambda s, n=name, b=batch: image_f32(s, n, b), [("best peer", "peer", target)])
           for short, name, batch, target in vit]
    out.append(row("text", text, [("best padding to longest", "longest", 1.6), ("open_clip, padding to 77", "open_clip", 5)]))
    for short, name, batch in (("vit_b32", "ViT-B-32", 16), ("vit_l14", "ViT-L-14", 1)):
        out.append(row(f"{short}_b{batch}_bf16", lambda s, n=name, b=batch: image_bf16(s, n, b),
                       [("own f32", "own f32", 1.8 if wide_bf16 else 0.95), ("best peer in bf16", "peer", None)]))
    out.append(row("tokenize", tokenize, [("HF tokenizers", "peer", 20), ("open_clip", "open_clip", None)]))
    out.append(row("preprocess", preprocess, [("Pillow", "peer", 2), ("torchvision's decoder", "torchvision", None)]))
    if s.o.shards:
        out.append(row("loader", loader, [("Pillow in a DataLoader", "peer", 1.5), ("torchvision's decoder", "torchvision", None)]))
        out += [row(f"train_{name}_{precision}", lambda s, n=name, p=precision: train(s, n, p), [("best PyTorch", "peer", 1.5)])
                for name in ("vit", "resnet") for precision in ("f32", "bf16")]
    return out


def say(*words):
    print(*words, file=sys.stderr, flush=True)


def run_arm(a, s):
    """One process; its last line that is JSON joins a.lines, or a.error says what went wrong."""
    command = [*a.command, "--runs", str(a.runs or s.o.runs)]
    if a.out:
        a.out.unlink(missing_ok=True)
        command += ["--out", str(a.out)]
    env = os.environ | {"CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false",
                        "TORCHINDUCTOR_CACHE_DIR": str(s.work / "inductor")}
    try:
        done = subprocess.run(command, capture_output=True, text=True, env=env, timeout=s.o.timeout)
        if done.returncode:
            raise ValueError(f"status {done.returncode}: " + (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()[-1])
        line = json.loads(next(x for x in reversed(done.stdout.splitlines()) if x.startswith("{")))
        line["median_ms"], line["min_ms"]  # both must be there
        a.lines.append(line)
    except subprocess.TimeoutExpired:
        a.error = f"no result in {s.o.timeout} s"
    except StopIteration:
        a.error = "printed no JSON line"
    except (OSError, ValueError, KeyError) as e:
        a.error = (f"no {e} in its line" if isinstance(e, KeyError) else str(e)).replace(f"{ROOT}/", "")


def least_cosine(a, b):
    """Over rows; NaN where a shape differs or a value is not finite."""
    a, b = (np.load(path).astype(np.float64) for path in (a, b))
    if a.shape != b.shape:
        return float("nan")
    return float(((a * b).sum(1) / np.sqrt((a * a).sum(1) * (b * b).sum(1))).min())


def compare(arms):
    """Cosines against clipx in f32 (where that did not run: against the first arm in f32). Returns the reference's name."""
    ran = [a for a in arms if a.lines and not a.error and a.out and a.out.exists() and a.precision == "f32"]
    reference = next((a for a in ran if a.name.startswith("clipx")), ran[0] if ran else None)
    losses = {a.name: a.lines[0]["loss"] for a in arms if a.lines and not a.error and "loss" in a.lines[0]}
    for a in arms[1:]:
        if a.name in losses and arms[0].name in losses:  # of training: 1 less the relative difference
            a.cosine = 1 - abs(losses[a.name] / losses[arms[0].name] - 1)
    for a in arms:
        if reference and a is not reference and a.lines and not a.error and a.out:
            a.cosine = least_cosine(a.out, reference.out) if a.out.exists() else float("nan")
    return reference.name if reference else None


def ratios(r, arms):
    """The row's targets: the best arm of each group that ran and agrees, over clipx."""
    usable = [a for a in arms if a.lines and not a.error and a.agrees()]
    own = next((a for a in usable if a.group == "clipx"), None)
    out = []
    for label, group, target in r.targets:
        best = min((a for a in usable if a.group == group), key=arm.ms, default=None)
        ratio = best.ms() / own.ms() if own and best else None
        out.append({"against": label, "best": best.name if best else None, "ratio": ratio, "target": target,
                    "met": None if ratio is None or target is None else ratio >= target})
    return out


def measure(r, s):
    """All rounds of a row, in the shape that is written."""
    try:
        with contextlib.redirect_stdout(sys.stderr):
            arms = r.make(s)
    except ImportError as e:
        say(f"{r.name}: skipped, its inputs are not there and cannot be made: {e}")
        return {"row": r.name, "skipped": str(e)}
    if s.o.prepare:
        return None
    for a in arms:
        missing = [m for m in a.needs if importlib.util.find_spec(m) is None]
        if a.command[0] == str(s.bench) and not s.bench.exists():
            missing = [str(s.bench)]
        if missing:
            a.error = "skipped, not there: " + ", ".join(missing)
            say(f"{r.name}: {a.name} {a.error}")
        if not r.name.startswith(("tokenize", "preprocess", "loader", "train")):
            a.out = s.work / "out" / f"{r.name}-{a.name.replace(' ', '-')}.npy"
    (s.work / "out").mkdir(exist_ok=True)
    for turn in range(s.o.rounds):
        for a in arms:
            if not a.error:
                run_arm(a, s)
                say(f"{r.name} {turn + 1}/{s.o.rounds} {a.name}:", a.error or f"{a.lines[-1]['median_ms']:.3f} ms")
    reference = compare(arms)
    for a in arms:
        if not a.agrees():
            say(f"{r.name}: {a.name} disagrees with {reference}, cosine {a.cosine:.6f}")
    return {"row": r.name, "reference": reference, "arms": [a.facts() | {"agrees": a.agrees()} for a in arms], "ratios": ratios(r, arms)}


def about(s):
    """Machine, versions and ceilings."""
    def version(name):
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            return None

    def output(*command):
        try:
            return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=120, check=True).stdout.strip()
        except (OSError, subprocess.SubprocessError):
            return ""

    peak = output(str(s.bench), "peak", "--threads", str(s.o.threads), "--json") if s.bench.exists() else ""
    command = ["bench/peers/run.py", *sys.argv[1:]]
    return {"date": datetime.datetime.now().isoformat(" ", "seconds"), "cpu": s.cpu, "cores": os.cpu_count(), "threads": s.o.threads,
            "features": sorted(f for f in s.flags if f.startswith(("avx", "amx", "fma"))), "load_average": os.getloadavg()[0],
            "python": sys.version.split()[0], "versions": {n: v for n in PACKAGES if (v := version(n))},
            "commit": output("git", "describe", "--always", "--dirty"), "peak": json.loads(peak.splitlines()[-1]) if peak else None,
            "command": shlex.join(command), "rounds": s.o.rounds, "runs": s.o.runs}


def tables(results):
    """Header and cells of the two tables: arms, ratios."""
    def number(value, digits):
        return "-" if value is None else f"{value:.{digits}f}"

    arms, compared = [], []
    for r in results:
        for a in r.get("arms", []):
            if "median_ms" not in a or a.get("error"):
                arms.append([r["row"], a["arm"], a.get("error", "")[:60] or "-", *["-"] * 5])
                continue
            name = a["arm"] + (f" (ran {a['ran']})" if a["ran"] and a["ran"] != a["precision"] else "")
            ms = 4 if a["min_ms"] < 1 else 2
            arms.append([r["row"], name, number(a["median_ms"], ms), number(a["min_ms"], ms), number(a["gflops"], 1),
                         number(a["peak_mib"], 0), number(a["load_ms"], 0),
                         number(a["cosine"], 6) + ("" if a["agrees"] else " DISAGREES")])
        for x in r.get("ratios", []):
            compared.append([r["row"], x["against"], x["best"] or "-", number(x["ratio"], 2), number(x["target"], 2),
                             {True: "met", False: "missed", None: "-"}[x["met"]]])
        if "skipped" in r:
            arms.append([r["row"], "-", "skipped: " + r["skipped"], *["-"] * 5])
    return [(["row", "arm", "median ms", "min ms", "GF/s", "peak MiB", "load ms", "cosine"], arms),
            (["row", "against", "its best", "ratio to clipx", "target", ""], compared)]


def plain(header, lines):
    widths = [max(map(len, column)) for column in zip(header, *lines)]
    return "\n".join("  ".join(c.ljust(w) if i < 2 else c.rjust(w) for i, (c, w) in enumerate(zip(cells, widths))).rstrip()
                     for cells in (header, *lines))


def markdown(facts, made):
    peak = facts["peak"]
    ceilings = f"; ceilings: {peak['f32_gflops']:.0f} GF/s f32, {peak['bf16_gflops']:.0f} GF/s bf16 ({peak['bf16_unit']}), " \
        f"reading {peak['read_gbs']:.1f} GB/s" if peak else ""
    lines = [f"## {facts['date'][:10]}, {facts['cpu']}", "",
             f"{facts['threads']} threads of {facts['cores']}{ceilings}. clipx {facts['commit']}; Python {facts['python']}, "
             + ", ".join(f"{n} {v}" for n, v in facts["versions"].items()) + ".", "",
             f"`{facts['command']}`: rounds: {facts['rounds']}, runs in each: {facts['runs']}; load average before: "
             f"{facts['load_average']:.2f}.", ""]
    for header, cells in made:
        lines += ["| " + " | ".join(c) + " |" for c in (header, ["---"] * len(header), *cells)] + [""]
    return "\n".join(lines)


def options():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--rows", nargs="+", default=["*"], metavar="ROW", help="names or patterns, such as 'vit_*'; --list shows them")
    p.add_argument("--list", action="store_true", help="the rows and their targets on this machine")
    p.add_argument("--rounds", type=int, help="times that every arm is started (3)")
    p.add_argument("--runs", type=int, help="timed runs of a process (7)")
    p.add_argument("--quick", action="store_true", help="1 round of 3 runs, without the compiled arms")
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--timeout", type=int, default=1200, help="seconds that a process may take")
    p.add_argument("--prepare", action="store_true", help="make the inputs of the rows and stop")
    p.add_argument("--markdown", action="store_true", help="print a section for bench/RESULTS.md in place of the table")
    p.add_argument("--shards", type=pathlib.Path, help="folder of .tar shards: captions come from it (default: made up), and the row `loader`")
    p.add_argument("--bench", type=pathlib.Path, default=ROOT / "build/release/clipx-bench")
    p.add_argument("--work", type=pathlib.Path, default=ROOT / "build/peers-work", help="inputs and results")
    o = p.parse_args()
    o.rounds, o.runs = o.rounds or (1 if o.quick else 3), o.runs or (3 if o.quick else 7)
    if min(o.rounds, o.runs, o.threads) < 1:
        p.error("--rounds, --runs and --threads start at 1")
    o.work, o.bench = o.work.absolute(), o.bench.absolute()
    return o


def main():
    o = options()
    s = setting(o)
    every = rows(s)
    for pattern in o.rows:
        if not fnmatch.filter([r.name for r in every], pattern):
            sys.exit(f"run.py: no row {pattern}; there are: " + " ".join(r.name for r in every))
    chosen = [r for r in every if any(fnmatch.fnmatch(r.name, pattern) for pattern in o.rows)]
    if o.list:
        for r in chosen:
            print(r.name, "; ".join(f"{label}: {target or 'no target'}" for label, _, target in r.targets), sep="\t")
        return 0
    o.work.mkdir(parents=True, exist_ok=True)
    facts, results = about(s), []
    path = o.work / f"results-{datetime.datetime.now():%Y-%m-%d-%H%M%S}.json"
    for r in chosen:
        made = measure(r, s)
        if made:
            results.append(made)
            path.write_text(json.dumps(facts | {"rows": results}, indent=1) + "\n")
    if o.prepare:
        return 0
    made = tables(results)
    print(markdown(facts, made) if o.markdown else "\n\n".join(plain(*t) for t in made))
    say("written:", path)
    bad = [a for r in results for a in r.get("arms", []) if not a["agrees"] or not a.get("error", "skipped").startswith("skipped")]
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
