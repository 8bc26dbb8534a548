"""`tinyalex emulate` and the pytest plugin, with programs that do not use tinyalex."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.cuda

REPOSITORY = Path(__file__).resolve().parent.parent

ELEMENTWISE = """
import cupy
x = cupy.arange(1000, dtype="f")
y = 2 * x + 1
print(int(y.get().sum()))
"""

RAW_KERNEL = """
import cupy, numpy
code = 'extern "C" __global__ void saxpy(float a, const float* x, float* y, int n) {' \\
       ' int i = blockIdx.x * blockDim.x + threadIdx.x; if (i < n) y[i] += a * x[i]; }'
saxpy = cupy.RawKernel(code, "saxpy")
x, y = (cupy.asarray(numpy.ones(1000, "f")) for _ in range(2))
for _ in range(3):
    saxpy((8,), (128,), (numpy.float32(2), x, y, numpy.int32(1000)))
cupy.cuda.Device().synchronize()
print(set(y.get().tolist()))
"""

REDUCTION = """
import cupy, numpy
code = '''
extern "C" __global__ void block_sum(const double* x, double* y) {
  __shared__ double s[256];
  const int t = threadIdx.x;
  s[t] = x[blockIdx.x * 256 + t];
  for (int half = 128; half; half /= 2) {
    __syncthreads();
    if (t < half) s[t] += s[t + half];
  }
  if (t == 0) y[blockIdx.x] = s[0];
}'''
block_sum = cupy.RawModule(code=code).get_function("block_sum")
x = cupy.asarray(numpy.arange(65536.0))
y, z = cupy.empty(256), cupy.empty(1)
block_sum((256,), (256,), (x, y))
block_sum((1,), (256,), (y, z))
print(z.item() == 65535 * 65536 / 2)
"""

# The program, its output, the report's lines. CuPy's pool rounds sizes up to 512 bytes.
PROGRAMS = {
    "elementwise": (
        ELEMENTWISE,
        "1000000",
        [
            "2 emulated GPUs of compute capability 9.0, used by 1 process",
            "launches          3 of 3 kernels",
            "GEMMs             0",
            "copies            4,000 bytes to the host",
            "peak memory       12,288 bytes on cuda:0",
        ],
    ),
    "raw kernel": (
        RAW_KERNEL,
        "{7.0}",
        [
            "launches          3 of 1 kernels",
            "  3  saxpy",
            "copies            8,000 bytes to the GPU, 4,000 bytes to the host",
            "synchronisations  2",
            "  1  program.py:9",
            "  1  program.py:10",  # the copy waits, CuPy's wait after it has no work
            "peak memory       8,192 bytes on cuda:0",
        ],
    ),
    "reduction": (
        REDUCTION,
        "True",
        [
            "launches          2 of 1 kernels",
            "  2  block_sum",
            "copies            524,288 bytes to the GPU, 8 bytes to the host",
            "peak memory       526,848 bytes on cuda:0",
        ],
    ),
}


@pytest.fixture
def emulate(tmp_path, monkeypatch):
    """emulate(*arguments): run `python -m tinyalex.emulator` in an empty folder.

    CuPy's cache is empty, so that the number of compiled modules is known; g++'s
    results are cached.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    monkeypatch.setenv("CUPY_CACHE_DIR", str(tmp_path / "cupy"))

    def run(*arguments, stdin="", command=("-m", "tinyalex.emulator")):
        return subprocess.run(
            [sys.executable, *command, *map(str, arguments)],
            input=stdin,
            capture_output=True,
            text=True,
        )

    return run


@pytest.fixture
def script(tmp_path):
    """script(code): the path of a program."""

    def write(code, name="program.py"):
        path = tmp_path / "folder" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(code)
        return path

    return write


def last_lines(result):
    """The report, with names of files without their folders."""
    return [re.sub(r"  \S+/", "  ", line) for line in result.stderr.splitlines()[-30:]]


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_runs_and_its_report_adds_up(emulate, script, name):
    code, output, lines = PROGRAMS[name]
    result = emulate(script(code))
    assert (result.returncode, result.stdout) == (0, f"{output}\n"), result.stderr
    assert [line for line in lines if line not in last_lines(result)] == [], result.stderr


