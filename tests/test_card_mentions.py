"""Papers, DOIs, repositories and the footprint that a card's text names."""

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miners.cards import read_card
from miners.cards.footprint import Footprint, grams


def mentioned(text: str) -> list[tuple[str, str]]:
    return [(one.kind, one.target) for one in read_card(text.encode()).mentions]


@pytest.mark.parametrize(
    "text",
    [
        "https://arxiv.org/abs/2106.16163",
        "https://arxiv.org/pdf/2106.16163v2.pdf",
        "http://www.arxiv.org/pdf/2106.16163",
        "[paper](https://arxiv.org/abs/2106.16163).",
        "https://huggingface.co/papers/2106.16163",
        "https://hf.co/papers/2106.16163",
        "https://www.alphaxiv.org/abs/2106.16163",
        "arXiv:2106.16163",
        "ArXiv: 2106.16163v12",
        "journal={arXiv preprint arXiv:2106.16163}",
        "journal = {CoRR}, volume = {abs/2106.16163}",
        "eprint={2106.16163}, archivePrefix={arXiv}",
        "https://doi.org/10.48550/arXiv.2106.16163",
        "[![badge](https://img.shields.io/badge/arXiv-1234.56789-red.svg)](https://arxiv.org/abs/2106.16163)",
        "---\ntags: ['arxiv:2106.16163']\n---\nwords",
        "---\narxiv: 2106.16163v1\n---\nwords",
        "İ https://arxiv.org/abs/2106.16163",
    ],
)
def test_a_paper_is_found_in_every_way_of_writing(text: str) -> None:
    assert mentioned(text) == [("paper", "2106.16163")]


@pytest.mark.parametrize(
    "text",
    [
        "2106.16163",
        "the score is 2106.16163",
        "arXiv:2113.16163",  # no such month
        "arXiv:1412.56789",  # five digits came in 2015
        "arXiv:1512.5678",
        "arXiv:2106.161634",
        "![arXiv:2106.16163](https://arxiv.org/abs/2106.16163.png)",
        '<img src="https://arxiv.org/abs/2106.16163">',
        "[logo]: https://example.org/arxiv:2106.16163.svg",
        "<!-- https://arxiv.org/abs/2106.16163 -->",
        "Carbon emissions can be estimated using the [Machine Learning Impact calculator]"
        "(https://mlco2.github.io/impact#compute) presented in [Lacoste et al. (2019)](https://arxiv.org/abs/1910.09700).",
    ],
)
def test_what_is_no_paper_is_left_alone(text: str) -> None:
    assert mentioned(text) == []


def test_old_identifiers_are_papers_too() -> None:
    assert mentioned("arXiv:hep-th/9901001v3 and https://arxiv.org/abs/cs.CL/0306050") == [
        ("paper", "hep-th/9901001"),
        ("paper", "cs.cl/0306050"),
    ]


@pytest.mark.parametrize(
    ("text", "doi"),
    [
        ("https://doi.org/10.1145/2623330.2623677", "10.1145/2623330.2623677"),
        ("doi={10.21437/Interspeech.2018-1456},", "10.21437/interspeech.2018-1456"),
        ("(see https://dx.doi.org/10.1007/978-3-030-58323-1_11).", "10.1007/978-3-030-58323-1_11"),
        ("doi: 10.1016/S0140-6736(20)30183-5.", "10.1016/s0140-6736(20)30183-5"),
        (r"{https://doi.org/10.13012/B2IDB-8882752{\_}V1}", "10.13012/b2idb-8882752_v1"),
        ("https://doi.org/10.1002%2Fabc.123", "10.1002/abc.123"),
        ("---\ntags: ['doi:10.57967/hf/0001']\n---\n", "10.57967/hf/0001"),
    ],
)
def test_a_doi_is_found_and_normalised(text: str, doi: str) -> None:
    assert mentioned(text) == [("doi", doi)]


@pytest.mark.parametrize(
    "text",
    [
        "version 10.1234/5",
        "110.1234/abc",
        "[![DOI](https://zenodo.org/badge/DOI/10.5281/zenodo.3770924.svg)]()",
        "https://example.org/article-pdf/doi/10.1093/btaa675/335",
        "10.12/abc",
    ],
)
def test_what_is_no_doi_is_left_alone(text: str) -> None:
    assert [one for one in mentioned(text) if one != ("doi", "10.1234/5")] == []


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("https://github.com/Owner/repo.git", "https://github.com/Owner/repo"),
        ("pip install git+https://www.github.com/owner/repo@main", "https://github.com/owner/repo"),
        ("git@github.com:owner/repo.git", "https://github.com/owner/repo"),
        ("https://github.com/owner/repo/tree/main/x#readme", "https://github.com/owner/repo"),
        ("https://raw.githubusercontent.com/owner/repo/main/run.py", "https://github.com/owner/repo"),
        ("(https://gitlab.com/group/project/-/blob/main/a)", "https://gitlab.com/group/project"),
        ("https://bitbucket.org/a/b.", "https://bitbucket.org/a/b"),
        ("https://git.sr.ht/~user/project", "https://git.sr.ht/~user/project"),
        ("https://codeberg.org/a/b", "https://codeberg.org/a/b"),
        ("---\nrepository: https://github.com/owner/repo\n---\n", "https://github.com/owner/repo"),
    ],
)
def test_code_is_found_and_normalised(text: str, address: str) -> None:
    assert mentioned(text) == [("code", address)]


