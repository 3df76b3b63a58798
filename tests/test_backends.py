"""Every backend against the sequential one, in float64, and what is not offered against its reason."""

import os
import subprocess
import sys
from dataclasses import replace
from math import ceil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from schemas import open_lake
from schemas.errors import OutsideError, UsageError
from tests.conftest import ROOT
from tests.test_train_alone import images, texts
from tests.tiny_population import tiny_recipe
from zoo.architectures.activations import ACTIVATIONS
from zoo.backends import AUTO, BACKENDS, Choice, Conditions, choose
from zoo.backends.choice import refusal
from zoo.backends.lanes import compiler, library
from zoo.backends.vectorised import Vectorised
from zoo.building import build
from zoo.catalogue import populations
from zoo.group import Group, Member
from zoo.population import Samples, Weights
from zoo.train import Splits, Training, train

CPU = torch.device("cpu")
SAMPLES, BATCH, EPOCHS = 25, 6, 10
STEPS = EPOCHS * ceil(SAMPLES / BATCH)


def members(count: int, learning_rate: float = 0.05) -> tuple[Member, ...]:
    """Members that differ in everything that members may differ in."""
    settings = [(learning_rate / (1 + index % 3), 0.01 * (index % 2), 0.2 * (index % 2)) for index in range(count)]
    return tuple(Member(f"m{index}", index, index + 7, *three) for index, three in enumerate(settings))


def group(architecture: str, count: int = 3, learning_rate: float = 0.05, **options: Any) -> Group:
    fixed = Group("g", architecture, 5, BATCH, EPOCHS, "sgd", 0.9, "onecycle", (), members(count, learning_rate))
    return replace(fixed, **options)


def pictures(channels: int, side: int, samples: int = SAMPLES) -> Splits:
    source = torch.Generator().manual_seed(side)
    part = Samples(torch.randn(samples, channels, side, side, generator=source), torch.arange(samples) % 4)
    return Splits(part, part, part, 4)


def assert_equal(ours: Training, reference: Training) -> None:
    for name, tensor in reference.backend.population().items():
        # Only the order of float64 sums differs: errors of 1e-16 a step.
        torch.testing.assert_close(ours.backend.population()[name], tensor, rtol=0, atol=1e-10)
    theirs, epochs, reasons = reference.findings()
    curves, *rest = ours.findings()
    assert rest == [epochs, reasons]
    for metric, curve in theirs.items():
        torch.testing.assert_close(curves[metric], curve, rtol=0, atol=1e-9, equal_nan=True)


def trained(backend: str, wanted: Group, splits: Splits) -> Training:
    training = Training(wanted, splits, Choice(backend, "tested"), dtype=torch.float64)
    while training.epoch < wanted.epochs:
        training.next_epoch()
    return training


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)  # two threads each in several processes would wait for each other


ADAM: dict[str, Any] = {"optimizer": "adam", "learning_rate": 0.01, "schedule": "constant"}
ADAMW: dict[str, Any] = {"optimizer": "adamw", "learning_rate": 0.01, "schedule": "cosine"}
EVERYTHING: dict[str, Any] = {"dropout": 0.3, "augmentation": ("crop", "flip", "rotation"), "data_fraction": 0.9}
SMALL_CNN = [
    (group("mlp", depth=3, activation="silu", **ADAM), pictures(1, 8)),
    (group("mlp", 17), pictures(2, 5)),
    (group("cnn", 16, **ADAMW), pictures(1, 8)),
    (group("cnn", width=8, **EVERYTHING), pictures(3, 28)),
    (group("cnn", activation="relu", **ADAM, **EVERYTHING), pictures(1, 13)),
    (group("cnn", 19, activation="gelu", dropout=0.5), pictures(1, 9)),
    (group("cnn", width=1, activation="sigmoid", **ADAMW), pictures(1, 17)),
    (group("cnn", width=14, activation="silu", schedule="step"), pictures(1, 6)),
]


@pytest.mark.parametrize(("wanted", "splits"), SMALL_CNN, ids=lambda value: getattr(value, "architecture", ""))
def test_lanes_equal_the_sequential_backend(wanted: Group, splits: Splits) -> None:
    assert STEPS >= 50
    assert_equal(trained("lanes", wanted, splits), trained("sequential", wanted, splits))


