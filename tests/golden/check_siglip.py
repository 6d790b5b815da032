"""Checks clipx against transformers and open_clip on SigLIP models with their tokenizers; writes nothing that is kept.

Usage: python3 tests/golden/check_siglip.py [--clipx PROGRAM] [--case CASE]... [--keep FOLDER] [--texts FILE]
       (torch, timm 1.0, open_clip 3.3, transformers 5, sentencepiece, protobuf, numpy, pillow)

The models are tiny and random, the vocabularies learned by sentencepiece from the captions of bpe_train.json, and the folders have the
files that the published ones have: of transformers' SiglipTokenizer (SigLIP) and GemmaTokenizer (SigLIP 2), and of open_clip. Each folder
is opened by its library and by clipx, as it is and after `clipx convert` to either layout:

tokenize  the ids of texts with capitals, punctuation, every script, emoji, control characters, special strings, and of very long ones
embed     the embeddings of these texts and of examples/images, L2-normalized, to 1e-5
classify  the probabilities of labels, to 1e-5

Where a library refuses a folder its message is printed, and the folder counts as wrong.
"""
import argparse
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import traceback

import check_tokenizers as kinds
import numpy as np
import open_clip
import sentencepiece as spm
import torch
import transformers
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image
from safetensors.torch import load_file, save_file
from siglip import randomise_all, timm_kwargs
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers, processors

ROOT = pathlib.Path(__file__).resolve().parents[2]
IMAGES = sorted(str(p) for p in (ROOT / "examples/images").glob("*.png"))
LABELS = ["an Apple", "a clock!", "heart", "HOUSE", "a photo of a mushroom", "the sun (yellow)", "umbrella", "☂"]
SIDE, CONTEXT, WIDTH, BOUND = 32, 16, 64, 1e-5
KWARGS = {"img_size": SIDE, "patch_size": 8, "embed_dim": WIDTH, "depth": 2, "num_heads": 2}
PUNCTUATION = r"""[!"\#\$%\&'\(\)\*\+,\-\.:;=\?@\[\\\]\^_`\{\|\}\~]"""
failures = 0


def check(what, ok, detail=""):
    global failures
    failures += not ok
    print(f"{'ok   ' if ok else 'WRONG'} {what}{'  ' + detail if detail else ''}", flush=True)


def clipx(*args, text=None):
    done = subprocess.run([options.clipx, *map(str, args)], input=text, text=True, capture_output=True, errors="replace",
                          env=os.environ | {"OMP_WAIT_POLICY": "passive"})
    if done.returncode:
        raise RuntimeError(f"clipx {args[0]}: {done.stderr.strip()}")
    return done.stdout


def texts_of(captions):
    """Texts of one line each."""
    rng = random.Random(1)
    parts = [p for p in kinds.PARTS if "\n" not in p and "\r" not in p]
    texts = ["", " ", "a photo of a cat", "A PHOTO OF A CAT", "A drawing of two RED apples!", "it's 3.14 o'clock", "snake_case_name", "semi-colon; dash - and — em",
             "!!!", "?", "«guillemets» “quotes” ‘single’", "a &amp; b &lt;p&gt;", "İSTANBUL", "ΣΊΣΥΦΟΣ", "ẞ STRASSE", "ÉCOLE DÉJÀ", "E\u0301cole", "ﬁ ﬂ ﬃ", "ＦＵＬＬ　ＷＩＤＴＨ",
             "a </s> b", "</s>", "<pad>", "<unk>", "<eos> a", "a<eos>", "a photo of a cat</s>", "a  </s>  b", "<s>x", "</S>", "x" * 300, "photo " * 40, "Photo, " * 40, "🤗" * 50,
             "日本語 " * 20, "1,234,567.89", "#hashtag @user", "http://example.com/?q=1&x=2", "C:\\path\\file", "tab\there", "trailing   ", "   leading", "\u00a0nbsp\u00a0",
             "\u2581marked", "a\u2581b", "a\u200bb", "a\u00adb", "\ufeffbom", "a\x1cb", "\x07bell", "½ ① Ⅷ", "…", "´`¨", "a\u0301\u0327", "ｶﾞ", "👩‍👧‍👦 family"]
    texts += parts
    texts += ["".join(rng.choice(parts) + rng.choice(["", " ", "  "]) for _ in range(rng.randrange(2, 6))) for _ in range(60)]
    texts += [c if rng.random() < 0.5 else c.upper() + rng.choice("!?.,") for c in rng.sample(captions, 40)]
    texts += ["".join(kinds.letters(rng) for _ in range(12)) for _ in range(20)]
    return [t for t in dict.fromkeys(texts) if not set("\n\r") & set(t)]


