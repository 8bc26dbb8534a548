"""Pickles that make other readers hang or exhaust memory, each without its STOP.

Each leaves one value on the stack.
"""

import struct
import sys


def integer(value):
    content = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8b" + struct.pack("<I", len(content)) + content


def put(index):
    return b"r" + struct.pack("<I", index)


def get(index):
    return b"j" + struct.pack("<I", index)


def doubled(store, levels=60):
    """A tuple with 2**levels leaves. `store` puts the top of the stack into memo[i]."""
    return b")" + b"".join(store(i) + get(i) + b"\x86" for i in range(levels))


def as_key(value):
    return b"}" + value + b"Ns"


def nested_calls(function, levels=60):
    """Calls whose two arguments are the same call."""
    function = function + put(1000)
    calls = (put(i) + b"0" + get(1000) + get(i) * 2 + b"\x86R" for i in range(levels))
    return function + b"0N" + b"".join(calls)


P = sys.hash_info.modulus
"""The hashes of its multiples are 0."""

ORDERED_DICT = b"ccollections\nOrderedDict\n"

BOMBS = {
    "hash of a memoized tuple": as_key(doubled(put)),
    "hash of a tuple, MEMOIZE": as_key(doubled(lambda i: b"\x94")),
    "hash of a tuple, after a mark": as_key(doubled(lambda i: b"(1" + put(i))),
    "hash of a tuple, DUP": as_key(b")" + b"2\x86" * 60),
    "hash of a tuple in a key of OrderedDict": (
        ORDERED_DICT + b"](" + doubled(put) + b"N\x86e\x85R"
    ),
    "comparison of two tuples": doubled(put) + doubled(lambda i: put(100 + i)) + b"\x86",
    "keys of one hash": b"}(" + b"".join(integer(i * P) + b"N" for i in range(16_000)) + b"u",
    "memo indices of one hash": b"N" + b"".join(b"p%d\n" % (i * P) for i in range(16_000)),
    "memo index": b"Nr\xff\xff\xff\xff",
    "memo index in text": b"Np99999999999999\n",
    "text of 2**62 bytes": b"\x8d" + struct.pack("<Q", 1 << 62),
    "bytes of 2**31 bytes": b"B" + struct.pack("<I", 1 << 31),
    "bytearray of 2**40 bytes": b"\x96" + struct.pack("<Q", 1 << 40),
    "frame of 2**60 bytes": b"\x95" + struct.pack("<Q", 1 << 60) + b"N",
    "integer of a megabyte": integer(1 << 8_000_000),
    "integer in text": b"I" + b"9" * 1_000_000 + b"\n",
    "long in text": b"L" + b"9" * 1_000_000 + b"L\n",
    "nested lists": b"]" * 30_000 + b"a" * 29_999,
    "nested dicts": b"}K\x00" * 15_000 + b"N" + b"s" * 15_000,
    "nested tuples": b")" + b"\x85" * 30_000,
    "many empty dicts": b"(" + b"}" * 120_000 + b"l",
    "many marks": b"N" + b"(" * 120_000,
    "a list in itself": b"](" + b"K\x002e" + b"]q\x00h\x00a\x86",
    "one list of pairs in many calls": (
        b"](" + b"K\x00N\x86" * 15_000 + b"e" + put(0) + b"0]"
        + (ORDERED_DICT + get(0) + b"\x85Ra") * 9_000
    ),
    "one long pair in a list of pairs": (
        b"(" + b"N" * 40_000 + b"t" + put(0) + b"0" + ORDERED_DICT
        + b"](" + get(0) * 40_000 + b"e\x85R"
    ),
    "one long module name in many names": (
        b"X" + struct.pack("<I", 1_000_000) + b"a" * 1_000_000 + put(0) + b"0]"
        + (get(0) * 2 + b"\x930") * 20_000
    ),
    "empty": b"",
    "stack underflow": b"\x86",
    "stack underflow below a mark": b"N(0\x85",
    "mark without values": b"(",
    "tuple without a mark": b"t",
    "unknown memo index": b"h\x07",
    "list of the attributes of a name": ORDERED_DICT + b"}b",
    "append to a tuple": b")Na",
    "items of a list": b"]NNs",
    "odd number of items": b"}(NNNu",
    "call of a string": b"\x8c\x01a)R",
    "call without a tuple": ORDERED_DICT + b"NR",
    "call with a list of others": ORDERED_DICT + b"](NNNe\x85R",
    "a name in two integers": b"K\x00K\x01\x93",
    "set": b"\x8f",
    "extension": b"\x82\x01",
    "persistent id in text": b"P../../etc/passwd\n",
    "out-of-band buffer": b"\x97",
    "a new object": ORDERED_DICT + b")\x81",
    "a new object with keywords": ORDERED_DICT + b")}\x92",
    "an instance": b"(icollections\nOrderedDict\n",
}  # fmt: skip
