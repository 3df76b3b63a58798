"""Results in the tables of PyTorch Hub's pages: whose they are, on which dataset, and what is nobody's."""

import re
import tarfile
import time
from pathlib import Path

import pytest

from miners.catalogue import Described
from miners.markdown import rows
from miners.package import Package
from miners.pytorch_hub.repository import describe
from schemas import Lake

FRONT = "---\ntitle: Net\n---\n"


def page(tables: str, *entries: str, code: str = "") -> Described:
    loads = "\n".join(f"torch.hub.load('o/r', '{entry}')" for entry in entries)
    return describe({"net.md": f"{FRONT}```python\n{loads}\n{code}\n```\n### Model Description\n{tables}\n".encode()})


def by_name(found: Described) -> dict[str, Package]:
    return {package.name.rpartition("/")[2]: package for package in found.packages}


def results(package: Package) -> list[tuple[str, str | None, float | None]]:
    return [(score.metric, score.dataset, score.value) for score in package.scores]


def table(*lines: str, heading: str = "Model | Top-1 error") -> str:
    return "\n".join(["| " + heading + " |", "| --- " * (heading.count("|") + 1) + "|", *(f"| {x} |" for x in lines)])


ON_IMAGENET = "Their errors on ImageNet dataset are listed below."


def test_a_line_between_the_sentence_that_names_the_dataset_and_the_table_hides_nothing() -> None:
    text = f"{ON_IMAGENET}\n\nThe small ones\n\n{table('net_a | 30')}\n\nThe large ones\n\n{table('net_b | 20')}"
    found = by_name(page(text, "net_a", "net_b"))
    assert results(found["net_a"]) == [("Top-1 error", "ImageNet", 30.0)]
    assert results(found["net_b"]) == [("Top-1 error", "ImageNet", 20.0)]
    assert found["net_b"].scores[0].evidence == f"{ON_IMAGENET}\n| net_b | 20 |"


@pytest.mark.parametrize(
    ("before", "dataset"),
    [
        ("Accuracies evaluated on COCO val2017 dataset are listed below.", "COCO val2017"),
        ("Pretrained on ImageNet, with results on the COCO dataset below.", "COCO"),
        (f"{ON_IMAGENET}\n\nThe ranks on two benchmarks, Market and Duke, are listed below.", None),
        (f"{ON_IMAGENET}\n### Speed\nOf several devices:", None),
        (f"```\n# {ON_IMAGENET}\n```", None),
        ("It runs on the GPU.", None),
    ],
)
def test_the_nearest_paragraph_of_the_section_that_says_so_tells_the_dataset(before: str, dataset: str | None) -> None:
    (score,) = by_name(page(f"{before}\n\n{table('net | 3', heading='Model | mAP')}", "net"))["net"].scores
    assert score.dataset == dataset


def test_the_classes_of_the_model_tell_on_what_its_top_1_error_is_and_nothing_of_other_metrics() -> None:
    line = "# Tensor of shape 1000, with confidence scores over ImageNet's 1000 classes"
    found = by_name(page(table("net | 30 | 5", heading="Model | Top-1 error | mAP"), "net", code=line))
    assert results(found["net"]) == [("Top-1 error", "ImageNet", 30.0), ("mAP", None, 5.0)]
    assert found["net"].scores[0].evidence == f"{line}\n| net | 30 | 5 |"


@pytest.mark.parametrize(
    ("entry", "row"),
    [
        ("resnext101_32x8d", "ResNeXt-101 32x8d | 1"),
        ("ghostnet_1x", "GhostNet 1.0x | 1"),
        ("yolop", "`YOLOP(ours)` | 1"),
        ("slow_r50", "Slow | R50 | 1"),
        ("se_resnet101_ibn_a", "SeResNet101-IBN-a | 1"),
    ],
)
def test_names_are_spelled_in_other_ways(entry: str, row: str) -> None:
    assert [score.value for score in by_name(page(table(row, heading="a | b | c"), entry))[entry].scores] == [1]


def test_an_ending_of_all_entry_points_may_be_left_out_where_no_row_has_it() -> None:
    entries = ("net_8d_wsl", "net_16d_wsl")
    found = by_name(page(table("Net 8d | 88M | 17.8", heading="Model | #Parameters | Top-1 error"), *entries))
    assert [score.value for score in found["net_8d_wsl"].scores] == [17.8]
    assert (found["net_8d_wsl"].parameters, found["net_8d_wsl"].parameters_rounded_to) == (88_000_000, 1_000_000)
    other = page(table("net_8d_wsl | 1", "net_16d | 2"), *entries)  # net_16d is another one, then
    assert [len(one.scores) for one in other.packages] == [0, 1, 0]
    assert len(other.unplaced) == 1


def test_an_abbreviation_that_the_page_explains_tells_models_apart() -> None:
    text = '"Semi-supervised" (SSL) models are these. "Semi-weakly" supervised (SWSL) ones are those.\n\n'
    lines = ("Net-18 | semi-supervised | 28", "Net-18 | semi-weakly supervised | 26")
    found = by_name(page(text + table(*lines, heading="a | b | Top-1 error"), "net18_ssl", "net18_swsl"))
    assert [score.value for score in found["net18_ssl"].scores] == [28]
    assert [score.value for score in found["net18_swsl"].scores] == [26]
    assert found["net18_swsl"].scores[0].evidence == f'"Semi-weakly" supervised (SWSL)\n| {lines[1]} |'


