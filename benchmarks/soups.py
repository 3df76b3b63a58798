"""Fifty checkpoints of 100 MB into one: from disk to disk, beside reading their bytes, torch.load, and mergekit.

python benchmarks/soups.py [--models 50] [--megabytes 100] [--folder DIR]

The checkpoints have the tensors of a Llama, which mergekit knows by their names. Each way runs in a process of its own
with one thread, so that its peak memory is its own, and what it writes is compared with the mean of the tensors. Needs
about 11 GB of disk, which are given back.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file

ROOT = Path(__file__).parents[1]
WIDTH, WORDS = 1024, 1000
LAYER_MB = 7 * WIDTH * WIDTH * 4 / 1e6
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
NOTE = "seconds {wall:.2f} ({processor:.2f} of processor time), peak {peak:.0f} MB"

WRITE = """
import json, sys
from pathlib import Path
import torch
from safetensors.torch import save_file
folder, models, layers = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
for number in range(models):
    source = torch.Generator().manual_seed(number)
    shapes = {"model.embed_tokens": (WORDS, WIDTH), "lm_head": (WORDS, WIDTH), "model.norm": (WIDTH,)}
    for layer in range(layers):
        inner = [f"self_attn.{part}_proj" for part in "qkvo"]
        inner += [f"mlp.{part}_proj" for part in ("gate", "up", "down")]
        shapes |= {f"model.layers.{layer}.{part}": (WIDTH, WIDTH) for part in inner}
        norms = ("input_layernorm", "post_attention_layernorm")
        shapes |= {f"model.layers.{layer}.{part}": (WIDTH,) for part in norms}
    weights = {f"{part}.weight": torch.randn(shape, generator=source) for part, shape in shapes.items()}
    (folder / f"m{number}").mkdir(parents=True)
    save_file(weights, folder / f"m{number}" / "model.safetensors", metadata={"format": "pt"})
    (folder / f"m{number}" / "config.json").write_text(json.dumps({
        "model_type": "llama", "architectures": ["LlamaForCausalLM"], "num_hidden_layers": layers, "vocab_size": WORDS,
        "hidden_size": WIDTH, "intermediate_size": WIDTH, "num_attention_heads": 8, "tie_word_embeddings": False,
    }))
    torch.save(weights, folder / f"m{number}.pt")
""".replace("WORDS", str(WORDS)).replace("WIDTH", str(WIDTH))

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
import sys
from pathlib import Path
from mergekit.config import MergeConfiguration
from mergekit.merge import MergeOptions, run_merge
# timed
folder = Path(sys.argv[1])
models = sorted(folder.glob("m*/"))
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


def check(folder: Path) -> None:
    """Hold what each way has written against the mean of one tensor after the other."""
    paths = sorted(folder.glob("m*/model.safetensors"))
    outputs = {way: load_file(next((folder / way).glob("*.safetensors"))) for way in ("ours", "mergekit")}
    outputs["torch"] = torch.load(folder / "torch.pt", weights_only=True)
    names = list(load_file(paths[0]))
    for name in names:
        mean = torch.stack([_tensor(path, name) for path in paths]).mean(dim=0)
        for way, output in outputs.items():
            torch.testing.assert_close(output[name].double(), mean, rtol=1e-5, atol=1e-6, msg=f"{way}: {name}")


def _tensor(path: Path, name: str) -> torch.Tensor:
    with safe_open(path, "pt") as file:
        tensor: torch.Tensor = file.get_tensor(name)
    return tensor.double()


def main() -> None:
    """Write the files, time each way, print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, default=50)
    parser.add_argument("--megabytes", type=int, default=100)
    parser.add_argument("--folder", type=Path, help="where the files go for the time of the benchmark")
    arguments = parser.parse_args()
    layers = max(1, round((arguments.megabytes - 8 * WIDTH * WORDS / 1e6) / LAYER_MB))
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        folder = Path(name)
        begin = time.perf_counter()
        command = [sys.executable, "-c", WRITE, name, str(arguments.models), str(layers)]
        subprocess.run(command, check=True, env={**os.environ, **ONE_THREAD})
        size = (folder / "m0" / "model.safetensors").stat().st_size / 1e6
        print(f"{arguments.models} models of {size:.0f} MB written in {time.perf_counter() - begin:.0f} s")
        timed(READ, folder)  # so that all begin with what is in memory
        reading = timed(READ, folder)
        ways = {"learners.soups": timed(OURS, folder), "torch.load and add": timed(TORCH, folder)}
        ways["mergekit linear"] = timed(MERGEKIT, folder)
        check(folder)
        print("reading through maps: " + NOTE.format(**reading))
        for way, figures in ways.items():
            ratio = figures["wall"] / reading["wall"]
            of_processor = figures["processor"] / reading["processor"]
            print(f"{way}: {NOTE.format(**figures)}; {ratio:.2f} times reading ({of_processor:.2f} of processor time)")


if __name__ == "__main__":
    main()
