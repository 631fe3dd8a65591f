"""LLVM values behind ``+ - *``: what the explicit-SIMD kernels are written in.

Numba never forms 16-lane vectors from a loop by itself (LLVM prefers 256 bits, and loops with a
small constant trip count are unrolled before they are vectorised). The kernels of the fused engine
are therefore emitted: a function decorated with :func:`emitted` is called once, while Numba
compiles a call of it, and writes its instructions by ordinary Python arithmetic. A :class:`Vector`
is one SIMD value, an :class:`Index` one integer or address; :class:`Lanes` loads, stores, loops.

Addresses count bytes, offsets count values: of the lanes' type, or int32 in index tables.
"""

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import update_wrapper
from typing import Any

from llvmlite import ir
from numba import carray, extending, types  # type: ignore[attr-defined]
from numba.core import cgutils as _cgutils

from .jit import jit

__all__ = [
    "Accumulator",
    "Index",
    "Lanes",
    "Number",
    "Vector",
    "address",
    "double_array",
    "emitted",
    "float_array",
    "fma",
]

# Numba's annotations say nothing of these, or the wrong thing: a call of an intrinsic is typed as
# one of the function that describes it.
cgutils: Any = _cgutils
intrinsic: Callable[..., Callable[..., Any]] = extending.intrinsic

INTP = ir.IntType(64)
INT32 = ir.IntType(32)

#: bytes of a value -> its LLVM type
REALS = {4: ir.FloatType(), 8: ir.DoubleType()}

#: what a butterfly works on: a Vector, a NumPy array, or a plain number (0 marks a missing part)
Number = Any


class Index:
    """An integer of address width."""

    __slots__ = ("builder", "value")

    def __init__(self, builder: ir.IRBuilder, value: Any) -> None:
        self.builder = builder
        self.value = value if isinstance(value, ir.Value) else ir.Constant(INTP, value)

    def _wrap(self, other: "Index | int") -> "Index":
        return other if isinstance(other, Index) else Index(self.builder, other)

    def _apply(self, operation: str, other: "Index | int") -> "Index":
        result = getattr(self.builder, operation)(self.value, self._wrap(other).value)
        return Index(self.builder, result)

    def _compare(self, relation: str, other: "Index | int") -> Any:
        return self.builder.icmp_signed(relation, self.value, self._wrap(other).value)

    def __add__(self, other: "Index | int") -> "Index":
        return self._apply("add", other)

    __radd__ = __add__

    def __sub__(self, other: "Index | int") -> "Index":
        return self._apply("sub", other)

    def __rsub__(self, other: "Index | int") -> "Index":
        return self._wrap(other) - self

    def __mul__(self, other: "Index | int") -> "Index":
        return self._apply("mul", other)

    __rmul__ = __mul__

    def __floordiv__(self, other: "Index | int") -> "Index":
        return self._apply("sdiv", other)  # of what is not negative

    def __mod__(self, other: "Index | int") -> "Index":
        return self._apply("srem", other)  # of what is not negative

    def __lt__(self, other: "Index | int") -> Any:
        return self._compare("<", other)

    def __gt__(self, other: "Index | int") -> Any:
        return self._compare(">", other)

    def __ge__(self, other: "Index | int") -> Any:
        return self._compare(">=", other)

    def equals(self, other: "Index | int") -> Any:
        """Whether the two are equal, as an LLVM truth value (like the comparisons)."""
        return self._compare("==", other)