def test_rows_that_are_nobodys_or_could_be_two_models_are_said() -> None:
    found = page(table("another | 1", "Net | 2", "text | only"), "net", "n_et")
    assert [len(one.scores) for one in found.packages] == [0, 0, 0]
    assert [lost.subject for lost in found.unplaced] == ["net.md: | another | 1 |", "net.md: | Net | 2 |"]


def test_what_is_no_number_is_a_statement() -> None:
    net = by_name(page(table("net | 94.5 (85.9) | 142M | good", heading="Model | Rank | FLOPs | Note"), "net"))["net"]
    assert net.scores == []
    said = {one.name: one.value for one in net.statements}
    assert (said["Rank"], said["FLOPs"], said["Note"]) == ("94.5 (85.9)", "142M", "good")


@pytest.mark.parametrize(
    ("heading", "cell", "parameters", "rounded_to"),
    [
        ("Params (M)", "32.45", 32_450_000, 10_000),
        ("# parameters", "68.9M", 68_900_000, 100_000),
        ("#Parameters", "25M", 25_000_000, 1_000_000),
        ("Parameters", "25", None, None),
        ("Parameters", "many", None, None),
        ("FLOPs (M)", "25", None, None),
    ],
)
def test_parameters_have_the_precision_of_their_text(
    heading: str, cell: str, parameters: int | None, rounded_to: int | None
) -> None:
    net = by_name(page(table(f"net | {cell}", heading=f"Model | {heading}"), "net"))["net"]
    assert (net.parameters, net.parameters_rounded_to) == (parameters, rounded_to)


def test_tables_in_code_are_none_and_a_block_without_end_goes_on() -> None:
    assert list(rows(f"```\n{table('a | 1')}\n```\n")) == []
    assert [row.cells for row in rows(f"```\nx\n```\n{table('a | 1')}")] == [{"Model": "a", "Top-1 error": "1"}]


@pytest.mark.parametrize(
    "text",
    [
        "a" * 300_000,
        "a-b " * 100_000,
        "on A" * 100_000,
        "on Aa " * 100_000,
        "(A) word (B) " * 30_000,
        table(*["net | 1"] * 20_000),
        table(*["Net-X | word" for _ in range(3_000)], heading="a | b") + "\n\n" + "words (ABC) " * 3_000,
        "ImageNet top-" * 30_000,
    ],
)
def test_pages_that_mean_harm_are_read_in_time(text: str) -> None:
    begun = time.process_time()
    page(text, "net", "nets_one", "nets_two")
    assert time.process_time() - begun < 5


def plain_results(text: str) -> dict[str, float]:
    """Top-1 figures of the tables of two pages, read once more, simply."""
    found = {}
    for line in text.splitlines():
        if match := re.match(r"\| *ResNe(X?)t-(\d+) *(32x\d+d)? *\|(.*)", line):
            cells = [cell.strip(" *") for cell in match[4].split("|")]
            ending = {"semi-supervised": "_ssl", "semi-weakly supervised": "_swsl"}.get(cells[0], "_wsl")
            name = f"resne{match[1].lower()}t{match[2]}{'_' + match[3] if match[3] else ''}{ending}"
            found[name] = float(cells[-3])
    return found


@pytest.mark.data
def test_every_entry_point_of_the_two_pages_without_names_has_its_row(catalogues: Lake, data_folder: Path) -> None:
    expected: dict[str, float] = {}
    with tarfile.open(data_folder / "hubs" / "pytorch_hub" / "pytorch_hub.tar.gz") as archive:
        for member in archive:
            if re.search(r"WSL-Images|semi-supervised", member.name):
                body = archive.extractfile(member)
                assert body is not None
                expected |= plain_results(body.read().decode())
    assert len(expected) == 16
    stored = catalogues.sql("""
        SELECT name, top1 FROM imagenet_top1 JOIN model USING (model_id) WHERE owner LIKE 'facebookresearch/%'
    """)
    assert dict(stored.iter_rows()) == expected


@pytest.mark.data
def test_every_top_1_result_of_the_two_hubs_has_its_dataset(catalogues: Lake) -> None:
    counts = catalogues.sql("""
        SELECT hub, count(*), count(dataset) FROM evaluation JOIN model USING (model_id)
        WHERE hub IN ('onnx', 'pytorch_hub') AND regexp_matches(metric, '(?i)top-?1') GROUP BY hub ORDER BY hub
    """)
    assert counts.rows() == [("onnx", 58, 58), ("pytorch_hub", 57, 57)]
    for name in ("simplenetv1_5m_m1", "mobilenet_v2", "wide_resnet50_2"):
        datasets = f"""
            SELECT DISTINCT dataset FROM evaluation JOIN model USING (model_id)
            WHERE hub = 'pytorch_hub' AND name = '{name}'
        """
        assert catalogues.sql(datasets)["dataset"].to_list() == ["ImageNet"]


@pytest.mark.data
def test_rows_of_results_that_are_nobodys_are_failures_of_their_own_stage(catalogues: Lake) -> None:
    nobodys = catalogues.sql("""
        SELECT hub, count(*) FROM failure WHERE stage = 'result' GROUP BY hub ORDER BY hub
    """)
    assert nobodys.rows() == [("onnx", 10), ("pytorch_hub", 68)]
    assert catalogues.sql("SELECT count(*) FROM crawl WHERE rows_seen <> rows_stored + failures").item() == 0
