"""Writes tests/golden/bpe_train.json: captions and the merges that Hugging Face's BpeTrainer learns from them.

Usage: python3 tests/golden/bpe_train.py
Needs tokenizers 0.23. The trainer is given CLIP's 512 byte symbols as special tokens, so that its ids, by which it breaks ties, are
CLIP's; left to itself it numbers symbols with </w> as its hash table happens to give the words.
"""
import json
import pathlib
import random

import tokenizers
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers

ROOT = pathlib.Path(__file__).resolve().parents[2]
NOUNS = "cat dog house mushroom umbrella clock heart sun apple train river mountain bridge café jalapeño naïveté 日本 Москва straße".split()
ADJECTIVES = "red blue tiny huge smiling old flat glossy wooden striped brightly-coloured hand-drawn 3d 1950s black-and-white".split()
TEMPLATES = ["a photo of a {a} {n}.", "an illustration of the {n}, {a}", "A {a} {n} & a {b} {m}!", "{n}: it's {a}... isn't it?", "the {n}'s {m} (№{i})",
             "clip art of {i} {n}s", "\"{n}\" — drawn in {i}", "{a} {b} {n} 🤗🔥", "aaaa aaa {n} aaaaa{i}", "ababab {a} abab bababa"]


def captions():
    rng = random.Random(5)
    pool = ["".join(rng.choice("bcdfglmnprst") + rng.choice("aeiouéø") for _ in range(rng.randint(2, 4))) for _ in range(300)]
    return [rng.choice(pool) + " " + rng.choice(TEMPLATES).format(a=rng.choice(ADJECTIVES), b=rng.choice(ADJECTIVES), n=rng.choice(NOUNS), m=rng.choice(pool),
                                         i=rng.randint(0, 2000)) for _ in range(300)]


def stand_ins():
    """CLIP's byte alphabet, in its order."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in printable]
    return [chr(b) for b in printable] + [chr(256 + i) for i in range(len(others))]


def learn(texts, merges, min_frequency):
    t = Tokenizer(models.BPE())
    t.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()])
    words = Regex(r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+")
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(words, behavior="removed", invert=True),
                                               pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    symbols = [s + end for end in ("", "</w>") for s in stand_ins()]
    trainer = trainers.BpeTrainer(vocab_size=512 + merges, min_frequency=min_frequency, special_tokens=symbols, end_of_word_suffix="</w>",
                                  show_progress=False)
    t.train_from_iterator(texts, trainer)
    return [" ".join(pair) for pair in json.loads(t.to_str())["model"]["merges"]]


def main():
    texts = captions()
    cases = []
    for merges, least in [(100, 2), (5000, 1), (5000, 3)]:
        found = learn(texts, merges, least)
        assert all(learn(texts, merges, least) == found for _ in range(3))
        cases.append({"vocab_size": merges + 514, "min_frequency": least, "merges": found})
        print(merges, least, len(found))
    out = {"tokenizers": tokenizers.__version__, "captions": texts, "cases": cases}
    (ROOT / "tests/golden/bpe_train.json").write_text(json.dumps(out, ensure_ascii=False, indent=0) + "\n")


main()
