"""Writes tests/golden/models/vitamin*/: tiny ViTamin checkpoints in the folder form of open_clip, and what PyTorch computes with them in
double precision (features, logits, the contrastive loss, every gradient). tests/golden/README.md describes them.

Usage: python3 tests/golden/vitamin.py [CASE...]      (torch, timm 1.0, open_clip_torch 3.3, safetensors, numpy)

open_clip 3.3 has no timm_model_kwargs, which later versions pass to timm.create_model; this script does so for it. Of embed_cfg, the fields
of timm's VitCfg, it makes one.
"""
import contextlib
import json
import pathlib
import sys

import numpy as np
import open_clip
import torch
from models import MEAN, OUT, STD, TEXT, agree, randomise, run_open_clip, texts, write
from safetensors.numpy import load_file, save_file
from siglip import timm_kwargs
from timm.models.vitamin import VitCfg


@contextlib.contextmanager
def vitamin_kwargs(kwargs):
    """timm.create_model with these arguments, whose embed_cfg is of JSON."""
    kwargs = dict(kwargs)
    if "embed_cfg" in kwargs:
        kwargs["embed_cfg"] = VitCfg(**{k: tuple(v) if isinstance(v, list) else v for k, v in kwargs["embed_cfg"].items()})
    with timm_kwargs(kwargs):
        yield


def config(name, side, joint, vision=(), **kwargs):
    return {"embed_dim": joint, "custom_text": True,
            "vision_cfg": {"timm_model_name": name, "timm_model_pretrained": False, "timm_pool": "", "timm_proj": "linear",
                           "timm_drop": 0.0, "image_size": side, "timm_model_kwargs": kwargs} | dict(vision),
            "text_cfg": TEXT}


CASES = {
    # Maps of 16, 8 and 4 pixels, 4 tokens; both stages change the channels, which fill no vector, and of 5 the
    # blocks have 24 inside.
    "vitamin": config("vitamin_small_224", 32, 8, img_size=32, embed_dim=10, depth=2, num_heads=2, mlp_ratio=1.5,
                      embed_cfg={"stem_width": 4, "embed_dim": [5, 6, 10], "depths": [2, 2, 1]}),
    # As the XL: no positions, images of another size than the tower's name says; no channels change in the first stage; 9 tokens, a
    # projection with a bias.
    "vitamin_xl": config("vitamin_xlarge_256", 48, 7, {"timm_proj_bias": True}, embed_dim=12, depth=1, num_heads=3, mlp_ratio=2.3,
                         embed_cfg={"stem_width": 4, "embed_dim": [4, 7, 12], "depths": [1, 1, 1]}),
}


def build(model_cfg):
    vision_cfg = {k: v for k, v in model_cfg["vision_cfg"].items() if k != "timm_model_kwargs"}
    with vitamin_kwargs(model_cfg["vision_cfg"]["timm_model_kwargs"]):
        return open_clip.CustomTextCLIP(model_cfg["embed_dim"], vision_cfg, model_cfg["text_cfg"], output_dict=True).eval()


def case(name, model_cfg, seed):
    rng, folder = np.random.default_rng(seed), OUT / name
    model = build(model_cfg)
    randomise(model, rng)
    with torch.no_grad():
        for key, p in sorted(model.state_dict().items()):
            if key.endswith("pos_embed"):
                p.copy_(torch.from_numpy(np.asarray(0.5 * rng.standard_normal(tuple(p.shape)), np.float32)))
    folder.mkdir(parents=True, exist_ok=True)
    wrapped = {"model_cfg": model_cfg,
               "preprocess_cfg": {"mean": MEAN, "std": STD, "interpolation": "bicubic", "resize_mode": "shortest"}}
    (folder / "open_clip_config.json").write_text(json.dumps(wrapped, indent=2) + "\n")
    save_file({k: v.numpy() for k, v in model.state_dict().items()}, folder / "open_clip_model.safetensors", {"format": "pt"})
    side = model_cfg["vision_cfg"]["image_size"]
    pixels = rng.standard_normal((3, 3, side, side)).astype(np.float32)
    ids = texts(rng, [12, 3, 7], 0)
    tensors = torch.from_numpy(pixels).double(), torch.from_numpy(ids).long()
    values = {"pixels": pixels, "tokens": ids} | run_open_clip(model.double(), *tensors)
    again = build(json.loads((folder / "open_clip_config.json").read_text())["model_cfg"])
    again.load_state_dict({k: torch.from_numpy(v) for k, v in load_file(folder / "open_clip_model.safetensors").items()})
    agree("the written folder", run_open_clip(again.double(), *tensors), values)
    write(folder, values, f"{sum(p.numel() for p in model.parameters())} parameters")


if __name__ == "__main__":
    torch.set_num_threads(1)
    for seed, name in enumerate(CASES, 211):
        if name in (sys.argv[1:] or CASES):
            case(name, CASES[name], seed)
