import os
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from miners.http import Answer
from miners.raw import keep
from schemas.errors import OutsideError

AT = datetime(2025, 6, 1, 12, tzinfo=UTC)


def answer(body: bytes) -> Answer:
    return Answer("https://hub.example/api/models", 200, {}, body, AT)


def test_answers_are_kept_as_they_came(tmp_path: Path) -> None:
    place = keep(tmp_path / "raw", "000000", [answer(b"[]"), answer(bytes(range(256)))])
    assert pl.read_parquet(place).rows() == [
        ("https://hub.example/api/models", 200, AT, body) for body in (b"[]", bytes(range(256)))
    ]


def test_a_full_disk_is_one_sentence_and_leaves_nothing(small_disk: Path) -> None:
    with pytest.raises(OutsideError, match=r"\Acannot write .*000000\.parquet: [^\n]*No space left[^\n]*\Z"):
        keep(small_disk / "raw", "000000", [answer(os.urandom(30 * 2**20))])
    assert list((small_disk / "raw").iterdir()) == []
