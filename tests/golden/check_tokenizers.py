"""Compares the ids of `clipx tokenize --tokenizer FOLDER` with those of the `tokenizers` library, for every kind of tokenizer.json.

    python3 tests/golden/check_tokenizers.py --clipx build/release/clipx [--lines 1000000] [--corpus FILE ..] [--tokenizer FOLDER ..] [--only KIND ..]

Needs: pip install tokenizers sentencepiece protobuf (last run: 0.23.3, 0.2.3, 6.33). The vocabularies are trained here, on the corpus (text
files and shards; the program's own documentation if there is none): T5's, XLM-R's and Gemma's kinds by sentencepiece, BERT's by tokenizers;
CLIP's is tests/golden/words. --tokenizer adds folders with a tokenizer.json, real ones for example. The lines are those of the corpus, lines of random characters of
all of Unicode, and mixtures of both. Every difference is printed; characters whose properties differ between the versions of Unicode
that the two sides know are listed by --unicode and left out of the lines.
"""
import argparse
import glob
import io
import itertools
import json
import os
import pathlib
import random
import string
import subprocess
import sys
import tarfile
import tempfile
import time

os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
import sentencepiece as spm
from sentencepiece import sentencepiece_model_pb2 as proto
from tokenizers import (AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers, processors, trainers)

ROOT = pathlib.Path(__file__).resolve().parents[2]
PARTS = ["a photo of a cat", "Hello, World!", "don't", "  two  spaces ", "\ttab", "naïve café", "e\u0301", "Å", "ﬁne", "Ａｂｃ", "①②③", "½", "㎏", "ﷺ", "日本語のテキスト",
         "ｶﾞｷﾞ", "한국어", "ㅎㅏㄴ", "العربية", "עִבְרִית", "हिन्दी क्षि", "ไทย", "Ελληνικά ΣΑΣ", "İstanbul ı", "straße ẞ", "🤗", "👩‍👧‍👦", "🇩🇪", "👍🏽", "\u200b", "\u200d", "\u00ad", "\ufeff",
         "\u2028", "\u3000", "\u00a0", "\u0085", "\x07", "\x1b[0m", "▁", "▁▁a", "##ing", "[CLS]", "[SEP]", "<s>", "</s>", "<mask>", "  <mask>  ", "<pad>", "<0x41>", "<unk>", "\u0301\u0300x", "q" * 70,
         "...", "a.b,c", "1234567", "3.14", "_x_", "中文，标点。", "𠀀𪜶𫝀", "𝕬𝖇𝖈", "Ⅷ", "\ue000", "\U000f0000", "\ufffd", "ﾞ", "\u0345", "ǅ", "Ǆ", "ŉ", "ª", "ſ", "\r\n", "\n", "x\ny"]


def corpus(files):
    for name in files or sorted(glob.glob(str(ROOT / "docs/*.md"))) + sorted(glob.glob(str(ROOT / "include/clipx/*/*.hpp"))):
        if name.endswith(".tar"):
            with tarfile.open(name) as tar:
                for member in tar:
                    if member.name.endswith(".txt"):
                        yield from tar.extractfile(member).read().decode("utf-8", "replace").splitlines()
            continue
        with open(name, encoding="utf-8", errors="replace") as f:
            yield from (line.rstrip("\r\n") for line in f if line.strip())


def train_unigram(lines, size, fallback=False, **more):
    out = io.BytesIO()
    spm.SentencePieceTrainer.train(sentence_iterator=iter(lines), model_writer=out, vocab_size=size, hard_vocab_limit=False, byte_fallback=fallback,
                                   minloglevel=2, **more)
    m = proto.ModelProto()
    m.ParseFromString(out.getvalue())
    return m, out.getvalue()


def t5(m):
    vocab = [(p.piece, p.score) for p in m.pieces]
    t = Tokenizer(models.Unigram(vocab, unk_id=2, byte_fallback=False))
    t.normalizer = normalizers.Precompiled(m.normalizer_spec.precompiled_charsmap)
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")])
    t.add_special_tokens([AddedToken(p, normalized=False, special=True) for p in ("<pad>", "</s>", "<unk>")])
    t.post_processor = processors.TemplateProcessing(single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)])
    return t, {"pad_token": "<pad>", "eos_token": "</s>", "tokenizer_class": "T5Tokenizer"}


