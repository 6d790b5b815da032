"""Writes tests/golden/ngrams.safetensors: the losses of Visual N-Grams (Li et al. 2017; docs/clip.md section 12) and their gradients by
PyTorch's autograd, in float64, from the definitions: one softmax over the dictionary, the naive sum and the Jelinek-Mercer recursion.

Usage: python3 tests/golden/ngrams.py      (torch, safetensors, numpy)

image (N, D), table (V, D), captions as words: words (R), -1 where the dictionary has no such unigram, lengths (N). The dictionary is
given by its n-grams as rows of words, padded with -1: grams (V, 3). For each loss: loss_<name> (1), d_image_<name>, d_table_<name>;
<name>_of_batch: the softmax is over the n-grams of the captions.
"""
import pathlib

import numpy as np
import torch
from safetensors.numpy import save_file

OUT = pathlib.Path(__file__).resolve().parent / "ngrams.safetensors"
LAMBDA, N, D = 0.2, 6, 8
# Unigrams are words 0 .. 5; then bigrams and trigrams, sorted by the number of words.
GRAMS = [[0], [1], [2], [3], [4], [5], [0, 1], [1, 2], [4, 4], [2, 5], [0, 1, 2], [4, 4, 4]]
CAPTIONS = [[0, 1, 2], [4, 4, 4, 4], [3], [-1, 5, -1, 2, 5], [-1], [0, -1, 1, 2, 3, 0, 1]]


def recursion(p_obs, caption, i, order):
    """p(w_{i-order+1..i}): the word i with the order - 1 before it."""
    gram = caption[i - order + 1:i + 1]
    own = p_obs[GRAMS.index(gram)] if gram in GRAMS else torch.zeros((), dtype=torch.float64)
    if order == 1:
        return own
    return LAMBDA * own + (1 - LAMBDA) * recursion(p_obs, caption, i, order - 1)


def jelinek_mercer(p_obs, caption):
    terms = [recursion(p_obs, caption, i, min(i + 1, 3)) for i in range(len(caption)) if [caption[i]] in GRAMS]
    return -sum(torch.log(p) for p in terms) if terms else torch.zeros((), dtype=torch.float64)


def naive(p_obs, caption):
    loss = torch.zeros((), dtype=torch.float64)
    for i in range(len(caption)):
        for order in range(1, min(i + 1, 3) + 1):
            gram = caption[i - order + 1:i + 1]
            if gram in GRAMS:
                loss = loss - torch.log(p_obs[GRAMS.index(gram)])
    return loss


def in_batch():
    """The n-grams that some caption has: the columns that the paper's training updates."""
    return sorted({GRAMS.index(c[i:i + n]) for c in CAPTIONS for n in (1, 2, 3) for i in range(len(c) - n + 1) if c[i:i + n] in GRAMS})


def main():
    rng = np.random.RandomState(3)
    image = rng.randn(N, D).astype(np.float32)
    table = (0.5 * rng.randn(len(GRAMS), D)).astype(np.float32)
    out = {
        "image": image,
        "table": table,
        "words": np.array(sum(CAPTIONS, []), np.float32),
        "lengths": np.array([len(c) for c in CAPTIONS], np.float32),
        "grams": np.array([g + [-1] * (3 - len(g)) for g in GRAMS], np.float32),
    }
    losses = {"naive": naive, "jelinek_mercer": jelinek_mercer}
    for name, columns in [(n, range(len(GRAMS))) for n in losses] + [(n + "_of_batch", in_batch()) for n in losses]:
        x = torch.tensor(image, dtype=torch.float64, requires_grad=True)
        e = torch.tensor(table, dtype=torch.float64, requires_grad=True)
        columns = list(columns)
        p_obs = torch.zeros(N, len(GRAMS), dtype=torch.float64)
        p_obs[:, columns] = torch.softmax(x @ e[columns].T, dim=1)
        loss_of = losses[name.removesuffix("_of_batch")]
        loss = sum(loss_of(p_obs[i], CAPTIONS[i]) for i in range(N)) / N
        loss.backward()
        out[f"loss_{name}"] = loss.detach().numpy().reshape(1)
        out[f"d_image_{name}"] = x.grad.numpy()
        out[f"d_table_{name}"] = e.grad.numpy()
    save_file(out, OUT)


if __name__ == "__main__":
    main()
