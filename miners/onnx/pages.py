"""The page (README.md) of a family of models in the ONNX Model Zoo, and what it says of each of them."""

import re
from collections.abc import Iterator

from miners.catalogue import Files
from miners.licenses import SPDX
from miners.markdown import Row, links, rows, section
from miners.naming import TOP_K, Named, joined, named_in
from miners.package import Lost, Package, Score

OVERVIEW = "README.md"
TREE = "https://github.com/onnx/models/tree/main"
LICENSE = re.compile(r"<!-+\s*SPDX-License-Identifier:\s*([A-Za-z0-9.+-]{1,60})\s*-+>")
NO_METRICS = {"model", "download", "download (with sample test data)", "onnx version", "opset version", "dataset"}
VALUE = re.compile(
    r"(?:(?P<metric>[A-Za-z][\w@. -]{0,30}?)\s+(?:of\s+)?)?(?P<value>\d{1,4}(?:\.\d{1,9})?)\s*%?"
    r"(?:\s+in\s+(?P<dataset>[\w .-]{1,60}))?"
)
DATASET = re.compile(r"data ?set|imagenet|ilsvrc|coco|squad|corpus|train images", re.IGNORECASE)
VALIDATION = re.compile(
    r"Dataset used for (?:train and )?validation: \[?(?P<name>ImageNet[^\]\[\n]{0,40})\]?", re.IGNORECASE
)
CLAIM = re.compile(r"\b(?P<name>ImageNet) top-?\d (?:accuracy|error)\b", re.IGNORECASE)
TRAINED = re.compile(r"\b(?:pre-?)?[Tt]rained on (?:the )?(?:popular )?\[?(?P<name>[A-Z][\w-]*)")


class Page:
    """The page of a folder, if there is one."""

    def __init__(self, folder: str, files: Files) -> None:
        self._path = f"{folder}/README.md"
        self._folder = folder
        self._body = files.get(self._path)
        self._text = (self._body or b"").decode("utf-8", "replace")
        self._rows = list(rows(self._text))
        self._validation = named_in(VALIDATION, self._text)
        self._classes = named_in(CLAIM, self._text) or self._only_dataset()
        self._placed: set[str] = set()

    def _only_dataset(self) -> Named | None:
        """Give the dataset that the section of datasets names, if it is one."""
        text = section(self._text, "Dataset")
        found = [Named(words, line) for line in text.splitlines() for words, _ in links(line) if DATASET.search(words)]
        found += [named for line in text.splitlines() if (named := named_in(TRAINED, line))]
        names = {re.sub(r" data ?set$", "", one.name, flags=re.IGNORECASE).casefold() for one in found}
        return found[-1] if len(names) == 1 else None

    def unplaced(self) -> Iterator[Lost]:
        """Give the rows of results that link to no file of a model."""
        for row in self._rows:
            if row.line not in self._placed and any(VALUE.fullmatch(cell) for _, cell in _results(row)):
                yield Lost(f"{self._path}: {row.line}", "a row of results that links to no file of the manifest")

    def describe(self, package: Package, path: str) -> None:
        """Add to a model what its page says: licence, datasets, and the results in the row that links to its file."""
        if self._body is None:
            return
        package.card = (self._path, self._body)
        if (license_ := LICENSE.search(self._text)) and license_[1].lower() in SPDX:
            package.licenses.append(license_[1])
            package.say("license", license_[1], self._path, license_[0])
        self._add_datasets(package)
        relative = path.removeprefix(f"{self._folder}/")
        for row in self._rows:
            if relative in row.targets or f"./{relative}" in row.targets:
                self._placed.add(row.line)
                self._add_scores(package, row)

    def _add_datasets(self, package: Package) -> None:
        for line in section(self._text, "Dataset").splitlines():
            for words, target in links(line):
                if DATASET.search(words) and target.startswith("http"):
                    package.link("dataset", target if words.lower() == "dataset" else words, "text")
                    package.say("dataset", {"name": words, "address": target}, self._path, line.strip())

    def _add_scores(self, package: Package, row: Row) -> None:
        for heading, cell in _results(row):
            match = VALUE.fullmatch(cell)
            metric, value, dataset, evidence = heading, None, None, row.line
            if match:
                metric, value, dataset = match["metric"] or heading, float(match["value"]), match["dataset"]
            named = self._validation or (self._classes if TOP_K.search(heading) else None)
            if dataset is None and named:
                dataset, evidence = named.name, joined(row.line, named.evidence)
            package.scores.append(Score(package.task, dataset, None, None, metric, cell, value, self._path, evidence))


def _results(row: Row) -> list[tuple[str, str]]:
    return [(heading, cell) for heading, cell in row.cells.items() if heading.lower() not in NO_METRICS and cell]
