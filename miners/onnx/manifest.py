"""Validated models of the ONNX Model Zoo: ONNX_HUB_MANIFEST.json, and the pages of the folders that they lie in."""

import re
from pathlib import PurePosixPath
from typing import Any

from miners.catalogue import Described, Files
from miners.markdown import rows
from miners.onnx.pages import OVERVIEW, TREE, Page
from miners.package import Lost, Package
from miners.pages import Unreadable, records

MANIFEST = "ONNX_HUB_MANIFEST.json"
MODEL_FOLDERS = {"model", "models", "preproc"}
VALIDATED = "validated"
ARXIV = re.compile(r"arxiv\.org/(?:abs|pdf)/(\d{4}\.\d{4,5})")


def validated(files: Files, found: Described) -> None:
    """Add the models of the manifest."""
    if MANIFEST not in files:
        found.unread.append(Lost(MANIFEST, "it is not there, so that no validated model is known"))
        return
    papers = _papers(files.get(OVERVIEW, b"").decode("utf-8", "replace"))
    pages: dict[str, Page] = {}
    for place, record in enumerate(records(files[MANIFEST])):
        problem = _complaint(record)
        if problem is None and isinstance(record, dict):
            package = _package(record)
            folder = _folder(record["model_path"])
            if folder not in pages:
                pages[folder] = Page(folder, files)
            pages[folder].describe(package, record["model_path"])
            for paper in papers.get(folder, []):
                package.link("paper", paper)
            found.packages.append(package)
        else:
            found.lost.append(Lost(f"{MANIFEST}#{place}", problem or "no object"))
    for page in pages.values():
        found.unplaced += page.unplaced()


def _complaint(record: object) -> str | None:
    if isinstance(record, Unreadable):
        return record.reason
    if not isinstance(record, dict):
        return f"the record is {str(record)[:80]!r}, expected an object"
    path = record.get("model_path")
    parts = path.split("/") if isinstance(path, str) else []
    if len(parts) < 3 or not all(parts) or ".." in parts:
        return f"model_path is {str(path)[:80]!r}, expected a path like validated/vision/.../model/name.onnx"
    return None


def _folder(path: str) -> str:
    """Give the folder of a model's family: the one above `model`.

    >>> _folder("validated/vision/classification/resnet/model/resnet18-v1-7.onnx")
    'validated/vision/classification/resnet'
    """
    parts = PurePosixPath(path).parts[:-1]
    return "/".join(parts[:-1] if parts[-1] in MODEL_FOLDERS else parts)


def _package(record: dict[str, Any]) -> Package:
    path = record["model_path"]
    folder = PurePosixPath(_folder(path))
    package = Package(f"{folder.name}/{PurePosixPath(path).stem}", library="onnx")
    package.link("home", f"{TREE}/{folder}")
    if folder.parts[0] == VALIDATED and len(folder.parts) > 3:
        package.task = folder.parts[2].replace("_", " ")
    metadata = record.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    tags = metadata.get("tags")
    package.tag(tags if isinstance(tags, list) else [])
    package.say("title", record.get("model"), MANIFEST)
    package.say("opset", record.get("opset_version"), MANIFEST)
    package.say("onnx_version", record.get("onnx_version"), MANIFEST)
    for name in ("io_ports", "extra_ports"):
        _say_ports(package, metadata.get(name))
    _add_file(package, path, metadata, "model")
    _add_file(package, metadata.get("model_with_data_path"), metadata, "model_with_data")
    return package


def _say_ports(package: Package, ports: object) -> None:
    for name, described in ports.items() if isinstance(ports, dict) else ():
        package.say(str(name), described, MANIFEST)


def _add_file(package: Package, path: object, metadata: dict[str, Any], prefix: str) -> None:
    if path:
        package.add_file(path, metadata.get(f"{prefix}_bytes"), metadata.get(f"{prefix}_sha"), MANIFEST)


def _papers(overview: str) -> dict[str, list[str]]:
    """Give the papers that the zoo's own page names for each folder, as arXiv identifiers."""
    papers: dict[str, list[str]] = {}
    for row in rows(overview):
        found = [match[1] for target in row.targets if (match := ARXIV.search(target))]
        for folder in [target.strip("/") for target in row.targets if target.startswith(f"{VALIDATED}/")]:
            papers.setdefault(folder, []).extend(found)
    return papers