@pytest.mark.parametrize(
    "text",
    [
        "https://gist.github.com/user/1234",
        "https://github.com/owner",
        "https://github.com/topics/nlp",
        "https://notgithub.com/a/b",
        "https://github.com/user-attachments/assets/1",
        "![x](https://github.com/a/b/raw/main/x)",
        "https://github.com/a/b/blob/main/pipeline.png?raw=true",
        "---\nthumbnail: https://github.com/a/b/blob/main/logo.png\n---\n",
        "https://user-images.githubusercontent.com/1/2",
    ],
)
def test_what_is_no_code_is_left_alone(text: str) -> None:
    assert mentioned(text) == []


def test_everything_is_named_once_in_the_order_of_its_kind() -> None:
    text = "https://github.com/a/b https://GitHub.com/A/B arXiv:2106.16163 https://arxiv.org/abs/2106.16163v3"
    assert mentioned(text) == [("paper", "2106.16163"), ("code", "https://github.com/a/b")]


@pytest.mark.parametrize(
    ("stated", "amount"),
    [
        (12, 12.0),
        (0.5, 0.5),
        ("0.319355 Kg", 319.355),
        ("12.5g", 12.5),
        ("~1,234 kg", 1_234_000.0),
        ("0.21 in grams of CO2", 0.21),
        ("2 tCO2eq", 2_000_000.0),
        ("1e-3", 0.001),
        ("Kg", None),
        ("about two", None),
        ("12 parsecs", None),
        (-1, None),
        (True, None),
        (float("nan"), None),
        ([], None),
        ({}, None),
    ],
)
def test_emissions_are_grams(stated: object, amount: float | None) -> None:
    assert grams(stated) == (pytest.approx(amount) if amount is not None else None)


def footprints(text: str) -> list[Footprint]:
    return list(read_card(text.encode()).footprints)


def test_the_metadatas_footprint_is_a_number_or_an_object() -> None:
    assert footprints("---\nco2_eq_emissions: 4.2\n---\n") == [Footprint("metadata", 4.2, "4.2")]
    lines = ["emissions: 0.2 kg", "source: codecarbon", "training_type: fine-tuning", "geographical_location: Oslo"]
    text = "---\nco2_eq_emissions:\n" + "".join(f"  {line}\n" for line in [*lines, "hardware_used: 1 P100"]) + "---\n"
    (found,) = footprints(text)
    expected = {"grams": 200.0, "method": "codecarbon", "training_type": "fine-tuning", "hardware": "1 P100"}
    assert {name: getattr(found, name) for name in expected} == expected
    assert (found.location, found.stated) == ("Oslo", "0.2 kg")


def test_the_texts_footprint_is_what_the_template_asks_for() -> None:
    text = "\n".join(
        [
            "- **Hardware Type:** A100 PCIe 40GB",
            "- **Hours used:** 200000",
            "- **Cloud Provider:** AWS",
            "- **Compute Region:** [More Information Needed]",
            "- **Carbon Emitted (Power consumption x Time):** 15000 kg CO2 eq.",
        ]
    )
    said = Footprint("text", 15e6, "15000 kg CO2 eq.", hardware="A100 PCIe 40GB", hours=200_000.0, provider="AWS")
    assert footprints(text) == [said]
    assert footprints("- CO2 Emissions (in grams): 286.4") == [Footprint("text", 286.4, "286.4")]
    assert footprints("## Hardware Type\n\nwords") == []


HOSTILE: list[Any] = [
    "10." * 350_000,
    "10.1234/" * 131_000,
    "arxiv:" * 170_000,
    "arxiv:2106.16163" * 65_000,
    "github.com/a/" * 80_000,
    "https://github.com/a/b " * 45_000,
    "![" * 500_000,
    "<img " * 200_000,
    "abs/" * 260_000,
    "eprint = {" * 100_000,
    "**carbon emitted" * 65_000,
    "- **hours used:** 1\n" * 50_000,
    "hours used (" * 80_000,
    "**x**\n" * 170_000 + "[more information needed]",
    "this model is a fine-tuned version of " * 27_000,
    "This model is a fine-tuned version of [" * 27_000,
    "TODO " * 200_000,
    "coming soon " * 87_000,
]


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: repr(text[:14]))
def test_a_hostile_card_of_a_mebibyte_takes_no_time(text: str) -> None:
    began = time.process_time()
    read_card(text.encode())
    assert time.process_time() - began < 3  # most take milliseconds; what is not linear takes minutes


@given(st.text(alphabet="arxiv:/10.248github.com-[]()!{}% \n<>**hoursed", max_size=80))
def test_any_text_gives_mentions_that_can_be_stored(text: str) -> None:
    for kind, target in mentioned(text):
        assert kind in ("paper", "doi", "code")
        assert target
        assert not set(target) & set(" \n<>{}")
