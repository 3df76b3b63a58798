"""What cannot be stitched is said, the rest is done, and nobody's networks are changed by it."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from learners import PenaltySettings, check_chart_file, join, load_stitchable, stitch_penalties, trace
from learners.stitching.repository import configuration_of, tensors_of, write_repository
from learners.stitching.space import SpaceSettings
from learners.stitching.statistics import estimate_statistics
from learners.stitching.stitchable import StitchableNetwork
from schemas import DataError, Lake, UsageError
from tests.stitchable_networks import network, samples
from tests.test_command_line import Run, one_line, run
from tests.tiny_population import built, tiny_recipe


@pytest.mark.usefixtures(run.__name__)
def test_a_pair_without_a_joint_is_left_out_and_the_rest_is_measured(lake: Lake, images: Path, run: Run) -> None:
    """The features of a perceptron say nothing of the places of a transformer's tokens."""
    for architecture, width in (("mlp", "3"), ("vit", "4")):
        built(lake, tiny_recipe(images, architecture=architecture, width=width, batch_size="8", epochs=1))
    query = "SELECT min(model_id) AS model_id FROM models GROUP BY architecture"
    found = stitch_penalties(lake, query, PenaltySettings(fit_samples=20))
    pairs = set(found.rows.select("front", "end").rows())
    apart = {(front, end) for front in found.models for end in found.models} - pairs
    assert {(name, name) for name in found.models} <= pairs
    assert apart
    assert apart <= set(found.left_out.select("front", "end").rows())
    assert found.left_out["reason"].null_count() == 0
    said = run("stitch", "--penalty", "--select", query, "--fit-samples", "20", "--lake", lake.path)
    assert said.code == 0
    assert f"left out, all of {len(apart)} pairs, for example: " in said.err
    assert (
        f"4 pairs of 2 models, 0 of them measured now, {4 - len(apart)} known before, {len(apart)} imposs" in said.err
    )
    for wrong, reason in (
        ("--cut=--1", "no cut '--1'"),
        ("--cut=²", "no cut '²'"),
        (f"--seed={10**22}", "63 bits"),
        ("--epochs=2", "add --trained"),
    ):
        refused = run("stitch", "--penalty", "--select", query, wrong, "--lake", lake.path)
        assert refused.code == 2
        assert reason in one_line(refused.err)


def test_paths_that_are_left_out_are_known_with_the_reason() -> None:
    made = StitchableNetwork([network("mlp"), network("cnn")], samples("cnn", 2), SpaceSettings(direction="both"))
    assert len(made.left_out) == 2
    assert all("features say nothing of places" in reason for reason in made.left_out.values())
    assert len(made.stitches) == 4
    with pytest.raises(UsageError, match=r"no hop between them is possible: .* tokens .* are no places of"):
        StitchableNetwork([network("cnn"), network("vit")], samples("cnn", 2), SpaceSettings(direction="both"))


class Normed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.norm, self.two, self.head = nn.Linear(5, 4), nn.BatchNorm1d(4), nn.Linear(4, 4), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.head(self.two(self.norm(self.one(x)).relu()).relu())
        return found


def test_join_leaves_mode_and_statistics_of_networks_as_they_were() -> None:
    torch.manual_seed(0)
    one, two = Normed(), Normed()
    one.train()
    two.eval()
    two.norm.train()
    before = [copy.deepcopy(each.state_dict()) for each in (one, two)]
    x = torch.randn(50, 5)
    stitched = join(trace(one), 1, trace(two), 1, [x])
    assert [one.training, one.norm.training, two.training, two.norm.training] == [True, True, False, True]
    for each, kept in zip((one, two), before, strict=True):
        assert all(torch.equal(tensor, kept[name]) for name, tensor in each.state_dict().items())
    evaluated = join(trace(one.eval()), 1, trace(two.eval()), 1, [x])
    assert torch.equal(stitched.joint.weight, evaluated.joint.weight)


@pytest.mark.parametrize(
    ("batches", "reason"),
    [
        ([], "a joint cannot be fitted to no samples; give at least one batch"),
        ([torch.full((4, 5), float("nan"))], "values that are not finite"),
        ([torch.randn(4, 7)], r"does not take samples of shape \[4, 7\] and type torch\.float32: "),
    ],
)
def test_samples_that_cannot_be_are_said_in_one_line(batches: list[Tensor], reason: str) -> None:
    chains = [trace(Normed()) for _ in range(2)]
    with pytest.raises(UsageError, match=reason) as raised:
        join(chains[0], 1, chains[1], 1, batches)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("index", ["x", 1.5, 99])
def test_stitches_that_are_not_there_are_said(index: object) -> None:
    anchors = [network("mlp", seed, width=width) for seed, width in enumerate((4, 6))]
    made = StitchableNetwork(anchors, samples("mlp", 2))
    with pytest.raises(UsageError, match=rf"there is no stitch {index!r}; this network has \d+, from 0 on"):
        made.at(index)  # type: ignore[arg-type] # a user's mistake
    with pytest.raises(UsageError, match="flops = '5': expected a number"):
        made.at(flops="5")  # type: ignore[arg-type] # a user's mistake
    assert made.at(1).body
    assert made.left_out == {}


