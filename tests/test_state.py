"""The state of a training: a run that goes on from it gives bit for bit what an undisturbed one gives."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from schemas.weights import read_safetensors, write_safetensors
from tests.mined_models import equal
from tests.test_train_alone import BATCH, MEMBERS, TRAIN, group, images, points
from zoo.augmentation import AUGMENTATIONS
from zoo.backends import Choice
from zoo.group import Group
from zoo.state import restore, state_of
from zoo.train import Splits, Training, train

STEPS = TRAIN // BATCH
KEPT = (1, 4, 6, 11)
"""States to go on from: within the first epoch, before and within the second, after the last step of the third."""
DIVERGING = replace(MEMBERS[1], learning_rate=1e30)


@pytest.mark.parametrize("backend", ["sequential", "vmap"])
@pytest.mark.parametrize(
    ("wanted", "splits"),
    [
        (group("mlp", optimizer="adam", schedule="onecycle"), images()),
        (group("cnn", width=6, dropout=0.5, optimizer="adamw"), images()),
        (group("resnet18", augmentation=AUGMENTATIONS, members=(MEMBERS[0], DIVERGING)), images()),
        (group("pinn", width=6, schedule="cosine"), points()),
    ],
    ids=lambda value: value.architecture if isinstance(value, Group) else "",
)
def test_a_training_goes_on_from_where_it_was_left_to_the_same_bits(
    wanted: Group, splits: Splits, backend: str, tmp_path: Path
) -> None:
    undisturbed, choice = train(wanted, splits, backend=backend), Choice(backend, "tested")
    files = [tmp_path / f"{number}.safetensors" for number in range(wanted.epochs * (STEPS + 1))]
    unwritten = iter(files)
    on_its_way = Training(wanted, splits, choice)

    def keep() -> None:
        write_safetensors(next(unwritten), state_of(on_its_way))

    while on_its_way.epoch < wanted.epochs:
        keep()
        on_its_way.next_epoch(after_step=keep)
    for number in KEPT:
        file = files[number]
        resumed = Training(wanted, splits, choice)
        restore(resumed, read_safetensors(file))
        while resumed.epoch < wanted.epochs:
            resumed.next_epoch()
        assert equal(resumed.checkpoint(), undisturbed.checkpoints[wanted.epochs])
        curves, epochs, reasons = resumed.findings()
        assert (epochs, reasons) == (undisturbed.diverged_epoch, undisturbed.diverged_reason)
        assert curves.keys() == undisturbed.curves.keys()
        for name, curve in curves.items():
            torch.testing.assert_close(curve, undisturbed.curves[name], rtol=0, atol=0, equal_nan=True)


def test_a_state_is_a_copy_that_the_training_does_not_touch() -> None:
    training = Training(group("cnn", width=6), images(), Choice("vmap", "tested"))
    state = state_of(training)
    before = {name: tensor.clone() for name, tensor in state.items()}
    training.next_epoch()
    assert equal(state, before)
    assert not torch.equal(state_of(training)["backend/weights"], before["backend/weights"])


@pytest.mark.parametrize(
    ("learning_rate", "reason"), [(1e30, "loss"), (float("inf"), "weights")], ids=["loss", "weights"]
)
def test_what_stopped_being_finite_is_said(learning_rate: float, reason: str) -> None:
    members = (MEMBERS[0], replace(MEMBERS[1], learning_rate=learning_rate))
    trained = train(group("mlp", width=6, members=members), images())
    assert trained.diverged_epoch == (None, 1)
    assert trained.diverged_reason == (None, reason)
