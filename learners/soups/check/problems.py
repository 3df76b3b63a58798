"""What can be wrong between two models that are to be merged, found from their facts; one function a question."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from learners.soups.check.facts import Facts, Shape
from learners.soups.check.kept import is_head, is_kept, keep_patterns, keeping
from learners.soups.check.problem import ALIGNED, IMPOSSIBLE, NOTED, START, UNWISE, Problem, worst_first
from learners.soups.files.stored import DTYPES

FACTORS = {"lora_A", "lora_B", "lora_down", "lora_up", "lora_embedding_A", "lora_embedding_B"}
"""Parts of names of two matrices whose product is added to a model's own."""

APART = "train members with one init_seed, or take fine-tunes of one model"
ALIGN = "align them (--align weights), "
"""Before `APART`, where it is known how the models run: their units are found by running them."""
JUDGE_RUNNING = "judge their mean on data"
"""Instead of `JUDGE` where it is known how the models run, and no barrier is measured all the same."""
JUDGE = "say how they run (--description), so that the barrier between them is measured, or judge their mean on data"

TRAINING_ONLY = {
    *("_name_or_path", "_commit_hash", "transformers_version", "torch_dtype", "dtype", "use_cache", "architectures"),
    *("id2label", "label2id", "num_labels", "problem_type", "finetuning_task", "weightlake", "auto_map", "task"),
    *("task_specific_params", "runid", "run_id", "seed", "lr", "learning_rate", "weight_decay", "epoch", "epochs"),
    *(
        "batch_size",
        "frac",
        "license",
        "name",
        "quantization_config",
        "tie_word_embeddings",
        "license_name",
        "datasets",
        "tags",
    ),
}
"""Keys of configurations that say nothing about what a model computes from its weights."""


def problems_between(first: Facts, second: Facts, kept: Sequence[str] = ()) -> list[Problem]:
    """Everything that speaks against merging two models, worst first; `kept` names are left out of it."""
    found = [
        replace(problem, kind=problem.kind or kind)
        for kind, question in QUESTIONS.items()
        for problem in question(first, second, kept)
    ]
    if any(problem.severity != NOTED and problem.kind != START for problem in found):  # no alignment mends that
        found = [replace(each, help=APART, final=True) if each.kind == START else each for each in found]
    return worst_first(found)


def problems_of(facts: Facts) -> Iterator[Problem]:
    """What speaks against merging a model with any other."""
    if not facts.tensors:
        why = facts.absent or "no header of its weights was read"
        reason = f"nothing is known of the tensors of {facts.name}: {why}"
        yield Problem(IMPOSSIBLE, reason, _mended(facts), "unknown tensors")
    elif facts.stored is None and facts.damaged:
        reason = f"the files of {facts.name} are not whole: {facts.absent}"
        yield Problem(IMPOSSIBLE, reason, FETCH, "files")
    foreign = sorted({tensor.dtype for tensor in facts.tensors.values()} - DTYPES.keys())
    if foreign:
        reason = f"{facts.name} has tensors of type {foreign[0]}, of which a mean is nonsense"
        yield Problem(IMPOSSIBLE, reason, "dequantise it first", "types")
    if facts.config.get("quantization_config"):
        reason = f"{facts.name} is quantised, and its stored values are codes, of which a mean is nonsense"
        yield Problem(IMPOSSIBLE, reason, "take the model that it was quantised from", "quantised")
    if any(FACTORS.intersection(name.split(".")) for name in facts.tensors):
        reason = f"{facts.name} is an adapter, and the product of its factors' means is not the mean of what it adds"
        yield Problem(IMPOSSIBLE, reason, "add it to its base model first, and merge what comes of that", "adapter")
    if facts.diverged is not None:
        reason = f"{facts.name} diverged in epoch {facts.diverged}"
        yield Problem(UNWISE, reason, "select WHERE state = 'trained'", "diverged")
    if has_batch_norm(facts.tensors):
        reason = f"{facts.name} has batch-norm statistics, and those of merged weights are others"
        yield Problem(NOTED, reason, "let them be estimated anew from data", "batch norm", model=facts.name)


FETCH = "fetch that file again"


def _mended(facts: Facts) -> str:
    """What helps where no tensor is known: a file that is there and damaged is not read by mining it again."""
    return FETCH if facts.damaged else "mine it with --tensors"


