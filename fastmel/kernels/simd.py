"""LLVM vector values behind ``+ - *``: what the explicit-SIMD kernels are written in.

Numba never forms 16-lane vectors from a loop by itself (LLVM prefers 256 bits, and loops with a
small constant trip count are unrolled before they are vectorised). The kernels of the fused engine
therefore emit their vector instructions inside Numba intrinsics: a :class:`Lanes` loads and stores
vectors at addresses, and a :class:`Vector` is one such value with Python's arithmetic operators, so
that the butterflies are ordinary Python functions.

An address is an ``intp`` in Numba code and an LLVM integer here; offsets count float32 values.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from llvmlite import ir
from numba import carray, extending, types  # type: ignore[attr-defined]
from numba.core import cgutils as _cgutils

from .jit import jit

__all__ = [
    "ITEM",
    "Accumulator",
    "Lanes",
    "Number",
    "Vector",
    "address",
    "float_array",
    "fma",
    "intrinsic",
    "literal",
]

# Numba's annotations say nothing of these, or the wrong thing: a call of an intrinsic is typed as
# one of the function that describes it.
cgutils: Any = _cgutils
intrinsic: Callable[..., Callable[..., Any]] = extending.intrinsic

#: bytes of a float32 value
ITEM = 4

INTP = ir.IntType(64)
INT32 = ir.IntType(32)
FLOAT = ir.FloatType()

#: what a butterfly works on: a Vector, a NumPy array, or a plain number (0 marks a missing part)
Number = Any


class Vector:
    """One SIMD value of float32 lanes.

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
    """Emits float32 vectors of one width into the function that ``builder`` writes."""

    def __init__(self, builder: ir.IRBuilder, width: int) -> None:
        self.builder = builder
        self.width = width
        self.type = ir.VectorType(FLOAT, width)
        self.mask = ir.VectorType(INT32, width)

    def wrap(self, value: Number) -> Vector:
        """A vector as it is; a number as a vector with that number in each lane."""
        if isinstance(value, Vector):
            return value
        return Vector(self, ir.Constant(self.type, [float(value)] * self.width))

    def function(self, name: str, n_arguments: int) -> Any:
        """The LLVM intrinsic ``name`` for this vector type."""
        signature = ir.FunctionType(self.type, [self.type] * n_arguments)
        return cgutils.get_or_insert_function(
            self.builder.module, signature, f"{name}.v{self.width}f32"
        )

    # addresses and loops

    def index(self, value: int) -> Any:
        """An integer constant of address width."""
        return ir.Constant(INTP, value)

    def offset(self, address: Any, count: Any, scale: int = 1) -> Any:
        """The address of item ``count * scale`` (count: a Python or an LLVM integer)."""
        if isinstance(count, int):
            if count == 0:
                return address
            return self.builder.add(address, self.index(count * scale * ITEM))
        return self.builder.add(address, self.builder.mul(count, self.index(scale * ITEM)))

    def clamp(self, value: Any, low: Any, high: Any) -> Any:
        """An integer kept within bounds."""
        builder = self.builder
        value = builder.select(builder.icmp_signed("<", value, low), low, value)
        return builder.select(builder.icmp_signed(">", value, high), high, value)

    def pointer(self, address: Any, kind: Any) -> Any:
        """``address`` as a pointer to a value of the LLVM type ``kind``."""
        return self.builder.inttoptr(address, kind.as_pointer())

    @contextmanager
    def loop(self, count: Any) -> Iterator[Any]:
        """A loop over ``range(count)``; yields the index."""
        if isinstance(count, int):
            count = self.index(count)
        with cgutils.for_range(self.builder, count, intp=INTP) as loop:
            yield loop.index

    # memory

    def load(self, address: Any, offset: Any = 0) -> Vector:
        """The ``width`` values at ``address + offset`` (no alignment needed)."""
        pointer = self.pointer(self.offset(address, offset), self.type)
        return Vector(self, self.builder.load(pointer, align=ITEM))

    def store(self, vector: Vector, address: Any, offset: Any = 0) -> None:
        """Write ``vector`` to ``address + offset`` (no alignment needed)."""
        pointer = self.pointer(self.offset(address, offset), vector.value.type)
        self.builder.store(vector.value, pointer, align=ITEM)

    def prefetch(self, address: Any, *, to_write: bool = False) -> None:
        """Ask for the cache line at ``address``: soon to be read or written."""
        i8_pointer = ir.IntType(8).as_pointer()
        flags = [ir.Constant(INT32, value) for value in (int(to_write), 2, 1)]  # L2, data
        signature = ir.FunctionType(ir.VoidType(), [i8_pointer, INT32, INT32, INT32])
        prefetch = cgutils.get_or_insert_function(
            self.builder.module, signature, "llvm.prefetch.p0"
        )
        self.builder.call(prefetch, [self.builder.inttoptr(address, i8_pointer), *flags])

    def load_integer(self, address: Any, offset: Any = 0) -> Any:
        """The int32 at ``address + offset``, widened to address width."""
        pointer = self.pointer(self.offset(address, offset), INT32)
        return self.builder.sext(self.builder.load(pointer, align=ITEM), INTP)

    def load_scalar(self, address: Any, offset: Any = 0) -> Any:
        """The float32 at ``address + offset`` as an LLVM scalar."""
        return self.builder.load(self.pointer(self.offset(address, offset), FLOAT), align=ITEM)

    def broadcast(self, address: Any, offset: Any = 0) -> Vector:
        """The one float32 at ``address + offset`` in every lane."""
        return self.splat(self.load_scalar(address, offset))

    def splat(self, scalar: Any) -> Vector:
        """An LLVM float in every lane."""
        one = self.builder.insert_element(
            ir.Constant(self.type, ir.Undefined), scalar, ir.Constant(INT32, 0)
        )
        every = ir.Constant(self.mask, [0] * self.width)
        return Vector(self, self.builder.shuffle_vector(one, one, every))

    # lanes

    def shuffle(self, a: Vector, b: Vector, indices: Sequence[int]) -> Vector:
        """Lane ``i`` of the result is lane ``indices[i]`` of ``a`` followed by ``b``."""
        mask = ir.Constant(ir.VectorType(INT32, len(indices)), list(indices))
        return Vector(self, self.builder.shuffle_vector(a.value, b.value, mask))

    def _shuffle_quads(self, a: Vector, b: Vector, pattern: Sequence[int]) -> Vector:
        """The same 4-lane ``pattern`` in every 128-bit part (4..7 name lanes of ``b``)."""
        indices = [
            part + (p if p < 4 else self.width + p - 4)
            for part in range(0, self.width, 4)
            for p in pattern
        ]
        return self.shuffle(a, b, indices)

    def transpose_quads(self, rows: Sequence[Vector]) -> list[Vector]:
        """Transpose the 4 x 4 matrix in each 128-bit part of four vectors."""
        a, b, c, d = rows
        low_ab = self._shuffle_quads(a, b, (0, 4, 1, 5))
        high_ab = self._shuffle_quads(a, b, (2, 6, 3, 7))
        low_cd = self._shuffle_quads(c, d, (0, 4, 1, 5))
        high_cd = self._shuffle_quads(c, d, (2, 6, 3, 7))
        return [
            self._shuffle_quads(low_ab, low_cd, (0, 1, 4, 5)),
            self._shuffle_quads(low_ab, low_cd, (2, 3, 6, 7)),
            self._shuffle_quads(high_ab, high_cd, (0, 1, 4, 5)),
            self._shuffle_quads(high_ab, high_cd, (2, 3, 6, 7)),
        ]

    def transpose(self, rows: Sequence[Vector]) -> list[Vector]:
        """Transpose a ``width`` x ``width`` matrix held in ``width`` vectors.

        In-lane 4 x 4 blocks first (unpack instructions), then whole 128-bit parts, the cheapest
        order on x86: 64 shuffles for 16 lanes.
        """
        groups = [self.transpose_quads(rows[g : g + 4]) for g in range(0, self.width, 4)]
        columns: list[Vector | None] = [None] * self.width
        for c in range(4):
            for part, vector in enumerate(self._transpose_parts([group[c] for group in groups])):
                columns[4 * part + c] = vector
        return columns  # type: ignore[return-value]

    def _transpose_parts(self, rows: list[Vector]) -> list[Vector]:
        """Transpose a square matrix whose items are 128-bit parts."""
        if len(rows) == 1:
            return rows
        n_parts = len(rows)

        def take(a: Vector, b: Vector, odd: int) -> Vector:
            parts = [odd + 2 * i for i in range(n_parts // 2)]
            parts += [n_parts + p for p in parts]
            return self.shuffle(a, b, [4 * p + i for p in parts for i in range(4)])

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
        """The 128-bit parts of a vector, each with four lanes."""
        return [
            self.shuffle(vector, vector, range(part, part + 4)) for part in range(0, self.width, 4)
        ]


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


def literal(value: Any) -> int:
    """The Python integer behind an intrinsic's compile-time argument."""
    return int(value.literal_value)


@intrinsic
def address(typing_context: Any, array: Any) -> Any:
    """The address of an array's first item."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        struct = context.make_array(signature.args[0])(context, builder, arguments[0])
        return builder.ptrtoint(struct.data, INTP)

    return types.intp(array), emit


@intrinsic
def _float_pointer(typing_context: Any, address: Any) -> Any:
    """A typed pointer to the float32 values at ``address``."""
    pointer_type: Any = types.CPointer(types.float32)  # type: ignore[no-untyped-call]

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

    return pointer_type(address), emit


@jit
def float_array(address: int, n_values: int) -> Any:
    """The float32 values at ``address`` as an array."""
    return carray(_float_pointer(address), n_values)
