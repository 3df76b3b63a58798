"""Zoos as others write them: Ray Tune folders of the zoos' CNN, and a matrix with its tables in Keras' layout."""

import gzip
import json
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import nn

SETTINGS: dict[str, Any] = {
    "model::type": "CNN",
    "model::channels_in": 1,
    "model::o_dim": 4,
    "model::nlin": "tanh",
    "model::dropout": 0.0,
    "model::init_type": "uniform",
    "model::use_bias": False,
    "optim::optimizer": "adam",
    "optim::lr": 0.0003,
    "optim::wd": 0.0,
    "training::batchsize": 10,
    "training::epochs_train": 3,
    "training::checkpoint_dir": None,
    "dataset::dump": "/zoos/MNIST/dataset.pt",
    "cuda": False,
}


def zoo_network(dropout: float = 0.0, activation: type[nn.Module] = nn.Tanh, channels: int = 1) -> nn.ModuleList:
    """The zoos' CNN for 28 x 28 images, a list of layers."""
    drop = [nn.Dropout(dropout)] if dropout else []
    return nn.ModuleList(
        [
            *(nn.Conv2d(channels, 8, 5), nn.MaxPool2d(2, 2), activation(), *drop),
            *(nn.Conv2d(8, 6, 5), nn.MaxPool2d(2, 2), activation(), *drop),
            *(nn.Conv2d(6, 4, 2), activation(), nn.Flatten()),
            *(nn.Linear(36, 20), activation(), *drop, nn.Linear(20, 10)),
        ]
    )


def compute(layers: nn.ModuleList, x: torch.Tensor) -> torch.Tensor:
    for layer in layers.eval():
        x = layer(x)
    return x


def write_trial(
    root: Path,
    name: str,
    seed: int,
    epochs: int = 3,
    checkpoints: tuple[int, ...] = (0, 3),
    settings: dict[str, Any] | None = None,
) -> dict[int, nn.ModuleList]:
    """Write a trial: settings, a line for each epoch from 0, as the zoos' training did, and checkpoints."""
    params = {**SETTINGS, "seed": seed, **(settings or {})}
    folder = root / name
    folder.mkdir(parents=True)
    (folder / "params.json").write_text(json.dumps(params))
    with (folder / "result.json").open("w") as file:
        for epoch in range(epochs + 1):
            train = -999 if epoch == 0 else 1 / (epoch + seed + 1)
            line: dict[str, Any] = {"train_loss": train, "train_acc": -999 if epoch == 0 else 0.1 * epoch}
            line |= {"test_loss": 2 / (epoch + seed + 1), "test_acc": 0.09 * epoch, "training_iteration": epoch}
            line |= {"time_total_s": 1.5 * epoch, "date": f"2021-09-0{epoch + 1}", "trial_id": f"5_{seed}", "pid": 7}
            line |= {"hessian_trace": 10.0 + epoch} if epoch == epochs else {}
            file.write(json.dumps({**line, "config": params}) + "\n")
    networks = {}
    for epoch in checkpoints:
        torch.manual_seed(1000 * seed + epoch)
        networks[epoch] = zoo_network(params["model::dropout"], channels=params["model::channels_in"])
        inner = folder / f"checkpoint_{epoch:06d}"
        inner.mkdir()
        state = {f"module_list.{name}": tensor for name, tensor in networks[epoch].state_dict().items()}
        torch.save(OrderedDict(state), inner / "checkpoints")
        torch.save({"state": {}, "param_groups": []}, inner / "optimizer")
    return networks


LAYERS = [("conv2d", 1), ("conv2d_1", 16), ("conv2d_2", 16)]
STEPS = (0, 1, 86)


def write_matrix(root: Path, runs: int = 4, zipped: bool = True) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Write a small-CNN zoo: 4,970 parameters a row, biases before kernels, in Keras' order of axes."""
    root.mkdir(parents=True, exist_ok=True)
    shapes: list[tuple[str, tuple[int, ...]]] = []
    for layer, inputs in LAYERS:
        shapes += [(f"sequential/{layer}/bias:0", (16,)), (f"sequential/{layer}/kernel:0", (3, 3, inputs, 16))]
    shapes += [("sequential/dense/bias:0", (10,)), ("sequential/dense/kernel:0", (16, 10))]
    ends = np.cumsum([int(np.prod(shape)) for _, shape in shapes]).tolist()
    rows = [
        {
            "varname": name,
            "start_idx": end - int(np.prod(shape)),
            "end_idx": end,
            "size": int(np.prod(shape)),
            "shape": str(shape),
        }
        for (name, shape), end in zip(shapes, ends, strict=True)
    ]
    pl.DataFrame(rows).write_csv(root / "layout.csv")
    matrix = np.random.default_rng(0).normal(size=(runs * len(STEPS), ends[-1])).astype(np.float32)
    np.save(root / "weights.npy", matrix)
    metrics = pl.DataFrame([_metrics(run, step) for run in range(runs) for step in STEPS]).write_csv().encode()
    if zipped:
        (root / "metrics.csv.gz").write_bytes(gzip.compress(metrics))
    else:
        (root / "metrics.csv").write_bytes(metrics)
    return matrix


def _metrics(run: int, step: int) -> dict[str, Any]:
    return {
        "config.activation": ["relu", "tanh"][run % 2],
        "config.b_init": "zeros",
        "config.dataset": "mnist",
        "config.dnn_architecture": "cnn",
        "config.dropout": 0.1 * run,
        "config.epochs": 86,
        "config.epochs_between_checkpoints": 20,
        "config.init_std": 0.01 * (run + 1),
        "config.l2reg": 1e-5 * (run + 1),
        "config.learning_rate": 0.003 / (run + 1),
        "config.num_layers": 3,
        "config.num_units": 16,
        "config.optimizer": "rmsprop",
        "config.random_seed": 42,
        "config.train_fraction": [0.1, 0.25, 0.5, 1.0][run % 4],
        "config.w_init": "he_normal",
        "modeldir": f"/some/place/mnist/{run}",
        "step": step,
        "test_accuracy": 0.01 * step + 0.001 * run,
        "test_loss": 1 / (step + 1),
        "train_accuracy": 0.01 * step,
        "train_loss": 1 / (step + 2),
    }
