"""The weight store: bit for bit in every type, whole or not at all, damage found and named."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import _TYPES, load_file
from torch import Tensor

from schemas import DataError, OutsideError, UsageError
from schemas.weights import WeightStore, read_safetensors, write_safetensors

DTYPES = sorted({*_TYPES.values(), torch.float8_e8m0fnu, torch.float4_e2m1fn_x2}, key=str)


def stacked(dtype: torch.dtype, members: int = 5, seed: int = 0) -> Tensor:
    """Random bits, [members, 3, 4], of any type."""
    generator = torch.Generator().manual_seed(seed)
    raw = torch.randint(0, 256, (members, 3, 4 * dtype.itemsize), dtype=torch.uint8, generator=generator)
    return raw.view(dtype) if dtype != torch.bool else raw > 127


def bits(tensor: Tensor) -> bytes:
    return bytes(tensor.reshape(-1).contiguous().view(torch.uint8).tolist())


@pytest.fixture
def store(tmp_path: Path) -> WeightStore:
    return WeightStore(tmp_path / "weights")


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_every_type_comes_back_bit_for_bit(store: WeightStore, dtype: torch.dtype) -> None:
    tensors = {"a.weight": stacked(dtype), "b": stacked(dtype, seed=1)[:, 0, 0]}
    store.write("p/w8.safetensors", tensors)
    everything = store.read("p/w8.safetensors")
    assert {name: bits(tensor) for name, tensor in everything.items()} == {k: bits(v) for k, v in tensors.items()}
    assert bits(store.read_member("p/w8.safetensors", 3)["a.weight"]) == bits(tensors["a.weight"][3])
    one = store.read_member("p/w8.safetensors", 4, names=["b"])
    assert list(one) == ["b"]
    assert bits(one["b"]) == bits(tensors["b"][4])
    picked = store.read_members("p/w8.safetensors", [4, 0, 1, 1])["a.weight"]
    assert picked.dtype == dtype
    assert bits(picked) == b"".join(bits(tensors["a.weight"][i]) for i in (4, 0, 1, 1))


def test_the_shard_is_plain_safetensors(store: WeightStore) -> None:
    tensors = {"a": stacked(torch.float32)}
    store.write("s.safetensors", tensors)
    assert torch.equal(load_file(store.path("s.safetensors"))["a"].view(torch.int32), tensors["a"].view(torch.int32))


@settings(max_examples=30, deadline=None)
@given(rows=st.lists(st.integers(0, 6), min_size=1, max_size=12))
def test_any_rows_in_any_order(tmp_path_factory: pytest.TempPathFactory, rows: list[int]) -> None:
    store = WeightStore(tmp_path_factory.mktemp("weights"))
    tensor = torch.arange(7 * 6, dtype=torch.float32).view(7, 2, 3)
    store.write("s.safetensors", {"a": tensor})
    assert torch.equal(store.read_members("s.safetensors", rows)["a"], tensor[rows])


def test_the_content_hash_is_checked_on_demand(store: WeightStore) -> None:
    digest = store.write("s.safetensors", {"a": stacked(torch.float32)})
    store.read("s.safetensors", sha256=digest)
    path = store.path("s.safetensors")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    store.read("s.safetensors")
    with pytest.raises(DataError, match=rf"{path} is damaged: its SHA-256 is"):
        store.read("s.safetensors", sha256=digest)


@pytest.mark.parametrize("keep", [0, 4, 30, -1])
def test_a_truncated_shard_is_found_and_named(store: WeightStore, keep: int) -> None:
    store.write("s.safetensors", {"a": stacked(torch.float32)})
    path = store.path("s.safetensors")
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DataError, match=str(path)):
        store.read("s.safetensors")
    with pytest.raises(DataError, match=str(path)):
        store.read_member("s.safetensors", 0)


def test_a_shard_with_a_damaged_header_is_found_and_named(store: WeightStore) -> None:
    store.write("s.safetensors", {"a": stacked(torch.float32)})
    path = store.path("s.safetensors")
    path.write_bytes(path.read_bytes().replace(b'"F32"', b'"F99"'))
    with pytest.raises(DataError, match=str(path)):
        store.read("s.safetensors")


def test_a_pickle_is_never_opened(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(3)}, tmp_path / "model.safetensors")
    with pytest.raises(DataError, match="no safetensors file"):
        read_safetensors(tmp_path / "model.safetensors")


def test_what_cannot_be_read_is_said(store: WeightStore) -> None:
    with pytest.raises(DataError, match="missing"):
        store.read("absent.safetensors")
    with pytest.raises(DataError, match="missing"):
        store.verify("absent.safetensors", "00")
    store.write("s.safetensors", {"a": stacked(torch.float32), "b": stacked(torch.float32)})
    with pytest.raises(UsageError, match="no tensor 'c'; it has a, b"):
        store.read("s.safetensors", names=["c"])
    with pytest.raises(UsageError, match="rows 0 to 4, not 5"):
        store.read_member("s.safetensors", 5)
    with pytest.raises(UsageError, match="no rows"):
        store.read_members("s.safetensors", [])


@pytest.mark.parametrize("name", ["../outside.safetensors", "/etc/x.safetensors", "a/../../b.safetensors", "model.bin"])
def test_a_shard_stays_inside_the_store(store: WeightStore, name: str) -> None:
    with pytest.raises(UsageError, match="no shard name"):
        store.write(name, {"a": torch.zeros(1)})


def test_tensors_of_one_shard_share_the_leading_axis(store: WeightStore) -> None:
    with pytest.raises(UsageError, match="share one leading axis"):
        store.write("s.safetensors", {"a": torch.zeros(2, 3), "b": torch.zeros(3)})
    with pytest.raises(UsageError, match="share one leading axis"):
        store.write("s.safetensors", {"a": torch.tensor(1.0)})
    assert not list(store.folder.rglob("*"))


def test_a_full_disk_leaves_no_half_shard(small_disk: Path) -> None:
    store = WeightStore(small_disk)
    store.write("s.safetensors", {"a": torch.ones(1, 1000)})
    with pytest.raises(OutsideError, match=r"cannot write .*s\.safetensors"):
        store.write("s.safetensors", {"a": torch.ones(1, 10_000_000)})
    assert [path.name for path in small_disk.iterdir()] == ["s.safetensors"]
    assert store.read("s.safetensors")["a"].sum() == 1000


def test_lazy_views_and_tied_tensors_are_stored_by_value(store: WeightStore) -> None:
    complex_ = torch.randn(2, 3, dtype=torch.complex64, generator=torch.Generator().manual_seed(0))
    tied = torch.ones(2, 3)
    tensors = {
        "conjugate": complex_.conj(),
        "negative": complex_.conj().imag,
        "a": tied,
        "b": tied,
        "part": tied[:, :2],
    }
    store.write("s.safetensors", tensors)
    read = store.read("s.safetensors")
    assert all(torch.equal(read[name], tensor) for name, tensor in tensors.items())


@pytest.mark.parametrize(
    "tensors",
    [
        {"__metadata__": torch.ones(1, 2)},
        {"a": torch.ones(1, 2, dtype=torch.complex128)},
        {"a": torch.eye(2).to_sparse()},
    ],
    ids=["reserved name", "complex128", "sparse"],
)
def test_what_safetensors_cannot_hold_is_refused(store: WeightStore, tensors: dict[str, Tensor]) -> None:
    with pytest.raises(UsageError, match="safetensors"):
        store.write("s.safetensors", tensors)
    assert not list(store.folder.rglob("*safetensors*"))


def test_a_file_of_one_model_is_no_stack(store: WeightStore) -> None:
    store.folder.mkdir()
    write_safetensors(store.path("one.safetensors"), {"scale": torch.tensor(2.0)})
    with pytest.raises(UsageError, match="not a stack"):
        store.read_member("one.safetensors", 0)


def test_threads_may_write_one_shard(store: WeightStore) -> None:
    tensors = {"a": torch.ones(1, 100_000)}
    with ThreadPoolExecutor(8) as pool:
        digests = list(pool.map(lambda _: store.write("s.safetensors", tensors), range(16)))
    assert len(set(digests)) == 1
    store.verify("s.safetensors", digests[0])
