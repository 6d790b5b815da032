"""Which of open_clip's configurations and of transformers' model types clipx reads, and whether it computes the same; writes nothing
that is kept.

Usage: python3 tests/golden/open_clip_configs.py [--clipx PROGRAM] [--only NAME...] [--part open_clip|hf] [--configs FOLDER]
       (torch, timm 1.0, open_clip 3.3, transformers 5, tokenizers, sentencepiece, protobuf, numpy, pillow)

Every configuration of the installed open_clip is written as push_to_hf_hub writes it (open_clip_config.json with the preprocessing of
its first pretrained tag, safetensors, the files of a tokenizer), twice:

in full     a file of zeros with the names and shapes that open_clip's model has on torch's meta device: `clipx inspect --json` must
            read it and count the same parameters
small       with random weights, two blocks a tower or one or two blocks a stage and the tokenizer's own vocabulary, all widths and sizes of
            images as they are: `clipx embed` of images and of texts must give open_clip's L2-normalized embeddings, to 1e-5. An image
            tower whose name alone says its sizes is run in full, up to --most parameters

agrees      both are so
refused     clipx refuses it, and its message names a key or value of the configuration
counted     read with the same count, but too large to be run here
unbuilt     clipx reads the configuration, the installed open_clip does not build it
DIFFERENT   anything else; NO CAUSE: refused by a message that names nothing. Either makes the exit code 1

--configs adds the files of a folder, for example those of a later version of open_clip. The second part is in hf_types.py.
Last run: 2026-11-30, see tests/golden/README.md.
"""
import argparse
import contextlib
import copy
import gc
import json
import logging
import pathlib
import resource
import sys
import tempfile
import time
from dataclasses import asdict
from unittest import mock

import open_clip
import torch
import transformers
from open_clip.factory import _natural_key
from open_clip.transform import PreprocessCfg, image_transform_v2, merge_preprocess_dict
from PIL import Image

import hf_types
from random_models import TEXTS, ROOT, Report, Work, compare, count, no_initial_values, randomise, save, save_shapes
from siglip import timm_kwargs

