"""Writes tests/golden/tokens.json: token ids and cleaned texts from the libraries themselves.

Usage: python3 tests/golden/tokens.py [bpe_simple_vocab_16e6.txt.gz]
Needs open_clip 3.3, transformers 5 and ftfy 6. The vocabulary is that of tests/golden/words (4,096 symbols).
Texts that ftfy's repair of wrongly decoded text would change are refused: that step is out of clipx's scope.
With the large merges file as argument its SHA-256 and the vocabulary's are checked, and the FNV-1a of the vocabulary printed.
"""
import hashlib
import html
import json
import pathlib
import random
import sys
import unicodedata

import ftfy
import open_clip.tokenizer as simple
import regex
from transformers import CLIPTokenizer

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODEL = ROOT / "tests/golden/words"
CONTEXT = 32
SPECIALS = ["<|startoftext|>", "<|endoftext|>"]


class OpenAI(simple.SimpleTokenizer):
    """open_clip's tokenizer with the special strings of openai/CLIP."""

    def __init__(self, path, **options):
        super().__init__(path, **options)
        for new, old in zip(SPECIALS, ["<start_of_text>", "<end_of_text>"]):
            self.encoder[new] = self.encoder.pop(old)
            self.cache[new] = new
        self.decoder = {i: s for s, i in self.encoder.items()}
        self.pat = regex.compile(
            "|".join(map(regex.escape, SPECIALS)) + r"|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+",
            regex.IGNORECASE)


def fnv(data):
    h = 0xcbf29ce484222325
    for b in data:
        h = (h ^ b) * 0x100000001b3 & 0xffffffffffffffff
    return "%016x" % h


FIXED = [
    "", "   ", "\t\n ", "a", "!", "1", "a photo of a cat", "a photo of a dog.", "A diagram", "A PHOTO of the Large  Cat",
    "It's 2021, don't you've we'll I'm he'd they're", "IT'S 'S 'T 'RE 'VE 'M 'LL 'D", "it''s", "x'tis", "'strong 'ſ 'ſtrong",
    "hello world!!!??? 1234", "don’t STOP", "naïve café déjà vu", "l’été “quoted” ﬁne", "日本語のテキスト", "Привет мир",
    "🤗🔥 emoji party 👩‍👩‍👧‍👦", "🇺🇸", "😀", "AT&amp;amp;T &lt;b&gt;bold&lt;/b&gt;", "3.14 x² ½ Ⅷ ①", "Straße İstanbul ǅ",
    "Σίσυφος ΣΑΣ", "ΑΣ. ΑΣα ΑΣ'α Σ ΑΣ\u0301 ªΣ", "ＦＵＬＬ　ｗｉｄｔｈ", "ﾊﾟ ｶﾞ ｱ", "\u200b\ufeffzero", "कखि", "#hashtag @user_name http://t.co/abc",
    "x" * 30, "x" * 63, "x" * 64, "x" * 65, "ab" * 100, "!?" * 50, "supercalifragilisticexpialidocious",
    "<|startoftext|> hi <|endoftext|>", "<start_of_text> hi <end_of_text>", "<|StartOfText|>", "<Start_Of_Text>",
    "!<|startoftext|>!", "<|startoftext|>!!", "a<|endoftext|>b", "<|ſtartoftext|>", "<ſtart_of_text>", "<|", "|>", "a <b> c",
    "a <b> &amp; c", "&amp; first\n<b> &amp;amp; &eacute; then", "&EACUTE; &SZLIG; &ntilde; &nTILDE; &NTILDE;", "&ampx &lt3 &notit; &notin;",
    "&#65;&#x42;&#0;&#x80;&#150;&#xD800;&#x110000;&#31;&#59;&#12ab;", "&copy 2020 &copy; &COPY;", "&zzz; & &; &# &#x;", "&amp;amp;amp;amp;lt;",
    "&ldquo;q&rdquo; &ldquo q", "a\r\nb\rc\u2028d\u2029e", "C1 \u0085\u0091\u0092\u0099 end", "\x1b[31mred\x1b[0m \x1b[1;", "nul\x00 bell\x07 vt\x0b ff\x0c del\x7f",
    "fs\x1cgs\x1d", "\u206a\u206f\ufff9\ufffc", "Ĳ ĳ ŉ Ǆ ǆ Ǉ Ǌ ǋ Ǳ ﬀ ﬁ ﬂ ﬃ ﬄ ﬅ ﬆ", "e\u0301 E\u0301 o\u0308 n\u0303", "q\u0307\u0323 q\u0323\u0307", "각 각",
    "=\u0338 <\u0338", "'s\u030c 't\u0323", "α\u0345 \u0345x ᾳ", "snake_case __init__ a_b", "a-b c–d e—f", "tab\there  two\u00a0nbsp\u3000ideo",
    "\u180e\u2003\u205f", "١٢٣ 四 Ⅳ ㊿", "ª º ʰ ˈ", "ᾈ ẞ Ω K Å", "𝒥ohn 🅰 𐐀", "emoji ❤️ ☕️ 1️⃣", "x\u0301\u0302\u0303\u0304", "the the the the",
    " leading and trailing ", "comma,semi;colon:dot.", "(paren) [bracket] {brace}", "$5.00 + 10% = £6", "C++ C# .NET", "email@example.com",
    "a red apple on a wooden table", "two dogs playing in the snow at sunset", "an illustration of a smiling face with sunglasses",
    "the quick brown fox jumps over the lazy dog " * 10, "one, two, three, " * 12, "ü" * 40, "é " * 40, "1234567890" * 5,
]