class Vector:
    """One SIMD value.

    A Python ``0`` as the other operand is exact: ``x + 0`` and ``x * 0`` emit nothing, so that a
    butterfly fed with real numbers (imaginary part ``0``) drops the arithmetic it does not need.
    """

    __slots__ = ("lanes", "value")

    def __init__(self, lanes: "Lanes", value: Any) -> None:
        self.lanes = lanes
        self.value = value

    def _is_zero(self, other: Number) -> bool:
        return isinstance(other, (int, float)) and other == 0

    def __add__(self, other: Number) -> "Vector":
        if self._is_zero(other):
            return self
        return Vector(self.lanes, self.lanes.builder.fadd(self.value, self.lanes.wrap(other).value))

    __radd__ = __add__

    def __sub__(self, other: Number) -> "Vector":
        if self._is_zero(other):
            return self
        return Vector(self.lanes, self.lanes.builder.fsub(self.value, self.lanes.wrap(other).value))

    def __rsub__(self, other: Number) -> "Vector":
        if self._is_zero(other):
            return -self
        return self.lanes.wrap(other) - self

    def __neg__(self) -> "Vector":
        return Vector(self.lanes, self.lanes.builder.fneg(self.value))

    def __mul__(self, other: Number) -> "Vector | int":
        if self._is_zero(other):
            return 0
        return Vector(self.lanes, self.lanes.builder.fmul(self.value, self.lanes.wrap(other).value))

    __rmul__ = __mul__

    def fma(self, factor: "Vector", addend: "Vector") -> "Vector":
        """``self * factor + addend``, fused where the CPU can (never a library call)."""
        lanes = self.lanes
        operation = lanes.function("llvm.fmuladd", 3)
        return Vector(
            lanes, lanes.builder.call(operation, [self.value, factor.value, addend.value])
        )


def fma(a: Number, b: Number, c: Number) -> Number:
    """``a * b + c`` for vectors (fused), arrays and numbers alike."""
    vector = next((x for x in (a, b, c) if isinstance(x, Vector)), None)
    if vector is None or any(vector._is_zero(x) for x in (a, b, c)):
        return a * b + c
    wrap = vector.lanes.wrap
    return wrap(a).fma(wrap(b), wrap(c))