# What the configurations call by name alone: the sizes that transformers' own configurations of these names have.
ROBERTA = {"vocab_size": 50265, "max_position_embeddings": 514, "type_vocab_size": 1, "layer_norm_eps": 1e-5, "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2}
XLM = ROBERTA | {"vocab_size": 250002}
LARGE = {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16}
MT5 = {"vocab_size": 250112, "d_kv": 64, "feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}
NLLB = {"vocab_size": 256206, "d_model": 1024, "encoder_attention_heads": 16, "decoder_attention_heads": 16, "activation_function": "relu", "scale_embedding": True,
        "max_position_embeddings": 1024, "pad_token_id": 1}
HF_TEXT = {
    "roberta-base": lambda: transformers.RobertaConfig(**ROBERTA),
    "roberta-large": lambda: transformers.RobertaConfig(**ROBERTA, **LARGE),
    "xlm-roberta-base": lambda: transformers.XLMRobertaConfig(**XLM),
    "xlm-roberta-large": lambda: transformers.XLMRobertaConfig(**XLM, **LARGE),
    "google/mt5-base": lambda: transformers.MT5Config(d_model=768, d_ff=2048, num_layers=12, num_heads=12, **MT5),
    "google/mt5-xl": lambda: transformers.MT5Config(d_model=2048, d_ff=5120, num_layers=24, num_heads=32, **MT5),
    "facebook/nllb-200-distilled-600M": lambda: transformers.M2M100Config(encoder_layers=12, decoder_layers=12, encoder_ffn_dim=4096, decoder_ffn_dim=4096, **NLLB),
    "facebook/nllb-200-distilled-1.3B": lambda: transformers.M2M100Config(encoder_layers=24, decoder_layers=24, encoder_ffn_dim=8192, decoder_ffn_dim=8192, **NLLB),
    "bert-base-uncased": lambda: transformers.BertConfig(),
}
TIMM_DEPTHS = {"vit_": {"depth": 2}, "eva": {"depth": 2}, "convnext": {"depths": [1, 1, 2, 1]}, "vitamin": {"depth": 2}, "swin": {"depths": [1, 1, 2, 1]}, "fastvit": {"layers": [1, 1, 1, 1]}}


def tokenizer_of(text):
    name = text.get("hf_tokenizer_name") or text.get("hf_model_name") or ""
    for part, kind in (("SigLIP2", "gemma"), ("SigLIP", "siglip"), ("bert-base", "bert"), ("mt5", "mt5"), ("xlm", "xlmr"), ("nllb", "nllb")):
        if part in name:
            return "roberta" if name.startswith("roberta") else kind
    return "roberta" if "roberta" in name.lower() else "siglip" if name else "clip"


def preprocessing(name):
    """What push_to_hf_hub writes: that of the first pretrained tag, else the defaults."""
    p = asdict(PreprocessCfg())
    tags = open_clip.list_pretrained_tags_by_model(name)
    if tags:
        p = merge_preprocess_dict(p, open_clip.get_pretrained_cfg(name, tags[0]))
    return {k: list(p[k]) if isinstance(p[k], tuple) else p[k] for k in ("mean", "std", "interpolation", "resize_mode")}


@contextlib.contextmanager
def offline():
    """Sizes of transformers' models by the table above."""
    plain = transformers.AutoConfig.from_pretrained

    def known(name, *args, **more):
        return HF_TEXT[name]() if name in HF_TEXT else plain(name, *args, **more)
    with mock.patch.object(transformers.AutoConfig, "from_pretrained", known):
        yield


def build(work, config, device):
    """open_clip's model of the folder."""
    config = copy.deepcopy(config)
    kwargs = config["model_cfg"]["vision_cfg"].pop("timm_model_kwargs", {})  # open_clip 3.3 does not know it, later versions pass it on
    (work.model / "open_clip_config.json").write_text(json.dumps(config, indent=2))
    with offline(), timm_kwargs(kwargs), no_initial_values(), torch.device(device):
        return open_clip.create_model(f"local-dir:{work.model}", load_weights=False, pretrained_text=False, device=device).eval()


def write_config(work, config):
    (work.model / "open_clip_config.json").write_text(json.dumps(config, indent=2))


def small(config, ids):
    """(what is smaller, configuration), the smallest first."""
    c = copy.deepcopy(config)
    model, said = c["model_cfg"], []
    for side in ("vision_cfg", "text_cfg", "multimodal_cfg"):
        tower = model.get(side, {})
        if "hf_model_name" in tower or "timm_model_name" in tower or not tower:
            continue
        tower["layers"] = [2, 1, 1, 1] if isinstance(tower.get("layers"), list) else 2
    if ids and model["text_cfg"].get("hf_tokenizer_name") and not model["text_cfg"].get("hf_model_name"):
        model["text_cfg"]["vocab_size"] = ids
    name = model["vision_cfg"].get("timm_model_name")
    if not name:
        return [c]
    out = []
    for prefix, kwargs in TIMM_DEPTHS.items():
        if name.startswith(prefix):
            out.append(copy.deepcopy(c))
            out[-1]["model_cfg"]["vision_cfg"]["timm_model_kwargs"] = kwargs
    return out + [c]


@torch.no_grad()
def library_rows(work, model, config):
    vision = config["model_cfg"]["vision_cfg"]
    transform = image_transform_v2(PreprocessCfg(size=vision.get("image_size", 224), **config["preprocess_cfg"]), is_train=False)
    dtype = next(model.parameters()).dtype
    pixels = torch.stack([transform(Image.open(path).convert("RGB")) for path in work.images]).to(dtype)
    ids = open_clip.get_tokenizer(f"local-dir:{work.model}")(TEXTS)
    images, texts = model.encode_image(pixels), model.encode_text(ids)
    return [r[0] if isinstance(r, tuple) else r for r in (images, texts)]


def run_small(work, report, name, config, tokenizer, most, parameters):
    ids = work.sizes[tokenizer]
    for form in small(config, ids):
        kwargs = form["model_cfg"]["vision_cfg"].get("timm_model_kwargs")
        work.fresh(tokenizer)
        try:
            total = count(build(work, form, "meta"))
        except (TypeError, RuntimeError):
            if kwargs:
                continue  # timm does not take these arguments for this tower
            raise
        if total > most:
            return report.add(name, "counted", f"{parameters:,} parameters as in open_clip; {total:,} are too many to be run here")
        save_shapes(build(work, form, "meta"), work.model / "open_clip_model.safetensors")
        write_config(work, form)
        facts = work.inspect()
        if isinstance(facts, str):
            if kwargs and ("timm_model_kwargs" in facts or any(key in facts for key in kwargs)):
                continue
            return report.add(name, "DIFFERENT", f"read in full, but not the same with fewer blocks: {facts}")
        model = build(work, form, "cpu")
        randomise(model, total)
        save(model, work.model / "open_clip_model.safetensors")
        if total < 400e6:
            model = model.double()
        images, texts = library_rows(work, model, form)
        del model
        gc.collect()
        write_config(work, form)
        gaps, wrong = zip(*[compare(work, "images", ["--images", *work.images], images), compare(work, "texts", ["--texts", str(work.texts)], texts)])
        said = "; ".join(w for w in wrong if w)
        if said:
            return report.add(name, "DIFFERENT", said)
        which = "smaller" if kwargs or not config["model_cfg"]["vision_cfg"].get("timm_model_name") else "image tower in full"
        return report.add(name, "agrees", f"{parameters:,} parameters; images within {gaps[0]:.0e}, texts {gaps[1]:.0e} ({which}, {total / 1e6:.0f}M)")


def check(work, report, name, cfg, most):
    config = {"model_cfg": cfg, "preprocess_cfg": preprocessing(name)}
    tokenizer = tokenizer_of(cfg["text_cfg"])
    work.fresh(tokenizer)
    unbuilt = parameters = None
    try:
        model = build(work, config, "meta")
        parameters = count(model)
    except Exception as why:  # noqa: BLE001: whatever the library says
        unbuilt = f"{type(why).__name__}: {str(why).splitlines()[0][:100] if str(why) else ''}"
        model = torch.nn.Linear(1, 1)
    save_shapes(model, work.model / "open_clip_model.safetensors")
    write_config(work, config)
    facts = work.inspect()
    if isinstance(facts, str):
        if unbuilt and "tensor" in facts and "unsupported" not in facts and "not supported" not in facts:
            return report.add(name, "unbuilt", f"clipx reads it; open_clip {open_clip.__version__}: {unbuilt}")
        return report.refused(name, facts, config)
    if unbuilt:
        return report.add(name, "unbuilt", f"clipx reads it; open_clip {open_clip.__version__}: {unbuilt}")
    if facts["parameters"] != parameters:
        return report.add(name, "DIFFERENT", f"{facts['parameters']:,} parameters, {parameters:,} in open_clip")
    run_small(work, report, name, config, tokenizer, most, parameters)


def configurations(folder):
    out = {name: open_clip.get_model_config(name) for name in open_clip.list_models()}
    for path in sorted(pathlib.Path(folder).glob("*.json") if folder else [], key=lambda p: _natural_key(p.stem)):
        cfg = json.loads(path.read_text())
        cfg = cfg.get("model_cfg", cfg)
        if "vision_cfg" not in cfg or "text_cfg" not in cfg:
            print(f"          {path.stem:34} has no image or no text tower: left out")
        elif out.get(path.stem) != cfg:
            out[path.stem + (" (as in the folder)" if path.stem in out else "")] = cfg
    return out


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--clipx", default=str(ROOT / "build/release/clipx"))
    p.add_argument("--only", nargs="*", metavar="NAME", help="configurations or model types; a name that ends with * stands for all that begin so")
    p.add_argument("--part", choices=("open_clip", "hf"))
    p.add_argument("--configs", metavar="FOLDER", help="more configurations")
    p.add_argument("--most", type=float, default=1e9, help="parameters of a model that is run")
    p.add_argument("--args", nargs="*", default=[], help="more arguments of clipx embed, such as --backend eigen")
    o = p.parse_args()
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    logging.disable(logging.WARNING)
    start, bad = time.time(), 0

    def wanted(name):
        return not o.only or any(name == n or n.endswith("*") and name.startswith(n[:-1]) for n in o.only)
    with tempfile.TemporaryDirectory() as folder:
        work = Work(folder, o.clipx, o.args)
        if o.part != "hf":
            report = Report()
            for name, cfg in configurations(o.configs).items():
                if wanted(name):
                    try:
                        check(work, report, name, cfg, o.most)
                    except Exception as why:  # noqa: BLE001: the others are still of use
                        report.add(name, "DIFFERENT", f"{type(why).__name__}: {why}")
            report.close(f"configurations of open_clip {open_clip.__version__}{' and of the folder' if o.configs else ''}")
            bad += report.bad()
        if o.part != "open_clip":
            report = Report()
            hf_types.check_all(work, report, wanted)
            report.close(f"model types of transformers {transformers.__version__}")
            bad += report.bad()
    memory = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) / 2**20
    print(f"{time.time() - start:.0f} s, at most {memory:.1f} GiB in one process")
    sys.exit(bad > 0)


if __name__ == "__main__":
    main()