def has_batch_norm(tensors: Mapping[str, Any]) -> bool:
    """Whether there are running statistics among a model's tensors."""
    return any(name.endswith(("running_mean", "running_var")) for name in tensors)


def _names(first: Facts, second: Facts, kept: Sequence[str]) -> Iterator[Problem]:
    """Missing tensors: each of the two may have some that the other lacks."""
    if first.damaged or second.damaged:  # that is said of the model, and what is not there says nothing
        return
    for one, other in ((first, second), (second, first)):
        missing = [name for name in one.tensors if name not in other.tensors and not is_kept(name, kept)]
        if not missing or not other.tensors:
            continue
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        reason = f"{other.name} lacks {missing[0]}{more}, which {one.name} has"
        heads = all(is_head(name) for name in missing)
        names = [name for name in (*one.tensors, *other.tensors) if not is_kept(name, kept)]
        help = f"take the head from one model as it is ({keeping(missing, names)})" if heads else _way(one, other)
        yield Problem(IMPOSSIBLE, reason, help, final=not heads)
        return


def _way(one: Facts, other: Facts) -> str:
    shared = one.tensors.keys() & other.tensors.keys()
    strangers = len(shared) < len(one.tensors) / 2
    what = "are networks of different kinds" if strangers else "differ in depth or parts"
    return f"they {what}; select one architecture"


def _shapes(first: Facts, second: Facts, kept: Sequence[str]) -> Iterator[Problem]:
    both = [name for name in first.tensors if name in second.tensors and not is_kept(name, kept)]
    differing = [name for name in both if first.tensors[name].shape != second.tensors[name].shape]
    if not differing:
        return
    name = differing[0]
    mine, theirs = (list(facts.tensors[name].shape) for facts in (first, second))
    more = f" (and {len(differing) - 1} more differ)" if len(differing) > 1 else ""
    heads = all(is_head(name) or _rows_only(first.tensors[name], second.tensors[name]) for name in differing)
    what = "have different heads or vocabularies" if heads and len(differing) <= 3 else "have different shapes"
    reason = f"they {what}: {name} is {mine} in {first.name} and {theirs} in {second.name}{more}"
    names = (*first.tensors, *second.tensors)
    few = len(keep_patterns(differing, names)) <= 3 and (heads or len(differing) <= 3)
    help = (
        f"take what differs from one model as it is ({keeping(differing, names)})"
        if few
        else "select models of one size"
    )
    yield Problem(IMPOSSIBLE, reason, help, final=not few)


def _rows_only(one: Shape, other: Shape) -> bool:
    return len(one.shape) == len(other.shape) > 0 and one.shape[1:] == other.shape[1:]


def _types(first: Facts, second: Facts, kept: Sequence[str]) -> Iterator[Problem]:
    for name, tensor in first.tensors.items():
        other = second.tensors.get(name)
        if other is not None and other.dtype != tensor.dtype:
            number = {facts.dtype in ("I64", "I32", "I16", "I8", "U8", "BOOL") for facts in (tensor, other)}
            reason = f"{name} is {tensor.dtype} in {first.name} and {other.dtype} in {second.name}"
            if len(number) > 1:
                yield Problem(IMPOSSIBLE, reason, "convert one of them first")
            else:
                yield Problem(
                    NOTED, reason, "all is computed in float32 or float64, and stored as in the first or parent"
                )
            return


def _starts(first: Facts, second: Facts, kept: Sequence[str]) -> Iterator[Problem]:
    """A common ancestor or initialisation, as lineage has it."""
    if common_start(first, second) is not None:
        return
    if first.references & second.references:
        reason = (
            f"{first.name} and {second.name} are not known to have started alike, and were aligned: some such networks "
            "can be averaged, and some cannot"
        )
        known = first.description is not None and second.description is not None
        yield Problem(UNWISE, reason, JUDGE_RUNNING if known else JUDGE, ALIGNED)
    else:
        reason = f"{first.name} and {second.name} do not share an initialisation"
        known = bool(first.description and second.description)
        more = "and averages of networks that were initialised apart collapse"
        yield Problem(UNWISE, f"{reason}, {more}", ALIGN + APART if known else APART, final=not known)


