"""Checks clipx against open_clip on ConvNeXt and ViTamin models of their real widths, with random weights; writes nothing that is kept.

Usage: python3 tests/golden/check_convnext.py [--clipx PROGRAM] [--case CASE]... [--keep FOLDER]
       (torch, timm 1.0, open_clip 3.3, safetensors, numpy, pillow)

Each case is one of open_clip's configurations, the larger ones with fewer blocks, which timm_model_kwargs and text_cfg say. The folder is
opened by open_clip and by clipx, as it is and after `clipx convert`: the embeddings of examples/images and of a few texts, L2-normalized, to 1e-5.
"""
import argparse
import json
import os
import pathlib
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
from safetensors.torch import save_file
from siglip import timm_kwargs

ROOT = pathlib.Path(__file__).resolve().parents[2]
IMAGES = sorted(str(p) for p in (ROOT / "examples/images").glob("*.png"))
TEXTS = ["a photo of a cat", "A drawing of two RED apples!", "umbrella", "☂ the sun"]
BOUND = 1e-5
FEW, TWO = {"depths": [1, 1, 2, 1]}, {"depth": 2}
CASES = {"convnext_tiny": {}, "convnext_base_w_320": {}, "convnext_large_d": FEW, "convnext_large_d_320": FEW, "convnext_xxlarge": FEW,
         "ViTamin-S": {}, "ViTamin-B-LTT": TWO, "ViTamin-L-336": TWO, "ViTamin-XL-384": TWO}
failures = 0


def check(what, far):
    global failures
    failures += not far <= BOUND
    print(f"{'ok   ' if far <= BOUND else 'WRONG'} {what}: largest difference {far:.1e}", flush=True)


def clipx(*args):
    done = subprocess.run([options.clipx, *map(str, args)], text=True, capture_output=True, env=os.environ | {"OMP_WAIT_POLICY": "passive"})
    if done.returncode:
        sys.exit(f"clipx {args[0]}: {done.stderr.strip()}")
    return done.stdout


def randomise(model):
    """timm's LayerScale begins at 1e-6, where no block would show, and norms with 1 and 0; so do positions with 0.02."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.ndim == 1:
                around = 1 if name.endswith(".weight") else 0.5 if name.endswith("gamma") else 0
                p.copy_(around + 0.2 * torch.randn(p.shape, generator=generator))
            elif name.endswith("pos_embed"):
                p.copy_(0.5 * torch.randn(p.shape, generator=generator))


def one_case(name, work):
    path = pathlib.Path(open_clip.__file__).parent
    cfg = json.loads((path / "model_configs" / f"{name}.json").read_text())
    torch.manual_seed(0)
    if name.startswith("ViTamin"):
        cfg["text_cfg"]["layers"] = 2
    kind = open_clip.CustomTextCLIP if cfg.get("custom_text") else open_clip.CLIP
    with timm_kwargs(CASES[name]):
        model = kind(cfg["embed_dim"], cfg["vision_cfg"], cfg["text_cfg"]).eval()
    randomise(model)
    folder = work / name
    folder.mkdir(parents=True, exist_ok=True)
    if CASES[name]:
        cfg["vision_cfg"]["timm_model_kwargs"] = CASES[name]
    pixels = {"mean": MEAN, "std": STD, "interpolation": "bicubic", "resize_mode": "shortest"}
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": cfg, "preprocess_cfg": pixels}))
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, folder / "open_clip_model.safetensors")
    shutil.copy(path / "bpe_simple_vocab_16e6.txt.gz", folder)
    transform = image_transform_v2(PreprocessCfg(size=cfg["vision_cfg"]["image_size"], **pixels), is_train=False)
    with torch.no_grad():
        images = model.encode_image(torch.stack([transform(Image.open(p)) for p in IMAGES]), normalize=True).numpy()
        texts = model.encode_text(open_clip.SimpleTokenizer()(TEXTS), normalize=True).numpy()
    (work / "texts.txt").write_text("\n".join(TEXTS) + "\n", encoding="utf-8")
    clipx("convert", "--model", folder, "--layout", "open_clip", "--out", work / f"{name}-again")
    for start in (folder, work / f"{name}-again"):
        for kind, want, what in (("--images", images, IMAGES), ("--texts", texts, [work / "texts.txt"])):
            clipx("embed", "--model", start, kind, *what, "--out", work / "rows.npy")
            got = np.load(work / "rows.npy")
            check(f"{start.name}: {kind[2:]}", np.abs(got - want).max() if got.shape == want.shape else np.inf)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clipx", default=str(ROOT / "build/release/clipx"))
    parser.add_argument("--case", action="append", default=[], choices=list(CASES))
    parser.add_argument("--keep", metavar="FOLDER", help="where the folders are written and stay")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(clipx("--version").strip())
    print(f"open_clip {open_clip.__version__}, torch {torch.__version__}")
    with tempfile.TemporaryDirectory() as temporary:
        for case in options.case or CASES:
            one_case(case, pathlib.Path(options.keep or temporary))
    print(f"{failures} wrong")
    sys.exit(1 if failures else 0)
