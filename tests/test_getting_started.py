"""The pages to begin with are true: every command on them runs, and prints what stands there."""

import doctest
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import weightlake
from commands.example_hub import example_hub
from learners.soups.methods.method import METHODS
from tests.conftest import ROOT
from tests.test_readme import CloseFigures

PAGES = ("start_mining", "start_populations", "start_models", "add_a_recipe", "add_a_learner")
SAME_FOLDER = {"add_a_learner": "start_populations"}
"""Pages that build one population, which the second one only looks up."""
COMMAND = re.compile(r'\$ (?P<command>(?:[^"\n]|"[^"]*")+)\n(?P<printed>(?:(?!\$ ).*\n)*)')
BLOCK = re.compile(r"```(?P<language>\w+)\n(?P<content>.*?)```", re.DOTALL)
RULE = re.compile(r"\s*─+\s*")
THEIR_HUB = "http://127.0.0.1:8765"


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the readers' folders lie."""
    return tmp_path_factory.mktemp("readers")


@pytest.fixture
def hub() -> Iterator[str]:
    """The address of the hub that the pages' readers start for themselves."""
    with example_hub() as running:
        yield running.url


class Reader:
    """Somebody who does what a page says, from its first line to its last, in an empty folder."""

    def __init__(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, hub: str) -> None:
        self.capsys, self.monkeypatch, self.hub = capsys, monkeypatch, hub
        self.names: dict[str, object] = {"__name__": "page"}
        self.done: dict[str, int] = {}

    def read(self, page: str) -> None:
        for block in BLOCK.finditer(page):
            if act := getattr(self, f"do_{block['language']}", None):
                act(block["content"])
                self.done[block["language"]] = self.done.get(block["language"], 0) + 1

    def do_toml(self, content: str) -> None:
        Path(content.split("\n", 1)[0].removeprefix("# ")).write_text(content, encoding="utf-8")

    def do_bash(self, content: str) -> None:
        for line in content.splitlines():
            self.run(line)

    def do_console(self, content: str) -> None:
        assert len(COMMAND.findall(content)) == content.count("$ ")
        for command, printed in COMMAND.findall(content):
            shown, wanted = (words(text) for text in (self.run(command), printed))
            assert CloseFigures().check_output(str(wanted), str(shown), 0), f"{command}: {shown} instead of {wanted}"

    def do_python(self, content: str) -> None:
        if ">>> " in content.split("\n", 1)[0]:
            session = doctest.DocTestParser().get_doctest(content, self.names, "page", None, 0)
            runner = doctest.DocTestRunner(checker=CloseFigures(), verbose=False)
            assert runner.run(session, clear_globs=False).failed == 0, self.capsys.readouterr().out
            self.names |= session.globs
        else:
            exec(content, self.names)

    def run(self, command: str) -> str:
        """What a command writes to standard output."""
        self.monkeypatch.setattr(sys, "argv", shlex.split(command.replace(THEIR_HUB, self.hub)))
        assert sys.argv[0] == "weightlake", command
        self.capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            weightlake.main()
        printed = self.capsys.readouterr()
        assert not ended.value.code, printed.err
        return printed.out


def words(text: str) -> list[list[str]]:
    """A table's words by lines, whatever its columns' widths."""
    return [line.split() for line in text.splitlines() if line.strip() and not RULE.fullmatch(line)]


@pytest.mark.parametrize("name", PAGES)
def test_a_page_says_what_its_reader_sees(
    name: str, folders: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], hub: str
) -> None:
    folder = folders / SAME_FOLDER.get(name, name)
    folder.mkdir(exist_ok=True)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.delenv("WEIGHTLAKE_LAKE", raising=False)
    known = dict(METHODS)
    reader = Reader(capsys, monkeypatch, hub)
    try:
        reader.read((ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8"))
        if name == "add_a_learner":
            doctest.run_docstring_examples(METHODS["median"].merge, reader.names)
            assert not capsys.readouterr().out
    finally:
        METHODS.clear()
        METHODS.update(known)
    assert reader.done["bash"]
    assert reader.done["console"]