PARTS = ["a", "The", "photo", "of", "cat", "cat's", "DOG", "’s", "“x”", "é", "e\u0301", "ß", "Σ", "ΑΣ", "ﬁ", "Ａ", "　", "\n", "\t", "  ", " ", "&amp;",
         "&lt", "&#39;", "&eacute;", "<", ">", "'", "''", "'re", "'LL", "...", "!!", ",", "1", "42", "²", "½", "_", "-", "日本", "कि", "🤗", "👩‍👧", "İ",
         "ſ", "\u0345", "\u0301", "\u200b", "\x07", "<|startoftext|>", "<|endoftext|>", "<start_of_text>", "qz" * 9]


def texts():
    rng = random.Random(0)
    out = list(FIXED)
    while len(out) < 220:
        t = "".join(rng.choice(PARTS) + rng.choice(["", " "]) for _ in range(rng.randint(2, 10)))
        if ftfy.fix_text(t) == ftfy.fix_text(t, fix_encoding=False):
            out.append(t)
    for t in out:
        assert ftfy.fix_text(t) == ftfy.fix_text(t, fix_encoding=False), t
    return out


def cut(row, eot):
    """A padded row without its padding."""
    row = [int(i) for i in row]
    end = len(row)
    while row[end - 1] == 0:
        end -= 1
    assert row[end - 1] == eot
    return row[:end]


def main():
    merges = str(MODEL / "bpe_4096.txt.gz")
    openai, open_clip = OpenAI(merges, context_length=CONTEXT), simple.SimpleTokenizer(merges, context_length=CONTEXT)
    canonical = simple.SimpleTokenizer(merges, context_length=CONTEXT, clean="canonicalize")
    hf = CLIPTokenizer(vocab=str(MODEL / "vocab.json"), merges=str(MODEL / "merges.txt"))
    eot = hf.eos_token_id
    assert len(openai.encoder) == len(hf) == 4096 and openai.eot_token_id == eot
    normalizer = hf.backend_tokenizer.normalizer
    rows = []
    for t in texts():
        ids = hf(t, add_special_tokens=False)["input_ids"]
        rows.append({
            "text": t,
            "openai": openai.encode(t), "openai_row": cut(openai([t])[0], eot),
            "open_clip": open_clip.encode(t), "open_clip_row": cut(open_clip([t])[0], eot),
            "canonicalize": canonical.encode(t),
            "hf": ids, "hf_row": hf(t, truncation=True, max_length=CONTEXT)["input_ids"],
            "open_clip_hf": hf(simple._clean_whitespace(t), add_special_tokens=False)["input_ids"],
            "decoded": open_clip.decode(open_clip.encode(t)),
            "clean": {"openai": simple._clean_lower(t), "whitespace": simple._clean_whitespace(t),
                      "canonicalize": simple._clean_canonicalize(t), "hf": normalizer.normalize_str(t)},
        })
    small = "\n".join(open_clip.decoder[i] for i in range(4096)).encode()
    out = {"context_length": CONTEXT, "unicode": unicodedata.unidata_version, "ftfy": ftfy.__version__, "vocabulary_fnv1a": fnv(small), "rows": rows}
    lines = [json.dumps(r, separators=(",", ":")) for r in rows]
    head = json.dumps({k: v for k, v in out.items() if k != "rows"}, separators=(",", ":"))
    (ROOT / "tests/golden/tokens.json").write_text(head[:-1] + ',"rows":[\n' + ",\n".join(lines) + "\n]}\n")
    print(len(rows), "texts")
    if len(sys.argv) > 1:
        data = open(sys.argv[1], "rb").read()
        assert hashlib.sha256(data).hexdigest() == "924691ac288e54409236115652ad4aa250f48203de50a9e4722a6ecd48d6804a"
        large = OpenAI(sys.argv[1])
        joined = "\n".join(large.decoder[i] for i in range(49408)).encode()
        assert hashlib.sha256(joined).hexdigest() == "7cccc44d334555d1ff3c0ac5f0246b428fab2918383e77ee745cf30d41010b78"
        print("49,408 symbols, FNV-1a", fnv(joined), "file", fnv(data))


main()
