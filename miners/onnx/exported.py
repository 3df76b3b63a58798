"""Models that the ONNX Model Zoo exported from other libraries: a turnkey_stats.yaml each.

An export is known as what it was exported from. Whether it has that model's weights is not said: the scripts that
made the exports take trained weights only when told to, and the statistics do not tell.
"""

import re
from pathlib import PurePosixPath
from typing import Any

from miners.cards.front_matter import Malformed, parse
from miners.catalogue import Described, Files
from miners.onnx.pages import TREE
from miners.onnx.pointers import pointed
from miners.package import Lost, Package, PackageFile

STATISTICS = "turnkey_stats.yaml"
BYTES_OF_A_KIB = 1024
SKIPPED = "skip"  # what some of the folders of exports are called; why, the zoo does not say
INFORMATION = {"opset": "opset", "ir_version": "ir_version"}
SAID = {  # a field of the statistics -> the statement's name
    "author": "origin_library",
    "model_name": "origin_name",
    "onnx_input_dimensions": "inputs",
    "onnx_ops_counter": "operators",
    "builds": "builds",
}
HASH = re.compile(r"^hash: '?([0-9a-f]{1,64})'?\r?$", re.MULTILINE)  # as text: YAML reads some as numbers like 37192e6
REPOSITORIES = {"torchvision": "github.com/pytorch/vision"}  # of libraries that are nothing else, by the zoo's README
LIBRARY_OF_ARCHITECTURES = "timm"  # its names are those of architectures, too


def exported(files: Files, found: Described) -> None:
    """Add the models that have statistics."""
    weights = _weights(files)
    for path, body in files.items():
        if path.rpartition("/")[2] == STATISTICS:
            try:
                found.packages.append(_package(path, body, weights))
            except Malformed as error:
                found.lost.append(Lost(path, str(error)))


def _weights(files: Files) -> dict[str, list[PackageFile]]:
    """Give the weights that pointers stand for, by folder."""
    weights: dict[str, list[PackageFile]] = {}
    for path, body in files.items():
        if path.endswith(".onnx") and (file := pointed(path, body)):
            weights.setdefault(path.rpartition("/")[0], []).append(file)
    return weights


def _package(path: str, body: bytes, weights: dict[str, list[PackageFile]]) -> Package:
    text = body.decode("utf-8", "replace")
    said, _ = parse(text)
    if not isinstance(said, dict):
        raise Malformed("the statistics are no map")
    folder = PurePosixPath(path).parent
    author = said.get("author")
    name = folder.name.removesuffix(f"_{author}")
    package = Package(f"{author}/{name}" if isinstance(author, str) else name, library="onnx")
    package.take("task", str, said.get("task"), path)
    package.take("architecture", str, said.get("class"), path)
    package.take("parameters", int, said.get("parameters"), path)
    package.link("code", said.get("builtin_model_script"))
    package.link("home", f"{TREE}/{folder}")
    for field, statement in SAID.items():
        package.say(statement, said.get(field), path)
    if isinstance(said.get("hash"), str | int | float) and (written := HASH.search(text)):
        package.say("hash", written[1], path)
    _name_origin(package, author, said.get("model_name"))
    information = said.get("onnx_model_information")
    _describe_file(package, information if isinstance(information, dict) else {}, path)
    package.files += weights.get(str(folder), [])
    package.say("folder", SKIPPED if SKIPPED in folder.parts else None, path)
    return package


def _name_origin(package: Package, library: object, name: object) -> None:
    if isinstance(library, str) and isinstance(name, str) and library and name:
        package.link("known_as", f"{REPOSITORIES.get(library, library)}#{name}")
        if library == LIBRARY_OF_ARCHITECTURES:
            package.link("architecture", f"{library}#{name}")


def _describe_file(package: Package, information: dict[str, Any], path: str) -> None:
    for field, statement in INFORMATION.items():
        package.say(statement, information.get(field), path)
    size = information.get("size on disk (KiB)")
    if isinstance(size, int | float) and not isinstance(size, bool) and 0 <= size < 2**50:
        package.say("bytes", round(size * BYTES_OF_A_KIB), path)