def test_tinyalex_emulate_is_the_same_command(emulate, script):
    result = emulate("emulate", script(ELEMENTWISE), command=("-m", "tinyalex"))
    assert result.stdout == "1000000\n"
    assert "launches          3 of 3 kernels" in last_lines(result)


SUBPROCESSES = """
import subprocess, sys
import cupy
x = cupy.ones((64, 64), "f")
x @ x
if len(sys.argv) == 1:
    for i in "12":
        subprocess.run([sys.executable, __file__, i], check=True)
"""

POOL = """
import multiprocessing, sys

def work(n):
    import cupy
    return float(cupy.ones(n).sum())

if __name__ == "__main__":
    for method in ("fork", "spawn"):
        process = multiprocessing.get_context(method).Process(target=work, args=(5,))
        process.start()
        process.join()
        assert process.exitcode == 0
"""


def test_subprocesses_are_emulated_and_counted(emulate, script):
    result = emulate(script(SUBPROCESSES))
    assert result.returncode == 0, result.stderr
    assert "2 emulated GPUs of compute capability 9.0, used by 3 processes" in last_lines(result)
    assert "GEMMs             3" in last_lines(result)
    assert "peak memory       32,768 bytes on cuda:0" in last_lines(result)  # of one process


def test_processes_of_multiprocessing_are_emulated_and_counted(emulate, script):
    result = emulate(script(POOL))
    assert result.returncode == 0, result.stderr
    assert "2 emulated GPUs of compute capability 9.0, used by 2 processes" in last_lines(result)
    assert "  2  cupy_sum" in last_lines(result)


# Arguments, input, status

ECHO = """
import sys, helper
print(sys.argv[1:], sys.argv[0] == __file__, input(), helper.NAME, __name__)
sys.exit(3)
"""


def test_a_script_has_its_arguments_input_siblings_and_status(emulate, script):
    script("NAME = 'a sibling'", "helper.py")
    arguments = ["--epochs", "1", "-m", "x", "--lazy", "--", "-h"]
    result = emulate(script(ECHO), *arguments, stdin="a line\n")
    assert result.stdout == f"{arguments} True a line a sibling __main__\n"
    assert result.returncode == 3
    assert "no process used CuPy" in result.stderr


def test_a_double_hyphen_ends_the_options(emulate, script):
    result = emulate("--devices", 1, "--", script("import sys; print(sys.argv[1:])"), "--", "a")
    assert result.stdout == "['--', 'a']\n"


def test_a_module_runs_as_with_python_m(emulate, tmp_path):
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "tool.py").write_text(
        "import sys, cupy; print(sys.argv[1:], __name__, float(cupy.ones(5).sum()))"
    )
    result = emulate("--devices", 1, "-m", "package.tool", "a", "--lazy")
    assert result.stdout == "['a', '--lazy'] __main__ 5.0\n"
    assert "1 emulated GPU of compute capability 9.0, used by 1 process" in last_lines(result)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.py"], "no file 'missing.py', expected a Python program."),
        ([], "expected a Python program, as in `tinyalex emulate train.py --epochs 1`."),
        (["--devices", "-1", "{script}"], "expected devices >= 0"),
        (["--capability", "5.0", "{script}"], "10.0, 12.0, got '5.0'."),
    ],
)
def test_a_wrong_command_is_named(emulate, script, arguments, message):
    result = emulate(*[word.format(script=script("")) for word in arguments])
    assert result.returncode == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_an_exception_ends_with_its_traceback_and_the_report(emulate, script):
    result = emulate(script("import cupy\ncupy.ones(3).sum()\nraise KeyError('why')"))
    assert result.returncode == 1
    assert "KeyError: 'why'" in result.stderr
    assert "launches          2 of 2 kernels" in last_lines(result)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_signal_becomes_the_status(emulate, script, number):
    result = emulate(script(f"import os; os.kill(os.getpid(), {int(number)})"))
    assert result.returncode == 128 + number
    assert "no process used CuPy" in result.stderr


