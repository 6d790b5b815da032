"""Every image file of folders through clipx and through Pillow: equal, different or refused, by format and mode, with causes.

    python3 tests/golden/check_images.py FOLDER... --clipx build/release/tests/decode-images [--orientation] [--list]

decode-images is tests/golden/decode_images.cpp (cmake --build build/release --target decode-images). Compared are the mode, the bytes in
that mode, RGB, and both layouts' preprocessing to 32 x 32 (open_clip: resized, then converted; transformers: converted first). With
--orientation, clipx's exif_orientation against ImageOps.exif_transpose. Pillow opens HEIC with pillow-heif and JPEG XL with
pillow-jxl-plugin, where they are installed; AVIF by its own libavif. Exit code 1: a difference without a named cause.
"""
import argparse
import collections
import importlib.metadata
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import warnings

import numpy as np
from PIL import Image, ImageOps, features

versions = {"Pillow": Image.__version__, "libjpeg-turbo": features.version("libjpeg_turbo"), "libwebp": features.version("webp"),
            "libtiff": features.version("libtiff"), "libavif": features.version("avif")}
try:
    import pillow_heif
    pillow_heif.register_heif_opener()
    versions["pillow-heif"] = f"{pillow_heif.__version__} (libheif {pillow_heif.libheif_version()})"
except ImportError:
    pass
try:
    import pillow_jxl  # noqa: F401
    versions["pillow-jxl-plugin"] = importlib.metadata.version("pillow-jxl-plugin")
except ImportError:
    pass

OURS = {"JPEG", "MPO", "PNG", "WEBP", "GIF", "BMP", "DIB", "PPM", "TIFF", "HEIF", "AVIF", "JXL"}
SIDE = 32
REFUSED = "not an image, or a format that is not read"


