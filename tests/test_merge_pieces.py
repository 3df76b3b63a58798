"""Merge methods that go through tensors in pieces: each against its formula on whole tensors, and their memory."""

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor

from learners.soups.merging import merge_tensor, prepare
from learners.soups.methods.pieces import AT_ONCE
from learners.soups.methods.sparsify import of_ranks
from tests.conftest import ROOT
from zoo.randomness import generator

WIDE, TALL = (3, AT_ONCE + 1), (1000, 300)
"""Shapes of which a row, and of which some rows, are more than a piece."""


def by_sorting(delta: Tensor, begin: int, end: int) -> Tensor:
    order = delta.flatten().abs().argsort(stable=True)[begin:end]
    found = torch.zeros(delta.numel(), dtype=delta.dtype)
    found[order] = delta.flatten()[order]
    return found.view(delta.shape)


@given(st.lists(st.sampled_from([0.0, 1.0, -1.0, 2.0, -2.5, 3.0]), min_size=1, max_size=40), st.data())
def test_values_are_kept_by_their_rank_and_of_equal_ones_the_later(values: list[float], data: st.DataObject) -> None:
    begin = data.draw(st.integers(0, len(values) - 1))
    end = data.draw(st.integers(begin + 1, len(values)))
    delta = torch.tensor(values)
    assert of_ranks(delta.clone(), begin, end).equal(by_sorting(delta, begin, end))


def test_equal_values_of_several_pieces_have_one_order() -> None:
    source = torch.Generator().manual_seed(0)
    delta = torch.randint(-3, 4, (3, AT_ONCE), generator=source).float()
    for begin, end in ((100_000, 250_000), (0, delta.numel()), (delta.numel() - 5, delta.numel())):
        assert of_ranks(delta.clone(), begin, end).equal(by_sorting(delta, begin, end))


def models_of(shape: Sequence[int], count: int = 3) -> list[Tensor]:
    source = torch.Generator().manual_seed(0)
    parent = torch.randn(*shape, generator=source, dtype=torch.float64)
    common = torch.randn(*shape, generator=source, dtype=torch.float64)
    own = [torch.randn(*shape, generator=source, dtype=torch.float64) for _ in range(count)]
    return [parent, *(parent + 0.1 * common + 0.1 * delta for delta in own)]


def agreed(deltas: Tensor, normalize: bool) -> Tensor:
    """TIES: what has the sign of the sum, all task vectors at once."""
    agrees = (deltas.sign() == torch.where(deltas.sum(dim=0) >= 0, 1.0, -1.0)) & (deltas != 0)
    total = (deltas * agrees).sum(dim=0)
    return total / agrees.sum(dim=0).clamp(min=1) if normalize else total


def ties(parent: Tensor, tunes: Sequence[Tensor]) -> Tensor:
    kept = [by_sorting(tune - parent, parent.numel() - int(0.2 * parent.numel()), parent.numel()) for tune in tunes]
    return parent + agreed(torch.stack(kept), normalize=True)


def breadcrumbs(parent: Tensor, tunes: Sequence[Tensor]) -> Tensor:
    count, top = parent.numel(), int(0.01 * parent.numel())
    begin = count - int(0.9 * count) - top
    return parent + sum(by_sorting(tune - parent, begin, count - top) for tune in tunes)


def drawn(parent: Tensor, tunes: Sequence[Tensor], probabilities: Callable[[Tensor], Tensor]) -> list[Tensor]:
    """Task vectors of which all values are drawn for at once."""
    source = generator("merge w", 0)
    deltas = [tune - parent for tune in tunes]
    chances = [probabilities(delta) for delta in deltas]
    return [
        torch.where(torch.rand(delta.shape, generator=source) < chance, delta / chance, 0)
        for delta, chance in zip(deltas, chances, strict=True)
    ]


def dare(parent: Tensor, tunes: Sequence[Tensor]) -> Tensor:
    return parent + sum(drawn(parent, tunes, lambda delta: torch.full_like(delta, 0.1)))


def della(parent: Tensor, tunes: Sequence[Tensor]) -> Tensor:
    def probabilities(delta: Tensor) -> Tensor:
        ranks = delta.abs().argsort(dim=1).argsort(dim=1).double()
        return 0.25 + 0.3 * ranks / (delta.shape[1] - 1)

    return parent + agreed(torch.stack(drawn(parent, tunes, probabilities)), normalize=True)


def sce(parent: Tensor, tunes: Sequence[Tensor]) -> Tensor:
    deltas = torch.stack([tune - parent for tune in tunes])
    variance = deltas.var(dim=0)
    kept = variance.flatten().argsort()[-int(0.1 * parent.numel()) :]
    mask = torch.zeros(parent.numel(), dtype=torch.bool)
    mask[kept] = True
    deltas = deltas * mask.view(parent.shape)
    agrees = (deltas.sign() == torch.where(deltas.sum(dim=0) >= 0, 1.0, -1.0)) & (deltas != 0)
    shares = deltas.square().flatten(1).sum(dim=1).view(-1, *[1] * parent.ndim) * agrees
    total = shares.sum(dim=0)
    return parent + (deltas * shares).sum(dim=0) / torch.where(total == 0, 1.0, total)


