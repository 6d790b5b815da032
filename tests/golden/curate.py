"""The rules of clipx curate in plain Python, and the golden file of tests/unit/curate_golden.cpp.

    python3 tests/golden/curate.py                  writes tests/golden/curate.json
    python3 tests/golden/curate.py match --queries FILE [--padding script] CAPTIONS...          prints counts.tsv
    python3 tests/golden/curate.py balance --counts TSV --t N --seed S CAPTIONS...              prints the kept keys
    python3 tests/golden/curate.py queries [--unigram-min N] [--bigram-pmi X] TEXT...           prints the list

CAPTIONS are tar shards (the .txt of each sample, or the field --caption-field of its .json) and texts with a caption a line. Needs
nothing but Python. Matching is the loop over all entries, in the words of MetaCLIP's paper, so it is slow.
"""
import argparse
import collections
import json
import math
import pathlib
import random
import string
import tarfile

MASK = (1 << 64) - 1

# ---- rules


def spaced(text):
    text = f" {text} "
    for c in "\t\r\n":
        text = text.replace(c, " ")
    for c in ",.;:?!`":
        text = text.replace(c, f" {c} ")
    return text


UNSPACED = [(0x2E80, 0x2EFF), (0x2F00, 0x2FDF), (0x2FF0, 0x2FFF), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF),
            (0x20000, 0x2A6DF), (0x2A700, 0x2B73F), (0x2B740, 0x2B81F), (0x2B820, 0x2CEAF), (0x2CEB0, 0x2EBEF),  # Han
            (0x0E00, 0x0E7F), (0x0E80, 0x0EFF), (0x1000, 0x109F), (0x1780, 0x17FF), (0x0F00, 0x0FFF)]
PUNCTUATION = string.punctuation + "，。、；：？！“”‘’（）【】《》〈〉「」『』～—"


def unspaced(c):
    return c in PUNCTUATION or any(a <= ord(c) <= b for a, b in UNSPACED)


def padded(entry, rule):
    if rule == "spaces":
        return f" {entry} "
    return ("" if unspaced(entry[0]) else " ") + entry + ("" if unspaced(entry[-1]) else " ")


def matches(text, padded_entries):
    text = spaced(text)
    return [i for i, e in enumerate(padded_entries) if e in text]


def mix(x):
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 & MASK
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB & MASK
    return x ^ (x >> 31)


STEP = 0x9E3779B97F4A7C15


def hash_of(data):
    h = 0xCBF29CE484222325  # FNV-1a
    for byte in data:
        h = (h ^ byte) * 0x100000001B3 & MASK
    return mix(h)


def draw(*parts):
    """Number 0 of draws(parts..), as a fraction of 1."""
    state = 0
    for part in parts:
        state = mix((state + STEP + part) & MASK)
    return (mix((state + STEP) & MASK) >> 11) * 2.0**-53


def probability(count, t):
    return t / max(count, t)


def decide(key, found, entries, counts, t, seed):
    """(kept, p) of a sample with these entries."""
    kept, out = False, 1.0
    for i in found:
        p = probability(counts[i], t)
        out *= 1 - p
        kept |= draw(seed, hash_of(key.encode()), hash_of(entries[i].encode())) < p
    return kept, 1 - out


def tail_threshold(counts, share):
    total, sums, best = sum(counts), 0, None
    for c in sorted(counts):
        sums += c
        d = abs(sums / total - share)
        if best is None or d < best[0]:
            best = (d, c)
    return max(best[1], 1)


def words_of(line):
    for c in ",.;:?!`":
        line = line.replace(c, f" {c} ")
    for c in map(chr, range(32)):
        line = line.replace(c, " ")
    return [w for w in line.split(" ") if w]


def query_list(lines, unigram_min=100, bigram_pmi=30.0, titles=(), titles_min=70, limit=500000):
    one, two = collections.Counter(), collections.Counter()
    for line in lines:
        words = words_of(line)
        one.update(words)
        two.update(zip(words, words[1:]))
    n = sum(one.values())
    pmi = {f"{a} {b}": math.log2(c * n / (one[a] * one[b])) for (a, b), c in two.items()}
    seen_titles = collections.Counter()
    for title, count in titles:
        if ":" not in title:
            seen_titles[title.replace("_", " ")] += count
    sources = [[str(i) for i in range(100)],
               sorted((w for w, c in one.items() if c >= unigram_min), key=lambda w: (-one[w], w.encode())),
               sorted((b for b, x in pmi.items() if x >= bigram_pmi), key=lambda b: (-pmi[b], b.encode())),
               [title for title, count in seen_titles.items() if count >= titles_min]]
    out = dict.fromkeys(e for s in sources for e in s if e and not (len(e) == 1 and e in string.punctuation))
    return list(out)[:limit]


# ---- captions


