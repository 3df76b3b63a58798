"""Chooses the device to compute on."""

import torch

from schemas.errors import UsageError
from zoo.mistakes import expected_one_of

DEVICES = ("auto", "cpu", "cuda")


def device_of(device: str | torch.device) -> torch.device:
    """Give a device that tensors can be put on: cpu, cuda, cuda:1, ...; raise UsageError for one that is not here."""
    if device in DEVICES:
        return torch.device(chosen_device(str(device)))
    try:
        found = torch.device(device)
        torch.empty(0, device=found)
    except (RuntimeError, AssertionError, TypeError, NotImplementedError) as error:
        said = (str(error).splitlines() or ["it is unknown"])[0]
        raise UsageError(f"device {str(device)!r} is not to be had here ({said}); take 'cpu' or 'auto'") from error
    return found


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
