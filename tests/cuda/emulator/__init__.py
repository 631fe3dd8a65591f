"""A GPU where there is none: a driver in Python, and compiled kernels that NumPy runs.

    EMULATED_GPU=1 pytest tests/cuda/test_gpu.py

Packages for CUDA, compilers and linkers are the real ones, and a C compiler is needed. With
``EMULATED_GPU=late`` work on streams is done when somebody waits for it, and what does not wait for
each other in the order that is the least expected.
"""

import os
import tempfile
from pathlib import Path
from typing import Any

__all__ = ["driver"]


def _started(*, late: bool) -> Any:
    """Two GPUs, which this process has from now on."""
    from .libcuda import Driver
    from .threads import Memory, run

    driver = Driver(late=late, n_devices=2)
    memory = Memory(driver.arena, driver.valid)

    def launch(kernel: Any, grid: Any, block: Any, n_shared: int, arguments: list[bytes]) -> None:
        assert n_shared == 0, "shared memory is in the program only"
        run(kernel, grid, block, arguments, memory, driver.counts)

    driver.run = launch
    with tempfile.TemporaryDirectory() as folder:
        driver.load(Path(folder))
    return driver


_mode = os.environ.get("EMULATED_GPU")
#: the driver of this process, None if it has NVIDIA's or none
driver = _started(late=_mode == "late") if _mode else None
