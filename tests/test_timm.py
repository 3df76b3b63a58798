import csv
import tarfile
from pathlib import Path

import pytest

from miners.catalogue import Described
from miners.crawl import Crawl
from miners.mining import mine
from miners.timm.repository import describe, wanted
from schemas import Lake, open_lake
from schemas.doctor import examine

RESULTS = """model,img_size,top1,top1_err,top5,top5_err,param_count,crop_pct,interpolation
net.a_in1k,448,90.056,9.944,99.054,0.946,"1,014.45",1.000,bicubic
net.a_in1k,224,80.1,19.9,95.5,4.5,"1,014.45",0.900,bicubic
"""
COLUMNS = "model img_size samples_per_sec step_time batch_size gmacs macts"
BENCHMARK = f"""{",infer_".join(COLUMNS.split())},param_count
net,160,"299,257.15",3.401,1024.0,0.04,0.48,0.37
other,224,10,100,1,,,2.5
"""
NAMED = "results/benchmark-infer-amp-nchw-pt291-cu128-4090-dynamo.csv"


def described(**tables: str) -> Described:
    return describe({f"results/{name.replace('_', '-')}.csv": text.encode() for name, text in tables.items()})


def test_a_model_has_its_accuracies_at_each_size_and_on_each_dataset() -> None:
    found = described(results_imagenet=RESULTS, results_sketch=RESULTS.split("\n")[0] + "\n" + RESULTS.split("\n")[2])
    (net,) = found.packages
    assert (net.name, net.architecture, net.parameters, net.records) == ("net.a_in1k", "net", 1_014_450_000, 3)
    assert net.parameters_rounded_to == 10_000
    assert net.links == [
        ("known_as", "timm#net.a_in1k", "listing"),
        ("home", "https://huggingface.co/timm/net.a_in1k", "listing"),
        ("model", "huggingface:timm/net.a_in1k", "listing"),
        ("architecture", "timm#net", "listing"),
    ]
    assert net.tags == [("a_in1k", "pretrained")]
    top1 = [(s.dataset, s.split, s.config, s.value) for s in net.scores if s.metric == "top1"]
    assert top1 == [
        ("ImageNet-1k", "validation", "448 px, crop 1.000, bicubic", 90.056),
        ("ImageNet-1k", "validation", "224 px, crop 0.900, bicubic", 80.1),
        ("ImageNet-Sketch", "test", "224 px, crop 0.900, bicubic", 80.1),
    ]


def test_a_benchmark_is_throughput_of_architectures() -> None:
    found = describe({NAMED: BENCHMARK.encode()})
    assert found.packages == []
    assert found.throughput is not None
    first, second = found.throughput.rows(named=True)
    assert first == {
        "hub": "timm",
        "architecture": "net",
        "phase": "infer",
        "device": "4090",
        "precision": "amp",
        "layout": "nchw",
        "compiled": True,
        "software": "pt291 cu128",
        "image_size": 160,
        "batch_size": 1024,
        "samples_per_second": 299257.15,
        "step_milliseconds": 3.401,
        "gmacs": 0.04,
        "million_activations": 0.48,
        "million_parameters": 0.37,
        "source": NAMED,
    }
    assert (second["gmacs"], second["samples_per_second"]) == (None, 10)


BROKEN = [
    "net.b,1,2\n",  # too few values
    "net.b,224,many,1,2,3,4,1,bicubic\n",
    ",224,90,1,2,3,4,1,bicubic\n",
    "net.b,224,nan,1,inf,3,4,1,bicubic\n",
    'net.b,"224\n',
]


@pytest.mark.parametrize("row", BROKEN)
def test_a_row_that_cannot_be_read_is_lost_and_said(row: str, lake: Lake, tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "results-imagenet.csv").write_text(RESULTS + row)
    crawl = mine(lake, "timm", source=tmp_path)
    assert (crawl.rows_seen, crawl.rows_stored, crawl.failures) == (3, 2, 1)
    assert lake.sql("SELECT stage FROM failure")["stage"].to_list() == ["listing"]