# Tokenizers, as the published folders have them.

def unigram(captions, published=False):
    """SigLIP's: </s> is 1 and pads, <unk> is 2. `published`: the normalizer of the tokenizer.json beside spiece.model; transformers does not
    read it."""
    model, data = kinds.train_unigram(captions, 600, pad_id=0, eos_id=1, unk_id=2, bos_id=-1, character_coverage=0.99)
    t = Tokenizer(models.Unigram([(p.piece, p.score) for p in model.pieces], unk_id=2, byte_fallback=False))
    steps = [normalizers.Precompiled(model.normalizer_spec.precompiled_charsmap)]
    if published:
        steps = [normalizers.Lowercase(), normalizers.Replace(Regex(PUNCTUATION), ""), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Strip(), *steps]
        t.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    else:
        t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")])
    t.normalizer = normalizers.Sequence(steps)
    t.add_special_tokens([AddedToken(p, lstrip=True, rstrip=True, normalized=False, special=True) for p in ("</s>", "<unk>")])
    t.post_processor = processors.TemplateProcessing(single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)])
    return t, data


def bpe(captions):
    """SigLIP 2's: <pad> 0, <eos> 1, <bos> 2, <unk> 3, <mask> 4, bytes."""
    model, _ = kinds.train_unigram(captions, 800, True, model_type="bpe", control_symbols=["<mask>"], pad_id=0, eos_id=1, bos_id=2, unk_id=3, eos_piece="<eos>", bos_piece="<bos>",
                                   normalization_rule_name="identity", remove_extra_whitespaces=False, add_dummy_prefix=False,
                                   character_coverage=0.99)
    return model


def gemma(model, lower):
    t = Tokenizer(models.BPE(vocab={p.piece: i for i, p in enumerate(model.pieces)}, merges=kinds.merges_of(model), fuse_unk=True, unk_token="<unk>",
                             byte_fallback=True))
    replace = normalizers.Replace(" ", "▁")
    t.normalizer = normalizers.Sequence([normalizers.Lowercase(), replace]) if lower else replace
    t.pre_tokenizer = pre_tokenizers.Split(" ", behavior="merged_with_previous")
    t.add_special_tokens([AddedToken(p, normalized=False, special=True) for p in ("<pad>", "<eos>", "<bos>", "<unk>", "<mask>")])
    t.post_processor = processors.TemplateProcessing(single="$A <eos>", pair="$A <eos> $B <eos>", special_tokens=[("<eos>", 1)])
    return t


GEMMA_CONFIG = {"add_bos_token": False, "add_eos_token": True, "bos_token": "<bos>", "eos_token": "<eos>", "pad_token": "<pad>", "unk_token": "<unk>",
                "do_lower_case": True, "model_max_length": 10**30, "padding_side": "right", "clean_up_tokenization_spaces": False,
                "processor_class": "SiglipProcessor", "spaces_between_special_tokens": False, "tokenizer_class": "GemmaTokenizer"}
T5_CONFIG = {"eos_token": "</s>", "pad_token": "</s>", "unk_token": "<unk>", "extra_ids": 0, "additional_special_tokens": [], "model_max_length": CONTEXT,
             "clean_up_tokenization_spaces": True, "tokenizer_class": "T5Tokenizer"}


