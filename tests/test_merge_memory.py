"""Peak memory of merges: it does not grow with the number of models, whatever a method needs of their data."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from learners import merge
from schemas import Lake, OutsideError
from tests.conftest import ROOT
from tests.mined_models import many_models

MEASURED = """
import resource, sys
import torch
torch.set_num_threads(1)
from learners import merge
from learners.soups.files import merge_files
from schemas import open_lake
merge_files.WINDOW = 1 << 20
folder, method, repair, count = sys.argv[1:]
query = f"SELECT 'local:' || i AS model_id FROM range({count}) t(i)"
with open_lake(folder) as lake:
    merge(lake, query, method, repair=repair == "True", samples=4, force=True)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


BY_EVERY_METHOD = """
import resource, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from learners.soups.files import merge_files as merging
from learners.soups.files.merge_files import Ingredients, merge_files
from learners.soups.files.stored import read_header
from learners.soups.merging import prepare
from learners.soups.methods import METHODS
merging.WINDOW = 1 << 20  # what all models may have together is far less than what they have
folder, most, to = Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
parent, *models = (read_header(path) for path in sorted(folder.glob("*.safetensors")))
for name, method in METHODS.items():
    count = method.most or most
    data = {need: tuple(models[:count]) for need in {"fishers", "grams"} & {*method.needs}}
    elder = parent if "parent" in method.needs else None
    (to / name).mkdir()
    merge_files(prepare(name, count), Ingredients(tuple(models[:count]), elder, parent, **data), to / name)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def peak_of(program: str, *arguments: object) -> float:
    """Most memory that a program has had, in MB."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}
    command = [sys.executable, "-c", program, *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return int(done.stdout) / 1000


def test_memory_of_no_method_grows_with_the_models(tmp_path: Path) -> None:
    """Thirty models have 80 MB in each of their two tensors, three have 8 MB; what is computed of each is as large."""
    for number in range(31):
        source = torch.Generator().manual_seed(number)
        halves = {name: torch.rand(820, 820, generator=source) for name in ("first", "second")}
        positive = {name: half @ half.T / 820 for name, half in halves.items()}  # Gram matrices can be such
        save_file(positive, tmp_path / f"{number}.safetensors")
    peaks = []
    for count in (3, 30):
        (tmp_path / str(count)).mkdir()
        peaks.append(peak_of(BY_EVERY_METHOD, tmp_path, count, tmp_path / str(count)))
    assert peaks[1] < peaks[0] + 20, peaks


@pytest.mark.parametrize(
    ("method", "repair"),
    [
        ("fisher", False),
        pytest.param("regmean", False, marks=pytest.mark.slow),
        pytest.param("linear", True, marks=pytest.mark.slow),
    ],
)
def test_memory_does_not_grow_with_the_models_that_are_run(
    lake: Lake, tmp_path: Path, method: str, repair: bool
) -> None:
    """Of thirty models of 4 MB one is in memory: all of them, or their Fisher information, would take 108 MB more."""
    many_models(lake, tmp_path, 1000, 30)
    peaks = [peak_of(MEASURED, lake.path, method, repair, count) for count in (3, 30)]
    assert peaks[1] < peaks[0] + 40, peaks


SHORT = """
import resource, sys
from pathlib import Path
from learners.soups.files.mapped import mapped
from learners.soups.files.stored import read_header
from schemas import OutsideError
size = int(next(line for line in open("/proc/self/status") if line.startswith("VmSize")).split()[1]) * 1024
resource.setrlimit(resource.RLIMIT_AS, (size + 10_000_000, size + 10_000_000))
try:
    mapped(read_header(Path(sys.argv[1]))["large"])
except OutsideError as error:
    assert "too little memory to map 40,0" in str(error), error
    print(1)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="tells its own size only on Linux")
def test_too_little_memory_is_no_damage(tmp_path: Path) -> None:
    save_file({"large": torch.zeros(10_000_000)}, tmp_path / "large.safetensors")
    assert peak_of(SHORT, tmp_path / "large.safetensors")


def test_what_is_computed_of_the_models_goes_with_the_merge(lake: Lake, small_disk: Path, tmp_path: Path) -> None:
    """The merged model is 4 MB and would have room; the Fisher information of seven models has not."""
    many_models(lake, tmp_path, 1000, 7)
    query = "SELECT model_id FROM model WHERE hub = 'local'"
    with pytest.raises(OutsideError, match="cannot write"):
        merge(lake, query, "fisher", samples=4, force=True, to=small_disk / "merged")
    assert list(small_disk.iterdir()) == []
    made = merge(lake, f"{query} LIMIT 2", "fisher", samples=4, force=True, to=small_disk / "merged")
    assert sorted(path.name for path in made.folder.iterdir()) == ["README.md", "config.json", "model.safetensors"]
