"""Pointers of Git LFS, which stand in a repository for large files (docs/spec.md of github.com/git-lfs/git-lfs)."""

import re

from miners.package import PackageFile

POINTER = re.compile(
    rb"version https://git-lfs[^\n]*\n(?:ext-[^\n]*\n)*oid sha256:([0-9a-f]{64})\nsize ([0-9]{1,18})\n?"
)


def pointed(path: str, body: bytes) -> PackageFile | None:
    """Give the file that a pointer stands for; None if it is no pointer."""
    match = POINTER.fullmatch(body)
    return PackageFile(path, int(match[2]), match[1].decode()) if match else None
