"""Writes tests/golden/formats.safetensors: small WebP, TIFF, PNM, HEIC, AVIF and JPEG XL files, and such with an EXIF orientation, and
what Pillow makes of them, in the form of images.py. tests/golden/README.md describes the tensors.

Usage: python3 tests/golden/formats.py      (Pillow 13, pillow-heif, pillow-jxl-plugin, safetensors, numpy)
"""
import io
import pathlib
import struct
import zlib

import numpy as np
import pillow_heif
import pillow_jxl  # noqa: F401
from PIL import Image

from images import some, write

pillow_heif.register_heif_opener()
OUT = pathlib.Path(__file__).resolve().parent / "formats.safetensors"
W, H = 7, 5


def drawn(mode, size=(W, H)):
    """Smooth enough to be small in a lossy file."""
    w, h = size
    x, y = np.meshgrid(np.arange(w), np.arange(h))
    bands = [(x * 30 + y * 11) % 256, 255 - x * 20 % 256, (y * 50 + 20) % 256, (x * 36 + y * 9) % 256]
    if mode == "P":
        img = Image.fromarray((bands[0] % 6).astype(np.uint8), "P")
        img.putpalette(some(18))
        return img
    if mode == "1":
        return Image.fromarray((bands[0] > 90).astype(np.uint8) * 255).convert("1")
    if mode == "F":
        return Image.fromarray((bands[0] * 1.3 - 20).astype(np.float32))
    if mode in ("I", "I;16"):
        return Image.fromarray((bands[0] * 200 - (4000 if mode == "I" else 0)).astype(np.int32 if mode == "I" else np.uint16))
    n = len(mode.replace("CMYK", "LLLL"))
    return Image.fromarray(np.stack(bands[:n], 2).squeeze().astype(np.uint8), mode)


def saved(img, kind, **options):
    out = io.BytesIO()
    img.save(out, kind, **options)
    return out.getvalue()


def riff(*chunks):
    body = b"WEBP" + b"".join(name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2) for name, data in chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def webp_files():
    for mode in ("RGB", "RGBA"):
        img = drawn(mode)
        yield f"{mode}_lossy", saved(img, "WEBP", quality=60)
        yield f"{mode}_lossless", saved(img, "WEBP", lossless=True)
        frames = [drawn(mode, (9, 9)), drawn(mode, (9, 9)).rotate(90)]
        yield f"{mode}_frames", saved(frames[0], "WEBP", save_all=True, append_images=frames[1:], lossless=True)
    whole = saved(drawn("RGB"), "WEBP", quality=60)
    yield "large", saved(drawn("RGB", (40, 33)), "WEBP", quality=30)
    image = whole[12:]
    frame = struct.pack("<I", 2)[:3] + struct.pack("<I", 1)[:3] + struct.pack("<I", W - 1)[:3] + struct.pack("<I", H - 1)[:3] + b"\0\0\0\0"
    for name, flags in (("small_frame", 0x12), ("small_frame_opaque", 0x02)):
        canvas = bytes([flags, 0, 0, 0]) + struct.pack("<I", 15)[:3] + struct.pack("<I", 11)[:3]
        yield name, riff((b"VP8X", canvas), (b"ANIM", b"\1\2\3\4\0\0"), (b"ANMF", frame + image))
    for cut in (len(whole) - 3, 30, 20):
        yield f"cut{cut}", whole[:cut]
    yield "tail", whole + b"more"


def tiff(bits, samples, photometric, data, order="<", size=(W, H), extra=None, fmt=None, fill=None, planar=None, colors=None, rows=None,
         tile=None, orientation=None, compression=1, big=False, photometric_there=True):
    """data: one block, or a list of strips or tiles."""
    blocks = data if isinstance(data, list) else [data]
    tags = {256: (3, [size[0]]), 257: (3, [size[1]]), 258: (3, [bits] * samples), 259: (3, [compression]), 277: (3, [samples])}
    if photometric_there:
        tags[262] = (3, [photometric])
    for tag, value in ((338, extra), (339, fmt and [fmt] * samples), (266, fill and [fill]), (284, planar and [planar]), (320, colors),
                       (274, orientation and [orientation])):
        if value:
            tags[tag] = (3, list(value))
    if tile:
        tags[322], tags[323] = (3, [tile[0]]), (3, [tile[1]])
    elif rows or len(blocks) == 1:
        tags[278] = (3, [rows or size[1]])
    places, at = [], 16 if big else 8
    for block in blocks:
        places.append(at)
        at += len(block)
    tags[324 if tile else 273] = (4, places)
    tags[325 if tile else 279] = (4, [len(b) for b in blocks])
    room, count, number = (8, "Q", "Q") if big else (4, "H", "I")
    entries, values = b"", b""
    values_at = at + struct.calcsize(order + count) + len(tags) * (20 if big else 12) + (8 if big else 4)
    for tag, (kind, numbers) in sorted(tags.items()):
        packed = struct.pack(f"{order}{len(numbers)}{'H' if kind == 3 else 'I'}", *numbers)
        entries += struct.pack(f"{order}HH{number}", tag, kind, len(numbers))
        if len(packed) <= room:
            entries += packed.ljust(room, b"\0")
        else:
            entries += struct.pack(order + number, values_at + len(values))
            values += packed
    start = (b"II" if order == "<" else b"MM") + (struct.pack(order + "HHHQ", 43, 8, 0, at) if big else struct.pack(order + "HI", 42, at))
    directory = struct.pack(order + count, len(tags)) + entries + struct.pack(order + number, 0)
    return start + b"".join(blocks) + directory + values


