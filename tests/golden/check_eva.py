"""Checks clipx against open_clip on EVA and PE-Core models, with random weights; writes nothing that is kept.

Usage: python3 tests/golden/check_eva.py [--clipx PROGRAM] [--keep FOLDER] [--only names|sizes|answers] [--case CONFIGURATION]...
       (torch, timm 1.0, open_clip 3.3, safetensors, numpy, pillow)

names    every tower of timm's that clipx knows, under all poolings and heads: clipx finds all tensors in a file that has the shapes of timm's
         model (the values are holes), and counts as many parameters
sizes    the same of open_clip's 12 configurations, and of the file alone, whose configuration clipx infers
answers  these configurations in their own widths with two blocks a tower: the embeddings of texts and of images, L2-normalized, to 1e-5, from
         the folder as it is and after `clipx convert`. The images are those of random_models.py: drawings on white are too alike to a
         random tower
"""
import argparse
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import numpy as np
import open_clip
import torch
from models import MEAN, STD
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image
from plain import made
from random_models import Work, no_initial_values, randomise, save_shapes
from safetensors.torch import save_file

ROOT = pathlib.Path(__file__).resolve().parents[2]
TEXTS = ["a photo of a cat", "A drawing of two RED apples!", "umbrella", "☂ the sun"]
BOUND = 1e-5
CASES = ["EVA01-g-14", "EVA01-g-14-plus", "EVA02-B-16", "EVA02-L-14", "EVA02-L-14-336", "EVA02-E-14", "EVA02-E-14-plus", "PE-Core-T-16-384",
         "PE-Core-S-16-384", "PE-Core-B-16", "PE-Core-L-14-336", "PE-Core-bigG-14-448"]
failures = 0


def check(what, good, why=""):
    global failures
    failures += not good
    print(f"{'ok   ' if good else 'WRONG'} {what}{': ' + why if why else ''}", flush=True)


def clipx(*args):
    done = subprocess.run([options.clipx, *map(str, args)], text=True, capture_output=True, env=os.environ | {"OMP_WAIT_POLICY": "passive"})
    if done.returncode:
        raise RuntimeError(f"clipx {args[0]}: {done.stderr.strip()}")
    return done.stdout


def build(cfg, device):
    vision = {k: v for k, v in cfg["vision_cfg"].items() if k != "timm_model_kwargs"}
    with made(cfg["vision_cfg"]), no_initial_values(), torch.device(device):
        return open_clip.CustomTextCLIP(cfg["embed_dim"], vision, cfg["text_cfg"]).eval()


def inspected(name, cfg, folder, alone):
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    model = build(cfg, "meta")
    save_shapes(model, folder / "open_clip_model.safetensors")
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": cfg}))
    facts = json.loads(clipx("inspect", folder, "--json"))
    want = sum(p.numel() for p in model.parameters())
    check(f"{name}: {want} parameters", facts["parameters"] == want, "" if facts["parameters"] == want else f"clipx counts {facts['parameters']}")
    if not alone:
        return
    inferred = json.loads(clipx("inspect", folder / "open_clip_model.safetensors", "--activation", "gelu", "--json"))
    differ = [k for k in facts if k not in ("name", "preprocessing") and inferred.get(k) != facts[k]]
    check(f"{name}: the file alone", not differ, f"{differ} differ" if differ else "")


def check_names(work):
    text = (ROOT / "include/clipx/architectures/eva_vit-inl.hpp").read_text()
    for name in re.findall(r'\{"((?:eva|vit_pe)[a-z0-9_]+)"', text):
        for projection, pool in [(None, "token"), (None, "avg"), (None, "map"), ("none", "avg"), ("linear", ""), ("linear", "avg")]:
            if pool == "token" and "gigantic" in name:
                continue  # it has no class token
            vision = {"timm_model_name": name, "timm_proj": projection, "timm_pool": pool, "image_size": int(name.rsplit("_", 1)[1])}
            with torch.device("meta"):
                dim = open_clip.timm_model.timm.create_model(name).num_features if projection == "none" else 512
            text_cfg = {"width": 64, "heads": 1, "layers": 1, "vocab_size": 100, "context_length": 8}
            inspected(f"{name}, {projection}, {pool}", {"embed_dim": dim, "custom_text": True, "vision_cfg": vision, "text_cfg": text_cfg},
                      work / "shapes", False)


def check_answers(name, work):
    cfg = open_clip.get_model_config(name)
    cfg["vision_cfg"]["timm_model_kwargs"] = {"depth": 2}
    cfg["text_cfg"]["layers"] = 2
    model = build(cfg, "cpu")
    randomise(model, 1)
    paths = Work(work, options.clipx, []).images
    folder, again = work / name, work / f"{name}-again"
    folder.mkdir(parents=True)
    pixels = {"mean": MEAN, "std": STD, "interpolation": "bicubic", "resize_mode": "shortest"}
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": cfg, "preprocess_cfg": pixels}))
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, folder / "open_clip_model.safetensors", {"format": "pt"})
    shutil.copy(pathlib.Path(open_clip.__file__).parent / "bpe_simple_vocab_16e6.txt.gz", folder)
    transform = image_transform_v2(PreprocessCfg(size=cfg["vision_cfg"]["image_size"], **pixels), is_train=False)
    ids = open_clip.SimpleTokenizer(context_length=cfg["text_cfg"]["context_length"])(TEXTS)
    with torch.no_grad():
        images = model.encode_image(torch.stack([transform(Image.open(p)) for p in paths]), normalize=True).numpy()
        texts = model.encode_text(ids, normalize=True).numpy()
    del model
    (work / "texts.txt").write_text("\n".join(TEXTS) + "\n", encoding="utf-8")
    clipx("convert", "--model", folder, "--layout", "open_clip", "--out", again)
    for start in (folder, again):
        for kind, want, what in (("--images", images, paths), ("--texts", texts, [work / "texts.txt"])):
            clipx("embed", "--model", start, kind, *what, "--out", work / "rows.npy")
            got = np.load(work / "rows.npy")
            far = np.abs(got - want).max() if got.shape == want.shape else np.inf
            alike = (want @ want.T - 2 * np.eye(len(want))).max()
            check(f"{start.name}: {kind[2:]}", far <= BOUND and alike < 1 - 1e-4, f"largest difference {far:.1e}, the most alike {alike:.4f}")
    if not options.keep:
        shutil.rmtree(folder), shutil.rmtree(again)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clipx", default=str(ROOT / "build/release/clipx"))
    parser.add_argument("--case", action="append", default=[], choices=CASES)
    parser.add_argument("--only", choices=["names", "sizes", "answers"])
    parser.add_argument("--keep", metavar="FOLDER", help="where the folders are written and stay")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(clipx("--version").strip())
    print(f"open_clip {open_clip.__version__}, torch {torch.__version__}")
    with tempfile.TemporaryDirectory() as temporary:
        work = pathlib.Path(options.keep or temporary)
        if options.only in (None, "names"):
            check_names(work)
        for case in options.case or CASES:
            if options.only in (None, "sizes"):
                inspected(case, open_clip.get_model_config(case), work / "shapes", True)
            if options.only in (None, "answers"):
                check_answers(case, work)
    print(f"{failures} wrong")
    sys.exit(1 if failures else 0)