def xlmr(m, fallback=False):
    vocab = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)] + [(p.piece, p.score) for p in m.pieces[3:]] + [("<mask>", 0.0)]
    t = Tokenizer(models.Unigram(vocab, unk_id=3, byte_fallback=fallback))
    t.normalizer = normalizers.Sequence([normalizers.Precompiled(m.normalizer_spec.precompiled_charsmap), normalizers.Strip(left=False, right=True),
                                         normalizers.Replace(Regex(" {2,}"), "▁")])
    t.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="first" if fallback else "always", split=not fallback)
    t.add_special_tokens([AddedToken(p, normalized=False, special=True) for p in ("<s>", "<pad>", "</s>", "<unk>")])
    t.add_special_tokens([AddedToken("<mask>", lstrip=True, normalized=False, special=True)])
    t.post_processor = processors.TemplateProcessing(single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)])
    return t, {"pad_token": "<pad>", "tokenizer_class": "XLMRobertaTokenizer"}


def merges_of(m):
    """All ways to make a piece of two others, in the order in which transformers converts them."""
    ids = {p.piece: i for i, p in enumerate(m.pieces)}
    out = []
    for p in m.pieces:
        ways = [(p.piece[:i], p.piece[i:]) for i in range(1, len(p.piece)) if p.piece[:i] in ids and p.piece[i:] in ids]
        out += [(l, r, p.score) for l, r in sorted(ways, key=lambda w: (ids[w[0]], ids[w[1]]))]
    return [(l, r) for l, r, s in sorted(out, key=lambda w: (w[2], len(w[0]), len(w[1])), reverse=True)]


def gemma(m, lower=True, **more):
    ids = {p.piece: i for i, p in enumerate(m.pieces)}
    t = Tokenizer(models.BPE(vocab=ids, merges=merges_of(m), fuse_unk=True, unk_token="<unk>", byte_fallback=True, **more))
    replace = normalizers.Replace(" ", "▁")
    t.normalizer = normalizers.Sequence([normalizers.Lowercase(), replace]) if lower else replace
    t.pre_tokenizer = pre_tokenizers.Split(" ", behavior="merged_with_previous")
    t.add_special_tokens([AddedToken(p, normalized=False, special=True) for p in ("<pad>", "</s>", "<s>", "<unk>")])
    t.add_tokens([AddedToken(p, normalized=False) for p in ("\n\n", "▁▁▁", "<h1>", "</h1>")])
    t.post_processor = processors.TemplateProcessing(single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", 2)])
    return t, {"pad_token": "<pad>", "eos_token": "</s>", "bos_token": "<s>", "add_bos_token": False, "add_eos_token": True, "tokenizer_class": "GemmaTokenizer"}


def llama(m):
    t, config = gemma(m, False)
    t.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    t.pre_tokenizer = None
    return t, {"pad_token": "<pad>"}


def bert(lines, size, lower=True):
    t = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    t.normalizer = normalizers.BertNormalizer(lowercase=lower)
    t.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    t.train_from_iterator(lines, trainers.WordPieceTrainer(vocab_size=size, special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"], show_progress=False))
    t.post_processor = processors.BertProcessing(("[SEP]", t.token_to_id("[SEP]")), ("[CLS]", t.token_to_id("[CLS]")))
    return t, {"pad_token": "[PAD]", "tokenizer_class": "BertTokenizer"}


def unknowns(lines, size, fuse):
    """BPE without tokens of bytes: what is unknown becomes <unk>; and with tokens that want to be normalized, or stand alone."""
    t = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=fuse))
    t.normalizer = normalizers.NFKC()
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation("contiguous")])
    t.train_from_iterator(lines, trainers.BpeTrainer(vocab_size=size, special_tokens=["<unk>"], show_progress=False, limit_alphabet=60))
    t.add_tokens([AddedToken("①②", normalized=True), AddedToken("cat", single_word=True), AddedToken("of", lstrip=True, rstrip=True)])
    return t, {}


