"""Reads data from pickles, without pickle: nothing that a file names is called.

A pickle is a program for a small stack machine, whose instructions can import and call
any function. `load` interprets the instructions that build values, and represents the
others: a name that the file may refer to becomes a `Name`, a call of it a `Call` with
its arguments. The reader of a format recognizes these by pattern matching.

The file of a stranger is an attack on memory and time as well. Each instruction takes
constant time and memory besides the bytes that it contains, and their number is
limited. Values may contain one another many times over, so that code which traverses
all of a value (==, hash, repr) may take forever: only compare and print parts of it
whose types have been checked.

The instructions are documented in Python's Lib/pickletools.py.
"""

import pickletools
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, BinaryIO

MAX_INSTRUCTIONS = 1_000_000
"""Read in two seconds. A batch of CIFAR-10 has 30,108; a tensor needs about 35."""

MAX_INTEGER_BITS = 128
"""The magic number of torch's files has 77."""


@dataclass(frozen=True)
class Name:
    """A function or class to which a pickle refers, such as "numpy.ndarray"."""

    name: str


@dataclass(eq=False, repr=False)
class Call:
    """The call of a function or class, and the state that its result was given."""

    name: str
    arguments: tuple
    state: Any = None


def load(
    file: BinaryIO,
    names: Collection[str],
    *,
    persistent_load: Callable[[Any], Any] | None = None,
    encoding: str = "utf-8",
) -> Any:
    """The value of the next pickle in `file`, which is left at the pickle's end.

    names            the names that it may refer to, as "module.name"
    persistent_load  returns the object for a persistent id, as in pickle.Unpickler
    encoding         of the strings of Python 2; "bytes": they are returned as bytes

    An OrderedDict is returned as a dict, without its attributes. Keys of dicts are
    strings, bytes or integers of 32 bits. Raises ValueError for a pickle that is
    damaged, refers to other names, or exceeds the limits above.
    """
    try:
        return _interpret(file, names, persistent_load, encoding)
    except (LookupError, TypeError, OverflowError) as error:
        # Too few values on the stack, an unknown memo index, operands of other types.
        raise ValueError(f"the pickle is damaged ({type(error).__name__}: {error})") from error


