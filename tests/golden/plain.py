"""Writes tests/golden/models/plain_*/: tiny checkpoints of open_clip's vision transformers and text towers with other choices than CLIP's,
and what PyTorch computes with them in double precision (features, logits, the contrastive loss, every gradient).
tests/golden/README.md describes them.

Usage: python3 tests/golden/plain.py [CASE...]      (torch, timm 1.0, open_clip_torch 3.3, transformers 5, safetensors, numpy)

open_clip 3.3 has no timm_model_kwargs, which later versions pass to timm.create_model; this script does so for it. timm has its
vit_base_mci_224 in one width only; this script makes it in another.
"""
import contextlib
import json
import sys
from unittest import mock

import numpy as np
import open_clip
import timm
import torch
import transformers
from models import OUT, outputs, randomise, sides, write
from safetensors.torch import save_file
from timm.models import vision_transformer_hybrid as hybrid

CONTEXT, VOCABULARY, EOS, SIDE = 8, 24, 2, 13  # one of the 13 pixels is beyond the last whole patch of 4
TEXT = {"context_length": CONTEXT, "vocab_size": VOCABULARY, "width": 8, "heads": 2, "layers": 1}
VISION = {"image_size": SIDE, "layers": 1, "width": 12, "head_width": 6, "patch_size": 4}
KWARGS = {"img_size": SIDE, "patch_size": 4, "embed_dim": 12, "depth": 1, "num_heads": 2}


def tower(name, proj, pool, **kwargs):
    return {"timm_model_name": name, "timm_model_pretrained": False, "timm_proj": proj, "timm_pool": pool, "image_size": SIDE,
            "timm_model_kwargs": KWARGS | kwargs}


CASES = {
    # as CLIPA: no norm before the blocks, the mean of the patches, the norm after it; texts whose last position is pooled
    "plain_clipa": {"vision_cfg": VISION | {"layers": 2, "no_ln_pre": True, "pool_type": "avg", "final_ln_after_pool": True},
                    "text_cfg": TEXT | {"width": 16, "layers": 2, "no_causal_mask": True, "pool_type": "last"}},
    # the norm before the mean, GELU with tanh, epsilons of its own; the first end token of texts that see their padding
    "plain_options": {"custom_text": True,
                      "vision_cfg": VISION | {"pool_type": "avg", "act_kwargs": {"approximate": "tanh"}, "norm_kwargs": {"eps": 1e-3}},
                      "text_cfg": TEXT | {"no_causal_mask": True, "pool_type": "eos", "eos_id": EOS, "proj_bias": True,
                                          "norm_kwargs": {"eps": 1e-4}}},
    # CLIP's image tower with QuickGELU, beside a causal text tower without a projection
    "plain_text": {"quick_gelu": True, "custom_text": True, "vision_cfg": VISION,
                   "text_cfg": TEXT | {"width": 10, "proj_type": "none"}},
    # as MobileCLIP2-L/14: timm's names, a norm before the blocks, a head with a bias; the largest id of texts that see their padding
    "plain_timm_clip": {"custom_text": True, "vision_cfg": tower("vit_large_patch14_clip_224", None, "token"),
                        "text_cfg": TEXT | {"no_causal_mask": True}},
    # timm's mean of the patches with the norm after it, no bias of q, k and v; the first position of texts
    "plain_timm_avg": {"vision_cfg": tower("vit_base_patch16_224", None, "avg", qkv_bias=False, mlp_ratio=3.74),
                       "text_cfg": TEXT | {"no_causal_mask": True, "pool_type": "first"}},
    # open_clip's head after a tower of timm's whose class token has no position; the mean of the patches after the norm
    "plain_timm_linear": {"vision_cfg": tower("vit_base_patch16_224", "linear", "avg", no_embed_class=True) | {"timm_proj_bias": True},
                          "text_cfg": TEXT},
    # no class token, no head
    "plain_timm_none": {"embed_dim": 12, "quick_gelu": True,
                        "vision_cfg": tower("vit_base_patch16_224", "none", "avg", class_token=False, act_layer="gelu_tanh"),
                        "text_cfg": TEXT},
    # LayerScale in both towers
    "plain_scaled": {"vision_cfg": VISION | {"ls_init_value": 1e-4}, "text_cfg": TEXT | {"ls_init_value": 1e-4}},
    # as vit_medium_patch16_gap_256: LayerScale, no bias of q, k and v, no class token, the mean after the norm, open_clip's head
    "plain_timm_gap": {"vision_cfg": tower("vit_medium_patch16_gap_256", "linear", ""), "text_cfg": TEXT},
    # as MobileCLIP-B: patches by three convolutions with BatchNorm and GELU, a class token without a position
    "plain_mci": {"custom_text": True,
                  "vision_cfg": tower("vit_base_mci_224", None, "token", img_size=32) | {"image_size": 32},
                  "text_cfg": TEXT},
}
CASES["plain_mci"]["vision_cfg"]["timm_model_kwargs"].pop("patch_size")


