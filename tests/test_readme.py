"""The README's sessions are run, and what they print is what stands there (figures to within 0.03)."""

import doctest
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import weightlake
from tests.conftest import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
FIGURE = re.compile(r"\d+\.\d+")
ROUNDING = 0.03  # eight of 269 test images: so far another processor's rounding may move an accuracy


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


class CloseFigures(doctest.OutputChecker):
    """Equal but for figures, which may differ by a little."""

    def check_output(self, want: str, got: str, optionflags: int) -> bool:
        if FIGURE.sub("#", want) != FIGURE.sub("#", got):
            return False
        pairs = zip(FIGURE.findall(want), FIGURE.findall(got), strict=True)
        return all(abs(float(mine) - float(theirs)) <= ROUNDING for mine, theirs in pairs)


def test_the_sessions_are_true(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    session = doctest.DocTestParser().get_doctest(blocks("python")[0], {}, "README", "README.md", 0)
    assert len(session.examples) == 10
    failures = doctest.DocTestRunner(checker=CloseFigures(), verbose=False).run(session).failed
    assert failures == 0, capsys.readouterr().out
    command, table = blocks("console")[0].split("\n", 1)
    monkeypatch.setattr(sys, "argv", shlex.split(command.removeprefix("$ ")))
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        weightlake.main()
    assert not ended.value.code
    shown = [line.split() for line in capsys.readouterr().out.splitlines()]
    wanted = [line.split() for line in table.splitlines()]
    assert CloseFigures().check_output(str([w for w in wanted if w]), str([s for s in shown if s]), 0)
    _publish_and_read(monkeypatch)


def _publish_and_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the README's words: publish what its first block has trained, and read it without any of this project."""
    (command,) = re.findall(r"`(weightlake zoo publish .*?)`", README)
    monkeypatch.setattr(sys, "argv", shlex.split(command))
    with pytest.raises(SystemExit) as ended:
        weightlake.main()
    assert not ended.value.code
    ours = ("weightlake", "commands", "learners", "miners", "schemas", "zoo")
    hidden = f"import sys\nsys.modules |= dict.fromkeys({ours})\n"
    seen = "print(models['train'].num_rows, tensor.size > 0, model_id in models['train']['model_id'])"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {"HF_HOME": "cache"}
    done = subprocess.run(
        [sys.executable, "-P", "-c", f"{hidden}{blocks('python')[1]}\n{seen}"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["8", "True", "True"]


def test_one_sentence_install_and_a_session_come_early() -> None:
    assert ">>> " in "\n".join(README.splitlines()[:40])


def test_every_link_leads_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / target).exists(), target
