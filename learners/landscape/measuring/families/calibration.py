"""Calibration on test samples, before and after a temperature that validation samples have chosen."""

import torch
from torch import Tensor

from learners.landscape.calibration.measures import Measured, measures
from learners.landscape.calibration.temperature import fitted_temperature, temperature_error, without_optimum
from learners.landscape.measuring.group import Columns, Found, Group, found
from learners.landscape.measuring.metrics import Settings
from schemas import UsageError

COLD = "no temperature is the best: the colder the likelier, as where all validation samples are right"
HOT = "no temperature is the best: the hotter the likelier, as where outputs say nothing of the classes"


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
        edge = without_optimum(temperature)
        for name, (values, errors) in both.items():
            draws = None if name.endswith(("nll", "brier")) else int(settings["draws"])
            details = [_scaled(name, *each) for each in zip(temperature.tolist(), edge.tolist(), strict=True)]
            rows = zip(values, errors, details, strict=True)
            columns.setdefault(name, []).extend([found(one, error, len(y), draws, **told)] for one, error, told in rows)
        spread = temperature_error(outputs, validation.y.flatten(), temperature)
        fitted = zip(temperature.tolist(), spread.tolist(), edge.tolist(), strict=True)
        columns.setdefault("temperature", []).extend([_temperature(*each, validation.y.numel())] for each in fitted)
    return columns


def _scaled(name: str, temperature: float, edge: bool) -> dict[str, object]:
    """What a scaled measure's row says of a temperature that is not the best one."""
    return {"temperature_limit": round(temperature, 6)} if edge and name.startswith("scaled_") else {}


def _temperature(temperature: float, error: float, edge: bool, samples: int) -> Found:
    if not edge:
        return found(temperature, error, samples)
    why = COLD if temperature < 1 else HOT
    return Found(None, None, samples, None, why, {"temperature_limit": round(temperature, 6)})


def _measured(logits: Tensor, y: Tensor, settings: Settings, seed: int) -> Measured:
    broken = ~torch.isfinite(logits).all(dim=(1, 2))
    logits = torch.where(broken.view(-1, 1, 1), torch.zeros_like(logits), logits)
    found_here = measures(logits.log_softmax(dim=2), y, int(settings["bins"]), int(settings["draws"]), seed)
    return {name: (torch.where(broken, torch.nan, value), error) for name, (value, error) in found_here.items()}
