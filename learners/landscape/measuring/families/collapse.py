"""Neural collapse on drawn training samples, or the reason why it is not defined."""

import torch

from learners.landscape.collapse import with_errors
from learners.landscape.measuring.group import SAMPLES_AT_ONCE, Columns, Found, Group, found
from learners.landscape.measuring.metrics import COLLAPSED, Settings
from learners.landscape.similarity.features import penultimate
from schemas import UsageError

UNDEFINED = {
    "nc1": "NC1 is not defined: the class means of the features do not differ, or the model has diverged",
    "nc2_norms": "NC2 is not defined: the class means of the features do not differ, or the model has diverged",
    "nc2_angles": "NC2 is not defined: the mean of a class is the mean of all, or the model has diverged",
    "nc3": "NC3 is not defined: the class means do not differ, the classifier is zero, or the model has diverged",
    "nc4": "NC4 is not defined: the model has diverged",
}


def collapsed(group: Group, settings: Settings) -> Columns:
    """NC1 to NC4 of what goes into the last linear layer; `simplex` says whether its width allows a simplex."""
    samples = group.drawn(int(settings["samples"]))
    _check(group, samples.y)
    few = penultimate(group.module, group.members([0]), samples.x[:2])
    if few is None:
        raise UsageError("neural collapse needs a linear layer that gives the logits; this network ends otherwise")
    if few.features.ndim != 3:
        raise UsageError("neural collapse needs a vector of features for each sample; here they have more axes")
    columns: Columns = {name: [] for name in COLLAPSED}
    undefined = _undefined(few.logits.shape[2], group.dataset.classes)
    for part in group.parts(2 * len(samples) * (few.features.shape[2] + few.logits.shape[2])):
        each = [penultimate(group.module, part.weights, x) for x in torch.split(samples.x, SAMPLES_AT_ONCE)]
        pieces = [piece for piece in each if piece is not None]
        features, logits = (torch.cat(t, dim=1) for t in ([p.features for p in pieces], [p.logits for p in pieces]))
        finite = torch.isfinite(features).all(dim=(1, 2)) & torch.isfinite(logits).all(dim=(1, 2))
        whole = torch.where(finite.view(-1, 1, 1), features, 0.0)
        values, errors = with_errors(whole, samples.y, pieces[0].classifier, logits, int(settings["folds"]))
        values = torch.where(finite, values, torch.nan)
        simplex = features.shape[2] >= group.dataset.classes - 1
        for number, name in enumerate(COLLAPSED):
            for value, error in zip(values[number], errors[number], strict=True):
                row = found(value, error, len(samples), None, layer=few.layer, simplex=simplex)
                told = Found(None, None, row.samples, None, undefined[name], row.detail) if row.reason else row
                columns[name].append([told])
    return columns


def _undefined(outputs: int, classes: int) -> dict[str, str]:
    """By figure why it may have no value."""
    if outputs == classes:
        return UNDEFINED
    more = f"NC3 is not defined: the network has {outputs} outputs for {classes} classes, and some have no class mean"
    return UNDEFINED | {"nc3": more}


def _check(group: Group, y: torch.Tensor) -> None:
    classes = group.dataset.classes
    if y.ndim != 1:
        raise UsageError("neural collapse needs one class a sample; these are texts, with a class a place")
    if classes < 2:
        raise UsageError(f"neural collapse needs at least two classes, the dataset has {classes}")
    empty = (torch.bincount(y, minlength=classes) == 0).nonzero().flatten().tolist()
    if empty:
        raise UsageError(f"neural collapse needs samples of every class; of class {empty[0]} none was drawn")
