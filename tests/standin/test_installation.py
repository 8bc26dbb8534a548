"""The stand-in rejects what CuPy rejects, or should: mistakes that NumPy accepts.

Results, devices and raw kernels are tested in the other files of this folder.
"""

import copy
import importlib.metadata
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import standin
from standin import api

pytestmark = pytest.mark.cuda

FOLDER = Path(standin.__file__).parent
TESTS = FOLDER.parent
CUPYS = ("cupy", "cupy-cuda12x", "cupy-cuda13x")

# Not imported: these tests leave sys.modules unchanged, and run with a real CuPy too.
cupy = standin.cupy


def python(*arguments, **environment):
    """Run Python with tests/ on its path."""
    path = os.pathsep.join(filter(None, [str(TESTS), os.environ.get("PYTHONPATH")]))
    env = os.environ | {"PYTHONPATH": path} | environment
    return subprocess.run(
        [sys.executable, *map(str, arguments)], capture_output=True, text=True, env=env
    )


# Host and device

MIXTURES = {
    "np.asarray(x)": lambda x, n: np.asarray(x),
    "np.array([x, x])": lambda x, n: np.array([x, x]),
    "x + n": lambda x, n: x + n,
    "n + x": lambda x, n: n + x,
    "x == n": lambda x, n: x == n,
    "n @ x.T": lambda x, n: n @ x.T,
    "n += x": lambda x, n: n.__iadd__(x),
    "x += n": lambda x, n: x.__iadd__(n),
    "np.sqrt(x)": lambda x, n: np.sqrt(x),
    "np.sum(x)": lambda x, n: np.sum(x),
    "np.add.reduce(x)": lambda x, n: np.add.reduce(x),
    "np.concatenate([x, x])": lambda x, n: np.concatenate([x, x]),
    "cupy.add(x, n)": lambda x, n: cupy.add(x, n),
    "cupy.add(x, x, out=n)": lambda x, n: cupy.add(x, x, out=n),
    "cupy.add.at(x, 0, n[0])": lambda x, n: cupy.add.at(x, 0, n[0]),
    "cupy.sum(n)": lambda x, n: cupy.sum(n),
    "cupy.sum([1, 2])": lambda x, n: cupy.sum([1, 2]),
    "cupy.matmul(x, n.T)": lambda x, n: cupy.matmul(x, n.T),
    "cupy.concatenate([x, n])": lambda x, n: cupy.concatenate([x, n]),
    "cupy.where(x > 0, n, x)": lambda x, n: cupy.where(x > 0, n, x),
    "cupy.maximum(x, [1, 2, 3, 4])": lambda x, n: cupy.maximum(x, [1, 2, 3, 4]),
    "cupy.array([x, n])": lambda x, n: cupy.array([x, n]),
    "cupy.array([x, 1.0])": lambda x, n: cupy.array([x, 1.0]),
    "cupy.ascontiguousarray(n)": lambda x, n: cupy.ascontiguousarray(n),
    "x[...] = n": lambda x, n: x.__setitem__(..., n),
    "x[0] = [1, 2, 3, 4]": lambda x, n: x.__setitem__(0, [1, 2, 3, 4]),
    "x[n > 0]": lambda x, n: x[n > 0],
    "x[0, np.array([0])]": lambda x, n: x[0, np.array([0])],
    "x.set(x)": lambda x, n: x.set(x),
    "x.get(out=x)": lambda x, n: x.get(out=x),
}


@pytest.mark.parametrize("mistake", MIXTURES.values(), ids=MIXTURES)
def test_host_and_device_do_not_mix(x, mistake):
    with pytest.raises(TypeError):
        mistake(x, np.ones((3, 4), np.float32))


def test_implicit_conversion_raises_cupys_own_words(x):
    with pytest.raises(
        TypeError,
        match=r"Implicit conversion to a NumPy array is not allowed. Please use `.get\(\)`",
    ):
        np.asarray(x)


def test_numbers_of_python_and_numpy_mix_with_arrays(x):
    np.testing.assert_array_equal((2 * x + np.float32(1)).get(), 2 * x.get() + 1)
    np.testing.assert_array_equal((np.float32(2) * x).get(), 2 * x.get())
    assert (x * 2.0).dtype == (np.float32(2) * x).dtype == np.float32
    assert (x * np.float64(2)).dtype == np.float64


