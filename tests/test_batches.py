"""Which batches a group can be trained on, said beforehand, beside what torch says in training."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from schemas import Lake, UsageError
from tests.tiny_population import tiny_recipe
from zoo import build, plan
from zoo.batches import check_batches
from zoo.datasets.dataset import Dataset
from zoo.group import Group, Member
from zoo.population import Samples
from zoo.train import train

GROUP = Group("g", "resnet18", 2, 5, 1, "sgd", 0.9, "constant", (), (Member("m", 0, 0, 0.01, 0.0, 0.0),))


def dataset(samples: int, side: int) -> Dataset:
    part = Samples(torch.randn(samples, 1, side, side, generator=torch.Generator()), torch.arange(samples) % 2)
    return Dataset("made", 0, 2, part, part, part, "")


@pytest.mark.parametrize(
    ("group", "samples", "side", "fits"),
    [
        (GROUP, 11, 8, False),  # maps of a single pixel, and a last batch of one
        (replace(GROUP, batch_size=1), 4, 8, False),
        (GROUP, 12, 8, True),
        (GROUP, 11, 9, True),  # maps of 2 x 2 are four values a channel
        (replace(GROUP, architecture="resnet18-groupnorm"), 11, 8, True),
        (replace(GROUP, architecture="cnn"), 11, 8, True),
        (replace(GROUP, data_fraction=0.5), 22, 8, False),
        (replace(GROUP, data_fraction=0.5), 23, 8, True),
    ],
)
def test_what_is_refused_is_what_torch_cannot_train(group: Group, samples: int, side: int, fits: bool) -> None:
    data = dataset(samples, side)
    if fits:
        check_batches(group, data)
        train(group, data.splits, backend="sequential")
        return
    with pytest.raises(UsageError, match=r"training samples.* leave a last batch of one"):
        check_batches(group, data)
    with pytest.raises(ValueError, match="Expected more than 1 value per channel"):
        train(group, data.splits, backend="sequential")


def test_the_refusal_says_how_to_mend_it_before_anything_is_trained(lake: Lake, tmp_path: Path) -> None:
    recipe = tiny_recipe(tmp_path, architecture="resnet18", epochs=1, width="[2]", batch_size="[8, 41]")
    for refused in (build, plan):
        with pytest.raises(UsageError) as error:
            refused(lake, recipe, device="cpu", workers=1)
        assert str(error.value) == (
            "batch_size = 41: 42 training samples leave a last batch of one, from which the batch normalisation of a "
            "resnet18 learns nothing (one value a channel); take batch_size = 40 or 42, or the architecture "
            "resnet18-groupnorm"
        )
    assert not any(lake.weights.folder.rglob("*"))
    assert lake.sql("FROM population").is_empty()
    for size in (40, 42):
        check_batches(replace(GROUP, batch_size=size), dataset(42, 8))
