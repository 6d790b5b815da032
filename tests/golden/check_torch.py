"""Checks that clipx reads PyTorch's files as it reads safetensors: the embeddings are equal to the bit. Writes nothing that is kept.

Usage: python3 tests/golden/check_torch.py [--clipx PROGRAM] [--openai FILE.pt]      (torch, open_clip 3.3, transformers 5, safetensors)

The models are tiny and random. Each one's weights are saved by safetensors and in every form that people have: the state dict (in f32,
f16, bf16, in channels_last, by the protocols 2 to 5, as nn.Parameters), in shards, open_clip's epoch_N.pt, TorchScript by
torch.jit.script and torch.jit.trace, and as OpenAI's own archives are. A file of OpenAI's own is checked where --openai names one.
"""
import argparse
import collections
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import warnings

import open_clip
import torch
from safetensors.torch import save_file
from transformers import CLIPConfig, CLIPModel

ROOT = pathlib.Path(__file__).resolve().parents[2]
IMAGES = sorted(map(str, (ROOT / "examples/images").glob("*.png")))
TEXTS = "a photo of a cat\nA drawing of two RED apples!\nx\n"
MODELS = {
    "vit": {"embed_dim": 24, "quick_gelu": True, "text_cfg": {"context_length": 32, "vocab_size": 4096, "width": 64, "heads": 1, "layers": 2},
            "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "head_width": 64, "patch_size": 8}},
    "resnet": {"embed_dim": 24, "quick_gelu": True, "text_cfg": {"context_length": 32, "vocab_size": 4096, "width": 64, "heads": 1, "layers": 1},
               "vision_cfg": {"image_size": 64, "layers": [1, 1, 1, 1], "width": 4, "head_width": 64}},
}
failures = 0
warnings.filterwarnings("ignore")


def clipx(*args):
    done = subprocess.run([options.clipx, *map(str, args)], text=True, capture_output=True, env=os.environ | {"OMP_WAIT_POLICY": "passive"})
    if done.returncode:
        raise RuntimeError(done.stderr.strip())
    return done.stdout


def embeddings(work, model, *more):
    """The bytes of both files of embeddings."""
    out = b""
    for kind, inputs in (("--images", IMAGES), ("--texts", [work / "texts"])):
        clipx("embed", "--model", model, *more, kind, *inputs, "--out", work / "out.npy")
        out += (work / "out.npy").read_bytes()
    return out


def check(what, want, got):
    global failures
    try:
        ok, detail = got() == want, ""
    except RuntimeError as e:
        ok, detail = False, str(e)
    failures += not ok
    print(f"{'ok   ' if ok else 'WRONG'} {what}  {detail}", flush=True)


def randomized(model):
    """No gain is 1, no bias 0."""
    with torch.no_grad():
        for name, t in model.state_dict().items():
            if t.is_floating_point() and name != "attn_mask" and name != "logit_scale":
                t.add_(0.1 * torch.rand_like(t))
    return model.eval()


def as_openai(model, config):
    """With OpenAI's three sizes as buffers, and the mask as a tensor that is no buffer."""
    mask = model.attn_mask
    del model.attn_mask
    model.attn_mask = mask
    sizes = config["vision_cfg"]["image_size"], config["text_cfg"]["context_length"], config["text_cfg"]["vocab_size"]
    for name, n in zip(("input_resolution", "context_length", "vocab_size"), sizes):
        if hasattr(model, name):
            delattr(model, name)
        model.register_buffer(name, torch.tensor(n))
    return model


def new_folder(work, name, config=None):
    folder = work / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for file in (ROOT / "models/default").iterdir():
        if file.suffix in (".gz", ".json", ".txt") and file.name != "open_clip_config.json":
            shutil.copy(file, folder)
    if config:
        cfg = {"mean": open_clip.OPENAI_DATASET_MEAN, "std": open_clip.OPENAI_DATASET_STD}
        (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": cfg}))
    return folder


def save_shards(folder, state, name="pytorch_model"):
    keys = list(state)
    halves = {f"{name}-0000{i + 1}-of-00002.bin": keys[i::2] for i in range(2)}
    for file, part in halves.items():
        torch.save({k: state[k] for k in part}, folder / file)
    (folder / f"{name}.bin.index.json").write_text(json.dumps({"metadata": {}, "weight_map": {k: f for f, part in halves.items() for k in part}}))


def check_open_clip(work, name, config):
    torch.manual_seed(1)
    model = randomized(open_clip.CLIP(**config))
    state = {k: v.detach().clone() for k, v in model.state_dict().items()}
    want = {}
    for dtype in (torch.float32, torch.float16, torch.bfloat16):
        folder = new_folder(work, "safe", config)
        save_file({k: v.to(dtype) if v.is_floating_point() else v for k, v in state.items()}, folder / "open_clip_model.safetensors")
        want[dtype] = embeddings(work, folder)
    cast = {d: {k: v.to(d) if v.is_floating_point() else v for k, v in state.items()} for d in want}
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    for p in model.parameters():
        p.grad = torch.zeros_like(p)
    optimizer.step()
    epoch = {"epoch": 1, "name": "run", "state_dict": collections.OrderedDict(("module." + k, v) for k, v in state.items()), "optimizer": optimizer.state_dict()}
    model.load_state_dict(state)
    last = {k: v.contiguous(memory_format=torch.channels_last) if v.ndim == 4 else v.t().contiguous().t() if v.ndim == 2 else v for k, v in state.items()}
    forms = {"open_clip_pytorch_model.bin": (state, {}), "open_clip_pytorch_model.pth": (model.state_dict(), {}), "model.pth": (last, {}),
             "pytorch_model.bin": (cast[torch.float16], {}), "pytorch_model.pth": (cast[torch.bfloat16], {}), "epoch_1.pt": (epoch, {}),
             "any.pt": (dict(model.named_parameters()) | dict(model.named_buffers()), {})} | {f"protocol{p}.pt": (state, {"pickle_protocol": p}) for p in (3, 4, 5)}
    forms["any.pt"][0].pop("attn_mask")
    bare = "--activation", "quick_gelu", "--head-width", 64, "--tokenizer", work / "safe"
    for file, (saved, how) in forms.items():
        folder = new_folder(work, "torch", config)
        torch.save(saved, folder / file, **how)
        dtype = torch.float16 if saved is cast[torch.float16] else torch.bfloat16 if saved is cast[torch.bfloat16] else torch.float32
        check(f"{name}: {file} in a folder", want[dtype], lambda: embeddings(work, folder))
        check(f"{name}: {file} alone", want[dtype], lambda: embeddings(work, folder / file, *bare))
    folder = new_folder(work, "torch", config)
    save_shards(folder, state)
    check(f"{name}: pytorch_model.bin.index.json", want[torch.float32], lambda: embeddings(work, folder))
    clipx("convert", "--model", folder, "--out", work / "converted")
    check(f"{name}: converted", want[torch.float32], lambda: embeddings(work, work / "converted"))
    shutil.rmtree(work / "converted")

    model = as_openai(model, config)
    image, text = torch.zeros(1, 3, *[config["vision_cfg"]["image_size"]] * 2), torch.zeros(1, config["text_cfg"]["context_length"], dtype=torch.int)
    traced = torch.jit.trace_module(model, {"forward": (image, text), "encode_image": (image,), "encode_text": (text,)}, check_trace=False)
    for how, made in {"trace": traced, "script": None}.items():
        if made is None:
            try:
                made = torch.jit.script(model)
            except Exception as e:
                print(f"       {name}: torch.jit.script: {str(e).splitlines()[0]}")
                continue
        torch.jit.save(made, work / "ViT-B-32.pt")
        check(f"{name}: as OpenAI's, by torch.jit.{how}, alone", want[torch.float32], lambda: embeddings(work, work / "ViT-B-32.pt", "--tokenizer", work / "safe"))
        folder = new_folder(work, "torch", config)
        shutil.copy(work / "ViT-B-32.pt", folder)
        check(f"{name}: as OpenAI's, by torch.jit.{how}, in a folder", want[torch.float32], lambda: embeddings(work, folder))


def check_hf(work):
    torch.manual_seed(2)
    tower = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "projection_dim": 24}
    config = CLIPConfig(text_config=tower | {"vocab_size": 4096, "max_position_embeddings": 32, "bos_token_id": 4094, "eos_token_id": 4095},
                        vision_config=tower | {"image_size": 32, "patch_size": 8}, projection_dim=24)
    model = randomized(CLIPModel(config))
    state = {k: v.clone() for k, v in model.state_dict().items()} | {"text_model.embeddings.position_ids": torch.arange(32)[None]}
    folder = new_folder(work, "hf")
    config.architectures = ["CLIPModel"]
    config.save_pretrained(folder)
    save_file(state, folder / "model.safetensors")
    want = embeddings(work, folder)
    (folder / "model.safetensors").unlink()
    torch.save(state, folder / "pytorch_model.bin")
    check("Hugging Face: pytorch_model.bin", want, lambda: embeddings(work, folder))
    (folder / "pytorch_model.bin").unlink()
    save_shards(folder, state)
    check("Hugging Face: pytorch_model.bin.index.json", want, lambda: embeddings(work, folder))


def check_openai(work):
    """Its own file, and its state dict as PyTorch has it, by safetensors."""
    state = torch.jit.load(options.openai, map_location="cpu").state_dict()
    save_file({k: v.contiguous() for k, v in state.items()}, work / "openai.safetensors")
    want = embeddings(work, work / "openai.safetensors", "--activation", "quick_gelu", "--tokenizer", options.tokenizer)
    check(options.openai, want, lambda: embeddings(work, options.openai, "--tokenizer", options.tokenizer))


def main():
    global options
    parser = argparse.ArgumentParser()
    parser.add_argument("--clipx", default=str(ROOT / "build/release/clipx"))
    parser.add_argument("--openai")
    parser.add_argument("--tokenizer", help="of --openai: bpe_simple_vocab_16e6.txt.gz")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as path:
        work = pathlib.Path(path)
        (work / "texts").write_text(TEXTS)
        for name, config in MODELS.items():
            check_open_clip(work, name, config)
        check_hf(work)
        if options.openai:
            check_openai(work)
    print(f"{failures} differ" if failures else "all are equal")
    return failures > 0


if __name__ == "__main__":
    raise SystemExit(main())
