"""Writes tests/golden/models/tower_*/: Hugging Face's towers alone, tiny and random, and the embeddings that transformers computes with
them in double precision. tests/golden/README.md describes them.

Usage: python3 tests/golden/towers.py      (torch, transformers 5, safetensors, numpy)
"""
