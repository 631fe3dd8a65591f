"""What tests of the GPU share: where they can run, and small blocks for the simulator."""

import pytest

from fastmel.engines import cuda, cuda_ending, cuda_layout, cuda_program


@pytest.fixture
def simulator(monkeypatch):
    """Blocks that the simulator, with a Python thread for each of theirs, gets through in time."""
    if not cuda.IS_SIMULATED:
        pytest.skip("runs in Numba's CUDA simulator: set NUMBA_ENABLE_CUDASIM=1")
    from numba.cuda.simulator.kernel import FakeCUDAKernel

    monkeypatch.setattr(cuda_layout, "_WARP", 8)
    monkeypatch.setattr(cuda_layout, "_TILE", 8)
    monkeypatch.setattr(cuda_layout, "_POINTS", 512)
    monkeypatch.setattr(cuda_layout, "_POINTS_OF_THREAD", 32)
    monkeypatch.setattr(cuda_ending, "_NEIGHBOURS", 4)
    for module in (cuda_ending, cuda_program):
        monkeypatch.setattr(module, "THREADS", 8)
    # The simulator looks for the CUDA module among a function's globals at every call, also of
    # functions that kernels call, whose globals it has changed already.
    launch = FakeCUDAKernel.__call__

    def call(self, *args):
        return self.fn(*args) if self._device else launch(self, *args)

    monkeypatch.setattr(FakeCUDAKernel, "__call__", call)
