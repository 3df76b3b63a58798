import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miners.cards import SIZE_LIMIT, Card, read_card
from miners.cards.filler import without_filler
from miners.cards.front_matter import plain
from miners.cards.sections import Section, sections, without_unseen


def sections_of(text: str) -> list[Section]:
    return sections(without_filler(without_unseen(text))[0])


def front(text: str) -> Card:
    return read_card(f"---\n{text}\n---\n# A model\n".encode())


def test_a_good_card_has_text_metadata_and_no_problems() -> None:
    body = b"---\nlicense: mit\ntags: [vision, 2d]\nmetrics:\n- accuracy: 0.5\n---\n# A model\nIt sees.\n"
    card = read_card(body)
    assert card.text == body.decode()
    assert card.metadata == {"license": "mit", "tags": ["vision", "2d"], "metrics": [{"accuracy": 0.5}]}
    assert card.problems == []


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"", "empty"),
        (b" \n\t\n", "empty"),
        (b"\xef\xbb\xbf", "empty"),
        (b"# A model\n", "no front matter"),
        (b"----\na: 1\n---\n", "no front matter"),
        (b"- ---\na: 1\n---\n", "no front matter"),
        (b"text\n---\na: 1\n---\n", "no front matter"),
        (b"---\nlicense: mit\n# A model\n", "front matter not closed"),
        (b"---", "front matter not closed"),
        (b"---\na: 1\n --- \n", "front matter not closed"),
        (b"---\na: [1\n---\n", "invalid YAML"),
        (b"---\na: b: c\n---\n", "invalid YAML"),
        (b"---\n\tlicense: mit\n---\n", "invalid YAML"),
        (b"---\na: *missing\n---\n", "invalid YAML"),
        (b"---\njust words\n---\n", "not a map"),
        (b"---\n- a\n- b\n---\n", "not a map"),
        (b"---\nlicense: mit\nlicense: gpl\n---\n", "duplicate keys"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n", "LFS pointer"),
        (b"---\nlicense: mit\n---\ncaf\xe9\n", "not UTF-8"),
        (b"---\na: &a [*a]\n---\n", "alias bomb"),
        (b"---\na: " + b"[" * 100_000 + b"\n---\n", "nested too deeply"),
        (b"---\na: " + b"[" * 70 + b"]" * 70 + b"\n---\n", "nested too deeply"),
        (b"---\na: 1\n---\n" + b"x" * SIZE_LIMIT, "over the size limit"),
    ],
)
def test_each_fault_is_named_and_the_text_is_kept(body: bytes, problem: str) -> None:
    card = read_card(body)
    assert card.problems == [problem]
    assert card.text == body.decode("utf-8-sig", errors="replace")[:SIZE_LIMIT]


def test_a_card_with_two_faults_names_both() -> None:
    assert read_card(b"caf\xe9\n").problems == ["not UTF-8", "no front matter"]


def test_aliases_that_would_expand_to_gigabytes_cost_nothing() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    began = time.monotonic()
    card = front("\n".join(lines))
    assert card.problems == ["alias bomb"]
    assert card.metadata is None
    assert time.monotonic() - began < 1


def test_a_few_aliases_and_merge_keys_are_fine() -> None:
    card = front("base: &base {type: a, size: 1}\nother:\n  <<: *base\n  size: 2\nagain: *base")
    assert card.problems == []
    assert card.metadata == {
        "base": {"type": "a", "size": 1},
        "other": {"type": "a", "size": 2},
        "again": {"type": "a", "size": 1},
    }


def test_the_last_of_two_equal_keys_counts() -> None:
    assert front("license: mit\nlicense: gpl-3.0").metadata == {"license": "gpl-3.0"}


@pytest.mark.parametrize(
    ("written", "value"),
    [
        *[(word, word) for word in ("no", "No", "yes", "on", "off", "y", "n")],
        *[
            (word, word)
            for word in ("1_000", "0o17", "017", "0x1F", "1:30", "190:20:30", "2021-01-01", "2021-01-01T10:00:00Z")
        ],
        *[(word, word) for word in (".inf", "-.inf", ".nan", "1e999", "9" * 30, "<<", "=")],
        ("true", True),
        ("False", False),
        ("~", None),
        ("null", None),
        ("0", 0),
        ("-12", -12),
        ("1.5", 1.5),
        (".5", 0.5),
        ("1e-5", 1e-5),
        ("'12'", "12"),
        ('"true"', "true"),
        ("!!python/object/apply:os.system [echo]", ["echo"]),
    ],
)
def test_scalars_are_read_without_the_traps_of_yaml_1_1(written: str, value: object) -> None:
    card = front(f"key: {written}")
    assert card.problems == []
    assert card.metadata == {"key": value}


def test_keys_are_text_as_written() -> None:
    assert front("no: a\n1: b\n2.0: c\ntrue: d\n? [x, y]\n: e").metadata == {
        "no": "a",
        "1": "b",
        "2.0": "c",
        "true": "d",
        '["x", "y"]': "e",
    }


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("before", ["", "\ufeff", "\n\n", " "])
def test_line_ends_and_byte_order_marks_do_not_matter(newline: str, before: str) -> None:
    text = before + newline.join(["---", "license: mit", "--- ", "# Title", "words"])
    card = read_card(text.encode())
    assert card.metadata == {"license": "mit"}
    assert [section.heading for section in card.sections] == ["Title"]
    assert card.problems == []