def put_siglip_tokenizer(folder, captions, published=False):
    """transformers writes spiece.model; the published folder has a tokenizer.json beside it."""
    t, data = unigram(captions, published)
    (folder / "spiece.model").write_bytes(data)
    transformers.SiglipTokenizer(str(folder / "spiece.model"), model_max_length=CONTEXT).save_pretrained(folder)
    t.save(str(folder / "tokenizer.json"))
    return t.get_vocab_size()


def put_spiece(folder, captions):
    """As transformers leaves it: spiece.model alone."""
    size = put_siglip_tokenizer(folder, captions)
    (folder / "tokenizer.json").unlink()
    return size


def put_gemma(folder, captions, lower, name="GemmaTokenizer"):
    t = gemma(bpe(captions), lower)
    t.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps(GEMMA_CONFIG | {"tokenizer_class": name}, indent=2))
    return t.get_vocab_size()


def put_t5(folder, captions):
    t, data = unigram(captions)
    t.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps(T5_CONFIG, indent=2))
    return t.get_vocab_size()


# Models.

def hf_folder(folder, put, captions, resample):
    folder.mkdir(parents=True)
    size = put(folder, captions)
    text = {"vocab_size": size, "hidden_size": WIDTH, "intermediate_size": 100, "num_hidden_layers": 2, "num_attention_heads": 2,
            "max_position_embeddings": CONTEXT, "projection_size": WIDTH, "bos_token_id": None, "eos_token_id": 1, "pad_token_id": 1}
    vision = {"hidden_size": WIDTH, "intermediate_size": 120, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": SIDE, "patch_size": 8}
    model = transformers.SiglipModel(transformers.SiglipConfig(text_config=text, vision_config=vision))
    randomise_all(model, np.random.default_rng(size))
    model.save_pretrained(folder)
    pixels = transformers.SiglipImageProcessor(size={"height": SIDE, "width": SIDE}, resample=resample)
    transformers.SiglipProcessor(pixels, transformers.AutoTokenizer.from_pretrained(folder)).image_processor.save_pretrained(folder)


def open_clip_folder(folder, put, captions, tanh):
    folder.mkdir(parents=True)
    size = put(folder, captions)
    text = {"context_length": CONTEXT, "vocab_size": size, "hf_tokenizer_name": "timm/any", "tokenizer_kwargs": {"clean": "canonicalize"}, "width": WIDTH,
            "heads": 2, "layers": 2, "no_causal_mask": True, "proj_bias": True, "pool_type": "last", "norm_kwargs": {"eps": 1e-6}}
    text |= {"act_kwargs": {"approximate": "tanh"}} if tanh else {}
    vision = {"image_size": SIDE, "timm_model_name": "vit_base_patch16_siglip_224", "timm_model_pretrained": False, "timm_pool": "map", "timm_proj": "none",
              "timm_model_kwargs": KWARGS}
    config = {"model_cfg": {"embed_dim": WIDTH, "init_logit_bias": -10, "custom_text": True, "vision_cfg": vision, "text_cfg": text},
              "preprocess_cfg": {"mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic", "resize_mode": "squash"}}
    (folder / "open_clip_config.json").write_text(json.dumps(config, indent=2))
    model = open_clip_model(config)
    randomise_all(model, np.random.default_rng(size))
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, folder / "open_clip_model.safetensors")


def open_clip_model(config):
    """open_clip 3.3 does not know timm_model_kwargs, which later versions pass on."""
    cfg = config["model_cfg"]
    vision = dict(cfg["vision_cfg"])
    with timm_kwargs(vision.pop("timm_model_kwargs", {})):
        return open_clip.CustomTextCLIP(cfg["embed_dim"], vision, cfg["text_cfg"], init_logit_bias=cfg["init_logit_bias"]).eval()


