"""Tar archives made in memory, well-behaved and hostile ones."""

import io
import tarfile
from collections.abc import Mapping, Sequence


def archive(
    files: Mapping[str, bytes],
    mode: str = "w:gz",
    others: Sequence[tarfile.TarInfo] = (),
    commit: str | None = None,
    cut: int | None = None,
) -> bytes:
    """Pack files, and members that are no files; `commit` goes where git puts it, `cut` is how much is kept."""
    made = io.BytesIO()
    headers = {"comment": commit} if commit else {}
    with tarfile.open(fileobj=made, mode=mode, format=tarfile.PAX_FORMAT, pax_headers=headers) as opened:  # type: ignore[call-overload]  # any mode
        for name, body in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(body)
            opened.addfile(member, io.BytesIO(body))
        for member in others:
            opened.addfile(member)
    return made.getvalue()[:cut]


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    """Make a member that is no file."""
    member = tarfile.TarInfo(name)
    member.type = kind
    member.linkname = target
    return member