def model_stock(parent: Tensor, tunes: Sequence[Tensor], by_filter: bool = False) -> Tensor:
    deltas = torch.stack([tune - parent for tune in tunes]).reshape(len(tunes), len(parent) if by_filter else 1, -1)
    units = deltas / torch.linalg.vector_norm(deltas, dim=2, keepdim=True)
    count = len(tunes)
    pairs = [(units[i] * units[j]).sum(dim=1) for i in range(count) for j in range(i)]
    cosine = torch.stack(pairs).mean(dim=0)
    factor = (count * cosine / (1 + (count - 1) * cosine)).clamp(0, 1).reshape(-1, 1)
    return factor * torch.stack(list(tunes)).mean(dim=0) + (1 - factor) * parent


def karcher(parent: Tensor, tunes: Sequence[Tensor]) -> Tensor:
    """Where the gradient is zero: the mean of the arcs to all directions, by fixed steps until they are short."""
    lengths = torch.stack([tune.norm() for tune in tunes])
    units = torch.stack([tune.flatten() / tune.norm() for tune in tunes])
    mean: Tensor = units.mean(dim=0) / units.mean(dim=0).norm()
    for _ in range(50):
        angles = (units @ mean).clamp(-1, 1).arccos()
        arcs = (angles / angles.sin())[:, None] * (units - angles.cos()[:, None] * mean)
        step = arcs.mean(dim=0)
        if step.norm() < 1e-14:
            break
        mean = step.norm().cos() * mean + step * step.norm().sin() / step.norm()
    return (mean * lengths.mean()).view(parent.shape)


WHOLE = [ties, breadcrumbs, dare, della, sce, model_stock, karcher]


@pytest.mark.parametrize("shape", [WIDE, TALL], ids=["wide", "tall"])
@pytest.mark.parametrize("whole", WHOLE, ids=lambda whole: whole.__name__)
def test_methods_in_pieces_are_those_on_whole_tensors(whole: Callable[..., Tensor], shape: tuple[int, ...]) -> None:
    parent, *tunes = models_of(shape)
    settings: dict[str, Any] = {"steps": 50, "tolerance": 0.0} if whole is karcher else {}
    found = merge_tensor(prepare(whole.__name__, 3, **settings), "w", tunes, parent)
    torch.testing.assert_close(found, whole(parent, tunes), rtol=1e-10, atol=1e-10)
    assert not found.equal(parent)


@pytest.mark.parametrize("shape", [WIDE, TALL, (2, 3)])
def test_model_stock_has_a_factor_for_each_row(shape: tuple[int, ...]) -> None:
    parent, *tunes = models_of(shape)
    found = merge_tensor(prepare("model_stock", 3, by_filter=True), "w", tunes, parent)
    torch.testing.assert_close(found, model_stock(parent, tunes, by_filter=True), rtol=1e-10, atol=1e-12)
    assert not found.allclose(model_stock(parent, tunes))


def test_transposed_tensors_are_merged_as_others() -> None:
    parent, *tunes = models_of((40, 30))
    turned = [tensor.t().contiguous().t() for tensor in (parent, *tunes)]
    for whole in WHOLE:
        merge = prepare(whole.__name__, 3)
        found = merge_tensor(merge, "w", turned[1:], turned[0])
        torch.testing.assert_close(found, merge_tensor(merge, "w", tunes, parent), rtol=1e-12, atol=1e-13)


PEAKS = """
import resource, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from learners.soups.files.merge_files import Ingredients, merge_files
from learners.soups.files.stored import read_header
from learners.soups.merging import prepare
from learners.soups.methods import METHODS

def status(name):
    return int(next(line for line in open("/proc/self/status") if line.startswith(name)).split()[1]) * 1024

folder, to = Path(sys.argv[1]), Path(sys.argv[2])
parent, *models = (read_header(path) for path in sorted(folder.glob("*.safetensors")))
small = {"small": parent["small"]}
for name in sys.argv[3:]:
    method = METHODS[name]
    count = method.most or len(models)
    elder = parent if "parent" in method.needs else None
    for layout in (small, parent):  # the first time for what is allocated once and for all
        Path("/proc/self/clear_refs").write_text("5")
        before = status("VmRSS")
        merge_files(prepare(name, count), Ingredients(tuple(models[:count]), elder, layout), to)
    print(name, (status("VmHWM") - before) / parent["large"].bytes)
"""
MOST = {"ties": 6, "sce": 5.5, "model_stock": 4, "karcher": 4, "breadcrumbs": 5, "dare": 5, "della": 8, "slerp": 4}
"""So many times the largest tensor is the most memory that a method takes, beside what the program itself does."""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="only Linux tells the peak of a moment")
def test_memory_is_a_few_times_the_largest_tensor(tmp_path: Path) -> None:
    for number in range(5):
        source = torch.Generator().manual_seed(number)
        large = torch.randn(2048, 4096, generator=source)
        save_file({"large": large, "small": large[:2].clone()}, tmp_path / f"{number}.safetensors")
    (tmp_path / "to").mkdir()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}
    command = [sys.executable, "-c", PEAKS, str(tmp_path), str(tmp_path / "to"), *MOST]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    peaks = {name: float(times) for name, times in map(str.split, done.stdout.splitlines())}
    assert all(peaks[name] < most for name, most in MOST.items()), peaks
