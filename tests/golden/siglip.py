"""Writes tests/golden/models/siglip_*/: tiny SigLIP checkpoints in the folder forms of open_clip and Hugging Face, and what PyTorch
computes with them in double precision (features, logits, the sigmoid loss, every gradient). tests/golden/README.md describes them.

Usage: python3 tests/golden/siglip.py [CASE...]      (torch, timm 1.0, open_clip_torch 3.3, transformers 5, safetensors, numpy)

open_clip 3.3 has no timm_model_kwargs, which later versions pass to timm.create_model; this script does so for it.
"""
import contextlib
import json
import pathlib
import sys

import numpy as np
import open_clip
import open_clip.timm_model
import timm
import torch
import transformers
from open_clip.loss import SigLipLoss

from models import OUT, agree, randomise, sides, write
from safetensors.numpy import load_file, save_file

CONTEXT, EOS = 8, 1
# 13 pixels: one is beyond the last whole patch; 12 x 3.74 = 44.88 is cut to 44.
KWARGS = {"img_size": 13, "patch_size": 4, "embed_dim": 12, "depth": 1, "num_heads": 2, "mlp_ratio": 3.74}
TEXT = {"context_length": CONTEXT, "vocab_size": 24, "width": 8, "heads": 2, "layers": 1, "no_causal_mask": True,
        "proj_bias": True, "pool_type": "last", "norm_kwargs": {"eps": 1e-6}}


def vision(**kwargs):
    return {"image_size": 13, "timm_model_name": "vit_base_patch16_siglip_224", "timm_model_pretrained": False, "timm_pool": "map",
            "timm_proj": "none", "timm_model_kwargs": KWARGS | kwargs}


def config(vision_cfg, text_cfg):
    return {"embed_dim": 12, "init_logit_bias": -10, "custom_text": True, "vision_cfg": vision_cfg, "text_cfg": text_cfg}


OPEN_CLIP = {
    # exact GELU in both towers, as SigLIP's B/16
    "siglip": config(vision(depth=2), TEXT | {"layers": 2}),
    # GELU with tanh in the text tower, exact in the image tower, as SigLIP 2's B/16
    "siglip_2": config(vision(), TEXT | {"act_kwargs": {"approximate": "tanh"}}),
    # GELU with tanh in the image tower; no projection of texts, as SO400M-i18n
    "siglip_none": config(vision(act_layer="gelu_tanh"),
                          {k: v for k, v in TEXT.items() if k != "proj_bias"} | {"width": 12, "proj_type": "none"}),
}
HF_TEXT = {"vocab_size": 24, "hidden_size": 8, "intermediate_size": 30, "num_hidden_layers": 1, "num_attention_heads": 2,
           "max_position_embeddings": CONTEXT, "projection_size": 12}
HF_VISION = {"hidden_size": 12, "intermediate_size": 45, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 13,
             "patch_size": 4}


@contextlib.contextmanager
def timm_kwargs(kwargs):
    plain = timm.create_model
    open_clip.timm_model.timm.create_model = lambda name, **others: plain(name, **others, **kwargs)
    try:
        yield
    finally:
        open_clip.timm_model.timm.create_model = plain


def randomise_all(model, rng):
    randomise(model, rng)
    with torch.no_grad():
        for key, p in sorted(model.state_dict().items()):
            if key == "logit_scale":
                p.fill_(np.float32(1.7))
            elif key == "logit_bias":
                p.fill_(np.float32(-2.3))
            elif "pos_embed" in key or "latent" in key or "probe" in key:
                p.copy_(torch.from_numpy(np.asarray(0.5 * rng.standard_normal(tuple(p.shape)), np.float32)))


