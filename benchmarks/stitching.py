"""The penalty matrix's pairs a second against one stitched network after the other, and how memory grows.

python benchmarks/stitching.py [MODELS]

The peer is what a reader of the papers would write: for each pair, fit the joint by `numpy.linalg.lstsq` on both
networks' values, put the three parts together, and run it on the held-out samples. It runs on some of the pairs.
"""

import resource
import sys
from itertools import permutations
from time import process_time

import numpy as np
import torch

from learners.stitching.cuts import trace
from learners.stitching.form import lay_out, rows
from learners.stitching.joint import Joint
from learners.stitching.joints import fit_joints, scatter_bytes
from learners.stitching.network import Network
from learners.stitching.penalty import penalties
from learners.stitching.sites import sites
from zoo.architectures import skeleton
from zoo.initialise import initialise
from zoo.population import Samples

FIT, HELD_OUT, PEER_PAIRS = 1000, 1000, 8
KINDS = {"cnn": ((1, 28, 28), 8), "mlp": ((1, 28, 28), 64), "vit": ((1, 8, 8), 24)}


def models(architecture: str, count: int) -> list[Network]:
    """Networks with random weights that share a chain."""
    shape, width = KINDS[architecture]
    module = skeleton(architecture, shape, 10, width)
    chain = trace(module)
    return [Network(chain, initialise(module, torch.Generator().manual_seed(seed))) for seed in range(count)]


def one_pair(front: Network, end: Network, cut: int, fit: torch.Tensor, held_out: Samples) -> float:
    """The penalty of one pair, by numpy."""
    with torch.no_grad():
        here, there = front.run(fit, stop=cut), end.run(fit, stop=cut)
        joint = Joint(front.forms(fit[:2])[cut], end.forms(fit[:2])[cut])
        x = lay_out(here, joint.source, joint.target).flatten(0, 1).double().numpy()
        y = rows(there, joint.target).flatten(0, 1).double().numpy()
        found = np.linalg.lstsq(np.hstack([x, np.ones((len(x), 1))]), y, rcond=None)[0]
        joint.set(torch.from_numpy(found[:-1].T), torch.from_numpy(found[-1]))
        values = joint(front.run(held_out.x, stop=cut))
        wrong = (end.run(values, start=cut).argmax(1) != held_out.y).double().mean()
        return float(wrong - (end.run(held_out.x).argmax(1) != held_out.y).double().mean())


def compare(architecture: str, count: int) -> None:
    """Print one line of the table."""
    networks, source = models(architecture, count), torch.Generator().manual_seed(0)
    shape = KINDS[architecture][0]
    fit, x = torch.rand(FIT, *shape, generator=source), torch.rand(HELD_OUT, *shape, generator=source)
    held_out = Samples(x, torch.randint(10, (HELD_OUT,), generator=source))
    forms = [networks[0].forms(fit[:2])] * count
    cut = len(forms[0]) // 2
    places, _ = sites(networks, forms, range(count), range(count), {number: [cut] for number in range(count)})
    begin = process_time()
    joints = fit_joints(networks, forms, places, torch.split(fit, 100))
    found = penalties(joints, held_out, at_once=200)
    fast = len(found) / (process_time() - begin)
    begin = process_time()
    pairs = list(permutations(networks, 2))[:PEER_PAIRS]
    peers = [one_pair(front, end, cut, fit, held_out) for front, end in pairs]
    slow = len(peers) / (process_time() - begin)
    sums, peak = scatter_bytes(places, forms) / 2**20, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    print(
        f"{architecture:>5}, {count} models: {fast:8.1f} pairs a second of processor time, one at a time {slow:6.1f}, "
        f"ratio {fast / slow:5.1f}; sums {sums:.1f} MiB, process {peak:.0f} MiB"
    )


def main() -> None:
    """Run each architecture."""
    torch.set_num_threads(1)
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 24
    if count < 2:
        raise SystemExit(f"{count} models have no pairs; expected at least 2")
    for architecture in KINDS:
        compare(architecture, count)


if __name__ == "__main__":
    main()
