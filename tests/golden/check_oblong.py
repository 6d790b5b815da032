"""Checks clipx against open_clip on models whose images are not square; writes nothing that is kept.

Usage: python3 tests/golden/check_oblong.py [--clipx PROGRAM] [--keep FOLDER]      (as check_plain.py)

Small models with random weights, as they are and after `clipx convert`: the embeddings of texts and of examples/images, L2-normalized,
to 1e-5; and that Hugging Face's layout refuses them.
"""
import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

import check_plain as plain
import check_siglip as base
import torch
import transformers

TEXT = {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2}
VIT = {"layers": 2, "width": 48, "head_width": 16}
KWARGS = {"embed_dim": 48, "depth": 2, "num_heads": 3}


def tower(name, size, patch, **others):
    return {"timm_model_name": name, "timm_model_pretrained": False, "image_size": size,
            "timm_model_kwargs": KWARGS | {"img_size": size, "patch_size": patch}} | others


CASES = {
    "wide": {"vision_cfg": VIT | {"image_size": [32, 64], "patch_size": 8}},
    "tall_pair": {"quick_gelu": True, "vision_cfg": VIT | {"image_size": [70, 33], "patch_size": [9, 5]}},
    "pair_of_a_square": {"vision_cfg": VIT | {"image_size": 48, "patch_size": [6, 12]}},
    "clipa": {"vision_cfg": VIT | {"image_size": [40, 24], "patch_size": [8, 6], "no_ln_pre": True, "pool_type": "avg", "final_ln_after_pool": True}},
    "timm": {"custom_text": True, "vision_cfg": tower("vit_large_patch14_clip_224", [28, 50], [7, 9], timm_pool="token", timm_proj=None)},
    "timm_avg": {"custom_text": True, "vision_cfg": tower("vit_base_patch16_224", [50, 28], 8, timm_pool="avg", timm_proj="linear")},
}
PIXELS = {"wide": {"interpolation": "bilinear"}, "clipa": {"interpolation": "bilinear", "resize_mode": "squash"},
          "timm": {"resize_mode": "longest", "fill_color": 127}, "timm_avg": {"resize_mode": "longest"}}


def refused(folder, work):
    done = subprocess.run([base.options.clipx, "convert", "--model", folder, "--layout", "hf", "--out", work / "hf"], capture_output=True, text=True)
    told = "Hugging Face's layout" in done.stderr
    base.check(f"{folder.name}: Hugging Face's layout is refused", done.returncode == 1 and told, "" if told else done.stderr.strip()[:200])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clipx", default=str(base.ROOT / "build/release/clipx"))
    parser.add_argument("--keep", metavar="FOLDER", help="where the folders are written and stay")
    parser.add_argument("--trace", action="store_true", help="print where an exception came from")
    base.options = parser.parse_args()
    transformers.utils.logging.disable_progress_bar()
    torch.set_num_threads(1)
    plain.small = lambda name: json.loads(json.dumps({"embed_dim": 24, "text_cfg": TEXT} | CASES[name]))
    plain.PIXELS = PIXELS
    with tempfile.TemporaryDirectory() as temporary:
        work = pathlib.Path(base.options.keep or temporary)
        for case in CASES:
            folder, again = work / case, work / f"{case}_converted"
            base.guarded(case, lambda: plain.make(case, folder, []))
            base.guarded(case, lambda: plain.compare(folder, work))
            base.guarded(again.name, lambda: base.clipx("convert", "--model", folder, "--layout", "open_clip", "--out", again))
            base.guarded(again.name, lambda: plain.compare(again, work))
            base.guarded(case, lambda: refused(folder, work))
    print(f"{base.failures} wrong")
    sys.exit(1 if base.failures else 0)
