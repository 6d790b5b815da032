"""What all arms share, made once in a folder: random weights as open_clip folders, ONNX files, images, captions, ids.

Weights are open_clip's own initialisation, seed 0, in OpenAI's configuration (QuickGELU); in a ResNet the last BatchNorm gain of
each block, which starts at 0, is set to 0.5, or the residual branches would not be seen by the comparison of embeddings.
"""
import gzip
import io
import json
import pathlib
import random
import shutil
import tarfile

import numpy as np

MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
CAPTIONS, IMAGES = 64, 32


def done(path):
    print("  made", path.name, flush=True)


def model_folder(work, name):
    """DIR with open_clip_config.json, open_clip_model.safetensors and the vocabulary."""
    folder = work / name
    if (folder / "open_clip_model.safetensors").exists():
        return folder
    import open_clip
    import torch
    from safetensors.torch import save_file

    config = open_clip.get_model_config(name) | {"quick_gelu": True}
    torch.manual_seed(0)
    model = open_clip.create_model(name, force_quick_gelu=True)
    state = model.state_dict()
    for key in state:
        if key.endswith("bn3.weight"):
            state[key].fill_(0.5)
    folder.mkdir(parents=True, exist_ok=True)
    wrapped = {"model_cfg": config,
               "preprocess_cfg": {"mean": MEAN, "std": STD, "interpolation": "bicubic", "resize_mode": "shortest"}}
    (folder / "open_clip_config.json").write_text(json.dumps(wrapped, indent=2))
    shutil.copy(vocabulary(work), folder)
    save_file({k: v.contiguous() for k, v in state.items()}, folder / "part")
    (folder / "part").rename(folder / "open_clip_model.safetensors")
    done(folder)
    return folder


SMALL = {"vit": {"image_size": 112, "layers": 6, "width": 192, "head_width": 64, "patch_size": 14},
         "resnet": {"image_size": 96, "layers": [2, 2, 2, 2], "width": 32}}


def small_model(work, name):
    """A folder as model_folder's, of a small model to train: open_clip's initial weights, the vocabulary of tests/golden/words."""
    folder = work / ("small-" + name)
    if (folder / "open_clip_model.safetensors").exists():
        return folder
    import open_clip
    import torch
    from safetensors.torch import save_file

    words = pathlib.Path(__file__).resolve().parents[2] / "tests/golden/words/bpe_4096.txt.gz"
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(words, folder / "bpe_simple_vocab_16e6.txt.gz")
    text = {"context_length": 32, "vocab_size": 4096, "width": 192, "heads": 3, "layers": 4}
    config = {"embed_dim": 256, "quick_gelu": True, "vision_cfg": SMALL[name], "text_cfg": text}
    torch.manual_seed(0)
    state = open_clip.CLIP(**config).state_dict()
    wrapped = {"model_cfg": config,
               "preprocess_cfg": {"mean": MEAN, "std": STD, "interpolation": "bicubic", "resize_mode": "shortest"}}
    (folder / "open_clip_config.json").write_text(json.dumps(wrapped, indent=2))
    save_file({k: v.contiguous() for k, v in state.items()}, folder / "part")
    (folder / "part").rename(folder / "open_clip_model.safetensors")
    done(folder)
    return folder


def image_onnx(work, name, batch):
    """The image tower with its batch size fixed, so that the engines know every shape."""
    path = work / f"{name}-b{batch}.onnx"
    if not path.exists():
        import open_clip

        model, _, _ = open_clip.create_model_and_transforms("local-dir:" + str(model_folder(work, name)))
        export(model.visual.eval(), images(work, batch), path)
    return path


def export(module, inputs, path):
    import torch

    with torch.no_grad():
        torch.onnx.export(module, (torch.from_numpy(np.load(inputs)),), str(path.with_suffix(".part")), dynamo=True,
                          external_data=False, input_names=["input"], output_names=["output"], verbose=False)
    path.with_suffix(".part").rename(path)
    done(path)


def images(work, batch):
    """Random uint8 images, normalized: float32 (batch, 3, 224, 224)."""
    path = work / f"images-b{batch}.npy"
    if not path.exists():
        pixels = np.random.default_rng(0).integers(0, 256, (batch, 3, 224, 224), np.uint8)
        mean, std = (np.array(v, np.float32).reshape(1, 3, 1, 1) for v in (MEAN, STD))
        np.save(path, (pixels.astype(np.float32) / np.float32(255) - mean) / std)
    return path


def vocabulary(work):
    """open_clip's copy of the BPE table."""
    path = work / "bpe_simple_vocab_16e6.txt.gz"
    if not path.exists():
        import open_clip

        shutil.copy(pathlib.Path(open_clip.__file__).with_name(path.name), path)
    return path


def captions(work, shards):
    """All captions of the shards, a line each (generated where there are none), and 64 of them for the text tower."""
    every, some = work / "captions-all.txt", work / "captions-64.txt"
    if not some.exists():
        lines = []
        for shard in sorted(shards.glob("*.tar")) if shards else []:
            with tarfile.open(shard) as tar:
                lines += [c for m in tar if m.name.endswith(".json") for c in json.loads(tar.extractfile(m).read())["captions"]]
        lines = [" ".join(line.split()) for line in lines] or generated(20000)
        every.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
        chosen = random.Random(0).sample(sorted(set(lines)), CAPTIONS)
        some.write_text("".join(line + "\n" for line in chosen), encoding="utf-8")
        done(every)
    return every, some


