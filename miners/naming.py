"""Datasets that free text names for the results in its tables."""

import re
from typing import NamedTuple

TOP_K = re.compile(r"\btop[- ]?\d\b", re.IGNORECASE)
"""Metrics of classifiers: they are measured on a dataset of the classes that the model tells apart."""


class Named(NamedTuple):
    """A dataset, or another name, and the words that it was read from."""

    name: str
    evidence: str


def named_in(pattern: re.Pattern[str], text: str) -> Named | None:
    """Give what a pattern's group `name` finds last, with the lines that the match lies in."""
    *_, match = [None, *pattern.finditer(text)]
    if match is None:
        return None
    begin, end = text.rfind("\n", 0, match.start()) + 1, text.find("\n", match.end())
    return Named(match["name"].strip(), (text[begin:] if end < 0 else text[begin:end]).strip())


def joined(*lines: str | None) -> str:
    """Put pieces of evidence below each other, what is none left out."""
    return "\n".join(line for line in lines if line)