@pytest.mark.parametrize(
    ("wanted", "splits"),
    [
        (group("mlp", **ADAM), pictures(1, 8)),
        (group("cnn", **EVERYTHING), pictures(1, 8)),
        (group("resnet18", width=2, epochs=3, augmentation=("flip",)), images()),
        (group("resnet18-groupnorm", width=2, epochs=2), images()),
        (group("vit", width=3, epochs=3, depth=1), images()),
    ],
    ids=lambda value: getattr(value, "architecture", ""),
)
def test_vmap_equals_the_sequential_backend(wanted: Group, splits: Splits) -> None:
    assert_equal(trained("vmap", wanted, splits), trained("sequential", wanted, splits))


FIFTY_STEPS = [
    (group("mlp", **ADAMW), pictures(1, 8)),
    (group("cnn", augmentation=("crop", "rotation")), pictures(1, 8)),
    (group("resnet18", width=2, epochs=13), images()),
    (group("resnet18-groupnorm", width=2, epochs=13), images()),
    (group("vit", width=6, depth=1, epochs=13), images()),
    (group("gpt2", width=8, depth=1, epochs=13), texts()),
]


@pytest.mark.slow
@pytest.mark.parametrize(("wanted", "splits"), FIFTY_STEPS, ids=lambda value: getattr(value, "architecture", ""))
def test_vmap_equals_the_sequential_backend_for_fifty_steps(wanted: Group, splits: Splits) -> None:
    """The architectures of which the quick tests take fewer."""
    assert wanted.epochs * ceil(len(splits.train) / BATCH) >= 50
    assert_equal(trained("vmap", wanted, splits), trained("sequential", wanted, splits))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*torch.jit.script_method.*:DeprecationWarning")  # torch's own, of its compiler
@pytest.mark.parametrize(("wanted", "splits"), FIFTY_STEPS, ids=lambda value: getattr(value, "architecture", ""))
def test_compiled_equals_the_sequential_backend(wanted: Group, splits: Splits) -> None:
    """Deeper residual networks are made of the same layers; dropout and pinn are not offered."""
    assert_equal(trained("compiled", wanted, splits), trained("sequential", wanted, splits))


def test_every_activation_has_a_lane() -> None:
    tried = {wanted.activation for wanted, _ in SMALL_CNN}
    assert set(ACTIVATIONS) - {"tanh"} <= tried, "tanh is the cnn's own"


QUICK = sorted(set(BACKENDS) - {"compiled"})
"""Backends that need no minute to compile a step."""
DIVERGING = replace(members(3)[1], learning_rate=1e9)


@pytest.mark.parametrize("backend", QUICK)
@pytest.mark.parametrize("architecture", ["mlp", "cnn"])
def test_a_diverging_member_is_masked_and_changes_no_bit_of_the_others(backend: str, architecture: str) -> None:
    first, _, third = members(3)
    wanted = group(architecture, epochs=3, activation="relu")
    spoilt = trained(backend, replace(wanted, members=(first, DIVERGING, third)), pictures(1, 8))
    healthy = trained(backend, wanted, pictures(1, 8))
    curves, epochs, reasons = spoilt.findings()
    assert [epoch is None for epoch in epochs] == [True, False, True]
    assert reasons[1] in ("loss", "weights")
    assert curves["train", "loss"][1, -1].isnan()
    for name, tensor in healthy.backend.population().items():
        kept = spoilt.backend.population()[name]
        assert kept.isfinite().all()
        assert torch.equal(kept[[0, 2]], tensor[[0, 2]])


@pytest.mark.parametrize("backend", QUICK)
@pytest.mark.parametrize("goes_on", QUICK)
def test_a_backend_goes_on_from_the_state_of_any_other(backend: str, goes_on: str) -> None:
    wanted, splits = group("cnn", epochs=2, **ADAM), pictures(1, 8)
    begun = Training(replace(wanted, epochs=1), splits, Choice(backend, ""), dtype=torch.float64)
    begun.next_epoch()
    resumed = Training(wanted, splits, Choice(goes_on, ""), dtype=torch.float64)
    resumed.backend.restore(begun.backend.state())
    resumed.epoch = 1
    resumed.next_epoch()
    for name, tensor in trained("sequential", wanted, splits).backend.population().items():
        torch.testing.assert_close(resumed.backend.population()[name], tensor, rtol=0, atol=1e-12)


