"""Writes tests/golden/curate_hashes.json, hashes of small images and bytes as xxhash, Pillow, numpy and scipy compute them, and
tests/golden/curate_semantic.json, k-means and SemDeDup as plain loops compute them in float64; tests/golden/curate_filters.json, what
the text rules count and find by plain loops. Needs xxhash, numpy, scipy and Pillow;
see README.md. Run from the repository root."""
import io
import json
import struct
import unicodedata

import numpy as np
import scipy.fft
import xxhash
from PIL import Image

random = np.random.default_rng(13)


def phash(image):
    gray = np.asarray(image.convert("RGB").convert("L").resize((32, 32), Image.BICUBIC), dtype=np.float64)
    low = scipy.fft.dct(scipy.fft.dct(gray, axis=0), axis=1)[:8, :8]
    median = np.median(low)
    margin = np.sort(np.abs(low - median).ravel())[0]
    assert margin > 1e-2, margin  # no bit that rounding could decide
    return "".join("1" if value > median else "0" for value in low.ravel())


def draw(kind):
    """A smooth image with some detail, in one of Pillow's modes, as a PNG."""
    mode, width, height = kind
    y, x = np.mgrid[0:height, 0:width]
    bands = []
    for _ in range(3):
        a, b, c, d = random.uniform(0.02, 0.3, 4)
        wave = 127 + 60 * np.sin(a * x + c) + 50 * np.cos(b * y + d * x) + random.normal(0, 6, (height, width))
        bands.append(np.clip(wave, 0, 255).astype(np.uint8))
    image = Image.fromarray(np.stack(bands, -1), "RGB")
    if mode == "RGBA":
        image.putalpha(Image.fromarray(bands[0]))
    return image.convert(mode) if mode != "RGBA" else image


STEP, MASK = 0x9E3779B97F4A7C15, 2**64 - 1


def mix(x):
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 & MASK
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB & MASK
    return x ^ (x >> 31)


class Draws:
    """clipx::draws (core/random.hpp)."""

    def __init__(self, *parts):
        self.state = 0
        for part in parts:
            self.state = mix((self.state + STEP + part) & MASK)

    def __call__(self, i):
        return mix((self.state + (i + 1) * STEP) & MASK)

    def below(self, i, n):
        x = self(i)
        return ((x >> 32) * n + ((x & 0xFFFFFFFF) * n >> 32)) >> 32

    def uniform(self, i):
        x = self(i)
        return ((x - 2**64 if x >> 63 else x) >> 11) * 2.0**-52


def rows_of(n, d):
    """Unit rows around 12 centers, closer and closer: the test makes the same."""
    centers, noise = Draws(1), Draws(2)
    rows = []
    for i in range(n):
        scale = 0.6 / (1 + i // 24)
        row = [centers.uniform(i % 12 * d + j) + scale * noise.uniform(i * d + j) for j in range(d)]
        norm = sum(v * v for v in row) ** 0.5
        rows.append([float(np.float32(v / norm)) for v in row])
    return rows


def dot(x, y):
    return sum(a * b for a, b in zip(x, y))


def nearest(row, centroids):
    cosines = [dot(row, c) for c in centroids]
    best = max(range(len(cosines)), key=lambda c: cosines[c])
    others = [c for i, c in enumerate(cosines) if i != best]
    assert cosines[best] - max(others) > 1e-5  # float cannot decide otherwise
    return best


def kmeans(rows, cells, iterations, seed):
    order, draw = list(range(len(rows))), Draws(seed, ord("k"))
    for c in range(cells):
        other = c + draw.below(c, len(rows) - c)
        order[c], order[other] = order[other], order[c]
    centroids = [rows[order[c]] for c in range(cells)]
    for _ in range(iterations):
        cell = [nearest(row, centroids) for row in rows]
        for c in range(cells):
            mine = [row for row, k in zip(rows, cell) if k == c]
            assert mine
            total = [sum(values) for values in zip(*mine)]
            norm = dot(total, total) ** 0.5
            centroids[c] = [v / norm for v in total]
    return centroids, [nearest(row, centroids) for row in rows]


def semdedup(rows, cell, centroids, threshold, farthest, chains):
    """[row, row that it goes for] of all that go."""
    gone = []
    for c in range(len(centroids)):
        line = [i for i in range(len(rows)) if cell[i] == c]
        line.sort(key=lambda i: dot(rows[i], centroids[c]) * (1 if farthest else -1))
        before = []
        for i in line:
            cosines = [dot(rows[i], rows[j]) for j in before]
            assert all(abs(v - threshold) > 1e-6 for v in cosines)
            close = [j for j, v in zip(before, cosines) if v > threshold]
            if close:
                gone.append([i, close[0]])
            if chains or not close:
                before.append(i)
    return sorted(gone)


def semantic():
    rows = rows_of(240, 19)
    cells, iterations, seed = 7, 10, 5
    centroids, cell = kmeans(rows, cells, iterations, seed)
    out = {"cells": cells, "iterations": iterations, "seed": seed, "cell": cell, "cases": []}
    for threshold, farthest, chains in ((0.99, True, False), (0.97, False, False), (0.97, True, True), (0.97, True, False)):
        gone = semdedup(rows, cell, centroids, threshold, farthest, chains)
        out["cases"].append({"cosine": threshold, "keep_farthest": farthest, "chains": chains, "gone": gone})
        print(threshold, farthest, chains, len(gone), "of", len(rows))
    assert out["cases"][2]["gone"] != out["cases"][3]["gone"]
    with open("tests/golden/curate_semantic.json", "w") as file:
        json.dump(out, file)
        file.write("\n")


def folded(text):
    return " ".join(unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).lower()).split())


