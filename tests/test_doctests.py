"""Every example in a docstring gives what it says."""

import doctest
import importlib
import pkgutil
from collections.abc import Iterator
from importlib.util import find_spec

import pytest

from tests.test_repository import ROOMS

ABSENT = set() if find_spec("ray") else {"zoo.engines.ray_cluster"}  # needs an extra


def names() -> Iterator[str]:
    for room in ROOMS:
        package = importlib.import_module(room)
        found = (module.name for module in pkgutil.walk_packages(package.__path__, f"{room}."))
        yield from (name for name in found if name not in ABSENT)


@pytest.mark.parametrize("name", list(names()))
def test_examples_are_true(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_there_are_examples() -> None:
    assert sum(doctest.testmod(importlib.import_module(name)).attempted for name in names()) >= 5
