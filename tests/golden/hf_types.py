"""The second part of open_clip_configs.py: every model type of transformers that is CLIP or near it, as a folder of Hugging Face. What
clipx reads must give transformers' embeddings; every other type must be refused by name. Not a script."""
import gc
import json

import torch
import transformers
from PIL import Image
from transformers.models.auto import image_processing_auto, modeling_auto

from random_models import TEXTS, compare, count, no_initial_values, randomise

# Model type: (tokenizer, class of the model); the type's own of AutoModel if none.
TYPES = {
    "clip": ("clip", None), "clip_vision_model": ("clip", "CLIPVisionModelWithProjection"), "clip_text_model": ("clip", "CLIPTextModelWithProjection"),
    "siglip": ("hf_siglip", None), "siglip_vision_model": ("hf_siglip", None), "siglip_text_model": ("hf_siglip", None),
    "siglip2": ("gemma", None), "siglip2_vision_model": ("gemma", None), "siglip2_text_model": ("gemma", None),
    "metaclip_2": ("xlmr", None), "metaclip_2_vision_model": ("xlmr", "MetaClip2VisionModelWithProjection"),
    "metaclip_2_text_model": ("xlmr", "MetaClip2TextModelWithProjection"), "altclip": ("xlmr", None), "chinese_clip": ("bert", None), "clipseg": ("clip", None),
    "xclip": ("clip", None), "align": ("bert", None), "groupvit": ("clip", None), "owlvit": ("clip", None), "owlv2": ("clip", None), "blip": ("bert", None),
    "blip-2": ("clip", None), "flava": ("bert", None), "bridgetower": ("roberta", None), "vilt": ("bert", None), "vision-text-dual-encoder": ("bert", None),
    "clap": ("roberta", None), "clvp": ("clip", None), "tipsv2": ("siglip", None), "videoprism": ("siglip", None), "dinov2": ("clip", None), "dinov3_vit": ("clip", None),
    "xlm-roberta": ("xlmr", None), "bert": ("bert", None), "vit": ("clip", None),
}
SMALL = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4, "projection_dim": 48, "image_size": 48, "patch_size": 8,
         "project_dim": 64, "mit_hidden_size": 48, "mit_intermediate_size": 80, "mit_num_hidden_layers": 1, "mit_num_attention_heads": 4, "num_frames": 2,
         "prompt_layers": 1, "prompt_num_attention_heads": 4, "type_vocab_size": 2, "max_position_embeddings": 77}


def types():
    """The table, and what transformers' own list of zero-shot models has beyond it."""
    return TYPES | {name: ("clip", None) for name in modeling_auto.MODEL_FOR_ZERO_SHOT_IMAGE_CLASSIFICATION_MAPPING_NAMES if name not in TYPES}


def shrunk(value, ids, kind):
    """The same configuration with small sizes, and the tokenizer's ids."""
    if not isinstance(value, dict):
        return value
    out = {k: shrunk(v, ids, kind) for k, v in value.items()}
    if "max_position_embeddings" in out or "vocab_size" in out:
        out |= {"vocab_size": ids, "max_position_embeddings": {"hf_siglip": 16, "gemma": 16, "xlmr": 80, "bert": 80}.get(kind, 77)}
    for key, size in SMALL.items():
        if key in out and key != "max_position_embeddings" and isinstance(out[key], int):
            out[key] = size
    if "projection_size" in out:
        out["projection_size"] = 64
    return out


def configuration(name, ids, kind):
    cls = transformers.CONFIG_MAPPING[name]
    if name == "vision-text-dual-encoder":
        config = cls.from_vision_text_configs(transformers.CLIPVisionConfig(), transformers.BertConfig())
    else:
        config = cls()
    values = shrunk(config.to_dict(), ids, kind)
    frame = {"clip": (49406, 49407, 49407), "xlmr": (0, 2, 1), "hf_siglip": (None, 1, 1), "gemma": (2, 1, 0)}.get(kind)
    for part in [values, *(v for k, v in values.items() if k.endswith("text_config") and isinstance(v, dict))]:
        if frame and "eos_token_id" in part:
            part |= dict(zip(("bos_token_id", "eos_token_id", "pad_token_id"), frame))
    return cls.from_dict(values)


