"""Makes a stitchable network of the models that a query selects, and writes it to the lake as a model of its own."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

import polars as pl
import torch
from torch import Tensor, nn

from learners.stitching.cost import count_flops, flops
from learners.stitching.evaluation import Scored, score
from learners.stitching.given import given_by
from learners.stitching.recipe import StitchRecipe, load_stitch_recipe
from learners.stitching.repository import (
    build_anchor,
    configuration_of,
    sample_of,
    tensors_of,
)
from learners.stitching.selected import Selected, gather
from learners.stitching.statistics import estimate_statistics
from learners.stitching.stitchable import StitchableNetwork
from learners.stitching.training import Progressed, TrainingDiverged, check_trained, train_stitchable
from schemas import DataError, Lake
from schemas.lying import OF_A_STITCHING, STITCHING
from schemas.weights import read_metadata, read_safetensors, write_safetensors
from zoo.describe import Description
from zoo.device import chosen_device
from zoo.population import Samples
from zoo.randomness import generator

METHOD = "stitchable"
BATCH = 250
Progress = Callable[[int, int | None, str], None]


@dataclass(frozen=True)
class Stitching:
    """A stitchable network that stands in the lake.

    Attributes:
        model_id: Its name in the lake, made:stitch/...
        anchors: The models that it is made of, from the fastest to the slowest.
        stitches: A row for each stitch and stage (`random`, `least squares`, `trained`), as in the table `stitch`.
        made: Whether it was made now; else it was there.
        notes: How many paths were left out because they are impossible, and why, if it was made now.
    """

    model_id: str
    anchors: tuple[str, ...]
    stitches: pl.DataFrame
    made: bool
    notes: tuple[str, ...] = ()


def stitch(
    lake: Lake,
    sql: str,
    recipe: str | Path | StitchRecipe = "default",
    *,
    description: Description | Sequence[Description] = (),
    device: str = "auto",
    progress: Progress | None = None,
) -> Stitching:
    """Make one network of many out of the selected models; what is already made is not made again.

    Joints are fitted by least squares and trained as the recipe says, and every stitch is scored on the test split
    before and after. A call that was ended goes on after its last epoch.

    Args:
        lake: Where the anchors are and the network goes.
        sql: Any query that returns `model_id` (and `epoch`): classifiers trained on the same data.
        recipe: A recipe, its TOML file, or `default`.
        description: How models are built of which the lake does not know it, mined ones say; of several that one is
            taken whose tensors a model has.
        device: `cpu`, `cuda`, or `auto`: cuda if there is one.
        progress: Is called with epochs done, epochs in all, and what is being done.

    Raises:
        UsageError: The models cannot be stitched, something in the recipe cannot be, or the training diverged, of which
            nothing is stored; the message says why.
    """
    chosen = recipe if isinstance(recipe, StitchRecipe) else load_stitch_recipe(recipe)
    chosen.check()
    place = torch.device(chosen_device(device))
    selected = gather(lake, sql, place, given=given_by(description, (), None))
    order = _by_cost(selected)
    name = _name(selected, order, chosen)
    anchors = tuple(selected.ids[number] for number in order)
    model_id = f"made:stitch/{name}"
    known = lake.sql("FROM stitch WHERE model_id = $id ORDER BY ALL", id=model_id)
    if not known.is_empty():
        return Stitching(model_id, anchors, known, made=False)
    try:
        network, found = _made(lake, name, selected, order, chosen, place, progress)
    except TrainingDiverged:
        _progress_file(lake, name).unlink(missing_ok=True)
        raise
    _store(lake, model_id, sql, selected, order, chosen, network, found)
    _progress_file(lake, name).unlink(missing_ok=True)
    rows = lake.sql("FROM stitch WHERE model_id = $id ORDER BY ALL", id=model_id)
    return Stitching(model_id, anchors, rows, made=True, notes=_notes(network))


def _notes(network: StitchableNetwork) -> tuple[str, ...]:
    if not network.left_out:
        return ()
    (path, why), paths = next(iter(network.left_out.items())), len(network.stitches) + len(network.left_out)
    return (f"{len(network.left_out)} of {paths} paths are impossible and left out, for example {path}: {why}",)


def _by_cost(selected: Selected) -> list[int]:
    costs = []
    for number, network in enumerate(selected.networks):
        weights = network.weights or {}
        device = next(iter(weights.values())).device
        costs.append(flops(_Running(network.run), sample_of(_described(selected, number))[:1].to(device)))
    return sorted(range(len(selected)), key=lambda number: (costs[number], selected.ids[number]))


def _described(selected: Selected, number: int) -> dict[str, Any]:
    """What an anchor is built like, as the configuration keeps it."""
    description = selected.descriptions[number]
    assert description is not None, "no architecture can be given here"  # noqa: S101 - by the arguments of stitch
    return description.model_dump(exclude={"init"})


class _Running(nn.Module):
    def __init__(self, run: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self._run = run

    def forward(self, x: Tensor) -> Tensor:
        return self._run(x)


def _name(selected: Selected, order: list[int], recipe: StitchRecipe) -> str:
    hangs_on = [recipe.sha256, *([selected.given] if selected.given else [])]
    anchors = [[selected.ids[number], selected.epochs[number], selected.contents[number]] for number in order]
    identity = json.dumps([*anchors, *hangs_on])
    return f"{len(order)}-anchors-{sha256(identity.encode()).hexdigest()[:12]}"


def _progress_file(lake: Lake, name: str) -> Path:
    return lake.weights.folder / STITCHING / f"{name}{OF_A_STITCHING}"


def _made(
    lake: Lake,
    name: str,
    selected: Selected,
    order: list[int],
    recipe: StitchRecipe,
    device: torch.device,
    progress: Progress | None,
) -> tuple[StitchableNetwork, list[Scored]]:
    network = _joined(selected, order, recipe).to(device)
    data = selected.dataset
    train, test = (part.to(device, torch.float32) for part in (data.train, data.test))
    drawn = torch.randperm(len(train), generator=generator("stitching fit", recipe.training.seed))[: recipe.fit_samples]
    batches = torch.split(train.x[drawn.to(device)], BATCH)
    network.draw(recipe.training.seed)
    estimate_statistics(network, batches)
    found = score(network, test, "random")
    network.fit(batches, recipe.ridge)
    estimate_statistics(network, batches)
    found += score(network, test, "least squares")
    _train(lake, name, network, train, recipe, progress)
    estimate_statistics(network, batches, moved=recipe.training.train_anchors and recipe.training.epochs > 0)
    _check_outputs(network, batches[0], recipe)
    found += score(network, test, "trained")
    validation = score(network, data.validation.to(device, torch.float32), "validation")
    network.accuracies = tuple(each.accuracy for each in validation)
    return network, found


@torch.no_grad()
def _check_outputs(network: StitchableNetwork, x: Tensor, recipe: StitchRecipe) -> None:
    outputs = (network.at(index)(x) for index in range(len(network.stitches)))
    check_trained(network, recipe.training, "in the end", outputs)


def _joined(selected: Selected, order: list[int], recipe: StitchRecipe) -> StitchableNetwork:
    anchors = []
    for number in order:
        anchor = build_anchor(_described(selected, number))
        anchor.load_state_dict({key: t.cpu() for key, t in (selected.networks[number].weights or {}).items()})
        anchors.append(anchor.eval())
    sample = sample_of(_described(selected, 0))
    return StitchableNetwork(anchors, sample, recipe.space, recipe.rank)


def _train(
    lake: Lake,
    name: str,
    network: StitchableNetwork,
    train: Samples,
    recipe: StitchRecipe,
    progress: Progress | None,
) -> None:
    path = _progress_file(lake, name)

    def keep(done: Progressed) -> None:
        state = {f"state/{key}": tensor for key, tensor in done.state.items()}
        optimiser = {f"optimiser/{key}": tensor for key, tensor in done.optimiser.items()}
        write_safetensors(path, state | optimiser, {"epoch": str(done.epoch)})
        if progress is not None:
            progress(done.epoch, recipe.training.epochs, f"training {name}")

    count_flops(network, train.x[:1])
    train_stitchable(network, train, recipe.training, start=_started(path, train.x.device), keep=keep)


def _started(path: Path, device: torch.device) -> Progressed | None:
    if not path.exists():
        return None
    try:
        epoch = int(read_metadata(path)["epoch"])
        tensors = {key: tensor.to(device) for key, tensor in read_safetensors(path).items()}
    except (DataError, KeyError, ValueError) as error:
        raise DataError(
            f"{path}, of a training that was ended, is damaged; delete it to train from the start"
        ) from error
    parts = {
        part: {key.removeprefix(part): t for key, t in tensors.items() if key.startswith(part)}
        for part in ("state/", "optimiser/")
    }
    return Progressed(epoch, parts["state/"], parts["optimiser/"])


def _store(
    lake: Lake,
    model_id: str,
    sql: str,
    selected: Selected,
    order: list[int],
    recipe: StitchRecipe,
    network: StitchableNetwork,
    found: list[Scored],
) -> None:
    """Write weights, model, product, lineage, stitches and the accuracy of one stitch, in one transaction.

    The one is that of the best validation accuracy, the cheapest such: the test samples choose nothing.
    """
    name, now = model_id.rpartition("/")[2], datetime.now(UTC)
    shard = f"made/stitch/{name}.safetensors"
    digest = lake.weights.write(shard, {key: tensor[None] for key, tensor in tensors_of(network).items()})
    anchors = [_described(selected, number) for number in order]
    settings = {
        "sql": sql,
        "anchors": [[selected.ids[number], selected.epochs[number]] for number in order],
        "recipe": asdict(recipe),
        "network": configuration_of(network, anchors),
    }
    order_of_worth = [(accuracy, -cost) for accuracy, cost in zip(network.accuracies, network.flops, strict=True)]
    chosen = max(range(len(order_of_worth)), key=order_of_worth.__getitem__)
    best = next(each for each in found if each.stage == "trained" and each.stitch == chosen)
    key = {"model_id": model_id}
    model = key | {
        "hub": "made",
        "owner": "stitch",
        "name": name,
        "task": "text-generation" if anchors[0]["architecture"] == "gpt2" else "image-classification",
        "library": "weightlake",
        "architecture": METHOD,
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        **dict.fromkeys(["created_at", "first_seen", "last_seen"], now),
    }
    checkpoint = key | {"epoch": 0, "final": True, "shard": shard, "row": 0, "shard_sha256": digest}
    software = f"weightlake {version('weightlake')}"
    product = key | {"method": METHOD, "settings": json.dumps(settings), "software": software, "made_at": now}
    parents = {"relation": "stitch", "source": "product", "confidence": 1.0}
    lineage = [{"child_id": model_id, "parent_id": parent} | parents for parent in sorted({*selected.ids})]
    measured = key | {
        "metric": "accuracy",
        "split": "test",
        "value": best.accuracy,
        "standard_error": best.standard_error,
        "samples": best.samples,
        "settings": json.dumps({"stitch": best.stitch, "path": best.path, "chosen_on": "validation"}),
        "measured_at": now,
    }
    with lake.write() as transaction:
        transaction.replace("model", pl.DataFrame([model]), key="model_id")
        transaction.replace("checkpoint", pl.DataFrame([checkpoint]), key="model_id")
        transaction.replace("product", pl.DataFrame([product]), key="model_id")
        transaction.replace("lineage", pl.DataFrame(lineage), key="child_id")
        transaction.replace("measurement", pl.DataFrame([measured]), key="model_id")
        transaction.replace("stitch", pl.DataFrame([key | asdict(each) for each in found]), key="model_id")
