"""Follows the opcodes of a pickle without running any: nothing is imported, called or built but plain descriptions.

pickletools of the standard library cuts the bytes into opcodes; what each would put on the stack is noted here. A
global is a name, a call is a `Call` with its arguments. (https://docs.python.org/3/library/pickletools.html)
"""

import pickletools
from collections.abc import Callable
from typing import Any, NamedTuple

from schemas.errors import DataError

MOST_OPCODES = 2_000_000  # about 60,000 tensors
MALFORMED = (IndexError, KeyError, ValueError, TypeError, AttributeError, OverflowError, RecursionError)


class Global(NamedTuple):
    """What a pickle would import."""

    module: str
    name: str


class Call:
    """What a pickle would call: `function` on `arguments`; `state` and `items` is what it would then be given."""

    __slots__ = ("arguments", "function", "items", "state")

    def __init__(self, function: object, arguments: object) -> None:
        self.function = function
        self.arguments = arguments
        self.state: object = None
        self.items: Items | None = None


class Persistent(NamedTuple):
    """What a pickle leaves to its reader to find, by this key."""

    key: object


class Items:
    """A dictionary as its pairs, or a list as pairs of position and value; keys are never hashed or compared."""

    __slots__ = ("pairs",)

    def __init__(self) -> None:
        self.pairs: list[tuple[object, object]] = []

    def append(self, value: object) -> None:
        """Add what a list would have at its end."""
        self.pairs.append((len(self.pairs), value))


def follow(data: bytes) -> object:
    """Give a description of the object that a pickle stands for.

    It is made of None, numbers, texts, bytes, tuples, and the classes of this module; it may contain itself.

    Raises DataError for bytes that are no pickle, and for more than MOST_OPCODES opcodes.
    """
    machine = _Machine()
    try:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(data)):
            if count == MOST_OPCODES:
                raise DataError(f"the pickle has more than {MOST_OPCODES} opcodes")
            if opcode.name == "STOP":
                return machine.stack[-1]
            machine.step(opcode.name, argument)
    except MALFORMED as error:
        raise DataError(f"the pickle is malformed: {str(error)[:200] or type(error).__name__}") from error
    raise DataError("the pickle does not end")


class _Machine:
    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.below: list[list[Any]] = []  # the stacks under each open mark
        self.memo: dict[int, object] = {}

    def step(self, opcode: str, argument: Any) -> None:
        if opcode in PUSHED:
            self.stack.append(argument)
        elif opcode in CONSTANTS:
            self.stack.append(CONSTANTS[opcode])
        else:
            STEPS[opcode](self, argument)

    def mark(self, _: object) -> None:
        self.below.append(self.stack)
        self.stack = []

    def marked(self) -> list[Any]:
        items, self.stack = self.stack, self.below.pop()
        return items

    def items(self, values: list[Any]) -> None:
        made = Items()
        made.pairs.extend(enumerate(values))
        self.stack.append(made)

    def pairs(self, values: list[Any]) -> None:
        made = Items()
        made.pairs.extend(zip(values[::2], values[1::2], strict=True))
        self.stack.append(made)

    def tuple(self, length: int) -> None:
        values = tuple(self.stack[-length:])
        if len(values) < length:
            raise IndexError("the stack is too short for a tuple")
        del self.stack[-length:]
        self.stack.append(values)

    def marked_tuple(self, _: object) -> None:
        values = tuple(self.marked())
        self.stack.append(values)

    def append(self, values: list[Any]) -> None:
        target = _items(self.stack[-1])
        for value in values:
            target.append(value)

    def set_items(self, values: list[Any]) -> None:
        _items(self.stack[-1]).pairs.extend(zip(values[::2], values[1::2], strict=True))

    def last(self, count: int) -> list[Any]:
        values = self.stack[-count:]
        del self.stack[-count:]
        return values

    def named(self, _: object) -> None:
        module, name = self.last(2)
        self.stack.append(Global(_text(module), _text(name)))

    def call(self, _: object) -> None:
        function, arguments = self.last(2)
        self.stack.append(Call(function, arguments))

    def call_with_keywords(self, _: object) -> None:
        function, arguments, keywords = self.last(3)
        self.stack.append(Call(function, (arguments, keywords)))

    def call_marked(self, _: object) -> None:
        function, *arguments = self.marked()
        self.stack.append(Call(function, tuple(arguments)))

    def call_named(self, argument: str) -> None:
        self.stack.append(Call(_global(argument), tuple(self.marked())))

    def build(self, _: object) -> None:
        state = self.stack.pop()
        if isinstance(self.stack[-1], Call):
            self.stack[-1].state = state

    def memorise(self, position: int | None) -> None:
        self.memo[len(self.memo) if position is None else position] = self.stack[-1]


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"a global is named by a {type(value).__name__}, expected a text")
    return value


