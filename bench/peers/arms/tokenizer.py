"""One thread over all lines of a file. --library tokenizers (encode_batch_fast) or open_clip. Its first ids go to --out, as JSON lines."""
import json
import os

os.environ["TOKENIZERS_PARALLELISM"], os.environ["RAYON_NUM_THREADS"] = "false", "1"
import common

o = common.options(texts="", bpe="", tokenizer="", library="tokenizers")
if o.library == "open_clip":
    import open_clip
else:
    import tokenizers

with open(o.texts, encoding="utf-8") as file:
    lines = file.read().split("\n")[:-1]
load = common.clock()
if o.library == "open_clip":
    tokenizer = open_clip.SimpleTokenizer(bpe_path=o.bpe)
    sot, eot = tokenizer.sot_token_id, tokenizer.eot_token_id

    def work():
        return [[sot, *tokenizer.encode(line)[:75], eot] for line in lines]
else:
    tokenizer = tokenizers.Tokenizer.from_file(o.tokenizer)
    tokenizer.enable_truncation(77)

    def work():
        return tokenizer.encode_batch_fast(lines)
loaded = load.ms()
first = work()
if o.out:
    rows = first if o.library == "open_clip" else [e.ids for e in first]
    with open(o.out, "w") as file:
        file.writelines(json.dumps(r) + "\n" for r in rows)
common.measure(work, o.runs, loaded, warm_up=1)
