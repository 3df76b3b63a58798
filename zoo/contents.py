"""Tells weights apart by what they are, whatever file they lie in and whatever they are called."""

from collections.abc import Mapping
from hashlib import sha256

import torch
from torch import Tensor

DIGITS = 12


def content_of(weights: Mapping[str, Tensor]) -> str:
    """The first 12 hexadecimal digits of a SHA-256 over names, types, shapes and values of a model's weights."""
    found = sha256()
    for name, tensor in sorted(weights.items()):
        found.update(repr((name, tensor.dtype, tuple(tensor.shape))).encode())
        found.update(tensor.reshape(-1).contiguous().view(torch.uint8).numpy().data)
    return found.hexdigest()[:DIGITS]