def common_start(first: Facts, second: Facts) -> str | None:
    """What two models are known to have in common: an ancestor, or an initialisation."""
    shared = first.ancestors & second.ancestors or first.starts & second.starts
    return min(shared) if shared else None


def _architectures(first: Facts, second: Facts, kept: Sequence[str]) -> Iterator[Problem]:
    mine, theirs = first.description, second.description
    if mine is not None and theirs is not None:
        for field in ("architecture", "width", "depth", "activation", "input_shape", "classes"):
            if getattr(mine, field) != getattr(theirs, field):
                what = field.replace("_", " ")
                values = f"{first.name} has {what} {getattr(mine, field)}, {second.name} has {what}"
                severity = UNWISE if field == "activation" else IMPOSSIBLE
                yield Problem(severity, f"{values} {getattr(theirs, field)}", f"select one {what}", final=True)
                return
        return
    if first.architecture and second.architecture and first.architecture != second.architecture:
        reason = f"{first.name} is a {first.architecture}, {second.name} a {second.architecture}"
        yield Problem(UNWISE, reason, "select one architecture")


def _configurations(first: Facts, second: Facts, kept: Sequence[str]) -> Iterator[Problem]:
    """Settings that decide what is computed from the same weights."""
    both = (first.config.keys() & second.config.keys()) - TRAINING_ONLY
    differing = [key for key in sorted(both) if first.config[key] != second.config[key]]
    if differing:
        values = "; ".join(
            f"{key} is {first.config[key]!r:.40} and {second.config[key]!r:.40}" for key in differing[:3]
        )
        more = f" and {len(differing) - 3} more" if len(differing) > 3 else ""
        reason = f"the configurations of {first.name} and {second.name} differ: {values}{more}"
        yield Problem(UNWISE, reason, "the same weights mean something else in each; select one configuration")


def _label_sets(first: Facts, second: Facts, kept: Sequence[str]) -> Iterator[Problem]:
    if _heads_kept(first, kept):
        return
    mine, theirs = first.labels, second.labels
    if mine and theirs and mine != theirs:
        number = next(key for key in sorted({*mine, *theirs}) if mine.get(key) != theirs.get(key))
        reason = (
            f"their classes differ: class {number} is {mine.get(number)!r} in {first.name} and "
            f"{theirs.get(number)!r} in {second.name}"
        )
        yield Problem(UNWISE, reason, f"{_take_head(first)}, or select one label set")
    one, other = first.description, second.description
    if one is not None and other is not None and one.dataset != other.dataset:
        reason = f"{first.name} was trained on {one.dataset}, {second.name} on {other.dataset}"
        yield Problem(UNWISE, reason, f"{_take_head(first)}, or select one dataset")


def _heads_kept(facts: Facts, kept: Sequence[str]) -> bool:
    """Whether all output layers are taken from one model; where none has such a name, whether anything is."""
    return bool(kept) and all(is_kept(name, kept) for name in facts.tensors if is_head(name))


def _take_head(facts: Facts) -> str:
    heads = [name for name in facts.tensors if is_head(name)]
    return f"take the head from one model as it is ({keeping(heads, facts.tensors) if heads else '--keep'})"


def _ties(first: Facts, second: Facts, kept: Sequence[str]) -> Iterator[Problem]:
    """An output layer that is the embedding in one model and its own in the other."""
    mine, theirs = (facts.config.get("tie_word_embeddings") for facts in (first, second))
    if mine is not None and theirs is not None and mine != theirs:
        tied, free = (first, second) if mine else (second, first)
        reason = f"{tied.name} uses its embedding as output layer, {free.name} has one of its own"
        yield Problem(UNWISE, reason, "untie the first one, or take the output layer from one model (--keep)")


def _licences(first: Facts, second: Facts, kept: Sequence[str]) -> Iterator[Problem]:
    if first.license and second.license and first.license != second.license:
        reason = f"{first.name} is under {first.license}, {second.name} under {second.license}"
        yield Problem(NOTED, reason, "the merged model's card says whether the licences conflict")


Question = Callable[[Facts, Facts, Sequence[str]], Iterator[Problem]]
QUESTIONS: dict[str, Question] = {
    "architecture": _architectures,
    "missing tensors": _names,
    "shapes": _shapes,
    "types": _types,
    "configuration": _configurations,
    "labels": _label_sets,
    "tied tensors": _ties,
    START: _starts,
    "licences": _licences,
}
