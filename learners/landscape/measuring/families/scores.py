"""Loss and error on what models were trained on, and how much worse they are on the test split."""

from dataclasses import dataclass

import torch
from torch import Tensor

from learners.landscape.measuring.group import Columns, Found, Group, found
from learners.landscape.measuring.metrics import Settings
from zoo.objective import Convection
from zoo.population import forward, losses, samples_at_once

PER_CENT = 100.0


@dataclass(frozen=True)
class _Score:
    """Mean loss and error of each model with standard errors, `[N]`, float64; a text is one sample."""

    loss: Tensor
    loss_error: Tensor
    error: Tensor
    error_error: Tensor
    samples: int


@torch.no_grad()
def _score(group: Group, part: str) -> _Score:
    samples, count = group.dataset.part(part), len(group.names)
    each, chunk = [], samples_at_once(group.module, group.weights, samples.x)
    for x, y in zip(*(torch.split(t, chunk) for t in (samples.x, samples.y)), strict=True):
        logits = forward(group.module, group.weights, x)
        wrong = (logits.argmax(dim=-1) != y).double().where(logits.isfinite().all(dim=-1), torch.nan)
        each.append(
            torch.stack([t.double().reshape(count, len(y), -1).mean(dim=2) for t in (losses(logits, y), wrong)])
        )
    values = torch.cat(each, dim=2)
    means, errors = values.mean(dim=2), values.std(dim=2) / values.shape[2] ** 0.5
    return _Score(means[0], errors[0], PER_CENT * means[1], PER_CENT * errors[1], samples.y.numel())


def scored(group: Group, settings: Settings) -> Columns:
    """Training loss in nats and training error in percentage points; their errors are those of drawing samples.

    Of networks of an equation it is their own loss, and there is no error.
    """
    if group.physical:
        return {"loss": _physical(group)}
    score = _score(group, "train")
    return {
        "loss": [[found(*each, score.samples)] for each in zip(score.loss, score.loss_error, strict=True)],
        "error": [[found(*each, score.samples)] for each in zip(score.error, score.error_error, strict=True)],
    }


def _physical(group: Group) -> list[list[Found]]:
    samples = group.dataset.train
    each, _ = Convection.of(group.known_coefficients()).each(group.module, group.weights, samples)
    errors = each.std(dim=1) / len(samples) ** 0.5
    return [[found(*both, len(samples))] for both in zip(each.mean(dim=1), errors, strict=True)]


def gaps(group: Group, settings: Settings) -> Columns:
    """Test minus training error in percentage points, and test minus training loss in nats."""
    train, test = _score(group, "train"), _score(group, "test")
    columns = {
        "generalisation_gap": (test.error - train.error, (train.error_error**2 + test.error_error**2).sqrt()),
        "loss_gap": (test.loss - train.loss, (train.loss_error**2 + test.loss_error**2).sqrt()),
    }
    return {
        name: [[found(*each, test.samples)] for each in zip(values, errors, strict=True)]
        for name, (values, errors) in columns.items()
    }
