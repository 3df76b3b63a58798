"""Where a publication is written, and how it gets to a hub from there."""

import shutil
from pathlib import Path

import polars as pl

from schemas import Lake
from schemas.lying import PUBLISHED
from zoo.publishing.address import OnHub, parse_address
from zoo.publishing.commits import commit_of
from zoo.publishing.folder import check_folder


class Destination:
    """A folder, or a repository of the hub with the lake's folder in which its files lie until they are there.

    Raises:
        UsageError: It is no address, or the folder holds other things.
    """

    def __init__(self, lake: Lake, to: str | Path) -> None:
        address = parse_address(to)
        self.repository = address.repository if isinstance(address, OnHub) else None
        staged = lake.path / PUBLISHED / (self.repository or "").replace("/", "--")
        self.folder = address if isinstance(address, Path) else staged
        check_folder(self.folder)

    @property
    def name(self) -> str:
        """owner/name on the hub, or the folder's name."""
        return self.repository or self.folder.resolve().name

    def with_commits(self, files: pl.DataFrame) -> pl.DataFrame:
        """Add the number of the commit that each file goes up with, if it goes to a hub."""
        if self.repository is None:
            return files
        return files.with_columns(commit=pl.col("file").replace_strict(commit_of(files["file"].to_list())))

    def send(self, files: pl.DataFrame, private: bool, endpoint: str | None) -> None:
        """Upload the files, if they go to a hub; they are kept until all of them are there.

        Raises:
            HubError: The hub cannot be reached or refuses; doing it again goes on from there.
        """
        if self.repository is None:
            return
        from zoo.publishing.hub import upload  # here, since a folder needs no network

        upload(self.folder, self.repository, files["file"].to_list(), "dataset", private=private, endpoint=endpoint)
        shutil.rmtree(self.folder, ignore_errors=True)


def sizes(folder: Path, written: list[str], plan: pl.DataFrame) -> pl.DataFrame:
    """A row a file that was written, with its rows as planned, and its bytes."""
    found = pl.DataFrame({"file": written, "bytes": [(folder / path).stat().st_size for path in written]})
    return found.join(plan.select("file", "rows"), on="file", how="left").select("file", "rows", "bytes")