def captions_of(paths, field=""):
    """(key, [captions]) of every sample."""
    for path in paths:
        if not str(path).endswith(".tar"):
            for number, line in enumerate(pathlib.Path(path).read_bytes().removesuffix(b"\n").split(b"\n")):
                yield str(number), [line.decode()]
            continue
        samples = {}
        with tarfile.open(path) as tar:
            for member in tar:
                key, _, suffix = member.name.partition(".")
                if suffix == ("json" if field else "txt"):
                    samples[key] = tar.extractfile(member).read().decode()
        for key, text in samples.items():
            value = json.loads(text)[field] if field else text
            yield key, value if isinstance(value, list) else [value]


def count(samples, entries, rule="spaces"):
    search = [padded(e, rule) for e in entries]
    counts, found = [0] * len(entries), []
    for key, captions in samples:
        all_of = set()
        for text in captions:
            ids = matches(text, search) if text.strip() else []
            for i in ids:
                counts[i] += 1
            all_of.update(ids)
        found.append((key, sorted(all_of)))
    return counts, found


# ---- the golden file


def made_texts(rng):
    words = ("a|red|cat|dog|the photo of|New York|New York city|a red cat|red cat|mat|Tokyo|東京|東京タワー|กรุงเทพ|ひらがな|"
             "한국어|e|é").split("|")
    marks = [""] * 20 + [",", ".", "!", "`", ";", "  ", "\t", "-"]
    return [" ".join(rng.choice(words) + rng.choice(marks) for _ in range(rng.randrange(9))) for _ in range(400)]


def main_golden():
    rng = random.Random(5)
    texts = made_texts(rng)
    entries = ["a", "red", "red cat", "cat", "a red cat", "New York", "New York city", "York", "東京", "京", "タワー", "กรุงเทพ",
               "ひらがな", "한국어", "e", "é", "the photo of", "photo", "dog .", "-", "not there", "mat`", "cat,"]
    golden = {"texts": texts, "entries": entries}
    samples = [(str(i), [t]) for i, t in enumerate(texts)]
    for rule in ("spaces", "script"):
        counts, found = count(samples, entries, rule)
        t = tail_threshold(counts, 0.2)
        decided = [decide(key, ids, entries, counts, 20, 7) for key, ids in found]
        golden[rule] = {"padded": [padded(e, rule) for e in entries], "counts": counts, "found": [ids for _, ids in found],
                        "tail_t": t, "kept": [key for (key, ids), (kept, _) in zip(found, decided) if kept],
                        "p": [p for _, p in decided]}
    lines = [t.replace("\t", " ") for t in texts]
    titles = [["New_York", 60], ["Talk:Cat", 500], ["Cat's cradle", 69], ["New York", 11], ["Tokyo", 70], ["!", 99]]
    golden["titles"] = titles
    golden["queries"] = query_list(lines, 20, 3.0, titles)
    golden["queries_limited"] = query_list(lines, 5, 0.5, titles, 70, 130)
    golden["draws"] = [[s, k, e, draw(s, hash_of(k.encode()), hash_of(e.encode())).hex()]
                       for s in (0, 7, MASK) for k in ("", "000000012", "é/1") for e in ("cat", "東京")]
    path = pathlib.Path(__file__).with_name("curate.json")
    path.write_text(json.dumps(golden, ensure_ascii=False, separators=(",", ":")) + "\n")
    print(path, path.stat().st_size, "bytes")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("what", nargs="?", choices=["match", "balance", "queries"])
    parser.add_argument("files", nargs="*")
    parser.add_argument("--queries")
    parser.add_argument("--counts")
    parser.add_argument("--padding", default="spaces")
    parser.add_argument("--caption-field", default="")
    parser.add_argument("--t", type=int, default=20000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--unigram-min", type=int, default=100)
    parser.add_argument("--bigram-pmi", type=float, default=30)
    o = parser.parse_intermixed_args()
    if o.what is None:
        return main_golden()
    if o.what == "queries":
        lines = [line for f in o.files for line in pathlib.Path(f).read_text().split("\n")]
        print("\n".join(query_list(lines, o.unigram_min, o.bigram_pmi)))
    elif o.what == "match":
        entries = pathlib.Path(o.queries).read_text().split("\n")[:-1]
        counts, _ = count(captions_of(o.files, o.caption_field), entries, o.padding)
        print("\n".join(f"{e}\t{c}" for e, c in zip(entries, counts)))
    else:
        rows = [line.rsplit("\t", 1) for line in pathlib.Path(o.counts).read_text().split("\n")[:-1]]
        entries, counts = [e for e, _ in rows], [int(c) for _, c in rows]
        _, found = count(captions_of(o.files, o.caption_field), entries, o.padding)
        print("\n".join(key for key, ids in found if decide(key, ids, entries, counts, o.t, o.seed)[0]))


if __name__ == "__main__":
    main()
