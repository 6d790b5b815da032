"""Writes tests/golden/pixels.safetensors: small image files of every kind and the pixels that Pillow, open_clip's transform and
transformers' Pillow processor make of them. tests/golden/README.md describes the tensors.

Usage: python3 tests/golden/pixels.py      (Pillow 13, torchvision, open_clip 3.3, transformers 5, safetensors, numpy)

PNG files come from the small encoder below, since Pillow writes few of the modes that it reads; all row filters occur.
"""
import io
import json
import pathlib
import struct
import zlib

import numpy as np
import open_clip
import PIL
import torch
import transformers
from PIL import Image, features
from safetensors.numpy import save_file
from torchvision.transforms import Compose
from transformers import CLIPImageProcessorPil

OUT = pathlib.Path(__file__).resolve().parent / "pixels.safetensors"
GRAY, RGB, PALETTE, GRAY_ALPHA, RGBA = 0, 2, 3, 4, 6
BANDS = {GRAY: 1, RGB: 3, PALETTE: 1, GRAY_ALPHA: 2, RGBA: 4}
PASSES = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]  # x, y, dx, dy
cases = {}  # name: (bytes of the file, size of the result)


def paeth(a, b, c):
    p = a + b - c
    pa, pb, pc = abs(p - a), abs(p - b), abs(p - c)
    return np.where((pa <= pb) & (pa <= pc), a, np.where(pb <= pc, b, c))


