"""Fixtures that several test files share."""

import os

if "PYTEST_XDIST_WORKER" in os.environ:  # test processes side by side share the cores: one thread each
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from learners import identify
from miners import mine
from schemas import Lake, open_lake
from tests.hub import TestHub
from tests.tiny_population import built, tiny_recipe
from zoo.recipe import Recipe

ROOT = Path(__file__).parents[1]
TOKEN = "hf_secretsecretsecretsecret"
ARCHIVES = {
    "onnx": "onnx/onnx_models.tar.gz",
    "pytorch_hub": "pytorch_hub/pytorch_hub.tar.gz",
    "modelhub_ai": "modelhub_ai/modelhub_ai.tar.gz",
    "timm": "timm/timm_results.tar.gz",
}

settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])  # busy ones too
settings.load_profile("any machine")


@pytest.fixture(scope="session")
def new_lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a new lake, to copy: migrating one takes ten times as long, and hundreds of tests want one."""
    folder = tmp_path_factory.mktemp("empty") / "lake"
    with open_lake(folder):
        return folder


@pytest.fixture
def lake(new_lake: Path, tmp_path: Path) -> Iterator[Lake]:
    shutil.copytree(new_lake, tmp_path / "lake")
    with open_lake(tmp_path / "lake") as opened:
        yield opened


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the dataset that tiny populations are trained on."""
    return tmp_path_factory.mktemp("images")


@pytest.fixture(scope="session")
def recipe(images: Path) -> Recipe:
    return tiny_recipe(images)


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, recipe: Recipe) -> Lake:
    """A lake in which the tiny recipe was built; no test may change it."""
    lake = open_lake(tmp_path_factory.mktemp("undisturbed") / "lake")
    built(lake, recipe)
    return lake


@pytest.fixture
def copied(undisturbed: Lake, tmp_path: Path) -> Lake:
    """The lake in which the tiny recipe was built, for a test to change or spoil."""
    shutil.copytree(undisturbed.path, tmp_path / "copied")
    return open_lake(tmp_path / "copied")


@pytest.fixture(scope="module")
def normalised(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """Two tiny ResNets that start from the same weights; a lake of its own for each file of tests."""
    folder = tmp_path_factory.mktemp("normalised")
    recipe = tiny_recipe(folder, architecture="resnet18", width="2", batch_size="8", settings="init_seed = 0")
    lake = open_lake(folder / "lake")
    built(lake, recipe)
    return lake


@pytest.fixture(scope="session")
def data_folder() -> Path:
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"the real data set is not at {folder}")
    return folder


@pytest.fixture(scope="session")
def catalogues(data_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """A lake with all catalogues of the real data set, in which models were identified; no test may change it."""
    lake = open_lake(tmp_path_factory.mktemp("catalogues") / "lake")
    for hub, archive in ARCHIVES.items():
        mine(lake, hub, source=data_folder / "hubs" / archive)
    identify(lake)
    return lake


@pytest.fixture
def upload_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestHub]:
    """A hub that takes uploads of whoever has its token, which this process has."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)  # the hub speaks Git LFS
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    with TestHub(uploads=tmp_path / "hub", token=TOKEN) as running:
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        yield running


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 24 MB that a test may fill; skipped where mounting one is not allowed."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a file system is not allowed here")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)
