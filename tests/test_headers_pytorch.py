"""Checkpoints that torch wrote, followed opcode by opcode and compared with what torch loads."""

import io
import pickle
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from miners.headers.pickles import Call, Global, Items, follow
from miners.headers.pytorch import read_pytorch
from miners.headers.safetensors import DTYPES as SAFETENSORS_TYPES
from miners.headers.source import InMemory, Source
from schemas.errors import DataError
from tests.mined_models import Bomb
from tests.weight_file import by_name, read, torch_file

TYPES = {
    **{torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.bool: "BOOL"},
    **{torch.int64: "I64", torch.int32: "I32", torch.int16: "I16", torch.int8: "I8", torch.uint8: "U8"},
    **{torch.uint16: "U16", torch.uint32: "U32", torch.uint64: "U64", torch.complex64: "C64", torch.complex128: "C128"},
    **{torch.float8_e4m3fn: "F8_E4M3", torch.float8_e5m2: "F8_E5M2", torch.float8_e8m0fnu: "F8_E8M0"},
    **{torch.float8_e4m3fnuz: "F8_E4M3FNUZ", torch.float8_e5m2fnuz: "F8_E5M2FNUZ"},
}


def flat(value: object, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Tensor]]:
    """The tensors of nested dictionaries and lists, the obvious way."""
    if isinstance(value, Tensor):
        yield ".".join(path), value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from flat(inner, (*path, str(key)))
    elif isinstance(value, list | tuple):
        for place, inner in enumerate(value):
            yield from flat(inner, (*path, str(place)))


def test_every_type_is_named() -> None:
    content = torch_file({str(kind): torch.zeros(2, 3, dtype=kind) for kind in TYPES})
    found = by_name("m.pt", content)
    assert {name: tensor.dtype for name, tensor in found.items()} == {str(kind): name for kind, name in TYPES.items()}
    for kind in TYPES:
        assert found[str(kind)].bytes == 6 * kind.itemsize
    assert set(TYPES.values()) <= SAFETENSORS_TYPES | {"C128"}


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_nested_states_are_flattened_as_torch_loads_them(protocol: int) -> None:
    whole = torch.zeros(10, 10)
    state = {
        "epoch": 3,
        "state_dict": OrderedDict([("a.weight", whole), ("view", whole[2:5, ::2]), ("scalar", torch.tensor(1.0))]),
        "optimizer": {"state": {0: {"step": torch.tensor(1), "m": torch.zeros(3)}}, "param_groups": [{"lr": 0.1}]},
        "list": [torch.zeros(1), (torch.zeros(2), {"deep": torch.zeros(0, 3)}), None, "text", 2**70, b"raw", {1, 2}],
        "parameter": nn.Parameter(torch.zeros(4)),
    }
    content = torch_file(state, pickle_protocol=protocol)
    stored = dict(flat(torch.load(io.BytesIO(content), weights_only=False)))
    found = by_name("m.pt", content)
    assert list(found) == list(stored)
    assert all(found[name].shape == list(tensor.shape) for name, tensor in stored.items())


def test_tied_tensors_are_listed_and_count_once() -> None:
    weight, other = torch.zeros(5, 4), torch.zeros(5, 4)
    state = {"embed": weight, "head": weight, "again": weight.view(5, 4), "other": other, "turned": weight.T}
    header = read("m.bin", torch_file(state))
    assert [tensor.name for tensor in header.tensors] == list(state)
    assert header.tied == {"head", "again"}


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))

    def forward(self, samples: Tensor) -> Any:
        return self.inner(samples)


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_a_module_that_was_saved_whole_has_the_names_of_its_state(tmp_path: Path) -> None:
    torch.jit.save(torch.jit.script(Net()), str(tmp_path / "script.pt"))
    for content in (torch_file(Net()), torch_file(Net().state_dict()), (tmp_path / "script.pt").read_bytes()):
        found = by_name("m.pt", content)
        assert {name: tensor.shape for name, tensor in found.items()} == {
            name: list(tensor.shape) for name, tensor in Net().state_dict().items()
        }


def test_tensors_of_other_kinds_are_those_that_they_stand_for() -> None:
    state = {
        "coo": torch.eye(3, 4).to_sparse(),
        "meta": torch.zeros(5, device="meta", dtype=torch.float16),
        "buffer": nn.Buffer(torch.ones(2)),
    }
    found = by_name("m.pt", torch_file(state))
    assert [tensor[:3] for tensor in found.values()] == [
        ("coo", "F32", [3, 4]),
        ("meta", "F16", [5]),
        ("buffer", "F32", [2]),
    ]


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors:UserWarning")
def test_what_is_not_known_is_a_problem_and_the_rest_is_read() -> None:
    nested = torch.nested.nested_tensor([torch.zeros(2), torch.zeros(3)], layout=torch.strided)
    header = read("m.pt", torch_file({"nested": nested, "plain": torch.zeros(2)}))
    assert ("plain", "F32", [2]) in [tensor[:3] for tensor in header.tensors]
    assert header.problems == ["1 tensors made by torch._utils._rebuild_nested_tensor, which is not read"]


