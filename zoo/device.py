"""Chooses the device to compute on."""

import torch

from schemas.errors import UsageError
from zoo.mistakes import expected_one_of

DEVICES = ("auto", "cpu", "cuda")


def chosen_device(name: str) -> str:
    """Give `cpu` or `cuda` for `cpu`, `cuda` or `auto`, which is cuda if there is one.

    Raises:
        UsageError: There is no such device here.
    """
    if name not in DEVICES:
        raise UsageError(f"device {name!r}: {expected_one_of(name, DEVICES)}")
    if name == "cuda" and not torch.cuda.is_available():
        raise UsageError("device 'cuda': torch finds no GPU here; take 'cpu' or 'auto'")
    return "cuda" if name != "cpu" and torch.cuda.is_available() else "cpu"