CASES = {
    "hf_siglip": lambda at, lines: hf_folder(at, put_siglip_tokenizer, lines, 3),
    "hf_siglip_published": lambda at, lines: hf_folder(at, lambda f, c: put_siglip_tokenizer(f, c, True), lines, 3),
    "hf_siglip_spiece": lambda at, lines: hf_folder(at, put_spiece, lines, 3),
    "hf_siglip2": lambda at, lines: hf_folder(at, lambda f, c: put_gemma(f, c, False), lines, 2),
    "hf_siglip2_lower": lambda at, lines: hf_folder(at, lambda f, c: put_gemma(f, c, True, "TokenizersBackend"), lines, 2),
    "hf_siglip2_own": lambda at, lines: hf_folder(at, lambda f, c: put_gemma(f, c, False, "Siglip2Tokenizer"), lines, 2),
    "open_clip_siglip": lambda at, lines: open_clip_folder(at, put_t5, lines, False),
    "open_clip_siglip2": lambda at, lines: open_clip_folder(at, lambda f, c: put_gemma(f, c, False), lines, True),
}


# What the libraries compute: (ids of texts, rows of texts, rows of images, scale, bias).

class Transformers:
    def __init__(self, folder):
        self.model, report = transformers.SiglipModel.from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
        check(f"{folder.name}: transformers finds every key", not any(report[k] for k in ("missing_keys", "unexpected_keys", "mismatched_keys")))
        self.model = self.model.double().eval()
        self.tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        self.processor = transformers.SiglipProcessor.from_pretrained(folder)
        self.name = f"transformers' {type(self.tokenizer).__name__}"
        self.scale, self.bias = self.model.logit_scale.exp().item(), self.model.logit_bias.item()

    def ids(self, texts):
        return self.processor(text=texts, padding="max_length", max_length=CONTEXT, truncation=True, return_tensors="pt")["input_ids"]

    def texts(self, ids):
        return self.model.get_text_features(input_ids=ids).pooler_output

    def images(self, paths):
        pixels = transformers.SiglipImageProcessorPil.from_pretrained(self.model.name_or_path)([Image.open(p) for p in paths], return_tensors="pt")
        return self.model.get_image_features(pixel_values=pixels["pixel_values"].double()).pooler_output


class OpenClip:
    def __init__(self, folder):
        config = json.loads((folder / "open_clip_config.json").read_text())
        self.model = open_clip_model(config)
        self.model.load_state_dict(load_file(folder / "open_clip_model.safetensors"))
        self.model = self.model.double()
        self.tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")
        self.transform = image_transform_v2(PreprocessCfg(size=SIDE, **config["preprocess_cfg"]), is_train=False)
        self.name = f"open_clip's HFTokenizer of {type(self.tokenizer.tokenizer).__name__}"
        self.scale, self.bias = self.model.logit_scale.exp().item(), self.model.logit_bias.item()

    def ids(self, texts):
        return self.tokenizer(texts)

    def texts(self, ids):
        return self.model.encode_text(ids)

    def images(self, paths):
        return self.model.encode_image(torch.stack([self.transform(Image.open(p)) for p in paths]).double())


def unit(x):
    x = x.double().numpy()
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def embed(folder, work, kind, *what):
    clipx("embed", "--model", folder, kind, *what, "--out", work / "rows.npy")
    return np.load(work / "rows.npy").astype(np.float64)


def compare_ids(folder, library, texts):
    ours = [json.loads(row) for row in clipx("tokenize", "--model", folder, text="\n".join(texts) + "\n").splitlines()]
    theirs = library.ids(texts).tolist()
    wrong = [(t, a, b) for t, a, b in zip(texts, ours, theirs, strict=True) if a != b]
    check(f"{folder.name}: ids of {len(texts)} texts are those of {library.name}", not wrong, f"{len(wrong)} differ" if wrong else "")
    for text, a, b in wrong[:options.show]:
        print(f"      {text[:80]!r}\n        clipx   {a}\n        library {b}")
    return ours


