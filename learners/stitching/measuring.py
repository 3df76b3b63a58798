"""Measures for every pair of a selection what it costs to join the front of the one to the end of the other."""

from collections.abc import Callable, Iterator, Sequence

import polars as pl
import torch
from torch import nn

from learners.stitching.given import given_by
from learners.stitching.joint_training import train_joints
from learners.stitching.joints import Joints, fit_joints, scatter_bytes
from learners.stitching.moments import SUMS
from learners.stitching.penalty import Penalty, penalties
from learners.stitching.penalty_matrix import PenaltyMatrix
from learners.stitching.penalty_rows import Joined, Rows
from learners.stitching.penalty_settings import LEAST_SQUARES, TRAINED, PenaltySettings
from learners.stitching.selected import Selected, gather
from learners.stitching.sites import Impossible, Site, sites
from learners.stitching.tiles import Tile, tiles
from schemas import Lake, UsageError
from zoo.datasets import Dataset
from zoo.describe import Description
from zoo.device import chosen_device
from zoo.population import Samples
from zoo.randomness import generator

VALUES = 1 << 25
"""Numbers that the fronts of one tile may hold at their cuts, and give as outputs, at once."""
ENDS_AT_ONCE = 8
"""Ends whose penalties are measured, and written, together."""

Progress = Callable[[int, int | None, str], None]


def stitch_penalties(
    lake: Lake,
    sql: str,
    settings: PenaltySettings | None = None,
    *,
    description: Description | Sequence[Description] = (),
    architecture: nn.Module | Sequence[nn.Module] = (),
    data: Dataset | None = None,
    blocks: str | None = None,
    device: str = "auto",
    progress: Progress | None = None,
) -> PenaltyMatrix:
    """Measure the penalty of every pair of models that a query selects, at every cut.

    penalty(front i, end j, cut l) = error of the stitched network minus error of j, on held-out samples

    Joints that are impossible, be they all of a pair, are left out, with the reason, unless cuts are asked for by name.
    Joints are fitted on training samples. What is in the lake already with the same settings is not measured again,
    and what is measured is in the lake after every few ends, so that the same call goes on where one was ended.

    Args:
        lake: Where the models are, and where the penalties go, as rows of `pair_measurement`.
        sql: Any query that returns `model_id` (and `epoch`): classifiers trained on the same data, of any widths,
            depths and architectures.
        settings: How to measure.
        description: How models are built of which the lake does not know it, mined ones say; of several that one is
            taken whose tensors a model has.
        architecture: The same, where that is none of the zoo's architectures: networks whose values do not count.
        data: What such models are measured on, which an architecture needs; a description names its own.
        blocks: Name of the part of a given architecture whose children are the blocks; found without it.
        device: `cpu`, `cuda`, or `auto`: cuda if there is one.
        progress: Is called with the pairs done, their number, and what is being done.

    Raises:
        UsageError: The models cannot be stitched, or a setting cannot be; the message says why.
        DataError: Weights or values are damaged.
    """
    chosen = settings or PenaltySettings()
    chosen.check()
    place = torch.device(chosen_device(device))
    selected = gather(lake, sql, place, given=given_by(description, architecture, data, blocks))
    measuring = _Measuring(lake, selected, chosen, place)
    wanted = measuring.unknown()
    done, total = 0, sum(map(len, wanted.values()))
    for tile in tiles(wanted, measuring.fits):
        for ends in measuring.measure(tile):
            done += len(ends) * len(tile.fronts)
            if progress is not None:
                progress(done, total, f"penalties, ends up to {selected.networks[ends[-1]].name}")
    return measuring.matrix(done)