def put_processor(name, folder):
    """The image processor of the type; its class that uses Pillow, whose pixels clipx has."""
    parent = name.removesuffix("_vision_model").removesuffix("_text_model")
    names = image_processing_auto.IMAGE_PROCESSOR_MAPPING_NAMES.get(name) or image_processing_auto.IMAGE_PROCESSOR_MAPPING_NAMES.get(parent) or {}
    cls = getattr(transformers, names.get("pil") or "CLIPImageProcessorPil")
    side = {"height": 48, "width": 48}
    if name.startswith("siglip2"):
        processor = cls()
    elif "crop_size" in cls().to_dict() and getattr(cls, "do_center_crop", None):
        processor = cls(size={"shortest_edge": 48}, crop_size=side)
    else:
        processor = cls(size=side)
    processor.save_pretrained(folder)
    return processor


def rows_of(out):
    for key in ("image_embeds", "text_embeds", "pooler_output"):
        if getattr(out, key, None) is not None:
            return getattr(out, key)
    return out


def tokens(work, model):
    tokenizer = transformers.AutoTokenizer.from_pretrained(work.model)
    text = getattr(model.config, "text_config", None) or model.config
    siglip = "siglip" in model.config.model_type
    length = min(text.max_position_embeddings, tokenizer.model_max_length)
    return tokenizer(TEXTS, padding="max_length" if siglip else True, max_length=length, truncation=True, return_tensors="pt")


@torch.no_grad()
def library_rows(work, model, processor):
    """(rows of images or nothing, rows of texts or nothing)."""
    images = texts = None
    both = hasattr(model, "get_image_features")
    if both or "vision" in model.config.model_type:
        pixels = processor([Image.open(path).convert("RGB") for path in work.images], return_tensors="pt")["pixel_values"].double()
        images = rows_of(model.get_image_features(pixel_values=pixels) if both else model(pixel_values=pixels))
    if both or "text" in model.config.model_type:
        given = {k: v for k, v in tokens(work, model).items() if k == "input_ids" or k == "attention_mask" and "siglip" not in model.config.model_type}
        texts = rows_of(model.get_text_features(**given) if both else model(**given))
    return images, texts


def make(work, name, kind, cls):
    """(model or nothing, processor or nothing, why there is no model)."""
    ids = work.fresh(kind)
    try:
        with no_initial_values():
            config = configuration(name, ids, kind)
            model = (getattr(transformers, cls)._from_config(config) if cls else transformers.AutoModel.from_config(config)).eval()
        randomise(model, count(model))
        model.save_pretrained(work.model)
        return model, put_processor(name, work.model), ""
    except Exception as why:  # noqa: BLE001: a type that is to be refused needs no model
        config = transformers.CONFIG_MAPPING[name]().to_dict() if name in transformers.CONFIG_MAPPING else {}
        (work.model / "config.json").write_text(json.dumps({k: v for k, v in config.items() if isinstance(v, (str, int, float, bool))} | {"model_type": name}))
        from safetensors.torch import save_file
        save_file({"x": torch.ones(1)}, work.model / "model.safetensors")
        return None, None, f"{type(why).__name__}: {why}".splitlines()[0]


def check(work, report, name, kind, cls):
    model, processor, why = make(work, name, kind, cls)
    facts = work.inspect()
    config = json.loads((work.model / "config.json").read_text())
    if isinstance(facts, str):
        return report.refused(name, facts, config)
    if model is None:
        return report.add(name, "DIFFERENT", f"clipx reads it, transformers' model was not made: {why}")
    if facts["parameters"] != count(model):
        return report.add(name, "DIFFERENT", f"{facts['parameters']:,} parameters, {count(model):,} in transformers")
    images, texts = library_rows(work, model.double(), processor)
    sides = [("images", ["--images", *work.images], images), ("texts", ["--texts", str(work.texts)], texts)]
    results = {side: compare(work, side, args, rows) for side, args, rows in sides if rows is not None}
    said = "; ".join(wrong for _, wrong in results.values() if wrong)
    if said:
        return report.add(name, "DIFFERENT", said)
    report.add(name, "agrees", f"{count(model):,} parameters; " + ", ".join(f"{side} within {gap:.0e}" for side, (gap, _) in results.items()))


def check_all(work, report, wanted):
    for name, (kind, cls) in types().items():
        if wanted(name):
            try:
                check(work, report, name, kind, cls)
            except Exception as why:  # noqa: BLE001: the others are still of use
                report.add(name, "DIFFERENT", f"{type(why).__name__}: {why}")
            gc.collect()
