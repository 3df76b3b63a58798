"""The page (README.md) of a family of models in the ONNX Model Zoo, and what it says of each of them."""

import re

from miners.catalogue import Files
from miners.licenses import SPDX
from miners.markdown import Row, links, rows, section
from miners.package import Package, Score

OVERVIEW = "README.md"
TREE = "https://github.com/onnx/models/tree/main"
LICENSE = re.compile(r"<!-+\s*SPDX-License-Identifier:\s*([A-Za-z0-9.+-]{1,60})\s*-+>")
NO_METRICS = {"model", "download", "download (with sample test data)", "onnx version", "opset version", "dataset"}
VALUE = re.compile(
    r"(?:(?P<metric>[A-Za-z][\w@. -]{0,30}?)\s+(?:of\s+)?)?(?P<value>\d{1,4}(?:\.\d{1,9})?)\s*%?"
    r"(?:\s+in\s+(?P<dataset>[\w .-]{1,60}))?"
)
DATASET = re.compile(r"data ?set|imagenet|coco|squad|corpus|train images", re.IGNORECASE)
IMAGENET = re.compile(r"Dataset used for (?:train and )?validation: \[?(ImageNet[^\]\[\n]{0,40})\]?", re.IGNORECASE)


class Page:
    """The page of a folder, if there is one."""

    def __init__(self, folder: str, files: Files) -> None:
        self._path = f"{folder}/README.md"
        self._folder = folder
        self._body = files.get(self._path)
        self._text = (self._body or b"").decode("utf-8", "replace")
        self._rows = list(rows(self._text))
        self._dataset = IMAGENET.search(self._text)

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
                self._add_scores(package, row)

    def _add_datasets(self, package: Package) -> None:
        for line in section(self._text, "Dataset").splitlines():
            for words, target in links(line):
                if DATASET.search(words) and target.startswith("http"):
                    package.link("dataset", target if words.lower() == "dataset" else words, "text")
                    package.say("dataset", {"name": words, "address": target}, self._path, line.strip())

    def _add_scores(self, package: Package, row: Row) -> None:
        for heading, cell in row.cells.items():
            if heading.lower() in NO_METRICS or not cell:
                continue
            match = VALUE.fullmatch(cell)
            metric, value, dataset = heading, None, None
            if match:
                metric, value, dataset = match["metric"] or heading, float(match["value"]), match["dataset"]
            evidence = row.line
            if dataset is None and self._dataset:
                dataset, evidence = self._dataset[1].strip(), f"{row.line}\n{self._dataset[0]}"
            score = Score(package.task, dataset, None, None, metric, cell, value, self._path, evidence)
            package.scores.append(score)
