"""Writes tests/golden/models/oblong_*/ and tests/golden/oblong.safetensors: models whose images are not square, images that are
preprocessed to such sizes, and position tables resized to such grids, as open_clip has them. tests/golden/README.md describes both.

Usage: python3 tests/golden/oblong.py      (torch, timm 1.0, open_clip_torch 3.3, transformers 5, Pillow 13, safetensors, numpy)
"""
import io
import pathlib
import types

import models
import numpy as np
import plain
import siglip
import torch
from open_clip.model import resize_pos_embed
from PIL import Image
from pixels import RGB, RGBA, GRAY, levels, open_clip_pixels, png
from safetensors.numpy import save_file
from safetensors.torch import load_file
from timm.layers import resample_abs_pos_embed
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as F

HERE = pathlib.Path(__file__).resolve().parent
TEXT = {"context_length": models.CONTEXT, "vocab_size": 64, "width": 8, "heads": 2, "layers": 1}
SIZE, PATCH = [13, 28], [4, 6]  # 3 x 4 patches; a pixel beyond the last from top to bottom, four from left to right

# A patch pair in CLIP's own tower, 3 x 4 patches; timm's with both pairs; SigLIP's with square patches in an upright image.
VIT = {"embed_dim": 12, "vision_cfg": {"image_size": [13, 21], "layers": 1, "width": 12, "head_width": 6, "patch_size": [4, 5]}, "text_cfg": TEXT}
TIMM = {"vision_cfg": plain.tower("vit_base_patch16_224", None, "avg", img_size=SIZE, patch_size=PATCH) | {"image_size": SIZE}, "text_cfg": plain.TEXT}
SIGLIP = siglip.config(siglip.vision(img_size=[17, 9]) | {"image_size": [17, 9]}, siglip.TEXT)

SIZES = [(11, 17), (17, 11), (9, 24)]  # height, width
MODES = {"shortest": {}, "shortest.bilinear": {"interpolation": "bilinear"}, "squash.bilinear": {"resize_mode": "squash", "interpolation": "bilinear"},
         "longest.fill200": {"resize_mode": "longest", "fill_color": 200}}
PLANS = [(0, (3, 2, 33, 27), 11, 17, 0), (0, (0, 0, 40, 30), 17, 11, 1), (1, (2, 1, 8, 20), 9, 24, 0), (1, (0, 0, 13, 37), 24, 9, 1)]  # image, box, size, flip


def preprocessed(out):
    files = {f"rgb_{w}x{h}": png(levels(w, h, 3, 8, 8), 8, RGB) for w, h in ((40, 30), (13, 37), (31, 12), (17, 11), (22, 34))}
    files |= {"rgba_23x35": png(levels(23, 35, 4, 8, 9), 8, RGBA), "gray16_29x18": png(levels(29, 18, 1, 16, 9), 16, GRAY)}
    for name, data in files.items():
        out[f"{name}/file"] = np.frombuffer(data, np.uint8)
        for size in SIZES:
            for mode, options in MODES.items():
                value = open_clip_pixels(Image.open(io.BytesIO(data)), size, **options)
                assert value.shape == (*size, 3)
                out[f"{name}/{mode}.{size[0]}x{size[1]}"] = np.ascontiguousarray(value)


def augmented(out):
    for i, (image, (x, y, w, h), height, width, flip) in enumerate(PLANS):
        data = out[["rgb_40x30/file", "rgb_13x37/file"][image]]
        result = F.resized_crop(Image.open(io.BytesIO(data.tobytes())), y, x, h, w, [height, width], InterpolationMode.BICUBIC)
        out[f"plan.{i}"] = np.array([image, x, y, w, h, height, width, flip], np.float64)
        out[f"crop.{i}"] = np.asarray(F.hflip(result) if flip else result)


def positions(out):
    """Of vit_quick_gelu, whose grid is 4 x 4; 2 x 8 has as many cells, and open_clip leaves the table as it is."""
    table = load_file(HERE / "models/vit_quick_gelu/open_clip_model.safetensors")["visual.positional_embedding"].double()
    for h, w in ((3, 5), (6, 2), (1, 9), (2, 8)):
        state = {"visual.positional_embedding": table}
        resize_pos_embed(state, types.SimpleNamespace(visual=types.SimpleNamespace(grid_size=(h, w))))
        out[f"grid.{h}x{w}"] = state["visual.positional_embedding"].numpy().copy()


def timm_positions(out):
    """Of timm's towers, as the function that set_input_size calls has them but for its float: 3 x 3 patches, without a class token's row
    and with one."""
    for name, first in (("siglip", 0), ("plain_timm_clip", 1)):
        table = load_file(HERE / f"models/{name}/open_clip_model.safetensors")["visual.trunk.pos_embed"].double()
        for h, w in ((2, 4), (5, 5)):
            grid = table[:, first:].reshape(1, 3, 3, -1).permute(0, 3, 1, 2)
            grid = torch.nn.functional.interpolate(grid, (h, w), mode="bicubic", antialias=True).flatten(2).mT
            resized = torch.cat([table[:, :first], grid], 1)
            assert (resized - resample_abs_pos_embed(table, [h, w], [3, 3], first)).abs().max() < 1e-6
            out[f"{name}.{h}x{w}"] = resized.contiguous().numpy().copy()


if __name__ == "__main__":
    torch.set_num_threads(1)
    models.open_clip_case("oblong_vit", VIT, 301)
    plain.case("oblong_timm", TIMM, 302)
    siglip.open_clip_case("oblong_siglip", SIGLIP, 303)
    out = {}
    preprocessed(out)
    augmented(out)
    positions(out)
    timm_positions(out)
    save_file(dict(sorted(out.items())), HERE / "oblong.safetensors")
    print(len(out), "tensors,", (HERE / "oblong.safetensors").stat().st_size, "bytes")