def prepared(img, hf):
    """As open_clip's transform or transformers' processor, without the tensor."""
    if hf:
        if img.mode in ("LA", "RGBA") or "transparency" in img.info:
            rgba = img.convert("RGBA")
            img = Image.alpha_composite(Image.new("RGBA", img.size, (255, 255, 255)), rgba).convert("RGB")
        elif img.mode != "RGB":
            img = img.convert("RGB")
    w, h = img.size
    size = (SIDE, SIDE * h // w) if w <= h else (SIDE * w // h, SIDE)
    img = img.resize(size, Image.Resampling.BICUBIC)
    at = [(n - SIDE) // 2 if hf else round((n - SIDE) / 2) for n in size]
    return np.asarray(img.crop((at[0], at[1], at[0] + SIDE, at[1] + SIDE)).convert("RGB"))


def by_pillow(path, orientation):
    out = {"format": "", "mode": "", "error": ""}
    try:
        with Image.open(path) as img:
            out["format"], out["mode"] = img.format, img.mode
            img.load()
            if orientation and img.format != "TIFF":
                img = ImageOps.exif_transpose(img)
            mode = img.mode
            bands = img.convert("L").tobytes() if mode == "1" else img.tobytes()
            if mode == "I;16B":
                bands = np.frombuffer(bands, ">u2").astype("<u2").tobytes()
            out |= {"mode": mode, "transparency": "transparency" in img.info, "width": img.width, "height": img.height, "bands": bands,
                    "info": dict(img.info)}
            out["rgb"] = img.convert("RGB").tobytes()
            out["small"] = [prepared(img, False).tobytes(), prepared(img, True).tobytes()]
    except Exception as e:
        out["error"] = f"{type(e).__name__}: {e}"
    return out


def by_clipx(program, paths, orientation):
    with tempfile.TemporaryFile() as answers:
        names = "".join(f"{p}\n" for p in paths)
        subprocess.run([program] + ["orientation"] * orientation, input=names.encode(), stdout=answers, check=True)
        answers.seek(0)
        for _ in paths:
            out = json.loads(answers.readline())
            if "error" not in out:
                out["bands"], out["rgb"] = answers.read(out["bands"]), answers.read(out["rgb"])
                n = out["small"]
                out["small"] = [answers.read(n), answers.read(n)]
            yield out


def differences(want, got):
    out = []
    for name in ("mode", "width", "height", "transparency"):
        a = want[name].replace("I;16B", "I;16") if name == "mode" else want[name]
        if a != got[name]:
            out.append(f"{name} {got[name]}, Pillow's {a}")
    gray = out == ["mode RGB, Pillow's L"] and want["format"] in ("HEIF", "AVIF")  # which libheif gives as RGB
    if gray:
        out = []
    if not any(d.startswith(("width", "height")) for d in out):
        for name in ("rgb",) if out or gray else ("bands", "rgb"):
            if want[name] != got[name]:
                a, b = np.frombuffer(want[name], np.uint8).astype(int), np.frombuffer(got[name], np.uint8).astype(int)
                out.append(f"{name} mean {abs(a - b).mean():.3f}, up to {abs(a - b).max()}" if len(a) == len(b) else name)
        out += [f"small {kind}" for kind, a, b in zip(("open_clip", "hf"), want["small"], got["small"]) if a != b]
    return out


def cause(path, want, got, found, orientation):
    """Why the two may differ, or ""."""
    error, theirs = got.get("error", ""), want["error"].replace(str(path), "FILE")
    kind, mode = want["format"], want["mode"]
    mean = max([float(n) for d in found for n in re.findall(r"mean ([0-9.]+)", d)] or [0])
    if error and not theirs:
        if kind not in OURS and REFUSED in error:
            return "a format that clipx does not read"
        if mode in ("LAB", "PA") and "unsupported TIFF" in error:
            return f"TIFF of mode {mode}, which clipx does not have, and says so"
        if re.search("unsupported JPEG: more than 100 scans|this libtiff lacks compression", error):
            return "unsupported, and said so: " + error.split(": ", 1)[1][:70]
    if theirs and not error:
        for text, why in (("cannot identify", "clipx reads a kind that Pillow does not take for an image"),
                          ("APNG contains frame sequence errors", "PNG: the frames of the animation are damaged; clipx reads the first image alone"),
                          ("MAX_TEXT_CHUNK", "PNG: Pillow's limit for texts, which clipx does not read"),
                          ("Truncated cHRM", "PNG: a damaged chunk that clipx does not read"),
                          ("Truncated File Read", "PNG: a chunk behind the pixels is cut short, which clipx does not mind"),
                          ("unknown raw mode", "TIFF: Pillow's table names a raw mode that it lacks"),
                          ("decoder error -2", "TIFF: a codec that Pillow's libtiff lacks, or blocks of another size than Pillow computes")):
            if text in theirs:
                return why
    if orientation and found and ("xmp" in want["info"] or "XML:com.adobe.xmp" in want["info"] or "Raw profile type exif" in want["info"]):
        return "an orientation in XMP, or in ImageMagick's text chunk of a PNG, which clipx does not look for"
    if kind == "AVIF" and not orientation and re.search(rb"irot|imir", path.read_bytes()[:4096]):
        return "AVIF: libheif applies irot and imir, Pillow leaves them to its EXIF orientation"
    if kind == "AVIF" and mean < 8:
        return "AVIF: Pillow's libavif makes RGB of YCbCr in another way than libheif"
    if kind == "HEIF" and mean < 4:
        return "HEIC: another version of libheif makes RGB of YCbCr in another way"
    if kind == "JPEG" and mean < 4 and "progressive" in want["info"]:
        return "JPEG: incomplete progressive files, which libjpeg-turbo 2.1 and 3 fill in in their own ways"
    if kind == "JXL" and mode in ("I;16", "F"):
        return "JPEG XL gray of more than 8 bits: the plugin keeps them, and they saturate; clipx makes 8 bits of them"
    if kind == "JXL" and mean < 2:
        return "JPEG XL with loss: another version of libjxl"
    if kind == "TIFF" and mode == "YCbCr":
        return "TIFF: Pillow keeps uncompressed YCbCr as it is; clipx makes RGB of it"
    if mode == "I" and found == ["small open_clip"] and abs(np.frombuffer(want["bands"], np.int32).astype(float)).max() > 2**30:
        return "sums beyond 32 bits, which C leaves undefined"
    if kind == "TIFF" and mode == "I;16B" and found == ["small open_clip"]:
        return "TIFF of 16 bits, big-endian: Pillow resizes it as if its bytes were in the other order"
    return ""


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", nargs="+", type=pathlib.Path)
    parser.add_argument("--clipx", required=True)
    parser.add_argument("--orientation", action="store_true")
    parser.add_argument("--list", action="store_true", help="name every file that is not equal")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    paths = sorted(p for f in args.folder for p in f.rglob("*") if p.is_file() and "\n" not in str(p) and os.path.getsize(p) > 0)
    table, causes, unnamed = collections.Counter(), collections.Counter(), []
    for path, got in zip(paths, by_clipx(args.clipx, paths, args.orientation)):
        want = by_pillow(path, args.orientation)
        if not want["format"] and got.get("error", "").find(REFUSED) >= 0:
            continue  # neither takes it for an image
        found = []
        if want["error"] or "error" in got:
            verdict = "refused by both" if want["error"] and "error" in got else "refused by clipx" if "error" in got else "refused by Pillow"
        else:
            found = differences(want, got)
            verdict = "different" if found else "equal"
        table[want["format"] or "(none)", want["mode"] if want["format"] in OURS else "", verdict] += 1
        if verdict in ("equal", "refused by both"):
            continue
        why = cause(path, want, got, found, args.orientation)
        causes[why or "NO CAUSE NAMED"] += 1
        line = f"{path}: {want['format']} {want['mode']}: {verdict}: {'; '.join(found) or got.get('error') or want['error']}"
        if not why:
            unnamed.append(line)
        if args.list:
            print(line, "|", why)
    print(", ".join(f"{k} {v}" for k, v in versions.items()))
    for key, n in sorted(table.items()):
        print(f"{key[0]:8} {key[1]:6} {key[2]:18} {n}")
    print(f"\n{sum(table.values())} files; equal {sum(n for k, n in table.items() if k[2] == 'equal')}")
    for why, n in causes.most_common():
        print(f"{n:6} {why}")
    for line in unnamed:
        print("NO CAUSE:", line)
    return 1 if unnamed else 0


if __name__ == "__main__":
    sys.exit(main())
