"""Derives a generator from what its numbers are for, so that no generator state has to be kept."""

from hashlib import sha256

import torch


def generator(purpose: str, *numbers: int) -> torch.Generator:
    """Make a CPU generator whose seed is a hash of a purpose and of whole numbers.

    The same purpose and numbers give the same stream in every process; different ones give
    streams that have nothing to do with each other.
    """
    text = "/".join([purpose, *(str(number) for number in numbers)])
    seed = int.from_bytes(sha256(text.encode()).digest()[:8], "big") >> 1
    return torch.Generator().manual_seed(seed)
