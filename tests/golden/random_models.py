"""What open_clip_configs.py and hf_types.py share: random weights whose every tensor shows in the result, tokenizers of each kind that
the configurations name, runs of clipx, and the comparison of embeddings. Not a script."""
import contextlib
import json
import pathlib
import random
import re
import shutil
import subprocess
from unittest import mock

import check_siglip
import check_tokenizers as kinds
import numpy as np
import open_clip
import torch
import transformers
from open_clip.tokenizer import SimpleTokenizer
from PIL import Image
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

ROOT = pathlib.Path(__file__).resolve().parents[2]
BOUND = 1e-5  # of L2-normalized embeddings
TEXTS = ["a photo of a cat", "a", "A drawing of TWO red apples, and 3 pears!", "it's  raining", "the sun (yellow) & the moon: high-contrast", "ein Straßenschild",
         "ice-cream " * 60, "x", "snow on a roof; a clock; a heart"]


# Weights.

@contextlib.contextmanager
def no_initial_values():
    """Constructors draw nothing: every weight is drawn afterwards."""
    with contextlib.ExitStack() as stack:
        for owner, names in ((torch.Tensor, ("normal_", "uniform_", "erfinv_")), (torch.nn.init, ("_no_grad_trunc_normal_",))):
            for name in names:
                stack.enter_context(mock.patch.object(owner, name, lambda tensor, *args, **more: tensor))
        yield


POSITIONS = ("pos_embed", "positional_embedding", "position_embedding", "class_embedding", "cls_token", "bias_table", "token_type_embedding",
             "cls_emb", "reg_token")
TABLES = ("token_embedding", "word_embeddings", "embed_tokens", "shared.weight")
PATCHES = ("patch_embed", "conv1.weight", "stem.0.weight", "stem.conv")
BRANCHES = ("attn.proj.", "attn_pool.proj.", "out_proj.", "c_proj.", "mlp.fc2.", "fc2.", "mlp.w2.", "output.dense.", "wo.weight", "attention.o.weight")
MAPS = ("stem.conv2.", "conv3_1x1.", "pool.proj.")  # of ViTamin's convolutions those whose outputs are added up
LOW = 0.03  # the size of what is summed on the way: its variance is near the epsilon of a norm, so that a wrong epsilon shows


@torch.no_grad()
def randomise(model, seed):
    """No gain is 1, no bias is 0, no two tensors are alike; what a block adds is as large as what it adds to, so that no sum, no softmax and
    no norm hides an input."""
    draw = torch.Generator().manual_seed(seed)
    state = model.state_dict()
    batch_norms = {key.removesuffix("running_var") for key in state if key.endswith("running_var")}
    stem_norm = any(key.startswith("visual.bn1.") for key in state)

    def uniform(low, high):
        return lambda t: t.uniform_(low, high, generator=draw)

    def normal(scale):
        return lambda t: t.normal_(0, scale, generator=draw)

    for key, t in sorted(state.items()):
        if not t.is_floating_point() or t.numel() == 0:
            continue
        parent, _, last = key.rpartition(".")
        low = LOW if any(b in key for b in BRANCHES) or any(b in key for b in PATCHES) and not stem_norm and parent + "." not in batch_norms else 1
        stem = "patch_embed.backbone." in key and not any(m in key for m in MAPS)  # MobileCLIP-B's: what comes in and what goes out is near 1
        low = 1 if stem else low
        if key.endswith("logit_scale"):
            fill = uniform(2.0, 4.0)
        elif key.endswith("logit_bias"):
            fill = uniform(-12.0, -8.0)
        elif last == "running_mean":
            fill = normal(0.3)
        elif last == "running_var":
            fill = uniform(0.5, 1.5) if stem else uniform(0.002, 0.006)
        elif parent + "." in batch_norms:
            fill = (uniform(0.6, 1.4) if stem else uniform(0.04, 0.09)) if last == "weight" else normal(0.2)
        elif last == "gamma" or "ls1" in key or "ls2" in key or ".ls_" in key or "layer_scale" in key or last == "scale":
            fill = uniform(0.3, 1.0)
        elif last in ("latent", "probe") or key.endswith("attnpool.positional_embedding"):
            fill = normal(1)
        elif any(name in key for name in POSITIONS):
            fill = normal(0.7 * LOW)
        elif any(name in key for name in TABLES):
            fill = normal(LOW)
        elif t.dim() < 2:
            fill = uniform(0.6, 1.4) if last == "weight" else normal(0.2 * low)
        elif key.endswith("text_projection") or key.endswith("visual.proj"):
            fill = normal(t.shape[0] ** -0.5)
        else:
            sharp = 1.5 if any(q in key for q in ("qkv", "in_proj", "q_proj", "k_proj", "query", "key.", "attn_pool.q", "attn_pool.kv")) else 1
            fill = normal(sharp * low * t[0].numel() ** -0.5)
        fill(t)


