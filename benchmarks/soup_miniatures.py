"""Published results of soups and alignment in miniature, on Fashion-MNIST.

python benchmarks/soup_miniatures.py FASHION.npz [--epochs 3] [--part soups|ends|alignment|merging]

soups: 36 fine-tunes of one pre-trained network; best single, uniform, greedy, learned, ensemble, clean and corrupted
(Wortsman et al. 2022). ends: the same of an ancestor that was trained to its end, a perceptron. alignment: pairs of
networks that were initialised apart, by width: the barrier between them, after weight matching, and after REPAIR
(Ainsworth et al. 2023, Jordan et al. 2023). merging: five pairs of classes as tasks, one network fine-tuned on each:
average, Fisher, RegMean (Jin et al. 2023).
"""

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl
import torch
from torch import nn

from learners import compare_soups
from learners.soups.alignment.repair import repaired
from learners.soups.alignment.tracing import permutations_of
from learners.soups.alignment.weight_matching import weight_matching
from learners.soups.average import average
from learners.soups.data.fishers import diagonal_fisher
from learners.soups.data.grams import gram_matrices
from learners.soups.merging import merge_weights, prepare
from schemas import open_lake
from zoo import build
from zoo.datasets import load_dataset
from zoo.group import Group, Member
from zoo.population import Samples, Weights, evaluate, member, stack
from zoo.recipe import parse_recipe
from zoo.train import Splits, train

ANCESTOR = """
name = "fashion-ancestor"
architecture = "{architecture}"
dataset = "npz:{data}"
epochs = {epochs}
schedule = "onecycle"
[grid]
width = {width}
batch_size = 128
seeds = 1
learning_rate = 0.05
"""
FINETUNES = """
name = "fashion-finetunes"
architecture = "{architecture}"
dataset = "npz:{data}"
epochs = {epochs}
schedule = "cosine"
parent = "{parent}"
[grid]
width = {width}
batch_size = 128
seeds = 3
learning_rate = {rates}
weight_decay = [0.0, 1e-4, 1e-3]
"""
RATES = """
SELECT learning_rate, count(*) AS models, avg(test_accuracy) AS mean, min(test_accuracy) AS worst,
    max(test_accuracy) AS best
FROM models WHERE population_id = $population GROUP BY ALL ORDER BY ALL
"""
WIDTHS = (8, 16, 32, 64, 128)
TASKS = 5
CORRUPTIONS = ("blur", "contrast", "noise")
FEW = 512


@dataclass(frozen=True)
class Family:
    """Fine-tunes of one network: how that is built, how long it and they are trained, and at which rates."""

    architecture: str
    width: int
    ancestor_epochs: int
    epochs: int
    rates: list[float]


ENDS = Family("mlp", 64, ancestor_epochs=15, epochs=5, rates=[0.01, 0.03, 0.06, 0.1])
"""An ancestor that more training of its kind makes no better, and fine-tunes that leave it and come to their ends."""


def soups(data: Path, family: Family, place: Path | None = None, samples: int | None = None) -> None:
    """Soups of a family of fine-tunes, clean and corrupted."""
    with tempfile.TemporaryDirectory() as folder:
        ancestor = Path(folder) / "fashion-ancestor.toml"
        shared = {"data": data, "architecture": family.architecture, "width": family.width}
        ancestor.write_text(ANCESTOR.format(**shared, epochs=family.ancestor_epochs))
        text = FINETUNES.format(**shared, epochs=family.epochs, rates=family.rates, parent=ancestor)
        recipe = parse_recipe(text.encode(), "finetunes.toml")
        with open_lake(place or Path(folder) / "lake") as lake:
            population = build(lake, recipe, device="cpu", workers=1)
            query = f"SELECT model_id FROM models WHERE population_id = '{population}'"
            frame = compare_soups(lake, query, corruptions=CORRUPTIONS, samples=samples)
            rates = lake.sql(RATES, population=population)
    with pl.Config(tbl_rows=-1, tbl_cols=-1):
        print(frame, rates, sep="\n")


def group(name: str, architecture: str, width: int, epochs: int, members: tuple[Member, ...]) -> Group:
    """Networks that are trained together."""
    return Group(name, architecture, width, 128, epochs, "sgd", 0.9, "onecycle", (), members)


def single(name: str, seed: int, rate: float = 0.05) -> Member:
    """One network and its seed."""
    return Member(name, seed, seed, rate, 0.0, 0.0)


def alignment(data: Path, epochs: int) -> None:
    """Accuracy half-way between two networks that were initialised apart, by width."""
    dataset = load_dataset(f"npz:{data}", 0)
    print("width  ends   middle  matched  matched and repaired")
    for width in WIDTHS:
        trained = train(group("pair", "mlp", width, epochs, (single("a", 0), single("b", 1))), dataset.splits)
        one, two = (member(trained.checkpoints[epochs], row) for row in range(2))
        module = group("pair", "mlp", width, epochs, ()).skeleton(dataset.input_shape, dataset.classes)
        specification = permutations_of(module, dataset.train.x[:1])
        twin = specification.permute(two, weight_matching(specification, one, two).permutations)
        middle, matched = average(stack([one, two])), average(stack([one, twin]))
        fixed = repaired(module, matched, [one, twin], dataset.train.x[: 4 * FEW])
        scores = evaluate(module, stack([one, two, middle, matched, fixed]), dataset.test).accuracy
        ends = float(scores[:2].mean())
        print(f"{width:5}  {ends:.3f}  {scores[2]:.3f}   {scores[3]:.3f}    {scores[4]:.3f}")


