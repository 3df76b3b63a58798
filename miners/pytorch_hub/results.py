"""What the tables of a page say of its entry points: results, parameters, cost.

A row is an entry point's if its first cell, or its first two, spell its name, whatever is between its letters and
digits: `ResNeXt-101 32x8d` is resnext101_32x8d. Where no row of a page spells a whole name, endings that the page
explains may be left out: of resnext101_32x8d_swsl where a cell says what (SWSL) stands for, and the one that all entry
points have. A row that is nobody's, or could be that of two, is said to be so.
"""

import re
from collections.abc import Iterator, Mapping
from itertools import islice

from miners.evaluations import number
from miners.markdown import Row, rows
from miners.naming import TOP_K, Named, joined, named_in
from miners.package import Lost, Package, Score

NO_METRIC = re.compile(r"param|size|flop|speed|latency|resolution", re.IGNORECASE)  # what a model is or costs
PARAMETERS = re.compile(r"param", re.IGNORECASE)
MILLIONS = re.compile(r"(\d{1,6}(?:\.\d{1,6})?) ?M?", re.IGNORECASE)
IN_MILLIONS = re.compile(r"\(M\)", re.IGNORECASE)
MOST_ROWS, MOST_EXPLAINED = 2_000, 100  # of a page; real ones have a few dozen
REMARK = re.compile(r"\s*\([^()]*\)\s*$")
WHOLE = re.compile(r"(\d)\.0(?!\d)")
ABBREVIATION = re.compile(r"(?P<words>(?:[\w\"'-]{1,40} ){1,4})\((?P<letters>[A-Z]{2,8})\)")
DATASET = re.compile(
    r"\bon (?:the )?(?P<name>ImageNet(?:-?1[Kk])?\b|[A-Z][\w.-]*(?: [\w.-]+)??(?=\s+(?:data ?set|validation set)\b))"
)
INTRODUCES = re.compile(r"\b(?:listed|below|benchmarks?|results)\b", re.IGNORECASE)
CLASSES = re.compile(r"\bscores over (?P<name>[A-Z]\w{1,40})'s 1000 classes")


def add_results(path: str, text: str, models: Mapping[str, Package]) -> list[Lost]:
    """Add to the entry points of a page, by address, what its tables say of them; give the rows that are nobody's."""
    tables = list(islice(rows(text), MOST_ROWS + 1))
    lost = [Lost(path, f"only the first {MOST_ROWS} rows of its tables are read")] if len(tables) > MOST_ROWS else []
    tables = tables[:MOST_ROWS]
    names = _Names(text, models, tables)
    classes = named_in(CLASSES, text)
    for row in tables:
        named = names.of(row)
        if named is not None:
            address, evidence = named
            _describe(models[address], row, path, evidence, classes)
        elif any(number(cell) is not None or "/" in cell for _, cell in _metrics(row)):
            lost.append(
                Lost(f"{path}: {row.line}", "a row of results that spells the name of no entry point of its page")
            )
    return lost


class _Names:
    """Tells whose a row is: the address of an entry point, and what explains it where its name alone does not."""

    def __init__(self, text: str, models: Mapping[str, Package], tables: list[Row]) -> None:
        self._whole = _unique((_letters(address.rpartition("/")[2]), address) for address in models)
        self._short: dict[str, str] = {}
        self._meanings: dict[str, Named] = {}
        if not any(self._exact(row) for row in tables):
            self._short = _unique(_without_common_ending(list(models)))
            found = [
                Named(match["letters"].lower(), match[0])
                for match in islice(ABBREVIATION.finditer(text), MOST_EXPLAINED)
            ]
            self._meanings = {_letters(one.evidence.partition("(")[0]): one for one in found}

    def of(self, row: Row) -> tuple[str, str | None] | None:
        """Give whose a row is, None if nobody's."""
        if address := self._exact(row):
            return address, None
        first, *others = [cell for cell in row.cells.values() if cell] or [""]
        for cell in others:
            for words, (letters, evidence) in self._meanings.items():
                if (
                    len(_letters(cell)) > 3
                    and words.endswith(_letters(cell))
                    and (address := self._whole.get(_letters(first) + letters))
                ):
                    return address, evidence
        address = self._short.get(_letters(first))
        return (address, None) if address else None

    def _exact(self, row: Row) -> str | None:
        cells = list(row.cells.values())
        spelled = (
            [_letters(cells[0]), _letters(REMARK.sub("", cells[0])), _letters(" ".join(cells[:2]))] if cells else []
        )
        return next((self._whole[name] for name in spelled if name in self._whole), None)


def _letters(name: str) -> str:
    """Give the letters and digits of a name, in lower case.

    >>> _letters("ResNeXt-101 32x8d"), _letters("GhostNet 1.0x")
    ('resnext10132x8d', 'ghostnet1x')
    """
    return re.sub(r"[^a-z0-9.]", "", WHOLE.sub(r"\1", name).lower())


def _unique(pairs: Iterator[tuple[str, str]]) -> dict[str, str]:
    """Give addresses by name, without the names that several have."""
    found: dict[str, str] = {}
    several = set()
    for name, address in pairs:
        several |= {name} if found.get(name, address) != address else set()
        found[name] = address
    return {name: address for name, address in found.items() if name and name not in several}


def _without_common_ending(addresses: list[str]) -> Iterator[tuple[str, str]]:
    parts = [address.rpartition("/")[2].split("_") for address in addresses]
    common = 0
    while (
        len(parts) > 1 and all(len(part) > common + 1 for part in parts) and len({p[-1 - common] for p in parts}) == 1
    ):
        common += 1
    for address, part in zip(addresses, parts, strict=True):
        if common:
            yield _letters("_".join(part[:-common])), address


def _metrics(row: Row) -> list[tuple[str, str]]:
    """Give the cells that may be results, by heading."""
    return [(heading, cell) for heading, cell in list(row.cells.items())[1:] if not NO_METRIC.search(heading)]


def _describe(model: Package, row: Row, path: str, named: str | None, classes: Named | None) -> None:
    """Add what a row says of its model: numbers as results, everything else as statements."""
    dataset = _dataset(row)
    metrics = dict(_metrics(row))
    for heading, cell in list(row.cells.items())[1:]:
        value = number(cell.rstrip("% ")) if heading in metrics else None
        if value is None:
            _say(model, heading, cell, path, joined(named, row.line))
            continue
        source = dataset or (classes if TOP_K.search(heading) else None)
        evidence = joined(source and source.evidence, named, row.line)
        score = Score(None, source and source.name, None, None, heading, cell, value, path, evidence)
        model.scores += [] if score in model.scores else [score]


def _say(model: Package, heading: str, cell: str, path: str, evidence: str) -> None:
    if any((one.name, one.value, one.source) == (heading, cell, path) for one in model.statements):
        return
    model.say(heading, cell, path, evidence)
    millions = MILLIONS.fullmatch(cell) if PARAMETERS.search(heading) else None
    if millions and (cell.upper().endswith("M") or IN_MILLIONS.search(heading)):
        model.count_millions(float(millions[1]), len(millions[1].partition(".")[2]))


def _dataset(row: Row) -> Named | None:
    """Give the dataset that the nearest paragraph names; none behind one that introduces other results."""
    for paragraph in row.before:
        if found := named_in(DATASET, paragraph):
            return found
        if INTRODUCES.search(paragraph):
            return None
    return None