class _Measuring:
    """A selection, which of its joints are asked for, and the samples."""

    def __init__(self, lake: Lake, selected: Selected, settings: PenaltySettings, device: torch.device) -> None:
        self.lake, self.selected, self.settings = lake, selected, settings
        numbers = range(len(selected))
        self.cuts = {end: _cuts(selected, end, settings) for end in numbers}
        places, self.impossible = sites(selected.networks, selected.forms, numbers, numbers, self.cuts)
        if settings.cuts or not places:
            _refuse(selected, self.impossible)
        self.joined = [
            Joined(front, end, cut, site.cut, joint)
            for site in places
            for end in site.ends
            for front, cut in site.fronts
            for joint in settings.joints
        ]
        self.fitting = _drawn(selected.dataset.train, settings.fit_samples, settings, "fit").to(device, torch.float32)
        held_out = selected.dataset.part(settings.held_out)
        wanted = settings.held_out_samples or len(held_out)
        self.held_out = _drawn(held_out, wanted, settings, "held out").to(device, torch.float32)
        with torch.no_grad():
            self.outputs = selected.networks[0].run(self.held_out.x[:1]).numel()  # those of one sample; a text has many
        self.rows = Rows(selected, settings, len(self.held_out))

    def unknown(self) -> dict[int, list[int]]:
        """For each end the fronts of which some joint is not in the lake."""
        known = set(self.rows.read(self.lake, self.joined)["number"].to_list())
        pairs = {(joined.end, joined.front) for number, joined in enumerate(self.joined) if number not in known}
        return {end: sorted(front for other, front in pairs if other == end) for end in range(len(self.selected))}

    def fits(self, tile: Tile) -> bool:
        """Whether the sums of a tile fit into memory."""
        return scatter_bytes(self._places(tile), self.selected.forms) <= SUMS

    def measure(self, tile: Tile) -> Iterator[tuple[int, ...]]:
        """Measure a tile and write its rows, some ends at a time; gives these ends."""
        forms = self.selected.forms
        held = sum(form.channels * max(1, form.places) for front in tile.fronts for form in forms[front])
        at_once = max(1, min(len(self.held_out), VALUES // (held + len(tile.fronts) * self.outputs)))
        batches = torch.split(self.fitting.x, max(1, min(len(self.held_out), VALUES // held) // 4))
        parts = self._parts(self._places(tile))
        for places in parts:
            joints = fit_joints(self.selected.networks, forms, places, batches, self.settings.ridge)
            for begin in range(0, len(tile.ends), ENDS_AT_ONCE):
                ends = tile.ends[begin : begin + ENDS_AT_ONCE]
                self.rows.write(self.lake, list(self._found(joints.onto(ends), at_once)))
                if places is parts[-1]:
                    yield ends

    def _parts(self, places: Sequence[Site]) -> list[list[Site]]:
        """All sites together, or, where their sums would not fit, which may be for a single pair, in parts."""
        parts: list[list[Site]] = [[]]
        for site in places:
            if parts[-1] and scatter_bytes([*parts[-1], site], self.selected.forms) > SUMS:
                parts.append([])
            parts[-1].append(site)
        return parts

    def _found(self, joints: Joints, at_once: int) -> Iterator[tuple[str, Penalty]]:
        for penalty in penalties(joints, self.held_out, at_once):
            yield LEAST_SQUARES, penalty
        if self.settings.training:
            trained = train_joints(joints, self.fitting, self.settings.training)
            for penalty in penalties(trained, self.held_out, at_once):
                yield TRAINED, penalty

    def _places(self, tile: Tile) -> list[Site]:
        return sites(self.selected.networks, self.selected.forms, tile.fronts, tile.ends, self.cuts)[0]

    def matrix(self, measured: int) -> PenaltyMatrix:
        """Everything that was asked for, from the lake."""
        names = [network.name for network in self.selected.networks]
        found = self.rows.read(self.lake, self.joined)
        numbers = found["number"].to_list()
        ends = [pl.Series("front", [names[self.joined[number].front] for number in numbers], dtype=pl.String)]
        ends.append(pl.Series("end", [names[self.joined[number].end] for number in numbers], dtype=pl.String))
        kinds = [self.selected.architecture(self.joined[number].end) for number in numbers]
        ends.append(pl.Series("end_architecture", kinds, dtype=pl.String))
        left_out = [
            {"front": names[each.front], "end": names[each.end], "cut": each.cut, "reason": each.reason}
            for each in self.impossible
        ]
        schema = {"front": pl.String, "end": pl.String, "cut": pl.Int64, "reason": pl.String}
        return PenaltyMatrix(
            tuple(names), found.select(*ends, pl.exclude("number")), measured, pl.DataFrame(left_out, schema=schema)
        )


def _cuts(selected: Selected, end: int, settings: PenaltySettings) -> list[int]:
    chain = selected.networks[end].chain
    if not settings.cuts:
        return list(range(len(chain.names)))
    try:
        return list(dict.fromkeys(chain.cut(cut) for cut in settings.cuts))
    except UsageError as error:
        raise UsageError(f"{selected.ids[end]}: {error}") from error


def _refuse(selected: Selected, impossible: Sequence[Impossible]) -> None:
    """Refuse the first impossible joint, of those that were asked for by name or where there are no others."""
    for each in impossible:
        names = [selected.networks[number].name for number in (each.front, each.end)]
        cut = selected.networks[each.end].chain.names[each.cut]
        raise UsageError(f"{names[0]} cannot be joined to {names[1]} at {cut}: {each.reason}; leave one of them out")


def _drawn(part: Samples, count: int, settings: PenaltySettings, purpose: str) -> Samples:
    if count >= len(part):
        return part
    chosen = torch.randperm(len(part), generator=generator(f"stitching {purpose}", settings.seed))[:count]
    return Samples(part.x[chosen], part.y[chosen])
