"""Publishing and listing a population of fifty thousand networks, against torch.save of a file a checkpoint.

    python benchmarks/publishing.py [--members 50000]

The population is made of random weights (a convolutional network of 3,996 parameters); then a process of its own
publishes it into a folder, and further ones list it by SQL, load the models of one width, and do what a stranger would:
write a file for each of 2,000 members by torch.save, and read them back. Times are of the processor, one thread each;
memory is the most that the process held beside what it held before.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import polars as pl
import torch

from benchmarks.population import peak
from schemas import Lake, open_lake

SHAPES = {"conv1.weight": (8, 1, 3, 3), "conv1.bias": (8,), "conv2.weight": (16, 8, 3, 3), "conv2.bias": (16,)}
SHAPES |= {"linear.weight": (10, 275), "linear.bias": (10,)}
GROUP = 1_000
PEER = 2_000
"""Members that are saved one by one."""


def make(lake: Lake, members: int) -> None:
    """Fill a lake with a population of random weights."""
    rows = []
    for group in range(members // GROUP):
        shard = f"big/{group}.safetensors"
        digest = lake.weights.write(shard, {name: torch.randn(GROUP, *shape) for name, shape in SHAPES.items()})
        place = {"shard": shard, "shard_sha256": digest, "width": group // 7, "batch_size": group % 7}
        rows += [{"model_id": f"zoo:big/g{group}-s{row}", "row": row, **place} for row in range(GROUP)]
    frame = pl.DataFrame(rows)
    constants: dict[str, dict[str, pl.Expr]] = {
        "checkpoint": {"epoch": pl.lit(5), "final": pl.lit(True)},
        "model": {"name": pl.col("model_id"), "hub": pl.lit("zoo"), "architecture": pl.lit("cnn")},
        "member": {"population_id": pl.lit("big"), "state": pl.lit("trained")},
        "training": {"epoch": pl.lit(5), "split": pl.lit("test"), "metric": pl.lit("accuracy"), "value": pl.lit(0.5)},
    }
    columns = {"checkpoint": ["row", "shard", "shard_sha256"], "member": ["width", "batch_size"]}
    with lake.write() as transaction:
        for table, values in constants.items():
            transaction.append(table, frame.select("model_id", *columns.get(table, []), **values))
        transaction.sql("INSERT INTO population BY NAME SELECT 'big' AS population_id, 'big' AS name, 1 AS members")


def publish(root: Path) -> dict[str, float]:
    """Publish the population."""
    from zoo import publish_population

    files = publish_population(open_lake(root / "lake"), "big", root / "zoo")
    return {"MB": sum(files["bytes"].to_list()) / 1e6, "files": files.height}


def list_models(root: Path) -> dict[str, float]:
    """List its models by SQL over the published tables."""
    from zoo.publishing.published import open_published

    return {"models": open_published(root / "zoo").sql("SELECT model_id, width, test_accuracy FROM models").height}


def load_width(root: Path) -> dict[str, float]:
    """Load the models of one width from the published folder."""
    from zoo import load_population

    loaded = load_population(root / "zoo", "width = 0")
    return {"models": len(loaded), "MB": sum(tensor.nbytes for tensor in loaded.tensors.values()) / 1e6}


def save_each(root: Path) -> dict[str, float]:
    """What one would write by oneself: a file of torch.save for each member."""
    (root / "files").mkdir()
    for number in range(PEER):
        torch.save({name: torch.randn(shape) for name, shape in SHAPES.items()}, root / "files" / f"{number}.pt")
    return {"models": PEER}


def load_each(root: Path) -> dict[str, float]:
    """And read back, stacked."""
    read = [torch.load(path, weights_only=True) for path in sorted((root / "files").iterdir())]
    stacked = {name: torch.stack([weights[name] for weights in read]) for name in SHAPES}
    return {"models": len(read), "MB": sum(tensor.nbytes for tensor in stacked.values()) / 1e6}


STEPS: dict[str, Callable[[Path], dict[str, float]]] = {
    "publish": publish,
    "list": list_models,
    "load one width": load_width,
    "torch.save each": save_each,
    "torch.load each": load_each,
}


def alone(step: str, root: Path) -> dict[str, float]:
    """Do a step in a process of its own; gives seconds of processor time and MiB beside."""
    command = [sys.executable, "-m", "benchmarks.publishing", "--step", step, "--root", str(root)]
    done = subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def timed(step: str, root: Path) -> dict[str, float]:
    """Do a step and say what it took."""
    torch.set_num_threads(1)
    before, begin, clock = peak(), time.process_time(), time.perf_counter()
    found = STEPS[step](root)
    took = {"seconds": time.process_time() - begin, "on the clock": time.perf_counter() - clock}
    return {**took, "MiB beside": peak() - before, **found}


def main() -> None:
    """Make, publish, list, load; print a row each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--members", type=int, default=50_000)
    parser.add_argument("--step", choices=STEPS)
    parser.add_argument("--root", type=Path)
    asked = parser.parse_args()
    if asked.step:
        print(json.dumps(timed(asked.step, asked.root)))
        return
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        make(open_lake(root / "lake"), asked.members)
        found = {step: alone(step, root) for step in STEPS}
    for step, figures in found.items():
        print(f"{step:>16}  " + "  ".join(f"{name} {value:,.2f}" for name, value in figures.items()))
    ours = asked.members / found["publish"]["seconds"]
    peer = PEER / found["torch.save each"]["seconds"]
    print(f"published a second of processor time: {ours:,.0f}, torch.save {peer:,.0f}: ratio {ours / peer:.1f}")
    ours = found["load one width"]["models"] / found["load one width"]["seconds"]
    peer = PEER / found["torch.load each"]["seconds"]
    print(f"loaded a second of processor time: {ours:,.0f}, torch.load {peer:,.0f}: ratio {ours / peer:.1f}")


if __name__ == "__main__":
    main()
