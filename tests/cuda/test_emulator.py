"""The emulated GPU: what it computes is right, and what no GPU forgives, it does not, either."""

import re
from collections import Counter

import numpy as np
import pytest
from emulator import driver
from emulator.ptx import Kernel
from numba.cuda import libdevice

import fastmel
from fastmel.engines import cuda

pytestmark = [
    pytest.mark.skipif(driver is None, reason="set EMULATED_GPU=1"),
    pytest.mark.filterwarnings("ignore:Grid size"),
]

N = 64


@pytest.fixture
def violations():
    """Run something that the emulator refuses; what it says."""

    def of(call):
        with pytest.raises(Exception, match="LAUNCH_FAILED"):  # noqa: PT012
            call()
            cuda.cuda.synchronize()  # launches do not wait
        return str(driver.failures.pop())

    return of


def launched(function, *arrays):
    """Run a function on a block of N threads; what it leaves in the last array."""
    there = [cuda.cuda.to_device(array) for array in arrays]
    cuda.kernel(N)(function)[1, N](*there)
    return there[-1].copy_to_host()


OPERATIONS = {
    "sum": (lambda a, b: a + b, "i4 i8 u4 f4"),
    "difference": (lambda a, b: a - b, "i4 i8 u4 f4"),
    "product": (lambda a, b: a * b, "i4 i8 u4 f4"),
    "sum of products": (lambda a, b: a * b + a, "i4 f4"),
    "quotient": (lambda a, b: a // b, "u4"),
    "remainder": (lambda a, b: a % b, "u4"),
    "smaller": (lambda a, b: min(a, b), "i4 i8 u4 f4"),
    "larger": (lambda a, b: max(a, b), "i4 i8 u4 f4"),
    "magnitude": (lambda a, b: abs(a), "i4 i8 f4"),
    "bits": (lambda a, b: (a & b) | (a ^ ~b), "i4 i8 u4"),
    "shifts": (lambda a, b: (a << 3) + (b >> 2), "i4 i8 u4"),
    "choice": (lambda a, b: a if a < b else -b, "i4 i8 f4"),
}


@pytest.mark.parametrize(
    ("name", "dtype"), [(name, d) for name, (_, ds) in OPERATIONS.items() for d in ds.split()]
)
def test_operations_are_numpy_s(rng, name, dtype):
    operation = OPERATIONS[name][0]
    compute = cuda.device(operation)

    def kernel(a, b, out):
        i = cuda.cuda.threadIdx.x
        out[i] = compute(a[i], b[i])

    values = (
        rng.integers(-(10**6), 10**6, (2, N)) if dtype != "u4" else rng.integers(1, 10**6, (2, N))
    )
    a, b = values.astype(dtype)
    if dtype == "f4":
        a, b = rng.standard_normal((2, N)).astype(dtype)
    with np.errstate(over="ignore"):
        expected = np.array([operation(x, y) for x, y in zip(a, b, strict=True)])
    found = launched(kernel, a, b, np.zeros(N, dtype))
    if dtype == "f4":
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-7)
    else:
        np.testing.assert_array_equal(found, expected.astype(dtype))


APPROXIMATIONS = {
    "lg2": (libdevice.fast_log2f, np.log2, (0.51, 1.99), lambda right: 2.0**-22),
    "lg2 elsewhere": (libdevice.fast_log2f, np.log2, (2.0, 99.0), lambda right: 2.0**-22 * right),
    "ex2": (libdevice.fast_expf, np.exp2, (-2.0, 3.0), lambda right: 2.0**-22 * right),
}


@pytest.mark.parametrize("name", APPROXIMATIONS)
def test_approximations_are_as_wrong_as_they_may_be(rng, name):
    operation, exact, (low, high), limit = APPROXIMATIONS[name]

    def kernel(x, out):
        i = cuda.cuda.threadIdx.x
        out[i] = operation(x[i])

    x = rng.uniform(low, high, N).astype(np.float32)
    found = launched(kernel, x, np.zeros(N, np.float32))
    if name == "ex2":  # of a product
        x = x * np.float32(1.4426950216293335)
    right = exact(x.astype(np.float64))
    errors = (found - right) / limit(right)
    assert (np.abs(errors) <= 1).all()
    assert errors.min() < -0.6
    assert errors.max() > 0.6