def test_only_the_part_below_the_limit_is_kept_and_a_cut_letter_is_no_fault() -> None:
    card = read_card(b"---\na: 1\n---\n" + "é".encode() * SIZE_LIMIT)
    assert card.problems == ["over the size limit"]
    assert card.metadata == {"a": 1}
    assert len(card.text.encode()) <= SIZE_LIMIT + 2
    assert read_card(b"abc", size=SIZE_LIMIT + 1).problems == ["over the size limit", "no front matter"]


@given(st.binary(max_size=400))
def test_any_bytes_give_a_card(body: bytes) -> None:
    check(body)


@given(st.text(alphabet="-abc:[]{}&*!<>\"'#|%@`~ \t\n\r\\0eu.,?=\ufeff\x85\u2028", max_size=300))
def test_anything_that_looks_like_front_matter_gives_a_card(text: str) -> None:
    check(f"---\n{text}\n---\n{text}".encode())


def check(body: bytes) -> None:
    card = read_card(body)
    assert json.loads(json.dumps(card.metadata, allow_nan=False)) == card.metadata
    json.dumps(card.metadata, ensure_ascii=False).encode()
    assert all(section.filled == bool(section.evidence) for section in card.sections)
    assert card.metadata is not None or card.problems


@given(st.text(max_size=40))
def test_a_plain_scalar_becomes_a_json_value(text: str) -> None:
    json.dumps(plain(text), allow_nan=False)


def test_sections_are_cut_at_headings_of_both_kinds_outside_code() -> None:
    text = "\n".join(
        [
            "before",
            "# One #",
            "a b",
            "```python",
            "# no heading",
            "```",
            "Two",
            "===",
            "Three",
            "goes on",
            "---",
            "- item",
            "---",
            "#no heading",
            "####### no heading",
            "###### Six",
            "~~~",
            "## still code",
        ]
    )
    found = sections_of(text)
    assert [(section.level, section.heading) for section in found] == [
        (0, None),
        (1, "One"),
        (1, "Two"),
        (2, "Three goes on"),
        (6, "Six"),
    ]


def test_filler_and_comments_do_not_fill_a_section() -> None:
    text = "\n".join(
        [
            "# Title",
            "<!-- Provide a quick summary. -->",
            "## Details",
            "- **Developed by:** [More Information Needed]",
            "- **License:** mit",
            "## Uses",
            "[More Information Needed]",
            "More information needed",
            "## Table",
            "|---|:-:|",
            "## Last",
            "one two, three",
        ]
    )
    found = {section.heading: section for section in sections_of(text)}
    assert {heading: section.words for heading, section in found.items()} == {
        "Title": 0,
        "Details": 2,
        "Uses": 0,
        "Table": 0,
        "Last": 3,
    }
    assert [heading for heading, section in found.items() if section.filled] == ["Details", "Last"]
    assert found["Details"].evidence == "- **License:** mit"
    assert found["Uses"].evidence is None
    assert len(sections_of("# A\n" + "word " * 100)[0].evidence or "") <= 80


@pytest.mark.parametrize(
    ("line", "heading"),
    [
        ("# a", "a"),
        ("## a ##", "a"),
        ("# a#", "a#"),
        ("# a # b", "a # b"),
        ("#\ta\t#\t", "a"),
        ("# #", ""),
        ("#", ""),
        ("   ### a   ", "a"),
        ("####### a", None),
        ("#a", None),
        ("    # a", None),
    ],
)
def test_headings_are_read_as_commonmark_does(line: str, heading: str | None) -> None:
    assert [section.heading for section in sections_of(f"{line}\nwords")] == [heading]


MEBIBYTE = 2**20
HOSTILE = [
    "# a" + " " * (MEBIBYTE - 4) + "b",
    "# a" + " #" * (MEBIBYTE // 2 - 2) + "b",
    "#" * MEBIBYTE,
    "<!--" * (MEBIBYTE // 4),
    "---\n" * (MEBIBYTE // 4),
    "x\n---\n" * (MEBIBYTE // 6),
    "- a\n" + "x\n---a\n" * (MEBIBYTE // 8),
    "a\n" * (MEBIBYTE // 2 - 4000) + "---\n" * 2000,
    " " * (MEBIBYTE - 1) + "x",
    "-" * (MEBIBYTE - 2) + " x",
    "`" * MEBIBYTE,
    "```\n" * (MEBIBYTE // 4),
    "information " * (MEBIBYTE // 12),
    "**" * (MEBIBYTE // 2 - 20) + "more information needed",
    " " * (MEBIBYTE - 30) + "more information needed",
    "---\na: " + "1" * (MEBIBYTE - 100) + ".0\n---\n",
    "---\n" + "a: &a {x: 1}\n" + "".join(f"b{place}: {{<<: *a}}\n" for place in range(40_000)) + "---\n",
    "---\n" + "[" * (MEBIBYTE - 10) + "\n---\n",
    "---\n- " + "[" + "," * (MEBIBYTE - 20) + "]\n---\n",
]


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: f"{text[:12]!r}")
def test_a_hostile_card_of_a_mebibyte_takes_no_time(text: str) -> None:
    began = time.process_time()
    read_card(text.encode())
    assert time.process_time() - began < 2  # most take milliseconds; what is not linear takes minutes


def test_a_heading_with_many_blanks_takes_milliseconds() -> None:
    began = time.process_time()
    sections_of("# a" + " " * 200_000 + "b")
    assert time.process_time() - began < 0.1
