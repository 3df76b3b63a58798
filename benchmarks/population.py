"""Training many small networks at once: each backend against the plain eager loop over members, in the same run.

    python benchmarks/population.py [--backend lanes] [--network "small cnn"] [--rounds 5]

Each pair of backend and network has a process of its own with one thread. The loop is what anybody would
write: modules and torch.optim.SGD, one after the other. Both are timed in turns, and the best turn of
each counts, in processor time (on a GPU in time on the clock). Memory is the most that the process held
beside what it held before the population was made.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch.nn.functional import cross_entropy

from zoo.architectures import ARCHITECTURES
from zoo.backends import BACKENDS, Choice, Conditions
from zoo.backends.choice import refusal
from zoo.group import Group, Member
from zoo.population import Samples
from zoo.train import Splits, Training

SAMPLES, CLASSES, BATCH = 2_000, 10, 64
NETWORKS: dict[str, tuple[str, tuple[int, int, int], int, int]] = {
    "small cnn": ("cnn", (1, 28, 28), 8, 128),
    "small cnn, digits": ("cnn", (1, 8, 8), 8, 128),
    "cnn, 16 to 32 channels": ("cnn", (1, 28, 28), 32, 32),
    "cnn, 16 to 32 channels, digits": ("cnn", (1, 8, 8), 32, 32),
    "mlp": ("mlp", (1, 8, 8), 64, 128),
    "mlp, 28 x 28": ("mlp", (1, 28, 28), 64, 64),
    "resnet18 of width 8": ("resnet18", (3, 32, 32), 8, 8),
}
"""Architecture, shape of a sample, width, members."""
GPU = ("sequential", "vmap", "compiled")


def peak() -> float:
    """MiB that the process has held at most."""
    kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return kib / 2**20 if sys.platform == "darwin" else kib / 2**10


def loop(architecture: str, shape: tuple[int, ...], width: int, device: torch.device) -> tuple[Callable[[], None], int]:
    """The eager loop over a few members; each turn is a step of all of them."""
    models = [ARCHITECTURES[architecture](shape, CLASSES, width).to(device) for _ in range(3)]
    rules = [torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, foreach=False) for model in models]
    x, y = torch.rand(SAMPLES, *shape, device=device), torch.randint(0, CLASSES, (SAMPLES,), device=device)

    def turn() -> None:
        for model, rule in zip(models, rules, strict=True):
            batch = torch.randint(0, SAMPLES, (BATCH,), device=device)
            torch.autograd.backward(cross_entropy(model(x[batch]), y[batch]))
            rule.step()
            rule.zero_grad()

    return turn, len(models)


def population(backend: str, group: Group, shape: tuple[int, ...], device: torch.device) -> Callable[[], None]:
    """A population; each turn is a step of all its members."""
    part = Samples(torch.rand(SAMPLES, *shape), torch.randint(0, CLASSES, (SAMPLES,)))
    training = Training(group, Splits(part, part, part, CLASSES), Choice(backend, "measured"), device=device)
    batch = torch.randint(0, SAMPLES, (len(group.members), BATCH), device=device)

    def turn() -> None:
        training.backend.step(batch, 1.0, 0)

    return turn


def seconds(work: Callable[[], None], device: torch.device) -> float:
    """What one turn takes."""
    if device.type == "cpu":
        begin = time.process_time()
        work()
        return time.process_time() - begin
    torch.cuda.synchronize()
    begin = time.perf_counter()
    work()
    torch.cuda.synchronize()
    return time.perf_counter() - begin


def measure(backend: str, network: str, device: torch.device, rounds: int) -> dict[str, object]:
    """Time one backend on one network against the loop."""
    torch.set_num_threads(1)
    architecture, shape, width, members = NETWORKS[network]
    settings = tuple(Member(str(seed), seed, seed, 0.01, 0.0, 0.0) for seed in range(members))
    group = Group("benchmark", architecture, width, BATCH, 1, "sgd", 0.9, "constant", (), settings)
    if why := refusal(backend, group, Conditions(shape, CLASSES, device)):
        return {"network": network, "backend": backend, "why": why}
    eager, models = loop(architecture, shape, width, device)
    eager()
    before = peak()
    stack = population(backend, group, shape, device)
    begin = time.perf_counter()
    stack()
    first = time.perf_counter() - begin
    turns = [(seconds(eager, device) / models, seconds(stack, device) / members) for _ in range(rounds)]
    held = torch.cuda.max_memory_allocated() / 2**20 if device.type == "cuda" else peak() - before
    alone, together = (min(column) for column in zip(*turns, strict=True))
    return {
        "network": network,
        "backend": backend,
        "members": members,
        "eager_ms": alone * 1e3,
        "ms": together * 1e3,
        "ratio": alone / together,
        "first_step_s": first,
        "mib": held,
    }


def row(found: dict[str, object]) -> str:
    """A row of the table."""
    if "why" in found:
        return f"| {found['network']} | {found['backend']} | not offered: {found['why']} | | | | |"
    return (
        f"| {found['network']} | {found['backend']} | {found['members']} | {found['eager_ms']:.3f} "
        f"| {found['ms']:.3f} | **{found['ratio']:.1f}** | {found['mib']:.0f} |"
    )


def main() -> None:
    """Print the table, row by row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backend", choices=sorted(BACKENDS))
    parser.add_argument("--network", choices=NETWORKS)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--one", nargs=3, metavar=("BACKEND", "NETWORK", "DEVICE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        backend, network, device = arguments.one
        print(json.dumps(measure(backend, network, torch.device(device), arguments.rounds)))
        return
    print("| network | backend | members | eager loop, ms a member step | ms a member step | ratio | MiB |")
    print("|---|---|---|---|---|---|---|")
    for device in ("cpu", "cuda"):
        for network in [arguments.network] if arguments.network else NETWORKS:
            for backend in [arguments.backend] if arguments.backend else GPU if device == "cuda" else BACKENDS:
                if device == "cuda" and not torch.cuda.is_available():
                    print(f"| {network}, GPU | {backend} | not measured | | | | |")
                    continue
                command = [sys.executable, str(Path(__file__)), "--rounds", str(arguments.rounds)]
                done = subprocess.run(
                    [*command, "--one", backend, network, device], capture_output=True, text=True, check=True
                )
                print(row(json.loads(done.stdout)), flush=True)


if __name__ == "__main__":
    main()