def word_part(c):
    return unicodedata.category(c)[0] in "LNM"


def holds(text, entry):
    """Whether a text holds an entry as whole words: no letter, digit or mark goes on at either end."""
    def cut(at):
        return at in (0, len(text)) or not word_part(text[at - 1]) or not word_part(text[at])
    return any(text.startswith(entry, at) and cut(at) and cut(at + len(entry)) for at in range(len(text)))


def filters():
    entries = ["damned", "two words", "a$$", "stra\u00dfe", "\u00c4RGER", "\u043f\u043b\u043e\u0445\u043e", "\u0915", "x.y", "ass"]
    words = ["a", "Damned", "DAMNED", "damnedest", "two", "words", "Two  Words", "a$$", "a$$et", "(damned)", "Stra\u00dfe", "\u00e4rger",
             "a\u0308rger", "\u00c4rgernis", "\u041f\u041b\u041e\u0425\u041e", "\u0915", "\u0915\u094d\u0937", "x.y", "x.yz", "photo", "of",
             "class", "ass", "\u732b", "\u3000", "\u00a0", "7", "ass7", "-", "\U0001f600"]
    draw, cases = Draws(31), []
    for i in range(400):
        own = Draws(draw(i))
        text = " ".join(words[own.below(1 + j, len(words))] for j in range(own.below(0, 8)))
        seen = folded(text)
        cases.append({"text": text, "words": len(text.split()), "characters": len(text),
                      "holds": sorted(e for e in map(folded, entries) if holds(seen, e))})
    with open("tests/golden/curate_filters.json", "w") as file:
        json.dump({"entries": entries, "cases": cases}, file)
        file.write("\n")


def main():
    cases = {"bytes": [], "images": []}
    for n in (0, 1, 3, 16, 17, 128, 129, 240, 241, 1024, 5000):
        data = bytes((i * 7 + i // 256) % 256 for i in range(n))
        cases["bytes"].append([n, xxhash.xxh3_128(data).hexdigest()])
    for kind in (("RGB", 64, 64), ("RGB", 100, 40), ("RGB", 31, 57), ("L", 48, 64), ("RGBA", 50, 50), ("P", 40, 40), ("RGB", 32, 32)):
        image = draw(kind)
        file = io.BytesIO()
        image.save(file, "PNG")
        rgb = Image.open(io.BytesIO(file.getvalue())).convert("RGB")
        pixels = struct.pack("<QQ", *rgb.size) + rgb.tobytes()
        cases["images"].append({
            "mode": kind[0], "png": file.getvalue().hex(), "bytes": xxhash.xxh3_128(file.getvalue()).hexdigest(),
            "pixels": xxhash.xxh3_128(pixels).hexdigest(), "phash": phash(image),
        })
    with open("tests/golden/curate_hashes.json", "w") as out:
        json.dump(cases, out, indent=0)
        out.write("\n")
    semantic()
    filters()


main()
