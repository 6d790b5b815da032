"""Writes tests/golden/images.safetensors: small BMP and GIF files of every kind, and what Pillow makes of them, or that it refuses
them. tests/golden/README.md describes the tensors.

Usage: python3 tests/golden/images.py      (Pillow 13, safetensors, numpy)

The files are put together here, since Pillow writes few of the kinds that it reads.
"""
import io
import json
import pathlib
import random
import struct

import numpy as np
import PIL
from PIL import Image, ImageOps
from safetensors.numpy import save_file

OUT = pathlib.Path(__file__).resolve().parent / "images.safetensors"
W, H = 5, 4
draw = random.Random(3)


def some(n):
    return bytes(draw.randrange(256) for _ in range(n))


def grays(n, entry=4):
    return b"".join(bytes([i % 256] * 3 + [0] * (entry - 3)) for i in range(n))


BLACK_WHITE = b"\0\0\0\0\xff\xff\xff\0"


def bmp(bits, pixels=None, palette=b"", header=40, compression=0, w=W, h=H, colors=None, masks=(), gap=b"", offset=None, file_header=True):
    """masks: in the header where it has room, else behind it."""
    entry = 3 if header == 12 else 4
    colors = len(palette) // entry if colors is None else colors
    if pixels is None:
        pixels = some((w * bits + 31) // 32 * 4 * abs(h))
    if header == 12:
        out = struct.pack("<IHHHH", header, w, h, 1, bits)
    else:
        out = struct.pack("<IiiHHIIiiII", header, w, h, 1, bits, compression, len(pixels), 2835, 2835, colors, 0)
        inside = b"".join(struct.pack("<I", m) for m in masks)
        out += (inside + bytes(header))[:header - 40] if header > 40 else inside
    out += palette + gap
    if not file_header:
        return out + pixels
    return b"BM" + struct.pack("<IHHI", 14 + len(out) + len(pixels), 0, 0, 14 + len(out) if offset is None else offset) + out + pixels


def bmp_files():
    for bits in (1, 4, 8):
        for header in (12, 40, 52, 56, 64, 108, 124):
            entry = 3 if header == 12 else 4
            yield f"p{bits}_h{header}", bmp(bits, palette=some(entry << bits), header=header)
        yield f"p{bits}_short", bmp(bits, palette=some(4 * max(1, (1 << bits) // 3)))
        yield f"p{bits}_topdown", bmp(bits, palette=some(4 << bits), h=-H)
        yield f"p{bits}_grays", bmp(bits, palette=grays(1 << bits), w=4)
        yield f"p{bits}_black_white", bmp(bits, palette=BLACK_WHITE)
        yield f"p{bits}_white_black", bmp(bits, palette=BLACK_WHITE[4:] + BLACK_WHITE[:4])
        yield f"p{bits}_one_black", bmp(bits, palette=bytes(4))
        yield f"p{bits}_no_palette_in_offset", bmp(bits, palette=some(4 << bits), offset=54)
        yield f"p{bits}_offset_0", bmp(bits, palette=some(4 << bits), offset=0)
    yield "p8_gray_wide", bmp(8, palette=grays(256), w=9)
    yield "p4_gray_too_wide", bmp(4, palette=grays(16), w=9)
    yield "p8_gray_core", bmp(8, palette=grays(256, 3), header=12)
    yield "p8_core_cut", bmp(8, palette=some(9), header=12, offset=26 + 768)
    yield "p8_512_grays", bmp(8, palette=grays(512))
    yield "p8_512_colours", bmp(8, palette=some(2048))
    yield "p8_too_many_colours", bmp(8, palette=some(1024), colors=65537)
    yield "p2", bmp(2, palette=some(16))
    yield "p8_dib", bmp(8, palette=some(1024), file_header=False)
    yield "p8_cut", bmp(8, palette=some(1024))[:-4]
    yield "p8_without_last_padding", bmp(8, palette=some(1024))[:-3]
    for bits in (16, 24, 32):
        for header in (12, 40, 108):
            yield f"c{bits}_h{header}", bmp(bits, header=header)
        yield f"c{bits}_topdown", bmp(bits, h=-H)
        yield f"c{bits}_gap", bmp(bits, gap=some(10))
        yield f"c{bits}_palette", bmp(bits, palette=some(40))
        yield f"c{bits}_rle", bmp(bits, compression=1)
    fields = {16: [(0xf800, 0x7e0, 0x1f), (0x7c00, 0x3e0, 0x1f), (0xf00, 0xf0, 0xf)],
              24: [(0xff0000, 0xff00, 0xff), (0xff, 0xff00, 0xff0000)],
              32: [(0xff0000, 0xff00, 0xff, 0), (0xff000000, 0xff0000, 0xff00, 0), (0xff000000, 0xff00, 0xff, 0),
                   (0xff000000, 0xff0000, 0xff00, 0xff), (0xff, 0xff00, 0xff0000, 0xff000000), (0xff0000, 0xff00, 0xff, 0xff000000),
                   (0xff000000, 0xff00, 0xff, 0xff0000), (0, 0, 0, 0), (0xff, 0xff00, 0xff0000, 0)]}
    for bits, layouts in fields.items():
        for i, masks in enumerate(layouts):
            yield f"c{bits}_fields{i}", bmp(bits, header=56, compression=3, masks=masks)
        yield f"c{bits}_fields_h40", bmp(bits, compression=3, masks=layouts[0][:3])
        yield f"c{bits}_fields_h52", bmp(bits, header=52, compression=3, masks=layouts[0][:3])
    yield "p8_fields", bmp(8, palette=some(1024), compression=3, header=56)
    yield "c24_jpeg", bmp(24, compression=4)
    rows = {"rows": b"\5\1\0\0\3\2\2\x33\0\0\5\7\0\0\5\x14\0\1", "absolute": b"\0\5\1\2\3\4\5\0\0\0\0\3\x17\x28\x39\0\2\1\0\0\5\1\0\0\5\2\0\1",
            "delta": b"\2\7\0\2\2\1\1\5\0\0\5\3\0\0\0\2\3\1\0\1", "too_long": b"\x09\1\3\1\0\0\5\2\0\0\5\3\0\0\5\4\0\1",
            "no_ends": b"\5\1\0\0\5\2\0\0\5\3\0\0\5\4", "short": b"\5\1\0\0\5\2\0\1", "far_delta": b"\0\2\0\xff\0\1"}
    for name, data in rows.items():
        yield f"rle8_{name}", bmp(8, data, some(4 * 64), compression=1)
        yield f"rle4_{name}", bmp(4, data, some(4 * 16), compression=2)
    yield "rle8_gray", bmp(8, rows["rows"], grays(256), compression=1)
    yield "rle8_black_white", bmp(8, rows["rows"], BLACK_WHITE, compression=1)
    yield "rle8_topdown", bmp(8, rows["rows"], some(64), compression=1, h=-H)


def lzw(indices, bits, clear_often=False):
    """Codes of GIF. clear_often: the table is cleared before every index."""
    clear, codes, table, size = 1 << bits, [], {}, bits + 1

    def reset():
        nonlocal table, size
        table, size = {(i,): i for i in range(clear)}, bits + 1
        return clear + 2

    codes.append((clear, size))
    following, word = reset(), ()
    for i in indices:
        if word + (i,) in table and not clear_often:
            word += (i,)
            continue
        if word:
            codes.append((table[word], size))
            if clear_often or following == 4096:
                codes.append((clear, size))
                following = reset()
            else:
                table[word + (i,)] = following
                size += following == 1 << size
                following += 1
        word = (i,)
    codes += [(table[word], size), (clear + 1, size if clear_often else size + (following == 1 << size))]
    value = at = 0
    for code, n in codes:
        value |= code << at
        at += n
    return value.to_bytes((at + 7) // 8, "little")


def blocks(data, size=255):
    return b"".join(bytes([len(data[i:i + size])]) + data[i:i + size] for i in range(0, len(data), size)) + b"\0"


def flags(palette):
    return 0x80 | (len(palette) // 3).bit_length() - 2 if palette else 0


def control(transparent=None, length=4):
    return b"\x21\xf9" + bytes([length]) + bytes([transparent is not None, 0, 0, transparent or 0])[:length] + b"\0"


def gif(palette=b"", local=b"", screen=(W, H), frame=(0, 0, W, H), interlaced=False, before=b"", bits=None, indices=None, block=255,
        clear_often=False, more=b"", version=b"GIF89a"):
    count = len(local or palette) // 3 or 256
    bits = bits or max(2, (count - 1).bit_length())
    x, y, w, h = frame
    indices = [draw.randrange(min(count, 1 << bits)) for _ in range(w * h)] if indices is None else indices
    return (version + struct.pack("<HHBBB", *screen, flags(palette), 1, 0) + palette + before + b"," + struct.pack("<HHHH", x, y, w, h) +
            bytes([flags(local) | 0x40 * interlaced]) + local + bytes([bits]) + blocks(lzw(indices, bits, clear_often), block) + more + b";")


def gif_files():
    for n in (2, 4, 8, 16, 32, 64, 128, 256):
        yield f"p{n}", gif(some(3 * n))
    four = some(12)
    yield "87a", gif(four, version=b"GIF87a")
    yield "88a", gif(four, version=b"GIF88a")
    yield "clear", gif(four, before=control(2))
    yield "clear_beyond_palette", gif(four, before=control(200))
    yield "clear_named_twice", gif(four, before=control(2) + control(1) + control())
    yield "local", gif(four, local=some(24))
    yield "local_alone", gif(local=some(24))
    yield "no_palette", gif(bits=8)
    yield "no_palette_clear", gif(bits=8, before=control(7))
    yield "gray", gif(grays(256, 3))
    yield "gray4_clear", gif(grays(4, 3), before=control(2))
    yield "gray_local", gif(grays(4, 3), local=some(12))
    for i, size in enumerate(((1, 1), (3, 2), (4, 3), (9, 5), (2, 17))):
        yield f"interlaced{i}", gif(four, screen=size, frame=(0, 0, *size), interlaced=True)
    yield "smaller", gif(four, frame=(1, 2, 3, 1))
    yield "smaller_clear", gif(four, frame=(1, 2, 3, 1), before=control(2))
    yield "smaller_gray", gif(grays(4, 3), frame=(1, 2, 3, 1), before=control(3))
    yield "larger", gif(four, frame=(2, 1, 7, 6))
    yield "larger_clear", gif(four, frame=(2, 1, 7, 6), before=control(1))
    yield "screen_0", gif(four, screen=(0, 0))
    yield "frame_0", gif(four, frame=(0, 0, 0, 3), indices=[0])
    yield "index_beyond_palette", gif(four, bits=4, indices=[i % 16 for i in range(W * H)])
    yield "small_blocks", gif(four, block=1)
    yield "clear_codes", gif(four, clear_often=True)
    yield "full_table", gif(some(768), screen=(64, 64), frame=(0, 0, 64, 64))  # random, so nearly each index is a code
    yield "too_many_pixels", gif(four, indices=[1] * (W * H + 9))
    yield "too_few_pixels", gif(four, indices=[1] * (W * H - 1))
    comment = b"\x21\xfe" + blocks(b"a comment") + b"\x21\xff" + bytes([11]) + b"NETSCAPE2.0" + blocks(b"\1\0\0")
    yield "extensions", gif(four, before=comment + control(3) + comment)
    yield "stray_bytes", gif(four, before=b"\0\0x")
    yield "short_control", gif(four, before=control(2, 3))
    yield "frames", gif(four, more=gif(four)[13 + 12:-1])
    whole = gif(some(48), block=8)
    for cut in range(len(whole) - 1, 6, -3):
        yield f"cut{cut}", whole[:cut]
    yield "no_frame", gif(four)[:25] + b";"


def write(path, kinds):
    """kinds: (kind, (name, file) of each). What Pillow makes of every file goes to `path`."""
    out, modes = {}, {}
    for kind, files in kinds:
        for name, data in files:
            name = f"{kind}_{name}"
            assert f"{name}/file" not in out, name
            out[f"{name}/file"] = np.frombuffer(data, np.uint8)
            try:
                img = Image.open(io.BytesIO(data))
                assert img.format in ("BMP", "DIB", "GIF", "PPM", "WEBP", "TIFF", "JXL", "HEIF", "AVIF", "JPEG", "PNG"), name
                img.load()
                if img.mode == "I;16B":  # which Pillow resizes as if its bytes were in the other order
                    img = Image.fromarray(np.asarray(img).astype("<u2"))
                small = img.resize((3, 3), Image.Resampling.BICUBIC).convert("RGB")
            except Exception:
                modes["mode." + name] = "refused"
                continue
            modes["mode." + name] = img.mode + (" transparency" if "transparency" in img.info else "")
            out[f"{name}/bands"] = np.frombuffer(img.convert("L").tobytes() if img.mode == "1" else img.tobytes(), np.uint8)
            if img.mode in ("P", "RGBA", "CMYK", "I;16", "I", "F"):
                out[f"{name}/rgb"] = np.asarray(img.convert("RGB"))
            out[f"{name}/small"] = np.asarray(small)
            if "transparency" in img.info or img.mode in ("LA", "RGBA"):
                rgba = img.convert("RGBA")
                white = Image.new("RGBA", img.size, (255, 255, 255))
                out[f"{name}/white"] = np.asarray(Image.alpha_composite(white, rgba).convert("RGB"))
            if kind == "turned":
                out[f"{name}/turned"] = np.frombuffer(ImageOps.exif_transpose(img).tobytes(), np.uint8)
    save_file(out, path)
    data = path.read_bytes()  # the library writes metadata in no fixed order
    end = 8 + struct.unpack("<Q", data[:8])[0]
    header = json.dumps({"__metadata__": {"pillow": PIL.__version__} | modes} | json.loads(data[8:end]), separators=(",", ":"))
    header += " " * (-len(header) % 8)
    path.write_bytes(struct.pack("<Q", len(header)) + header.encode() + data[end:])
    print(len(modes), "files,", sum(m == "refused" for m in modes.values()), "of them refused,", path.stat().st_size, "bytes")


if __name__ == "__main__":
    write(OUT, (("bmp", bmp_files()), ("gif", gif_files())))