def inputs(rng, shape=(13, 13), n=4):
    """Pixels and rows of ids that end with EOS and are padded: with EOS itself, as SigLIP's are, and one with 0, as SigLIP 2's."""
    pixels = rng.standard_normal((n, 3, *shape)).astype(np.float32)
    ids = np.full((n, CONTEXT), EOS, np.int32)
    for row, length in zip(ids, [CONTEXT, 3, 1, 5]):
        row[:length - 1] = rng.integers(2, 24, length - 1)
    ids[-1, 5:] = 0
    return pixels, ids


def outputs(model, image, text):
    x, y = torch.nn.functional.normalize(image, dim=-1), torch.nn.functional.normalize(text, dim=-1)
    scale, bias = model.logit_scale.exp().squeeze(), model.logit_bias.squeeze()
    loss = SigLipLoss()(x, y, scale, bias)
    model.zero_grad()
    loss.backward()
    result = {"image_features": image, "text_features": text, "image_embeds": x, "text_embeds": y,
              "logits_per_image": scale * x @ y.T, "loss": loss}
    result |= {"grad." + k: torch.zeros_like(p) if p.grad is None else p.grad for k, p in model.named_parameters()}
    return {k: v.detach().numpy().copy() for k, v in result.items()}


def open_clip_case(name, model_cfg, seed):
    rng, folder = np.random.default_rng(seed), OUT / name
    vision_cfg = {k: v for k, v in model_cfg["vision_cfg"].items() if k != "timm_model_kwargs"}
    with timm_kwargs(model_cfg["vision_cfg"]["timm_model_kwargs"]):
        model = open_clip.CustomTextCLIP(model_cfg["embed_dim"], vision_cfg, model_cfg["text_cfg"],
                                         init_logit_bias=model_cfg["init_logit_bias"], output_dict=True).eval()
    randomise_all(model, rng)
    folder.mkdir(parents=True, exist_ok=True)
    wrapped = {"model_cfg": model_cfg,
               "preprocess_cfg": {"mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic", "resize_mode": "squash"}}
    (folder / "open_clip_config.json").write_text(json.dumps(wrapped, indent=2) + "\n")
    save_file({k: v.numpy() for k, v in model.state_dict().items()}, folder / "open_clip_model.safetensors", {"format": "pt"})
    pixels, ids = inputs(rng, sides(model_cfg))
    values = {"pixels": pixels, "tokens": ids}
    model.double()
    tensors = torch.from_numpy(pixels).double(), torch.from_numpy(ids).long()
    values |= outputs(model, model.encode_image(tensors[0]), model.encode_text(tensors[1]))
    write(folder, values, f"{sum(p.numel() for p in model.parameters())} parameters")


def hf_case(name, seed):
    rng, folder = np.random.default_rng(seed), OUT / name
    model = transformers.SiglipModel(transformers.SiglipConfig(text_config=HF_TEXT, vision_config=HF_VISION)).eval()
    randomise_all(model, rng)
    model.save_pretrained(folder)
    transformers.SiglipImageProcessor(size={"height": 13, "width": 13}, resample=2).save_pretrained(folder)
    pixels, ids = inputs(rng)
    tensors = torch.from_numpy(pixels).double(), torch.from_numpy(ids).long()
    model = transformers.SiglipModel.from_pretrained(folder, attn_implementation="sdpa", dtype=torch.float32).double().eval()
    values = {"pixels": pixels, "tokens": ids}
    values |= outputs(model, model.get_image_features(tensors[0]).pooler_output, model.get_text_features(tensors[1]).pooler_output)
    whole = model(input_ids=tensors[1], pixel_values=tensors[0], return_loss=True)
    agree("transformers' head", {"loss": whole.loss}, values)
    agree("transformers' head", {"logits_per_image": whole.logits_per_image - model.logit_bias}, values)
    write(folder, values, f"{sum(p.numel() for p in model.parameters())} parameters")
    by_open_clip(load_file(folder / "model.safetensors"), tensors, values)


