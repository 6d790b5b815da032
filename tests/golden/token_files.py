"""Writes tests/golden/token_files.json: small tokenizers of every kind, trained on 300 captions, and the ids that the `tokenizers` library
makes of texts with them.

    python3 tests/golden/token_files.py        needs what check_tokenizers.py needs (last run: tokenizers 0.23.3, sentencepiece 0.2.3)
"""
import json
import pathlib
import random
import tempfile

import check_tokenizers as check

ROOT = check.ROOT
# A small table of replacements, as sentencepiece compiles it: of characters, of a base with its mark, of sequences, to nothing.
RULES = {"FF21": "41", "FF42": "62", "FB01": "66 69", "AD": "", "3000": "20", "A0": "20", "9": "20", "A": "20", "D": "20", "2460": "31", "BD": "31 2F 32",
         "45 301": "C9", "65 301": "E9", "FF76 FF9E": "30AC", "FF76": "30AB", "1F600": "3A 29", "200B": "", "D A": "21"}


def main():
    captions = json.loads((ROOT / "tests/golden/bpe_train.json").read_text())["captions"]
    captions += [p for p in check.PARTS if "\n" not in p] * 3
    with tempfile.NamedTemporaryFile("w", suffix=".tsv") as rules:
        rules.write("".join(f"{source}\t{target}\n" for source, target in RULES.items()))
        rules.flush()
        own = {"normalization_rule_tsv": rules.name}
        uni, _ = check.train_unigram(captions, 420, pad_id=0, eos_id=1, unk_id=2, bos_id=-1, character_coverage=0.98, **own)
        back, _ = check.train_unigram(captions, 420, True, character_coverage=0.98, **own)
        words, _ = check.train_unigram(captions, 420, model_type="bpe", character_coverage=0.98, **own)
        bpe, _ = check.train_unigram(captions, 480, True, model_type="bpe", pad_id=0, eos_id=1, bos_id=2, unk_id=3, remove_extra_whitespaces=False,
                                     add_dummy_prefix=False, character_coverage=0.98, normalization_rule_name="identity")
    made = {"unigram": check.t5(uni), "unigram_mask": check.xlmr(uni), "unigram_bytes": check.xlmr(back, True), "bpe_bytes": check.gemma(bpe),
            "bpe_whole": check.gemma(bpe, False, ignore_merges=True), "bpe_prefix": check.llama(bpe), "word_piece": check.bert(captions, 300),
            "word_piece_cased": check.bert(captions, 300, False), "bpe_fused": check.unknowns(captions, 200, True), "bpe_unknown": check.unknowns(captions, 200, False),
            "byte_level": check.roberta(captions, 400), "byte_level_prefix": check.roberta(captions, 400, True), "bpe_marks": check.nllb(words)}
    rng = random.Random(1)
    cases = []
    for name, (t, config) in made.items():
        with tempfile.TemporaryDirectory() as folder:
            at = pathlib.Path(folder)
            t.save(str(at / "tokenizer.json"))
            (at / "tokenizer_config.json").write_text(json.dumps(config))
            t = check.reference(at)
            whole = json.loads((at / "tokenizer.json").read_text())
        texts = [""] + check.PARTS + ["".join(rng.choice(check.PARTS) + rng.choice(["", " ", "  "]) for _ in range(rng.randrange(2, 6))) for _ in range(40)]
        texts += rng.sample(captions[:300], 10) + ["".join(check.letters(rng) for _ in range(12)) for _ in range(10)]
        cases.append({"name": name, "tokenizer": whole, "config": config, "rows": [[x, t.encode(x).ids] for x in texts]})
        print(name, t.get_vocab_size(), "tokens", len(texts), "texts", len(json.dumps(whole)), "bytes")
    rows = [json.dumps(c, separators=(",", ":")) for c in cases]
    (ROOT / "tests/golden/token_files.json").write_text("[\n" + ",\n".join(rows) + "\n]\n")


main()