def clip():
    """CLIP's BPE over bytes as transformers writes it, of the vocabulary in tests/golden/words."""
    words = ROOT / "tests/golden/words"
    merges = [tuple(line.split()) for line in (words / "merges.txt").read_text(encoding="utf-8").splitlines() if line and not line.startswith("#version")]
    vocab = json.loads((words / "vocab.json").read_text(encoding="utf-8"))
    sot, eot = "<|startoftext|>", "<|endoftext|>"
    t = Tokenizer(models.BPE(vocab=vocab, merges=merges, continuing_subword_prefix="", end_of_word_suffix="</w>", unk_token=eot, fuse_unk=False))
    t.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()])
    pattern = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(pattern), behavior="removed", invert=True),
                                               pre_tokenizers.ByteLevel(add_prefix_space=False)])
    t.add_special_tokens([AddedToken(sot, normalized=True, special=True), AddedToken(eot, normalized=False, special=True)])
    t.post_processor = processors.RobertaProcessing((eot, t.token_to_id(eot)), (sot, t.token_to_id(sot)), trim_offsets=False, add_prefix_space=False)
    return t, {"bos_token": sot, "eos_token": eot, "pad_token": eot, "unk_token": eot, "tokenizer_class": "CLIPTokenizer"}


def roberta(lines, size, prefix=False):
    t = Tokenizer(models.BPE(continuing_subword_prefix="", end_of_word_suffix=""))
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix)
    t.train_from_iterator(lines, trainers.BpeTrainer(vocab_size=size, special_tokens=["<s>", "<pad>", "</s>", "<unk>"], show_progress=False,
                                                     initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet())))
    t.add_special_tokens([AddedToken(p, normalized=True, special=True) for p in ("<s>", "<pad>", "</s>", "<unk>")])
    t.add_special_tokens([AddedToken("<mask>", lstrip=True, normalized=False, special=True)])
    t.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), True, prefix)
    return t, {"pad_token": "<pad>", "tokenizer_class": "RobertaTokenizer"}


NLLB_LANGUAGES = ("ace_Arab", "eng_Latn", "fra_Latn")


def nllb(m):
    """The first pieces of m are <unk>, <s> and </s>."""
    pieces = ["<s>", "<pad>", "</s>", "<unk>"] + [p.piece for p in m.pieces[3:]]
    ids = {p: i for i, p in enumerate(pieces)}
    t = Tokenizer(models.BPE(vocab=ids, merges=merges_of(m), unk_token="<unk>", fuse_unk=True, byte_fallback=False))
    t.normalizer = normalizers.Sequence([normalizers.Precompiled(m.normalizer_spec.precompiled_charsmap), normalizers.Replace(Regex(" {2,}"), " ")])
    t.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always", split=True)
    t.add_special_tokens([AddedToken(p, normalized=False, special=True) for p in ("<s>", "<pad>", "</s>", "<unk>") + NLLB_LANGUAGES])
    t.add_special_tokens([AddedToken("<mask>", lstrip=True, normalized=True, special=True)])
    t.post_processor = processors.TemplateProcessing(single="eng_Latn $A </s>", pair="eng_Latn $A $B </s>",
                                                     special_tokens=[("eng_Latn", t.token_to_id("eng_Latn")), ("</s>", 2)])
    return t, {"pad_token": "<pad>", "tokenizer_class": "NllbTokenizer"}


