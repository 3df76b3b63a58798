"""A card -> what making the model has cost: carbon, hardware, hours, as its metadata and its text say."""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from miners.evaluations import number, written

FIELD = "co2_eq_emissions"  # https://huggingface.co/docs/hub/model-cards-co2: grams, or an object with `emissions`
GRAMS = {
    "mg": 1e-3,
    **dict.fromkeys(["", "g", "gr", "gram", "grams", "gco2", "gco2eq", "gco2e"], 1.0),
    **dict.fromkeys(["kg", "kgs", "kilogram", "kilograms", "kgco2", "kgco2eq", "kgco2e"], 1e3),
    **dict.fromkeys(["t", "ton", "tons", "tonne", "tonnes", "tco2", "tco2eq", "tco2e"], 1e6),
}
AMOUNT = re.compile(r"[~≈\s]{0,9}(\d[\d,]{0,30}(?:\.\d{1,30})?(?:e[-+]?\d{1,3})?)\s{0,9}(?:in\s{1,9})?([a-z0-9]{0,12})")
THOUSANDS = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?")
LABELS = {  # of the Hub's template and of AutoTrain's cards, in lower case
    "hardware type": "hardware",
    "hours used": "hours",
    "cloud provider": "provider",
    "compute region": "location",
    "carbon emitted": "stated",
    "co2 emissions (in grams)": "stated",
}
SIGNS = ("hardware type", "hours used", "carbon emitted", "co2 emissions")  # a provider alone is no footprint
LINE = re.compile(
    rf"^[ \t]*(?:[-*+][ \t]+)?(?:\*\*)?({'|'.join(map(re.escape, LABELS))})(?:[ \t]*\([^)*\n]{{0,200}}\))?"
    r"[ \t]*(?:\*\*:?|:(?:\*\*)?)[ \t]*(\S.{0,300})$",
    re.MULTILINE,
)


class Footprint(NamedTuple):
    """What making a model has cost, as its metadata or its text says: grams of CO2 equivalents, hours of the hardware.

    `stated` is the emission as it is written; `grams` is None where it is no amount.
    """

    source: str
    grams: float | None = None
    stated: str | None = None
    method: str | None = None
    training_type: str | None = None
    hardware: str | None = None
    hours: float | None = None
    provider: str | None = None
    location: str | None = None


def footprints(text: str, lower: str, metadata: Mapping[str, Any] | None) -> list[Footprint]:
    """Give what the metadata says and what the text says, which may differ. `lower` is the text in lower case."""
    found = [_of_metadata(metadata[FIELD])] if metadata and metadata.get(FIELD) is not None else []
    if any(sign in lower for sign in SIGNS):
        said = _of_text(text, lower)
        found += [said] if said else []
    return found


def grams(stated: object) -> float | None:
    """Give the grams of an amount, or None if it is none.

    >>> grams(12.5), grams("0.3 Kg"), grams("1,234 kg"), grams("0.21 in grams of CO2"), grams("Kg")
    (12.5, 300.0, 1234000.0, 0.21, None)
    """
    if not isinstance(stated, str):
        amount, unit = number(stated), ""
    elif match := AMOUNT.match(stated.lower()):
        digits = match[1].replace(",", "") if THOUSANDS.fullmatch(match[1]) else match[1]
        amount, unit = number(digits), match[2]
    else:
        return None
    factor = GRAMS.get(unit)
    return None if amount is None or factor is None or amount < 0 else amount * factor


def _of_metadata(value: object) -> Footprint:
    if not isinstance(value, dict):
        return Footprint("metadata", grams(value), written(value))
    emissions = value.get("emissions")
    return Footprint(
        "metadata",
        grams(emissions),
        written(emissions),
        method=_text(value, "source"),
        training_type=_text(value, "training_type"),
        hardware=_text(value, "hardware_used"),
        location=_text(value, "geographical_location"),
    )


def _text(value: Mapping[str, Any], name: str) -> str | None:
    return written(value.get(name)) or None


def _of_text(text: str, lower: str) -> Footprint | None:
    if len(lower) != len(text):  # a few letters are longer in lower case
        text = lower
    said = {LABELS[match[1]]: text[slice(*match.span(2))].strip() for match in LINE.finditer(lower)}
    if not said:
        return None
    hours = AMOUNT.match(said.pop("hours", "").lower())
    return Footprint("text", grams(said.get("stated")), hours=number(hours[1]) if hours else None, **said)