def test_a_bomb_is_described_and_does_not_go_off(tmp_path: Path) -> None:
    bomb = tmp_path / "went-off"
    content = torch_file({"bomb": Bomb(bomb), "weight": torch.zeros(3)})
    assert list(by_name("m.pt", content)) == ["weight"]
    described = follow(pickle.dumps(Bomb(bomb)))
    assert isinstance(described, Call)
    assert isinstance(described.function, Global | Call)
    assert not bomb.exists()


class Counting(InMemory):
    fetches = 0

    def fetch(self, begin: int, end: int) -> bytes:
        self.fetches += 1
        return super().fetch(begin, end)


@pytest.mark.parametrize("count", [10, 2000])
def test_a_large_checkpoint_takes_three_pieces(count: int) -> None:
    content = Counting(torch_file({f"layer.{place}.weight": torch.zeros(64, 64) for place in range(count)}))
    assert len(read_pytorch(Source(content)).tensors) == count
    assert content.fetches <= 3


def archive(pickled: bytes, name: str = "archive/data.pkl", method: int = zipfile.ZIP_STORED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as opened:
        opened.writestr(name, pickled)
    return stream.getvalue()


CYCLE = b"\x80\x02}q\x00X\x01\x00\x00\x00aq\x01h\x00s."
LAUGHS = b"\x80\x02]q\x00" + b"".join(b"]q%c(h%ch%ce" % (n + 1, n, n) for n in range(60)) + b"."


@pytest.mark.parametrize(
    "pickled", [CYCLE, LAUGHS, b"\x80\x02N.", b"\x80\x02}."], ids=["cycle", "laughs", "none", "empty"]
)
def test_pickles_without_tensors_end_soon(pickled: bytes) -> None:
    assert read("m.pt", archive(pickled)).tensors == []


def built(function: bytes, arguments: bytes) -> bytes:
    return archive(b"\x80\x02ctorch._utils\n" + function + b"\n" + arguments + b"R.")


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "no zip archive"),
        (torch_file({"a": torch.zeros(2)}, _use_new_zipfile_serialization=False), "before 1.6"),
        (pickle.dumps({"a": 1}), "plain pickle"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "Git LFS"),
        (torch_file({"a": torch.zeros(2)})[:-30], "cannot be read"),
        (archive(b"N.", "archive/other.pkl"), "no data.pkl"),
        (archive(b"N.", method=zipfile.ZIP_LZMA), "method 14"),
        (archive(bytes(2**25 + 1), method=zipfile.ZIP_DEFLATED), "at most 33554432"),
        (archive(b"not a pickle"), "malformed"),
        (archive(b"\x80\x02}"), "malformed"),
        (archive(b"R."), "malformed"),
        (archive(b"(((."), "malformed"),
        (archive(b"h\x05."), "malformed"),
        (archive(b"N" * 2_000_001 + b"."), "more than 2000000 opcodes"),
        (archive(b"}" + b"X\1\0\0\0a}s" * 3 + b"s" + b"."), "malformed"),
        (built(b"_rebuild_tensor_v2", b")"), "makes none"),
        (built(b"_rebuild_parameter", b")"), "makes none"),
        (built(b"_rebuild_tensor_v2", b"(NNNt"), "no storage"),
        (archive(b"\x80\x02" + b"}X\1\0\0\0a" * 250 + b"N" + b"s" * 250 + b"."), "nested deeper"),
    ],
)
def test_a_checkpoint_that_cannot_be_right_is_refused_with_the_reason(content: bytes, complaint: str) -> None:
    with pytest.raises(DataError, match=complaint):
        read("m.pt", content)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_long_pickle_is_read_whole(method: int) -> None:
    state = pickle.dumps({"notes": "x" * 30_000_000, "last": [1]}, protocol=4)
    items = follow(state)
    assert isinstance(items, Items)
    assert read("m.pt", archive(state, method=method)).tensors == []


def test_a_directory_that_claims_to_be_huge_is_not_read() -> None:
    content = bytearray(archive(b"N."))
    end = content.rindex(b"PK\x05\x06")
    struct.pack_into("<I", content, end + 12, 2**32 - 2)
    with pytest.raises(DataError):
        read("m.pt", bytes(content))


def test_a_description_keeps_what_a_pickle_would_build() -> None:
    items = follow(pickle.dumps({"a": [1, (2.5, None)], "b": True}))
    assert isinstance(items, Items)
    [(first, inner), (second, flag)] = items.pairs
    assert (first, second, flag) == ("a", "b", True)
    assert isinstance(inner, Items)
    assert inner.pairs == [(0, 1), (1, (2.5, None))]