def test_asarray_copies_from_the_host(stats):
    n = np.ones((2, 3), np.float32)
    x = cupy.asarray(n)
    n[...] = 7
    assert (stats("h2d"), stats("sync")) == (24, 0)
    assert x.get().tolist() == np.ones((2, 3)).tolist()


def test_asarray_of_an_array_of_the_device_is_itself(x):
    assert cupy.asarray(x) is x
    assert cupy.asarray(x, dtype="d").dtype == np.float64
    assert cupy.array(x) is not x


def test_copy_false_is_refused_where_a_copy_is_needed(x):
    with pytest.raises(ValueError, match="copy"):
        cupy.asarray(np.ones(3), copy=False)
    with pytest.raises(ValueError, match="copy"):
        cupy.asarray(x, dtype="d", copy=False)


def test_the_order_of_a_host_array_is_asked_for_or_kept():
    fortran = np.ones((2, 3), order="F")
    assert cupy.asarray(fortran).flags.f_contiguous
    assert cupy.asarray(fortran, order="C").flags.c_contiguous
    assert cupy.asarray(np.ones((2, 3, 4)).transpose(1, 0, 2)).flags.c_contiguous


def test_a_list_of_device_arrays_is_stacked_on_the_device(x, stats):
    assert cupy.array([x[0], x[1]]).shape == (2, 4)
    assert (stats("h2d"), stats("d2h")) == (0, 0)


def test_asnumpy_leaves_numpy_arrays_alone_and_copies_others(x, stats):
    n = np.ones(3)
    assert cupy.asnumpy(n) is n
    assert type(cupy.asnumpy(x)) is np.ndarray
    assert (stats("d2h"), stats("sync")) == (48, 1)


def test_get_array_module_knows_its_own(x):
    assert cupy.get_array_module(x) is cupy
    assert cupy.get_array_module(np.ones(3)) is np


def test_set_and_get_hold_shapes_and_dtypes_equal(x):
    x.set(np.full((3, 4), 5, np.float32))
    assert x[2, 3].item() == 5
    with pytest.raises(ValueError, match=r"expected the shape \(3, 4\), got \(4, 3\)"):
        x.set(np.ones((4, 3), np.float32))
    with pytest.raises(TypeError, match="float64"):
        x.get(out=np.ones((3, 4)))


def test_pickles_and_deep_copies_stay_on_the_device(x):
    for y in (copy.copy(x), copy.deepcopy(x), pickle.loads(pickle.dumps(x))):
        assert type(y) is cupy.ndarray
        assert y.data.ptr != x.data.ptr
        np.testing.assert_array_equal(y.get(), x.get())


# Names, keywords, dtypes


@pytest.mark.parametrize(
    "name",
    [
        "insert",
        "block",
        "geomspace",
        "errstate",
        "nditer",
        "ndenumerate",
        "longdouble",
        "unstack",
        "asmatrix",
    ],
)
def test_names_that_only_numpy_has_are_missing(name):
    assert hasattr(np, name)
    with pytest.raises(AttributeError, match=f"CuPy 14.2.0 has no attribute '{name}'"):
        getattr(cupy, name)


@pytest.mark.parametrize(
    "read",
    [
        lambda: cupy.fft,
        lambda: cupy.ElementwiseKernel,
        lambda: cupy.random.default_rng,
        lambda: cupy.cuda.Graph,
        lambda: cupy.ones(1).flat,
    ],
    ids=["fft", "ElementwiseKernel", "random.default_rng", "cuda.Graph", "ndarray.flat"],
)
def test_names_that_only_cupy_has_say_so(read):
    with pytest.raises(NotImplementedError, match="CuPy 14.2.0 has it, the stand-in does not"):
        read()


def test_names_that_nobody_has_are_attribute_errors(x):
    assert not hasattr(x, "numpy")
    assert not hasattr(cupy.cuda, "reset")
    assert not hasattr(cupy.random, "philox")


KEYWORDS = {
    "cupy.sum(where=)": lambda x: cupy.sum(x, where=x > 0),
    "cupy.mean(where=)": lambda x: cupy.mean(x, where=True),
    "x.sum(initial=)": lambda x: x.sum(initial=0),
    "x.max(initial=)": lambda x: x.max(initial=0),
    "x.item(0)": lambda x: x.item(0),
    "x.copy(subok=)": lambda x: x.copy(subok=True),
    "cupy.add(where=)": lambda x: cupy.add(x, x, where=x > 0),
    "cupy.exp(order=)": lambda x: cupy.exp(x, order="F"),
    "cupy.take(mode=)": lambda x: cupy.take(x, x, mode="clip"),
    "cupy.zeros(device=)": lambda x: cupy.zeros(3, device="cpu"),
}