@pytest.mark.parametrize("body", [b"", b"\n", b"\xff\xfe\x00", b"a,b\n1,2\n", b'"' + b"x" * 200_000])
def test_a_table_of_anything_is_read_without_an_exception(body: bytes) -> None:
    for name in ("results-imagenet.csv", "model_metadata-in1k.csv", NAMED.rpartition("/")[2]):
        assert describe({f"results/{name}": body}).packages == []


HEADINGS = RESULTS.partition("\n")[0]
DAMAGED = ["", "\0\0", HEADINGS[:20], HEADINGS[:-4], HEADINGS + "\n", RESULTS[len(HEADINGS) + 1 :]]


@pytest.mark.parametrize("text", DAMAGED)
@pytest.mark.parametrize("name", ["results-sketch.csv", "model_metadata-in1k.csv", NAMED.rpartition("/")[2]])
def test_a_damaged_table_is_said(name: str, text: str) -> None:
    found = describe({"results/results-imagenet.csv": RESULTS.encode(), f"results/{name}": text.encode()})
    assert [one.subject for one in found.unread] == [f"results/{name}"]
    assert (len(found.packages), found.lost, found.unmeasured) == (1, [], [])


def test_a_damaged_table_marks_no_model_as_gone(lake: Lake, tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "results-imagenet.csv").write_text(RESULTS)
    (tmp_path / "results" / "results-sketch.csv").write_text(RESULTS.replace("net.a", "net.b"))
    mine(lake, "timm", source=tmp_path)
    gone = "SELECT name FROM model WHERE deleted_at IS NOT NULL"
    for text in DAMAGED:
        (tmp_path / "results" / "results-sketch.csv").write_text(text)
        assert mine(lake, "timm", source=tmp_path).unread == 1
        assert lake.sql(gone).is_empty()
    failed = lake.sql("SELECT DISTINCT subject, stage FROM failure").rows()
    assert failed == [("results/results-sketch.csv", "file")]
    (tmp_path / "results" / "results-sketch.csv").write_text(RESULTS)
    mine(lake, "timm", source=tmp_path)
    assert lake.sql(gone)["name"].to_list() == ["net.b_in1k"]