def test_float32_lanes_learn_what_the_sequential_backend_learns() -> None:
    """Single members may flip at a ReLU by rounding; most stay within a few units of float32."""
    wanted, splits = group("cnn", 16), pictures(1, 8)
    ours, theirs = (train(wanted, splits, backend=name).checkpoints[EPOCHS] for name in ("lanes", "sequential"))
    far = torch.stack([(ours[name] - theirs[name]).abs().flatten(1).amax(dim=1) for name in ours]).amax(dim=0)
    assert far.median() < 1e-5


def test_training_by_lanes_twice_gives_the_same_bits_in_a_stack_of_any_size() -> None:
    wanted, splits = group("cnn", 20, epochs=2, dropout=0.2), pictures(1, 8)
    many, few = (
        train(replace(wanted, members=wanted.members[:count]), splits, backend="lanes").checkpoints[2]
        for count in (20, 5)
    )
    assert all(torch.equal(many[name][:5], few[name]) for name in few)


class Cramped(Vectorised):
    """Has memory for few members at once."""

    fits = 2

    def gradient(
        self, weights: Tensor, buffers: Weights, coefficient: Tensor, x: Tensor, y: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        if len(weights) > self.fits:
            raise torch.OutOfMemoryError
        return super().gradient(weights, buffers, coefficient, x, y)


def test_as_many_members_are_trained_at_once_as_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BACKENDS, "cramped", Cramped)
    wanted, splits = group("mlp", 7, epochs=2), pictures(1, 5)
    cramped = trained("cramped", wanted, splits)
    assert cramped.backend.at_once == 2  # type: ignore[attr-defined] # it is a stacked one
    assert_equal(cramped, trained("vmap", wanted, splits))
    monkeypatch.setattr(Cramped, "fits", 0)
    with pytest.raises(OutsideError, match="one mlp does not fit in memory"):
        trained("cramped", wanted, splits)


def conditions(shape: tuple[int, ...] = (1, 8, 8), device: torch.device = CPU) -> Conditions:
    return Conditions(shape, 4, device)


def test_a_stack_of_small_networks_is_trained_by_lanes_and_the_reason_says_why() -> None:
    choice = choose(group("cnn", 12), conditions())
    assert choice.name == "lanes"
    assert "12 members" in choice.reason
    assert train(group("cnn", 12, epochs=1), pictures(1, 8)).choice == choice


@pytest.mark.parametrize(
    ("wanted", "shape", "name", "reason"),
    [
        (group("cnn", 3), (1, 8, 8), "vmap", "3 of 16 lanes are too few"),
        (group("mlp", 16, width=512), (1, 28, 28), "vmap", "666,628 parameters need none"),
        (group("cnn", 3, width=8, batch_size=64), (1, 28, 28), "sequential", "are more than calls cost"),
        (group("cnn", 3, width=32), (1, 8, 8), "vmap", "operations a layer cost less than the calls"),
        (group("resnet18", 8, width=2), (3, 8, 8), "vmap", "operations a layer cost less than the calls"),
        (group("resnet18", 8, width=16, batch_size=64), (3, 32, 32), "sequential", "so a stack gains nothing"),
        (group("gpt2", 8, width=64, batch_size=64), (16,), "sequential", "so a stack gains nothing"),
        (group("vit", 16), (3, 8, 8), "vmap", "the lanes kernel does not know"),
        (group("pinn", 16), (4,), "vmap", "samples that are no images"),
    ],
    ids=lambda value: value.architecture if isinstance(value, Group) else "",
)
def test_other_groups_are_trained_otherwise(wanted: Group, shape: tuple[int, ...], name: str, reason: str) -> None:
    choice = choose(wanted, conditions(shape))
    assert choice.name == name
    assert reason in choice.reason


def test_on_a_gpu_there_are_no_lanes() -> None:
    on_a_gpu = conditions(device=torch.device("cuda"))
    assert choose(group("cnn", 16), on_a_gpu).name != "lanes"
    assert "trained on cuda" in str(refusal("lanes", group("cnn", 16), on_a_gpu))