def count(model):
    return sum(p.numel() for p in model.parameters())


def save(model, path):
    from safetensors.torch import save_file
    save_file({k: v.contiguous().clone() if v.dim() == 0 else v.contiguous() for k, v in model.state_dict().items()}, path, metadata={"format": "pt"})


def save_shapes(model, path):
    """A file of zeros with the names and shapes of a model on the meta device: no disk is used where the file system leaves out zeros."""
    names = {torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.float64: "F64", torch.int64: "I64", torch.int32: "I32", torch.bool: "BOOL"}
    header, at = {"__metadata__": {"format": "pt"}}, 0
    for key, t in model.state_dict().items():
        end = at + t.numel() * t.element_size()
        header[key] = {"dtype": names[t.dtype], "shape": list(t.shape), "data_offsets": [at, end]}
        at = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(len(text).to_bytes(8, "little") + text)
        f.truncate(8 + len(text) + at)


# Tokenizers, as the published folders have them, with vocabularies learned from the captions of bpe_train.json.

def put_clip(folder, captions):
    """What push_to_hf_hub writes where a configuration names no tokenizer."""
    words = SimpleTokenizer()
    merges = [" ".join(pair) for pair, _ in sorted(words.bpe_ranks.items(), key=lambda item: item[1])]
    vocab = [token.replace("<start_of_text>", "<|startoftext|>").replace("<end_of_text>", "<|endoftext|>") for token in words.encoder]
    tokenizer = transformers.CLIPTokenizer(vocab={token: i for i, token in enumerate(vocab)}, merges=[tuple(m.split()) for m in merges], model_max_length=77)
    tokenizer.save_pretrained(folder)
    return len(vocab)


def put_bert(folder, captions):
    t, config = kinds.bert(captions, 900)
    t.save(str(folder / "tokenizer.json"))
    names = {"unk_token": "[UNK]", "sep_token": "[SEP]", "cls_token": "[CLS]", "mask_token": "[MASK]", "do_lower_case": True, "model_max_length": 512}
    (folder / "tokenizer_config.json").write_text(json.dumps(config | names, indent=2))
    return t.get_vocab_size()


def put_xlmr(folder, captions):
    model, _ = kinds.train_unigram(captions, 700, character_coverage=0.99)
    t, config = kinds.xlmr(model)
    t.save(str(folder / "tokenizer.json"))
    names = {"bos_token": "<s>", "eos_token": "</s>", "sep_token": "</s>", "cls_token": "<s>", "unk_token": "<unk>", "mask_token": "<mask>", "model_max_length": 512}
    (folder / "tokenizer_config.json").write_text(json.dumps(config | names, indent=2))
    return t.get_vocab_size()


def put_mt5(folder, captions):
    model, _ = kinds.train_unigram(captions, 700, pad_id=0, eos_id=1, unk_id=2, bos_id=-1)
    t, config = kinds.t5(model)
    t.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps(config | {"unk_token": "<unk>", "extra_ids": 0, "model_max_length": 10**30}, indent=2))
    return t.get_vocab_size()


