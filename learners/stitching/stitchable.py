"""A stitchable network: anchors, joints, and every path through them, which share all weights."""

import operator
from collections.abc import Iterable, Mapping, Sequence
from numbers import Real
from typing import Self, SupportsIndex

import torch
from torch import Tensor, nn
from torch.func import functional_call

from learners.stitching.cuts import trace
from learners.stitching.form import Form, form_of, laid_out, lay_out, rows
from learners.stitching.joint import Joint
from learners.stitching.least_squares import Regressors, tolerance_of
from learners.stitching.moments import SUMS, Moments
from learners.stitching.space import Hop, SpaceSettings, stitches
from schemas.errors import UsageError
from zoo.randomness import generator

JointKey = tuple[int, int, int, Form, Form]
"""Front, end, window, and the forms on both sides: hops share a joint where these agree."""


class Path(nn.Module):
    """One path of a stitchable network, which runs the network's own layers; `parameters` are those that it runs."""

    def __init__(self, body: nn.Sequential, statistics: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.body = body
        self.statistics = statistics
        """Means and variances of its own for normalising layers behind a joint, by their names in the body."""

    def forward(self, x: Tensor) -> Tensor:
        """Map samples to the last anchor's outputs."""
        if not self.statistics or self._estimating:
            plain: Tensor = self.body(x)
            return plain
        outputs: Tensor = functional_call(self.body, dict(self.statistics), (x,))
        return outputs

    @property
    def _estimating(self) -> bool:
        """Whether its normalising layers take means and variances from each batch; frozen ones in training do not."""
        layer = next(iter(self.statistics)).rpartition(".")[0]
        return self.body.get_submodule(layer).training


class StitchableNetwork(nn.Module):
    """Anchors, from the fastest to the slowest, and the joints between them: many networks in one.

    `network.at(index)` or `network.at(flops=...)` is one of them, and no weight is copied for it. Called
    itself, it is its last anchor.

    Args:
        anchors: Networks that take the same samples and give the same kind of outputs.
        sample: Some samples, by which the forms of what the anchors have at their cuts are found.
        settings: Which paths there are; those with impossible hops are left out, and `left_out` says why.
        rank: Rank of the joints' updates in training, see `Joint`.
        blocks: Name of the part of each anchor whose children are its blocks, see `trace`; found without it.

    Raises:
        UsageError: An anchor cannot be cut, there are fewer than two, or no hop is possible.
    """

    def __init__(
        self,
        anchors: Sequence[nn.Module],
        sample: Tensor,
        settings: SpaceSettings | None = None,
        rank: int = 0,
        blocks: str | None = None,
    ) -> None:
        super().__init__()
        if len(anchors) < 2:
            raise UsageError("a stitchable network needs at least two anchors")
        self.anchors = nn.ModuleList(anchors)
        self.settings = settings or SpaceSettings()
        self._blocks = blocks
        self._chains = [trace(anchor, blocks) for anchor in anchors]
        with torch.no_grad():
            self.forms = [[form_of(values) for values in chain.activations(sample)] for chain in self._chains]
        paths = stitches([chain.blocks for chain in self._chains], self.settings)
        reasons = [next(filter(None, map(self._against, path.hops)), None) for path in paths]
        self.stitches = tuple(path for path, reason in zip(paths, reasons, strict=True) if reason is None)
        self.left_out = {str(path): reason for path, reason in zip(paths, reasons, strict=True) if reason is not None}
        """Paths that cannot be, and why."""
        if not any(path.hops for path in self.stitches):
            why = next(iter(self.left_out.values()), "there is none")
            raise UsageError(f"these anchors cannot be stitched, no hop between them is possible: {why}")
        self.keys = tuple(dict.fromkeys(self._key(hop) for path in self.stitches for hop in path.hops))
        self._joints = [Joint(key[3], key[4], rank) for key in self.keys]
        self.joints = nn.ModuleList(self._joints)
        self.joints.to(sample.device, next(self.anchors.parameters()).dtype)
        self.statistics: dict[int, dict[str, Tensor]] = {}
        """For a stitch its own means and variances, see `learners.stitching.statistics`."""
        self.flops: tuple[int, ...] = ()
        """Of each stitch for one sample, see `learners.stitching.cost`."""
        self.accuracies: tuple[float, ...] = ()
        """Of each stitch, by which `at(flops=...)` chooses; without them the largest is chosen."""
        self.eval()

    def _key(self, hop: Hop) -> JointKey:
        return (hop.front, hop.end, hop.window, self.forms[hop.front][hop.front_cut], self.forms[hop.end][hop.end_cut])

    def _against(self, hop: Hop) -> str | None:
        try:
            laid_out(self.forms[hop.front][hop.front_cut], self.forms[hop.end][hop.end_cut])
        except UsageError as error:
            return str(error)
        return None

    def _apply(self, fn, recurse: bool = True) -> Self:  # type: ignore[no-untyped-def] # as torch declares it
        """Move or convert; what is behind the cuts is traced anew, so that it is what was moved."""
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self._chains = [trace(anchor, self._blocks) for anchor in self.anchors]
        self.statistics = {
            index: {name: fn(tensor) for name, tensor in named.items()} for index, named in self.statistics.items()
        }
        return self

    def body(self, index: int) -> nn.Sequential:
        """The layers of a stitch, one after the other."""
        stitch = self.stitches[index]
        parts: list[nn.Module] = []
        for number, (anchor, start, stop) in enumerate(stitch.legs):
            if number:
                parts.append(self._joints[self.keys.index(self._key(stitch.hops[number - 1]))])
            parts += self._chains[anchor].layers(start, stop)
        return nn.Sequential(*parts)

    def at(self, index: int | None = None, *, flops: float | None = None) -> Path:
        """One of the networks: by its index in `stitches`, or the best one that costs no more than `flops` a sample.

        Raises:
            UsageError: There is no such stitch, or none that is so cheap; or FLOPs were not counted.
        """
        if (index is None) == (flops is None):
            raise UsageError("at() takes an index or flops, one of them")
        chosen = self._affordable(flops) if flops is not None else _whole(index)
        if chosen is None or not -len(self.stitches) <= chosen < len(self.stitches):
            raise UsageError(f"there is no stitch {index!r}; this network has {len(self.stitches)}, from 0 on")
        number = chosen % len(self.stitches)
        path = Path(self.body(number), self.statistics.get(number, {}))
        path.training = self.training  # not path.train(): the layers are the network's, and in its mode
        return path

    def _affordable(self, flops: float) -> int:
        if not isinstance(flops, Real):
            raise UsageError(f"flops = {flops!r}: expected a number")
        if not self.flops:
            raise UsageError("FLOPs of this network were not counted; learners.stitching.cost.count_flops does")
        cheap = [number for number, cost in enumerate(self.flops) if cost <= flops]
        if not cheap:
            raise UsageError(f"flops = {flops:g}: the cheapest stitch takes {min(self.flops):,} for one sample")
        worth: Sequence[float] = self.accuracies or self.flops
        return max(cheap, key=lambda number: (worth[number], -self.flops[number]))

    def forward(self, x: Tensor) -> Tensor:
        """Map samples to the outputs of the last anchor, `at(len(anchors) - 1)`."""
        last = len(self.anchors) - 1
        outputs: Tensor = self.at(last)(x) if last in self.statistics else self.anchors[-1](x)
        return outputs

    def draw(self, seed: int) -> None:
        """Draw every joint at random, from a seed."""
        for number, joint in enumerate(self._joints):
            joint.draw(generator("random joint", seed, number))

    def free_joints(self, seed: int = 0) -> None:
        """Let the joints be trained, those with an update of low rank by it alone; the seed decides where it begins."""
        for number, joint in enumerate(self._joints):
            joint.free(generator("update of a joint", seed, number))

    def fold_joints(self) -> None:
        """Take the joints' updates of low rank into the joints, when they are trained."""
        for joint in self._joints:
            joint.fold()

    @torch.no_grad()
    def fit(self, batches: Iterable[Tensor], ridge: float = 0.0) -> None:
        """Fit every joint by least squares, to all the cuts that share it at once.

        At the cut 0 of an end the joint is fitted to what its first block begins with. (The code published with the
        paper takes the last block's outputs there.) Joints whose sums do not fit into memory together are fitted in
        groups, in as many passes over the samples.

        Raises:
            UsageError: There are no samples, or values that are not finite.
        """
        groups = self._groups()
        held = batches if len(groups) == 1 else list(batches)
        for keys in groups:
            self._fit(keys, held, ridge)

    def _groups(self) -> list[list[JointKey]]:
        """The joints, in groups whose sums fit into memory together."""
        groups: list[list[JointKey]] = [[]]
        for key in self.keys:
            if groups[-1] and sum(8 * _columns(other) ** 2 for other in [*groups[-1], key]) > SUMS:
                groups.append([])
            groups[-1].append(key)
        return groups

    def _fit(self, keys: Sequence[JointKey], batches: Iterable[Tensor], ridge: float) -> None:
        moments: dict[JointKey, Moments] = {}
        wanted = {key: self._cuts(key) for key in keys}
        for x in batches:
            values = [chain.activations(x) for chain in self._chains]
            for key, cuts in wanted.items():
                front, end, _, source, target = key
                sums = moments.setdefault(key, Moments(_columns(key), x.device))
                for here, there in cuts:
                    inputs = lay_out(values[front][here], source, target)
                    sums.add(torch.cat([inputs, rows(values[end][there], target)], dim=2).flatten(0, 1))
        if not moments:
            raise UsageError("joints cannot be fitted to no samples; give at least one batch")
        tolerance = tolerance_of(next(self.parameters()).dtype)
        for key, sums in moments.items():
            width = laid_out(key[3], key[4])
            known = Regressors(sums.mean[:width], sums.scatter[:width, :width], sums.count, ridge, tolerance)
            self._joints[self.keys.index(key)].set(*known.onto(sums.mean[width:], sums.scatter[:width, width:]))

    def _cuts(self, key: JointKey) -> list[tuple[int, int]]:
        hops = [hop for path in self.stitches for hop in path.hops if self._key(hop) == key]
        return list(dict.fromkeys((hop.front_cut, hop.end_cut) for hop in hops))


def _columns(key: JointKey) -> int:
    """Inputs and outputs of a joint."""
    return laid_out(key[3], key[4]) + key[4].channels


def _whole(index: object) -> int | None:
    """A whole number of any type, NumPy's too; None for anything else."""
    return operator.index(index) if isinstance(index, SupportsIndex) else None
