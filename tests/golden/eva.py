"""Writes tests/golden/models/eva_*/: tiny checkpoints of open_clip with image towers of timm's Eva, and what PyTorch computes with them in
double precision (features, logits, the contrastive loss, every gradient). tests/golden/README.md describes them.

Usage: python3 tests/golden/eva.py [CASE...]      (torch, timm 1.0, open_clip_torch 3.3, safetensors, numpy)

timm holds the sines and cosines of the rotations in float32, also in a double model. This script computes them anew in double from timm's own
float32 angles, and checks that they are timm's. open_clip 3.3 has no timm_model_kwargs, which later versions pass to timm.create_model; this
script does so for it.
"""
import json
import sys

import numpy as np
import open_clip
import torch
from models import OUT, outputs, write
from plain import SIDE, TEXT, inputs, made, randomise_all
from safetensors.torch import save_file
from timm.layers.pos_embed_sincos import _build_grid, freq_bands


def tower(name, pool, proj=None, more=None, **kwargs):
    return {"timm_model_name": name, "timm_model_pretrained": False, "timm_proj": proj, "timm_pool": pool, "image_size": SIDE,
            "timm_model_kwargs": {"img_size": SIDE, "patch_size": 4, "depth": 2, "num_heads": 2} | kwargs} | (more or {})


CASES = {
    # EVA01: q, k and v in one matrix, no bias of k; heads of 6 columns
    "eva_01": tower("eva_giant_patch14_224", "token", embed_dim=12, mlp_ratio=3.74),
    # EVA02: q, k and v apart, rotated by places in a grid that is scaled; SwiGLU and attention with a norm inside
    "eva_02": tower("eva02_base_patch16_clip_224", "token", embed_dim=16, mlp_ratio=2.7, ref_feat_shape=[5, 5]),
    # the mean of the patches after the norm, open_clip's head with a bias: the last block leaves out the class token
    "eva_02_mean": tower("eva02_large_patch14_clip_224", "avg", "linear", {"timm_proj_bias": True}, depth=1, embed_dim=8, num_heads=1),
    # EVA02-E: norms behind the branches; the norm after the mean
    "eva_02_post": tower("eva02_enormous_patch14_clip_224", "avg", embed_dim=12, mlp_ratio=2),
    # PE-Core: a norm before the blocks, rotations by column and row, counted from 1; pooled by attention, the class token included
    "eva_pe": tower("vit_pe_core_base_patch16_224", "map", embed_dim=16, ref_feat_shape=[3, 3], attn_pool_num_heads=4, attn_pool_mlp_ratio=1.5),
    # PE-Core-bigG: no class token, rotations counted from 0
    "eva_pe_big": tower("vit_pe_core_gigantic_patch14_448", "map", depth=1, embed_dim=16, mlp_ratio=2.3, ref_feat_shape=[3, 3]),
}


@torch.no_grad()
def rotate_in_double(trunk):
    """The table of rotations in double precision."""
    r = trunk.rope
    if r is None:
        return
    grid = _build_grid(r.feat_shape, "index", r.ref_feat_shape, r.grid_offset, r.grid_indexing)
    angles = (grid.unsqueeze(-1) * freq_bands(r.dim // 4, r.temperature, step=1)).double().flatten(-2).flatten(0, -2).repeat_interleave(2, -1)
    table = torch.cat([angles.sin(), angles.cos()], -1)
    if r.pos_embed.shape != table.shape or (r.pos_embed - table).abs().max() > 1e-7:
        sys.exit("the rotations are not timm's")
    r.pos_embed = table


def case(name, vision, seed):
    rng, folder = np.random.default_rng(seed), OUT / name
    cfg = {"embed_dim": 10, "custom_text": True, "vision_cfg": vision, "text_cfg": TEXT}
    with made(vision):
        model = open_clip.CustomTextCLIP(10, {k: v for k, v in vision.items() if k != "timm_model_kwargs"}, TEXT, output_dict=True).eval()
    randomise_all(model, rng)
    with torch.no_grad():
        for key, p in sorted(model.state_dict().items()):
            if key.endswith("latent"):
                p.copy_(torch.from_numpy(np.asarray(rng.standard_normal(tuple(p.shape)), np.float32)))
    folder.mkdir(parents=True, exist_ok=True)
    wrapped = {"model_cfg": cfg, "preprocess_cfg": {"mean": [0.5] * 3, "std": [0.5] * 3}}
    (folder / "open_clip_config.json").write_text(json.dumps(wrapped, indent=2) + "\n")
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, folder / "open_clip_model.safetensors", {"format": "pt"})
    pixels, ids = inputs(rng, SIDE)
    model.double()
    rotate_in_double(model.visual.trunk)
    images, texts = torch.from_numpy(pixels).double(), torch.from_numpy(ids).long()
    values = {"pixels": pixels, "tokens": ids}
    values |= outputs(model, model.encode_image(images), model.encode_text(texts), model.logit_scale)
    write(folder, values, f"{sum(p.numel() for p in model.parameters())} parameters")


if __name__ == "__main__":
    torch.set_num_threads(1)
    for seed, name in enumerate(CASES, 301):
        if name in (sys.argv[1:] or CASES):
            case(name, CASES[name], seed)
