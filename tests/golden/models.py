"""Writes tests/golden/models/<case>/: tiny CLIP checkpoints in the folder forms of open_clip and Hugging Face, and what PyTorch
computes with them in double precision (features, logits, loss, every gradient). tests/golden/README.md describes the files.

Usage: python3 tests/golden/models.py [CASE...]      (torch, open_clip_torch 3.3, transformers 5, safetensors, numpy)

Weights are drawn in float32, so their storage is exact, and everything is computed in float64. Each case is computed a second
time from the written folder, and the Hugging Face cases by open_clip too, before its numbers are believed.
"""
import json
import math
import pathlib
import sys

import numpy as np
import open_clip
import torch
import transformers
from open_clip.loss import ClipLoss
from safetensors.numpy import load_file, save_file

OUT = pathlib.Path(__file__).resolve().parent / "models"
MEAN, STD = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]
CONTEXT, SOT, EOT = 12, 62, 63
TEXT = {"context_length": CONTEXT, "vocab_size": 64, "width": 16, "heads": 2, "layers": 1}

OPEN_CLIP = {
    "vit_quick_gelu": {
        "embed_dim": 24, "quick_gelu": True,
        "vision_cfg": {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 8},
        "text_cfg": TEXT | {"width": 32, "heads": 4, "layers": 2},
    },
    # 160 x 0.36 = 57.6 is cut to 57; 2 of the 14 pixels are beyond the last whole patch.
    "vit_gelu_hw80": {
        "embed_dim": 16,
        "vision_cfg": {"image_size": 14, "layers": 1, "width": 160, "head_width": 80, "mlp_ratio": 0.36, "patch_size": 4},
        "text_cfg": TEXT,
    },
    "resnet": {
        "embed_dim": 20, "quick_gelu": True,
        "vision_cfg": {"image_size": 64, "layers": [1, 2, 1, 1], "width": 4, "head_width": 32},
        "text_cfg": TEXT,
    },
}
HF_TEXT = {"vocab_size": 66, "hidden_size": 16, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2,
           "max_position_embeddings": CONTEXT, "projection_dim": 24}
HF_VISION = {"hidden_size": 32, "intermediate_size": 80, "num_hidden_layers": 2, "num_attention_heads": 4, "image_size": 28,
             "patch_size": 7, "projection_dim": 24}