def test_threads_that_part_meet_again():
    def kernel(out):
        i = cuda.cuda.threadIdx.x
        total = 0
        for k in range(i):
            if k & 1:
                total += k
        out[i] = total

    expected = [sum(k for k in range(i) if k & 1) for i in range(N)]
    np.testing.assert_array_equal(launched(kernel, np.zeros(N, np.int64)), expected)


def test_addresses_outside_of_what_is_allocated(violations):
    def kernel(out):
        out[cuda.cuda.threadIdx.x + N - 3] = 1

    assert "not allocated" in violations(lambda: launched(kernel, np.zeros(N, np.float32)))


def test_values_of_which_a_part_is_outside(violations):
    class Array:
        shape, dtype = (1,), np.float32

    there, wide = cuda.cuda.to_device(np.zeros(5, np.uint8)), Array()
    wide.__cuda_array_interface__ = there.__cuda_array_interface__ | {
        "shape": (2,), "typestr": "<f4", "strides": None
    }  # fmt: skip

    def kernel(out):
        out[1] = 1

    array = cuda.cuda.as_cuda_array(wide)
    assert "not allocated" in violations(lambda: cuda.kernel(1)(kernel)[1, 1](array))


def test_addresses_that_are_not_aligned(violations):
    class Array:
        __cuda_array_interface__ = None

    there, odd = cuda.cuda.to_device(np.zeros(N + 1, np.float32)), Array()
    interface = there.__cuda_array_interface__
    odd.__cuda_array_interface__ = interface | {
        "shape": (N,), "data": (interface["data"][0] + 2, False)
    }  # fmt: skip

    def kernel(out):
        out[cuda.cuda.threadIdx.x] = 1

    assert "not aligned" in violations(
        lambda: cuda.kernel(N)(kernel)[1, N](cuda.cuda.as_cuda_array(odd))
    )


def test_what_a_failure_has_cost_is_not_done_later(violations):
    def kernel(out):
        out[cuda.cuda.threadIdx.x + N] = 1

    there, fetched = cuda.cuda.to_device(np.zeros(N, np.float32)), np.full(N, 7, np.float32)

    def call():
        cuda.kernel(N)(kernel)[1, N](there)
        there.copy_to_host(fetched)

    violations(call)
    cuda.cuda.synchronize()
    assert (fetched == 7).all()


def test_a_kernel_that_fails_is_told_in_a_sentence(rng, monkeypatch):
    transform = fastmel.frontend("whisper", engine="cuda")
    y = rng.standard_normal(4000).astype(np.float32)
    expected = transform(y)

    def fail(*launch):
        raise ArithmeticError("the GPU is on fire")

    with monkeypatch.context() as patch:
        patch.setattr(driver, "run", fail)
        for given in (y, cuda.cuda.to_device(y)):
            with pytest.raises(
                RuntimeError, match=r"GPU failed \(CUDA_ERROR_LAUNCH_FAILED\), .* new"
            ):
                transform([given, given])[0].copy_to_host()
    driver.failures.clear()
    np.testing.assert_array_equal(transform(y), expected)


def test_kernels_that_numba_hides_are_launched_by_it(rng, monkeypatch):
    transform = fastmel.frontend("nemo", engine="cuda")
    y = rng.standard_normal((2, 9000)).astype(np.float32)
    expected = transform(y)
    monkeypatch.setattr(cuda, "_function", lambda *kernel: None)
    np.testing.assert_array_equal(transform(y), expected)
    there = cuda.cuda.to_device(y)
    np.testing.assert_array_equal(transform(there).copy_to_host(), expected)


def test_what_two_threads_use_with_no_barrier_between_them(violations):
    def kernel(out):
        shared = cuda.cuda.shared.array(N, np.float32)
        i = cuda.cuda.threadIdx.x
        shared[i] = i
        out[i] = shared[N - 1 - i]

    def ordered(out):
        shared = cuda.cuda.shared.array(N, np.float32)
        i = cuda.cuda.threadIdx.x
        shared[i] = i
        cuda.cuda.syncthreads()
        out[i] = shared[N - 1 - i]

    out = np.zeros(N, np.float32)
    assert "read beside a write" in violations(lambda: launched(kernel, out))
    np.testing.assert_array_equal(launched(ordered, out), np.arange(N)[::-1])


