"""What is said of models that are to be merged: ties, index tables, damaged files, where they come from."""

import ctypes
import json
import mmap
import os
import re
import subprocess
import sys
from collections.abc import Callable
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
import torch
from torch import Tensor

from commands.merge import _settings
from learners import merge, mergeability, uniform_soup
from learners.soups.check import starts
from learners.soups.check.kept import is_head
from schemas import Lake, UsageError
from tests.mined_models import add_model, repository
from tests.transformer_folders import mined, write_transformer
from zoo.describe import Description

RELATED = "INSERT INTO lineage SELECT 'local:' || i, 'hub:base', 'finetune', 'card', 1.0 FROM range(5) t(i)"
BOTH = "SELECT model_id FROM models ORDER BY model_id"


def stored(lake: Lake, folder: Path, models: list[dict[str, Tensor]]) -> None:
    for number, weights in enumerate(models):
        add_model(lake, f"local:{number}", repository(folder / str(number), weights))


def drawn(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_a_head_that_is_the_embedding_in_one_of_two_is_said(lake: Lake, tmp_path: Path) -> None:
    embed = drawn(0, 20, 4)
    tied, free = {"embed.weight": embed, "lm_head.weight": embed.clone()}, {"embed.weight": embed + 0.1}
    stored(lake, tmp_path, [tied, free | {"lm_head.weight": embed + 0.2}])
    report = mergeability(lake, BOTH)
    assert report.verdict == "unwise"
    assert report.pairs["about"][0] == "tied tensors"
    assert report.reasons[0] == "lm_head.weight is embed.weight in local:0, and local:1 has one of its own"
    with pytest.raises(UsageError, match=r"unwise: lm_head\.weight is embed\.weight in local:0"):
        merge(lake, BOTH)
    assert mergeability(lake, BOTH, keep=["lm_head*"]).verdict == "safe"


def test_heads_that_are_the_embedding_in_both_are_no_problem(lake: Lake, tmp_path: Path) -> None:
    embeds = [drawn(0, 20, 4) + 0.1 * number for number in range(2)]
    nothing = torch.zeros(3, 3)  # two of these are equal by chance
    models = [{"embed": each, "head": each.clone(), "a": nothing, "b": nothing + n} for n, each in enumerate(embeds)]
    stored(lake, tmp_path, models)
    assert mergeability(lake, BOTH).verdict == "safe"


def test_index_tables_that_differ_are_noted_by_check_and_merge(lake: Lake, tmp_path: Path) -> None:
    models = [{"w": drawn(0, 4, 4) + 0.1 * n, "ids": torch.arange(4) + n, "same": torch.arange(3)} for n in range(2)]
    stored(lake, tmp_path, models)
    note = "ids has no mean and differs between local:0 and local:1: the base's is taken"
    assert note in mergeability(lake, BOTH).notes
    assert note in merge(lake, BOTH).notes


def test_an_average_of_unrelated_networks_is_no_ancestor_of_theirs(lake: Lake, tmp_path: Path) -> None:
    stored(lake, tmp_path, [{"w": drawn(number, 40, 40)} for number in range(6)])
    five = "SELECT model_id FROM models WHERE model_id < 'local:5' AND hub = 'local'"
    made = merge(lake, five, force=True).model_id
    pair = f"SELECT unnest(['{made}', 'local:0']) AS model_id"
    report = mergeability(lake, pair)
    assert report.pairs["common_start"][0] is None
    assert report.verdict == "unwise"
    with lake.write() as transaction:
        transaction.sql(RELATED)
    assert mergeability(lake, pair).pairs["common_start"][0] in ("hub:base", "local:0")


@pytest.mark.parametrize(("inits", "kept"), [(("init:a", "init:b"), None), (("init:a", "init:a"), "init:a")])
def test_a_merge_has_an_init_only_where_all_agree(
    lake: Lake, tmp_path: Path, inits: tuple[str, str], kept: str | None
) -> None:
    for number, init in enumerate(inits):
        description = Description(
            architecture="mlp",
            width=3,
            classes=2,
            input_shape=(1, 2, 2),
            dataset="npz:gone",
            split_seed=0,
            depth=1,
            init=init,
        )
        weights = {name: drawn(number, *tensor.shape) for name, tensor in description.skeleton().state_dict().items()}
        place = repository(tmp_path / str(number), weights)
        (place / "config.json").write_text(json.dumps({"weightlake": description.model_dump()}))
        add_model(lake, f"local:{number}", place)
    made = merge(lake, BOTH, force=True)
    assert json.loads((made.folder / "config.json").read_text())["weightlake"]["init"] == kept


def test_files_that_are_missing_or_cut_off_are_said_and_mining_is_no_help(tmp_path: Path) -> None:
    base = write_transformer(tmp_path / "models" / "base", 0)
    parts = write_transformer(tmp_path / "models" / "parts", 1, base, shard="8KB")
    lake = mined(tmp_path / "models", tmp_path / "lake")
    gone = sorted(parts.glob("model-*.safetensors"))[-1]
    gone.unlink()
    report = mergeability(lake, BOTH)
    assert report.verdict == "impossible"
    assert f"lacks {gone.name}, which its index names" in report.reasons[0]
    assert report.helps[0] == "fetch that file again"
    assert set(report.summary["about"]) & {"missing tensors", "shapes"} == set()
    gone.write_bytes(b"\x10")
    report = mergeability(lake, BOTH)
    assert "is no safetensors file" in report.reasons[0]
    assert "mine it with --tensors" not in report.helps


def test_heads_go_by_their_names() -> None:
    assert is_head("output.weight")
    assert is_head("model.classifier.bias")
    assert not is_head("bert.encoder.layer.0.attention.output.dense.weight")


def test_many_notes_of_a_kind_are_one(lake: Lake, tmp_path: Path) -> None:
    models = [{"w": drawn(0, 4, 4) + 0.01 * n, "bn.running_mean": torch.zeros(4)} for n in range(5)]
    stored(lake, tmp_path, models)
    notes = [note for note in mergeability(lake, BOTH).notes if "batch-norm" in note]
    assert len(notes) == 1
    assert notes[0].endswith("(and 4 more like this)")


def test_a_few_notes_of_a_kind_are_one_that_names_their_models(lake: Lake, tmp_path: Path) -> None:
    models = [{"w": drawn(0, 4, 4) + 0.3 * n, "bn.running_mean": torch.zeros(4)} for n in range(3)]
    stored(lake, tmp_path, models)
    report = mergeability(lake, BOTH)
    said = "local:0 has batch-norm statistics, and those of merged weights are others (and 2 more like this: "
    for notes in (report.notes, merge(lake, BOTH).notes):
        assert [note for note in notes if "has batch-norm" in note] == [f"{said}local:1, local:2)"]
        [start] = [note for note in notes if "no lineage says so" in note]
        assert start.endswith("(and 2 more like this)")
    assert report.pairs["weight_cosine"].round(2).n_unique() == 3


def test_what_killed_runs_left_is_cleared_and_what_runs_is_not(lake: Lake, tmp_path: Path) -> None:
    stored(lake, tmp_path / "models", [{"w": drawn(0, 4, 4) + 0.1 * number} for number in range(2)])
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    left, running = (tmp_path / f".to.{pid}.unfinished" for pid in (done.pid, os.getppid()))
    for folder in (left, running):
        folder.mkdir()
    merge(lake, BOTH, to=tmp_path / "to")
    assert not left.exists()
    assert running.exists()


def test_settings_are_read_as_python_says_them_too() -> None:
    assert _settings(["normalize=False", "weights=[1,2]", "t=0.5", "by=word"]) == {
        "normalize": False,
        "weights": [1, 2],
        "t": 0.5,
        "by": "word",
    }


def forgotten(path: Path) -> Path:
    """Have the kernel forget a file's pages."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return path


def read_of(path: Path) -> float:
    """The share of a file's pages that the kernel has in memory, whoever read them, by calls or through maps."""
    size = path.stat().st_size
    pages = (ctypes.c_ubyte * -(-size // mmap.PAGESIZE))()
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY) as view:
        begin = ctypes.c_char.from_buffer(view)
        failed = ctypes.CDLL(None).mincore(ctypes.byref(begin), ctypes.c_size_t(size), pages)
        del begin
    assert not failed
    return sum(page & 1 for page in pages) / len(pages)


ALIKE = "SELECT model_id FROM models WHERE model_id <> 'local:2' ORDER BY model_id"


@pytest.mark.skipif(not hasattr(os, "posix_fadvise"), reason="the kernel cannot be asked")
def test_what_is_impossible_is_refused_before_a_byte_of_a_weight_is_read(lake: Lake, tmp_path: Path) -> None:
    """Files of 4 MB; reading a header takes a few pages after it along."""
    stored(lake, tmp_path, [{"w": drawn(number, 1000, side)} for number, side in enumerate((1000, 1000, 1001))])
    files = sorted(tmp_path.glob("?/model.safetensors"))
    if max(read_of(forgotten(path)) for path in files) > 0.01:
        pytest.skip("this file system keeps what it is to forget")
    refused: list[Callable[[], object]] = [
        lambda: merge(lake, BOTH, force=True),
        lambda: merge(lake, BOTH, "ties", parent="local:0", force=True),
        lambda: uniform_soup(lake, BOTH, force=True),
        lambda: merge(lake, ALIKE, "ties", force=True),  # nothing is known of a parent
        lambda: merge(lake, ALIKE, "fisher", force=True),  # nobody knows how they run
        lambda: merge(lake, ALIKE, repair=True, force=True),
        lambda: merge(lake, ALIKE, to=tmp_path / "0", force=True),  # the folder is there
    ]
    for ask in refused:
        with pytest.raises(UsageError):
            ask()
        assert max(map(read_of, files)) < 0.1
    assert mergeability(lake, BOTH, measure=False).pairs["distance"].null_count() == 3
    assert max(map(read_of, files)) < 0.1
    assert mergeability(lake, BOTH).pairs["distance"].null_count() == 2  # of those two that are alike
    assert [read_of(path) > 0.9 for path in files] == [True, True, False]


def test_parts_that_are_equal_do_not_hide_that_the_rest_started_apart(lake: Lake, tmp_path: Path) -> None:
    shared = {"body.weight": 10 * drawn(0, 300, 300)}
    stored(lake, tmp_path, [shared | {"rest.weight": drawn(number, 40, 40), "b": torch.zeros(3)} for number in (1, 2)])
    report = mergeability(lake, BOTH)
    assert (report.verdict, report.pairs["about"][0], report.pairs["common_start"][0]) == ("unwise", "start", None)
    wanted = torch.cosine_similarity(drawn(1, 1600).double(), drawn(2, 1600).double(), dim=0)
    assert report.pairs["weight_cosine"][0] == pytest.approx(float(wanted))
    assert f"(the cosine of their weights that differ is {round(float(wanted), 2) + 0.0:.2f})" in report.reasons[0]


def test_the_rest_is_looked_at_where_the_largest_tensors_are_equal(
    lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many values the equal ones have, it is those that differ of which a sample is taken."""
    monkeypatch.setattr(starts, "SAMPLED", 100)
    shared = {"embed.weight": drawn(0, 50, 50)}
    stored(lake, tmp_path, [shared | {"a.weight": drawn(number, 20, 20)} for number in (1, 2)])
    assert mergeability(lake, BOTH).verdict == "unwise"


def test_output_layers_of_one_body_need_no_common_start(lake: Lake, tmp_path: Path) -> None:
    """Their mean computes the mean of outputs, whatever they started from."""
    shared = {"body.weight": drawn(0, 30, 30)}
    stored(lake, tmp_path, [shared | {"classifier.weight": drawn(number, 5, 30)} for number in (1, 2)])
    report = mergeability(lake, BOTH)
    assert report.verdict == "safe"
    assert any("all their weights except for output layers are equal" in note for note in report.notes)
    assert merge(lake, BOTH).warnings == ()


@pytest.mark.parametrize("place", ["large.weight", "small.bias"])
def test_values_that_are_not_finite_have_one_verdict(lake: Lake, tmp_path: Path, place: str) -> None:
    models = [{"large.weight": drawn(number, 30, 30), "small.bias": drawn(number, 3)} for number in (1, 2)]
    models[1][place].view(-1)[1] = torch.nan
    stored(lake, tmp_path, models)
    report = mergeability(lake, BOTH)
    reason = f"local:1 has values that are not finite, in {place}"
    assert (report.verdict, report.reasons[0]) == ("impossible", reason)
    for force in (False, True):
        with pytest.raises(UsageError, match=f"^these cannot be merged: {re.escape(reason)}; leave that model out$"):
            merge(lake, BOTH, force=force)


def test_a_merge_that_can_be_forced_has_been_looked_at_for_values(
    lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the sample that tells of the start does not reach the bad value."""
    monkeypatch.setattr(starts, "SAMPLED", 100)
    models = [{"large.weight": drawn(number, 30, 30), "small.weight": drawn(number, 3, 3)} for number in (1, 2)]
    models[1]["small.weight"][1, 1] = torch.inf
    stored(lake, tmp_path, models)
    with pytest.raises(UsageError, match=r"cannot be merged: local:1 has values that are not finite, in small\.weight"):
        merge(lake, BOTH)
    assert "do not share an initialisation" in merge(lake, BOTH, keep=["small.*"], force=True).warnings[0]


HEADS: list[dict[str, tuple[int, ...]]] = [
    {"classifier.bias": (7,), "classifier.weight": (7, 4)},
    {"classifier.dense.weight": (4, 4), "classifier.out.bias": (7,), "classifier.out.weight": (7, 4)},
    {"embed.weight": (9, 4), "lm_head.weight": (9, 4)},
    {"classifier.weight": (7, 4), "classifier.more": (1,)},
    {"score[0].weight": (7, 4), "score[0].bias": (7,)},
]
SMALL = {"classifier.bias": (2,), "classifier.weight": (2, 4), "embed.weight": (8, 4), "lm_head.weight": (8, 4)}
SMALL |= {"classifier.dense.weight": (4, 4), "classifier.out.bias": (2,), "classifier.out.weight": (2, 4)}
SMALL |= {"score[0].weight": (2, 4), "score[0].bias": (2,)}


@pytest.mark.parametrize("head", HEADS, ids=lambda head: next(iter(head)))
def test_advice_to_keep_solves_what_it_was_given_for(
    lake: Lake, tmp_path: Path, head: dict[str, tuple[int, ...]]
) -> None:
    body = {"body.weight": drawn(0, 4, 4)}
    one, other = ({n: drawn(0, *shape.get(n, (3,))) for n in head if n in shape} for shape in (head, SMALL))
    stored(lake, tmp_path, [body | one, body | other])
    with pytest.raises(UsageError, match="cannot be merged") as refused:
        merge(lake, BOTH, force=True)
    patterns = re.findall("--keep '([^']*)'", str(refused.value))
    assert patterns
    made = merge(lake, BOTH, keep=patterns)
    assert made.warnings == ()
    kept = {name for name in {*one, *other} if any(fnmatchcase(name, pattern) for pattern in patterns)}
    differing = {n for n in {*one, *other} if n not in one or n not in other or one[n].shape != other[n].shape}
    assert kept == differing  # and nothing is kept that could be merged


def test_advice_to_keep_a_head_of_other_classes_solves_it(tmp_path: Path) -> None:
    base = write_transformer(tmp_path / "models" / "one", 0)
    for name, labels, start in (("one", ["cat", "dog"], None), ("two", ["dog", "cat"], base)):
        folder = base if start is None else write_transformer(tmp_path / "models" / name, 1, start)
        config = json.loads((folder / "config.json").read_text())
        config["id2label"] = dict(enumerate(labels))
        (folder / "config.json").write_text(json.dumps(config))
    lake = mined(tmp_path / "models", tmp_path / "lake")
    report = mergeability(lake, BOTH)
    assert (report.verdict, report.pairs["about"][0]) == ("unwise", "labels")
    assert "(--keep 'lm_head.weight')" in report.helps[0]
    assert mergeability(lake, BOTH, keep=["lm_head.weight"]).verdict == "safe"