def test_accuracies_that_are_no_percentages_are_failures_and_no_results(lake: Lake, tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    rows = [("a", 190, 99), ("b", 90, -5), ("c", 0, 100), ("d", 100.001, 101)]
    text = "".join(f"{name}.x,224,{top1},1,{top5},1,2.5,1,bicubic\n" for name, top1, top5 in rows)
    (tmp_path / "results" / "results-imagenet.csv").write_text(f"{HEADINGS}\n{text}")
    crawl = mine(lake, "timm", source=tmp_path)
    assert (crawl.rows_seen, crawl.rows_stored) == (4, 4)
    stored = lake.sql("SELECT model_id, metric, value FROM evaluation ORDER BY ALL").rows()
    assert stored == [
        ("timm:a.x", "top5", 99.0),
        ("timm:b.x", "top1", 90.0),
        ("timm:c.x", "top1", 0.0),
        ("timm:c.x", "top5", 100.0),
    ]
    failed = lake.sql("SELECT subject, stage FROM failure ORDER BY ALL").rows()
    assert sorted({subject for subject, _ in failed}) == ["timm:a.x", "timm:b.x", "timm:d.x"]
    assert {stage for _, stage in failed} == {"field"}
    assert examine(lake).is_empty()


def test_a_benchmark_whose_name_says_nothing_is_not_read_and_said() -> None:
    found = describe({"results/benchmark-of-mine.csv": BENCHMARK.encode()})
    assert [one.subject for one in found.unread] == ["results/benchmark-of-mine.csv"]


def test_only_the_tables_matter() -> None:
    assert [wanted(p, 1) for p in ("results/results-imagenet.csv", "results/README.md", "x/results/y.csv")] == [
        True,
        False,
        False,
    ]


def test_a_second_run_measures_anew(lake: Lake, tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    (tmp_path / NAMED).write_text(BENCHMARK)
    (tmp_path / "results" / "results-imagenet.csv").write_text(RESULTS)
    for _ in range(2):
        mine(lake, "timm", source=tmp_path)
        assert lake.sql("SELECT count(*) FROM throughput").item() == 2
        assert lake.sql("SELECT count(*) FROM evaluation").item() == 4


Mined = tuple[Lake, Crawl, Path]


@pytest.fixture(scope="module")
def mined(data_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Mined:
    packed = data_folder / "hubs" / "timm" / "timm_results.tar.gz"
    checkout = tmp_path_factory.mktemp("checkout")
    with tarfile.open(packed) as opened:
        opened.extractall(checkout, filter="data")
    lake = open_lake(tmp_path_factory.mktemp("lakes") / "lake")
    return lake, mine(lake, "timm", source=packed), checkout / "results"


def read(place: Path) -> list[dict[str, str]]:
    with place.open(encoding="utf-8", newline="") as opened:
        return list(csv.DictReader(opened))


@pytest.mark.data
def test_every_row_of_every_table_is_stored_or_a_failure(mined: Mined) -> None:
    lake, crawl, results = mined
    tables = {place.name: read(place) for place in results.glob("*.csv")}
    assert crawl.rows_seen == sum(len(rows) for rows in tables.values()) == crawl.rows_stored + crawl.failures
    failed = lake.sql("SELECT subject FROM failure WHERE stage = 'listing'")["subject"].to_list()
    for name, rows in tables.items():
        lost = sum(subject.startswith(f"{name}#") for subject in failed)
        if name.startswith("results-"):
            query = "SELECT count(*) // 2 FROM evaluation WHERE source = $source"
            assert lake.sql(query, source=f"results/{name}").item() == len(rows) == 1556
        elif name.startswith("benchmark-"):
            query = "SELECT count(*) FROM throughput WHERE source = $source"
            assert lake.sql(query, source=f"results/{name}").item() == len(rows) - lost
    blank = [
        row for row in tables["benchmark-infer-amp-nchw-pt210-cu121-rtx3090.csv"] if not row["infer_samples_per_sec"]
    ]
    assert len(failed) == len(blank) == 2
    assert examine(lake).is_empty()


@pytest.mark.data
def test_accuracies_and_parameters_are_those_of_the_tables(mined: Mined) -> None:
    lake, _, results = mined
    for place in results.glob("results-*.csv"):
        expected = sorted(
            (
                f"timm:{row['model']}",
                f"{row['img_size']} px",
                float(row[metric]),
                float(row["param_count"].replace(",", "")),
            )
            for row in read(place)
            for metric in ("top1", "top5")
        )
        stored = lake.sql(
            """
            SELECT model_id, split_part(config, ',', 1), value, parameters / 1e6
            FROM evaluation JOIN model USING (model_id) WHERE source = $source ORDER BY ALL
            """,
            source=f"results/{place.name}",
        )
        assert stored.rows() == expected


@pytest.mark.data
def test_throughput_is_that_of_the_tables(mined: Mined) -> None:
    lake, _, results = mined
    for place in results.glob("benchmark-*.csv"):
        phase = place.name.split("-")[1]
        expected = sorted(
            (row["model"], int(float(row[f"{phase}_img_size"])), float(row[f"{phase}_samples_per_sec"]))
            for row in read(place)
            if row[f"{phase}_samples_per_sec"]
        )
        query = (
            "SELECT architecture, image_size, samples_per_second FROM throughput WHERE source = $source ORDER BY ALL"
        )
        assert lake.sql(query, source=f"results/{place.name}").rows() == expected
    joined = (
        "SELECT count(DISTINCT model_id) FROM model JOIN throughput USING (hub, architecture) WHERE name LIKE '%.%'"
    )
    assert lake.sql(joined).item() == 1267  # every model with results has a speed


@pytest.mark.parametrize("huge", ["1e300", "9223372036854775807", "-5", "99999999999999999999999"])
def test_numbers_beyond_sense_are_said_and_not_stored(huge: str) -> None:
    found = described(results_imagenet=RESULTS.replace('"1,014.45"', huge))
    assert found.packages[0].parameters is None
    assert len(found.packages[0].problems) == 2
    benchmark = describe({NAMED: BENCHMARK.replace(",160,", f",{huge},").encode()})
    assert benchmark.throughput is not None
    assert benchmark.throughput.height == 2
