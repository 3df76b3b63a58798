"""Fifty thousand members published, listed and loaded in bounded memory, in a process of its own."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.hub import TestHub
from zoo import load_population

MEMBERS = 50_000
LARGEST_GROWTH = 400
"""MB that publishing may take beside what making the population took; the weights have 800."""
PROGRAM = """
import json, resource, sys, time
from pathlib import Path
import polars as pl, torch
from schemas import open_lake
from zoo import load_population, load_weights, publish_population
from zoo.publishing.published import open_published

root, members = Path(sys.argv[1]), int(sys.argv[2])
place = root / "hub" / "datasets" / "ada" / "big"
lake = open_lake(root / "lake")
shapes = {"conv1.weight": (8, 1, 3, 3), "conv1.bias": (8,), "conv2.weight": (16, 8, 3, 3), "conv2.bias": (16,)}
shapes |= {"linear.weight": (10, 275), "linear.bias": (10,)}
rows = []
for group in range(members // 1000):
    stack = {name: torch.randn(1000, *shape) for name, shape in shapes.items()}
    digest = lake.weights.write(f"big/{group}.safetensors", stack)
    at = {"shard": f"big/{group}.safetensors", "shard_sha256": digest, "width": group // 7, "batch_size": group % 7}
    rows += [{"model_id": f"zoo:big/g{group}-s{row}", "row": row, **at} for row in range(1000)]
frame = pl.DataFrame(rows)
with lake.write() as transaction:
    final = {"epoch": pl.lit(5), "final": pl.lit(True)}
    transaction.append("checkpoint", frame.select("model_id", "row", "shard", "shard_sha256").with_columns(**final))
    named = {"name": "model_id", "hub": pl.lit("zoo"), "architecture": pl.lit("cnn")}
    transaction.append("model", frame.select("model_id", **named))
    about = {"population_id": pl.lit("big"), "state": pl.lit("trained")}
    transaction.append("member", frame.select("model_id", "width", "batch_size").with_columns(**about))
    curve = {"epoch": pl.lit(5), "split": pl.lit("test"), "metric": pl.lit("accuracy"), "value": pl.lit(0.5)}
    transaction.append("training", frame.select("model_id").with_columns(**curve))
    transaction.sql("INSERT INTO population BY NAME SELECT 'big' AS population_id, 'big' AS name, 1 AS members")
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
del rows, frame, stack
before, begin = peak(), time.process_time()
files = publish_population(lake, "big", place)
seconds = time.process_time() - begin
grown = peak() - before
listed = open_published(place).sql("SELECT count(*) AS n FROM models")["n"].item()
population = load_population(place, "width = 3 AND batch_size = 2")
expected = load_weights(lake, population.rows["model_id"][77])
same = all(torch.equal(population.member(77)[name], tensor) for name, tensor in expected.items())
print(json.dumps({"files": files.height, "bytes": files["bytes"].sum(), "seconds": seconds, "grown": grown,
                  "listed": listed, "loaded": len(population), "same": same}))
"""


@pytest.mark.slow
def test_many_members_are_published_in_bounded_memory(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PROGRAM, str(tmp_path), str(MEMBERS)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert (found["listed"], found["loaded"], found["same"]) == (MEMBERS, 1000, True)
    assert found["files"] < 100
    assert found["grown"] < LARGEST_GROWTH < found["bytes"] / 1e6 / 2


@pytest.mark.slow
def test_ten_of_many_take_a_part_of_the_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    subprocess.run([sys.executable, "-c", PROGRAM, str(tmp_path), str(MEMBERS)], cwd=ROOT, check=True)
    published = tmp_path / "hub" / "datasets" / "ada" / "big"
    tables = sum(file.stat().st_size for config in ("models", "tensors") for file in (published / config).iterdir())
    with TestHub(uploads=tmp_path / "hub", large_files="elsewhere") as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
        population = load_population("hf:ada/big", "model_id LIKE 'zoo:big/g31-s10_'")
    assert len(population) == 10
    size = sum(tensor.nbytes for tensor in population.tensors.values())
    assert hub.served - size < 0.4 * tables