@pytest.mark.usefixtures(run.__name__)
def test_how_joints_are_trained_can_be_said(copied: Lake, run: Run) -> None:
    query = "SELECT model_id FROM models ORDER BY model_id LIMIT 2"
    options = ["stitch", "--lake", copied.path, "--select", query, "--penalty", "--fit-samples", 20, "--trained"]
    assert run(*options, "--epochs", 2, "--learning-rate", 0.01).code == 0
    settings = "SELECT DISTINCT settings->>'$.training' AS said FROM pair_measurement WHERE said IS NOT NULL"
    (said,) = copied.sql(settings)["said"]
    assert json.loads(said) == {"epochs": 2, "batch_size": 128, "learning_rate": 0.01, "seed": 0}
    refused = run(*options, "--learning-rate", "nan")
    assert (refused.code, "learning_rate = nan" in one_line(refused.err)) == (2, True)


@pytest.mark.usefixtures(run.__name__)
def test_a_folder_that_cannot_be_written_to_is_said_before_the_training(lake: Lake, tmp_path: Path, run: Run) -> None:
    (tmp_path / "file").touch()
    options = ["stitch", "--lake", lake.path, "--select", "FROM models", "--train", "default"]
    refused = run(*options, "--export", tmp_path / "file" / "repositories")
    assert refused.code == 1
    assert f"cannot write to {tmp_path / 'file' / 'repositories'}" in one_line(refused.err)


@pytest.mark.usefixtures(run.__name__)
def test_a_drawing_that_cannot_be_written_is_said_before_the_work(lake: Lake, tmp_path: Path, run: Run) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder.svg").mkdir()
    for kind in (["--penalty"], ["--train", "default"]):
        options = ["stitch", "--lake", lake.path, "--select", "FROM models", *kind]
        refused = run(*options, "--to", tmp_path / "file" / "x.svg")
        assert (refused.code, f"cannot write to {tmp_path / 'file'}" in one_line(refused.err)) == (1, True)
        refused = run(*options, "--to", tmp_path / "folder.svg")
        assert (refused.code, "is a folder; name a file" in one_line(refused.err)) == (2, True)
    check_chart_file(tmp_path / "new" / "folder" / "x.svg")
    assert (tmp_path / "new" / "folder").is_dir()


@pytest.mark.usefixtures(run.__name__)
@pytest.mark.parametrize("ridge", ["nan", "inf", "-1"])
def test_a_ridge_that_cannot_be_is_said_in_words_of_the_option(copied: Lake, run: Run, ridge: str) -> None:
    query = "SELECT model_id FROM models"
    refused = run("stitch", "--lake", copied.path, "--select", query, "--penalty", "--ridge", ridge)
    assert (refused.code, "ridge must be a finite number that is not negative" in one_line(refused.err)) == (2, True)


Change = Callable[[dict[str, Any], dict[str, Tensor]], object]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda c, _: c["anchors"][0].update(width=-1), "configuration of a stitchable network is damaged"),
        (lambda c, _: c["space"].update(kernel=0), "configuration .* is damaged: kernel = 0"),
        (lambda c, _: c["space"].update(direction="both"), "it has other stitches"),
        (lambda c, _: c.update(anchors=c["anchors"][:1]), "at least two anchors"),
        (lambda c, _: c.update(rank="3"), "rank = '3'"),
        (lambda c, _: c.update(flops=[1, 2]), r"flops are not \d+ figures"),
        (lambda c, _: c.update(flops="abc"), r"flops are not \d+ figures"),
        (lambda c, _: c.update(accuracies=None), r"accuracies are not \d+ figures"),
        (lambda c, _: c.update(accuracies=["a"] * len(c["stitches"])), "accuracies are no figures"),
        (
            lambda _, t: t.update({"statistics.abc.x": torch.zeros(1)}),
            "statistics.abc.x .* is of no layer",
        ),
        (lambda _, t: t.update({"statistics.99.0.bn1.running_mean": torch.zeros(1)}), "statistics.99.* is of no layer"),
        (lambda _, t: t.update({"statistics.2.0.nope": torch.zeros(1)}), "statistics.2.0.nope .* is of no layer"),
        (lambda _, t: t.update({min(_own(t)): torch.zeros(1)}), "or of another shape"),
        (lambda _, t: t["joints.0.bias"].fill_(torch.nan), "joints.0.bias of a stitchable network is not finite"),
        (lambda c, t: [c.pop("statistics"), *map(t.pop, _own(t))], "has 0 means and variances .* expected some"),
        (lambda _, t: [t.pop(name) for name in _own(t)], r"has 0 means and variances of batch norm, expected \d+"),
    ],
)
def test_damaged_repositories_are_refused_when_they_are_loaded(tmp_path: Path, change: Change, reason: str) -> None:
    anchors = [
        {"architecture": "resnet18", "input_shape": [1, 8, 8], "classes": 10, "width": width} for width in (2, 3)
    ]
    x = samples("resnet18", 8).float()
    made = StitchableNetwork([network("resnet18", width=width).float() for width in (2, 3)], x)
    made.fit([x])
    estimate_statistics(made, [x])
    configuration, tensors = configuration_of(made, anchors), tensors_of(made)
    folder = write_repository(tmp_path / "whole", configuration, tensors, "")
    assert torch.equal(load_stitchable(folder).at(3)(x), made.at(3)(x))
    change(configuration, tensors)
    damaged = write_repository(tmp_path / "damaged", configuration, tensors, "")
    with pytest.raises(DataError, match=reason) as raised:
        load_stitchable(damaged)
    assert "\n" not in str(raised.value)


def _own(tensors: dict[str, Tensor]) -> list[str]:
    return [name for name in tensors if name.startswith("statistics.")]
