"""Fifty checkpoints of 100 MB into one: from disk to disk, beside reading their bytes, torch.load, and mergekit.

python benchmarks/soups.py [--models 50] [--megabytes 100] [--folder DIR]

Each way runs in a process of its own with one thread, so that its peak memory is its own. Needs about 11 GB of disk,
which are given back.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
ROWS, COLUMNS = 1250, 1000
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
NOTE = "seconds {wall:.2f} ({processor:.2f} of processor time), peak {peak:.0f} MB"

WRITE = """
import json, sys
from pathlib import Path
import torch
from safetensors.torch import save_file
folder, models, tensors = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
for number in range(models):
    source = torch.Generator().manual_seed(number)
    weights = {f"model.layers.{n}.weight": torch.randn(ROWS, COLUMNS, generator=source) for n in range(tensors)}
    (folder / f"m{number}").mkdir(parents=True)
    save_file(weights, folder / f"m{number}" / "model.safetensors", metadata={"format": "pt"})
    torch.save(weights, folder / f"m{number}.pt")
""".replace("ROWS, COLUMNS", f"{ROWS}, {COLUMNS}")

READ = """
import mmap, sys
from pathlib import Path
# timed
for path in sorted(Path(sys.argv[1]).glob("m*/model.safetensors")):
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
        for begin in range(0, len(view), 1 << 23):
            view[begin : begin + (1 << 23)]
"""

OURS = """
import sys
from pathlib import Path
from learners.soups.files.merge_files import Ingredients, merge_files
from learners.soups.files.stored import read_header
from learners.soups.merging import prepare
# timed
folder = Path(sys.argv[1])
models = tuple(read_header(path) for path in sorted(folder.glob("m*/model.safetensors")))
(folder / "ours").mkdir()
merge_files(prepare("uniform", len(models)), Ingredients(models, None, models[0]), folder / "ours")
"""

TORCH = """
import sys
from pathlib import Path
import torch
# timed
paths = sorted(Path(sys.argv[1]).glob("m*.pt"))
total = {}
for path in paths:
    for name, tensor in torch.load(path, weights_only=True).items():
        total[name] = total[name].add_(tensor) if name in total else tensor.clone()
torch.save({name: tensor / len(paths) for name, tensor in total.items()}, Path(sys.argv[1]) / "torch.pt")
"""

MERGEKIT = """
import json, sys
from pathlib import Path
from mergekit.config import MergeConfiguration
from mergekit.merge import MergeOptions, run_merge
# timed
folder = Path(sys.argv[1])
models = sorted(folder.glob("m*/"))
for model in models:
    (model / "config.json").write_text(json.dumps({"model_type": "bloom", "architectures": ["BloomForCausalLM"]}))
entries = [{"model": str(model), "parameters": {"weight": 1.0}} for model in models]
configuration = {"merge_method": "linear", "models": entries, "dtype": "float32"}
options = MergeOptions(quiet=True, copy_tokenizer=False, write_model_card=False)
run_merge(MergeConfiguration.model_validate(configuration), str(folder / "mergekit"), options)
"""

TIMED = """
import resource, sys, time
import torch
torch.set_num_threads(1)
imports, _, program = sys.stdin.read().partition("# timed")
names = {}
exec(compile(imports, "imports", "exec"), names)
started, processor = time.perf_counter(), time.process_time()
exec(compile(program, "program", "exec"), names)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
print(time.perf_counter() - started, time.process_time() - processor, peak)
"""


def timed(program: str, folder: Path) -> dict[str, float]:
    """Run a program in a process of its own; seconds do not count its start and imports."""
    command = [sys.executable, "-c", TIMED, str(folder)]
    environment = {**os.environ, **ONE_THREAD, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, input=program, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    wall, processor, peak = map(float, done.stdout.split()[-3:])
    return {"wall": wall, "processor": processor, "peak": peak}


def main() -> None:
    """Write the files, time each way, print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, default=50)
    parser.add_argument("--megabytes", type=int, default=100)
    parser.add_argument("--folder", type=Path, help="where the files go for the time of the benchmark")
    arguments = parser.parse_args()
    tensors = max(1, round(arguments.megabytes * 1e6 / (ROWS * COLUMNS * 4)))
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        folder = Path(name)
        begin = time.perf_counter()
        command = [sys.executable, "-c", WRITE, name, str(arguments.models), str(tensors)]
        subprocess.run(command, check=True, env={**os.environ, **ONE_THREAD})
        print(f"{arguments.models} models of {tensors * 5} MB written in {time.perf_counter() - begin:.0f} s")
        timed(READ, folder)  # so that all begin with what is in memory
        reading = timed(READ, folder)
        ways = {"learners.soups": timed(OURS, folder), "torch.load and add": timed(TORCH, folder)}
        ways["mergekit linear"] = timed(MERGEKIT, folder)
        print("reading through maps: " + NOTE.format(**reading))
        for way, figures in ways.items():
            ratio = figures["wall"] / reading["wall"]
            of_processor = figures["processor"] / reading["processor"]
            print(f"{way}: {NOTE.format(**figures)}; {ratio:.2f} times reading ({of_processor:.2f} of processor time)")


if __name__ == "__main__":
    main()
