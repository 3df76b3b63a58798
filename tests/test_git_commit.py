import os
import subprocess
from pathlib import Path

import pytest

from miners import git_commit
from miners.git_commit import checked_out


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), "-c", "user.name=n", "-c", "user.email=e@x", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    subprocess.run(["git", "init", "-q", "-b", "main", folder], check=True)
    git(folder, "commit", "-q", "--allow-empty", "-m", "one")
    git(folder, "branch", "feature/main")
    git(folder, "commit", "-q", "--allow-empty", "-m", "two")
    return folder


def head(folder: Path) -> str:
    return git(folder, "rev-parse", "HEAD")


@pytest.mark.parametrize(
    "step", ["status", "pack-refs --all", "gc -q", "checkout -q --detach", "checkout -q feature/main"]
)
def test_the_commit_is_that_of_git(repository: Path, step: str) -> None:
    git(repository, *step.split())
    assert checked_out(repository) == head(repository)


def test_a_commit_after_references_were_packed_counts(repository: Path) -> None:
    git(repository, "pack-refs", "--all")
    git(repository, "commit", "-q", "--allow-empty", "-m", "three")
    assert checked_out(repository) == head(repository)


@pytest.mark.parametrize("is_packed", [False, True])
@pytest.mark.parametrize("how", [["feature/main"], ["--detach", "main"]])
def test_a_worktree_tells_its_own_commit(repository: Path, is_packed: bool, how: list[str]) -> None:
    worktree = repository.parent / "worktree"
    git(repository, "worktree", "add", "-q", *how[:-1], str(worktree), how[-1])
    if is_packed:
        git(repository, "pack-refs", "--all")
    assert checked_out(worktree) == head(worktree)
    assert checked_out(repository) == head(repository)


def test_a_checkout_that_names_another_ones_folder_tells_nothing(repository: Path) -> None:
    other = repository.parent / "other"
    other.mkdir()
    (other / ".git").write_text(f"gitdir: {repository / '.git'}\n")
    assert checked_out(other) is None
    git(repository, "worktree", "add", "-q", str(repository.parent / "worktree"), "feature/main")
    (other / ".git").write_text(f"gitdir: {repository / '.git' / 'worktrees' / 'worktree'}\n")
    assert checked_out(other) is None
    (other / ".git").unlink()
    (other / ".git").symlink_to(repository / ".git")
    assert checked_out(other) is None


@pytest.mark.parametrize("name", ["HEAD", "refs/heads/main", "packed-refs"])
def test_links_out_of_the_repository_and_pipes_are_not_read(repository: Path, name: str) -> None:
    secret = repository.parent / "secret"
    secret.write_text("a" * 40 + (" refs/heads/main\n" if name == "packed-refs" else ""))
    if name == "packed-refs":
        git(repository, "pack-refs", "--all")
    place = repository / ".git" / name
    place.unlink()
    place.symlink_to(secret)
    assert checked_out(repository) is None
    place.unlink()
    os.mkfifo(place)
    assert checked_out(repository) is None


@pytest.mark.parametrize(
    "body", [b"", b"ref: refs/../../../x", b"ref: refs/heads/absent", b"\xff", b"ref: refs/a\0b", b"a" * 41]
)
def test_a_head_of_anything_is_no_commit(repository: Path, body: bytes) -> None:
    (repository / ".git" / "HEAD").write_bytes(body)
    assert checked_out(repository) is None
    assert checked_out(repository.parent) is None


def test_packed_references_without_end_are_not_read_to_it(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git(repository, "pack-refs", "--all")
    expected = head(repository)
    assert checked_out(repository) == expected
    packed = repository / ".git" / "packed-refs"
    packed.write_bytes(b"#" * 5000 + b"\n" + packed.read_bytes())
    assert checked_out(repository) == expected
    monkeypatch.setattr(git_commit, "MOST_PACKED", 5000)
    assert checked_out(repository) is None
