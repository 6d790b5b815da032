"""Writes tests/golden/models/convnext*/: tiny ConvNeXt checkpoints in the folder form of open_clip, and what PyTorch computes with them in
double precision (features, logits, the contrastive loss, every gradient). tests/golden/README.md describes them.

Usage: python3 tests/golden/convnext.py [CASE...]      (torch, timm 1.0, open_clip_torch 3.3, safetensors, numpy)

open_clip 3.3 has no timm_model_kwargs, which later versions pass to timm.create_model; this script does so for it.
"""
import json
import pathlib
import sys

import numpy as np
import open_clip
import torch
from models import MEAN, OUT, STD, TEXT, agree, randomise, run_open_clip, texts, write
from safetensors.numpy import load_file, save_file
from siglip import timm_kwargs

# Maps of 11, 5, 2 and 1 pixels: the convolutions with stride 2 leave a row and a column out; no width fills vectors.
SIDE = 44


def config(projection, embed_dim, **kwargs):
    return {"embed_dim": embed_dim,
            "vision_cfg": {"timm_model_name": "convnext_tiny", "timm_model_pretrained": False, "timm_pool": "", "timm_proj": projection,
                           "timm_drop": 0.0, "image_size": SIDE, "timm_model_kwargs": kwargs},
            "text_cfg": TEXT}


CASES = {
    "convnext": config("linear", 8, depths=[1, 2, 1, 1], dims=[5, 8, 9, 17]),
    # the epsilon of convnext_xxlarge, an MLP as the projection
    "convnext_mlp": config("mlp", 7, depths=[1, 1, 1, 1], dims=[4, 6, 8, 10], norm_eps=1e-5),
}


def build(model_cfg):
    vision_cfg = {k: v for k, v in model_cfg["vision_cfg"].items() if k != "timm_model_kwargs"}
    with timm_kwargs(model_cfg["vision_cfg"]["timm_model_kwargs"]):
        return open_clip.CLIP(model_cfg["embed_dim"], vision_cfg, model_cfg["text_cfg"], output_dict=True).eval()


def case(name, model_cfg, seed):
    rng, folder = np.random.default_rng(seed), OUT / name
    model = build(model_cfg)
    randomise(model, rng)
    folder.mkdir(parents=True, exist_ok=True)
    wrapped = {"model_cfg": model_cfg,
               "preprocess_cfg": {"mean": MEAN, "std": STD, "interpolation": "bicubic", "resize_mode": "shortest"}}
    (folder / "open_clip_config.json").write_text(json.dumps(wrapped, indent=2) + "\n")
    save_file({k: v.numpy() for k, v in model.state_dict().items()}, folder / "open_clip_model.safetensors", {"format": "pt"})
    pixels = rng.standard_normal((3, 3, SIDE, SIDE)).astype(np.float32)
    ids = texts(rng, [12, 3, 7], 0)
    tensors = torch.from_numpy(pixels).double(), torch.from_numpy(ids).long()
    values = {"pixels": pixels, "tokens": ids} | run_open_clip(model.double(), *tensors)
    again = build(json.loads((folder / "open_clip_config.json").read_text())["model_cfg"])
    again.load_state_dict({k: torch.from_numpy(v) for k, v in load_file(folder / "open_clip_model.safetensors").items()})
    agree("the written folder", run_open_clip(again.double(), *tensors), values)
    write(folder, values, f"{sum(p.numel() for p in model.parameters())} parameters")


if __name__ == "__main__":
    torch.set_num_threads(1)
    for seed, name in enumerate(CASES, 201):
        if name in (sys.argv[1:] or CASES):
            case(name, CASES[name], seed)
