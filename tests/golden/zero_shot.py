"""Prints what transformers, or open_clip, counts on an evaluation set: right images at 1 and at 5, and near ties.

Usage: python3 tests/golden/zero_shot.py MODEL SET      (torch, transformers 5, open_clip 3.3)

MODEL is a folder in either layout, SET a folder with test.tar, classes.txt and templates.txt. Float32 on the CPU; the open_clip
folder's tokenizer is its bpe_*.txt.gz. These are the numbers that tests/eval.sh expects.
"""
import io
import json
import pathlib
import sys
import tarfile

import open_clip
import torch
from PIL import Image
from transformers import CLIPImageProcessorPil, CLIPModel, CLIPTokenizer


def encoders(folder):
    """(images -> features, texts -> features), by the library whose layout the folder has."""
    if (folder / "open_clip_config.json").exists():
        model, transform = open_clip.create_model_from_pretrained(f"local-dir:{folder}")
        tokenizer = open_clip.SimpleTokenizer(bpe_path=str(next(folder.glob("bpe_*.txt.gz"))),
                                              context_length=model.context_length)
        model.eval()
        return (lambda images: model.encode_image(torch.stack([transform(i) for i in images])),
                lambda texts: model.encode_text(tokenizer(texts)))
    model = CLIPModel.from_pretrained(folder, dtype=torch.float32).eval()
    processor, tokenizer = CLIPImageProcessorPil.from_pretrained(folder), CLIPTokenizer.from_pretrained(folder)

    def features(out):
        return out if torch.is_tensor(out) else out.pooler_output

    def texts_to_features(texts):
        return features(model.get_text_features(**tokenizer(texts, padding=True, truncation=True, return_tensors="pt")))

    return lambda images: features(model.get_image_features(**processor(images, return_tensors="pt"))), texts_to_features


def unit(x):
    return x / x.norm(dim=-1, keepdim=True)


@torch.no_grad()
def main(folder, data):
    encode_images, encode_texts = encoders(folder)
    lines = {name: [line for line in (data / f"{name}.txt").read_text().splitlines() if line] for name in ("classes", "templates")}
    weights = torch.stack([unit(unit(encode_texts([t.replace("{}", c) for t in lines["templates"]])).mean(0))
                           for c in lines["classes"]])
    images, labels, scores = [], [], []

    def flush():
        if images:
            scores.append(unit(encode_images(images)) @ weights.T)
        images.clear()

    with tarfile.open(data / "test.tar") as tar:
        for member in tar:
            body = tar.extractfile(member).read()
            if member.name.endswith(".jpg"):
                images.append(Image.open(io.BytesIO(body)))
            elif member.name.endswith(".cls"):
                labels.append(int(body))
            elif member.name.endswith(".json"):
                labels.append(json.loads(body)["cls"])
            if len(images) == 64:
                flush()
    flush()
    scores, labels = torch.cat(scores), torch.tensor(labels)
    best = scores.topk(5)
    print(json.dumps({"pictures": len(labels), "correct1": int((best.indices[:, 0] == labels).sum()),
                      "correct5": int((best.indices == labels[:, None]).any(1).sum()),
                      "margin_below_1e-5": ((best.values[:, 0] - best.values[:, 1]) < 1e-5).nonzero().flatten().tolist()}))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))