def test_a_backend_that_is_asked_for_and_not_offered_is_refused_with_the_reason() -> None:
    with pytest.raises(UsageError, match="does not know BatchNorm2d, which a resnet18 needs"):
        choose(group("resnet18"), conditions((3, 8, 8)), "lanes")
    with pytest.raises(UsageError, match="arithmetic that dropout takes its numbers from"):
        choose(group("cnn", dropout=0.5), conditions(), "compiled")
    with pytest.raises(UsageError, match="whose heads have one dimension writes beyond its memory"):
        choose(group("vit", width=3), conditions((3, 8, 8)), "compiled")
    with pytest.raises(UsageError, match="'fast' is unknown; choose one of: auto, "):
        choose(group("cnn"), conditions(), "fast")
    assert choose(group("resnet18"), conditions((3, 8, 8)), "vmap") == Choice("vmap", "asked for")


def test_without_a_compiler_there_are_no_lanes_and_one_line_says_so(tmp_path: Path) -> None:
    program = (
        "import torch\n"
        "from tests.test_backends import *\n"
        "print(choose(group('cnn', 16), conditions()))\n"
        "print(train(group('cnn', 16, epochs=1), pictures(1, 8)).choice.name)"
    )
    environment = {**os.environ, "CXX": "no-such-compiler", "WEIGHTLAKE_CACHE": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    choice, name = done.stdout.splitlines()
    assert name == "vmap"
    assert "there is no C++ compiler to build with (tried no-such-compiler)" in choice


def test_a_compiler_that_fails_leaves_nothing_behind_and_says_what_it_said(tmp_path: Path) -> None:
    broken = tmp_path / "broken-c++"
    broken.write_text("#!/bin/sh\necho 'x.hpp:1: error: no such thing' >&2\nexit 1\n")
    broken.chmod(0o755)
    program = "from tests.test_backends import *\nprint(refusal('lanes', group('cnn', 16), conditions()))"
    environment = {**os.environ, "CXX": str(broken), "WEIGHTLAKE_CACHE": str(tmp_path / "cache")}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert "cannot build the lanes kernel: x.hpp:1: error: no such thing" in done.stdout
    assert not list((tmp_path / "cache" / "lanes").iterdir())


def test_a_damaged_kernel_is_built_again_and_not_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The compiler makes a library of one function, which is all that loading asks for, and notes each time it does."""
    real = compiler()
    quick = tmp_path / "quick-c++"
    quick.write_text(
        f'#!/bin/sh\n[ "$1" = --version ] && exit 0\necho built >> {tmp_path}/calls\nfor out in "$@"; do :; done\n'
        f'echo \'extern "C" void lanes_network() {{}}\' | {real} -shared -fPIC -x c++ - -o "$out"\n'
    )
    quick.chmod(0o755)
    monkeypatch.setenv("CXX", str(quick))
    monkeypatch.setenv("WEIGHTLAKE_CACHE", str(tmp_path / "cache"))
    for _ in range(2):
        library.__wrapped__()
    assert (tmp_path / "calls").read_text() == "built\n"
    (kernel,) = (tmp_path / "cache" / "lanes").glob("*.so")
    whole = kernel.read_bytes()
    kernel.unlink()  # who loaded it keeps it mapped
    kernel.write_bytes(whole[: len(whole) // 2])
    library.__wrapped__()
    assert (tmp_path / "calls").read_text() == "built\n" * 2


def test_the_kernel_is_built_once() -> None:
    assert library() is library()
    assert AUTO not in BACKENDS


def test_a_build_keeps_the_backend_and_its_reason_with_the_members(tmp_path: Path) -> None:
    recipe = tiny_recipe(tmp_path, epochs=1, width="[3]", batch_size="[8]")
    with open_lake(tmp_path / "lake") as lake:
        build(lake, recipe, device="cpu", workers=1)
        assert lake.sql("SELECT DISTINCT backend, backend_reason FROM member").rows() == [
            ("vmap", "a stack needs one call for each operation; no lanes: 2 of 16 lanes are too few")
        ]
        with pytest.raises(UsageError, match="'lane' is unknown; choose one of: auto, compiled, lanes"):
            build(lake, tiny_recipe(tmp_path, epochs=2), device="cpu", backend="lane")
        other = build(lake, tiny_recipe(tmp_path, epochs=2, width="[3]"), device="cpu", workers=1, backend="lanes")
        assert populations(lake, other)["backends"].to_list() == ["lanes"]
