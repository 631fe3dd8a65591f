import json
import os
import pickle
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from fastmel.kernels import jit as jit_module
from fastmel.kernels.jit import CacheWarning, cache_directory, jit, simd_width

is_x86 = "x86_64" in jit_module._TARGET[0]

#: A program whose kernels close over numbers, tuples, intrinsics and kernels, and name others.
PROGRAM = """
import json, resource, sys
import numpy as np
from numba import types
from numba.extending import intrinsic
from fastmel.kernels import jit as cache
from fastmel.kernels.jit import jit

def make_adder(n):
    @intrinsic
    def add(typing_context, x):
        def emit(context, builder, signature, args):
            return builder.fadd(args[0], context.get_constant(types.float32, n))
        return types.float32(types.float32), emit
    return add

add_five = make_adder(5)

@jit
def double(x):
    return x * np.float32(2)

def make(n, weights):
    add = make_adder(n)
    @jit
    def identity(x):
        return x + np.float32(weights[0])
    @jit
    def kernel(samples, out):
        for i in range(samples.size):
            out[i] = identity(add_five(add(double(samples[i]))))
    return kernel

def main(*numbers):
    samples = np.array([1, 10], np.float32)
    out = np.empty_like(samples)
    hits = misses = 0
    for n in numbers:
        kernel = make(n, (0, 1))
        kernel(samples, out)
        assert out.tolist() == [2 + n + 5, 20 + n + 5], (n, out)
        hits += kernel.stats.cache_hits.total()
        misses += kernel.stats.cache_misses.total()
    print(json.dumps([hits, misses, str(cache.cache_directory()), cache.simd_width()]))
"""


