"""Curvature of a population against PyHessian's loop, and curves of many pairs against one pair at a time.

    python benchmarks/landscape.py [--network mlp] [--rounds 3]

Each network has a process of its own with one thread, which trains a population on the digits first. Both sides reach
the same accuracy on all of its members: the top eigenvalue within 1e-3 of what Lanczos gives when it runs to rounding,
and a trace whose standard error is 5 % of it. PyHessian is told the loosest tolerance of a few with which nine members
in ten get there, and how many probes each trace needs, so that it loses nothing by stopping late. Both are timed in
turns, the best turn counts, in processor time. Memory is the most that the process held beside what it held before.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from math import ceil

import numpy as np
import pyhessian  # type: ignore[import-untyped] # it ships no types
import torch
from torch import Tensor, nn

from learners.landscape.connectivity.bezier import train_bend
from learners.landscape.curvature.batches import batches
from learners.landscape.curvature.both import eigenvalues_and_trace
from learners.landscape.curvature.eigenvalues import extreme_eigenvalues
from learners.landscape.curvature.loss import cross_entropy_sum
from learners.landscape.curvature.products import HessianProducts
from zoo.architectures import skeleton
from zoo.datasets import load_dataset
from zoo.initialise import initialise
from zoo.population import Samples, Weights, forward, losses, member, size, stack

NETWORKS = {"mlp": ("mlp", 16, 24), "wide mlp": ("mlp", 64, 16), "cnn": ("cnn", 4, 8), "wide cnn": ("cnn", 16, 8)}
"""Architecture, width, members."""
SAMPLES, STEPS, BATCH = 1000, 400, 64
EIGENVALUE, TRACE = 1e-3, 0.05
TOLERANCES = (1e-3, 1e-4, 1e-5, 1e-6, 1e-7)
MOST = 1000
CURVE_EPOCHS = 2


@dataclass(frozen=True)
class Subject:
    """A trained population, its samples, and what its top eigenvalues are compared with."""

    module: nn.Module
    weights: Weights
    samples: Samples
    top: Tensor

    @property
    def names(self) -> list[str]:
        """Names of the parameters."""
        return [name for name, _ in self.module.named_parameters()]


def peak() -> float:
    """MiB that the process has held at most."""
    kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return kib / 2**20 if sys.platform == "darwin" else kib / 2**10


def subject(network: str) -> Subject:
    """Train a population by Adam, a batch after the other."""
    architecture, width, members = NETWORKS[network]
    data = load_dataset("digits", 0)
    module = skeleton(architecture, data.input_shape, data.classes, width)
    weights = stack([initialise(module, torch.Generator().manual_seed(seed)) for seed in range(members)])
    parameters = {name: tensor.clone().requires_grad_() for name, tensor in weights.items()}
    optimiser, source = torch.optim.Adam(parameters.values(), lr=3e-3), torch.Generator().manual_seed(0)
    for _ in range(STEPS):
        chosen = torch.randint(len(data.train), (BATCH,), generator=source)
        optimiser.zero_grad()
        logits = forward(module, parameters, data.train.x[chosen])
        torch.autograd.backward(losses(logits, data.train.y[chosen]).mean(dim=1).sum())
        optimiser.step()
    trained = {name: tensor.detach() for name, tensor in parameters.items()}
    samples = Samples(data.train.x[:SAMPLES], data.train.y[:SAMPLES])
    return Subject(module, trained, samples, torch.ones(members, dtype=torch.float64))


def to_rounding(given: Subject) -> Subject:
    """The same with what the top eigenvalues are compared with."""
    each = operators(given.module, given.weights, given.samples, given.names)
    return replace(given, top=torch.cat([extreme_eigenvalues(*both, steps=80).top[:, 0] for both in each]))


def operators(
    module: nn.Module, weights: Weights, samples: Samples, names: list[str]
) -> Iterator[tuple[HessianProducts, Tensor]]:
    """Products with the Hessians of all members, as many at once as the library takes."""
    loss_sum = cross_entropy_sum(module)
    cut = batches(loss_sum, weights, samples, names)
    for begin in range(0, size(weights), cut.members):
        part = {name: tensor[begin : begin + cut.members] for name, tensor in weights.items()}
        products = HessianProducts(loss_sum, part, samples, names, samples_at_once=cut.samples, keep=cut.keep)
        yield products, torch.zeros(products.size, products.dimension)


def ours(given: Subject) -> tuple[Tensor, Tensor]:
    """Relative errors of the top eigenvalues, and standard errors of the traces as shares of them."""
    errors, shares, begin = [], [], 0
    for products, like in operators(given.module, given.weights, given.samples, given.names):
        ends, trace = eigenvalues_and_trace(products, like, 1, EIGENVALUE, TRACE)
        errors.append((ends.top[:, 0] / given.top[begin : begin + products.size] - 1).abs())
        shares.append(trace.standard_error / trace.value.abs())
        begin += products.size
    return torch.cat(errors), torch.cat(shares)


def plain(given: Subject, index: int) -> nn.Module:
    """A member as a module of its own."""
    module = deepcopy(given.module)
    module.load_state_dict(member(given.weights, index), assign=True)
    return module.requires_grad_()


def theirs(given: Subject, tolerance: float, probes: Sequence[int]) -> tuple[Tensor, Tensor]:
    """The same by PyHessian, one member after the other."""
    errors, shares = [], []
    for index, count in enumerate(probes):
        model = plain(given, index)
        torch.manual_seed(0)  # PyHessian draws from torch's own generator
        found = pyhessian.hessian(model, nn.CrossEntropyLoss(), data=(given.samples.x, given.samples.y), cuda=False)
        (top,), _ = found.eigenvalues(maxIter=MOST, tol=tolerance)
        traces = np.array(found.trace(maxIter=count, tol=0.0)) if count else np.zeros(2)
        errors.append(abs(top / float(given.top[index]) - 1))
        shares.append(traces.std(ddof=1) / len(traces) ** 0.5 / abs(traces.mean()) if count else 0.0)
        model.zero_grad()  # breaks the cycle of gradients and graph that it leaves behind
    return torch.tensor(errors), torch.tensor(shares)


def tuned(given: Subject) -> tuple[float, list[int]]:
    """The loosest tolerance that reaches the eigenvalues, and the probes that each trace needs."""
    none = [0] * size(given.weights)
    tolerance = next(
        (t for t in TOLERANCES if float(theirs(given, t, none)[0].quantile(0.9)) <= EIGENVALUE), TOLERANCES[-1]
    )
    first = 50
    shares = theirs(given, 1.0, [first] * len(none))[1]
    return tolerance, [max(2, ceil(first * (float(share) / TRACE) ** 2)) for share in shares]


def timed(work: Callable[[], object]) -> float:
    """Processor seconds of a turn."""
    begin = time.process_time()
    work()
    return time.process_time() - begin


def curves(given: Subject, together: bool) -> None:
    """Train the bends between neighbours, all at once or one pair after the other."""
    half = size(given.weights) // 2
    first, second = ({n: t[part] for n, t in given.weights.items()} for part in (slice(half), slice(half, 2 * half)))
    for begin in range(0, half, half if together else 1):
        ends = [{n: t[begin : begin + (half if together else 1)] for n, t in end.items()} for end in (first, second)]
        train_bend(given.module, ends[0], ends[1], {}, given.samples, epochs=CURVE_EPOCHS)


def measured(network: str, rounds: int) -> dict[str, object]:
    """All figures of one network."""
    given = subject(network)
    members, before = size(given.weights), peak()
    ours(given)
    memory, given = peak() - before, to_rounding(given)
    errors, shares = ours(given)
    tolerance, probes = tuned(given)
    their_errors, their_shares = theirs(given, tolerance, probes)
    turns = [(timed(lambda: ours(given)), timed(lambda: theirs(given, tolerance, probes))) for _ in range(rounds)]
    mine, other = (members / min(turn[side] for turn in turns) for side in (0, 1))
    pairs = members // 2
    races = [(timed(lambda: curves(given, True)), timed(lambda: curves(given, False))) for _ in range(rounds)]
    stacked, single = (pairs / min(race[side] for race in races) for side in (0, 1))
    return {
        "network": network,
        "parameters": sum(t[0].numel() for t in given.weights.values()),
        "members": members,
        "members a second": round(mine, 2),
        "pyhessian": round(other, 2),
        "times": round(mine / other, 1),
        "eigenvalue error, 90 %": [f"{float(e.quantile(0.9)):.1e}" for e in (errors, their_errors)],
        "trace error, 90 %": [f"{float(s.quantile(0.9)):.3f}" for s in (shares, their_shares)],
        "pyhessian's tolerance": tolerance,
        "pyhessian's probes": [min(probes), max(probes)],
        "MiB": round(memory),
        "MiB in all": round(peak()),
        "pairs a second": round(stacked, 2),
        "one at a time": round(single, 2),
        "times, pairs": round(stacked / single, 1),
    }


def main() -> None:
    """Measure each network in a process of its own and print a line of JSON for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", choices=list(NETWORKS))
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    if given.network:
        warnings.simplefilter("ignore")  # torch warns of the reference cycle that PyHessian makes
        torch.set_num_threads(1)
        print(json.dumps(measured(given.network, given.rounds)), flush=True)
        return
    for network in NETWORKS:
        command = [sys.executable, __file__, "--network", network, "--rounds", str(given.rounds)]
        subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
