"""Draws the sample images beside this file: python3 examples/images/draw.py (needs Pillow). Ours, free to use like the code."""
import math
import pathlib

from PIL import Image, ImageDraw

SIZE, SCALE = 224, 4  # drawn four times larger, then reduced: smooth edges


def canvas(color="white"):
    image = Image.new("RGB", (SIZE * SCALE, SIZE * SCALE), color)
    return image, ImageDraw.Draw(image)


def s(*values):
    return [v * SCALE for v in values]


def points(*pairs):
    return [(x * SCALE, y * SCALE) for x, y in pairs]


def apple():
    image, d = canvas()
    d.ellipse(s(40, 62, 128, 196), fill="#d8232a")
    d.ellipse(s(96, 62, 184, 196), fill="#d8232a")
    d.ellipse(s(60, 120, 164, 204), fill="#d8232a")
    d.ellipse(s(60, 84, 84, 120), fill="#f08a8a")
    d.line(points((112, 78), (116, 52), (128, 34)), fill="#6b3f1d", width=8 * SCALE)
    d.polygon(points((118, 56), (136, 36), (168, 34), (150, 56)), fill="#3f9b35")
    return image


def sun():
    image, d = canvas()
    for k in range(12):
        a = math.pi * k / 6
        tip = (112 + 98 * math.cos(a), 112 + 98 * math.sin(a))
        left = (112 + 62 * math.cos(a - 0.16), 112 + 62 * math.sin(a - 0.16))
        right = (112 + 62 * math.cos(a + 0.16), 112 + 62 * math.sin(a + 0.16))
        d.polygon(points(tip, left, right), fill="#f9a11b")
    d.ellipse(s(56, 56, 168, 168), fill="#fdd023")
    return image


def heart():
    image, d = canvas()
    outline = []
    for k in range(240):
        a = math.pi * k / 120
        outline.append((112 + 5.6 * 16 * math.sin(a) ** 3,
                        104 - 5.6 * (13 * math.cos(a) - 5 * math.cos(2 * a) - 2 * math.cos(3 * a) - math.cos(4 * a))))
    d.polygon(points(*outline), fill="#e0245e")
    return image


def clock():
    image, d = canvas()
    d.ellipse(s(20, 20, 204, 204), fill="#44546a")
    d.ellipse(s(34, 34, 190, 190), fill="#f7f7f2")
    for k in range(12):
        a = math.pi * k / 6
        d.line(points((112 + 62 * math.cos(a), 112 + 62 * math.sin(a)), (112 + 72 * math.cos(a), 112 + 72 * math.sin(a))),
               fill="#222222", width=4 * SCALE)
    d.line(points((112, 112), (112, 58)), fill="#222222", width=6 * SCALE)
    d.line(points((112, 112), (150, 128)), fill="#222222", width=7 * SCALE)
    d.ellipse(s(106, 106, 118, 118), fill="#222222")
    return image


def house():
    image, d = canvas()
    d.rectangle(s(52, 104, 172, 196), fill="#f2d7a0")
    d.polygon(points((34, 108), (112, 36), (190, 108)), fill="#a63d2f")
    d.rectangle(s(98, 140, 126, 196), fill="#6b3f1d")
    d.rectangle(s(64, 120, 88, 146), fill="#8ecae6")
    d.rectangle(s(136, 120, 160, 146), fill="#8ecae6")
    d.rectangle(s(144, 46, 160, 84), fill="#7a3b2e")
    return image


def mushroom():
    image, d = canvas()
    d.rounded_rectangle(s(88, 110, 136, 198), radius=20 * SCALE, fill="#f4e6d0")
    d.pieslice(s(28, 34, 196, 206), 180, 360, fill="#d62828")
    for x, y, r in ((80, 84, 14), (126, 64, 16), (160, 100, 11), (50, 106, 9)):
        d.ellipse(s(x - r, y - r, x + r, y + r), fill="white")
    return image


def umbrella():
    image, d = canvas()
    d.line(points((112, 60), (112, 176)), fill="#444444", width=6 * SCALE)
    d.arc(s(109, 160, 145, 192), 0, 180, fill="#444444", width=6 * SCALE)
    d.pieslice(s(24, 34, 200, 210), 180, 360, fill="#6a4c93")
    for x in (24, 68, 112, 156):
        d.pieslice(s(x, 108, x + 44, 136), 180, 360, fill="white")
    d.line(points((112, 24), (112, 40)), fill="#444444", width=6 * SCALE)
    return image


if __name__ == "__main__":
    for draw in (apple, sun, heart, clock, house, mushroom, umbrella):
        path = pathlib.Path(__file__).with_name(draw.__name__ + ".png")
        draw().resize((SIZE, SIZE), Image.LANCZOS).save(path, optimize=True)
        print(path.name)
