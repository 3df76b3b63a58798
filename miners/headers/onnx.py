"""Graph of an ONNX file -> its initialisers, inputs, outputs and opset (https://onnx.ai/onnx/repo-docs/IR.html).

Weights lie between the names of the initialisers, so that a long file takes about one request for each large tensor.
Constants of nodes and of inner graphs are part of the graph's code and not read.
"""

from collections.abc import Iterator

from miners.headers.cursor import Cursor
from miners.headers.header import (
    LONGEST_NAME,
    LONGEST_VALUE,
    MOST_DIMENSIONS,
    Fact,
    Header,
    Tensor,
    check_count,
    check_tensors,
    checked_shape,
    kept_facts,
    storable_text,
    text_fact,
)
from miners.headers.protobuf import Field, Messages
from miners.headers.source import Source
from schemas.errors import DataError

DTYPES = {
    **{1: "F32", 2: "U8", 3: "I8", 4: "U16", 5: "I16", 6: "I32", 7: "I64", 8: "STRING", 9: "BOOL", 10: "F16"},
    **{11: "F64", 12: "U32", 13: "U64", 14: "C64", 15: "C128", 16: "BF16", 17: "F8_E4M3", 18: "F8_E4M3FNUZ"},
    **{19: "F8_E5M2", 20: "F8_E5M2FNUZ", 21: "U4", 22: "I4", 23: "F4", 24: "F8_E8M0", 25: "U2", 26: "I2"},
    **{27: "F6_E2M3", 28: "F6_E3M2"},
}
SMALL_FILE = 2**22  # bytes; it is read whole rather than in many pieces
MOST_ENTRIES = 10_000  # of metadata, inputs and outputs
MODEL = {1: "ir_version", 2: "producer_name", 3: "producer_version", 4: "domain", 5: "model_version"}
GRAPH, OPSET, METADATA = 7, 8, 14
INITIALIZER, INPUT, OUTPUT, SPARSE_INITIALIZER = 5, 11, 12, 15
EXTERNAL = 1


def read_onnx(source: Source) -> Header:
    """Read the initialisers of an ONNX file's graph, its inputs, outputs, opsets and metadata.

    Raises DataError for what is no ONNX model, and whatever exceeds a limit or the file.
    """
    source.read(0, 1)
    ahead = SMALL_FILE if source.size is not None and source.size <= SMALL_FILE else 0
    reading = _Reading(Messages(Cursor(source, ahead)))
    reading.model()
    if not reading.has_graph:
        raise DataError("the file has no graph: this is no ONNX model")
    check_tensors(reading.tensors, source.size)
    external = [text_fact("external", path, path) for path in sorted(reading.external)]
    facts, problems = kept_facts(reading.facts + external)
    return Header(reading.tensors, facts, problems=problems)