def _global(argument: str) -> Global:
    module, _, name = argument.partition(" ")
    return Global(module, name)


def _items(value: object) -> Items:
    if isinstance(value, Call):
        value.items = value.items or Items()
        return value.items
    if not isinstance(value, Items):
        raise TypeError(f"items are added to a {type(value).__name__}")
    return value


Step = Callable[[_Machine, Any], object]
PUSHED = {
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
}
CONSTANTS: dict[str, object] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
STEPS: dict[str, Step] = {
    **dict.fromkeys(["PROTO", "FRAME", "READONLY_BUFFER"], lambda machine, _: None),
    **dict.fromkeys(["EMPTY_LIST", "EMPTY_DICT", "EMPTY_SET"], lambda machine, _: machine.items([])),
    **dict.fromkeys(["LIST", "FROZENSET"], lambda machine, _: machine.items(machine.marked())),
    **dict.fromkeys(["NEWOBJ", "REDUCE"], _Machine.call),
    **dict.fromkeys(["PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"], _Machine.memorise),
    **dict.fromkeys(["GET", "BINGET", "LONG_BINGET"], lambda machine, key: machine.stack.append(machine.memo[key])),
    **dict.fromkeys(["EXT1", "EXT2", "EXT4"], lambda machine, code: machine.stack.append(Global("", str(code)))),
    "MARK": _Machine.mark,
    "DICT": lambda machine, _: machine.pairs(machine.marked()),
    "TUPLE": _Machine.marked_tuple,
    "TUPLE1": lambda machine, _: machine.tuple(1),
    "TUPLE2": lambda machine, _: machine.tuple(2),
    "TUPLE3": lambda machine, _: machine.tuple(3),
    "APPEND": lambda machine, _: machine.append(machine.last(1)),
    "APPENDS": lambda machine, _: machine.append(machine.marked()),
    "ADDITEMS": lambda machine, _: machine.append(machine.marked()),
    "SETITEM": lambda machine, _: machine.set_items(machine.last(2)),
    "SETITEMS": lambda machine, _: machine.set_items(machine.marked()),
    "POP": lambda machine, _: machine.stack.pop() if machine.stack else machine.marked(),
    "POP_MARK": lambda machine, _: machine.marked(),
    "DUP": lambda machine, _: machine.stack.append(machine.stack[-1]),
    "GLOBAL": lambda machine, argument: machine.stack.append(_global(argument)),
    "STACK_GLOBAL": _Machine.named,
    "NEWOBJ_EX": _Machine.call_with_keywords,
    "OBJ": _Machine.call_marked,
    "INST": _Machine.call_named,
    "BUILD": _Machine.build,
    "PERSID": lambda machine, key: machine.stack.append(Persistent(key)),
    "BINPERSID": lambda machine, _: machine.stack.append(Persistent(machine.stack.pop())),
    "NEXT_BUFFER": lambda machine, _: machine.stack.append(None),
}
