import os
import subprocess
import sys
from contextlib import suppress

import numpy as np
import pytest

import tinyalex as ta
from tinyalex import serialization


def test_a_state_is_restored(tmp_path, rng):
    state = {
        "a": rng.standard_normal((2, 3)).astype("f"),
        "b": ta.Tensor([1.0, 2.0]),
        "c": np.array(7),
    }
    ta.save(tmp_path / "x", state)
    loaded = ta.load(tmp_path / "x")
    np.testing.assert_array_equal(loaded["a"], state["a"])
    assert (loaded["b"].tolist(), loaded["c"].item(), loaded["b"].dtype) == ([1, 2], 7, "f4")


def test_memory_order_does_not_matter(tmp_path):
    a = np.arange(6.0).reshape(2, 3)
    ta.save(tmp_path / "x", {"t": a.T, "s": a[:, ::2]})
    loaded = ta.load(tmp_path / "x")
    np.testing.assert_array_equal(loaded["t"], a.T)
    np.testing.assert_array_equal(loaded["s"], a[:, ::2])


def test_nested_states_are_restored(tmp_path):
    state = {
        "model": {"w": np.ones(2)},
        "groups": [{"lr": 0.1, "v": [np.zeros(1)]}],
        "best": float("inf"),
        "name": "x",
        "none": None,
        "on": True,
    }
    ta.save(tmp_path / "x", state)
    loaded = ta.load(tmp_path / "x")
    np.testing.assert_array_equal(loaded["model"].pop("w"), np.ones(2))
    np.testing.assert_array_equal(loaded["groups"][0].pop("v")[0], np.zeros(1))
    assert loaded == {
        "model": {},
        "groups": [{"lr": 0.1}],
        "best": float("inf"),
        "name": "x",
        "none": None,
        "on": True,
    }


def test_a_flat_state_is_plain_safetensors_with_the_metadata(tmp_path):
    from safetensors.numpy import load_file

    ta.save(tmp_path / "x", {"w": np.ones(2)}, metadata={"variant": "paper"})
    assert list(load_file(tmp_path / "x")) == ["w"]
    assert serialization.load_metadata(tmp_path / "x") == {"variant": "paper"}


def test_the_same_state_gives_the_same_bytes(tmp_path):
    for name in "ab":
        ta.save(
            tmp_path / name, {"w": np.ones(2), "b": np.zeros(3, "f")}, metadata={"variant": "paper"}
        )
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_failed_save_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    ta.save(tmp_path / "x", {"w": np.ones(2)})
    before = (tmp_path / "x").read_bytes()

    def full(*args):
        raise OSError("no space left")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError, match="no space left"):
        ta.save(tmp_path / "x", {"w": np.zeros(2)})
    assert [f.name for f in tmp_path.iterdir()] == ["x"]
    assert (tmp_path / "x").read_bytes() == before


def test_a_value_that_cannot_be_saved_is_named_with_its_position(tmp_path):
    with pytest.raises(
        TypeError, match="save: model/hook is a function. Expected tensors, arrays, numbers"
    ):
        ta.save(tmp_path / "x", {"model": {"hook": lambda: 0}})
    assert not list(tmp_path.iterdir())


def test_a_missing_or_corrupt_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no file"):
        ta.load(tmp_path / "x")
    (tmp_path / "x").write_bytes(b"not safetensors at all")
    with pytest.raises(ValueError, match="is not a complete safetensors file"):
        ta.load(tmp_path / "x")


def test_names_that_would_collide_raise(tmp_path):
    with pytest.raises(ValueError, match="two arrays would both be named 'a/b' in the file"):
        ta.save(tmp_path / "x", {"a/b": np.ones(2), "a": {"b": np.zeros(2)}, "n": 1})


def test_a_nested_state_keeps_its_metadata(tmp_path):
    ta.save(tmp_path / "nest.safetensors", {"a": [np.ones(2), 3]}, metadata={"variant": "paper"})
    assert serialization.load_metadata(tmp_path / "nest.safetensors")["variant"] == "paper"
    assert ta.load(tmp_path / "nest.safetensors")["a"][1] == 3


def test_complex_arrays_raise(tmp_path):
    with pytest.raises(
        TypeError, match=r"save: a/0 is an array of complex128. Expected real numbers or bools"
    ):
        ta.save(tmp_path / "x.safetensors", {"a": [np.ones(2, complex)]})
    assert list(tmp_path.iterdir()) == []


def test_the_same_state_and_metadata_give_the_same_bytes(tmp_path):
    state = {"w": np.arange(6.0), "b": np.zeros(2, "f")}
    metadata = {f"name {i}": f'tabs\t"quotes" \\ and \x01 ü {i}' for i in range(20)}
    files = [tmp_path / f"{i}.safetensors" for i in range(4)]
    for file in files:
        ta.save(file, state, metadata)
    assert len({file.read_bytes() for file in files}) == 1
    assert serialization.load_metadata(files[0]) == metadata
    assert ta.load(files[0])["w"].tolist() == state["w"].tolist()


