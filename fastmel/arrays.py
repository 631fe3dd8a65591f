"""Arrays of other libraries: what goes in as a PyTorch tensor comes out as one."""

import sys
from collections.abc import Callable
from functools import wraps
from importlib import import_module
from types import FunctionType, NoneType
from typing import Any, TypeVar, cast

import numpy as np

from fastmel.exceptions import ParameterError

__all__ = ["any_array", "as_numpy", "as_tensors", "is_on_gpu", "is_tensor", "like"]

F = TypeVar("F", bound=Callable[..., Any])

#: the types of most arguments, which need no closer look
_PLAIN = frozenset(
    {np.ndarray, np.float32, np.float64, NoneType, bool, int, float, str, tuple, list, type}
    | {FunctionType, type(np.max)}
)

#: DLPack's numbers of a GPU's own memory and of its managed memory
_DLPACK_CUDA = (2, 13)


def any_array(function: F) -> F:
    """Let a function of ndarrays take arrays of any library, and answer tensors with tensors.

    Arguments with ``__array__`` or ``__dlpack__`` reach the function as ndarrays (see
    :func:`as_numpy`). If one of them is a PyTorch tensor, so is every array in the result. Tensors
    share their memory with the ndarrays, and one that the function fills and returns, as `out`, is
    returned itself.
    """

    @wraps(function)
    def with_any_array(*args: Any, **kwargs: Any) -> Any:
        # what a call with ndarrays pays: loops take half the time of any(), all() or a set's method
        for value in args:
            if type(value) not in _PLAIN:
                return with_others(args, kwargs)
        for value in kwargs.values():
            if type(value) not in _PLAIN:
                return with_others(args, kwargs)
        return function(*args, **kwargs)

    def with_others(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        given = [*args, *kwargs.values()]
        taken = [as_numpy(value) for value in given]
        positional, named = taken[: len(args)], dict(zip(kwargs, taken[len(args) :], strict=True))
        result = function(*positional, **named)
        tensors = [pair for pair in zip(given, taken, strict=True) if is_tensor(pair[0])]
        for tensor, array in tensors:
            if result is array:
                return tensor
        return like(tensors[0][0], result) if tensors else result

    return cast(F, with_any_array)


def as_numpy(x: Any) -> Any:
    """Return an array of another library as an ndarray, without a copy where that library can.

    Parameters
    ----------
    x : object
        An array with ``__array__`` or, in the processor's memory, ``__dlpack__``. Anything else,
        NumPy's own arrays and scalars among it, is returned as it is.

    Returns
    -------
    ndarray or object
        The array, or `x`.

    Raises
    ------
    ParameterError
        If the array is a PyTorch tensor that requires grad, or is not in the processor's memory.
    """
    kind = type(x)
    if kind in _PLAIN or issubclass(kind, np.ndarray | np.generic):
        return x
    if is_tensor(x):
        return _tensor_as_numpy(x)
    if hasattr(kind, "__array__"):
        return np.asarray(x)
    if hasattr(kind, "__dlpack__"):
        try:
            return np.from_dlpack(x)
        except (BufferError, RuntimeError) as error:
            raise ParameterError(
                f"NumPy cannot read this {kind.__name__} ({error}); copy it to the CPU first"
            ) from error
    return x


def is_on_gpu(x: Any) -> bool:
    """Whether an array is in the memory of an NVIDIA GPU."""
    kind = type(x)
    if kind in _PLAIN or issubclass(kind, np.ndarray | np.generic):
        return False
    if is_tensor(x):
        return bool(x.device.type == "cuda")
    if hasattr(x, "__cuda_array_interface__"):
        return True
    return hasattr(kind, "__dlpack_device__") and x.__dlpack_device__()[0] in _DLPACK_CUDA


def like(x: Any, result: Any) -> Any:
    """Return a result with its arrays as PyTorch tensors, if `x` is one.

    Parameters
    ----------
    x : object
        What the caller gave.
    result : object
        An ndarray, or a tuple with ndarrays in it; anything else is returned as it is.

    Returns
    -------
    object
        Tensors that share the memory of the ndarrays in `result`, or `result`.
    """
    return as_tensors(result) if is_tensor(x) else result


def as_tensors(result: Any) -> Any:
    """Return a result with its arrays as PyTorch tensors (see :func:`like`)."""
    if isinstance(result, tuple):
        return tuple(map(as_tensors, result))
    if not isinstance(result, np.ndarray | np.generic):
        return result
    array = np.asarray(result)
    if not array.flags.writeable:  # which tensors cannot be
        array = array.copy()
    return import_module("torch").from_numpy(array)


def is_tensor(x: Any) -> bool:
    """Whether it is a PyTorch tensor."""
    if type(x) in _PLAIN:
        return False
    torch = sys.modules.get("torch")  # never imported here: without it there are no tensors
    return torch is not None and isinstance(x, torch.Tensor)


def _tensor_as_numpy(x: Any) -> Any:
    """Return the memory of a tensor as an ndarray."""
    if x.requires_grad:
        raise ParameterError(
            "fastmel computes no gradients, and this tensor requires grad: give tensor.detach()"
        )
    if x.device.type != "cpu":
        raise ParameterError(
            f"fastmel computes on the CPU, and this tensor is on {x.device}: give tensor.cpu()"
        )
    try:
        return x.resolve_conj().resolve_neg().numpy()
    except TypeError as error:
        raise ParameterError(
            f"NumPy cannot read a tensor of {x.dtype} ({error}): give tensor.float()"
        ) from error
