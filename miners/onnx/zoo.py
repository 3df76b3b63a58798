"""The ONNX Model Zoo as a catalogue (https://github.com/onnx/models)."""

from miners.catalogue import Catalogue, Described, Files, miner
from miners.github import SITE, archived, github_client
from miners.onnx.exported import STATISTICS, exported
from miners.onnx.manifest import MANIFEST, validated
from miners.source import POINTER_LIMIT

REPOSITORY = "onnx/models"


def wanted(path: str, size: int) -> bool:
    """Say whether a file matters: the manifest, pages of validated models, statistics, and pointers to weights."""
    name = path.rpartition("/")[2]
    if name == STATISTICS:
        return True
    if path == MANIFEST or (name == "README.md" and (path.startswith("validated/") or path == name)):
        return True
    return name.endswith(".onnx") and size <= POINTER_LIMIT


def describe(files: Files) -> Described:
    """Turn the files into packages: the validated models, then the exported ones."""
    found = Described()
    validated(files, found)
    exported(files, found)
    return found


ZOO = Catalogue("onnx", SITE, wanted, archived(REPOSITORY, wanted), describe, github_client)
mine = miner(ZOO)
