"""Writes tests/golden/torch/: small archives of torch.save and torch.jit.save, and torch.safetensors, which has what PyTorch reads in
them, by "FILE/NAME". tests/golden/README.md describes them.

Usage: python3 tests/golden/torch_files.py      (torch 2, safetensors)

Files named bad_* must be refused, and those of them that would run something when Python loads them write no more than a text.
"""
import collections
import io
import os
import pathlib
import pickle
import struct
import warnings
import zipfile
import zlib

import torch
from safetensors.torch import save_file
from torch import nn

OUT = pathlib.Path(__file__).resolve().parent / "torch"
warnings.filterwarnings("ignore")
torch.manual_seed(1)


class Block(nn.Module):
    """As OpenAI's: the mask is a tensor, but no buffer, so it is in the archive and not in state_dict()."""

    def __init__(self, mask):
        super().__init__()
        self.ln_1 = nn.LayerNorm(4)
        self.attn_mask = mask

    def forward(self, x):
        return self.ln_1(x) + self.attn_mask.sum()


class Tiny(nn.Module):
    def __init__(self):
        super().__init__()
        self.visual = nn.Module()
        self.visual = nn.Sequential(nn.Conv2d(3, 4, 2, bias=False), nn.BatchNorm2d(4))
        self.blocks = nn.ModuleList([Block(torch.ones(2, 2)), Block(torch.ones(2, 2))])
        self.token_embedding = nn.Embedding(5, 4)
        self.scale = nn.Parameter(torch.tensor(2.5))
        self.register_buffer("input_resolution", torch.tensor(8))
        self.register_buffer("unsaved", torch.ones(3), persistent=False)
        self.sizes = [1, 2]
        self.label = "tiny"

    def forward(self, x, t):
        y = self.token_embedding(t)
        for block in self.blocks:
            y = block(y)
        return self.visual(x).sum() * self.scale + y.sum()


INPUTS = torch.randn(1, 3, 4, 4), torch.tensor([[0, 3, 4]])


def tiny():
    """With f16 matrices and f32 norms, as OpenAI's."""
    model = Tiny().eval()
    model.visual[0].half()
    model.token_embedding.half()
    return model


def epoch():
    """A checkpoint of open_clip's training, of a model under DistributedDataParallel."""
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    optimizer = torch.optim.AdamW([{"params": [model[0].weight], "weight_decay": 0.2}, {"params": [model[0].bias], "weight_decay": 0.}], lr=1e-3)
    model(torch.randn(5, 3)).sum().backward()
    optimizer.step()
    scaler = {"scale": 65536.0, "growth_factor": 2.0, "backoff_factor": 0.5, "growth_interval": 2000, "_growth_tracker": 0}
    state = collections.OrderedDict(("module." + k, v) for k, v in model.state_dict().items())
    return {"epoch": 3, "name": "run", "state_dict": state, "optimizer": optimizer.state_dict(), "scaler": scaler}


def views():
    """Views of shared storages, and values in another order than that of the sizes."""
    base = torch.arange(24, dtype=torch.float32)
    weight = torch.randn(3, 2)
    return {"whole": base, "part": base[5:11].view(2, 3), "tied": weight, "tied_again": weight, "transposed": weight.t(),
            "channels_last": torch.randn(2, 3, 2, 2).contiguous(memory_format=torch.channels_last), "column": base.view(4, 6)[:, 1],
            "one": torch.randn(1, 4).t().contiguous().t()}


TYPES = [torch.float32, torch.float16, torch.bfloat16, torch.float64, torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool]


class Call:
    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