def rows(samples, depth):
    """Filtered rows of one pass; the filter of row y is y mod 5."""
    if samples.shape[0] == 0 or samples.shape[1] == 0:
        return b""
    flat = samples.reshape(samples.shape[0], -1)
    if depth == 16:
        packed = np.stack([flat >> 8, flat & 255], -1).reshape(len(flat), -1)
    elif depth == 8:
        packed = flat
    else:
        bits = np.concatenate([flat >> (depth - 1 - k) & 1 for k in range(depth)], 1).reshape(len(flat), depth, -1)
        packed = np.packbits(bits.transpose(0, 2, 1).reshape(len(flat), -1).astype(np.uint8), axis=1)
    packed = packed.astype(np.int32)
    step = max(1, samples.shape[2] * depth // 8)
    out, up = b"", np.zeros_like(packed[0])
    for y, row in enumerate(packed):
        left = np.concatenate([np.zeros(step, np.int32), row])[:len(row)]
        corner = np.concatenate([np.zeros(step, np.int32), up])[:len(row)]
        guess = [0, left, up, (left + up) // 2, paeth(left, up, corner)][y % 5]
        out += bytes([y % 5]) + ((row - guess) & 255).astype(np.uint8).tobytes()
        up = row
    return out


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(samples, depth, color, interlaced=False, palette=None, trns=None, before=b""):
    assert samples.shape[2] == BANDS[color] and samples.max() < 1 << depth
    h, w = samples.shape[:2]
    passes = PASSES if interlaced else [(0, 0, 1, 1)]
    packed = zlib.compress(b"".join(rows(samples[y::dy, x::dx], depth) for x, y, dx, dy in passes), 9)
    out = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", w, h, depth, color, 0, 0, interlaced)) + before
    if palette is not None:
        out += chunk(b"PLTE", palette.astype(np.uint8).tobytes())
    if trns is not None:
        out += chunk(b"tRNS", trns)
    cut = len(packed) // 3
    return out + chunk(b"IDAT", packed[:cut]) + chunk(b"IDAT", packed[cut:]) + chunk(b"IEND", b"")


def drawn(w, h, bands, seed):
    """0..1: a slope of its own direction for each band, a disc, sharp corners, noise."""
    rng = np.random.RandomState(seed)
    y, x = np.mgrid[0:h, 0:w] / max(w, h)
    out = np.empty((h, w, bands))
    for b in range(bands):
        out[:, :, b] = 0.5 + 0.45 * np.sin(3 * x * (b + 1) + 5 * y * (2 - b) + b) + 0.05 * rng.standard_normal((h, w))
        out[(x - 0.3)**2 + (y - 0.3)**2 < 0.02 + 0.01 * b, b] = b % 2
        out[:h // 6, -w // 5:, b] = 1 - b % 2
    return out.clip(0, 1)


def levels(w, h, bands, depth, seed=1):
    return np.rint(drawn(w, h, bands, seed) * ((1 << depth) - 1)).astype(np.int64)


def big(values):
    return b"".join(struct.pack(">H", int(v)) for v in values)


W, H, N = 17, 34, 11  # 11 x 22 after the resize: 11 to crop, where rounding half to even differs from rounding down


def add(name, data, n=N):
    cases[name] = (data, n)


def add_png():
    for depth in (1, 2, 4, 8, 16):
        gray = levels(W, H, 1, depth)
        key = np.bincount(gray.ravel()).argmax()  # the commonest level
        add(f"png_gray{depth}", png(gray, depth, GRAY))
        add(f"png_gray{depth}_trns", png(gray, depth, GRAY, trns=big([key])))
        if depth in (1, 4, 16):
            add(f"png_gray{depth}_adam7", png(gray, depth, GRAY, True))
    for depth in (8, 16):
        rgb = levels(W, H, 3, depth)
        rgb[5:20, 3:12] = [10, 20, 30] if depth == 8 else [2570, 5140, 7710]
        if depth == 16:
            rgb[8:14, 3:9, 2] += 1  # the same high bytes, another color
        add(f"png_rgb{depth}", png(rgb, depth, RGB))
        add(f"png_rgb{depth}_trns", png(rgb, depth, RGB, trns=big(rgb[6, 10])))
        add(f"png_rgb{depth}_adam7", png(rgb, depth, RGB, True))
        add(f"png_gray_alpha{depth}", png(levels(W, H, 2, depth, 2), depth, GRAY_ALPHA))
        add(f"png_rgba{depth}", png(levels(W, H, 4, depth, 3), depth, RGBA))
    add("png_gray_alpha8_adam7", png(levels(W, H, 2, 8, 2), 8, GRAY_ALPHA, True))
    add("png_rgba8_adam7", png(levels(W, H, 4, 8, 3), 8, RGBA, True))
    rng = np.random.RandomState(7)
    for depth in (1, 2, 4, 8):
        index = levels(W, H, 1, depth, 4)
        colors = rng.randint(0, 256, (1 << depth, 3))
        add(f"png_palette{depth}", png(index, depth, PALETTE, palette=colors))
        some = bytes(rng.randint(0, 256, max(1, (1 << depth) // 2)).tolist())
        add(f"png_palette{depth}_trns", png(index, depth, PALETTE, palette=colors, trns=some))
    add("png_palette4_adam7", png(levels(W, H, 1, 4, 4), 4, PALETTE, True, palette=colors[:16]))
    add("png_palette8_one_clear", png(index, 8, PALETTE, palette=colors, trns=b"\xff" * 200 + b"\0"))
    add("png_palette8_short", png(index, 8, PALETTE, palette=colors[:100]))
    add("png_rgb8_suggested_palette", png(levels(W, H, 3, 8, 5), 8, RGB, palette=colors[:50]))
    extra = chunk(b"gAMA", struct.pack(">I", 100000)) + chunk(b"tEXt", b"Comment\0text") + chunk(b"pHYs", struct.pack(">IIB", 1, 2, 0))
    add("png_rgb8_gamma", png(levels(W, H, 3, 8, 6), 8, RGB, before=extra))


def add_sizes():
    for w, h in ((37, 53), (53, 37), (20, 97), (97, 20), (17, 17), (17, 23), (9, 13), (13, 9), (14, 15), (1, 1), (1, 3), (110, 83),
                 (40, 84), (41, 80)):  # 84 to 35 goes vertical first, 80 to 33 does not
        add(f"size_rgb_{w}x{h}", png(levels(w, h, 3, 8, 8), 8, RGB), 17)
    for w, h in ((20, 97), (97, 20), (13, 9)):
        add(f"size_rgba_{w}x{h}", png(levels(w, h, 4, 8, 9), 8, RGBA), 17)
        add(f"size_gray16_{w}x{h}", png(levels(w, h, 1, 16, 9), 16, GRAY), 17)
        add(f"size_palette_{w}x{h}", png(levels(w, h, 1, 4, 9), 4, PALETTE, palette=np.arange(48).reshape(16, 3) * 5), 17)
        add(f"size_bit_{w}x{h}", png(levels(w, h, 1, 1, 9), 1, GRAY), 17)


def saved(img, kind, **options):
    out = io.BytesIO()
    img.save(out, kind, **options)
    return out.getvalue()


def strip_adobe(data):
    at = data.index(b"\xff\xee\0\x0eAdobe")
    return data[:at] + data[at + 16:]


def add_jpeg():
    rgb = Image.fromarray(levels(W, H, 3, 8).astype(np.uint8))
    for name, img, options in (
            ("gray", rgb.convert("L"), {}), ("420", rgb, {"subsampling": 2}),
            ("422", rgb, {"subsampling": 1}), ("444", rgb, {"subsampling": 0}),
            ("progressive", rgb, {"progressive": True, "subsampling": 2}), ("restart", rgb, {"restart_marker_blocks": 3}),
            ("rgb", rgb, {"keep_rgb": True, "subsampling": 0}), ("optimized_q40", rgb, {"optimize": True, "quality": 40})):
        add("jpeg_" + name, saved(img, "JPEG", **{"quality": 90} | options))
    exif = Image.Exif()
    exif[0x112] = 6
    add("jpeg_exif_rotated", saved(rgb, "JPEG", exif=exif))
    cmyk = saved(Image.fromarray(levels(W, H, 4, 8).astype(np.uint8), "CMYK"), "JPEG", quality=92)
    add("jpeg_cmyk", cmyk)
    add("jpeg_cmyk_no_marker", strip_adobe(cmyk))
    at = cmyk.index(b"Adobe") + 11  # the color transform: 2 is YCCK
    add("jpeg_ycck", cmyk[:at] + b"\2" + cmyk[at + 1:])
    add("jpeg_420_odd", saved(rgb.crop((0, 0, 15, 33)), "JPEG", subsampling=2))
    add("jpeg_rgb_tall", saved(Image.fromarray(levels(20, 103, 3, 8).astype(np.uint8)), "JPEG", subsampling=2))


def add_others():
    rgb = Image.fromarray(levels(W, H, 3, 8).astype(np.uint8))
    palette = rgb.quantize(30, dither=0)
    gray = rgb.convert("L")
    add("bmp_rgb", saved(rgb, "BMP"))
    add("bmp_palette", saved(palette, "BMP"))
    add("bmp_gray", saved(gray, "BMP"))
    add("bmp_bit", saved(Image.fromarray(levels(W, H, 1, 1)[:, :, 0].astype(bool)), "BMP"))
    add("bmp_rgba", saved(Image.fromarray(levels(W, H, 4, 8).astype(np.uint8)), "BMP"))
    add("gif_palette", saved(palette, "GIF"))
    add("gif_plain_rows", saved(palette, "GIF", interlace=0))
    add("gif_gray", saved(gray, "GIF"))
    add("gif_clear", saved(palette, "GIF", transparency=3))
    add("gif_frames", saved(palette, "GIF", save_all=True, append_images=[palette.rotate(180)]))
    add("ppm_rgb", saved(rgb, "PPM"))
    add("ppm_gray", saved(gray, "PPM"))


def open_clip_pixels(img, n, **options):
    """The transform up to uint8 RGB; the steps after that are ToTensor and Normalize."""
    steps = open_clip.image_transform(n, is_train=False, **options).transforms
    assert [type(s).__name__ for s in steps[-3:]] == ["MaybeConvertMode", "MaybeToTensor", "Normalize"]
    return np.asarray(Compose(steps[:-2])(img))


def hf_pixels(img, n, size=None, **options):
    processor = CLIPImageProcessorPil(size=size or {"shortest_edge": n}, crop_size={"height": n, "width": n}, do_rescale=False,
                                      do_normalize=False, **options)
    value = np.asarray(processor(img, return_tensors="np")["pixel_values"][0])
    assert value.min() >= 0 and value.max() <= 255 and (value == np.rint(value)).all()
    return value.transpose(1, 2, 0).astype(np.uint8)


def results(name, data, n):
    def fresh():
        return Image.open(io.BytesIO(data))

    if not name.startswith("size_"):
        yield "rgb", lambda: np.asarray(fresh().convert("RGB"))
    yield "open_clip.shortest", lambda: open_clip_pixels(fresh(), n)
    yield "hf.shortest", lambda: hf_pixels(fresh(), n)
    if name.startswith("jpeg_") or name.endswith("adam7"):
        return
    yield "open_clip.squash", lambda: open_clip_pixels(fresh(), n, resize_mode="squash")
    yield "open_clip.longest", lambda: open_clip_pixels(fresh(), n, resize_mode="longest")
    if name.startswith("size_"):
        return
    yield "open_clip.longest.fill200", lambda: open_clip_pixels(fresh(), n, resize_mode="longest", fill_color=200)
    yield "open_clip.shortest.bilinear", lambda: open_clip_pixels(fresh(), n, interpolation="bilinear")
    yield "hf.squash.bilinear", lambda: hf_pixels(fresh(), n, {"height": n, "width": n}, resample=2)


def main():
    add_png()
    add_sizes()
    add_jpeg()
    add_others()
    out, modes = {}, {}
    for name, (data, n) in sorted(cases.items()):
        img = Image.open(io.BytesIO(data))
        modes["mode." + name] = img.mode + (" transparency" if "transparency" in img.info else "")
        out[f"{name}/file"] = np.frombuffer(data, np.uint8)
        for kind, call in results(name, data, n):
            try:
                value = call()
            except Exception as e:  # some modes are refused: there is no reference then
                print(f"{name}/{kind}: {type(e).__name__}: {str(e)[:100]}")
                continue
            assert value.dtype == np.uint8 and value.ndim == 3 and value.shape[2] == 3, (name, kind, value.shape)
            out[f"{name}/{kind}"] = np.ascontiguousarray(value)
    data, n = cases["png_rgb8"]
    tensor = open_clip.image_transform(n, is_train=False)(Image.open(io.BytesIO(data)))
    assert tensor.dtype == torch.float32
    out["png_rgb8/open_clip.tensor"] = tensor.numpy()
    versions = {"pillow": PIL.__version__, "open_clip": open_clip.__version__, "transformers": transformers.__version__,
                "libjpeg_turbo": str(features.version("libjpeg_turbo"))}
    save_file(out, OUT)
    data = OUT.read_bytes()  # the library writes metadata in no fixed order
    end = 8 + struct.unpack("<Q", data[:8])[0]
    header = json.dumps({"__metadata__": versions | modes} | json.loads(data[8:end]), separators=(",", ":"))
    header += " " * (-len(header) % 8)
    OUT.write_bytes(struct.pack("<Q", len(header)) + header.encode() + data[end:])
    print(len(cases), "images,", len(out), "tensors,", OUT.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
