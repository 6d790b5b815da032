"""clipx's matching of captions with a query list beside pyahocorasick's and the plain loop, one core each, in alternating rounds.

    python3 -m pip install pyahocorasick==2.3.1
    python3 bench/peers/match.py [--bench build/release/clipx-bench] [--entries 500000] [--captions 300000] [--rounds 7]
    python3 bench/peers/match.py --texts FILE [--queries FILE]      a caption a line, an entry a line

Without files it makes both: entries are WordNet's words where Debian's wordnet-base is installed, made words and pairs of words;
captions are made of them, frequent ones more often. Every arm turns raw captions into sets of entries as MetaCLIP does (spaces around
punctuation, then the search), and, apart, searches captions whose spaces are set. Their results must be equal, for all captions and,
against the plain loop `entry in text`, for the first of them. Exit status: 1 if they differ, or below --least times pyahocorasick.
"""
import argparse
import itertools
import json
import pathlib
import random
import statistics
import subprocess
import sys
import tempfile
import time

try:
    import ahocorasick
except ImportError:
    sys.exit("match.py: pyahocorasick is not installed: python3 -m pip install pyahocorasick==2.3.1")

ROOT = pathlib.Path(__file__).resolve().parents[2]
WORDNET = pathlib.Path("/usr/share/wordnet")


def spaced(text):
    text = f" {text} "
    for c in ",.;:?!`":
        text = text.replace(c, f" {c} ")
    return text.replace("\t", " ").replace("\r", " ")


def make_entries(n, rng):
    out = dict.fromkeys(map(str, range(100)))
    for kind in ("adj", "adv", "noun", "verb"):
        path = WORDNET / f"data.{kind}"
        for line in path.read_text(encoding="latin1").split("\n") if path.exists() else []:
            fields = line.split()
            if line[:1] not in ("", " "):
                out.update(dict.fromkeys(fields[4 + 2 * k].split("(")[0].replace("_", " ") for k in range(int(fields[3], 16))))
    syllables = [a + b for a in "b c d f g k l m n p r s t v st tr".split() for b in "a e i o u ar en is on".split()]
    while len(out) < 0.7 * n:
        out["".join(rng.choice(syllables) for _ in range(rng.randint(2, 4)))] = None
    words = [e for e in out if " " not in e]
    while len(out) < n:
        out[rng.choice(words) + " " + rng.choice(words)] = None
    return list(out)[:n]


def make_captions(n, entries, rng):
    words = [e for e in entries if " " not in e]
    rng.shuffle(words)
    weights = list(itertools.accumulate(1 / (i + 5) for i in range(len(words))))
    common = "a the of and in with on for to photo picture image red blue white black".split()
    letters = "abcdefghijklmnopqrstuvwxyz"

    def word():
        r = rng.random()
        if r < 0.4:
            return rng.choice(common)
        if r < 0.9:
            return rng.choices(words, cum_weights=weights)[0]
        return rng.choice(entries) if r < 0.97 else "".join(rng.choice(letters) for _ in range(rng.randint(3, 9)))

    return [" ".join(word() + (rng.choice(",.!") if rng.random() < 0.08 else "") for _ in range(rng.randint(3, 14))) for _ in range(n)]


def lines_of(path):
    return pathlib.Path(path).read_bytes().decode().removesuffix("\n").split("\n")


class clipx:
    """clipx-bench, a process for each round; its clock starts when the automaton is built."""

    def __init__(self, bench, folder):
        self.command = [bench, "match", "--queries", folder / "queries.txt", "--texts", folder / "captions.txt", "--json"]
        self.out = folder / "ids.jsonl"

    def facts(self, *more):
        done = subprocess.run([*map(str, self.command), *map(str, more)], capture_output=True, text=True, check=True)
        return json.loads(done.stdout)

    def seconds(self, normalized):
        return self.facts("--runs", 1, "--warmup", 1, *(["--normalized"] if normalized else []))["median_ms"] / 1e3

    def sets(self):
        self.facts("--runs", 1, "--warmup", 0, "--out", self.out)
        return [json.loads(line) for line in lines_of(self.out)]


