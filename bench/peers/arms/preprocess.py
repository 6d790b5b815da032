"""JPEG files to one normalized tensor each, one thread. --library pillow (open_clip's transform) or torchvision (its own decoder,
uint8 resize: pixels differ from Pillow's by up to 2 levels)."""
import common

o = common.options(size="224", library="pillow", files=[])
import numpy as np
import torch

torch.set_num_threads(1)
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
size = int(o.size)
load = common.clock()
if o.library == "pillow":
    from open_clip import image_transform
    from PIL import Image

    transform = image_transform(size, is_train=False, mean=MEAN, std=STD)

    def one(path):
        return transform(Image.open(path))
else:
    from torchvision import io
    from torchvision.transforms import v2

    transform = v2.Compose([v2.Resize(size, interpolation=v2.InterpolationMode.BICUBIC, antialias=True), v2.CenterCrop(size),
                            v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, STD)])

    def one(path):
        return transform(io.decode_jpeg(io.read_file(path), mode=io.ImageReadMode.RGB))
loaded = load.ms()


def work():
    return [one(path) for path in o.files]


first = work()
if o.out:
    np.save(o.out, torch.stack(first).numpy())
common.measure(work, o.runs, loaded, warm_up=1)