@pytest.fixture
def program(tmp_path):
    """Return a function that runs the program's kernels for some numbers in a new process."""
    (tmp_path / "program.py").write_text(PROGRAM)
    root = tmp_path / "cache"

    def run(*numbers, before="pass", warnings=0, wait=True, **env):
        # Somebody may be editing the package while its tests run: hold its edition fixed.
        edition = "import fastmel.kernels.jit as cache; cache._SOURCES = 'tested'"
        command = f"{edition}\nimport program\n{before}\nprogram.main(*{numbers})"
        env = {"FASTMEL_CACHE_DIR": str(root), "PYTHONPATH": str(tmp_path), **env}
        process = subprocess.Popen(
            [sys.executable, "-c", command],
            env={k: v for k, v in (os.environ | env).items() if v is not None},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

        def result():
            try:
                out, err = process.communicate(timeout=60)
            finally:
                process.kill()
            assert process.returncode == 0, err
            assert err.count("CacheWarning: ") == warnings, err
            assert err.count("Warning") == warnings, err
            return json.loads(out)

        return result() if wait else result

    run.root = root
    return run


def files(root):
    return sorted(path for path in root.rglob("*") if path.is_file())


def test_a_new_process_finds_what_another_compiled(program):
    hits, misses, directory, _ = program(3, 4)
    assert (hits, misses) == (0, 2)
    assert Path(directory).parent == program.root
    stored = files(program.root)
    assert program(4, 3)[:2] == [2, 0]
    assert program(5, 3)[:2] == [1, 1]
    assert set(stored) < set(files(program.root))


def test_kernels_of_different_processes_do_not_mix(program, tmp_path):
    # Too much code to be put in line, or no symbol would be shared.
    statements = "\n".join(
        f"        a = np.sin(a) * np.float32({i}) if a > np.float32({i}) else np.cos(a + x[{i}])"
        for i in range(50)
    )
    (tmp_path / "program.py").write_text(f"""
import numpy as np
from fastmel.kernels.jit import jit

def make(n):
    @jit
    def part(x, out):
        a = x[0]
{statements}
        out[0] = a
        out[1] = np.float32(n)
    @jit
    def kernel(x, out):
        part(x, out)
        part(out, x)
    return kernel

def main(*numbers):
    for n in numbers:
        out = np.ones(60, np.float32)
        make(n)(np.ones(60, np.float32), out)
        assert out[1] == n, (n, out[1])
    print("[]")
""")
    for numbers in ([1], [2], [3, 1, 2]):
        program(*numbers)


def test_eight_cold_processes_at_once(program, tmp_path):
    before = f"""
import os, time
os.chdir({str(tmp_path)!r})
open(f"ready-{{os.getpid()}}", "w").close()
while not os.path.exists("go"):
    time.sleep(0.01)
"""
    results = [program(3, before=before, wait=False) for _ in range(8)]
    deadline = time.monotonic() + 60
    while len(list(tmp_path.glob("ready-*"))) < 8 and time.monotonic() < deadline:
        time.sleep(0.01)
    (tmp_path / "go").touch()
    assert all(sum(result()[:2]) == 1 for result in results)
    assert program(3)[:2] == [1, 0]
    assert {len(path.name) for path in files(program.root)} == {40}, "a draft was left behind"


@pytest.mark.skipif(not is_x86, reason="names CPUs of one architecture")
def test_cpus_share_a_root_but_no_code(program):
    program(3)
    generic = program(3, NUMBA_CPU_NAME="generic")
    assert generic[:2] == [0, 1]
    assert generic[3] == 4
    assert program(3, NUMBA_CPU_NAME="generic")[:2] == [1, 0]
    assert program(3)[:2] == [1, 0]


def test_switched_off(program):
    assert program(3, FASTMEL_CACHE="0")[:3] == [0, 1, "None"]
    assert files(program.root) == []


def test_home_cannot_be_written(program, tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "tmp").mkdir()
    env = {
        "FASTMEL_CACHE_DIR": None,
        "XDG_CACHE_HOME": str(tmp_path / "file/below"),
        "HOME": str(tmp_path / "file/below"),
        "TMPDIR": str(tmp_path / "tmp"),
    }
    assert program(3, **env)[:2] == [0, 1]
    assert program(3, **env)[:2] == [1, 0]
    (root,) = (tmp_path / "tmp").iterdir()
    assert root.stat().st_mode & 0o777 == 0o700


def test_nothing_can_be_written(program, tmp_path):
    (tmp_path / "file").touch()
    for place in (tmp_path / "file", tmp_path / "file/below"):
        result = program(3, 4, warnings=1, FASTMEL_CACHE_DIR=str(place))
        assert result[:3] == [0, 2, "None"]


def test_full_disk_is_read_and_costs_one_warning_at_most(program):
    full = "program.resource.setrlimit(program.resource.RLIMIT_FSIZE, (0, 0))"
    assert program(3, 4, before=full, warnings=1)[:2] == [0, 2]
    assert files(program.root) == []
    program(3)
    assert program(3, before=full)[:2] == [1, 0]
    assert program(3, 4, 5, before=full, warnings=1)[:2] == [1, 2]


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("FASTMEL_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("FASTMEL_CACHE", raising=False)
    monkeypatch.setattr(jit_module, "_has_warned", False)
    return tmp_path / "cache"


def make(n):
    @jit
    def kernel(x):
        return x + n

    return kernel


def call(n):
    """Make the kernel anew, call it, and tell whether it came from the cache."""
    kernel = make(n)
    assert kernel(100) == 100 + n
    return bool(kernel.stats.cache_hits)


DAMAGE = {
    "empty": lambda data: b"",
    "one byte": lambda data: data[:1],
    "half a seal": lambda data: data[:16],
    "a seal": lambda data: data[:32],
    "a seal and a byte": lambda data: data[:33],
    "half": lambda data: data[: len(data) // 2],
    "all but a byte": lambda data: data[:-1],
    "a byte more": lambda data: data + b"\0",
    "a bit": lambda data: data[:5000] + bytes([data[5000] ^ 1]) + data[5001:],
    "zeros": lambda data: bytes(len(data)),
    "text": lambda data: b"garbage\n" * 1000,
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_damaged_file_is_compiled_again(root, damage):
    assert not call(1)
    assert call(1)
    (path,) = files(root)
    path.write_bytes(damage(path.read_bytes()))
    assert not call(1)
    assert call(1)


def test_whole_file_that_numba_cannot_use(root):
    call(1)
    (path,) = files(root)
    jit_module._write(path.parent, path.name, pickle.dumps((1, 2, 3)))
    assert not call(1)
    assert call(1)


def test_code_that_cannot_be_written_down(root, monkeypatch):
    def fail(parts):
        raise pickle.PicklingError("no")

    monkeypatch.setattr(jit_module, "dumps", fail)
    with pytest.warns(CacheWarning, match=r"\(no\), so every new process compiles them again"):
        assert not call(1)


def test_file_under_the_name_of_another_is_not_loaded(root):
    call(1)
    (first,) = files(root)
    call(2)
    (second,) = set(files(root)) - {first}
    second.write_bytes(first.read_bytes())
    assert not call(2)


def test_file_replaced_by_a_directory(root):
    call(1)
    (path,) = files(root)
    path.unlink()
    path.mkdir()
    with pytest.warns(CacheWarning, match="set FASTMEL_CACHE_DIR to"):
        assert not call(1)
    assert not call(1), "the second failure is silent"


@pytest.mark.skipif(os.name == "nt", reason="permissions are not in the mode there")
@pytest.mark.parametrize("depth", [0, 1])
def test_directory_that_others_can_write_to_is_not_used(root, depth):
    call(1)
    (path,) = files(root)
    path.parents[depth].chmod(0o777)
    with pytest.warns(CacheWarning, match="others can write to it"):
        assert not call(1)
    assert cache_directory() is None


def test_settings_that_change_the_code_are_told_apart(root, monkeypatch):
    call(1)
    monkeypatch.setattr("numba.core.config.BOUNDSCHECK", 1)
    assert not call(1)


def test_sources_are_told_apart(tmp_path, monkeypatch):
    (tmp_path / "kernels").mkdir()
    monkeypatch.setattr(jit_module, "__file__", str(tmp_path / "kernels/jit.py"))
    seen = {jit_module._hash_sources()}
    for name, text in [("a.py", ""), ("a.py", "x"), ("b.py", "x")]:
        (tmp_path / "kernels" / name).write_text(text)
        seen.add(jit_module._hash_sources())
    assert len(seen) == 4


def test_long_unused_directories_are_removed(root):
    long_ago = time.time() - 91 * 86400
    old, recent, foreign = (
        root / name
        for name in ("nb0.1-llvm1-py311-cpu-w4-0123", "nb0.2-llvm1-py311-cpu-w4-0123", "music")
    )
    for directory in (old, recent, foreign):
        directory.mkdir(parents=True)
        if directory is not recent:
            os.utime(directory, (long_ago, long_ago))
    call(1)
    assert not old.exists()
    assert recent.exists()
    assert foreign.exists()
    current = cache_directory()
    os.utime(current, (long_ago, long_ago))
    call(1)
    assert current.stat().st_mtime > long_ago, "reading counts as use"


def test_closures_are_told_apart():
    def close_over(value):
        def function():
            return value

        return jit_module.identify(function)

    values = (1, 1.0, True, "1", None, (1,), ((1,),), (1, 1), np.float32(1), np.dtype("f4"))
    functions = (np.float32, make(1), make(2), jit(lambda x: x), jit(lambda x: x + 1))
    seen = {close_over(value) for value in (*values, *functions)}
    assert len(seen) == len(values) + len(functions)
    assert close_over(make(1)) == close_over(make(1))


def test_functions_of_one_name_are_told_apart():
    for n in (1, 2):
        if n == 1:

            @jit
            def kernel(x):
                return x + 1
        else:

            @jit
            def kernel(x):
                return x + 2

        assert kernel(0) == n


def test_closures_without_a_lasting_name_are_refused():
    table = [1, 2]

    def function(i):
        return table[i]

    with pytest.raises(TypeError, match=r"cannot close over \[1, 2\]"):
        jit(function)


def test_fast_math_keeps_nan_and_can_be_switched_off():
    def rounded(x):
        return (x + np.float32(1e8)) - np.float32(1e8)

    assert jit(rounded)(np.float32(1)) == 1
    assert jit(fastmath=False)(rounded)(np.float32(1)) == 0
    assert np.isnan(jit(lambda x: x - x)(np.float32("nan")))
    assert np.isinf(jit(lambda x: np.float32(1) / x)(np.float32(0)))


@pytest.mark.skipif(not is_x86, reason="names CPUs of one architecture")
@pytest.mark.parametrize(
    ("cpu", "lanes"),
    [
        ("generic", 4),
        ("sandybridge", 4),
        ("haswell", 8),
        ("knl", 8),
        ("znver3", 8),
        ("skylake-avx512", 16),
    ],
)
def test_simd_width(cpu, lanes, monkeypatch):
    monkeypatch.setattr(jit_module, "_TARGET", (jit_module._TARGET[0], cpu, ""))
    assert simd_width.__wrapped__() == lanes
