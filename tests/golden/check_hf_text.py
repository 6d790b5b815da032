"""Checks clipx against open_clip on models whose text tower is one of transformers', with their tokenizers; writes nothing that is kept.

Usage: python3 tests/golden/check_hf_text.py [--clipx PROGRAM] [--case CASE]... [--keep FOLDER]
       (torch, open_clip 3.3, transformers 5, sentencepiece, protobuf, numpy, pillow)

The models are tiny and random, the vocabularies learned from the captions of bpe_train.json, and the folders have the files that
published ones have. open_clip loads each folder by create_model("local-dir:FOLDER"), as it is and after `clipx convert`; clipx must give

tokenize  the ids of texts with capitals, punctuation, every script, emoji, control characters, special strings, and of very long ones
embed     the embeddings of these texts and of examples/images, L2-normalized, to 1e-5
classify  the probabilities of labels, to 1e-5
"""
import argparse
import json
import pathlib
import sys
import tempfile

import check_siglip as base
import check_tokenizers as kinds
import numpy as np
import open_clip
import sentencepiece as spm
import torch
import transformers
from models import MEAN, STD, randomise
from PIL import Image
from safetensors.torch import save_file

SIDE, CONTEXT, PAD, WIDTH = 32, 16, 1, 64
VISION = {"image_size": SIDE, "layers": 2, "width": WIDTH, "head_width": 32, "patch_size": 8}
ROBERTA = {"hidden_size": WIDTH, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 100,
           "max_position_embeddings": CONTEXT + PAD + 1, "type_vocab_size": 1, "layer_norm_eps": 1e-5}
M2M = {"d_model": WIDTH, "encoder_layers": 2, "encoder_attention_heads": 2, "encoder_ffn_dim": 100, "decoder_layers": 1,
       "decoder_attention_heads": 2, "decoder_ffn_dim": 4}


def xlmr(lines):
    return kinds.xlmr(kinds.train_unigram(lines, 600, character_coverage=0.99)[0])


def nllb(lines):
    return kinds.nllb(kinds.train_unigram(lines, 600, model_type="bpe", character_coverage=0.99)[0])


CASES = {
    "xlm_roberta": (xlmr, lambda n: transformers.XLMRobertaConfig(vocab_size=n, **ROBERTA), {"hf_pooler_type": "mean_pooler"}, False),
    "roberta": (lambda lines: kinds.roberta(lines, 600), lambda n: transformers.RobertaConfig(vocab_size=n, **ROBERTA),
                {"hf_pooler_type": "mean_pooler"}, True),
    "nllb": (nllb, lambda n: transformers.M2M100Config(vocab_size=n, **M2M), {"hf_pooler_type": "cls_pooler", "hf_proj_type": "linear"}, False),
}


def make(name, folder, lines):
    """An open_clip folder; the text model's configuration is in a folder of its own, which hf_model_name names."""
    tokenizer, config, text, quick_gelu = CASES[name]
    folder.mkdir(parents=True)
    t, tokenizer_config = tokenizer(lines)
    t.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer_config, indent=2))
    at = folder.parent / f"{name}_text"
    config(t.get_vocab_size()).save_pretrained(at)
    cfg = {"embed_dim": 48, "quick_gelu": quick_gelu, "vision_cfg": VISION,
           "text_cfg": {"hf_model_name": str(at), "hf_tokenizer_name": "any", "context_length": CONTEXT, **text}}
    model = open_clip.CustomTextCLIP(48, VISION, cfg["text_cfg"] | {"hf_model_pretrained": False}, quick_gelu=quick_gelu).eval()
    randomise(model, np.random.default_rng(len(name)))
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, folder / "open_clip_model.safetensors")
    wrapped = {"model_cfg": cfg, "hf_text_config": json.loads((at / "config.json").read_text()),
               "preprocess_cfg": {"mean": MEAN, "std": STD, "interpolation": "bicubic", "resize_mode": "shortest"}}
    (folder / "open_clip_config.json").write_text(json.dumps(wrapped, indent=2))


class OpenClip:
    def __init__(self, folder):
        self.model, _, self.transform = open_clip.create_model_and_transforms(f"local-dir:{folder}", pretrained_hf=False)
        self.model = self.model.double().eval()
        self.tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")
        self.name = f"open_clip's HFTokenizer of {type(self.tokenizer.tokenizer).__name__}"

    def ids(self, texts):
        return self.tokenizer(texts)


