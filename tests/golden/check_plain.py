"""Checks clipx against open_clip on vision transformers and text towers with other choices than CLIP's; writes nothing that is kept.

Usage: python3 tests/golden/check_plain.py [--clipx PROGRAM] [--keep FOLDER] [--only names|sizes|answers]
       (torch, timm 1.0, open_clip 3.3, transformers 5, tokenizers, numpy, pillow)

names    every vit_*_patch* of timm that clipx knows, under all poolings and heads: clipx finds all tensors in a file that has the shapes of
         timm's model (the values are holes), and counts as many parameters
sizes    the same of open_clip's own configurations
answers  these configurations made small, with random weights and a tokenizer, as they are and after `clipx convert`: the embeddings of texts
         and of examples/images, L2-normalized, to 1e-5
"""
import argparse
import json
import pathlib
import re
import shutil
import struct
import sys
import tempfile

import check_siglip as base
import numpy as np
import open_clip
import torch
import transformers
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image
from plain import made, randomise_all
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

CONFIGS = ["ViT-L-14-CLIPA", "ViT-L-14-CLIPA-336", "ViT-H-14-CLIPA", "ViT-H-14-CLIPA-336", "ViT-bigG-14-CLIPA", "ViT-bigG-14-CLIPA-336", "ViT-M-16-alt",
           "vit_medium_patch16_gap_256", "MobileCLIP-B", "MobileCLIP2-B", "MobileCLIP2-L-14", "ViT-H-14-worldwide", "ViT-L-14-worldwide"]
PIXELS = {"ViT-L-14-CLIPA": {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225], "interpolation": "bilinear", "resize_mode": "squash"},
          "MobileCLIP-B": {"mean": [0, 0, 0], "std": [1, 1, 1], "interpolation": "bilinear", "resize_mode": "shortest"}}
TEXTS = ["a photo of a cat", "A drawing of two RED apples!", "the sun", "[SEP] in a [SEP] text", "", "x" * 300, "photo of " * 60, "it's 3.14 o'clock", "<|endoftext|>", "日本語"]


def kind(cfg):
    return open_clip.CustomTextCLIP if cfg.get("custom_text") else open_clip.CLIP


def build(cfg):
    cfg = dict(cfg)
    vision = {k: v for k, v in cfg["vision_cfg"].items() if k != "timm_model_kwargs"}
    if "timm_model_kwargs" not in cfg["vision_cfg"]:
        return kind(cfg)(cfg["embed_dim"], vision, cfg["text_cfg"], quick_gelu=cfg.get("quick_gelu", False))
    with made(cfg["vision_cfg"]):
        return kind(cfg)(cfg["embed_dim"], vision, cfg["text_cfg"], quick_gelu=cfg.get("quick_gelu", False))