def tiff_files():
    for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "I", "F", "RGBX"):
        yield f"{mode.replace(';', '')}_raw", saved(drawn(mode.replace("X", "")).convert("RGBX") if mode == "RGBX" else drawn(mode), "TIFF")
        for how in ("tiff_lzw", "packbits", "tiff_adobe_deflate"):
            if mode != "RGBX":
                yield f"{mode.replace(';', '')}_{how}", saved(drawn(mode), "TIFF", compression=how)
    for how in ("group3", "group4", "tiff_ccitt"):
        yield how, saved(drawn("1", (40, 9)), "TIFF", compression=how)
    for mode in ("L", "RGB", "CMYK"):
        yield f"jpeg_{mode}", saved(drawn(mode, (19, 17)), "TIFF", compression="jpeg", quality=80)
    for order in "<>":
        end = "le" if order == "<" else "be"
        for photometric in (0, 1):
            for bits in (1, 2, 4, 8, 12, 16, 32):
                if (bits, order) == (12, ">"):  # which clipx reads, and Pillow only from little-endian files
                    continue
                row = (W * bits + 7) // 8
                data = some(row * H) if bits < 32 else struct.pack(f"{order}{W * H}I", *[i * 1000003 for i in range(W * H)])
                yield f"gray{photometric}_{bits}_{end}", tiff(bits, 1, photometric, data, order)
                if (photometric, bits) != (0, 8):  # Pillow's table names a raw mode that it lacks
                    yield f"gray{photometric}_{bits}_filled_{end}", tiff(bits, 1, photometric, data, order, fill=2)
        yield f"int16_{end}", tiff(16, 1, 1, some(2 * W * H), order, fmt=2)
        yield f"int32_{end}", tiff(32, 1, 1, struct.pack(f"{order}{W * H}i", *[i * 999983 - 10**7 for i in range(W * H)]), order, fmt=2)
        floats = struct.pack(f"{order}{W * H}f", *[i * 9.7 - 12 for i in range(W * H)])
        yield f"float_{end}", tiff(32, 1, 1, floats, order, fmt=3)
        yield f"rgb16_{end}", tiff(16, 3, 2, some(6 * W * H), order)
        for kind in (0, 1, 2):
            yield f"rgba16_{kind}_{end}", tiff(16, 4, 2, some(8 * W * H), order, extra=[kind])
        yield f"cmyk16_{end}", tiff(16, 4, 5, some(8 * W * H), order)
    yield "int8", tiff(8, 1, 1, some(W * H), fmt=2)
    for n, kinds in ((2, [0]), (2, [1]), (2, [2])):
        yield f"gray_extra{kinds[0]}", tiff(8, n, 1, some(n * W * H), extra=kinds)
    for kinds in ([], [0], [1], [2], [999], [0, 0], [1, 0], [2, 0], [1, 0, 0], [0, 0, 0], [2, 2]):
        n = max(4, 3 + len(kinds))
        yield "rgb_extra" + "_".join(map(str, kinds)), tiff(8, n, 2, some(n * W * H), extra=kinds)
    yield "cmyk_extra", tiff(8, 5, 5, some(5 * W * H), extra=[0])
    yield "palette_extra", tiff(8, 2, 3, bytes(i % 16 for i in range(2 * W * H)), extra=[0], colors=[i * 80 % 65536 for i in range(768)])
    for bits in (1, 2, 4, 8):
        colors = [i * 2999 % 65536 for i in range(3 << bits)]
        yield f"palette{bits}", tiff(bits, 1, 3, some((W * bits + 7) // 8 * H), colors=colors)
    for bits in (8, 16):  # compressed: else Pillow takes planes of 16 bits for bytes
        planes = [zlib.compress(some(W * H * bits // 8)) for _ in range(4)]
        yield f"planar{bits}", tiff(bits, 3, 2, planes[:3], planar=2, compression=8)
        yield f"planar_alpha{bits}", tiff(bits, 4, 2, planes, planar=2, extra=[2], compression=8)
        yield f"planar_premultiplied{bits}", tiff(bits, 4, 2, planes, planar=2, extra=[1], compression=8)
    yield "strips", tiff(8, 3, 2, [some(3 * W * 2), some(3 * W * 2), some(3 * W)], rows=2)
    yield "tiles", tiff(8, 3, 2, [some(3 * 256) for _ in range(6)], size=(40, 20), tile=(16, 16))
    for orientation in range(1, 9):
        yield f"orientation{orientation}", tiff(8, 3, 2, some(3 * W * H), orientation=orientation)
    yield "large_header", tiff(8, 3, 2, some(3 * W * H), big=True)
    yield "no_photometric", tiff(8, 1, 0, some(W * H), photometric_there=False)
    yield "cut", tiff(8, 3, 2, some(3 * W * H - 200))
    yield "pages", saved(drawn("RGB"), "TIFF", save_all=True, append_images=[drawn("L")])


def pnm_files():
    for most in (1, 7, 255, 256, 1000, 65535):
        two = most > 255
        levels = [i * most // (3 * W * H - 1) for i in range(3 * W * H)]
        packed = struct.pack(f">{len(levels)}{'H' if two else 'B'}", *levels)
        yield f"P5_{most}", b"P5\n%d %d\n%d\n" % (W, H, most) + packed[:W * H * (1 + two)]
        yield f"P6_{most}", b"P6 %d %d %d\n" % (W, H, most) + packed
        text = " ".join(map(str, levels)).encode()
        yield f"P3_{most}", b"P3\n# comment\n%d %d\n%d\n" % (W, H, most) + text
        yield f"P2_{most}", b"P2\n%d %d # comment\n%d\n" % (W, H, most) + b"\n".join(text.split()[:W * H])
    yield "P1", b"P1\n7 5\n" + b"0101101 " * 3 + b"1 1 1 0 0 0 0\n# comment\n1111110"
    yield "P1_short", b"P1\n7 5\n" + b"0101101 " * 3
    yield "P1_digit", b"P1\n7 5\n" + b"0101102 " * 5
    yield "P4", b"P4\n13 3\n" + some(6)
    yield "P4_short", b"P4\n13 3\n" + some(5)
    for scale in (b"-1.0", b"2.5"):
        data = struct.pack(f"{'<' if scale[:1] == b'-' else '>'}{W * H}f", *[i * 9.3 - 30 for i in range(W * H)])
        yield "PFM" + scale.decode(), b"Pf\n%d %d\n%s\n" % (W, H, scale) + data
    yield "PFM_0", b"Pf\n1 1\n0.0\nabcd"
    yield "PFM_color", b"PF\n1 1\n-1.0\n" + bytes(12)
    yield "P2_too_large", b"P2 2 1 100 101 5"
    yield "P2_token", b"P2 2 1 100 00000000000000005 5"
    yield "most_70000", b"P5 1 1 70000\nabcd"
    yield "most_0", b"P5 1 1 0\nabcd"
    yield "P5_256_short", b"P5 2 2 256\nabcdefg"


def jxl_files():
    for mode in ("L", "LA", "RGB", "RGBA"):
        yield f"{mode}_lossless", saved(drawn(mode), "JXL", lossless=True)
    whole = saved(drawn("RGB"), "JXL", lossless=True)
    yield "cut", whole[:-9]


def heif_files():
    for mode in ("RGB", "RGBA"):
        yield f"{mode}_lossless", saved(drawn(mode, (16, 16)), "HEIF", quality=-1, chroma=444, matrix_coefficients=0)
        yield f"{mode}_lossy", saved(drawn(mode, (16, 16)), "HEIF", quality=90, chroma=444)


def avif_files():
    for mode in ("RGB", "RGBA"):
        yield mode, saved(drawn(mode, (16, 16)), "AVIF", quality=90, subsampling="4:4:4")


def turned_files():
    for orientation in range(0, 10):
        exif = Image.Exif()
        exif[274] = orientation
        yield f"jpeg{orientation}", saved(drawn("L"), "JPEG", exif=exif)
        if orientation in (0, 3, 6, 7, 8):
            for mode in ("RGBA", "P", "1", "I;16"):
                yield f"png_{mode.replace(';', '')}_{orientation}", saved(drawn(mode), "PNG", exif=exif)
            yield f"webp{orientation}", saved(drawn("RGB"), "WEBP", lossless=True, exif=exif)
    yield "jpeg_without", saved(drawn("L"), "JPEG")


if __name__ == "__main__":
    write(OUT, (("webp", webp_files()), ("tiff", tiff_files()), ("pnm", pnm_files()), ("jxl", jxl_files()), ("heif", heif_files()),
                ("avif", avif_files()), ("turned", turned_files())))