def test_blocks_that_use_what_others_write(violations):
    def kernel(out):
        i = cuda.cuda.threadIdx.x
        out[i] = cuda.cuda.blockIdx.x

    out = cuda.cuda.to_device(np.zeros(N, np.float32))
    assert "written beside" in violations(lambda: cuda.kernel(N)(kernel)[3, N](out))


def test_blocks_of_more_threads_than_the_kernel_is_compiled_for():
    def kernel(out):
        out[cuda.cuda.threadIdx.x] = 1

    there = cuda.cuda.to_device(np.zeros(N, np.float32))
    with pytest.raises(Exception, match="INVALID_VALUE"):
        cuda.kernel(N // 2)(kernel)[1, N](there)


@pytest.mark.parametrize(
    ("grid", "block"), [((1, 1 << 16), N), ((1, 1, 1 << 16), N), (1, (1, 1, 128))]
)
def test_grids_and_blocks_beyond_the_limits(grid, block):
    with pytest.raises(Exception, match="INVALID_VALUE"):
        cuda.kernel(1024)(lambda out: None)[grid, block](cuda.cuda.to_device(np.zeros(1)))


def test_threads_of_a_block_that_wait_at_different_barriers(violations):
    def kernel(out):
        i = cuda.cuda.threadIdx.x
        if i < N // 2:
            out[i] = 1
            cuda.cuda.syncthreads()
        else:
            cuda.cuda.syncthreads()
            out[i] = 2

    assert "two barriers" in violations(lambda: launched(kernel, np.zeros(N, np.float32)))


def test_barriers_that_threads_do_not_reach_which_have_ended():
    def kernel(out):
        i = cuda.cuda.threadIdx.x
        if i >= N // 2:
            return
        cuda.cuda.syncthreads()
        out[i] = 1

    expected = np.arange(N) < N // 2
    np.testing.assert_array_equal(launched(kernel, np.zeros(N, np.float32)), expected)


def test_shared_memory_that_nobody_has_written(violations):
    def kernel(out):
        shared = cuda.cuda.shared.array(N, np.float32)
        i = cuda.cuda.threadIdx.x
        if i < N - 1:
            shared[i] = 1
        cuda.cuda.syncthreads()
        out[i] = shared[i]

    assert "before it is written" in violations(lambda: launched(kernel, np.zeros(N, np.float32)))


@pytest.mark.parametrize("name", ["whisper", None])
def test_the_line_needs_each_of_its_barriers(rng, name, violations, monkeypatch):
    transform = (
        fastmel.frontend(name, engine="cuda")
        if name
        else fastmel.MelSpectrogram(log="db", engine="cuda")
    )
    y = rng.standard_normal(40000).astype(np.float32)
    kernels, run = [], driver.run
    monkeypatch.setattr(
        driver, "run", lambda kernel, *launch: kernels.append(kernel) or run(kernel, *launch)
    )
    transform(y)
    parts = re.split(r"bar\.sync\s+0;", kernels[0].ptx)
    assert len(parts) > 7
    for i in range(1, len(parts)):
        less = Kernel("bar.sync 0;".join(parts[:i]) + "bar.sync 0;".join(parts[i:]))
        monkeypatch.setattr(
            driver,
            "run",
            lambda kernel, *launch, less=less: run(
                less if kernel.name == less.name else kernel, *launch
            ),
        )
        assert "beside" in violations(lambda: transform(y))


#: PTX instructions of a warp for each frame, sectors of 32 bytes that it asks caches for, and
#: cycles of an access to shared memory
BUDGETS = {"whisper": (680, 115, 1.15), "kaldi": (920, 105, 1.1), "hifigan": (1870, 235, 1.1)}


@pytest.mark.parametrize("name", BUDGETS)
def test_warps_keep_to_their_budgets(rng, name, monkeypatch):
    transform = fastmel.frontend(name, layout="mels_first", engine="cuda")
    y = rng.standard_normal(10 * transform.sample_rate).astype(np.float32)
    monkeypatch.setattr(driver, "counts", Counter())
    n_frames, counts = transform(y).shape[-1], driver.counts
    n_instructions, n_sectors, n_cycles = BUDGETS[name]
    assert counts["instructions"] <= n_instructions * n_frames
    assert counts["sectors"] <= n_sectors * n_frames
    assert counts["ways"] <= 2  # of conflicts of banks, anywhere
    assert counts["cycles"] <= n_cycles * counts["accesses"]