def generated(count):
    """Captions of 4 to 12 words, about ten tokens each with start and end."""
    draw = random.Random(0)
    nouns = "dog cat house tree river mountain bicycle train boat window table lamp flower bridge garden child horse bird city".split()
    kinds = "small red old bright wooden quiet happy empty tall snowy green broken striped round busy".split()
    forms = ["a photo of a {k} {n}", "a drawing of a {n} and a {n}", "{k} {n} near the {n}", "an icon of a {n}",
             "a {k} {n} standing beside a {k} {n} in the {n}", "clip art of a {k} {n}"]
    out = []
    for _ in range(count):
        line = draw.choice(forms)
        while "{" in line:
            line = line.replace("{k}", draw.choice(kinds), 1) if "{k}" in line else line.replace("{n}", draw.choice(nouns), 1)
        out.append(line)
    return out


def tokens(work, shards):
    """Ids of the 64 captions, int64: padded to 77 as open_clip does, and to the longest as Hugging Face does."""
    full, longest = work / "tokens-77.npy", work / "tokens-longest.npy"
    if not longest.exists():
        import open_clip

        lines = captions(work, shards)[1].read_text(encoding="utf-8").splitlines()
        ids = open_clip.SimpleTokenizer(bpe_path=str(vocabulary(work)))(lines).numpy()
        np.save(full, ids)
        used = (ids != 0).sum(1)
        ids = ids[:, : used.max()].copy()
        ids[np.arange(ids.shape[1]) >= used[:, None]] = 49407
        np.save(longest, ids)
        print(f"  {CAPTIONS} captions: {used.mean():.1f} tokens on average, {used.max()} in the longest")
    return full, longest


def hf_text(work, name):
    """The text tower of a model in Hugging Face's layout."""
    folder = work / (name + "-hf-text")
    if (folder / "model.safetensors").exists():
        return folder
    import transformers
    from safetensors.torch import load_file

    source = model_folder(work, name)
    w = load_file(source / "open_clip_model.safetensors")
    text = json.loads((source / "open_clip_config.json").read_text())["model_cfg"]["text_cfg"]
    width, out = text["width"], {}
    out["text_projection.weight"] = w["text_projection"].T.contiguous()
    out["text_model.embeddings.token_embedding.weight"] = w["token_embedding.weight"]
    out["text_model.embeddings.position_embedding.weight"] = w["positional_embedding"]
    pairs = {"text_model.final_layer_norm": "ln_final"}
    for i in range(text["layers"]):
        h, b = f"text_model.encoder.layers.{i}.", f"transformer.resblocks.{i}."
        pairs |= {h + "layer_norm1": b + "ln_1", h + "layer_norm2": b + "ln_2", h + "mlp.fc1": b + "mlp.c_fc",
                  h + "mlp.fc2": b + "mlp.c_proj", h + "self_attn.out_proj": b + "attn.out_proj"}
        for part in ("weight", "bias"):
            rows = w[f"{b}attn.in_proj_{part}"].split(width)
            out |= {f"{h}self_attn.{x}_proj.{part}": r.contiguous() for x, r in zip("qkv", rows)}
    out |= {f"{to}.{part}": w[f"{key}.{part}"] for to, key in pairs.items() for part in ("weight", "bias")}
    model = transformers.CLIPTextModelWithProjection(transformers.CLIPTextConfig(
        vocab_size=text["vocab_size"], hidden_size=width, intermediate_size=4 * width, num_hidden_layers=text["layers"],
        num_attention_heads=text["heads"], projection_dim=w["text_projection"].shape[1], bos_token_id=49406, eos_token_id=49407,
        pad_token_id=49407))
    model.load_state_dict(out)
    model.save_pretrained(folder)
    done(folder)
    return folder


def hf_text_onnx(work, name, shards):
    path = work / f"{name}-hf-text.onnx"
    if not path.exists():
        import torch
        import transformers

        class tower(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.model = transformers.CLIPTextModelWithProjection.from_pretrained(hf_text(work, name)).eval()

            def forward(self, ids):
                return self.model(input_ids=ids).text_embeds

        export(tower().eval(), tokens(work, shards)[1], path)
    return path


def hf_tokenizer(work):
    """tokenizer.json of CLIPTokenizer over the same merges."""
    path = work / "tokenizer.json"
    if not path.exists():
        import open_clip
        import transformers

        with gzip.open(vocabulary(work), "rt", encoding="utf-8") as file:
            merges = [tuple(line.split()) for line in file.read().split("\n")[1 : 49152 - 256 - 2 + 1]]
        encoder = dict(open_clip.SimpleTokenizer(bpe_path=str(vocabulary(work))).encoder)
        for ours, theirs in (("<start_of_text>", "<|startoftext|>"), ("<end_of_text>", "<|endoftext|>")):
            encoder[theirs] = encoder.pop(ours)
        transformers.CLIPTokenizer(vocab=encoder, merges=merges).backend_tokenizer.save(str(path))
        done(path)
    return path


def jpeg_files(work):
    """JPEG files of 500x375: smooth color fields with some grain, quality 90, 4:2:0."""
    from PIL import Image

    folder = work / "jpeg"
    folder.mkdir(parents=True, exist_ok=True)
    rng, paths = np.random.default_rng(0), []
    for i in range(IMAGES):
        path = folder / f"{i:03d}.jpg"
        paths.append(path)
        if path.exists():
            continue
        coarse = Image.fromarray(rng.integers(0, 256, (12, 16, 3), np.uint8)).resize((500, 375), Image.Resampling.BICUBIC)
        noisy = np.asarray(coarse, np.float32) + rng.normal(0, 6, (375, 500, 1))
        data = io.BytesIO()
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(data, "JPEG", quality=90, subsampling="4:2:0")
        path.write_bytes(data.getvalue())
    return paths
