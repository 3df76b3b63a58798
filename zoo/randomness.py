"""Derives random numbers from what they are for, so that no generator state has to be kept."""

from hashlib import sha256

import torch
from torch import Tensor

GOLDEN = -0x61C8864680B583EB  # 2**64 / golden ratio, as a signed number
FIRST = -0x40A7B892E31B1A47
SECOND = -0x6B2FB644ECCEEE15
PRECISION = 24  # bits of a float32 from 0 to 1


def generator(purpose: str, *numbers: int) -> torch.Generator:
    """Make a CPU generator whose seed is a hash of a purpose and of whole numbers.

    The same purpose and numbers give the same stream in every process; different ones give
    streams that have nothing to do with each other.
    """
    return torch.Generator().manual_seed(key(purpose, *numbers))


def key(purpose: str, *numbers: int) -> int:
    """Hash a purpose and whole numbers into a number from 0 to 2**63 - 1."""
    text = "/".join([purpose, *(str(number) for number in numbers)])
    return int.from_bytes(sha256(text.encode()).digest()[:8], "big") >> 1


def uniforms(keys: Tensor, count: int) -> Tensor:
    """Give `count` numbers from 0 to 1 (1 excluded) for each of the keys: `[..., count]`, float32.

    They are SplitMix64's (Steele, Lea and Flood, 2014), the upper 24 bits of each: whole-number
    arithmetic on the keys' device, the same on every device and for each key alone.
    """
    counter = torch.arange(1, count + 1, device=keys.device)
    bits = keys.unsqueeze(-1) + counter * GOLDEN
    bits = (bits ^ _shifted(bits, 30)) * FIRST
    bits = (bits ^ _shifted(bits, 27)) * SECOND
    bits = bits ^ _shifted(bits, 31)
    return _shifted(bits, 64 - PRECISION).float() / (1 << PRECISION)


def _shifted(bits: Tensor, places: int) -> Tensor:
    """Shift to the right and fill with zeros, although the numbers are signed."""
    return (bits >> places) & ((1 << (64 - places)) - 1)