class peer:
    def __init__(self, entries, captions):
        start = time.perf_counter()
        self.automaton = ahocorasick.Automaton(ahocorasick.STORE_INTS)
        for i, entry in enumerate(entries):
            self.automaton.add_word(f" {entry} ", i)
        self.automaton.make_automaton()
        self.build = time.perf_counter() - start
        self.raw, self.normalized = captions, [spaced(c) for c in captions]

    def seconds(self, normalized):
        find = self.automaton.iter
        start = time.perf_counter()
        if normalized:
            for text in self.normalized:
                {i for _, i in find(text)}
        else:
            for text in self.raw:
                {i for _, i in find(spaced(text))}
        return time.perf_counter() - start

    def sets(self):
        return [sorted({i for _, i in self.automaton.iter(text)}) for text in self.normalized]


def naive(entries, captions):
    padded = [f" {e} " for e in entries]
    start = time.perf_counter()
    out = [[i for i, e in enumerate(padded) if e in text] for text in map(spaced, captions)]
    return out, (time.perf_counter() - start) / len(captions)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bench", default=ROOT / "build/release/clipx-bench", type=pathlib.Path)
    parser.add_argument("--entries", type=int, default=500_000)
    parser.add_argument("--captions", type=int, default=300_000)
    parser.add_argument("--queries")
    parser.add_argument("--texts")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--naive", type=int, default=100, help="captions for the plain loop")
    parser.add_argument("--least", type=float, default=3.0)
    parser.add_argument("--json", action="store_true")
    o = parser.parse_args()
    rng = random.Random(1)
    entries = lines_of(o.queries) if o.queries else make_entries(o.entries, rng)
    captions = lines_of(o.texts) if o.texts else make_captions(o.captions, entries, rng)
    megabytes = sum(len(c.encode()) for c in captions) / 1e6
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        (folder / "queries.txt").write_text("\n".join(entries) + "\n")
        (folder / "captions.txt").write_text("\n".join(captions) + "\n")
        ours, theirs = clipx(o.bench, folder), peer(entries, captions)
        facts = ours.facts("--runs", 1, "--warmup", 0)
        plain, plain_seconds = naive(entries, captions[:o.naive])
        found, wanted = ours.sets(), theirs.sets()
        equal = found == wanted and found[:o.naive] == plain
        times = {}
        for _ in range(o.rounds):
            for normalized in (False, True):
                for arm, run in (("clipx", ours), ("pyahocorasick", theirs)):
                    times.setdefault((arm, normalized), []).append(run.seconds(normalized))
    median = {key: statistics.median(all_of) for key, all_of in times.items()}
    ratio = {n: median["pyahocorasick", n] / median["clipx", n] for n in (False, True)}
    result = {"entries": len(entries), "captions": len(captions), "mb": megabytes, "equal": equal,
              "clipx_build_s": facts["build_ms"] / 1e3, "pyahocorasick_build_s": theirs.build, "states": facts["states"],
              "automaton_mb": facts["automaton_mb"], "matches": facts["matches"],
              "clipx_mb_per_s": megabytes / median["clipx", False], "pyahocorasick_mb_per_s": megabytes / median["pyahocorasick", False],
              "ratio": ratio[False], "clipx_search_mb_per_s": megabytes / median["clipx", True],
              "pyahocorasick_search_mb_per_s": megabytes / median["pyahocorasick", True], "search_ratio": ratio[True],
              "naive_mb_per_s": megabytes / len(captions) / plain_seconds, "rounds": o.rounds}
    if o.json:
        print(json.dumps(result))
    else:
        for key, value in result.items():
            print(f"{key:32} {value:.3f}" if isinstance(value, float) else f"{key:32} {value}")
    sys.exit(0 if equal and min(ratio.values()) >= o.least else 1)


if __name__ == "__main__":
    main()