class Lanes:
    """Emits vectors of one kind into the function that ``builder`` writes.

    width: the number of lanes; item: bytes of a lane, 4 for float32 and 8 for float64.
    """

    def __init__(self, builder: ir.IRBuilder, width: int, item: int) -> None:
        self.builder = builder
        self.width = width
        self.item = item
        self.real = REALS[item]
        self.type = ir.VectorType(self.real, width)
        self.mask = ir.VectorType(INT32, width)
        #: lanes in 128 bits, within which shuffles cost least
        self.group = 16 // item
        #: values in a cache line
        self.line = 64 // item

    def wrap(self, value: Number) -> Vector:
        """A vector as it is; a number as a vector with that number in each lane."""
        if isinstance(value, Vector):
            return value
        return Vector(self, ir.Constant(self.type, [float(value)] * self.width))

    def function(self, name: str, n_arguments: int) -> Any:
        """The LLVM intrinsic ``name`` for this vector type."""
        signature = ir.FunctionType(self.type, [self.type] * n_arguments)
        return cgutils.get_or_insert_function(
            self.builder.module, signature, f"{name}.v{self.width}f{8 * self.item}"
        )

    # integers and loops

    def index(self, value: int) -> Index:
        """An integer constant."""
        return Index(self.builder, value)

    def where(self, condition: Any, a: Index, b: Index) -> Index:
        """``a`` if the condition holds, else ``b``."""
        return Index(self.builder, self.builder.select(condition, a.value, b.value))

    def clamp(self, value: Index, low: Index, high: Index) -> Index:
        """``value`` kept within bounds."""
        value = self.where(value < low, low, value)
        return self.where(value > high, high, value)

    @contextmanager
    def loop(self, count: Index | int) -> Iterator[Index]:
        """A loop over ``range(count)``; gives the index."""
        count = self.index(count) if isinstance(count, int) else count
        with cgutils.for_range(self.builder, count.value, intp=INTP) as loop:
            yield Index(self.builder, loop.index)

    # memory: no alignment is needed anywhere

    def _pointer(self, address: Index, offset: Index | int, kind: Any) -> Any:
        return self.builder.inttoptr((address + offset * self.item).value, kind.as_pointer())

    def _load(self, address: Index, offset: Index | int, kind: Any) -> Any:
        return self.builder.load(self._pointer(address, offset, kind), align=self.item)

    def load(self, address: Index, offset: Index | int = 0) -> Vector:
        """The ``width`` values from an offset on."""
        return Vector(self, self._load(address, offset, self.type))

    def store(self, vector: Vector, address: Index, offset: Index | int = 0) -> None:
        """Write a vector from an offset on."""
        pointer = self._pointer(address, offset, vector.value.type)
        self.builder.store(vector.value, pointer, align=self.item)

    def load_real(self, address: Index, offset: Index | int = 0) -> Any:
        """One value, as LLVM's."""
        return self._load(address, offset, self.real)

    def store_real(self, value: Any, address: Index, offset: Index | int = 0) -> None:
        """Write one value of LLVM's."""
        self.builder.store(value, self._pointer(address, offset, self.real), align=self.item)

    def broadcast(self, address: Index, offset: Index | int = 0) -> Vector:
        """One value in every lane."""
        return self.splat(self.load_real(address, offset))

    def load_index(self, address: Index, offset: Index | int = 0) -> Index:
        """One int32 of a table."""
        pointer = self.builder.inttoptr((address + offset * 4).value, INT32.as_pointer())
        value = self.builder.load(pointer, align=4)
        return Index(self.builder, self.builder.sext(value, INTP))

    def prefetch(self, address: Index, offset: Index | int, *, to_write: bool = False) -> None:
        """Ask for the cache line of a value: soon to be read, or written."""
        i8 = ir.IntType(8)
        flags = [ir.Constant(INT32, value) for value in (int(to_write), 2, 1)]  # level 2, data
        signature = ir.FunctionType(ir.VoidType(), [i8.as_pointer(), INT32, INT32, INT32])
        module = self.builder.module
        operation = cgutils.get_or_insert_function(module, signature, "llvm.prefetch.p0")
        self.builder.call(operation, [self._pointer(address, offset, i8), *flags])

    # lanes

    def splat(self, scalar: Any) -> Vector:
        """A value of LLVM's in every lane."""
        one = self.builder.insert_element(
            ir.Constant(self.type, ir.Undefined), scalar, ir.Constant(INT32, 0)
        )
        every = ir.Constant(self.mask, [0] * self.width)
        return Vector(self, self.builder.shuffle_vector(one, one, every))

    def shuffle(self, a: Vector, b: Vector, indices: Sequence[int]) -> Vector:
        """Lane ``i`` of the result is lane ``indices[i]`` of ``a`` followed by ``b``."""
        mask = ir.Constant(ir.VectorType(INT32, len(indices)), list(indices))
        return Vector(self, self.builder.shuffle_vector(a.value, b.value, mask))

    def _shuffle_groups(self, a: Vector, b: Vector, pattern: Sequence[int]) -> Vector:
        """The same ``pattern`` in every 128-bit part (``group`` and up name lanes of ``b``)."""
        indices = [
            part + (p if p < self.group else self.width + p - self.group)
            for part in range(0, self.width, self.group)
            for p in pattern
        ]
        return self.shuffle(a, b, indices)

    def transpose_groups(self, rows: Sequence[Vector]) -> list[Vector]:
        """Transpose the ``group`` x ``group`` matrix in each 128-bit part of ``group`` vectors."""
        if self.group == 2:
            a, b = rows
            return [self._shuffle_groups(a, b, (0, 2)), self._shuffle_groups(a, b, (1, 3))]
        a, b, c, d = rows
        low_ab = self._shuffle_groups(a, b, (0, 4, 1, 5))
        high_ab = self._shuffle_groups(a, b, (2, 6, 3, 7))
        low_cd = self._shuffle_groups(c, d, (0, 4, 1, 5))
        high_cd = self._shuffle_groups(c, d, (2, 6, 3, 7))
        return [
            self._shuffle_groups(low_ab, low_cd, (0, 1, 4, 5)),
            self._shuffle_groups(low_ab, low_cd, (2, 3, 6, 7)),
            self._shuffle_groups(high_ab, high_cd, (0, 1, 4, 5)),
            self._shuffle_groups(high_ab, high_cd, (2, 3, 6, 7)),
        ]

    def transpose(self, rows: Sequence[Vector]) -> list[Vector]:
        """Transpose a ``width`` x ``width`` matrix held in ``width`` vectors.

        Blocks within 128 bits first (unpack instructions), then whole 128-bit parts, the cheapest
        order on x86: 64 shuffles for 16 lanes.
        """
        size = self.group
        groups = [self.transpose_groups(rows[g : g + size]) for g in range(0, self.width, size)]
        columns: list[Vector | None] = [None] * self.width
        for c in range(size):
            for part, vector in enumerate(self._transpose_parts([group[c] for group in groups])):
                columns[size * part + c] = vector
        return columns  # type: ignore[return-value]

    def _transpose_parts(self, rows: list[Vector]) -> list[Vector]:
        """Transpose a square matrix whose items are 128-bit parts."""
        if len(rows) == 1:
            return rows
        n_parts = len(rows)

        def take(a: Vector, b: Vector, odd: int) -> Vector:
            parts = [odd + 2 * i for i in range(n_parts // 2)]
            parts += [n_parts + p for p in parts]
            return self.shuffle(
                a, b, [self.group * p + i for p in parts for i in range(self.group)]
            )

        if n_parts == 2:
            return [take(rows[0], rows[1], odd) for odd in (0, 1)]
        even_a, even_b = take(rows[0], rows[1], 0), take(rows[2], rows[3], 0)
        odd_a, odd_b = take(rows[0], rows[1], 1), take(rows[2], rows[3], 1)
        return [
            take(even_a, even_b, 0),
            take(odd_a, odd_b, 0),
            take(even_a, even_b, 1),
            take(odd_a, odd_b, 1),
        ]

    def parts(self, vector: Vector) -> list[Vector]:
        """The 128-bit parts of a vector."""
        size = self.group
        firsts = range(0, self.width, size)
        return [self.shuffle(vector, vector, range(first, first + size)) for first in firsts]


class Accumulator:
    """A vector variable: what a loop adds to."""

    def __init__(self, lanes: Lanes) -> None:
        self.lanes = lanes
        self.slot = cgutils.alloca_once(lanes.builder, lanes.type)
        self.set(lanes.wrap(0.0))

    def get(self) -> Vector:
        """The present value."""
        return Vector(self.lanes, self.lanes.builder.load(self.slot))

    def set(self, vector: Vector) -> None:
        """Replace the value."""
        self.lanes.builder.store(vector.value, self.slot)


def emitted(function: Callable[..., Any]) -> Any:
    """Make a Numba intrinsic of a function that emits its instructions.

    The function is called as ``function(lanes, *arguments)``. In Numba code the lanes' width and
    the bytes of each come first; arguments that are constants there arrive as Python integers, all
    others as :class:`Index`. What is annotated to return an Index returns an integer.
    """
    signature = inspect.signature(function)
    returns_index = signature.return_annotation is Index

    def describe(typing_context: Any, width: Any, item: Any, *arguments: Any) -> Any:
        def emit(context: Any, builder: Any, call: Any, values: Any) -> Any:
            lanes = Lanes(builder, int(width.literal_value), int(item.literal_value))
            numbers = [
                getattr(kind, "literal_value", Index(builder, value))
                for kind, value in zip(arguments, values[2:], strict=True)
            ]
            result = function(lanes, *numbers)
            return result.value if returns_index else context.get_dummy_value()

        return_type: Any = types.intp if returns_index else types.void
        return return_type(width, item, *arguments), emit

    update_wrapper(describe, function)
    names = ("typing_context", "width", "item", *list(signature.parameters)[1:])
    describe.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [inspect.Parameter(name, inspect.Parameter.POSITIONAL_ONLY) for name in names]
    )
    return intrinsic(prefer_literal=True)(describe)


@intrinsic
def address(typing_context: Any, array: Any) -> Any:
    """The address of an array's first item."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        struct = context.make_array(signature.args[0])(context, builder, arguments[0])
        return builder.ptrtoint(struct.data, INTP)

    return types.intp(array), emit


def _pointer_to(real: Any) -> Any:
    """An intrinsic that makes a typed pointer of an address."""

    def describe(typing_context: Any, address: Any) -> Any:
        pointer_type: Any = types.CPointer(real)  # type: ignore[no-untyped-call]

        def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

        return pointer_type(address), emit

    return intrinsic(describe)


_float_pointer, _double_pointer = _pointer_to(types.float32), _pointer_to(types.float64)


@jit
def float_array(address: int, n_values: int) -> Any:
    """The float32 values at ``address`` as an array."""
    return carray(_float_pointer(address), n_values)


@jit
def double_array(address: int, n_values: int) -> Any:
    """The float64 values at ``address`` as an array."""
    return carray(_double_pointer(address), n_values)