def test_an_interrupt_is_the_programs_to_handle(emulate, script):
    code = """if True:
        import signal, time, cupy
        signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in background jobs
        cupy.ones(3)
        try:
            print("ready", flush=True)
            time.sleep(60)
        except KeyboardInterrupt:
            print("interrupted")"""
    process = subprocess.Popen(
        [sys.executable, "-m", "tinyalex.emulator", script(code)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    assert process.stdout.readline() == "ready\n"
    os.killpg(process.pid, signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert (process.returncode, output) == (0, "interrupted\n")
    assert "launches          1 of 1 kernels" in errors


def test_options_are_the_settings_of_the_program(emulate, script):
    code = """if True:
        import os, cupy
        device = cupy.cuda.Device()
        print(cupy.cuda.runtime.getDeviceCount(), device.compute_capability, device.mem_info[1])
        print(*sorted(name + "=" + value for name, value in os.environ.items()
              if name.startswith("TINYALEX_EMULATOR_") and "REPORTS" not in name))"""
    options = "--devices 3 --capability 8.6 --memory-gib 0.5 --order 7 --lazy --no-pool --check"
    result = emulate(*options.split(), script(code))
    gpus, variables = result.stdout.splitlines()
    assert gpus == f"3 86 {1 << 29}"
    assert variables.replace("TINYALEX_EMULATOR_", "") == (
        "CAPABILITY=8.6 CHECK=1 DEVICES=3 LAZY=1 MEMORY_GIB=0.5 ORDER=7 POOL=0"
    )
    assert "3 emulated GPUs of compute capability 8.6, used by 1 process" in last_lines(result)


def test_another_sitecustomize_still_runs(emulate, script, tmp_path, monkeypatch):
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text("print('the user was here')")
    paths = os.pathsep.join([str(tmp_path / "site"), str(REPOSITORY)])
    monkeypatch.setenv("PYTHONPATH", paths)
    result = emulate(script("import cupy; print(float(cupy.ones(3).sum()))"))
    assert result.stdout.splitlines()[-2:] == ["the user was here", "3.0"]


# The pytest plugin

ENDING = """if True:
    import atexit
    atexit.register(lambda: print(float(x.sum())))  # before the import of CuPy
    import cupy
    x = cupy.ones(4)"""

KILLED = """if True:
    import os, cupy
    cupy.ones(4)
    os._exit(0)"""

INTERRUPTED = """if True:
    import os, signal, threading
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in background jobs
    import cupy
    x = cupy.ones(1000)
    threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
    try:
        while True:
            x += 1
    except KeyboardInterrupt:
        print("interrupted", float((x * 0).sum()))"""


def test_the_gpu_works_until_the_end_of_the_process(emulate, script):
    result = emulate(script(ENDING))
    assert (result.returncode, result.stdout) == (0, "4.0\n"), result.stderr


def test_a_process_that_does_not_end_normally_is_named(emulate, script):
    result = emulate(script(KILLED))
    assert "used by 1 process, of which 1 ended without reporting counts" in result.stderr


def test_a_launch_can_be_interrupted(emulate, script):
    result = emulate(script(INTERRUPTED))
    assert (result.returncode, result.stdout) == (0, "interrupted 0.0\n"), result.stderr


TESTS = """
import subprocess, sys
import pytest

@pytest.fixture(autouse=True)
def work():
    import cupy
    cupy.ones(4).sum()

def test_counts_begin_with_the_test(gpu_statistics):
    import cupy
    before = gpu_statistics().launches.total()
    x = cupy.ones(4)
    x + x
    assert gpu_statistics().launches.total() == before + 2
    assert gpu_statistics().launches["cupy_sum"] <= 1

def test_again(gpu_statistics):
    assert gpu_statistics().launches["cupy_sum"] <= 1

def test_processes_are_emulated():
    subprocess.run([sys.executable, "-c", "import cupy; cupy.ones(3)"], check=True)

def test_fails():
    import cupy
    assert cupy.arange(3).tolist() == [0, 1]
"""


def test_the_pytest_plugin_runs_tests_on_emulated_gpus(emulate, tmp_path):
    (tmp_path / "test_it.py").write_text(TESTS)
    command = ("-m", "pytest", "-p", "tinyalex.emulator.pytest_plugin", "-p", "no:cacheprovider")
    result = emulate("test_it.py", command=command)
    assert "emulated GPUs: Settings(devices=2, memory_gib=8.0, capability='9.0'" in result.stdout
    assert "1 failed, 3 passed" in result.stdout, result.stdout
