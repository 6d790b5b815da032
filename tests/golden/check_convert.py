"""Checks clipx against open_clip and transformers on a real checkpoint; writes nothing that is kept.

Usage: python3 tests/golden/check_convert.py [--clipx PROGRAM] [--model DIR] [--tar FILE.tar]... [--texts FILE]
       (torch, open_clip 3.3, transformers 5, numpy, pillow 13)

convert     both layouts in f32, f16 and bf16 load in their library without a warning about keys; images and texts get the
            embeddings that clipx gives from the folder it read, within the rounding of the weights
tokenize    ids of every text in --texts and of the tars' captions equal those of open_clip's SimpleTokenizer and of CLIPTokenizer
preprocess  pixels of examples/images and of the tars' images equal those of open_clip's transform and CLIPImageProcessorPil
"""
import argparse
import io
import json
import os
import pathlib
import subprocess
import sys
import tarfile
import tempfile

import numpy as np
import open_clip
import torch
import transformers
from PIL import Image, features
from transformers import CLIPImageProcessorPil, CLIPModel, CLIPProcessor, CLIPTokenizer

ROOT = pathlib.Path(__file__).resolve().parents[2]
TEXTS = ["a photo of a cat", "A drawing of two RED apples!", "it's 3.14 o'clock", "naïve café", "☀ sun & moon", "x" * 300, ""]
failures = 0
transformers.utils.logging.disable_progress_bar()


def check(what, ok, detail=""):
    global failures
    failures += not ok
    print(f"{'ok   ' if ok else 'WRONG'} {what}{'  ' + detail if detail else ''}", flush=True)


def clipx(*args, text=None):
    return subprocess.run([options.clipx, *map(str, args)], input=text, text=True, check=True, capture_output=True,
                          env=os.environ | {"OMP_WAIT_POLICY": "passive"}).stdout


def unit(x):
    x = x.double().numpy()
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def tensor(out):
    return out if torch.is_tensor(out) else out.pooler_output


def open_clip_side(folder):
    """(model, images -> pixels, texts -> padded ids)"""
    model, transform = open_clip.create_model_from_pretrained(f"local-dir:{folder}", precision="fp32")
    bpe = next(pathlib.Path(folder).glob("bpe_*.txt.gz"))
    tokenizer = open_clip.SimpleTokenizer(bpe_path=str(bpe), context_length=model.context_length)
    return model.eval(), lambda images: torch.stack([transform(Image.open(p)) for p in images]), tokenizer


def hf_side(folder):
    model, report = CLIPModel.from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
    check(f"transformers finds every key of {pathlib.Path(folder).name}",
          not any(report[k] for k in ("missing_keys", "unexpected_keys", "mismatched_keys")))
    processor, tokenizer = CLIPImageProcessorPil.from_pretrained(folder), CLIPTokenizer.from_pretrained(folder)
    CLIPProcessor.from_pretrained(folder)
    return (model.eval(), lambda images: processor([Image.open(p) for p in images], return_tensors="pt")["pixel_values"],
            lambda texts: tokenizer(texts, padding=True, truncation=True, return_tensors="pt"))


def written(layout, dtype, work):
    folder = work / f"{layout}_{dtype}"
    clipx("convert", "--model", options.model, "--layout", layout, "--dtype", dtype, "--out", folder)
    return folder


@torch.no_grad()
def check_convert(work, images):
    (work / "texts.txt").write_text("\n".join(t for t in TEXTS if t) + "\n")
    texts = [t for t in TEXTS if t]

    def ours(model, kind, *args):
        out = work / "ours.npy"
        clipx("embed", "--model", model, "--backend", "eigen", "--precision", "f64", kind, *args, "--out", out)
        return np.load(out).astype(np.float64)

    # Weights keep u = 2^-11 or 2^-8 of themselves: the rows move by a few u (4 at most), and 1 - cosine is half the square of that.
    rounding = {"f32": 1e-7, "f16": (4 * 2**-11)**2 / 2, "bf16": (4 * 2**-8)**2 / 2}
    for layout in ("open_clip", "hf"):
        source = written(layout, "f32", work)
        rows, words = ours(source, "--images", *images), ours(source, "--texts", work / "texts.txt")
        for dtype, moved in rounding.items():
            folder = written(layout, dtype, work)
            same_rows, same_words = ours(folder, "--images", *images), ours(folder, "--texts", work / "texts.txt")
            model, pixels, tokens = (open_clip_side if layout == "open_clip" else hf_side)(folder)
            if layout == "open_clip":
                theirs = unit(model.encode_image(pixels(images))), unit(model.encode_text(tokens(texts)))
            else:
                theirs = (unit(tensor(model.get_image_features(pixel_values=pixels(images)))),
                          unit(tensor(model.get_text_features(**tokens(texts)))))
            gap = max(np.abs(theirs[0] - same_rows).max(), np.abs(theirs[1] - same_words).max())
            check(f"convert {layout} {dtype}: {'open_clip' if layout == 'open_clip' else 'transformers'} and clipx agree", gap <= 1e-5,
                  f"largest difference {gap:.1e}")
            cosine = min((rows * same_rows).sum(1).min(), (words * same_words).sum(1).min())
            check(f"convert {layout} {dtype}: the embeddings of f32 weights", 1 - cosine <= moved,
                  f"1 - least cosine {1 - cosine:.1e}")


