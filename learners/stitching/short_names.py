"""Names of models that fit beside a picture and still tell the models apart."""

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import takewhile

LETTERS = 28
HASH = re.compile(r"-[0-9a-f]{8,}$")


def short_names(
    ids: Iterable[str], letters: int = LETTERS, architectures: Mapping[str, str] | None = None
) -> dict[str, str]:
    """A name of at most so many letters for each model, no two alike: what its last slash is followed by.

    Where several share that, what tells their owners or populations apart stands before it, and where the models have
    several architectures, the architecture; what is too long loses its middle, and gets a number where nothing else
    tells it from another.

    >>> short_names(["zoo:digits-mlp-0a1b2c3d/w2", "zoo:digits-cnn-4e5f6a7b/w2", "zoo:digits-cnn-4e5f6a7b/w4"])
    ... # doctest: +NORMALIZE_WHITESPACE
    {'zoo:digits-mlp-0a1b2c3d/w2': 'mlp w2', 'zoo:digits-cnn-4e5f6a7b/w2': 'cnn w2',
     'zoo:digits-cnn-4e5f6a7b/w4': 'cnn w4'}
    >>> short_names(["zoo:a/w2", "zoo:b/w4"], architectures={"zoo:a/w2": "mlp", "zoo:b/w4": "vit"})
    {'zoo:a/w2': 'mlp w2', 'zoo:b/w4': 'vit w4'}

    Args:
        ids: The models.
        letters: How long a name may be.
        architectures: The architecture of each model, as far as it is known.
    """
    names = list(dict.fromkeys(ids))
    parts = [name.rpartition("/") for name in names]
    heads = _heads([head for head, _, _ in parts])
    tails = [tail for _, _, tail in parts]
    both = [f"{head} {tail}".strip() for head, tail in zip(heads, tails, strict=True)]
    told = next((texts for texts in (tails, both) if _apart(texts)), names)
    told = _with_architectures(names, told, architectures or {})
    cut = [_cut(text, letters) for text in told]
    if not _apart(cut):
        cut = [_cut(f"{number} {text}", letters) for number, text in enumerate(told, 1)]
    return dict(zip(names, cut, strict=True))


def _with_architectures(names: Sequence[str], told: Sequence[str], architectures: Mapping[str, str]) -> list[str]:
    """Architectures in front, where there are several; not where a name begins with it already."""
    kinds = [architectures.get(name, "") for name in names]
    if len(set(kinds)) < 2:
        return list(told)
    pairs = zip(kinds, told, strict=True)
    return [text if kind == text.partition(" ")[0] else f"{kind} {text}".strip() for kind, text in pairs]


def _heads(heads: Sequence[str]) -> list[str]:
    """What is before the slashes, without the beginning that all share and without hashes that nothing hangs on."""
    alike = takewhile(lambda letters: len(set(letters)) == 1, zip(*heads, strict=False))
    shared = re.sub(r"[^-:/_. ]*$", "", "".join(letters[0] for letters in alike))
    plain = [head.removeprefix(shared) for head in heads]
    without = {head: HASH.sub("", head) for head in plain}
    return [without[head] for head in plain] if _apart(list(without.values())) else plain


def _apart(texts: Sequence[str]) -> bool:
    return len(set(texts)) == len(texts)


def _cut(text: str, letters: int) -> str:
    """The beginning and, as that is where names differ, three times as much of the end."""
    before = letters // 4
    return text if len(text) <= letters else f"{text[:before]}…{text[len(text) - letters + before + 1 :]}"
