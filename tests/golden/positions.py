"""Writes tests/golden/positions.safetensors: the position tables of models/vit_quick_gelu as open_clip resizes them when weights
are loaded into a model of another image size or context length. tests/golden/README.md describes the file.

Usage: python3 tests/golden/positions.py      (torch, open_clip_torch 3.3, safetensors)
"""
import pathlib
import types

import torch
from open_clip.model import resize_pos_embed, resize_text_pos_embed
from safetensors.torch import load_file, save_file

HERE = pathlib.Path(__file__).resolve().parent
GRIDS, CONTEXTS = [1, 2, 3, 5, 7, 8], [5, 9, 13, 30]

weights = load_file(HERE / "models/vit_quick_gelu/open_clip_model.safetensors")
out = {}
for n in GRIDS:
    state = {"visual.positional_embedding": weights["visual.positional_embedding"].double()}
    resize_pos_embed(state, types.SimpleNamespace(visual=types.SimpleNamespace(grid_size=(n, n))))
    out[f"grid.{n}"] = state["visual.positional_embedding"].contiguous()
for n in CONTEXTS:
    state = {"positional_embedding": weights["positional_embedding"].double()}
    model = types.SimpleNamespace(positional_embedding=torch.zeros(n, weights["positional_embedding"].shape[1]))
    resize_text_pos_embed(state, model)
    out[f"context.{n}"] = state["positional_embedding"].contiguous()
for name, table in out.items():
    print(name, tuple(table.shape), table.dtype)
save_file(out, HERE / "positions.safetensors", {"format": "pt"})
