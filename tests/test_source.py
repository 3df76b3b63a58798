import os
import struct
import subprocess
import tarfile
import tracemalloc
import zlib
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miners import bounded, source
from miners.source import contents
from schemas import DataError, UsageError
from tests.archives import archive, special

FILES = {"a/one.md": b"1", "a/b/two.md": b"22", "a/other.txt": b"no"}
SHA = "0123456789abcdef0123456789abcdef01234567"


def wanted(path: str, size: int) -> bool:
    return path.endswith(".md")


def written(folder: Path, body: bytes) -> Path:
    place = folder / "archive"
    place.write_bytes(body)
    return place


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_an_archive_of_any_compression_gives_the_files_that_matter(tmp_path: Path, mode: str) -> None:
    found = contents(written(tmp_path, archive(FILES, mode)), wanted)
    assert found.files == {"a/one.md": b"1", "a/b/two.md": b"22"}
    assert found.refused == {}
    assert list(tmp_path.iterdir()) == [tmp_path / "archive"]


def test_a_folder_gives_the_same_as_its_archive(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    for path, body in FILES.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(body)
    packed = tmp_path / "packed.tar.gz"
    subprocess.run(["tar", "-czf", packed, "-C", folder, "."], check=True)
    unpacked = contents(folder, wanted)
    assert unpacked.folder == folder
    assert replace(unpacked, folder=None) == contents(packed, wanted)


def test_the_one_folder_of_githubs_archives_is_no_part_of_the_paths(tmp_path: Path) -> None:
    packed = archive({"hub-master/README.md": b"top", "hub-master/docs/x.md": b"deep"}, commit=SHA)
    found = contents(written(tmp_path, packed), lambda path, size: path in ("README.md", "docs/x.md"))
    assert found.files == {"README.md": b"top", "docs/x.md": b"deep"}
    assert found.commit == SHA


def test_a_checkout_tells_its_commit(tmp_path: Path) -> None:
    git = ["git", "-C", str(tmp_path), "-c", "user.name=n", "-c", "user.email=e@x"]
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    (tmp_path / "one.md").write_text("1")
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "-qm", "one"], check=True)
    head = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    assert contents(tmp_path, wanted).commit == head
    subprocess.run([*git, "pack-refs", "--all"], check=True)
    assert contents(tmp_path, wanted).commit == head
    packed = tmp_path.with_suffix(".tar.gz")
    subprocess.run([*git, "archive", "--prefix=it-main/", "-o", packed, "HEAD"], check=True)
    assert contents(packed, wanted).commit == head


HOSTILE = [
    special("a/link.md", tarfile.SYMTYPE, "/etc/passwd"),
    special("a/hard.md", tarfile.LNKTYPE, "a/one.md"),
    special("a/device.md", tarfile.CHRTYPE),
    special("a/pipe.md", tarfile.FIFOTYPE),
]


def test_links_and_devices_in_an_archive_are_refused_and_named(tmp_path: Path) -> None:
    found = contents(written(tmp_path, archive(FILES, others=HOSTILE)), wanted)
    assert set(found.refused) == {member.name for member in HOSTILE}
    assert set(found.files) == {"a/one.md", "a/b/two.md"}


@pytest.mark.parametrize("path", ["/etc/one.md", "../one.md", "a/../../one.md", "a\\..\\one.md"])
def test_paths_that_lead_out_are_refused_and_named(tmp_path: Path, path: str) -> None:
    found = contents(written(tmp_path, archive({path: b"x", **FILES})), wanted)
    assert found.refused == {path: "its path leads out of the source"}
    assert path not in found.files


def test_links_and_pipes_in_a_folder_are_refused_and_named(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (tmp_path / "secret.md").write_text("secret")
    (folder / "link.md").symlink_to(tmp_path / "secret.md")
    (folder / "away").symlink_to(tmp_path)
    os.mkfifo(folder / "pipe.md")
    (folder / "one.md").write_text("1")
    found = contents(folder, wanted)
    assert found.files == {"one.md": b"1"}
    assert set(found.refused) == {"link.md", "pipe.md"}


def test_a_bomb_is_refused_before_it_fills_anything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded, "LONGEST", 2**24)
    packed = archive({"zeros.bin": bytes(2**25), "one.md": b"1"})
    assert len(packed) < 2**17
    tracemalloc.start()
    with pytest.raises(DataError, match="unpacks to more than"):
        contents(written(tmp_path, packed), wanted)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**23


@pytest.mark.parametrize("name", ["zeros.bin", "zeros.md"])
def test_what_unpacks_to_a_thousand_times_its_size_is_refused_early(tmp_path: Path, name: str) -> None:
    packed = archive({"one.md": b"1", name: bytes(2**20 * 80)}, "w:xz")
    most = bounded.ALWAYS + bounded.RATIO * len(packed)
    assert most < 2**20 * 80
    with pytest.raises(DataError, match=f"unpacks to more than {most} bytes"):
        contents(written(tmp_path, packed), wanted)
    assert contents(written(tmp_path, archive({"one.md": b"1", name: bytes(2**20 * 40)}, "w:gz")), wanted).files