def make(folder, lines, size):
    """name -> folder, made from the lines."""
    uni, spiece = train_unigram(lines, size, pad_id=0, eos_id=1, unk_id=2, bos_id=-1)
    xl, _ = train_unigram(lines, size, character_coverage=0.99)
    back, _ = train_unigram(lines, size, True, character_coverage=0.98)
    bpe, _ = train_unigram(lines, size, True, model_type="bpe", pad_id=0, eos_id=1, bos_id=2, unk_id=3, normalization_rule_name="identity",
                           remove_extra_whitespaces=False, add_dummy_prefix=False, character_coverage=0.99)
    made = {"t5": t5(uni), "xlmr": xlmr(xl), "fallback": xlmr(back, True), "gemma": gemma(bpe), "whole": gemma(bpe, False, ignore_merges=True), "llama": llama(bpe),
            "bert": bert(lines, size), "bert_cased": bert(lines, size, False), "fused": unknowns(lines, size, True), "unknown": unknowns(lines, size, False),
            "clip": clip(),
            "roberta": roberta(lines, size), "roberta_prefix": roberta(lines, size, True),
            "nllb": nllb(train_unigram(lines, size, model_type="bpe", character_coverage=0.99)[0])}
    out = {}
    for name, (t, config) in made.items():
        at = pathlib.Path(folder) / name
        at.mkdir(parents=True, exist_ok=True)
        t.save(str(at / "tokenizer.json"))
        (at / "tokenizer_config.json").write_text(json.dumps(config))
        out[name] = at
    (out["t5"] / "spiece.model").write_bytes(spiece)
    return out


def reference(folder):
    """The library's tokenizer, with what transformers does by tokenizer_config.json."""
    t = Tokenizer.from_file(str(folder / "tokenizer.json"))
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text()) if path.exists() else {}
    t.no_padding()
    t.no_truncation()
    if "add_bos_token" in config or "add_eos_token" in config:
        bos, eos = (config[k] if config.get(f"add_{k}") else None for k in ("bos_token", "eos_token"))
        t.post_processor = processors.TemplateProcessing(single=f"{bos + ' ' if bos else ''}$A{' ' + eos if eos else ''}",
                                                         special_tokens=[(s, t.token_to_id(s)) for s in (bos, eos) if s])
    return t


def letters(rng):
    kind = rng.random()
    if kind < 0.3:
        return chr(rng.randrange(0x20, 0x250))
    if kind < 0.5:
        return chr(rng.choice([0x300, 0x370, 0x590, 0x900, 0xE00, 0x1100, 0x1E00, 0x2000, 0x2460, 0x3040, 0xAC00, 0xFB00, 0xFE00, 0xFF00, 0x1F300, 0x1F900]) + rng.randrange(256))
    if kind < 0.52:
        return chr(rng.choice([rng.randrange(1, 0x20), rng.randrange(0x7F, 0xA0), 0x200E, 0x202E, 0x2066, 0xFEFF, 0xFFF9]))
    c = rng.randrange(0xD800) if kind < 0.8 else rng.randrange(0xE000, 0x10000) if kind < 0.9 else rng.randrange(0x10000, 0x32000)
    return chr(c if kind < 0.995 else rng.randrange(0x32000, 0x110000))


def lines_of(real, count, seed, skip):
    rng = random.Random(seed)
    real = list(real)
    fixed = PARTS + ["".join(p) for p in itertools.product(PARTS[:12], PARTS)] + ["", " ", "▁", "a" * 100000, "日本" * 20000, "a b " * 20000]
    for i in range(count):
        kind = rng.random()
        if i < len(fixed):
            line = fixed[i]
        elif kind < 0.4 and real:
            line = rng.choice(real)
        elif kind < 0.6:
            line = "".join(letters(rng) for _ in range(rng.randrange(1, 24)))
        elif kind < 0.8:
            line = "".join(rng.choice(PARTS) + rng.choice(["", " ", "  "]) for _ in range(rng.randrange(1, 8)))
        else:
            words = (rng.choice(real) if real else "a photo").split(" ")
            for _ in range(rng.randrange(1, 5)):
                words.insert(rng.randrange(len(words) + 1), rng.choice([letters(rng), rng.choice(PARTS), letters(rng) + letters(rng)]))
            line = rng.choice([" ", ""]).join(words)
        yield "".join(c for c in line if c not in skip)


def clipx_ids(program, folder, lines, options=()):
    data = "\n".join(lines) + "\n"
    done = subprocess.run([*program, str(folder), *options], input=data.encode("utf-8", "replace"), capture_output=True)
    if done.returncode:
        sys.exit(done.stderr.decode())
    return [json.loads(row) for row in done.stdout.splitlines()]


