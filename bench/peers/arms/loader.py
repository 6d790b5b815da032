"""Training pairs from shards to batches of uint8 pixels and captions: a DataLoader of --threads worker processes over tar files, with
open_clip's crop. --library pillow (open_clip's training transform as far as pixels) or torchvision (its own decoder, uint8 resize)."""
import itertools
import tarfile

import common

o = common.options(size="112", library="pillow", batch="256", pairs="15360", shards=[])
import torch
from torch.utils.data import DataLoader, IterableDataset, get_worker_info
from torchvision.transforms import InterpolationMode, RandomResizedCrop

size, batch = int(o.size), int(o.batch)
load = common.clock()
if o.library == "pillow":
    import io

    import numpy as np
    from PIL import Image

    crop = RandomResizedCrop(size, scale=(0.9, 1.0), interpolation=InterpolationMode.BICUBIC)

    def one(data):
        return torch.from_numpy(np.array(crop(Image.open(io.BytesIO(data)).convert("RGB"))))
else:
    from torchvision.io import ImageReadMode, decode_jpeg
    from torchvision.transforms import v2

    crop = v2.RandomResizedCrop(size, scale=(0.9, 1.0), interpolation=v2.InterpolationMode.BICUBIC, antialias=True)

    def one(data):
        return crop(decode_jpeg(torch.frombuffer(bytearray(data), dtype=torch.uint8), mode=ImageReadMode.RGB))


class pairs(IterableDataset):
    """Each worker reads its share of the shards, again and again."""

    def __iter__(self):
        worker = get_worker_info()
        for shard in itertools.cycle(o.shards[worker.id::worker.num_workers]):
            img = None
            with tarfile.open(shard) as tar:
                for member in tar:
                    if member.name.endswith(".jpg"):
                        img = one(tar.extractfile(member).read())
                    elif member.name.endswith(".txt"):
                        yield img, tar.extractfile(member).read().decode()


batches = iter(DataLoader(pairs(), batch_size=batch, num_workers=o.threads, prefetch_factor=2))
next(batches)
loaded = load.ms()


def work():
    for _ in range(int(o.pairs) // batch):
        next(batches)


common.measure(work, o.runs, loaded, warm_up=1)
