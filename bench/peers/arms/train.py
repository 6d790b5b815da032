"""Steps of training by PyTorch and open_clip: forward, ClipLoss, backward, AdamW, on the first --batch pairs of the shards, unaugmented
and ready in memory, so that nothing but the step is timed. The loss of the first step is printed: it says that arms do the same work.

--mode eager or compile; --precision f32, or bf16 by autocast with f32 weights, as open_clip's amp_bf16.
"""
import io
import tarfile

import common

o = common.options(model="", shards=[], batch="256", mode="eager", precision="f32")
import open_clip
import torch
from open_clip.loss import ClipLoss
from PIL import Image

torch.set_num_threads(o.threads)
load = common.clock()
model, _, preprocess = open_clip.create_model_and_transforms("local-dir:" + o.model)
tokenizer = open_clip.SimpleTokenizer(bpe_path=o.model + "/bpe_simple_vocab_16e6.txt.gz", context_length=model.context_length)
model.train()


def pairs():
    for shard in sorted(o.shards):
        with tarfile.open(shard) as tar:
            sample = {}
            for member in tar:
                key, _, extension = member.name.partition(".")
                if sample.setdefault("key", key) != key:
                    sample = {"key": key}
                sample[extension] = tar.extractfile(member).read()
                if "jpg" in sample and "txt" in sample and extension in ("jpg", "txt"):
                    yield preprocess(Image.open(io.BytesIO(sample["jpg"]))), sample["txt"].decode()


ready = [pair for _, pair in zip(range(int(o.batch)), pairs())]
images, texts = torch.stack([image for image, _ in ready]), tokenizer([text for _, text in ready])
if images.shape[0] != int(o.batch):
    raise SystemExit(f"the shards hold {images.shape[0]} pairs, not {o.batch}")
decayed = [p for p in model.parameters() if p.ndim >= 2]
rest = [p for p in model.parameters() if p.ndim < 2]
adam = torch.optim.AdamW([{"params": rest, "weight_decay": 0.0}, {"params": decayed, "weight_decay": 0.2}], lr=1e-4, betas=(0.9, 0.98),
                         eps=1e-6, fused=True)
criterion = ClipLoss()
forward = torch.compile(model) if o.mode == "compile" else model
losses = []


def step():
    adam.zero_grad(set_to_none=True)
    with torch.autocast("cpu", torch.bfloat16, enabled=o.precision == "bf16"):
        out = forward(images, texts)
        image, text, scale = out[:3] if isinstance(out, tuple) else (out[k] for k in ("image_features", "text_features", "logit_scale"))
        loss = criterion(image, text, scale)
    loss.backward()
    adam.step()
    with torch.no_grad():
        model.logit_scale.clamp_(0, 4.605170185988092)
    losses.append(float(loss.detach()))


loaded = load.ms()
step()
common.measure(step, o.runs, loaded, loss=losses[0], pairs=int(o.batch))