def against_sentencepiece(program, folder, real):
    """The lines of the corpus that are ASCII by sentencepiece itself, which adds scores in single precision, as does the SiglipTokenizer of
    transformers, whose cleaning is done here by Python; once with tokenizer.json, once with spiece.model alone."""
    lines, sp, wrong = [r for r in real if r.isascii() and "<" not in r], spm.SentencePieceProcessor(model_file=str(folder / "spiece.model")), 0
    theirs = sp.encode([line.lower().translate(str.maketrans("", "", string.punctuation)).strip() for line in lines])
    with tempfile.TemporaryDirectory() as at:
        at = pathlib.Path(at)
        (at / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "SiglipTokenizer", "eos_token": "</s>", "pad_token": "</s>"}))
        for name in ("tokenizer.json", "spiece.model"):
            (at / name).write_bytes((folder / name).read_bytes())
            bad = sum(a[:-1] != b for a, b in zip(clipx_ids(program, at, lines), theirs, strict=True))
            print(f"{folder.name:12} {len(lines)} lines of the corpus by sentencepiece and {name}, {bad} differ", flush=True)
            (at / name).unlink()
            wrong += bad
    return wrong


def unicode_differences(program, made):
    """Characters that the two sides treat differently by themselves, in any tokenizer."""
    chars = [chr(c) for c in itertools.chain(range(1, 0xD800), range(0xE000, 0x110000)) if chr(c) not in "\n\r"]
    skip = set()
    for name, folder in made.items():
        texts = [f"a{c}a {c} {c}\u0301" for c in chars]
        ours, theirs = clipx_ids(program, folder, texts), reference(folder).encode_batch(texts)
        wrong = [c for c, a, b in zip(chars, ours, theirs) if a != b.ids]
        print(f"{name:12} {len(wrong)} characters differ", " ".join(f"{ord(c):04X}" for c in wrong[:40]), flush=True)
        skip.update(wrong)
    return skip


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--clipx", default=str(ROOT / "build/release/clipx"))
    p.add_argument("--lines", type=int, default=1_000_000, help="in all")
    p.add_argument("--corpus", nargs="*", default=[], metavar="FILE")
    p.add_argument("--tokenizer", nargs="*", default=[], metavar="FOLDER")
    p.add_argument("--only", nargs="*", default=[], metavar="KIND")
    p.add_argument("--size", type=int, default=4000)
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--unicode", action="store_true", help="first try all characters; those that differ are left out of the lines")
    p.add_argument("--keep", metavar="FOLDER", help="where the vocabularies are written; one that is there is used as it is")
    o = p.parse_args()
    program = [o.clipx, "tokenize", "--tokenizer"]
    real = list(corpus(o.corpus))
    folder = o.keep or tempfile.mkdtemp()
    made = {f.parent.name: f.parent for f in sorted(pathlib.Path(folder).glob("*/tokenizer.json"))} or make(folder, [r for r in real[:40000] if len(r) < 4000], o.size)
    made |= {pathlib.Path(f).name: pathlib.Path(f) for f in o.tokenizer}
    made = {name: at for name, at in made.items() if not o.only or name in o.only}
    skip = set("\n\r") | (unicode_differences(program, made) if o.unicode else set())
    each, wrong, count, start = o.lines // len(made), 0, 0, time.time()
    for name, at in made.items():
        t, bad = reference(at), 0
        for part in range(0, each, 20000):
            n = min(20000, each - part)
            lines = list(lines_of(real, n, f"{o.seed} {name} {part}", skip))
            for line, ours, theirs in zip(lines, clipx_ids(program, at, lines), t.encode_batch(lines), strict=True):
                if ours != theirs.ids:
                    bad += 1
                    if bad <= 5:
                        print(f"{name}: {line[:200]!r}\n  clipx      {ours[:60]}\n  tokenizers {theirs.ids[:60]} {theirs.tokens[:60]}")
            count += n
        print(f"{name:12} {each} lines, {bad} differ", flush=True)
        wrong += bad
    for at in made.values():
        if (at / "spiece.model").exists():
            wrong += against_sentencepiece(program, at, real)
    print(f"{count} lines, {wrong} differ, {time.time() - start:.0f} s")
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main()