@torch.no_grad()
def compare(folder, library, work, texts):
    """clipx's rows have no padding, open_clip's are padded to the context length."""
    ours = [json.loads(row) for row in base.clipx("tokenize", "--model", folder, text="\n".join(texts) + "\n").splitlines()]
    theirs = library.ids(texts).tolist()
    wrong = [(t, a, b) for t, a, b in zip(texts, ours, theirs, strict=True) if a + [PAD] * (CONTEXT - len(a)) != b]
    base.check(f"{folder.name}: ids of {len(texts)} texts are those of {library.name}", not wrong, f"{len(wrong)} differ" if wrong else "")
    for text, a, b in wrong[:base.options.show]:
        print(f"      {text[:80]!r}\n        clipx   {a}\n        library {b}")
    (work / "texts.txt").write_text("\n".join(t for t in texts if t) + "\n", encoding="utf-8")
    padded = torch.tensor([a + [PAD] * (CONTEXT - len(a)) for a, t in zip(ours, texts) if t])
    far = base.gap(base.embed(folder, work, "--texts", work / "texts.txt"), base.unit(library.model.encode_text(padded)))
    base.check(f"{folder.name}: embeddings of texts", far <= base.BOUND, f"largest difference {far:.1e}")
    pixels = torch.stack([library.transform(Image.open(p)) for p in base.IMAGES]).double()
    images = base.unit(library.model.encode_image(pixels))
    far = base.gap(base.embed(folder, work, "--images", *base.IMAGES), images)
    base.check(f"{folder.name}: embeddings of images", far <= base.BOUND, f"largest difference {far:.1e}")
    (work / "classes.json").write_text(json.dumps(base.LABELS))
    (work / "templates.txt").write_text("{}\n")
    found = base.clipx("classify", *base.IMAGES, "--model", folder, "--classes", work / "classes.json", "--templates", work / "templates.txt", "--json")
    labels = base.unit(library.model.encode_text(library.ids(base.LABELS)))
    theirs = torch.softmax(torch.from_numpy(library.model.logit_scale.exp().item() * images @ labels.T), 1).numpy()
    rows = [{one["label"]: one["p"] for one in json.loads(row)["labels"]} for row in found.splitlines()]
    far = base.gap(np.array([[row[name] for name in base.LABELS] for row in rows]), theirs)
    base.check(f"{folder.name}: probabilities", far <= base.BOUND, f"largest difference {far:.1e}; from {theirs.min():.3f} to {theirs.max():.3f}")


def one_case(name, work, lines, texts):
    base.guarded(f"{name}: made", lambda: make(name, work / name, lines))
    folders, again = [work / name], work / f"{name}_again"
    if base.guarded(f"{name}: clipx convert", lambda: base.clipx("convert", "--model", work / name, "--layout", "open_clip", "--out", again)) is not None:
        folders.append(again)
    for folder in folders:
        base.guarded(folder.name, lambda: compare(folder, OpenClip(folder), work, texts))


def main():
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    torch.set_num_threads(1)
    print(base.clipx("--version").strip())
    print(f"open_clip {open_clip.__version__}, transformers {transformers.__version__}, torch {torch.__version__}, sentencepiece {spm.__version__}")
    lines = json.loads((base.ROOT / "tests/golden/bpe_train.json").read_text())["captions"]
    texts = base.texts_of(lines)
    with tempfile.TemporaryDirectory() as temporary:
        work = pathlib.Path(base.options.keep or temporary)
        for name in base.options.case or CASES:
            one_case(name, work, lines + [p for p in kinds.PARTS if "\n" not in p], texts)
    print(f"{base.failures} wrong")
    return 1 if base.failures else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clipx", default=str(base.ROOT / "build/release/clipx"))
    parser.add_argument("--case", action="append", default=[], choices=list(CASES))
    parser.add_argument("--show", type=int, default=5, help="how many differences are printed")
    parser.add_argument("--trace", action="store_true", help="print where an exception came from")
    parser.add_argument("--keep", metavar="FOLDER", help="where the folders are written and stay")
    base.options = parser.parse_args()
    sys.exit(main())
