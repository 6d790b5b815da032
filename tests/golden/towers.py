"""Writes tests/golden/models/tower_*/: Hugging Face's towers alone, tiny and random, and the embeddings that transformers computes with
them in double precision. tests/golden/README.md describes them; tests/unit/towers.cpp reads them.

Usage: python3 tests/golden/towers.py      (torch, transformers 5, safetensors, numpy)
"""
import pathlib
import shutil

import numpy as np
import torch
import transformers
from safetensors.numpy import load_file, save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPVisionConfig, CLIPVisionModel, CLIPVisionModelWithProjection

OUT = pathlib.Path(__file__).resolve().parent / "models"
SOT, EOT, CONTEXT = 22, 23, 8
SIZES = {"hidden_size": 12, "intermediate_size": 20, "num_hidden_layers": 2, "num_attention_heads": 2}
IMAGE = SIZES | {"image_size": 12, "patch_size": 4}
TEXT = SIZES | {"vocab_size": 24, "max_position_embeddings": CONTEXT, "bos_token_id": SOT, "eos_token_id": EOT, "pad_token_id": EOT}
transformers.utils.logging.disable_progress_bar()


def randomized(model):
    """No gain is 1, no bias 0; the values are those of float32."""
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(p + 0.3 * torch.randn_like(p))
    return model.eval()


def texts():
    """Ids of three texts of several lengths, padded with EOT."""
    rng, rows = np.random.default_rng(3), np.full((3, CONTEXT), EOT, np.int32)
    for row, n in zip(rows, (3, 6, CONTEXT)):
        row[0], row[1:n - 1] = SOT, rng.integers(2, SOT, n - 2)
    return rows


@torch.no_grad()
def write(name, model, inputs):
    folder = OUT / name
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder)
    again = type(model).from_pretrained(folder, dtype=torch.float64).eval()
    if "pixels" in inputs:
        features = again(pixel_values=torch.from_numpy(inputs["pixels"]).double()).image_embeds
    else:
        features = again(input_ids=torch.from_numpy(inputs["tokens"]).long()).text_embeds
    embeds = torch.nn.functional.normalize(features, dim=-1)
    save_file(inputs | {"features": features.numpy().copy(), "embeds": embeds.numpy().copy()}, folder / "golden.safetensors")
    for file in folder.iterdir():
        file.chmod(0o644)
    print(name, sorted(load_file(folder / "model.safetensors"))[::8], sum(f.stat().st_size for f in folder.iterdir()), "bytes")


def main():
    torch.manual_seed(1)
    pixels = {"pixels": torch.randn(3, 3, 12, 12).numpy()}
    write("tower_image", randomized(CLIPVisionModelWithProjection(CLIPVisionConfig(**IMAGE, hidden_act="gelu", projection_dim=10))), pixels)
    write("tower_text", randomized(CLIPTextModelWithProjection(CLIPTextConfig(**TEXT, projection_dim=10))), {"tokens": texts()})
    for kind, config in {CLIPVisionModel: CLIPVisionConfig(**IMAGE), CLIPTextModel: CLIPTextConfig(**TEXT)}.items():
        config.architectures = [kind.__name__]
        folder = OUT / ("tower_image" if kind is CLIPVisionModel else "tower_text")
        (folder / "without_projection.json").write_text(config.to_json_string())


if __name__ == "__main__":
    main()
