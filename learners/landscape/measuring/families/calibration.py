"""Calibration on test samples, before and after a temperature that validation samples have chosen."""

import torch
from torch import Tensor

from learners.landscape.calibration.measures import Measured, measures
from learners.landscape.calibration.temperature import fitted_temperature
from learners.landscape.measuring.group import Columns, Group, found
from learners.landscape.measuring.metrics import Settings
from schemas import UsageError


def calibrated(group: Group, settings: Settings) -> Columns:
    """All measures of calibration, those after scaling as `scaled_...`, and the temperature itself."""
    test, validation = (group.drawn(int(settings["samples"]), part) for part in ("test", "validation"))
    if not len(test) or not len(validation):
        raise UsageError("calibration needs test samples, and validation samples for the temperature; one has none")
    columns: Columns = {}
    for part in group.parts(4 * (test.y.numel() + validation.y.numel()) * max(1, group.dataset.classes)):
        outputs = part.outputs(validation.x)
        temperature = fitted_temperature(outputs, validation.y.flatten())
        temperature = temperature.where(outputs.isfinite().all(dim=(1, 2)), torch.nan)
        logits, y = part.outputs(test.x).double(), test.y.flatten()
        plain = _measured(logits, y, settings, group.seed)
        scaled = _measured(logits / temperature.view(-1, 1, 1), y, settings, group.seed)
        both = plain | {f"scaled_{name}": values for name, values in scaled.items()}
        for name, (values, errors) in both.items():
            draws = None if name.endswith(("nll", "brier")) else int(settings["draws"])
            rows = [[found(value, error, len(y), draws)] for value, error in zip(values, errors, strict=True)]
            columns.setdefault(name, []).extend(rows)
        rows = [[found(value, None, validation.y.numel())] for value in temperature]
        columns.setdefault("temperature", []).extend(rows)
    return columns


def _measured(logits: Tensor, y: Tensor, settings: Settings, seed: int) -> Measured:
    broken = ~torch.isfinite(logits).all(dim=(1, 2))
    logits = torch.where(broken.view(-1, 1, 1), torch.zeros_like(logits), logits)
    found_here = measures(logits.log_softmax(dim=2), y, int(settings["bins"]), int(settings["draws"]), seed)
    return {name: (torch.where(broken, torch.nan, value), error) for name, (value, error) in found_here.items()}