def check_tokenize(work, texts):
    lines = [t for t in dict.fromkeys(texts) if "\n" not in t and "\r" not in t]
    for layout in ("open_clip", "hf"):
        folder = written(layout, "f32", work)
        got = [json.loads(line) for line in clipx("tokenize", "--model", folder, text="\n".join(lines) + "\n").splitlines()]
        if layout == "open_clip":
            _, _, tokenizer = open_clip_side(folder)
            end = tokenizer.eot_token_id
            want = [row[:row.index(end) + 1] for row in tokenizer(lines).tolist()]
        else:
            want = CLIPTokenizer.from_pretrained(folder)(lines, truncation=True)["input_ids"]
        wrong = [t for t, a, b in zip(lines, got, want, strict=True) if a != b]
        check(f"tokenize {layout}: {len(lines)} texts", not wrong, f"{len(wrong)} differ, first {wrong[0]!r}" if wrong else "")


def check_preprocess(work, images):
    for layout in ("open_clip", "hf"):
        folder = written(layout, "f32", work)
        _, pixels, _ = (open_clip_side if layout == "open_clip" else hf_side)(folder)
        wrong, worst, size = 0, 0.0, 512
        for at in range(0, len(images), size):
            part = images[at:at + size]
            clipx("preprocess", "--model", folder, *part, "--out", work / "pixels.npy")
            gap = np.abs(np.load(work / "pixels.npy") - pixels(part).numpy()).reshape(len(part), -1).max(1)
            wrong, worst = wrong + int((gap > 0).sum()), max(worst, float(gap.max()))
        check(f"preprocess {layout}: {len(images)} images bit-equal", wrong == 0, f"{wrong} differ, by at most {worst:.2e}")


def main():
    work = pathlib.Path(tempfile.mkdtemp(prefix="clipx_check_"))
    print(clipx("--version", "-v").strip())
    print(f"open_clip {open_clip.__version__}, transformers {transformers.__version__}, torch {torch.__version__}, "
          f"Pillow {Image.__version__} with libjpeg-turbo {features.version_feature('libjpeg_turbo')}")
    samples = sorted(str(p) for p in (ROOT / "examples/images").glob("*.png"))
    images, texts = list(samples), list(TEXTS)
    if options.texts:
        texts += pathlib.Path(options.texts).read_text(encoding="utf-8").splitlines()
    for tar in options.tar:
        with tarfile.open(tar) as archive:
            for member in archive:
                body, kind = archive.extractfile(member).read(), member.name.rsplit(".", 1)[-1]
                if kind in ("jpg", "png"):
                    path = work / f"{pathlib.Path(tar).parent.name}_{pathlib.Path(tar).stem}_{member.name}"
                    path.write_bytes(body)
                    images.append(str(path))
                elif kind == "txt":
                    texts.append(body.decode())
                elif kind == "json":
                    texts += json.loads(body).get("captions", [])
    check_convert(work, samples)
    check_tokenize(work, texts)
    check_preprocess(work, images)
    subprocess.run(["rm", "-r", str(work)], check=True)
    return 1 if failures else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--clipx", default=str(ROOT / "build/release/clipx"))
    parser.add_argument("--model", default=str(ROOT / "models/default"))
    parser.add_argument("--tar", action="append", default=[])
    parser.add_argument("--texts")
    options = parser.parse_args()
    sys.exit(main())
