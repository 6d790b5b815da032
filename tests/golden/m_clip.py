"""Writes tests/golden/models/m_clip/ and m_clip_bert/: text towers of M-CLIP, tiny and random, and the embeddings that the package
multilingual-clip computes with them in double precision. tests/golden/README.md describes them; tests/unit/hf_text.cpp reads them.

Usage: python3 tests/golden/m_clip.py      (torch, transformers 5, multilingual-clip 1.0 without its dependencies, safetensors, numpy)

A published config.json has modelBase alone, the name of a model at Hugging Face, which clipx knows by a table; these have the sizes in
hf_text_config.
"""
import json
import pathlib
import shutil
import tempfile

import numpy as np
import torch
import transformers
from models import randomise
from multilingual_clip.Config_MCLIP import MCLIPConfig
from multilingual_clip.pt_multilingual_clip import MultilingualCLIP
from safetensors.numpy import save_file

OUT = pathlib.Path(__file__).resolve().parent / "models"
IDS, CONTEXT, DIM = 40, 10, 7
SIZES = {"vocab_size": IDS, "hidden_size": 12, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 22}
CASES = {
    # as M-CLIP/XLM-Roberta-Large-Vit-B-32
    "m_clip": transformers.XLMRobertaConfig(**SIZES, max_position_embeddings=CONTEXT + 2, type_vocab_size=1, layer_norm_eps=1e-5, pad_token_id=1),
    # as M-CLIP/LABSE-Vit-L-14: two types of tokens, the first position is row 0, padding is id 0
    "m_clip_bert": transformers.BertConfig(**SIZES, max_position_embeddings=CONTEXT, type_vocab_size=2, pad_token_id=0),
}


def texts(rng, pad):
    """Rows of ids of all lengths, padded behind."""
    rows = np.full((4, CONTEXT), pad, np.int32)
    for row, length in zip(rows, [CONTEXT, 3, 1, 6]):
        row[:length] = rng.integers(2, IDS, length)
    return rows


@torch.no_grad()
def case(name, config, seed):
    rng, folder = np.random.default_rng(seed), OUT / name
    shutil.rmtree(folder, ignore_errors=True)
    with tempfile.TemporaryDirectory() as at:
        transformers.AutoModel.from_config(config).save_pretrained(at)
        saved = json.loads((pathlib.Path(at) / "config.json").read_text())
        model = MultilingualCLIP(MCLIPConfig(modelBase=at, transformerDimSize=12, imageDimSize=DIM)).eval()
    randomise(model, rng)
    folder.mkdir(parents=True)
    save_file({k: v.numpy() for k, v in model.state_dict().items()}, folder / "model.safetensors", {"format": "pt"})
    shape = {"architectures": ["MultilingualCLIP"], "model_type": "M-CLIP", "modelBase": "tiny", "transformerDimensions": 12, "numDims": DIM,
             "torch_dtype": "float32", "transformers_version": transformers.__version__, "hf_text_config": saved}
    (folder / "config.json").write_text(json.dumps(shape, indent=2) + "\n")
    rows = texts(rng, config.pad_token_id)
    ids = torch.from_numpy(rows).long()
    tokens = {"input_ids": ids, "attention_mask": (ids != config.pad_token_id).long()}
    features = model.double()(None, lambda txt, padding, return_tensors: tokens)
    embeds = torch.nn.functional.normalize(features, dim=-1)
    save_file({"tokens": rows, "features": features.numpy().copy(), "embeds": embeds.numpy().copy()}, folder / "golden.safetensors")
    for file in folder.iterdir():
        file.chmod(0o644)
    print(name, features[:, 0].tolist(), sum(f.stat().st_size for f in folder.iterdir()), "bytes")


if __name__ == "__main__":
    torch.set_num_threads(1)
    transformers.utils.logging.disable_progress_bar()
    for seed, (one, config) in enumerate(CASES.items(), 401):
        case(one, config, seed)
