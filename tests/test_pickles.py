"""Reading pickles without executing them: valid ones, and attacks on the reader."""

import collections
import io
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st
from limits import limited
from made_bombs import BOMBS, as_key, doubled, get, nested_calls, put

from tinyalex import pickles
from tinyalex.pickles import Call, Name

NAMES = {"collections.OrderedDict", "builtins.complex", "__builtin__.complex"}


def read(content, **options):
    return pickles.load(io.BytesIO(content), NAMES, **options)


KEYS = st.text(max_size=5) | st.integers(1 - 2**32, 2**32 - 1)
PLAIN = st.recursive(
    st.none() | st.booleans() | KEYS | st.floats(allow_nan=False) | st.integers(-(2**100), 2**100),
    lambda value: (
        st.lists(value, max_size=4)
        | st.dictionaries(KEYS, value, max_size=4)
        | st.lists(value, max_size=4).map(tuple)
    ),
)


@given(PLAIN, st.integers(0, pickle.HIGHEST_PROTOCOL))
def test_values_are_those_that_were_pickled(value, protocol):
    twice = [value, value]
    assert read(pickle.dumps(twice, protocol)) == twice


@given(st.binary(max_size=300), st.integers(3, pickle.HIGHEST_PROTOCOL))
def test_bytes_are_read(value, protocol):
    assert read(pickle.dumps(value, protocol)) == value


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_an_ordered_dict_becomes_a_dict_and_a_call_a_record(protocol):
    value = [collections.OrderedDict(b=1, a=2), 1 + 2j]
    ordered, call = read(pickle.dumps(value, protocol))
    assert type(ordered) is dict
    assert list(ordered.items()) == [("b", 1), ("a", 2)]
    assert call.name.endswith(".complex")
    assert call.arguments == (1.0, 2.0)
    assert call.state is None


def test_the_ordered_dict_of_python_2_is_read():
    pairs = b"](](K\x01Ne](K\x02Nee"
    assert read(b"ccollections\nOrderedDict\n" + pairs + b"\x85R.") == {1: None, 2: None}


def test_names_and_states_are_recorded():
    name, call = read(b"(cbuiltins\ncomplex\ncbuiltins\ncomplex\n(NtR}bl.")
    assert name == Name("builtins.complex")
    assert isinstance(call, Call)
    assert (call.arguments, call.state) == ((None,), {})


def test_strings_of_python_2_are_decoded_or_kept_as_bytes():
    content = b"(U\x02\xc3\xa4T\x02\x00\x00\x00\xc3\xa4l."
    assert read(content) == ["ä", "ä"]
    assert read(content, encoding="bytes") == [b"\xc3\xa4"] * 2
    with pytest.raises(ValueError, match="utf-8"):
        read(b"U\x01\xff.")


def test_the_file_is_left_at_the_end_of_the_pickle():
    file = io.BytesIO(pickle.dumps(1) + pickle.dumps("two") + b"rest")
    assert [pickles.load(file, ()), pickles.load(file, ())] == [1, "two"]
    assert file.read() == b"rest"


def test_persistent_ids_are_given_to_the_function():
    assert read(b"K\x07Q.", persistent_load=lambda reference: reference + 1) == 8
    with pytest.raises(ValueError, match="instruction BINPERSID"):
        read(b"K\x07Q.")


@pytest.mark.parametrize(
    "content",
    [
        b"cos\nsystem\n(X\x02\x00\x00\x00lstR.",
        b"(X\x02\x00\x00\x00lsios\nsystem\n.",
        b"\x8c\x02os\x8c\x06system\x93\x8c\x02ls\x85R.",
    ],
    ids=["GLOBAL", "INST", "STACK_GLOBAL"],
)
def test_other_names_are_refused(content):
    with pytest.raises(ValueError, match="refers to 'os.system'.* it was not executed"):
        read(content)


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_ends_soon_and_in_little_memory(name, monkeypatch):
    monkeypatch.setattr(pickles, "MAX_INSTRUCTIONS", 100_000)

    def outcome():
        try:
            return type(read(BOMBS[name] + b"."))
        except ValueError:
            return ValueError

    harmless = {
        "comparison of two tuples": tuple,
        "frame of 2**60 bytes": type(None),
        "memo index": type(None),
        "nested dicts": dict,
        "nested lists": list,
        "nested tuples": tuple,
        "a list in itself": tuple,
        "one list of pairs in many calls": list,
        "an instance": dict,
    }
    assert limited(outcome) is harmless.get(name, ValueError)


def test_calls_within_calls_take_no_time():
    value = limited(lambda: type(read(nested_calls(b"cbuiltins\ncomplex\n") + b".")))
    assert value is Call
    with pytest.raises(ValueError, match="as keys of a dict"):
        limited(read, as_key(nested_calls(b"cbuiltins\ncomplex\n")) + b".")


def test_a_tuple_that_is_used_twice_is_read():
    assert read(b")" + put(3) + get(3) + b"\x86.") == ((), ())
    assert len(read(doubled(put) + b".")) == 2