def write_shapes(model, path):
    """A safetensors file of these shapes; its values are holes, which take no room."""
    header, at = {}, 0
    for name, p in model.state_dict().items():
        size = p.numel() * p.element_size()
        header[name] = {"dtype": {torch.float32: "F32", torch.int64: "I64"}[p.dtype], "shape": list(p.shape), "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode()
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        f.truncate(8 + len(text) + at)


def inspected(name, cfg, work):
    shutil.rmtree(work / "shapes", ignore_errors=True)
    (work / "shapes").mkdir()
    with torch.device("meta"):
        model = kind(cfg)(**{k: v for k, v in cfg.items() if k != "custom_text"})
    write_shapes(model, work / "shapes/open_clip_model.safetensors")
    (work / "shapes/open_clip_config.json").write_text(json.dumps({"model_cfg": cfg}))
    facts = json.loads(base.clipx("inspect", work / "shapes", "--json"))
    want = sum(p.numel() for p in model.parameters())
    base.check(f"{name}: {want} parameters", facts["parameters"] == want, "" if facts["parameters"] == want else f"clipx counts {facts['parameters']}")
    if name.startswith("MobileCLIP"):  # whose sizes are enough
        alone = json.loads(base.clipx("inspect", work / "shapes/open_clip_model.safetensors", "--activation", "gelu", "--json"))
        same = [k for k in facts if k not in ("name", "preprocessing") and alone.get(k) != facts[k]]
        base.check(f"{name}: the file alone", not same, f"{same} differ" if same else "")


def known_names():
    text = (base.ROOT / "include/clipx/architectures/timm_vit-inl.hpp").read_text()
    return sorted(set(re.findall(r'"(vit_[a-z]+_patch[a-z0-9_]+_\d+)"', text)))


def check_names(work):
    text = {"width": 64, "heads": 1, "layers": 1, "vocab_size": 100, "context_length": 8}
    for name in known_names():
        token = "_gap_" not in name
        heads = [(None, "token" if token else "avg"), (None, "avg"), (None, "map"), ("none", "avg"), ("linear", ""), ("linear", "avg")]
        for projection, pool in dict.fromkeys(heads):
            vision = {"timm_model_name": name, "timm_proj": projection, "timm_pool": pool, "image_size": int(name.rsplit("_", 1)[1])}
            dim = 512
            if projection == "none":
                with torch.device("meta"):
                    dim = open_clip.timm_model.timm.create_model(name).num_features
            base.guarded(name, lambda: inspected(f"{name}, {projection}, {pool}", {"embed_dim": dim, "custom_text": True, "vision_cfg": vision,
                                                                                 "text_cfg": text}, work))


def check_sizes(work):
    for name in CONFIGS:
        base.guarded(name, lambda: inspected(name, open_clip.get_model_config(name), work))


# Small models.

def small(name):
    cfg = json.loads(json.dumps(open_clip.get_model_config(name)))
    vision, text = cfg["vision_cfg"], cfg["text_cfg"]
    cfg["embed_dim"] = 24
    text |= {"width": 32, "heads": 2, "layers": 2}
    if text.get("hf_tokenizer_name"):
        text |= {"vocab_size": 700, "context_length": min(text["context_length"], 24)}
    if "timm_model_name" not in vision:
        vision |= {"image_size": 32, "patch_size": 8, "width": 48, "layers": 2, "head_width": 16}
        vision.pop("mlp_ratio", None)
        return cfg
    vision["image_size"] = 32
    vision["timm_model_kwargs"] = {"img_size": 32, "patch_size": 8, "embed_dim": 48, "depth": 2, "num_heads": 3}
    if "mci" in vision["timm_model_name"]:
        vision["timm_model_kwargs"].pop("patch_size")
    return cfg


def put_bert(folder, lines):
    """A WordPiece vocabulary as bert-base-uncased's, and the class that transformers has for it."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    t = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    t.normalizer = normalizers.BertNormalizer(lowercase=True)
    t.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    t.decoder = decoders.WordPiece()
    t.train_from_iterator(lines, trainers.WordPieceTrainer(vocab_size=600, special_tokens=special))
    t.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[(s, special.index(s)) for s in ("[CLS]", "[SEP]")])
    transformers.BertTokenizerFast(tokenizer_object=t).save_pretrained(folder)


def put_tokenizer(name, folder, lines):
    if "CLIPA" in name:
        put_bert(folder, lines)
    elif name == "ViT-L-14-worldwide":  # mT5's
        base.put_t5(folder, lines)
    elif "worldwide" in name:  # XLM-V's
        model, _ = base.kinds.train_unigram(lines, 600, bos_id=0, pad_id=1, eos_id=2, unk_id=3)
        t = Tokenizer(models.Unigram([(p.piece, p.score) for p in model.pieces], unk_id=3, byte_fallback=False))
        t.normalizer = normalizers.Precompiled(model.normalizer_spec.precompiled_charsmap)
        t.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
        t.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)])
        transformers.PreTrainedTokenizerFast(tokenizer_object=t, bos_token="<s>", eos_token="</s>", pad_token="<pad>", unk_token="<unk>").save_pretrained(folder)
    else:
        shutil.copy(pathlib.Path(open_clip.__file__).parent / "bpe_simple_vocab_16e6.txt.gz", folder)


def make(name, folder, lines):
    folder.mkdir(parents=True)
    cfg = small(name)
    put_tokenizer(name, folder, lines)
    model = build(cfg).eval()
    randomise_all(model, np.random.default_rng(len(name)))
    config = {"model_cfg": cfg, "preprocess_cfg": PIXELS.get(name.replace("2-B", "-B"), PIXELS["ViT-L-14-CLIPA"] if "CLIPA" in name else {})}
    (folder / "open_clip_config.json").write_text(json.dumps(config, indent=2))
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, folder / "open_clip_model.safetensors")


@torch.no_grad()
def compare(folder, work):
    config = json.loads((folder / "open_clip_config.json").read_text())
    cfg, pixels = config["model_cfg"], config["preprocess_cfg"]
    model = build(cfg)
    model.load_state_dict(load_file(folder / "open_clip_model.safetensors"))
    model = model.double().eval()
    text = cfg["text_cfg"]
    if text.get("hf_tokenizer_name"):
        tokenize = open_clip.tokenizer.HFTokenizer(str(folder), context_length=text["context_length"], **text.get("tokenizer_kwargs", {}))
    else:
        tokenize = open_clip.tokenizer.SimpleTokenizer(context_length=text["context_length"])
    (work / "texts.txt").write_text("\n".join(t for t in TEXTS if t) + "\n", encoding="utf-8")
    far = base.gap(base.embed(folder, work, "--texts", work / "texts.txt"), base.unit(model.encode_text(tokenize([t for t in TEXTS if t]))))
    base.check(f"{folder.name}: embeddings of texts", far <= base.BOUND, f"largest difference {far:.1e}")
    side = cfg["vision_cfg"]["image_size"]
    transform = image_transform_v2(PreprocessCfg(size=side, **pixels), is_train=False)
    rows = base.unit(model.encode_image(torch.stack([transform(Image.open(p)) for p in base.IMAGES]).double()))
    far = base.gap(base.embed(folder, work, "--images", *base.IMAGES), rows)
    base.check(f"{folder.name}: embeddings of images", far <= base.BOUND, f"largest difference {far:.1e}")


def check_answers(work):
    lines = json.loads((base.ROOT / "tests/golden/bpe_train.json").read_text())["captions"]
    for name in options.case or CONFIGS:
        if name.endswith("-336") or name in ("ViT-H-14-CLIPA", "ViT-bigG-14-CLIPA", "MobileCLIP2-B"):
            continue  # as another, when it is small
        folder, again = work / name, work / f"{name}_converted"
        base.guarded(name, lambda: make(name, folder, lines))
        base.guarded(name, lambda: compare(folder, work))
        base.guarded(again.name, lambda: base.clipx("convert", "--model", folder, "--layout", "open_clip", "--out", again))
        base.guarded(again.name, lambda: compare(again, work))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clipx", default=str(base.ROOT / "build/release/clipx"))
    parser.add_argument("--keep", metavar="FOLDER", help="where the folders are written and stay")
    parser.add_argument("--only", action="append", choices=["names", "sizes", "answers"])
    parser.add_argument("--case", action="append", default=[], choices=CONFIGS, help="of the answers")
    parser.add_argument("--trace", action="store_true", help="print where an exception came from")
    options = base.options = parser.parse_args()
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        place = pathlib.Path(options.keep or temporary)
        for part, run in {"names": check_names, "sizes": check_sizes, "answers": check_answers}.items():
            if part in (options.only or [part]):
                run(place)
    print(f"{base.failures} wrong")
    sys.exit(1 if base.failures else 0)