def gap(a, b):
    return float(np.abs(a - b).max()) if len(a) else 0.0


@torch.no_grad()
def compare(folder, library, work, texts):
    ours = compare_ids(folder, library, texts)
    (work / "texts.txt").write_text("\n".join(t for t in texts if t) + "\n", encoding="utf-8")
    rows = unit(library.texts(torch.tensor([a for a, t in zip(ours, texts) if t])))  # of clipx's ids: those of other ids are compared above
    far = gap(embed(folder, work, "--texts", work / "texts.txt"), rows)
    check(f"{folder.name}: embeddings of texts", far <= BOUND, f"largest difference {far:.1e}")
    images = unit(library.images(IMAGES))
    far = gap(embed(folder, work, "--images", *IMAGES), images)
    check(f"{folder.name}: embeddings of images", far <= BOUND, f"largest difference {far:.1e}")
    (work / "classes.json").write_text(json.dumps(LABELS))
    (work / "templates.txt").write_text("{}\n")
    found = clipx("classify", *IMAGES, "--model", folder, "--classes", work / "classes.json", "--templates", work / "templates.txt", "--json")
    labels = unit(library.texts(library.ids(LABELS)))
    theirs = 1 / (1 + np.exp(-(library.scale * images @ labels.T + library.bias)))
    rows = [{one["label"]: one["p"] for one in json.loads(row)["labels"]} for row in found.splitlines()]
    ours = np.array([[row[name] for name in LABELS] for row in rows])
    far = gap(ours, theirs)
    check(f"{folder.name}: probabilities", far <= BOUND, f"largest difference {far:.1e}; from {theirs.min():.3f} to {theirs.max():.3f}")


def guarded(what, run):
    try:
        return run()
    except Exception as e:
        check(what, False, f"{type(e).__name__}: {str(e)[:1500]}")
        if options.trace:
            traceback.print_exc()


def one_case(name, work, lines, texts):
    source = work / name
    guarded(f"{name}: made", lambda: CASES[name](source, lines))
    other = "open_clip" if name.startswith("hf") else "hf"
    folders = [(source, "hf" if name.startswith("hf") else "open_clip")]
    for layout, start in ((other, source), (folders[0][1], work / f"{name}_as_{other}")):
        to = work / f"{start.name}_as_{layout}"
        if guarded(f"{to.name}: clipx convert", lambda: clipx("convert", "--model", start, "--layout", layout, "--out", to)) is not None:
            folders.append((to, layout))
    for folder, layout in folders:
        guarded(folder.name, lambda: compare(folder, (Transformers if layout == "hf" else OpenClip)(folder), work, texts))


def main():
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    torch.set_num_threads(1)
    print(clipx("--version").strip())
    print(f"open_clip {open_clip.__version__}, transformers {transformers.__version__}, torch {torch.__version__}, sentencepiece {spm.__version__}")
    lines = json.loads((ROOT / "tests/golden/bpe_train.json").read_text())["captions"]
    texts = texts_of(lines)
    if options.texts:
        texts += [t for t in pathlib.Path(options.texts).read_text(encoding="utf-8").split("\n") if "\r" not in t]
    with tempfile.TemporaryDirectory() as temporary:
        work = pathlib.Path(options.keep or temporary)
        for name in options.case or CASES:
            one_case(name, work, lines + [p for p in kinds.PARTS if "\n" not in p], texts)
    print(f"{failures} wrong")
    return 1 if failures else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clipx", default=str(ROOT / "build/release/clipx"))
    parser.add_argument("--case", action="append", default=[], choices=list(CASES))
    parser.add_argument("--texts", metavar="FILE", help="more texts, one a line")
    parser.add_argument("--show", type=int, default=5, help="how many differences are printed")
    parser.add_argument("--trace", action="store_true", help="print where an exception came from")
    parser.add_argument("--keep", metavar="FOLDER", help="where the folders are written and stay")
    options = parser.parse_args()
    sys.exit(main())