def rezipped(data, change=lambda name, data: data, method=zipfile.ZIP_STORED):
    """The same members in an archive of Python's zipfile."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w", method) as new:
        for m in old.infolist():
            new.writestr(zipfile.ZipInfo(m.filename), change(m.filename, old.read(m)), method)
    return out.getvalue()


def zip64(data):
    """The same members in an archive whose sizes and offsets all stand in fields of zip64, as in one over 4 GiB."""
    out, directory, count = bytearray(), bytearray(), 0
    with zipfile.ZipFile(io.BytesIO(data)) as old:
        for m in old.infolist():
            name, body = m.filename.encode(), old.read(m)
            common = struct.pack("<HHHHHIII", 45, 0, 0, 0, 33, zlib.crc32(body), 0xFFFFFFFF, 0xFFFFFFFF)
            wide = struct.pack("<HHQQQ", 1, 24, len(body), len(body), len(out))
            directory += b"PK\1\2" + struct.pack("<H", 45) + common + struct.pack("<HHHHHII", len(name), len(wide), 0, 0, 0, 0, 0xFFFFFFFF) + name + wide
            local = struct.pack("<HHQQ", 1, 16, len(body), len(body))
            out += b"PK\3\4" + common + struct.pack("<HH", len(name), len(local)) + name + local + body
            count += 1
    at = len(out)
    end = struct.pack("<QHHIIQQQQ", 44, 45, 45, 0, 0, count, count, len(directory), at)
    locator = struct.pack("<IQI", 0, at + len(directory), 1)
    return bytes(out + directory + b"PK\6\6" + end + b"PK\6\7" + locator + b"PK\5\6" + struct.pack("<HHHHIIH", 0xFFFF, 0xFFFF, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0))


def saved(value, **options):
    out = io.BytesIO()
    torch.save(value, out, **options)
    return out.getvalue()


def scripted(model):
    out = io.BytesIO()
    torch.jit.save(model, out)
    return out.getvalue()


def main():
    OUT.mkdir(exist_ok=True)
    few = {"a": torch.randn(2, 3), "b": torch.tensor(7)}
    model = tiny()
    good = {
        "types.pt": (saved({str(t)[6:]: torch.tensor([[1, 0, 2]]).to(t) for t in TYPES} | {"scalar": torch.tensor(1.5), "empty": torch.zeros(0, 3)}), None),
        "module.bin": (saved(model.state_dict()), None),
        "parameters.pth": (saved(dict(model.named_parameters()), pickle_protocol=5), None),
        "protocol3.pt": (saved(few, pickle_protocol=3), None),
        "protocol4.pt": (saved(few, pickle_protocol=4), None),
        "views.pt": (saved(views()), None),
        "epoch_3.pt": (saved(epoch()), None),
        "script.pt": (scripted(torch.jit.script(model)), "script"),
        "trace.pt": (scripted(torch.jit.trace(tiny().float(), INPUTS)), "script"),
        "zip64.pt": (zip64(saved(few)), None),
        "rezipped.pt": (rezipped(saved(few)), None),
    }
    expected = {}
    for name, (data, kind) in good.items():
        (OUT / name).write_bytes(data)
        if kind == "script":
            state = torch.jit.load(io.BytesIO(data)).state_dict()
        else:
            state = torch.load(io.BytesIO(data), weights_only=False)  # our own; protocol 4 is refused otherwise
            state = state.get("state_dict", state)
        expected |= {f"{name}/{k}": v.detach().clone().contiguous() for k, v in state.items()}
    save_file(expected, OUT.parent / "torch.safetensors")

    bad = {
        "system": saved({"a": Call(os.system, "echo clipx")}), "eval": saved({"a": Call(eval, "print('clipx')")}),
        # inside of what is no weight, and as an argument of a function that is known
        "nested": saved({"state_dict": few, "args": [{"x": (1, Call(getattr, "a", "upper"))}]}),
        "argument": saved({"a": Call(collections.OrderedDict, Call(exec, "print('clipx')"))}),
        "module": saved(nn.Linear(2, 2)), "numpy": saved({"best": torch.zeros(1).numpy(), **few}),
        "subclass": saved({"a": Call(torch._tensor._rebuild_from_type_v2, len, nn.Parameter, (), {})}),
        "legacy": saved(few, _use_new_zipfile_serialization=False), "pickle": pickle.dumps({"a": 1}, 2) + bytes(8),
        "inside": saved({"model": few, "epoch": 1}), "number": saved({"epoch": 1, **few}), "list": saved([few["a"]]),
        "deflated": rezipped(saved(few), method=zipfile.ZIP_DEFLATED),
        "big": rezipped(saved(few), lambda name, data: b"big" if name.endswith("byteorder") else data),
    }
    for name, data in bad.items():
        (OUT / f"bad_{name}.pt").write_bytes(data)


if __name__ == "__main__":
    main()