def put_roberta(folder, captions):
    """BPE over bytes: <s> 0, <pad> 1, </s> 2, <unk> 3, the last id is <mask>."""
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    t.decoder = decoders.ByteLevel()
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    t.train_from_iterator(captions, trainers.BpeTrainer(vocab_size=900, special_tokens=special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
                                                         show_progress=False))
    t.add_special_tokens([AddedToken("<mask>", lstrip=True, normalized=False, special=True)])
    t.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), trim_offsets=True, add_prefix_space=False)
    t.save(str(folder / "tokenizer.json"))
    names = {"bos_token": "<s>", "eos_token": "</s>", "sep_token": "</s>", "cls_token": "<s>", "unk_token": "<unk>", "pad_token": "<pad>", "mask_token": "<mask>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(names | {"tokenizer_class": "RobertaTokenizer", "add_prefix_space": False, "model_max_length": 512}))
    return t.get_vocab_size()


def put_nllb(folder, captions):
    """BPE of pieces; a text begins with its language and ends with </s>."""
    model, _ = kinds.train_unigram(captions, 800, model_type="bpe", character_coverage=0.99)
    pieces = [p.piece for p in model.pieces[3:]]
    vocab = {p: i for i, p in enumerate(["<s>", "<pad>", "</s>", "<unk>", *pieces, "eng_Latn"])}
    t = Tokenizer(models.BPE(vocab=vocab, merges=[m for m in kinds.merges_of(model) if m[0] in vocab and m[1] in vocab and "".join(m) in vocab],
                             unk_token="<unk>", fuse_unk=True, dropout=None))
    plain, _ = kinds.xlmr(model)
    t.normalizer, t.pre_tokenizer = plain.normalizer, pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    t.add_special_tokens([AddedToken(p, normalized=False, special=True) for p in ("<s>", "<pad>", "</s>", "<unk>", "eng_Latn")])
    t.post_processor = processors.TemplateProcessing(single="eng_Latn $A </s>", special_tokens=[("eng_Latn", vocab["eng_Latn"]), ("</s>", 2)])
    t.save(str(folder / "tokenizer.json"))
    names = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>", "model_max_length": 512}
    (folder / "tokenizer_config.json").write_text(json.dumps(names | {"tokenizer_class": "PreTrainedTokenizerFast"}))
    return t.get_vocab_size()


TOKENIZERS = {"clip": put_clip, "bert": put_bert, "xlmr": put_xlmr, "mt5": put_mt5, "roberta": put_roberta, "nllb": put_nllb,
              "siglip": check_siglip.put_t5, "hf_siglip": check_siglip.put_siglip_tokenizer,
              "gemma": lambda folder, captions: check_siglip.put_gemma(folder, captions, False)}


class Work:
    """The folder that everything is written to, and the program."""

    def __init__(self, folder, clipx, args):
        self.folder, self.clipx, self.args = pathlib.Path(folder), clipx, args
        self.captions = json.loads((ROOT / "tests/golden/bpe_train.json").read_text())["captions"]
        self.sizes = {}
        self.model = self.folder / "model"
        self.images = self.put_images()
        self.texts = self.folder / "texts.txt"
        self.texts.write_text("\n".join(TEXTS) + "\n", encoding="utf-8")

    def put_images(self):
        """Smooth color and noise, each of another mean, none of them square, one smaller than any model's input."""
        out, rng = [], np.random.default_rng(5)
        for i, (width, height) in enumerate([(500, 390), (301, 464), (97, 131)]):
            y, x = np.mgrid[0:height, 0:width]
            means = [(190, 60, 40), (30, 70, 150), (120, 220, 200)][i]
            waves = [means[c] + 60 * np.sin(x / (9 + 4 * c + i) + y / (31 - 5 * c) + 2 * i * c) for c in range(3)]
            pixels = np.stack(waves, axis=-1) + rng.normal(0, 12, (height, width, 3))
            out.append(str(self.folder / f"image{i}.png"))
            Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(out[-1])
        return out

    def fresh(self, tokenizer):
        """An empty model folder with the files of a tokenizer; its number of ids."""
        made = self.folder / "tokenizers" / tokenizer
        if tokenizer not in self.sizes:
            made.mkdir(parents=True)
            self.sizes[tokenizer] = TOKENIZERS[tokenizer](made, self.captions)
        shutil.rmtree(self.model, ignore_errors=True)
        shutil.copytree(made, self.model)
        return self.sizes[tokenizer]

    def run(self, verb, *args):
        """(whether it succeeded, output or message)."""
        done = subprocess.run([self.clipx, verb, "--model", str(self.model), *args, *(self.args if verb == "embed" else [])], text=True, capture_output=True,
                              errors="replace")
        if done.returncode < 0:
            raise RuntimeError(f"clipx {verb} ended by signal {-done.returncode}")
        message = " ".join(line.strip() for line in done.stderr.splitlines() if line.strip())
        return done.returncode == 0, done.stdout if done.returncode == 0 else message.replace(str(self.model) + "/", "").replace(str(self.model), "model")

    def embed(self, *args):
        out = self.folder / "rows.npy"
        good, message = self.run("embed", *args, "--out", str(out))
        return np.load(out).astype(np.float64) if good else message

    def inspect(self):
        good, message = self.run("inspect", "--json")
        return json.loads(message) if good else message


def unit(rows):
    rows = rows.detach().double().numpy()
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def compare(work, side, args, rows):
    """(gap, what is wrong or nothing) of one side's embeddings."""
    rows = unit(rows)
    ours = work.embed(*args)
    if isinstance(ours, str):
        return None, f"{side}: {ours}"
    if ours.shape != rows.shape:
        return None, f"{side}: {list(ours.shape)} instead of {list(rows.shape)}"
    gap = float(np.abs(ours - rows).max())
    alike = rows @ rows.T - 2 * np.eye(len(rows))
    if not alike.max() < 1 - 1e-4:
        return gap, f"{side}: the library's embeddings are too alike ({alike.max():.6f}) to compare"
    return gap, "" if gap <= BOUND else f"{side} are {gap:.1e} apart"


def names_in(value):
    """Keys and texts of a configuration, which an error can name."""
    if isinstance(value, dict):
        return {name for k, v in value.items() for name in {k} | names_in(v)}
    if isinstance(value, list):
        return {name for v in value for name in names_in(v)}
    return {value} if isinstance(value, str) and value else set()


def names_cause(message, config):
    return any(re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", message) for name in names_in(config))


class Report:
    """One line a configuration, and the totals."""

    def __init__(self):
        self.states, self.causes = {}, {}

    def add(self, name, state, text, cause=""):
        self.states.setdefault(state, []).append(name)
        if cause:
            self.causes.setdefault(cause, []).append(name)
        print(f"{state:9} {name:34} {text}", flush=True)

    def refused(self, name, message, config):
        text = message.removeprefix("clipx: ").removeprefix("error: ").removeprefix("open_clip_config.json: ").removeprefix("config.json: config: ")
        if names_cause(text, config):
            self.add(name, "refused", text, cause=re.sub(r'"[^"]*" is not', "... is not", text)[:160])
        else:
            self.add(name, "NO CAUSE", text)

    def bad(self):
        return sum(len(names) for state, names in self.states.items() if state in ("DIFFERENT", "NO CAUSE"))

    def close(self, what):
        total = sum(map(len, self.states.values()))
        print(f"\n{total} {what}: " + ", ".join(f"{len(names)} {state}" for state, names in sorted(self.states.items())), flush=True)
        for cause, names in sorted(self.causes.items(), key=lambda item: -len(item[1])):
            print(f"  {len(names):3} {cause}")
