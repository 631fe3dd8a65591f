"""What tests of the GPU share: where they can run, small blocks for the simulator, and checks of
the emulator."""

import pytest
from emulator import driver

from fastmel.engines import cuda, cuda_ending, cuda_layout, cuda_program


@pytest.fixture
def simulator(monkeypatch):
    """Blocks that the simulator, with a Python thread for each of theirs, gets through in time."""
    if not cuda.IS_SIMULATED:
        pytest.skip("runs in Numba's CUDA simulator: set NUMBA_ENABLE_CUDASIM=1")
    from numba.cuda.simulator.kernel import FakeCUDAKernel

    monkeypatch.setattr(cuda_layout, "_WARP", 8)
    monkeypatch.setattr(cuda_layout, "_TILE", 8)
    monkeypatch.setattr(cuda_layout, "_PAIRS", 8)
    monkeypatch.setattr(cuda_layout, "_POINTS", 512)
    monkeypatch.setattr(cuda_layout, "_THREADS", 16)
    monkeypatch.setattr(cuda_ending, "_NEIGHBOURS", 4)
    for module in (cuda_ending, cuda_program):
        monkeypatch.setattr(module, "THREADS", 8)
    # The simulator looks for the CUDA module among a function's globals at every call, also of
    # functions that kernels call, whose globals it has changed already.
    launch = FakeCUDAKernel.__call__

    def call(self, *args):
        return self.fn(*args) if self._device else launch(self, *args)

    monkeypatch.setattr(FakeCUDAKernel, "__call__", call)


@pytest.fixture
def simulator_or_emulator(request):
    """Whichever there is; blocks of the usual size in the emulator."""
    if driver is None:
        request.getfixturevalue("simulator")


@pytest.fixture(autouse=True)
def _emulator_has_all_that_was_asked():
    yield
    if driver is not None:
        failures, driver.failures[:] = driver.failures[:], []
        assert not failures
        assert not driver.missing
