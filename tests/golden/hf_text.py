"""Writes tests/golden/models/xlm_roberta/, roberta_cls/ and nllb/: tiny vision transformers with a text model of transformers as the text
tower, in open_clip's folder form, and what PyTorch computes with them in double precision (features, logits, loss, every gradient).
tests/golden/README.md describes them.

Usage: python3 tests/golden/hf_text.py [CASE...]      (torch, open_clip_torch 3.3, transformers 5, safetensors, numpy)

A text model of these sizes has no name that clipx knows: its config.json stands in open_clip_config.json, under hf_text_config.
transformers computes the sines of M2M-100's positions in float by PyTorch's functions, whose last bits differ between machines; this
script rounds those of double to float, to which they agree.
"""
import json
import pathlib
import sys
import tempfile

import numpy as np
import open_clip
import torch
import transformers

from models import MEAN, OUT, STD, outputs, randomise, write
from safetensors.numpy import save_file

CONTEXT, PAD, IDS = 10, 1, 40
VISION = {"image_size": 12, "layers": 1, "width": 16, "head_width": 8, "patch_size": 6}
ROBERTA = {"vocab_size": IDS, "hidden_size": 12, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 22,
           "max_position_embeddings": CONTEXT + PAD + 1, "type_vocab_size": 1, "layer_norm_eps": 1e-5}
M2M = {"vocab_size": IDS, "d_model": 12, "encoder_layers": 2, "encoder_attention_heads": 2, "encoder_ffn_dim": 22, "decoder_layers": 1,
       "decoder_attention_heads": 2, "decoder_ffn_dim": 4, "max_position_embeddings": 32}
CASES = {
    # the mean of a text's rows, and an MLP, as in open_clip's xlm-roberta-base-ViT-B-32
    "xlm_roberta": (transformers.XLMRobertaConfig(**ROBERTA), {"embed_dim": 10, "quick_gelu": True},
                    {"hf_pooler_type": "mean_pooler"}),
    # the first row, a matrix, two types of tokens, the GELU with tanh, another id of padding and epsilon
    "roberta_cls": (transformers.RobertaConfig(**ROBERTA | {"type_vocab_size": 2, "hidden_act": "gelu_pytorch_tanh", "layer_norm_eps": 1e-6,
                                                            "num_hidden_layers": 1, "pad_token_id": 0}),
                    {"embed_dim": 10}, {"hf_pooler_type": "cls_last_hidden_state_pooler", "hf_proj_type": "linear"}),
    # the first row and a matrix, as open_clip's nllb-clip-base
    "nllb": (transformers.M2M100Config(**M2M), {"embed_dim": 10}, {"hf_pooler_type": "cls_pooler", "hf_proj_type": "linear"}),
}


def texts(rng, pad):
    """Rows of ids behind which is padding: of all lengths, one without, one that has padding inside."""
    rows = np.full((5, CONTEXT), pad, np.int32)
    for row, length in zip(rows, [CONTEXT, 3, 1, 6, 7]):
        row[:length] = rng.integers(2, IDS, length)
    rows[3, 2] = pad
    return rows


def sinusoids(like):
    """M2M100SinusoidalPositionalEmbedding.get_embedding, each step rounded to float."""
    rows, width = like.shape
    powers = np.arange(width // 2, dtype=np.float32) * np.float32(-np.log(10000) / (width // 2 - 1))
    angles = np.arange(rows, dtype=np.float32)[:, None] * np.exp(powers.astype(float)).astype(np.float32)
    table = np.concatenate([np.sin(angles.astype(float)), np.cos(angles.astype(float))], 1).astype(np.float32)
    table[1] = 0
    assert np.abs(table - like.numpy()).max() < 1e-5
    return torch.from_numpy(table)


def case(name, seed):
    rng, folder = np.random.default_rng(seed), OUT / name
    config, top, text_cfg = CASES[name]
    text_cfg = {"hf_model_name": "tiny", "context_length": CONTEXT, **text_cfg}
    with tempfile.TemporaryDirectory() as at:
        config.save_pretrained(at)
        saved = json.loads((pathlib.Path(at) / "config.json").read_text())
        model = open_clip.CustomTextCLIP(top["embed_dim"], VISION, text_cfg | {"hf_model_name": at, "hf_model_pretrained": False},
                                         quick_gelu=top.get("quick_gelu", False), output_dict=True).eval()
    randomise(model, rng)
    if name == "nllb":
        positions = model.text.transformer.embed_positions
        positions.weights = sinusoids(positions.weights)
    folder.mkdir(parents=True, exist_ok=True)
    wrapped = {"model_cfg": {**top, "vision_cfg": VISION, "text_cfg": text_cfg}, "hf_text_config": saved,
               "preprocess_cfg": {"mean": MEAN, "std": STD, "interpolation": "bicubic", "resize_mode": "shortest"}}
    (folder / "open_clip_config.json").write_text(json.dumps(wrapped, indent=2) + "\n")
    save_file({k: v.numpy() for k, v in model.state_dict().items()}, folder / "open_clip_model.safetensors", {"format": "pt"})
    pixels = rng.standard_normal((5, 3, VISION["image_size"], VISION["image_size"])).astype(np.float32)
    ids = texts(rng, config.pad_token_id)
    model.double()
    tensors = torch.from_numpy(pixels).double(), torch.from_numpy(ids).long()
    values = {"pixels": pixels, "tokens": ids}
    values |= outputs(model, model.encode_image(tensors[0]), model.encode_text(tensors[1]), model.logit_scale)
    write(folder, values, f"{sum(p.numel() for p in model.parameters())} parameters")


if __name__ == "__main__":
    torch.set_num_threads(1)
    for seed, one in enumerate(CASES, 301):
        if one in (sys.argv[1:] or CASES):
            case(one, seed)
