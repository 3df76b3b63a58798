"""PyTorch checkpoint in a zip archive -> its tensors; the pickle in it is followed, never loaded.

The layout is that of torch.save since version 1.6: https://docs.pytorch.org/docs/stable/notes/serialization.html
"""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import NamedTuple
from zipfile import ZipFile, ZipInfo

from miners.headers import archive
from miners.headers.header import (
    LONGEST_NAME,
    Header,
    Tensor,
    check_count,
    check_tensors,
    checked_shape,
    storable_text,
    text_fact,
)
from miners.headers.pickles import Call, Global, Items, Persistent, follow
from miners.headers.source import Source
from schemas.errors import DataError

PICKLE = "data.pkl"
CONSTANTS = "constants.pkl"  # of the code; torch.jit.save writes it, torch.save does not
LONGEST_PICKLE = 2**25  # bytes
DEEPEST = 200
DTYPES = {
    **{"FloatStorage": "F32", "DoubleStorage": "F64", "HalfStorage": "F16", "BFloat16Storage": "BF16"},
    **{"LongStorage": "I64", "IntStorage": "I32", "ShortStorage": "I16", "CharStorage": "I8", "ByteStorage": "U8"},
    **{"BoolStorage": "BOOL", "ComplexFloatStorage": "C64", "ComplexDoubleStorage": "C128"},
    **{"QInt8Storage": "QI8", "QUInt8Storage": "QU8", "QInt32Storage": "QI32"},
    **{"QUInt4x2Storage": "QU4", "QUInt2x4Storage": "QU2"},
    **{"float32": "F32", "float64": "F64", "float16": "F16", "bfloat16": "BF16", "bool": "BOOL"},
    **{"int64": "I64", "int32": "I32", "int16": "I16", "int8": "I8"},
    **{"uint64": "U64", "uint32": "U32", "uint16": "U16", "uint8": "U8"},
    **{"complex64": "C64", "complex128": "C128", "float8_e4m3fn": "F8_E4M3", "float8_e5m2": "F8_E5M2"},
    **{"float8_e4m3fnuz": "F8_E4M3FNUZ", "float8_e5m2fnuz": "F8_E5M2FNUZ", "float8_e8m0fnu": "F8_E8M0"},
}
INSIDE_MODULES = {"_modules", "_parameters", "_buffers"}  # where a module that was saved whole keeps its parts
OTHERS = {
    b"\x80\x02\x8a\nl\xfc": "it is in the format of PyTorch before 1.6, where weights lie between the tensors' names",
    b"\x80": "it is a plain pickle, where weights lie between the tensors' names",
    b"version https://git-lfs": "it is a pointer to a file in Git LFS, not the file",
    **dict.fromkeys([b"lmgg", b"fmgg", b"tjgg"], "it is in GGML's format before GGUF"),
}


Part = tuple[object, object]  # a key and what stands under it


class Found(NamedTuple):
    """A tensor as a pickle describes it. `place` tells it from others: its storage, offset, shape and strides."""

    dtype: str
    shape: list[int]
    place: tuple[object, ...] | None


def read_pytorch(source: Source) -> Header:
    """Read names, shapes and dtypes of the tensors in a checkpoint that torch.save wrote.

    Nested dictionaries, lists and modules give names joined by dots: state_dict.layer.0.weight. Where the bytes of a
    tensor lie is not said in the pickle. What would be built by functions that are not known is named in `problems`.

    What torch.jit.save wrote, with the model's code beside its tensors, has the fact `container`: TorchScript.

    Raises DataError for other formats of PyTorch, and for archives and pickles that are malformed or too long.
    """
    first = source.read(0, 64)
    if not first.startswith(archive.MAGIC):
        reason = next((why for magic, why in OTHERS.items() if first.startswith(magic)), "it is no zip archive")
        raise DataError(f"the file is no checkpoint that can be read: {reason}")
    with archive.archive(source) as opened:
        is_script = any(member.filename.rpartition("/")[2] == CONSTANTS for member in opened.infolist())
        root = follow(archive.content(source, opened, _pickle(opened), LONGEST_PICKLE))
    walk = _Walk()
    tensors, tied, seen = list[Tensor](), set[str](), set[tuple[object, ...]]()
    for name, found in walk.tensors(root):
        check_count(len(tensors) + 1)
        tensors.append(Tensor(name, found.dtype, found.shape))
        if found.place in seen:
            tied.add(name)
        elif found.place is not None:
            seen.add(found.place)
    check_tensors(tensors)
    problems = [f"{count} tensors made by {name}, which is not read" for name, count in sorted(walk.unread.items())]
    facts = [text_fact("metadata", "container", "TorchScript")] if is_script else []
    return Header(tensors, facts, tied=frozenset(tied), problems=problems)


def _pickle(opened: ZipFile) -> ZipInfo:
    found = [member for member in opened.infolist() if member.filename.rpartition("/")[2] == PICKLE]
    if not found:
        raise DataError(f"the zip archive has no {PICKLE}: torch.save did not write it")
    return min(found, key=lambda member: member.filename.count("/"))