def only(samples: Samples, classes: tuple[int, int]) -> Samples:
    """The samples of two classes."""
    chosen = (samples.y == classes[0]) | (samples.y == classes[1])
    return Samples(samples.x[chosen], samples.y[chosen])


def merging(data: Path, epochs: int) -> None:
    """Fine-tunes on five tasks merged by three methods: accuracy on all tasks, with heads of their own and merged.

    As in the papers each task keeps the output layer of its own model and the layers before are merged. Merged output
    layers are another problem: all ten classes compete, though no model has seen more than two of them.
    """
    dataset = load_dataset(f"npz:{data}", 0)
    splits = dataset.splits
    few = Samples(splits.train.x[: 8 * FEW], splits.train.y[: 8 * FEW])
    start = train(group("start", "mlp", 64, 1, (single("s", 0),)), replace(splits, train=few)).checkpoints[1]
    module = group("start", "mlp", 64, 1, ()).skeleton(dataset.input_shape, dataset.classes)
    tasks = [(2 * number, 2 * number + 1) for number in range(TASKS)]
    tunes: list[Weights] = []
    fishers, grams = [], []
    for number, classes in enumerate(tasks):
        part = only(splits.train, classes)
        parts = Splits(part, only(splits.validation, classes), only(splits.test, classes), splits.classes)
        made = train(group("task", "mlp", 64, epochs, (single("t", number, 0.02),)), parts, start=start)
        weights = member(made.checkpoints[epochs], 0)
        tunes.append(weights)
        shown = Samples(part.x[:FEW], part.y[:FEW])
        fishers.append(diagonal_fisher(module, weights, shown))
        grams.append(gram_matrices(module, weights, shown))
    totals = [sum(float(tensor.sum()) for tensor in fisher.values()) for fisher in fishers]
    alike = [1 / total for total in totals]
    found = {
        "start": [member(start, 0)] * TASKS,
        "average": [merge_weights(prepare("uniform", TASKS), tunes)] * TASKS,
        "fisher": [merge_weights(prepare("fisher", TASKS), tunes, fishers=fishers)] * TASKS,
        "fisher, each model's total made one": [
            merge_weights(prepare("fisher", TASKS, weights=alike), tunes, fishers=fishers)
        ]
        * TASKS,
        "regmean": [merge_weights(prepare("regmean", TASKS), tunes, grams=grams)] * TASKS,
        "each model on its own task": tunes,
    }
    tests = [only(splits.test, classes) for classes in tasks]
    head = list(module.state_dict())[-1].rpartition(".")[0] + "."
    print("Fisher information, total of each model:", ", ".join(f"{total:.3g}" for total in totals))
    for name, models in found.items():
        kept = [
            {key: (own if key.startswith(head) else weights)[key] for key in weights}
            for weights, own in zip(models, tunes, strict=True)
        ]
        print(f"{name}: own heads {accuracies(module, kept, tests)}; merged heads {accuracies(module, models, tests)}")


def accuracies(module: nn.Module, models: Sequence[Weights], tests: Sequence[Samples]) -> str:
    """Mean accuracy of a model for each task, and that of each."""
    scores = [
        float(evaluate(module, stack([weights]), samples).accuracy[0])
        for weights, samples in zip(models, tests, strict=True)
    ]
    return f"{sum(scores) / len(scores):.4f} ({', '.join(f'{score:.3f}' for score in scores)})"


def main() -> None:
    """Run the parts that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = Path(__file__).parents[2] / "shared" / "data" / "images" / "fashion_mnist.npz"
    parser.add_argument("data", type=Path, nargs="?", default=default)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--part", choices=["soups", "ends", "alignment", "merging"])
    parser.add_argument(
        "--lake", type=Path, help="a lake that stays, for the fine-tunes; one that is thrown away without it"
    )
    parser.add_argument("--samples", type=int, help="of soups: so many of validation and of test; all without it")
    arguments = parser.parse_args()
    if not arguments.data.is_file():
        print(f"{arguments.data} is absent: give the path of fashion_mnist.npz")
        return
    torch.set_num_threads(1)
    data, epochs = arguments.data.resolve(), arguments.epochs
    if arguments.part in (None, "soups"):
        soups(data, Family("cnn", 16, epochs, epochs, [0.003, 0.01, 0.03, 0.06]), arguments.lake, arguments.samples)
    if arguments.part in (None, "ends"):
        soups(data, ENDS, arguments.lake, arguments.samples)
    if arguments.part in (None, "alignment"):
        alignment(data, epochs)
    if arguments.part in (None, "merging"):
        merging(data, epochs)


if __name__ == "__main__":
    main()