@pytest.mark.parametrize("call", KEYWORDS.values(), ids=KEYWORDS)
def test_keywords_that_cupy_lacks_are_refused(x, call):
    with pytest.raises(TypeError):
        call(x)


@pytest.mark.parametrize("dtype", [object, "U3", "datetime64[s]", np.longdouble])
def test_dtypes_that_cupy_lacks_are_refused(dtype):
    with pytest.raises(ValueError, match="Unsupported dtype"):
        cupy.zeros(3, dtype)


def test_the_stand_ins_classes_have_no_public_names_that_cupys_lack():
    for path in (
        path
        for path in api.API
        if (path.startswith("cupy.") and path.rpartition(".")[2][0].isupper())
        or path == "cupy.ndarray"
    ):
        found = standin.modules.MODULES["cupy" if path.count(".") == 1 else path.rpartition(".")[0]]
        names = {
            name
            for name in dir(getattr(found, path.rpartition(".")[2]))
            if not name.startswith("_")
        }
        assert names <= api.API[path].keys(), path


def test_the_stand_ins_modules_have_no_names_that_cupys_lack():
    for path, module in standin.modules.MODULES.items():
        if path in api.API:
            names = {name for name in vars(module) if not name.startswith("_")}
            assert names <= api.API[path].keys(), path


def test_the_table_of_names_is_that_of_the_installed_cupy():
    versions = {
        distribution.metadata["Name"]: distribution.version
        for distribution in importlib.metadata.distributions()
    }
    found = [versions[name] for name in CUPYS if name in versions]
    if api.VERSION not in found:
        pytest.skip(
            f"cupy_api.json is of CuPy {api.VERSION}; installed here: {', '.join(found) or 'none'}"
        )
    dumped = python(FOLDER / "dump_api.py")
    assert dumped.returncode == 0, dumped.stderr
    assert json.loads(dumped.stdout) == api.API


# Installing


def test_installed_it_is_what_import_finds_and_removed_it_leaves_nothing():
    program = """if True:
        import importlib.util, sys
        import standin
        before = set(sys.modules)
        with standin.install() as installed:
            import cupy, cupy.cuda.nvtx, cupy.linalg
            from cupy.cuda import Device, runtime
            assert cupy is installed and importlib.util.find_spec("cupy") is not None
            for name in ("cupyx", "cupy.fft"):
                try:
                    __import__(name)
                except ImportError:
                    continue
                sys.exit(f"{name} was imported")
        print(set(sys.modules) - before)
    """
    result = python("-c", program)
    assert (result.stdout, result.stderr) == ("set()\n", "")


@pytest.mark.parametrize("first", ["standin.install()", "sys.modules['cupy'] = sys"])
def test_it_is_not_installed_over_a_cupy(first):
    result = python("-c", f"import sys, standin; {first}; standin.install()")
    assert (
        "imported already. Call standin.install() once, before anything imports cupy."
        in result.stderr
    )


def test_a_script_runs_with_it_in_the_place_of_cupy(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import sys, cupy, neighbour\nprint(cupy.ones(3).sum(), sys.argv[1:], __name__, neighbour.NAME, 'arrays' in sys.modules)\n"
    )
    (tmp_path / "neighbour.py").write_text("NAME = 'mine'\n")
    result = python(FOLDER, script, "--device", "cuda")
    assert (result.stdout, result.stderr) == ("3.0 ['--device', 'cuda'] __main__ mine False\n", "")


def test_a_module_runs_with_it_too(tmp_path):
    (tmp_path / "program.py").write_text(
        "import sys, cupy\nprint(cupy.ones(3).sum(), sys.argv[1:])\n"
    )
    result = python(FOLDER, "-m", "program", "x", PYTHONPATH=str(tmp_path))
    assert (result.stdout, result.stderr) == ("3.0 ['x']\n", "")


def test_without_a_script_it_says_how_it_is_used():
    result = python(FOLDER)
    assert result.returncode != 0
    assert result.stderr.startswith("usage: python tests/standin SCRIPT")
