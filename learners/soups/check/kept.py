"""Names of tensors that are taken from one model as they are, as output layers often are, and patterns for them."""

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from glob import escape

HEADS = ("head", "classifier", "score", "lm_head", "fc", "logits", "qa_outputs", "cls", "unembed")
"""Parts of names that output layers go by."""
OUTPUT = "output"
"""The same where it is the name's first part; blocks of BERT have `attention.output.dense` inside."""


def is_kept(name: str, kept: Sequence[str]) -> bool:
    """Whether a tensor is taken from one model as it is."""
    return any(fnmatchcase(name, pattern) for pattern in kept)


def is_head(name: str) -> bool:
    """Whether a tensor's name is one that output layers go by."""
    parts = name.lower().split(".")
    return parts[0] == OUTPUT or any(part in HEADS for part in parts)


def keep_patterns(differing: Sequence[str], names: Iterable[str]) -> list[str]:
    """Patterns for `keep` that match just these of all names: of a module that differs as a whole one for all of it."""
    others = set(names) - set(differing)
    found: dict[str, None] = {}
    for name in differing:
        parts = name.split(".")
        modules = (".".join(parts[:length]) + "." for length in range(1, len(parts)))
        whole = (module for module in modules if not any(other.startswith(module) for other in others))
        module = next(whole, None)
        several = module is not None and sum(each.startswith(module) for each in differing) > 1
        found[f"{escape(str(module))}*" if several else escape(name)] = None
    return list(found)


def keeping(differing: Sequence[str], names: Iterable[str]) -> str:
    """The options of the command line that keep them."""
    return " ".join(f"--keep '{pattern}'" for pattern in keep_patterns(differing, names))
