"""The shape of the house: who imports whom, what the wheel holds, what is exported, what is documented."""

import ast
import importlib
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from tests.conftest import ROOT

ROOMS = ("schemas", "miners", "zoo", "learners")
PACKAGES = (*ROOMS, "commands")  # what is installed: the rooms, and the command line that uses them all
MAY_IMPORT = {
    "schemas": {"schemas"},
    "miners": {"miners", "schemas"},
    "zoo": {"zoo", "schemas"},
    "learners": {"learners", "zoo", "schemas"},
}
CORE = [
    "zoo/architectures",
    "zoo/backends",
    "zoo/population.py",
    "zoo/train.py",
    "learners/landscape/calibration",
    "learners/landscape/collapse.py",
    "learners/landscape/connectivity",
    "learners/landscape/curvature",
    "learners/landscape/example_scores.py",
    "learners/landscape/learning_curve.py",
    "learners/landscape/similarity",
    "learners/landscape/surfaces",
    "learners/soups/average.py",
    "learners/soups/greedy.py",
    "learners/soups/merging.py",
    "learners/soups/methods",
    "learners/stitching/chain.py",
    "learners/stitching/cost.py",
    "learners/stitching/cuts.py",
    "learners/stitching/evaluation.py",
    "learners/stitching/form.py",
    "learners/stitching/joint.py",
    "learners/stitching/joint_training.py",
    "learners/stitching/joints.py",
    "learners/stitching/least_squares.py",
    "learners/stitching/moments.py",
    "learners/stitching/network.py",
    "learners/stitching/penalty.py",
    "learners/stitching/penalty_settings.py",
    "learners/stitching/repository.py",
    "learners/stitching/sites.py",
    "learners/stitching/space.py",
    "learners/stitching/statistics.py",
    "learners/stitching/stitchable.py",
    "learners/stitching/stitched.py",
    "learners/stitching/tiles.py",
    "learners/stitching/training.py",
]
CONNECTING = {"requests", "urllib3", "socket", "http", "aiohttp", "ftplib", "ssl"}


def modules(room: str) -> Iterator[Path]:
    yield from sorted((ROOT / room).rglob("*.py"))


def imported(path: Path) -> set[str]:
    """Full names of the modules that a file imports, wherever in the file it does."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            names.add(node.module or "")
    return names


@pytest.mark.parametrize("room", ROOMS)
def test_each_room_imports_only_what_it_may(room: str) -> None:
    for path in modules(room):
        ours = {name.split(".")[0] for name in imported(path)} & {
            *ROOMS,
            "commands",
            "weightlake",
            "tests",
        }
        assert ours <= MAY_IMPORT[room], f"{path} imports {ours - MAY_IMPORT[room]}"


NETWORK = {ROOT / "miners" / "http.py", ROOT / "zoo" / "publishing" / "hub.py"}  # the zoo may not import the miners


def test_only_one_module_of_a_room_touches_the_network() -> None:
    """Miners read hubs by one module, the zoo publishes to one and reads what was published by another.

    Others may know httpx2's values (URLs, headers, answers), never its clients, nor anything else that connects.
    """
    clients = {"Client", "AsyncClient", "HTTPTransport", "get", "post", "stream", "request", "get_session"}
    for path in [path for room in ROOMS for path in modules(room) if path not in NETWORK]:
        tops = {name.split(".")[0] for name in imported(path)}
        assert not tops & CONNECTING, f"{path} imports {tops & CONNECTING}"
        assert "urllib.request" not in imported(path)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "httpx2":
                assert node.attr not in clients, f"{path} uses httpx2.{node.attr}"
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(("httpx2", "huggingface_hub")):
                assert not {alias.name for alias in node.names} & {*clients, "HfApi", "hf_hub_download", "http_backoff"}


def test_the_numerical_core_needs_torch_and_the_standard_library_only() -> None:
    program = (
        "import importlib, sys\n"
        "for name in sys.argv[1].split(','): sys.modules[name] = None\n"
        "for name in sys.argv[2:]: importlib.import_module(name)\n"
    )
    absent = "duckdb,polars,pydantic,huggingface_hub,sklearn,numpy.typing,pyarrow,typer,filelock"
    files = [path for entry in CORE for path in ([ROOT / entry] if entry.endswith(".py") else modules(entry))]
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in files]
    subprocess.run([sys.executable, "-c", program, absent, *names, "schemas.weights"], cwd=ROOT, check=True)


@pytest.mark.parametrize("room", ROOMS)
def test_a_rooms_door_lists_what_it_exports_and_nothing_else(room: str) -> None:
    module = importlib.import_module(room)
    assert sorted(module.__all__) == module.__all__
    for name in module.__all__:
        assert getattr(module, name).__doc__, f"{room}.{name} has no docstring"
    for_readers = next(node for node in ast.walk(ast.parse(source(module))) if isinstance(node, ast.If))
    declared = {alias.name for node in for_readers.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert declared == set(module.__all__)
    beside = (ROOT / room).iterdir()
    modules_beside = {path.stem for path in beside if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert not modules_beside & set(module.__all__), "a module of the same name would hide what the room offers"
    with pytest.raises(AttributeError, match="nothing_of_that_name"):
        module.nothing_of_that_name  # noqa: B018 - the look-up is what is tested


def source(module: ModuleType) -> str:
    return Path(str(module.__file__)).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "path", [path for package in PACKAGES for path in modules(package)], ids=lambda path: str(path.relative_to(ROOT))
)
def test_each_module_says_what_it_is_for_and_stays_short(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert ast.get_docstring(ast.parse(text)), f"{path} has no docstring"
    assert text.count("\n") <= 300


def test_the_wheel_holds_the_packages_and_nothing_foreign(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    tracked = subprocess.run(
        ["git", "ls-files", "--", *PACKAGES, "*.py"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    belong = {name for name in tracked.stdout.split() if name.split("/")[0] in PACKAGES or name == "weightlake.py"}
    assert names == belong
    assert {"schemas/migrations/0001_lake.sql", "learners/reporting/page.html"} <= names


def test_generated_docs_are_up_to_date() -> None:
    done = subprocess.run(
        [sys.executable, "docs/generate.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_every_command_and_option_is_documented() -> None:
    from typer.main import get_command

    from weightlake import app

    def walk(command: object, path: str) -> Iterator[tuple[str, object]]:
        yield path, command
        for name, inner in getattr(command, "commands", {}).items():
            yield from walk(inner, f"{path} {name}")

    text = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    for path, command in walk(get_command(app), "weightlake"):
        assert f"## {path}\n" in text
        assert getattr(command, "help", None), f"{path} has no help"
        for parameter in getattr(command, "params", []):
            if parameter.name != "help":
                assert getattr(parameter, "help", None), f"{path} {parameter.name} has no help"


def test_the_changelog_names_this_version() -> None:
    from importlib.metadata import version

    assert f"## [{version('weightlake')}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