def by_open_clip(w, tensors, values):
    """The same model under open_clip's names, run by open_clip with GELU in its form with tanh."""
    out = {"logit_scale": w["logit_scale"].squeeze(), "logit_bias": w["logit_bias"].squeeze(),
           "visual.trunk.pos_embed": w["vision_model.embeddings.position_embedding.weight"][None],
           "visual.trunk.attn_pool.latent": w["vision_model.head.probe"],
           "text.token_embedding.weight": w["text_model.embeddings.token_embedding.weight"],
           "text.positional_embedding": w["text_model.embeddings.position_embedding.weight"]}
    pairs = [("visual.trunk.patch_embed.proj", "vision_model.embeddings.patch_embedding"),
             ("visual.trunk.norm", "vision_model.post_layernorm"), ("visual.trunk.attn_pool.proj", "vision_model.head.attention.out_proj"),
             ("visual.trunk.attn_pool.norm", "vision_model.head.layernorm"), ("visual.trunk.attn_pool.mlp.fc1", "vision_model.head.mlp.fc1"),
             ("visual.trunk.attn_pool.mlp.fc2", "vision_model.head.mlp.fc2"), ("text.ln_final", "text_model.final_layer_norm"),
             ("text.text_projection", "text_model.head")]
    for i in range(1):
        h, b = f"vision_model.encoder.layers.{i}.", f"visual.trunk.blocks.{i}."
        pairs += [(b + "norm1", h + "layer_norm1"), (b + "norm2", h + "layer_norm2"), (b + "mlp.fc1", h + "mlp.fc1"),
                  (b + "mlp.fc2", h + "mlp.fc2"), (b + "attn.proj", h + "self_attn.out_proj")]
        for part in ("weight", "bias"):
            out[f"{b}attn.qkv.{part}"] = np.concatenate([w[f"{h}self_attn.{x}_proj.{part}"] for x in "qkv"])
        h, b = f"text_model.encoder.layers.{i}.", f"text.transformer.resblocks.{i}."
        pairs += [(b + "ln_1", h + "layer_norm1"), (b + "ln_2", h + "layer_norm2"), (b + "mlp.c_fc", h + "mlp.fc1"),
                  (b + "mlp.c_proj", h + "mlp.fc2"), (b + "attn.out_proj", h + "self_attn.out_proj")]
        for part in ("weight", "bias"):
            out[f"{b}attn.in_proj_{part}"] = np.concatenate([w[f"{h}self_attn.{x}_proj.{part}"] for x in "qkv"])
    for part in ("weight", "bias"):
        both = w[f"vision_model.head.attention.in_proj_{part}"]
        out[f"visual.trunk.attn_pool.q.{part}"], out[f"visual.trunk.attn_pool.kv.{part}"] = both[:12], both[12:]
    out |= {f"{to}.{part}": w[f"{source}.{part}"] for to, source in pairs for part in ("weight", "bias")}
    cfg = config(vision(act_layer="gelu_tanh", mlp_ratio=45.5 / 12),
                 TEXT | {"act_kwargs": {"approximate": "tanh"}, "mlp_ratio": 30.5 / 8})
    with timm_kwargs(cfg["vision_cfg"].pop("timm_model_kwargs")):
        model = open_clip.CustomTextCLIP(12, cfg["vision_cfg"], cfg["text_cfg"], init_logit_bias=-10).double().eval()
    model.load_state_dict({k: torch.from_numpy(v.copy(order="C")) for k, v in out.items()})
    got = outputs(model, model.encode_image(tensors[0]), model.encode_text(tensors[1]))
    agree("open_clip", {k: v for k, v in got.items() if not k.startswith("grad.")}, values)


if __name__ == "__main__":
    torch.set_num_threads(1)
    transformers.utils.logging.disable_progress_bar()
    names = [*OPEN_CLIP, "hf_siglip"]
    for seed, case in enumerate(names, 101):
        if case in (sys.argv[1:] or names):
            open_clip_case(case, OPEN_CLIP[case], seed) if case in OPEN_CLIP else hf_case(case, seed)
