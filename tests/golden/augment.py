"""Writes tests/golden/augment.safetensors: images, plans of augmentation, and the pixels that torchvision makes of them through
Pillow. tests/golden/README.md describes the tensors.

Usage: python3 tests/golden/augment.py      (Pillow 13, torchvision, safetensors, numpy)
"""
import pathlib
import random

import numpy as np
import PIL
import torchvision
from PIL import Image
from safetensors.numpy import save_file
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as F

OUT = pathlib.Path(__file__).resolve().parent / "augment.safetensors"
STEPS = [F.adjust_brightness, F.adjust_contrast, F.adjust_saturation, F.adjust_hue]
FILTERS = [InterpolationMode.BICUBIC, InterpolationMode.BILINEAR]


def images():
    rng = np.random.default_rng(1)
    for width, height in [(40, 30), (9, 47), (64, 17), (24, 24)]:
        y, x = np.mgrid[:height, :width]
        smooth = np.stack([x * 255 // width, y * 255 // height, (x + y) * 7 % 256], -1)
        yield np.where(rng.random((height, width, 1)) < 0.3, rng.integers(0, 256, (height, width, 3)), smooth).astype(np.uint8)
    # Colors that hue and saturation turn on: equal and nearly equal bands, black, white, few levels.
    colors = rng.integers(0, 256, (24 * 24, 3))
    colors[:80] = rng.integers(0, 4, (80, 3))
    colors[80:160] = 255 - rng.integers(0, 4, (80, 3))
    colors[160:240] = rng.integers(0, 253, (80, 1)) + rng.integers(0, 3, (80, 3))
    colors[240:320] = rng.choice([0, 1, 127, 128, 254, 255], (80, 3))
    yield colors.astype(np.uint8).reshape(24, 24, 3)


def plans():
    """image, x, y, width, height, n, filter, flip, gray, then (step, by) for each color step."""
    for img, box in [(0, (3, 2, 33, 27)), (0, (0, 0, 40, 30)), (0, (5, 4, 16, 20)), (0, (5, 4, 20, 16)), (0, (39, 29, 1, 1)),
                         (1, (1, 0, 7, 47)), (1, (0, 3, 9, 40)), (2, (2, 1, 60, 15)), (2, (11, 0, 16, 16)), (3, (7, 7, 9, 10))]:
        for kind in range(2):
            yield (img, *box, 16, kind, kind, 0)
    whole = (4, 0, 0, 24, 24, 24, 0, 0, 0)
    for step, values in enumerate([(0, 0.37, 1, 1.6, 7.25), (0, 0.51, 1, 1.83, 11), (0, 0.62, 1, 1.41, 9.5),
                                   (0, 0.5, -0.5, 0.013, -0.2, 0.31, -0.001, 0.125)]):
        for value in values:
            yield (*whole, step, value)
    yield (4, 0, 0, 24, 24, 24, 0, 1, 1)
    rng = random.Random(2)
    for i in range(8):
        steps = rng.sample(range(4), 4 - i % 3)
        factors = [rng.uniform(-0.5, 0.5) if s == 3 else rng.uniform(0.2, 1.8) for s in steps]
        yield (0, i, 1, 30, 20 + i, 16, i % 2, i // 2 % 2, int(i == 7), *[v for pair in zip(steps, factors) for v in pair])


def main():
    out = {f"picture.{i}": p for i, p in enumerate(images())}
    for i, plan in enumerate(plans()):
        img, x, y, w, h, n, kind, flip, gray, *steps = plan
        result = F.resized_crop(Image.fromarray(out[f"picture.{img}"]), y, x, h, w, [n, n], FILTERS[kind])
        if flip:
            result = F.hflip(result)
        for step, by in zip(steps[::2], steps[1::2]):
            result = STEPS[int(step)](result, by)
        if gray:
            result = F.rgb_to_grayscale(result, 3)
        out[f"plan.{i:02}"] = np.array(plan, np.float64)
        out[f"pixels.{i:02}"] = np.asarray(result)
    save_file(dict(sorted(out.items())), OUT, {"versions": f"pillow {PIL.__version__}, torchvision {torchvision.__version__}"})
    print(len(out), "tensors,", OUT.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
