"""Writes tests/golden/models/<case>/training.safetensors: ten steps of training by open_clip, from the case's weights.
tests/golden/README.md describes the tensors.

Usage: python3 tests/golden/training.py      (torch, open_clip_torch 3.3 with its training parts, safetensors, numpy)

The loop is open_clip_train's: its groups of parameters, its cosine_lr and order of a step, with its ClipLoss, torch's AdamW and
clip_grad_norm_. It runs in float64, which gives the weights, and in float32, which gives losses and says how far PyTorch's own
float32 is from the other.
"""
import math
import pathlib
import sys

import numpy as np
import open_clip
import torch
from open_clip.loss import ClipLoss
from open_clip_train.scheduler import cosine_lr
from safetensors.numpy import load_file, save_file

OUT = pathlib.Path(__file__).resolve().parent / "models"
CASES = ["vit_quick_gelu", "resnet"]
STEPS, PAIRS, CONTEXT, SOT, EOT = 10, 8, 12, 62, 63
MEAN, STD = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]


def batch(step, size):
    """Drawn from std::mt19937(step + 1), whose numbers RandomState gives: a byte (the upper 8 bits) of each pixel (PAIRS, size,
    size, 3); then for each text a length n of 2 .. CONTEXT, and n - 2 ids of 1 .. 61 (remainders)."""
    rng = np.random.RandomState(step + 1)

    def draws(n):
        return rng.randint(0, 2 ** 32, size=n, dtype=np.uint32)

    rgb = (draws(PAIRS * size * size * 3) >> 24).astype(np.uint8).reshape(PAIRS, size, size, 3)
    ids = np.zeros((PAIRS, CONTEXT), np.int64)
    for row in ids:
        n = 2 + int(draws(1)[0]) % (CONTEXT - 1)
        row[0], row[n - 1] = SOT, EOT
        row[1:n - 1] = 1 + draws(n - 2) % 61
    return rgb, torch.from_numpy(ids)


def decayed(name, p):
    """open_clip_train/main.py, where no head has rules of its own."""
    return not (p.ndim < 2 or "bn" in name or "ln" in name or "bias" in name or "logit_scale" in name)


def train(name, dtype):
    """Losses and norms of the gradients before each step, and the weights and running statistics after the last."""
    model, _, _ = open_clip.create_model_and_transforms("local-dir:" + str(OUT / name))
    model = model.to(dtype).train()
    parameters = dict(model.named_parameters())
    if any(decayed(n, p) != (p.ndim > 1) for n, p in parameters.items()):
        sys.exit("the groups are not those of clipx, which go by the number of dimensions alone")
    groups = [{"params": [p for n, p in parameters.items() if decayed(n, p) == yes], "weight_decay": 0.2 * yes}
              for yes in (False, True)]
    adam = torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.98), eps=1e-6)
    schedule = cosine_lr(adam, 1e-3, 3, STEPS)
    mean, std = (torch.tensor(v)[:, None, None] for v in (MEAN, STD))
    losses, norms = [], []
    size = model.visual.image_size[0] if isinstance(model.visual.image_size, tuple) else model.visual.image_size
    for step in range(STEPS):
        rgb, ids = batch(step, size)
        pixels = ((torch.from_numpy(rgb).permute(0, 3, 1, 2).float() / 255 - mean) / std).to(dtype)  # always from float32
        schedule(step)
        adam.zero_grad()
        out = model(pixels, ids)
        image, text, scale = out if isinstance(out, tuple) else (out[k] for k in ("image_features", "text_features", "logit_scale"))
        loss = ClipLoss()(image, text, scale)
        loss.backward()
        norms.append(float(torch.nn.utils.clip_grad_norm_(parameters.values(), 1.0)))
        adam.step()
        with torch.no_grad():
            model.logit_scale.clamp_(0, math.log(100))
        losses.append(float(loss.detach()))
    state = {k: v.numpy() for k, v in model.state_dict().items() if not k.endswith("num_batches_tracked")}
    return np.array(losses), np.array(norms), state


def distance(got, want):
    return np.linalg.norm((got.astype(np.float64) - want).ravel()) / np.linalg.norm(want.ravel())


if __name__ == "__main__":
    torch.set_num_threads(1)
    for case in CASES:
        loss, norm, weights = train(case, torch.float64)
        loss32, _, weights32 = train(case, torch.float32)
        apart = {k: distance(weights32[k], v) for k, v in weights.items()}
        worst = sorted(apart, key=apart.get)[-3:]
        print(f"{case}: losses", *(f"{v:.3f}" for v in loss), "norms", *(f"{v:.1f}" for v in norm))
        print(f"  float32: losses {np.abs(loss32 / loss - 1).max():.1e}, weights", *(f"{k} {apart[k]:.1e}" for k in worst))
        # The test counts on this: what is within 9e-5 of the stored weights is within 1e-4 of float32's.
        if not apart[worst[-1]] < 1e-5:
            sys.exit(f"{case}: float32 is not within 1e-5 of float64")
        before = load_file(OUT / case / "open_clip_model.safetensors")
        moved = {k: distance(before[k], v) for k, v in weights.items()}
        print("  moved:", *(f"{k} {moved[k]:.1e}" for k in sorted(moved, key=moved.get)[:3]))
        out = {"loss": loss, "loss.float32": loss32.astype(np.float32)}
        out |= {k: v.astype(np.float32).copy(order="C") for k, v in weights.items()}
        save_file(out, OUT / case / "training.safetensors", {"format": "pt"})
        (OUT / case / "training.safetensors").chmod(0o644)
