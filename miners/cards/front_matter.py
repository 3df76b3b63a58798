"""A card's YAML front matter -> JSON values, by PyYAML's C parser, without YAML 1.1's traps and at a bounded cost.

The parser's events are read one after the other, so that nothing recurses, no tag constructs an object, and an alias
is counted at the size that it stands for. Plain scalars are read as YAML 1.2 does: only true and false are booleans,
dates, `1_000`, `0o17` and `1:30` stay text, as do `no`, `on` and numbers that JSON or 64 bits cannot hold.
"""

import json
import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import yaml
from yaml.events import AliasEvent as Alias
from yaml.events import DocumentEndEvent as DocumentEnd
from yaml.events import MappingEndEvent as MappingEnd
from yaml.events import MappingStartEvent as MappingStart
from yaml.events import ScalarEvent as Scalar
from yaml.events import SequenceEndEvent as SequenceEnd
from yaml.events import SequenceStartEvent as SequenceStart
from yaml.events import StreamEndEvent as StreamEnd

INVALID = "invalid YAML"
DUPLICATE_KEYS = "duplicate keys"
TOO_DEEP = "nested too deeply"
BOMB = "alias bomb"
DEEPEST = 64
LARGEST = 2**22  # characters that all aliases together may expand to
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
WORDS = {
    **dict.fromkeys(["", "~", "null", "Null", "NULL"], None),
    **dict.fromkeys(["true", "True", "TRUE"], True),
    **dict.fromkeys(["false", "False", "FALSE"], False),
}
WHOLE = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,17})")
NUMBER = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]{1,3})?")
LEADING_ZERO = re.compile(r"[-+]?0[0-9]")
NUMERIC = frozenset("+-.0123456789")  # what a number begins with
MERGE = "<<"


class Malformed(Exception):
    """The text is no front matter; the message is the problem's name."""


@dataclass(slots=True)
class _Open:
    """A list or map that is being read."""

    value: list[Any] | dict[str, Any]
    anchor: str | None
    size: int = 1
    key: str | None = None
    merged: list[Any] = field(default_factory=list)


@lru_cache(maxsize=2**12)
def parse(text: str) -> tuple[Any, tuple[str, ...]]:
    """Give the value of a YAML text, which is not to be changed, and the problems that did not keep it from being read.

    Raises Malformed for what is no YAML, or costs too much. Thousands of cards say the same few lines, which are
    read once.
    """
    reader = _Reader()
    try:
        next_event = LOADER(text).get_event
        while not reader.read(next_event()):
            pass
    except (yaml.YAMLError, ValueError) as error:
        raise Malformed(INVALID) from error
    return reader.root, tuple(reader.problems)


class _Reader:
    """Builds a value from a parser's events."""

    def __init__(self) -> None:
        self.root: Any = None
        self.problems: list[str] = []
        self._stack: list[_Open] = []
        self._anchors: dict[str, tuple[Any, int] | None] = {}

    def read(self, event: Any) -> bool:
        """Take the next event; say whether the text's first document, all that counts, is complete."""
        kind = type(event)
        if kind is Scalar:
            self._scalar(event)
        elif kind is MappingEnd or kind is SequenceEnd:
            self._end()
        elif kind is MappingStart:
            self._begin({}, event.anchor)
        elif kind is SequenceStart:
            self._begin([], event.anchor)
        elif kind is Alias:
            self._alias(event.anchor)
        return kind is DocumentEnd or kind is StreamEnd

    def _scalar(self, event: Any) -> None:
        text = event.value
        value = plain(text) if event.implicit[0] and not self._expects_key() else text
        if event.anchor:
            self._anchors[event.anchor] = (value, len(text) + 1)
        self._place(value, len(text) + 1)

    def _begin(self, value: list[Any] | dict[str, Any], anchor: str | None) -> None:
        if len(self._stack) >= DEEPEST:
            raise Malformed(TOO_DEEP)
        if anchor:
            self._anchors[anchor] = None
        self._stack.append(_Open(value, anchor))

    def _end(self) -> None:
        closed = self._stack.pop()
        for defaults in closed.merged:
            closed.value = {**defaults, **closed.value}  # type: ignore[dict-item]  # only a map has merged ones
        if closed.anchor:
            self._anchors[closed.anchor] = (closed.value, closed.size)
        self._place(closed.value, closed.size)

    def _alias(self, anchor: str) -> None:
        known = self._anchors.get(anchor)
        if known is None:
            raise Malformed(BOMB if anchor in self._anchors else INVALID)
        self._place(*known)

    def _expects_key(self) -> bool:
        return bool(self._stack) and isinstance(self._stack[-1].value, dict) and self._stack[-1].key is None

    def _place(self, value: Any, size: int) -> None:
        if not self._stack:
            self.root = value
            return
        parent = self._stack[-1]
        parent.size += size
        if parent.size > LARGEST:
            raise Malformed(BOMB)
        target = parent.value
        if isinstance(target, list):
            target.append(value)
        elif parent.key is None:
            parent.key = value if isinstance(value, str) else json.dumps(value)
        else:
            self._assign(parent, target, parent.key, value)
            parent.key = None

    def _assign(self, parent: _Open, target: dict[str, Any], key: str, value: Any) -> None:
        if key == MERGE and isinstance(value, dict):
            parent.merged.append(value)
            return
        if key == MERGE and isinstance(value, list) and all(isinstance(item, dict) for item in value):
            parent.merged += value
            return
        if key in target and DUPLICATE_KEYS not in self.problems:
            self.problems.append(DUPLICATE_KEYS)
        target[key] = value


def plain(text: str) -> Any:
    """Read a scalar that is written without quotes.

    >>> [plain(text) for text in ["no", "true", "~", "12", "1.5e-5", "2021-01-01", "1:30", "0o17"]]
    ['no', True, None, 12, 1.5e-05, '2021-01-01', '1:30', '0o17']
    """
    if text in WORDS:
        return WORDS[text]
    if text[0] not in NUMERIC:
        return text
    if WHOLE.fullmatch(text):
        return int(text)
    if NUMBER.fullmatch(text) and not LEADING_ZERO.match(text) and not text.lstrip("+-").isdigit():
        number = float(text)
        return number if abs(number) <= 1e300 else text
    return text
