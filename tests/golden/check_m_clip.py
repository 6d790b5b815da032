"""Checks clipx against multilingual-clip on M-CLIP's text towers with their tokenizers; writes nothing that is kept.

Usage: python3 tests/golden/check_m_clip.py [--clipx PROGRAM] [--keep FOLDER]      (as check_hf_text.py, and multilingual-clip)

Tiny and random towers, vocabularies learned from the captions of bpe_train.json, in folders as the published ones are, with weights as
pytorch_model.bin. clipx must give the ids, and the embeddings, L2-normalized, to 1e-5; `convert` and `embed --images` must refuse them.
"""
import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

import check_hf_text as hf
import check_plain as plain
import check_siglip as base
import numpy as np
import torch
import transformers
from models import randomise
from multilingual_clip.Config_MCLIP import MCLIPConfig
from multilingual_clip.pt_multilingual_clip import MultilingualCLIP

SIZES = {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 100}
LONGEST = 64


def put_xlmr(folder, lines):
    t, config = hf.xlmr(lines)
    t.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps(config | {"model_max_length": LONGEST}, indent=2))


CASES = {"xlm_roberta": (put_xlmr, lambda n: transformers.XLMRobertaConfig(vocab_size=n, max_position_embeddings=LONGEST + 2, type_vocab_size=1,
                                                                           layer_norm_eps=1e-5, **SIZES)),
         "labse": (plain.put_bert, lambda n: transformers.BertConfig(vocab_size=n, max_position_embeddings=LONGEST, **SIZES))}


def make(name, folder, lines):
    put_tokenizer, config = CASES[name]
    folder.mkdir(parents=True)
    put_tokenizer(folder, lines)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    at = folder.parent / f"{name}_base"
    transformers.AutoModel.from_config(config(len(tokenizer))).save_pretrained(at)
    model = MultilingualCLIP(MCLIPConfig(modelBase=str(at), transformerDimSize=48, imageDimSize=32)).eval()
    randomise(model, np.random.default_rng(len(name)))
    torch.save(model.state_dict(), folder / "pytorch_model.bin")
    (folder / "config.json").write_text(json.dumps({
        "architectures": ["MultilingualCLIP"], "model_type": "M-CLIP", "modelBase": str(at), "transformerDimensions": 48, "numDims": 32,
        "torch_dtype": "float32", "hf_text_config": json.loads((at / "config.json").read_text())}, indent=2))
    return model.double(), tokenizer


@torch.no_grad()
def compare(folder, model, tokenizer, work, texts):
    texts = [t for t in texts if t.strip() and len(tokenizer(t)["input_ids"]) <= LONGEST]  # longer ones have no positions there
    ours = [json.loads(row) for row in base.clipx("tokenize", "--model", folder, text="\n".join(texts) + "\n").splitlines()]
    theirs = [tokenizer(t)["input_ids"] for t in texts]
    wrong = [(t, a, b) for t, a, b in zip(texts, ours, theirs, strict=True) if a != b]
    base.check(f"{folder.name}: ids of {len(texts)} texts are those of {type(tokenizer).__name__}", not wrong, f"{len(wrong)} differ" if wrong else "")
    for text, a, b in wrong[:5]:
        print(f"      {text[:80]!r}\n        clipx   {a}\n        library {b}")
    texts = [t for t, row in zip(texts, theirs) if tokenizer.pad_token_id not in row]  # clipx leaves a padding token that is spelled out
    (work / "texts.txt").write_text("\n".join(texts) + "\n", encoding="utf-8")
    far = base.gap(base.embed(folder, work, "--texts", work / "texts.txt"), base.unit(model(texts, tokenizer)))
    base.check(f"{folder.name}: embeddings of {len(texts)} texts", far <= base.BOUND, f"largest difference {far:.1e}")
    for what in (["convert", "--layout", "open_clip", "--out", work / "out"], ["embed", "--images", *base.IMAGES[:1], "--out", work / "rows.npy"]):
        done = subprocess.run([base.options.clipx, what[0], "--model", folder, *map(str, what[1:])], capture_output=True, text=True)
        base.check(f"{folder.name}: {what[0]} {what[1]} is refused", done.returncode == 1 and "got a text tower alone" in done.stderr,
                   done.stderr.strip()[:200] if "got a text tower alone" not in done.stderr else "")


def one_case(name, work, lines, texts):
    compare(work / name, *make(name, work / name, lines), work, texts)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clipx", default=str(base.ROOT / "build/release/clipx"))
    parser.add_argument("--trace", action="store_true", help="print where an exception came from")
    parser.add_argument("--keep", metavar="FOLDER", help="where the folders are written and stay")
    base.options = parser.parse_args()
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    torch.set_num_threads(1)
    lines = json.loads((base.ROOT / "tests/golden/bpe_train.json").read_text())["captions"] + [p for p in hf.kinds.PARTS if "\n" not in p]
    texts = base.texts_of(lines)
    with tempfile.TemporaryDirectory() as temporary:
        for case in CASES:
            base.guarded(case, lambda: one_case(case, pathlib.Path(base.options.keep or temporary), lines, texts))
    print(f"{base.failures} wrong")
    sys.exit(1 if base.failures else 0)