class _Walk:
    """Goes once through everything that a description holds, in order."""

    def __init__(self) -> None:
        self.unread: Counter[str] = Counter()
        self._visited: set[int] = set()
        self._built: dict[int, Found | None] = {}

    def tensors(self, root: object) -> Iterator[tuple[str, Found]]:
        """Give each tensor under its name."""
        levels: list[tuple[tuple[str, ...], Iterator[Part]]] = [((), iter([(None, root)]))]
        while levels:
            path, parts = levels[-1]
            for key, value in parts:
                inner = _path(path, key)
                if isinstance(value, Call) and (found := self._found(value)):
                    yield _name(inner), found
                elif isinstance(value, Items | Call | tuple) and id(value) not in self._visited:
                    self._visited.add(id(value))
                    levels.append((inner, iter(_parts(value))))
                    break
            else:
                levels.pop()

    def _found(self, call: Call) -> Found | None:
        if id(call) not in self._built:
            self._built[id(call)] = self._build(call)
        return self._built[id(call)]

    def _build(self, call: Call) -> Found | None:
        """Give the tensor that a call would make; None if it makes something else."""
        try:
            name, arguments = _innermost(call)
            if name in BUILDERS:
                return BUILDERS[name](*arguments)
        except (IndexError, TypeError, ValueError) as error:
            raise DataError(f"a tensor's description makes none: {str(error)[:100]}") from error
        if name.startswith(("torch._utils._rebuild_", "torch._tensor._rebuild_")):
            self.unread[name] += 1
        return None


def _innermost(call: Call) -> tuple[str, tuple[object, ...]]:
    """Give function and arguments of a call, or of the one whose result it only wraps."""
    for _ in range(DEEPEST):
        if not isinstance(call.function, Global) or not isinstance(call.arguments, tuple):
            return "", ()
        name, inner = f"{call.function.module}.{call.function.name}", call
        if name in WRAPPERS:
            inner = call.arguments[0]
        elif name == FROM_TYPE:
            inner = Call(call.arguments[0], call.arguments[2])
        if inner is call or not isinstance(inner, Call):
            return name, call.arguments
        call = inner
    raise DataError(f"a tensor is wrapped more than {DEEPEST} times")


def _path(path: tuple[str, ...], key: object) -> tuple[str, ...]:
    if key is None:
        return path
    if len(path) == DEEPEST:
        raise DataError(f"the checkpoint is nested deeper than {DEEPEST}")
    name = key if isinstance(key, str) else str(key) if type(key) is int and abs(key) < 2**64 else "?"
    return path if name in INSIDE_MODULES else (*path, name)


def _name(path: tuple[str, ...]) -> str:
    length = sum(map(len, path)) + len(path) - 1
    if length > LONGEST_NAME:
        raise DataError(f"a tensor's name has {length} characters, expected at most {LONGEST_NAME}")
    return storable_text(".".join(path))


def _parts(value: Items | Call | tuple[object, ...]) -> list[Part]:
    """Give what a description holds, each with its key; None for what has no name of its own."""
    if isinstance(value, Items):
        return value.pairs
    if isinstance(value, tuple):
        return list(enumerate(value))
    held = value.items.pairs if value.items else []
    return [*_unnamed(value.arguments), *held, *_unnamed(value.state)]


def _unnamed(value: object) -> list[Part]:
    """Give a call's arguments or state: a tuple's elements by position, anything else under its owner's name."""
    return [] if value is None else list(enumerate(value)) if isinstance(value, tuple) else [(None, value)]


def _storage(value: object) -> tuple[str | None, object]:
    """Give dtype and key of a storage: the tuple ("storage", its class, key, place, number of elements)."""
    key = value.key if isinstance(value, Persistent) else None
    if not isinstance(key, tuple) or len(key) < 3 or not isinstance(key[1], Global) or not isinstance(key[2], str):
        raise ValueError("no storage")
    return DTYPES.get(key[1].name), key[2]


def _dtype(value: object) -> str:
    if not isinstance(value, Global):
        raise ValueError("no dtype")
    return DTYPES.get(value.name, value.name[:40].upper())


def _sizes(value: object) -> list[int]:
    if isinstance(value, Call) and isinstance(value.arguments, tuple) and value.arguments:  # torch.Size
        value = value.arguments[0]
    if isinstance(value, Items):
        value = tuple(size for _, size in value.pairs)
    if not isinstance(value, tuple):
        raise ValueError("no shape")
    return checked_shape("", value)


def _stored(storage: object, offset: object, size: object, stride: object = (), *_: object) -> Found:
    dtype, key = _storage(storage)
    shape = _sizes(size)
    place = (key, offset if isinstance(offset, int) else -1, *shape, -1, *_sizes(stride))
    return Found(dtype or "UNTYPED", shape, place)


def _typed(storage: object, offset: object, size: object, stride: object, *rest: object) -> Found:
    _, _, dtype, *_ = rest  # after requires_grad and hooks
    return _stored(storage, offset, size, stride)._replace(dtype=_dtype(dtype))


def _sparse(layout: object, data: object) -> Found:
    """Give a sparse tensor as the tensor that it stands for; after its indices come its values and its size."""
    parts = data if isinstance(data, tuple) else ()
    dense = [place for place, part in enumerate(parts) if isinstance(part, Call) and _innermost(part)[0] in STORED]
    values = parts[dense[-1]]
    _, arguments = _innermost(values) if isinstance(values, Call) else ("", ())
    return Found(_stored(*arguments).dtype, _sizes(parts[dense[-1] + 1]), None)


def _without_storage(dtype: object, size: object, *_: object) -> Found:
    return Found(_dtype(dtype), _sizes(size), None)


FROM_TYPE = "torch._tensor._rebuild_from_type_v2"
WRAPPERS = {
    *("torch._utils._rebuild_parameter", "torch._utils._rebuild_parameter_with_state"),
    *("torch.nn.parameter.Parameter", "torch.nn.parameter.Buffer"),
    "torch._utils._rebuild_device_tensor_from_cpu_tensor",
}
STORED = {"torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2"}
BUILDERS: dict[str, Callable[..., Found]] = {
    **dict.fromkeys(STORED, _stored),
    "torch._utils._rebuild_tensor_v3": _typed,
    "torch._utils._rebuild_qtensor": _stored,
    "torch._utils._rebuild_sparse_tensor": _sparse,
    "torch._utils._rebuild_meta_tensor_no_storage": _without_storage,
}
