"""What hubs do not take is refused before anything is written: too many files, and files that are too large."""

from pathlib import Path

import pytest

from schemas import Lake, UsageError
from zoo import publish_population
from zoo.publishing import limits
from zoo.publishing.commits import MOST_FILES, portions
from zoo.publishing.limits import check_limits


def test_a_folder_or_a_repository_that_is_too_full_is_refused() -> None:
    check_limits([f"weights/{number}" for number in range(limits.MOST_IN_FOLDER)], "")
    with pytest.raises(UsageError, match="10,001 files in weights, and hubs take 10,000 a folder; take larger ones"):
        check_limits([f"weights/{number}" for number in range(limits.MOST_IN_FOLDER + 1)], "take larger ones")
    spread = [f"{number % 20}/{number}" for number in range(limits.MOST_IN_REPOSITORY + 1)]
    check_limits(spread[:-1], "")
    with pytest.raises(UsageError, match="100,001 files, and hubs take 100,000 a repository"):
        check_limits(spread, "")


def test_larger_files_make_room_for_what_was_refused(
    undisturbed: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twenty-four checkpoints, a file each, in folders of ten files at most."""
    monkeypatch.setattr(limits, "MOST_IN_FOLDER", 10)
    monkeypatch.setattr(limits, "SMALLEST_FILE", 1)
    for dry_run in (True, False):
        with pytest.raises(UsageError, match=r"24 files in weights, and hubs take 10 a folder; .*\(shard_bytes\)"):
            publish_population(undisturbed, "tiny", tmp_path / "zoo", shard_bytes=1, dry_run=dry_run)
    assert not (tmp_path / "zoo").exists()
    files = publish_population(undisturbed, "tiny", tmp_path / "zoo", shard_bytes=10_000)
    assert 3 <= files["file"].str.starts_with("weights/").sum() <= 10


@pytest.mark.parametrize("size", [0, limits.SMALLEST_FILE - 1, limits.LARGEST_FILE + 1])
def test_files_of_sizes_that_hubs_do_not_take_are_refused(undisturbed: Lake, tmp_path: Path, size: int) -> None:
    with pytest.raises(UsageError, match="expected 1,000,000 to 5,000,000,000"):
        publish_population(undisturbed, "tiny", tmp_path / "zoo", shard_bytes=size)


def test_a_full_repository_goes_up_in_commits_of_fewer_than_a_hundred_files() -> None:
    files = [f"weights/{number:05}" for number in range(10_000)]
    commits = portions([*files, "README.md"])
    assert MOST_FILES < 100
    assert max(map(len, commits)) == MOST_FILES
    assert sorted(path for commit in commits for path in commit) == sorted([*files, "README.md"])
    assert commits[-1][-1] == "README.md"
