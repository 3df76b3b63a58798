"""Which words of other zoos are which columns of `member`, and which are curves."""

import json
import math
from collections.abc import Mapping
from typing import Any

WHOLE = {"width": 31, "batch_size": 31, "seed": 63, "init_seed": 63, "epochs": 31, "depth": 31}
"""Columns of whole numbers, and their bits."""
REAL = ("learning_rate", "weight_decay", "label_noise", "dropout", "data_fraction", "convection")
TEXT = ("activation", "initialisation", "optimizer", "schedule")
OWN = {name: name for name in (*WHOLE, *REAL, *TEXT)}

RAY_TUNE = {
    "model::width": "width",
    "model::nlin": "activation",
    "model::dropout": "dropout",
    "model::init_type": "initialisation",
    "optim::optimizer": "optimizer",
    "optim::lr": "learning_rate",
    "optim::wd": "weight_decay",
    "optim::scheduler": "schedule",
    "seed": "seed",
    "training::batchsize": "batch_size",
    "training::epochs_train": "epochs",
}
SMALL_CNN = {
    "config.activation": "activation",
    "config.dropout": "dropout",
    "config.w_init": "initialisation",
    "config.optimizer": "optimizer",
    "config.learning_rate": "learning_rate",
    "config.l2reg": "weight_decay",
    "config.train_fraction": "data_fraction",
    "config.random_seed": "seed",
    "config.epochs": "epochs",
    "config.num_units": "width",
    "config.num_layers": "depth",
    "config.batchsize": "batch_size",
}
TABLE = {"lr": "learning_rate", "wd": "weight_decay", "batchsize": "batch_size", "batch": "batch_size", **OWN}

METRICS = {
    f"{ours}_{metric}" if ours else metric: (split, name)
    for ours, split in (("train", "train"), ("val", "validation"), ("validation", "validation"), ("test", "test"))
    for metric, name in (("loss", "loss"), ("acc", "accuracy"), ("accuracy", "accuracy"))
}
"""Names such as `test_acc`, and the split and metric that they mean."""
IMPORTED = '{"source": "import"}'
"""Settings of a measurement that a zoo has published and nobody here has made."""
MISSING = ("", "na", "n/a", "#n/a", "null", "none")
"""Words by which a table says that it has no value, in small letters."""
SHORT = {"train": "train", "validation": "val", "test": "test"}


def columns(said: Mapping[str, Any], words: Mapping[str, str]) -> dict[str, Any]:
    """What of a zoo's settings fits a column of `member`; the rest is left out here, and kept as statements.

    >>> columns({"optim::lr": 0.1, "seed": 3.0, "model::width": "wide"}, RAY_TUNE)
    {'learning_rate': 0.1, 'seed': 3}
    """
    found = {words[key]: fitting(words[key], value) for key, value in said.items() if key in words}
    return {column: value for column, value in found.items() if value is not None}


def fitting(column: str, value: Any) -> Any:
    """A value as its column holds it; None where it does not fit."""
    if column in WHOLE:
        whole = whole_number(value)
        return whole if whole is not None and -(2 ** WHOLE[column]) <= whole < 2 ** WHOLE[column] else None
    if column in REAL:
        return real_number(value)
    return value if isinstance(value, str) and value and value == encodable(value) else None


def whole_number(value: Any) -> int | None:
    """A whole number, also one that is written as 3.0; None for anything else."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    return int(value) if isinstance(value, float) and value.is_integer() else None


def real_number(value: Any) -> float | None:
    """A finite number; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None


def read_number(value: Any) -> Any:
    """A text as the number that it is, nan and inf too, or None for a word such as NA; anything else as it is.

    >>> read_number(" 0.5"), read_number("3"), read_number("N/A"), read_number("-inf"), read_number("wide")
    (0.5, 3, None, -inf, 'wide')
    """
    if not isinstance(value, str):
        return value
    if value.strip().casefold() in MISSING:
        return None
    for kind in (int, float):
        try:
            return kind(value) if "_" not in value else value
        except ValueError:
            continue
    return value


def as_statement(value: Any) -> tuple[str, float | None]:
    """How a value stands in the table `statement`: as text, and as a number where it is one.

    Texts stay as they are, unless they look like something else; `from_statement` gives the value back.

    >>> as_statement("adam"), as_statement(3), as_statement([1, 2]), as_statement("[x")
    (('adam', None), ('3', 3.0), ('[1, 2]', None), ('"[x"', None))
    """
    if isinstance(value, str):
        odd = value[:1] in ("[", "{", '"') or value == "null" or value != encodable(value)
        return (json.dumps(value) if odd else value), None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return json.dumps(value), float(value) if isinstance(value, bool) else None
    try:
        return json.dumps(value), float(value)
    except OverflowError:
        return json.dumps(value), math.inf


def encodable(text: str) -> str:
    """The same text, halves of surrogate pairs written out, which JSON and file names can have and a table cannot."""
    return text.encode(errors="backslashreplace").decode()


def from_statement(value: str, number: float | None) -> Any:
    """The value that `as_statement` has written."""
    if number is not None or value[:1] in ("[", "{", '"') or value == "null":
        return json.loads(value)
    return value