HF = {
    # As the first converted checkpoints have it: the ids in the configuration are not those of the vocabulary.
    "hf_eos2": {"text_config": HF_TEXT | {"bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2}, "act": "quick_gelu"},
    "hf_eos": {"text_config": HF_TEXT | {"bos_token_id": SOT, "pad_token_id": EOT, "eos_token_id": EOT}, "act": "gelu"},
}


def randomise(model, rng):
    """Values of moderate size for every parameter and statistic, so that none is 0 or 1 and attention is not flat."""
    def draw(tensor, mean, std):
        value = mean + std * rng.standard_normal(tuple(tensor.shape))
        tensor.copy_(torch.from_numpy(np.asarray(value, np.float32)))

    with torch.no_grad():
        for key, p in sorted(model.state_dict().items()):
            if key.endswith("num_batches_tracked"):
                p.fill_(7)
            elif key == "logit_scale":
                p.fill_(math.log(14))
            elif key.endswith("running_var"):
                p.copy_(torch.from_numpy(rng.uniform(0.5, 1.5, tuple(p.shape)).astype(np.float32)))
            elif key.endswith("running_mean"):
                draw(p, 0, 0.2)
            elif "embedding" in key and not key.endswith("patch_embedding.weight"):
                draw(p, 0, 0.5)
            elif p.ndim == 1 and key.endswith("weight"):
                draw(p, 1, 0.2)
            elif p.ndim == 1:
                draw(p, 0, 0.2)
            else:
                inputs = p.shape[0] if key.endswith(("visual.proj", "text_projection")) else math.prod(p.shape[1:])
                draw(p, 0, inputs ** -0.5)


def texts(rng, lengths, pad, used=range(3, SOT), place=()):
    """Rows SOT, body, EOT, padding; lengths count the first two kinds and EOT. place: (row, column, id) to put into a body."""
    rows = np.full((len(lengths), CONTEXT), pad, np.int32)
    for row, n in zip(rows, lengths):
        row[0], row[n - 1] = SOT, EOT
        row[1:n - 1] = rng.choice(list(used), n - 2)
    for r, c, token in place:
        rows[r, c] = token
    return rows


def outputs(model, image, text, scale):
    """The head and the loss on features, by open_clip's own code."""
    x, y = torch.nn.functional.normalize(image, dim=-1), torch.nn.functional.normalize(text, dim=-1)
    loss = ClipLoss()(x, y, scale.exp())
    model.zero_grad()
    loss.backward()
    result = {"image_features": image, "text_features": text, "image_embeds": x, "text_embeds": y,
              "logits_per_image": scale.exp() * x @ y.T, "loss": loss}
    result |= {"grad." + k: torch.zeros_like(p) if p.grad is None else p.grad for k, p in model.named_parameters()}
    return {k: v.detach().numpy().copy() for k, v in result.items()}


def run_open_clip(model, pixels, tokens):
    return outputs(model, model.encode_image(pixels), model.encode_text(tokens), model.logit_scale)


def run_hf(model, pixels, tokens):
    mask = (tokens != EOT).long()
    mask[torch.arange(len(tokens)), (tokens == EOT).int().argmax(1)] = 1
    image = model.get_image_features(pixels).pooler_output
    text = model.get_text_features(tokens, attention_mask=mask).pooler_output
    result = outputs(model, image, text, model.logit_scale)
    whole = model(input_ids=tokens, pixel_values=pixels, attention_mask=mask, return_loss=True)
    agree("transformers' head", {"loss": whole.loss, "logits_per_image": whole.logits_per_image}, result)
    return result


def agree(what, got, want, bar=1e-12):
    for key in got:
        a, b = np.asarray(got[key].detach() if torch.is_tensor(got[key]) else got[key]), want[key]
        error = np.abs(a - b).max() / max(np.abs(b).max(), 1e-30)
        if a.shape != b.shape or not error <= bar:
            sys.exit(f"{what}: {key} differs, {error:.1e}")


def write(folder, values, summary):
    stored = {k: v.copy(order="C") for k, v in values.items()}
    save_file(stored, folder / "golden.safetensors", {"format": "pt"})
    for file in folder.iterdir():
        file.chmod(0o644)
    size = sum(f.stat().st_size for f in folder.iterdir())
    logits = stored["logits_per_image"]
    print(f"{folder.name}: loss {float(stored['loss']):.6f}, logits {logits.min():.2f} to {logits.max():.2f}, {summary}, {size} bytes")


def sides(config):
    """Height and width of the images."""
    size = config["vision_cfg"]["image_size"]
    return size if isinstance(size, list) else [size, size]


def open_clip_case(name, config, seed):
    rng, folder = np.random.default_rng(seed), OUT / name
    model = open_clip.CLIP(config["embed_dim"], config["vision_cfg"], config["text_cfg"],
                           quick_gelu=config.get("quick_gelu", False), output_dict=True)
    model.eval()
    randomise(model, rng)
    folder.mkdir(parents=True, exist_ok=True)
    wrapped = {"model_cfg": config,
               "preprocess_cfg": {"mean": MEAN, "std": STD, "interpolation": "bicubic", "resize_mode": "shortest"}}
    (folder / "open_clip_config.json").write_text(json.dumps(wrapped, indent=2) + "\n")
    weights = {k: v.numpy() for k, v in model.state_dict().items()}
    save_file(weights, folder / "open_clip_model.safetensors", {"format": "pt"})

    lengths = [CONTEXT, 5, 5, 2, 8][:4 if name == "resnet" else 5]
    pixels = rng.standard_normal((len(lengths), 3, *sides(config))).astype(np.float32)
    ids = texts(rng, lengths, pad=0)
    inputs = torch.from_numpy(pixels).double(), torch.from_numpy(ids).long()
    values = {"pixels": pixels, "tokens": ids}
    model.double()
    values |= run_open_clip(model, *inputs)
    if name == "resnet":
        model.train()
        trained = run_open_clip(model, *inputs)
        # One training forward has moved the running statistics.
        trained |= {"state." + k: v.numpy().copy() for k, v in model.state_dict().items() if "running_" in k}
        values |= {"train." + k: v for k, v in trained.items()}
    write(folder, values, f"{sum(p.numel() for p in model.parameters())} parameters")

    again, _, _ = open_clip.create_model_and_transforms("local-dir:" + str(folder))
    agree("from the folder", run_open_clip(again.double().eval(), *inputs), values)


def hf_case(name, config, seed):
    rng, folder = np.random.default_rng(seed), OUT / name
    act = {"hidden_act": config["act"]}
    model = transformers.CLIPModel(transformers.CLIPConfig(
        text_config=config["text_config"] | act, vision_config=HF_VISION | act, projection_dim=24)).eval()
    randomise(model, rng)
    model.save_pretrained(folder)
    size = HF_VISION["image_size"]
    transformers.CLIPImageProcessor(size={"shortest_edge": size}, crop_size={"height": size, "width": size}) \
        .save_pretrained(folder)

    lengths = [7, CONTEXT, 4, 7, 9]
    if name == "hf_eos":
        # Added tokens, larger than EOT, in two bodies: only "first EOT" finds the right row. Padding repeats EOT.
        place = [(0, 3, 64), (4, 7, 65)]
    else:
        # Token 2, which the configuration calls EOS, in two bodies: only "largest id" finds the right row.
        place = [(1, 2, 2), (4, 1, 2)]
    ids = texts(rng, lengths, pad=EOT, place=place)
    pixels = rng.standard_normal((len(lengths), 3, size, size)).astype(np.float32)
    inputs = torch.from_numpy(pixels).double(), torch.from_numpy(ids).long()

    def load():
        return transformers.CLIPModel.from_pretrained(folder, attn_implementation="sdpa", dtype=torch.float32).double().eval()

    values = {"pixels": pixels, "tokens": ids}
    model = load()
    values |= run_hf(model, *inputs)
    write(folder, values, f"{sum(p.numel() for p in model.parameters())} parameters")
    agree("open_clip", hf_by_open_clip(load_file(folder / "model.safetensors"), config, *inputs), values)


def hf_by_open_clip(w, config, pixels, tokens):
    """The same model under open_clip's names, run by open_clip: features and loss."""
    out = {"logit_scale": w["logit_scale"], "text_projection": w["text_projection.weight"].T,
           "visual.proj": w["visual_projection.weight"].T,
           "token_embedding.weight": w["text_model.embeddings.token_embedding.weight"],
           "positional_embedding": w["text_model.embeddings.position_embedding.weight"],
           "visual.class_embedding": w["vision_model.embeddings.class_embedding"],
           "visual.positional_embedding": w["vision_model.embeddings.position_embedding.weight"],
           "visual.conv1.weight": w["vision_model.embeddings.patch_embedding.weight"]}
    norms = [("ln_final", "text_model.final_layer_norm"), ("visual.ln_pre", "vision_model.pre_layrnorm"),
             ("visual.ln_post", "vision_model.post_layernorm")]
    for to, source in (("", "text_model"), ("visual.", "vision_model")):
        for i in range(2):
            b, h = f"{to}transformer.resblocks.{i}.", f"{source}.encoder.layers.{i}."
            norms += [(b + "ln_1", h + "layer_norm1"), (b + "ln_2", h + "layer_norm2"), (b + "mlp.c_fc", h + "mlp.fc1"),
                      (b + "mlp.c_proj", h + "mlp.fc2"), (b + "attn.out_proj", h + "self_attn.out_proj")]
            for part in ("weight", "bias"):
                out[b + "attn.in_proj_" + part] = np.concatenate([w[f"{h}self_attn.{x}_proj.{part}"] for x in "qkv"])
    out |= {f"{to}.{part}": w[f"{source}.{part}"] for to, source in norms for part in ("weight", "bias")}
    text = config["text_config"]
    rule = {} if text["eos_token_id"] == 2 else {"pool_type": "eos", "eos_id": EOT}
    model = open_clip.CLIP(
        24, {"image_size": 28, "layers": 2, "width": 32, "head_width": 8, "patch_size": 7, "mlp_ratio": 2.5},
        {"context_length": CONTEXT, "vocab_size": 66, "width": 16, "heads": 2, "layers": 2, "mlp_ratio": 3, **rule},
        quick_gelu=config["act"] == "quick_gelu")
    model.load_state_dict({k: torch.from_numpy(v.copy(order="C")) for k, v in out.items()})
    values = run_open_clip(model.double().eval(), pixels, tokens)
    return {k: v for k, v in values.items() if not k.startswith("grad.") or k == "grad.logit_scale"}


if __name__ == "__main__":
    torch.set_num_threads(1)
    transformers.utils.logging.disable_progress_bar()
    chosen = sys.argv[1:] or [*OPEN_CLIP, *HF]
    for seed, case in enumerate([*OPEN_CLIP, *HF], 1):
        if case in chosen and case in OPEN_CLIP:
            open_clip_case(case, OPEN_CLIP[case], seed)
        elif case in chosen:
            hf_case(case, HF[case], seed)