def test_a_changed_bit_is_found(tmp_path):
    path = tmp_path / "state.safetensors"
    state = {"weights": [np.arange(50, dtype="f"), np.arange(3)], "step": 12, "empty": np.empty(0)}
    ta.save(path, state)
    content, refused = path.read_bytes(), 0
    for position in range(0, len(content), 7):
        damaged = bytearray(content)
        damaged[position] ^= 1 << position % 8
        path.write_bytes(damaged)
        with suppress(ValueError):
            ta.save(path, ta.load(path))
        # Not refused if only the name of the checksum was changed: all of it is there.
        refused += path.read_bytes() == damaged
        assert path.read_bytes() in (damaged, content)
    assert refused > len(content) / 7 - 10


def test_a_changed_bit_of_flat_weights_or_their_metadata_is_found(tmp_path):
    path = tmp_path / "weights.safetensors"
    ta.save(path, {"w": np.arange(9, dtype="f")}, metadata={"variant": "paper"})
    content = path.read_bytes()
    for part in (b"paper", np.float32(5).tobytes()):
        damaged = bytearray(content)
        damaged[content.rindex(part)] ^= 1
        path.write_bytes(damaged)
        with pytest.raises(serialization.DamagedFileError, match="do not match its checksum"):
            ta.load(path)


def test_files_without_a_checksum_are_loaded(tmp_path):
    from safetensors.numpy import save_file

    save_file({"w": np.ones(2)}, tmp_path / "x", metadata={"variant": "paper"})
    assert ta.load(tmp_path / "x")["w"].tolist() == [1, 1]


@pytest.mark.parametrize("text", ["[", "{}", '{"tensor": "v"}', '{"dict": 3}', "[" * 10_000])
def test_a_structure_that_does_not_fit_is_refused(tmp_path, text):
    from safetensors.numpy import save_file

    save_file({"w": np.ones(2)}, tmp_path / "x", metadata={serialization.STRUCTURE: text})
    with pytest.raises(serialization.DamagedFileError, match="does not describe its arrays"):
        ta.load(tmp_path / "x")


@pytest.mark.parametrize("nested", [False, True])
def test_arrays_in_the_other_byte_order_are_saved(tmp_path, nested):
    array = np.arange(3, dtype=np.dtype("f4").newbyteorder())
    ta.save(tmp_path / "x", {"w": [array] if nested else array})
    loaded = ta.load(tmp_path / "x")["w"]
    np.testing.assert_array_equal(loaded[0] if nested else loaded, array)


def test_a_full_disk_is_an_error_that_loses_nothing(tmp_path):
    program = f"""if True:
        import resource, signal
        import numpy as np
        import tinyalex as ta
        ta.save({str(tmp_path / "x")!r}, {{"w": np.ones(2)}})
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        try:
            ta.save({str(tmp_path / "x")!r}, {{"w": np.zeros(1000)}})
        except OSError as error:
            print(error)
    """
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert "cannot be written" in result.stdout, result.stderr
    assert "Free space on the disk" in result.stdout
    assert [f.name for f in tmp_path.iterdir()] == ["x"]
    assert (ta.load(tmp_path / "x")["w"] == 1).all()


def test_files_have_the_usual_permissions(tmp_path):
    (tmp_path / "plain").write_text("")
    ta.save(tmp_path / "x", {"w": np.ones(2)})
    assert (tmp_path / "x").stat().st_mode == (tmp_path / "plain").stat().st_mode
    (tmp_path / "x").chmod(0o400)
    ta.save(tmp_path / "x", {"w": np.ones(3)})  # private files remain private
    assert (tmp_path / "x").stat().st_mode & 0o777 == 0o400


def test_the_name_of_the_metadata_is_reserved(tmp_path):
    with pytest.raises(ValueError, match="the name '__metadata__' is reserved"):
        ta.save(tmp_path / "x", {"__metadata__": np.ones(2)})
    assert not (tmp_path / "x").exists()


def test_a_structure_that_would_exhaust_the_memory_is_refused(tmp_path, monkeypatch):
    ta.save(tmp_path / "x", {"numbers": list(range(100))})
    monkeypatch.setattr(serialization, "MAX_STRUCTURE_CHARACTERS", 500)
    with pytest.raises(ta.serialization.DamagedFileError, match="more than 500 characters"):
        ta.load(tmp_path / "x")


def test_a_symbolic_link_stays_one(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "folder" / "x")
    for value in (1, 2):
        ta.save(tmp_path / "link", {"w": np.full(2, value)})
        assert (tmp_path / "link").is_symlink()
        assert ta.load(tmp_path / "folder" / "x")["w"].tolist() == [value, value]


def test_only_files_are_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path):
        with pytest.raises(OSError, match="is not a file"):
            ta.save(path, {"w": np.ones(2)})
    assert [f.name for f in tmp_path.iterdir()] == ["pipe"]
