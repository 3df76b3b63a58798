"""Models that the ONNX Model Zoo exported from other libraries: a turnkey_stats.yaml each."""

from pathlib import PurePosixPath
from typing import Any

from miners.cards.front_matter import Malformed, parse
from miners.catalogue import Described, Files
from miners.onnx.pointers import pointed
from miners.package import Lost, Package, PackageFile

STATISTICS = "turnkey_stats.yaml"
BYTES_OF_A_KIB = 1024
INFORMATION = {"opset": "opset", "ir_version": "ir_version"}
SAID = {  # a field of the statistics -> the statement's name
    "author": "origin_library",
    "model_name": "origin_name",
    "hash": "hash",
    "onnx_input_dimensions": "inputs",
    "onnx_ops_counter": "operators",
    "builds": "builds",
}


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
    said, _ = parse(body.decode("utf-8", "replace"))
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
    for field, statement in SAID.items():
        package.say(statement, said.get(field), path)
    information = said.get("onnx_model_information")
    _describe_file(package, information if isinstance(information, dict) else {}, path)
    package.files += weights.get(str(folder), [])
    package.tag(["skip"] if "skip" in folder.parts else [])
    return package


def _describe_file(package: Package, information: dict[str, Any], path: str) -> None:
    for field, statement in INFORMATION.items():
        package.say(statement, information.get(field), path)
    size = information.get("size on disk (KiB)")
    if isinstance(size, int | float) and not isinstance(size, bool) and 0 <= size < 2**50:
        package.say("bytes", round(size * BYTES_OF_A_KIB), path)