def _interpret(
    file: BinaryIO,
    names: Collection[str],
    persistent_load: Callable[[Any], Any] | None,
    encoding: str,
) -> Any:
    stack: list[Any] = []
    below_marks: list[list[Any]] = []
    memo: dict[int, Any] = {}

    def pop_to_mark() -> list[Any]:
        nonlocal stack
        items, stack = stack, below_marks.pop()
        return items

    argument: Any
    # genops reads one instruction at a time; it raises ValueError if one is incomplete.
    for count, (instruction, argument, _) in enumerate(pickletools.genops(file)):
        if count == MAX_INSTRUCTIONS:
            raise ValueError(f"the pickle has more than {MAX_INSTRUCTIONS:,} instructions")
        match instruction.name:
            case "BINPUT" | "LONG_BINPUT" | "PUT":
                memo[_small(argument)] = stack[-1]
            case "MEMOIZE":
                memo[len(memo)] = stack[-1]
            case "BINGET" | "LONG_BINGET" | "GET":
                stack.append(memo[argument])

            case "BININT" | "BININT1" | "BININT2" | "INT" | "LONG" | "LONG1" | "LONG4":
                if argument.bit_length() > MAX_INTEGER_BITS:
                    raise ValueError(
                        f"the pickle has an integer of more than {MAX_INTEGER_BITS} bits"
                    )
                stack.append(argument)
            case "BINUNICODE" | "SHORT_BINUNICODE" | "BINUNICODE8" | "UNICODE":
                stack.append(argument)
            case "BINBYTES" | "SHORT_BINBYTES" | "BINBYTES8" | "BINFLOAT" | "FLOAT":
                stack.append(argument)
            case "BINSTRING" | "SHORT_BINSTRING" | "STRING":
                content = argument.encode("latin-1")
                stack.append(content if encoding == "bytes" else content.decode(encoding))
            case "NONE":
                stack.append(None)
            case "NEWTRUE" | "NEWFALSE":
                stack.append(instruction.name == "NEWTRUE")

            case "MARK":
                below_marks.append(stack)
                stack = []
            case "POP_MARK":
                pop_to_mark()
            case "POP":
                stack.pop()
            case "DUP":
                stack.append(stack[-1])

            case "EMPTY_TUPLE":
                stack.append(())
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                size = int(instruction.name[-1])
                items = [stack.pop() for _ in range(size)]
                stack.append(tuple(reversed(items)))
            case "TUPLE":
                items = pop_to_mark()
                stack.append(tuple(items))
            case "EMPTY_LIST":
                stack.append([])
            case "LIST":
                items = pop_to_mark()
                stack.append(items)
            case "APPEND":
                item = stack.pop()
                _extend(stack[-1], [item])
            case "APPENDS":
                items = pop_to_mark()
                _extend(stack[-1], items)
            case "EMPTY_DICT":
                stack.append({})
            case "DICT":
                items = pop_to_mark()
                stack.append(_update({}, items))
            case "SETITEM":
                value, key = stack.pop(), stack.pop()
                _update(stack[-1], [key, value])
            case "SETITEMS":
                items = pop_to_mark()
                _update(stack[-1], items)

            case "GLOBAL" | "STACK_GLOBAL":
                if instruction.name == "STACK_GLOBAL":
                    function, module = stack.pop(), stack.pop()
                    argument = f"{_string(module)} {_string(function)}"
                stack.append(_name(argument, names))
            case "INST":
                arguments = pop_to_mark()
                stack.append(_call(_name(argument, names), tuple(arguments)))
            case "REDUCE":
                arguments, function = stack.pop(), stack.pop()
                stack.append(_call(function, arguments))
            case "BUILD":
                state, target = stack.pop(), stack[-1]
                if isinstance(target, Call):
                    target.state = state
                elif type(target) is not dict:
                    raise TypeError("expected an object to set the attributes of")
            case "BINPERSID" if persistent_load is not None:
                stack.append(persistent_load(stack.pop()))

            case "PROTO" | "FRAME":
                pass
            case "STOP":
                break
            case other:
                raise ValueError(f"the pickle uses the instruction {other}, which it does not need")
    return stack.pop()


def _extend(target: Any, items: list[Any]) -> None:
    if type(target) is not list:
        raise TypeError("expected a list to append to")
    target += items


def _update(target: Any, items: list[Any]) -> dict[Any, Any]:
    """Set alternating keys and values."""
    keys, values = items[::2], items[1::2]
    if type(target) is not dict or len(keys) != len(values):
        raise TypeError("expected a dict, and keys and values to set in it")
    # The hash of tuples that contain one another takes exponential time.
    if not all(type(key) in (str, bytes, int) for key in keys):
        raise TypeError("expected strings, bytes or integers as keys of a dict")
    for key in keys:
        if type(key) is int:
            _small(key)
    target.update(zip(keys, values, strict=True))
    return target


def _small(index: int) -> int:
    """The index. Larger ones can be chosen so that all have the same hash."""
    if not -(2**32) < index < 2**32:
        raise TypeError("expected integers of 32 bits as keys and memo indices")
    return index


def _string(value: Any) -> str:
    if type(value) is not str:
        raise TypeError("expected the name of a function or class to be a string")
    return value


def _name(module_and_name: str, names: Collection[str]) -> Name:
    name = module_and_name.replace(" ", ".", 1)
    if name not in names:
        raise ValueError(
            f"the pickle refers to {name[:100]!r}, which it does not need; it was not executed"
        )
    return Name(name)


def _call(function: Any, arguments: Any) -> Any:
    if type(function) is not Name or type(arguments) is not tuple:
        raise TypeError("expected a name and a tuple of arguments to call")
    if function.name == "collections.OrderedDict":
        match arguments:
            case ():
                return {}
            case (list(pairs),) if all(type(p) in (list, tuple) and len(p) == 2 for p in pairs):
                items = [item for pair in pairs for item in pair]
                pairs.clear()  # passed to a thousand calls, the list costs its length once
                return _update({}, items)
        raise TypeError("expected a list of pairs as the argument of OrderedDict")
    return Call(function.name, arguments)