def test_a_header_that_claims_gigabytes_is_refused(tmp_path: Path) -> None:
    header = tarfile.TarInfo("x")
    header.type, header.size = tarfile.XHDTYPE, 2**33
    packed = header.tobuf(tarfile.USTAR_FORMAT if header.size < 8**11 else tarfile.GNU_FORMAT)
    with pytest.raises(DataError, match="claims to have"):
        contents(written(tmp_path, packed + bytes(1024)), wanted)


def test_a_file_that_is_too_large_is_refused_and_the_others_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "LARGEST_FILE", 1000)
    found = contents(written(tmp_path, archive({"large.md": bytes(1001), "one.md": b"1"})), wanted)
    assert found.files == {"one.md": b"1"}
    assert found.refused == {"large.md": "1001 bytes, at most 1000 are read"}


def test_files_that_are_too_many_or_too_large_together_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = written(tmp_path, archive({f"{number}.md": b"12345" for number in range(10)}))
    monkeypatch.setattr(source, "MOST_HELD", 49)
    with pytest.raises(DataError, match="49 bytes together"):
        contents(place, wanted)
    monkeypatch.setattr(source, "MOST_FILES", 9)
    with pytest.raises(DataError, match="more than 9 files that look like the hub's; name one"):
        contents(place, wanted)


def test_files_that_do_not_matter_do_not_count_as_those_that_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    for number in range(20):
        (folder / f"{number}.txt").touch()
    (folder / "one.md").write_text("1")
    monkeypatch.setattr(source, "MOST_FILES", 9)
    assert contents(folder, wanted).files == {"one.md": b"1"}
    monkeypatch.setattr(source, "MOST_SEEN", 20)
    with pytest.raises(DataError, match="folder is refused: it has more than 20 files; name one with the hub's"):
        contents(folder, wanted)


MATTERING = ("MANIFEST", "validated/README.md")


def anywhere(path: str, size: int) -> bool:
    return path in MATTERING or path.endswith("statistics")


def placed(folder: Path, paths: Iterable[str]) -> Path:
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(path)
    return folder


def test_the_folder_that_all_is_in_is_found_though_some_files_matter_anywhere(tmp_path: Path) -> None:
    whole = {"MANIFEST", "validated/README.md", "Vision/net/statistics"}
    inner = placed(tmp_path / "parent" / "models-main", whole)
    placed(tmp_path / "parent", ["notes.txt"])
    found = contents(tmp_path / "parent", anywhere)
    assert (set(found.files), found.folder) == (whole, inner)
    assert found.files == contents(inner, anywhere).files
    only = placed(tmp_path / "only", ["Vision/net/statistics"])
    assert set(contents(only, anywhere).files) == {"Vision/net/statistics"}


@pytest.mark.parametrize("others", [["v2/MANIFEST"], ["v2/net/statistics"], ["v2/validated/README.md", "notes.txt"]])
def test_several_checkouts_in_one_source_are_refused_and_named(tmp_path: Path, others: list[str]) -> None:
    folder = placed(tmp_path / "folder", ["v1/MANIFEST", "v1/net/statistics", *others])
    packed = written(tmp_path, archive(dict.fromkeys(("v1/MANIFEST", *others), b"x")))
    for place in (folder, packed):
        with pytest.raises(UsageError, match="in several folders, as 'v1' and 'v2'; name a single"):
            contents(place, anywhere)


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_an_archive_that_is_cut_off_anywhere_is_refused(tmp_path: Path, mode: str) -> None:
    whole = archive({f"{number}.md": os.urandom(700) for number in range(6)}, mode)
    end = len(whole) if mode != "w" else 6 * (512 + 1024)  # what follows are zeros that fill the last block
    for cut in range(0, end, 97):
        with pytest.raises(DataError, match="no readable tar archive"):
            contents(written(tmp_path, whole[:cut]), wanted)


def test_an_archive_that_is_damaged_in_its_middle_is_refused(tmp_path: Path) -> None:
    whole = bytearray(archive({f"{number}.md": b"x" * 600 for number in range(6)}, "w"))
    whole[1536 + 148] ^= 0xFF  # the checksum of the second header
    with pytest.raises(DataError, match="end mark"):
        contents(written(tmp_path, bytes(whole)), wanted)


@given(st.binary(max_size=2000))
def test_no_bytes_make_anything_but_a_refusal(tmp_path_factory: pytest.TempPathFactory, body: bytes) -> None:
    place = written(tmp_path_factory.mktemp("any"), body)
    with pytest.raises((DataError, UsageError)):
        contents(place, wanted)


def test_a_source_with_nothing_of_the_hub_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="none of the hub's files"):
        contents(tmp_path, wanted)
    with pytest.raises(UsageError, match="does not exist"):
        contents(tmp_path / "absent", wanted)


def test_gzip_with_a_wrong_checksum_is_refused(tmp_path: Path) -> None:
    packed = bytearray(archive(FILES))
    packed[-8:-4] = struct.pack("<I", zlib.crc32(b"something else"))
    with pytest.raises(DataError, match="no readable tar archive"):
        contents(written(tmp_path, bytes(packed)), wanted)
