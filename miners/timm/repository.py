"""timm's repository as a catalogue (https://github.com/huggingface/pytorch-image-models)."""

import re

from miners.catalogue import Catalogue, Described, Files, miner
from miners.github import SITE, archived, github_client
from miners.timm.benchmarks import HUB, add_benchmarks
from miners.timm.results import add_results

REPOSITORY = "huggingface/pytorch-image-models"
TABLE = re.compile(r"results/[^/]+\.csv")


def wanted(path: str, size: int) -> bool:
    """Say whether a file is one of the tables."""
    return TABLE.fullmatch(path) is not None


def describe(files: Files) -> Described:
    """Turn the tables into packages, one a model, and rows of throughput."""
    found = Described()
    add_results(files, found)
    add_benchmarks(files, found)
    return found


CATALOGUE = Catalogue(HUB, SITE, wanted, archived(REPOSITORY, wanted), describe, github_client)
mine = miner(CATALOGUE)