def mci(img_size, embed_dim, depth, num_heads, **others):
    stem = hybrid.ConvStem(channels=(embed_dim // 4, embed_dim // 4, embed_dim), stride=(4, 2, 2), kernel_size=(4, 2, 2), padding=0,
                           act_layer=torch.nn.GELU)
    return hybrid._create_vision_transformer_hybrid("vit_base_mci_224", backbone=stem, embed_args={"proj": False}, img_size=img_size,
                                                    embed_dim=embed_dim, depth=depth, num_heads=num_heads, no_embed_class=True, **others)


@contextlib.contextmanager
def made(cfg):
    """While open_clip builds a model, timm.create_model has the arguments of timm_model_kwargs."""
    kwargs, plain = cfg.get("timm_model_kwargs", {}), timm.create_model
    if cfg.get("timm_model_name") == "vit_base_mci_224":
        make = lambda name, pretrained, **others: mci(**kwargs, **others)
    else:
        make = lambda name, **others: plain(name, **others, **kwargs)
    with mock.patch.object(timm, "create_model", make):
        yield


def randomise_all(model, rng):
    randomise(model, rng)
    with torch.no_grad():
        for key, p in sorted(model.state_dict().items()):
            if key.endswith(("pos_embed", "cls_token")):
                p.copy_(torch.from_numpy(np.asarray(0.5 * rng.standard_normal(tuple(p.shape)), np.float32)))


def inputs(rng, shape, n=4):
    """Pixels and rows of ids that end with the largest, in the middle of which EOS may stand, padded with 0."""
    pixels = rng.standard_normal((n, 3, *shape)).astype(np.float32)
    ids = np.zeros((n, CONTEXT), np.int32)
    for i, (row, length) in enumerate(zip(ids, [CONTEXT, 3, 2, 5])):
        row[:length - 1] = rng.integers(3, VOCABULARY - 1, length - 1)
        row[length - 1] = VOCABULARY - 1
        if i != 2:
            row[length // 2] = EOS
    return pixels, ids


def case(name, cfg, seed):
    rng, folder = np.random.default_rng(seed), OUT / name
    cfg = {"embed_dim": 10} | cfg
    vision_cfg = {k: v for k, v in cfg["vision_cfg"].items() if k != "timm_model_kwargs"}
    kind = open_clip.CustomTextCLIP if cfg.get("custom_text") else open_clip.CLIP
    with made(cfg["vision_cfg"]):
        model = kind(cfg["embed_dim"], vision_cfg, cfg["text_cfg"], quick_gelu=cfg.get("quick_gelu", False), output_dict=True).eval()
    randomise_all(model, rng)
    folder.mkdir(parents=True, exist_ok=True)
    wrapped = {"model_cfg": cfg, "preprocess_cfg": {"mean": [0.5] * 3, "std": [0.5] * 3}}
    (folder / "open_clip_config.json").write_text(json.dumps(wrapped, indent=2) + "\n")
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, folder / "open_clip_model.safetensors", {"format": "pt"})
    pixels, ids = inputs(rng, sides(cfg))
    values = {"pixels": pixels, "tokens": ids}
    model.double()
    images, texts = torch.from_numpy(pixels).double(), torch.from_numpy(ids).long()
    values |= outputs(model, model.encode_image(images), model.encode_text(texts), model.logit_scale)
    if kind is open_clip.CLIP:  # which has the text tower's tensors as its own: here they have the names of a CustomTextCLIP
        own = lambda k: "grad." + k if k.startswith(("visual.", "logit_")) else "grad.text." + k
        values = {own(k[5:]) if k.startswith("grad.") else k: v for k, v in values.items()}
    if name == "plain_mci":  # with the batch's statistics, after which the running ones are stored
        model.train()
        values |= {"train." + k: v for k, v in outputs(model, model.encode_image(images), model.encode_text(texts), model.logit_scale).items()}
        values |= {"train.state." + k: v.numpy().copy() for k, v in model.state_dict().items() if "running_" in k}
    write(folder, values, f"{sum(p.numel() for p in model.parameters())} parameters")


def meta_clip_case(name, seed):
    """MetaCLIP 2 in Hugging Face's layout: the first end token is pooled, whose id is 2, and not the largest id."""
    rng, folder = np.random.default_rng(seed), OUT / name
    shared = {"num_hidden_layers": 1, "num_attention_heads": 2, "hidden_act": "gelu", "projection_dim": 10}
    text = shared | {"vocab_size": VOCABULARY, "hidden_size": 8, "intermediate_size": 32, "max_position_embeddings": CONTEXT,
                     "bos_token_id": 0, "pad_token_id": 1, "eos_token_id": EOS}
    vision = shared | {"hidden_size": 12, "intermediate_size": 48, "image_size": SIDE, "patch_size": 4}
    model = transformers.MetaClip2Model(transformers.MetaClip2Config(text_config=text, vision_config=vision, projection_dim=10)).eval()
    randomise(model, rng)
    model.save_pretrained(folder)
    transformers.CLIPImageProcessor(size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE}).save_pretrained(folder)
    pixels, ids = inputs(rng, [SIDE, SIDE])
    for row in ids:  # padded with 1, the end twice in one
        row[np.flatnonzero(row == VOCABULARY - 1)] = EOS
        row[row == 0] = 1
    images, texts = torch.from_numpy(pixels).double(), torch.from_numpy(ids).long()
    model = transformers.MetaClip2Model.from_pretrained(folder, attn_implementation="sdpa", dtype=torch.float32).double().eval()
    values = {"pixels": pixels, "tokens": ids}
    values |= outputs(model, model.get_image_features(images).pooler_output, model.get_text_features(texts).pooler_output, model.logit_scale)
    write(folder, values, f"{sum(p.numel() for p in model.parameters())} parameters")


if __name__ == "__main__":
    torch.set_num_threads(1)
    transformers.utils.logging.disable_progress_bar()
    names = [*CASES, "hf_metaclip_2"]
    for seed, name in enumerate(names, 201):
        if name in (sys.argv[1:] or names):
            case(name, CASES[name], seed) if name in CASES else meta_clip_case(name, seed)
