"""PyTorch: open_clip's towers, or Hugging Face's text tower. (Not pytorch.py: torchvision tries to import that name.)

--mode eager, compile, freeze (compile with constant weights) or nhwc (eager, channels last); --precision f32, bf16 (weights and
all) or autocast.
"""
import os

import common

o = common.options(model="", tower="image", input="", library="open_clip", mode="eager", precision="f32")
if o.mode == "freeze":
    os.environ["TORCHINDUCTOR_FREEZING"] = "1"
import numpy as np
import torch

torch.set_num_threads(o.threads)
torch.set_grad_enabled(False)
if o.library == "open_clip":
    import open_clip
else:
    import transformers

load = common.clock()
low = torch.bfloat16 if o.precision == "bf16" else torch.float32
if o.library == "open_clip":
    model, _, _ = open_clip.create_model_and_transforms("local-dir:" + o.model, precision="pure_bf16" if o.precision == "bf16" else "fp32")
    model.eval()
    encode = model.encode_image if o.tower == "image" else model.encode_text
else:
    model = transformers.CLIPTextModelWithProjection.from_pretrained(o.model, dtype=low).eval()

    def encode(ids):
        return model(input_ids=ids).text_embeds
x = torch.from_numpy(np.load(o.input))
x = x.to(low) if o.tower == "image" else x.long()
if o.mode == "nhwc":
    model, x = model.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last)
if o.mode in ("compile", "freeze"):
    encode = torch.compile(encode, dynamic=False)


def work():
    with torch.autocast("cpu", torch.bfloat16, enabled=o.precision == "autocast"):
        return encode(x)


loaded = load.ms()
first = work()
if o.out:
    np.save(o.out, first.float().numpy())
common.measure(work, o.runs, loaded)
