"""E-mail addresses are found however they are hidden, and code and prose that look like them are left alone."""

import json
import re
import tarfile
from pathlib import Path

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zoo.publishing.emails import MAYBE, REMOVED, scrub, without_emails

ADDRESSES = [
    *("ada@example.org", "ada.b+c@mail.example.co.uk", "müller@exämple.de", "o'brien@uni.edu", "ada@пример.рф"),
    *("ada@host.local", "ADA@EXAMPLE.ORG", "ada_b@x.museum", "{ada,ben}@uni.edu", "ada\u200b@example.org"),
    *("a\u200bda@exam\u200bple.org", "ada\uff20example.org", "ada&#64;example.org", "ada%40example.org"),
    *("ada @ example.org", "ben @ example . com", "ada@ example.org", "ada @uni.de", "ada @ mail.uni.ac.uk"),
    *("gus AT foo DOT com", "gus AT foo.com", "ada [at] example [dot] org", "ada[at]example.org", "ada (at) x.museum"),
    *("ada{at}vu{dot}nl", "ada<at>x<dot>org", "mo#at#x.org", "mo#at#x#dot#org", "ada [@] example.org"),
    *("liz at gmail dot com", "liz.b at cs dot uni dot edu", "liz at uni (dot) de", "liz at gmail.com"),
    *("liz at yahoo.co.uk", "ada_at_example_dot_org", "ada-at-mail-dot-example-dot-org", "ada@example dot org"),
    *("ada\u00a0@\u00a0example.org", "ada@main.de", "ada@version.example.org"),
]
CODE = [
    "y = a @ b.transpose(0, 1)",
    "y = a@b.transpose(0, 1)",
    "y = x @ self.weight.to(device)",
    "h = x@w.to(device)",
    "q @ k.mT",
    "loss = x @ y.at[0]",
    "attention = q @ k.T / math.sqrt(d)",
    "```python\n@torch.no_grad()\ndef f(): ...\n```",
    "```\n@torch.no_grad()\n```",
    "Decorated\n@tf.function",
    "faster\n@jax.jit",
    "pkg@latest.version",
    "npm install pkg@4.17.21",
    "transformers@v4.2",
    "huggingface.co/ada/one@main",
    "w@x.grad + b",
    "MRR@10. BM25 is",
    "hits@k. this",
    "accuracy of 0.9. At last it works",
    "look at the dot product in com",
    "trained at example.org",
    "at 3 dot 5",
]


@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.parametrize(
    "around", ["by {} and more", "{}", "Mail:\n{}\nThanks", "<{}>", "({}). Then", "_{}_", "“{}”, x"]
)
def test_addresses_are_removed_and_nothing_else(address: str, around: str) -> None:
    joined = around == "_{}_" and not address.startswith("{")  # a name may have underscores, too
    expected = around.format(REMOVED).removeprefix("_" * joined)
    assert scrub(around.format(address)) == expected


@pytest.mark.parametrize("text", CODE)
def test_code_and_prose_stay(text: str) -> None:
    assert scrub(text) == text


def test_words_after_an_address_stay() -> None:
    assert scrub("ada@example.org. Our model") == f"{REMOVED}. Our model"
    assert scrub("ada@example.org(Ada), ada@uni.de(Ben)") == f"{REMOVED}(Ada), {REMOVED}(Ben)"
    assert scrub("ada@example.org,ben@example.org;x@y.zz") == f"{REMOVED},{REMOVED};{REMOVED}"
    assert scrub("a@b.org谢谢") == f"{REMOVED}谢谢"


def test_json_stays_json() -> None:
    said = {"a": "x\nada@x.org", "b": ["\tmüller@x.org\n", "ada @ x.org"], "ada@x.org": '"ben@x.org"'}
    expected = {"a": f"x\n{REMOVED}", "b": [f"\t{REMOVED}\n", REMOVED], REMOVED: f'"{REMOVED}"'}
    for escaped in (True, False):
        assert json.loads(scrub(json.dumps(said, ensure_ascii=escaped))) == expected


@given(st.lists(st.sampled_from([*ADDRESSES, *CODE, " ", "\n", "a", "@", ".", "at", "dot"])).map(" ".join))
def test_what_is_looked_at_in_short_is_what_is_looked_at_whole(text: str) -> None:
    """A text that is left alone because it has no sign of an address would be left alone by the search, too."""
    (whole,) = duckdb.execute(f"SELECT {without_emails('$1::VARCHAR')}", [text]).fetchone() or ()
    assert scrub(text) == whole
    assert MAYBE.search(text) or whole == text


@pytest.mark.data
def test_no_plain_address_of_a_real_card_is_left_and_no_code_is_lost(data_folder: Path) -> None:
    """Beside a plain search: what is removed more than it finds is written with `[at]`, and every other text stays."""
    plain = re.compile(r"[\w.%+'-]+@(?:[A-Za-z0-9-]+\.)+[A-Za-z]{2,}(?![A-Za-z0-9]|_*\()")
    texts = []
    for name in ("cards_2022", "cards_2025"):
        with tarfile.open(data_folder / "hubs" / "huggingface" / f"{name}.tar.gz") as archive:
            opened = (archive.extractfile(member) for member in archive if member.name.endswith("/README.md"))
            texts += [file.read().decode(errors="replace") for file in opened if file]
    query = f"SELECT each, {without_emails('each')} FROM (SELECT unnest($1::VARCHAR[]) AS each)"
    removed = 0
    for text, found in duckdb.execute(query, [texts]).fetchall():
        if found == text:
            assert not any(plain.search(line) for line in text.split("\n") if "@" in line)
            continue
        assert not plain.search(found)
        pieces = found.split(REMOVED)
        gone = re.fullmatch("(.{5,80}?)".join(map(re.escape, pieces)), text)
        assert gone is not None
        assert all("@" in each or "[at]" in each or "{at}" in each for each in gone.groups())
        removed += len(pieces) - 1
    assert removed == 267
