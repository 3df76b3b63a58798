"""One stitched network: the front of a network, a joint, the end of another."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from learners.stitching.chain import Chain
from learners.stitching.form import form_of, lay_out, rows
from learners.stitching.joint import Joint
from learners.stitching.least_squares import Regressors, tolerance_of
from learners.stitching.modes import in_mode
from learners.stitching.moments import Moments
from schemas.errors import UsageError
from zoo.memory import is_short


class Stitched(nn.Module):
    """The front of one network up to a cut, a joint, and the end of another one from a cut on.

    The layers are the networks' own, not copies; in `parameters` are those that it runs, each once.
    """

    def __init__(self, front: Chain, front_cut: int, joint: Joint, end: Chain, end_cut: int) -> None:
        super().__init__()
        self.front = nn.Sequential(*front.layers(stop=front_cut))
        self.joint = joint
        self.end = nn.Sequential(*end.layers(start=end_cut))

    def forward(self, x: Tensor) -> Tensor:
        """Map samples to the end's outputs."""
        outputs: Tensor = self.end(self.joint(self.front(x)))
        return outputs


def join(
    front: Chain,
    front_cut: int | str,
    end: Chain,
    end_cut: int | str,
    batches: Iterable[Tensor],
    *,
    ridge: float = 0.0,
    rank: int = 0,
) -> Stitched:
    """Join two networks by the joint whose outputs come nearest to what the end has at its cut, in least squares.

    They run as in evaluation, and are afterwards in the mode in which they were, with the statistics that they had.

    Args:
        front: The network whose front is taken.
        front_cut: Where it ends, by number or name.
        end: The network whose end is taken.
        end_cut: Where it begins.
        batches: Samples to fit the joint on, as both networks take them; memory does not grow with their number.
        ridge: See `learners.stitching.least_squares.Regressors`.
        rank: Rank of the joint's update, see `learners.stitching.joint.Joint`.

    Raises:
        UsageError: There is no such cut, no joint between these two, or no sample that both take and that gives finite
            values; the message says why.
    """
    here, there = front.cut(front_cut), end.cut(end_cut)
    joint, moments, tolerance = None, None, 0.0
    # in training they would take the samples into their running statistics
    with torch.no_grad(), in_mode(*front.segments, *end.segments, training=False):
        for x in batches:
            values, wanted = _run(front, x, here), _run(end, x, there)
            if joint is None or moments is None:
                joint = Joint(form_of(values), form_of(wanted), rank).to(values.device, values.dtype)
                moments = Moments(sum(joint.weight.shape), values.device)
                tolerance = tolerance_of(values.dtype)
            inputs = lay_out(values, joint.source, joint.target)
            moments.add(torch.cat([inputs, rows(wanted, joint.target)], dim=2).flatten(0, 1))
    if joint is None or moments is None:
        raise UsageError("a joint cannot be fitted to no samples; give at least one batch")
    width = joint.weight.shape[1]
    regressors = Regressors(moments.mean[:width], moments.scatter[:width, :width], moments.count, ridge, tolerance)
    if not bool(moments.scatter.isfinite().all()):
        raise UsageError("a joint cannot be fitted: for some sample the end has values that are not finite")
    joint.set(*regressors.onto(moments.mean[width:], moments.scatter[:width, width:]))
    return Stitched(front, here, joint, end, there)


def _run(chain: Chain, x: Tensor, stop: int) -> Tensor:
    try:
        return chain.run(x, stop=stop)
    except (RuntimeError, IndexError) as error:
        if is_short(error):
            raise
        shape = f"samples of shape {list(x.shape)} and type {x.dtype}"
        raise UsageError(f"a network does not take {shape}: {str(error).splitlines()[0]}") from error