class _Reading:
    def __init__(self, messages: Messages) -> None:
        self.messages = messages
        self.tensors: list[Tensor] = []
        self.facts: list[Fact] = []
        self.external: set[str] = set()
        self.has_graph = False

    def model(self) -> None:
        for field in self.messages.fields(None):
            if field.number == GRAPH:
                self.has_graph = True
                self.graph(field)
            elif field.number in MODEL:
                value = self.text(field) if field.value is None else str(field.value)
                self.note(text_fact("metadata", MODEL[field.number], value))
            elif field.number == OPSET:
                self.opset(field)
            elif field.number == METADATA:
                self.note(self.pair(field))

    def note(self, fact: Fact) -> None:
        if len(self.facts) == MOST_ENTRIES:
            raise DataError(f"the model has more than {MOST_ENTRIES} inputs, outputs and entries of metadata")
        self.facts.append(fact)

    def text(self, field: Field, most: int = LONGEST_VALUE) -> str:
        return self.messages.text(field, most)

    def opset(self, field: Field) -> None:
        domain, version = "", ""
        for inner in self.messages.inside(field):
            if inner.number == 1:
                domain = self.text(inner, LONGEST_NAME)
            elif inner.number == 2:
                version = str(inner.value)
        self.note(text_fact("opset", domain or "ai.onnx", version))

    def pair(self, field: Field) -> Fact:
        key, value, length = "", "", 0
        for inner in self.messages.inside(field):
            if inner.number == 1:
                key = self.text(inner, LONGEST_NAME)
            elif inner.number == 2:
                value, length = self.text(inner), inner.end - inner.begin
        return text_fact("metadata", key, value)._replace(characters=length)

    def graph(self, field: Field) -> None:
        for inner in self.messages.inside(field):
            if inner.number == INITIALIZER:
                self.add(self.tensor(inner))
            elif inner.number == SPARSE_INITIALIZER:
                self.add(self.sparse(inner))
            elif inner.number in (INPUT, OUTPUT):
                self.value("input" if inner.number == INPUT else "output", inner)

    def add(self, tensor: Tensor) -> None:
        self.tensors.append(tensor)
        check_count(len(self.tensors))

    def tensor(self, field: Field) -> Tensor:
        """Read a TensorProto; its raw data are passed over, and numbers in other fields too."""
        name, kind, sizes, is_external = "", 0, list[int](), False
        begin = end = None
        for inner in self.messages.inside(field):
            if inner.number == 1:
                sizes += self.messages.numbers(inner, MOST_DIMENSIONS)
            elif inner.number == 2:
                kind = inner.value or 0
            elif inner.number == 8:
                name = self.name(inner)
            elif inner.number == 9 and inner.value is None:
                begin, end = inner.begin, inner.end
            elif inner.number == 13:
                self.note_external(self.pair(inner))
            elif inner.number == 14:
                is_external = inner.value == EXTERNAL
            if len(sizes) > MOST_DIMENSIONS:
                break
        shape = checked_shape(name, sizes)
        tensor = Tensor(name, DTYPES.get(kind, f"ONNX_{kind}"), shape)
        if begin is None or end is None or is_external or tensor.dtype == "STRING":
            return tensor
        if tensor.bytes not in (None, end - begin):
            expected = f"expected {tensor.bytes} of {tensor.dtype}"
            raise DataError(f"tensor {name[:80]!r} takes {end - begin} bytes, {expected}")
        return tensor._replace(begin=begin, end=end)

    def name(self, field: Field) -> str:
        if field.end - field.begin > 4 * LONGEST_NAME:
            raise DataError(f"a tensor's name has {field.end - field.begin} bytes, expected up to {LONGEST_NAME}")
        return storable_text(self.text(field, 4 * LONGEST_NAME))

    def note_external(self, fact: Fact) -> None:
        if fact.key == "location" and fact.value and len(self.external) < MOST_ENTRIES:
            self.external.add(fact.value)

    def sparse(self, field: Field) -> Tensor:
        """Read a SparseTensorProto as the tensor that it stands for."""
        values, sizes = Tensor("", "ONNX_0", []), list[int]()
        for inner in self.messages.inside(field):
            if inner.number == 1:
                values = self.tensor(inner)
            elif inner.number == 3:
                sizes += self.messages.numbers(inner, MOST_DIMENSIONS)
        return Tensor(values.name, values.dtype, checked_shape(values.name, sizes[: MOST_DIMENSIONS + 1]))

    def value(self, kind: str, field: Field) -> None:
        """Note an input or output: its name, its element type, and its shape as `batch, 3, 224, 224`."""
        name, type, shape = "", None, ""
        for inner in self.messages.inside(field):
            if inner.number == 1:
                name = self.text(inner, LONGEST_NAME)
            elif inner.number == 2:
                for choice in self.messages.inside(inner):
                    type, shape = self.tensor_type(choice) if choice.number == 1 else (TYPES.get(choice.number), "")
        self.note(text_fact(kind, name, shape, type))

    def tensor_type(self, field: Field) -> tuple[str | None, str]:
        type, sizes = None, list[str]()
        for inner in self.messages.inside(field):
            if inner.number == 1:
                type = DTYPES.get(inner.value or 0, f"ONNX_{inner.value}")
            elif inner.number == 2:
                sizes += [self.size(dimension) for dimension in self.dimensions(inner)]
        return type, ", ".join(sizes)

    def dimensions(self, field: Field) -> Iterator[Field]:
        for place, dimension in enumerate(self.messages.inside(field)):
            if place == MOST_DIMENSIONS:
                raise DataError(f"an input or output has more than {MOST_DIMENSIONS} dimensions")
            yield dimension

    def size(self, field: Field) -> str:
        """Give a dimension: its size, its name, or `?`."""
        found = "?"
        for inner in self.messages.inside(field):
            if inner.number == 1:
                found = str(inner.value)
            elif inner.number == 2:
                found = self.text(inner, 100) or "?"
        return found


TYPES = {4: "sequence", 5: "map", 8: "sparse_tensor", 9: "optional"}  # of values that are no tensors
