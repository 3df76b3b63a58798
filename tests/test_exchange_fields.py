"""Whatever a zoo says is kept as it was said, and nothing that it says stops an import."""

import json
import math
import tempfile
from pathlib import Path

import torch
from hypothesis import given
from hypothesis import strategies as st

from zoo.exchange.fields import RAY_TUNE, WHOLE, as_statement, columns, from_statement
from zoo.exchange.foreign import ForeignMember, member_names
from zoo.exchange.keras_layout import as_keras, as_torch
from zoo.exchange.ray_tune import read_trial

NUMBERS = st.integers() | st.just(10**400) | st.floats()
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text() | st.just("half \ud800"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
KEYS = st.sampled_from(
    [*RAY_TUNE, "training_iteration", "train_loss", "test_acc", "hessian_trace", "pid", "config", ""]
)


@given(JSON)
def test_a_statement_gives_the_value_back(value: object) -> None:
    text, number = as_statement(value)
    back = from_statement(text, number)
    assert type(back) is type(value)
    assert json.dumps(back) == json.dumps(value)


@given(st.dictionaries(st.sampled_from(list(RAY_TUNE)), JSON))
def test_columns_hold_what_fits_them(said: dict[str, object]) -> None:
    for column, value in columns(said, RAY_TUNE).items():
        if column in WHOLE:
            assert isinstance(value, int)
            assert -(2 ** WHOLE[column]) <= value < 2 ** WHOLE[column]
        else:
            assert isinstance(value, str) or math.isfinite(value)


@given(st.dictionaries(KEYS, JSON), st.lists(st.dictionaries(KEYS, JSON) | JSON, max_size=4), st.binary(max_size=9))
def test_whatever_a_trial_says_is_read_or_noted(params: object, lines: list[object], end: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        trial = Path(folder) / "trial"
        trial.mkdir()
        (trial / "params.json").write_text(json.dumps(params))
        text = "".join(json.dumps(line) + "\n" for line in lines).encode() + end
        (trial / "result.json").write_bytes(text)
        member = read_trial(Path(folder), trial)
    assert all(0 <= epoch < 2**31 and math.isfinite(value) for epoch, _, _, value in member.curve)
    assert member.statements.get("params.json", {}).keys() == (params if isinstance(params, dict) else {}).keys()
    seen = {line["training_iteration"] for line in lines if isinstance(line, dict) and _is_epoch(line)}
    assert {epoch for epoch, *_ in member.curve} <= seen


def _is_epoch(line: dict[str, object]) -> bool:
    epoch = line.get("training_iteration")
    return isinstance(epoch, int | float) and not isinstance(epoch, bool) and epoch == epoch // 1


@given(st.lists(st.text(), min_size=1, max_size=6, unique=True))
def test_names_are_plain_short_and_apart(said: list[str]) -> None:
    names = member_names([ForeignMember(name) for name in said])
    assert len(set(names)) == len(said)
    assert all(0 < len(name) <= 120 and name.isascii() and "/" not in name for name in names)
    assert not {".", ".."} & set(names)


@given(st.lists(st.integers(1, 4), min_size=1, max_size=4))
def test_turning_kernels_to_keras_and_back_changes_nothing(shape: list[int]) -> None:
    tensor = torch.randn(2, *shape)
    for name in ("a/kernel:0", "a/bias:0"):
        assert torch.equal(as_torch(name, as_keras(name, tensor)), tensor)
