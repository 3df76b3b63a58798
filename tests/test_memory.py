"""How much of a network's work is done at once: memory stays modest, and no figure hangs on it."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from schemas.errors import OutsideError
from zoo.architectures import skeleton
from zoo.group import Member
from zoo.initialise import initialise
from zoo.memory import BYTES_AT_ONCE, bytes_a_sample, is_short
from zoo.objective import Convection
from zoo.population import Samples, Weights, evaluate, forward, portion_of, stack

MEBI = 1 << 20
STATUS = Path("/proc/self/status")


class Wide(nn.Module):
    """Hardly any work and 4 MB of activations a sample: 1,024 maps of 32 x 32."""

    def __init__(self) -> None:
        super().__init__()
        self.spread = nn.Conv2d(1, 1024, kernel_size=1)
        self.head = nn.Linear(1024, 3)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(torch.relu(self.spread(x)).mean(dim=(2, 3)))
        return logits


def drawn(module: nn.Module, members: int, dtype: torch.dtype = torch.float64) -> Weights:
    each = [initialise(module, torch.Generator().manual_seed(seed), None) for seed in range(members)]
    return {name: t.to(dtype) if t.is_floating_point() else t for name, t in stack(each).items()}


def in_use(field: str) -> int:
    """Bytes that Linux says this process holds (VmRSS), held at most (VmHWM) or has addresses for (VmSize)."""
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(f"{field}:"))
    return int(line.split()[1]) * 1024


@contextmanager
def room_for(size: int) -> Iterator[None]:
    """Let this process have so many bytes more and no others."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (in_use("VmSize") + size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


@pytest.mark.parametrize("budget", [1, 40_000, 256 * MEBI])
@pytest.mark.parametrize(
    ("architecture", "shape", "width"),
    [("mlp", (1, 8, 8), 5), ("cnn", (1, 8, 8), 5), ("resnet18", (3, 8, 8), 2), ("vit", (3, 8, 8), 4)],
)
def test_no_score_hangs_on_how_much_is_done_at_once(
    architecture: str, shape: tuple[int, ...], width: int, budget: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = skeleton(architecture, shape, 4, width)
    population = drawn(module, 3)
    samples = Samples(torch.randn(19, *shape, dtype=torch.float64, generator=torch.Generator()), torch.arange(19) % 4)
    monkeypatch.setitem(BYTES_AT_ONCE, "cpu", budget)
    ours = evaluate(module, population, samples)
    logits = forward(module, population, samples.x)
    assert ours.correct.tolist() == (logits.argmax(dim=2) == samples.y).sum(dim=1).tolist()
    expected = torch.stack([cross_entropy(each, samples.y) for each in logits])
    torch.testing.assert_close(ours.loss, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("budget", [1, 20_000])
def test_no_error_of_an_equation_hangs_on_it_either(budget: int, monkeypatch: pytest.MonkeyPatch) -> None:
    module = skeleton("pinn", (4,), 1, 6)
    members = [Member(f"m{seed}", seed, seed, 0.1, 0.0, 0.0, convection=float(seed)) for seed in range(5)]
    samples = Samples(torch.rand(17, 4, dtype=torch.float64, generator=torch.Generator()), torch.zeros(17))
    whole = Convection(members).measure(module, drawn(module, 5), samples)
    monkeypatch.setitem(BYTES_AT_ONCE, "cpu", budget)
    for ours, theirs in zip(Convection(members).measure(module, drawn(module, 5), samples), whole, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("width", "samples"), [(2, 400), (64, 14)])
def test_fewer_samples_of_a_wide_network_go_through_at_once(width: int, samples: int) -> None:
    """Of width 64 at 32 x 32 it was all there are, up to 21,845, which take 46 GB."""
    module = skeleton("resnet18", (3, 8, 8), 4, width)  # 16 times as few pixels as 32 x 32
    portion = portion_of(module, drawn(module, 3, torch.float32), torch.randn(8, 3, 8, 8))
    assert portion.members == 3
    assert samples < portion.samples / 16 < 3 * samples


def test_bytes_are_those_that_a_sample_adds() -> None:
    """The largest operation reads and writes 1,024 maps of 32 x 32 values of four bytes; weights are not counted."""
    module = Wide()
    assert bytes_a_sample(module, torch.zeros(4, 1, 32, 32)) == 2 * 4 * 1024 * 32 * 32
    assert bytes_a_sample(nn.Linear(3, 500), torch.zeros(1, 3)) > 0  # too few samples to tell weights apart


@pytest.mark.skipif(not STATUS.exists(), reason="only Linux says what a process holds")
def test_memory_stays_modest() -> None:
    """All samples at once would take 960 MB for one operation."""
    module = Wide()
    samples = Samples(torch.zeros(120, 1, 32, 32), torch.zeros(120, dtype=torch.int64))
    population = drawn(module, 2, torch.float32)
    Path("/proc/self/clear_refs").write_text("5")
    before = in_use("VmRSS")
    evaluate(module, population, samples)
    assert in_use("VmHWM") - before < BYTES_AT_ONCE["cpu"] + 64 * MEBI


@pytest.mark.skipif(not STATUS.exists(), reason="only Linux keeps a process to its addresses")
def test_where_there_is_no_memory_half_as_much_is_done_at_once() -> None:
    module = Wide()
    samples = Samples(torch.rand(60, 1, 32, 32, generator=torch.Generator()), torch.arange(60) % 3)
    population = drawn(module, 2, torch.float32)
    whole = evaluate(module, population, samples)
    with room_for(300 * MEBI):  # 480 MB are asked for
        with pytest.raises(RuntimeError, match="allocate") as short:
            forward(module, population, samples.x)
        assert is_short(short.value)
        ours = evaluate(module, population, samples, chunk=len(samples))
        with pytest.raises(OutsideError, match="one Wide does not fit in memory"):
            evaluate(module, population, Samples(torch.zeros(1, 1, 800, 800), torch.zeros(1, dtype=torch.int64)))
    assert ours.correct.tolist() == whole.correct.tolist()
    torch.testing.assert_close(ours.loss, whole.loss, rtol=1e-6, atol=0)


def test_other_errors_are_no_shortage() -> None:
    population = drawn(Wide(), 1, torch.float32)
    with pytest.raises(RuntimeError, match="input"):
        evaluate(Wide(), population, Samples(torch.zeros(4, 7, 7), torch.zeros(4, dtype=torch.int64)), chunk=4)
