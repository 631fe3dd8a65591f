"""A kernel in PTX, translated to Python for NumPy: an instruction is one operation of all threads.

Only the instructions that the compiler has been seen to make of fastmel's kernels are known; others
end in a KeyError or an AssertionError with their text. Those that take subnormal numbers for zeros
do so only if they are approximations.
"""

import math
import re
from types import CodeType
from typing import Any, NamedTuple

import numpy as np

__all__ = ["FUNCTIONS", "TYPES", "Kernel", "Step"]

#: NumPy's types of PTX's
TYPES = {
    "pred": np.bool_, "f16": np.float16, "b16": np.uint16, "u16": np.uint16, "s16": np.int16,
    "f32": np.float32, "b32": np.uint32, "u32": np.uint32, "s32": np.int32,
    "b64": np.uint64, "u64": np.uint64, "s64": np.int64,
}  # fmt: skip
_WIDER = {"u16": "u32", "s16": "s32", "u32": "u64", "s32": "s64"}
_OF_ALL = {
    "add": "add", "sub": "subtract", "mul": "multiply", "and": "bitwise_and", "or": "bitwise_or",
    "xor": "bitwise_xor", "not": "invert", "neg": "negative", "abs": "absolute",
    "shl": "left_shift", "shr": "right_shift",
}  # fmt: skip
_OF_INTEGERS = {"div": "floor_divide", "rem": "remainder", "min": "minimum", "max": "maximum"}
_OF_FLOATS = {
    "div": "divide", "min": "fmin", "max": "fmax", "sqrt": "sqrt", "rcp": "reciprocal",
}  # fmt: skip
#: approximations, which are computed in float64, with the relative error that PTX allows them
_APPROXIMATE = {
    "rcp": (np.reciprocal, 2.0**-23), "sqrt": (np.sqrt, 2.0**-23),
    "lg2": (np.log2, 2.0**-22), "ex2": (np.exp2, 2.0**-22),
}  # fmt: skip
_COMPARISONS = {
    "lt": "less", "le": "less_equal", "gt": "greater", "ge": "greater_equal",
    "eq": "equal", "ne": "not_equal", "neu": "not_equal",
}  # fmt: skip
#: comparisons that NaN passes -> those that hold where these do not
_OPPOSITES = {"ltu": "greater_equal", "leu": "greater", "gtu": "less_equal", "geu": "less"}
_ROUNDED = {"rni": "rint", "rzi": "trunc", "rmi": "floor", "rpi": "ceil"}
#: words between the arrays of shared memory, which nothing may touch
_GAP = 32


class Step(NamedTuple):
    """An instruction: what it depends on, the parts of its name, its operands, all of its text."""

    predicate: str
    name: tuple[str, ...]
    operands: tuple[str, ...]
    text: str


class Kernel:
    """The kernel of a program.

    Attributes
    ----------
    ptx, name : str
        The program, and its name there.
    parameters : dict of dtypes
        What it takes, by name.
    n_threads : int
        The most that a block of it may have.
    parts : list of lists of Step
        Its instructions between places where threads may part or wait.
    ends : list of (Step or None, int)
        What each part ends with, and the part that it leads to.
    code : list of code
        Each part as a function ``part(m, at)`` of the threads that take part: a mask, or True if
        all do, and their numbers. Registers are arrays of a value for each thread; the function
        finds them by the names in `views`.
    views : dict of (str, dtype, dtype)
        Name -> a register, its own type, and the type that it is seen as.
    constants : dict
        Name -> what the functions use besides.
    is_shared : ndarray of bool
        Which words of a block's shared memory belong to arrays; others are between them.
    """

    def __init__(self, ptx: str) -> None:
        self.ptx = ptx
        head, _, rest = ptx.partition(".visible .entry ")
        signature, _, body = rest.partition("{")
        self.name = rest[: rest.index("(")]
        parameters = re.findall(r"\.param \.(\w+) (\S+?)[,\s)]", signature)
        self.parameters = {name: np.dtype(TYPES[kind]) for kind, name in parameters}
        bounds = re.search(r"\.maxntid (\d+), (\d+), (\d+)", rest[: len(rest) - len(body)])
        self.n_threads = math.prod(map(int, bounds.groups())) if bounds else 1024
        self._symbols: dict[str, int] = {}
        self.is_shared = np.zeros(_GAP, dtype=np.bool_)
        for name, n_bytes in re.findall(r"\.shared \.align \d+ \.b8 (\w+)\[(\d+)\]", head):
            self._symbols[name] = 4 * self.is_shared.size
            words = np.repeat([True, False], [int(n_bytes) // 4, _GAP])
            self.is_shared = np.append(self.is_shared, words)
        self._kinds = {
            prefix: kind for kind, prefix in re.findall(r"\.reg \.(\w+)\s+%(\w+)<", body)
        }
        self.views: dict[str, tuple[str, Any, Any]] = {}
        self.constants: dict[str, Any] = {}
        self.parts, self.ends = _divided(body)
        self.code: list[CodeType] = []
        for part in self.parts:
            lines = ["def part(m, at):", *map(self._line, part), "    return"]
            self.code.append(compile("\n".join(lines), self.name, "exec"))

    def _line(self, step: Step) -> str:
        """An instruction as a line of Python."""
        line = self._statement(step)
        if step.predicate:
            chosen = f"m & {self._condition(step.predicate)}"
            line = f"(lambda m: (lambda at: {line})(flatnonzero(m)))({chosen})"
        return "    " + line

    def _statement(self, step: Step) -> str:
        (op, *how), operands, kind = step.name, step.operands, step.name[-1]
        if op in ("ld", "st", "atom"):
            return self._access(step)
        if op == "cvt":
            return self._conversion(step)
        if op == "bfi":
            return self._insertion(step)
        if op == "prmt":
            return self._permutation(step)
        if op == "mov" and len(operands) == 3:  # two halves of a word
            low, high = (self._operand(text, "u16") for text in operands[1:])
            return f"copyto({self._operand(operands[0], 'u32')}, word({low}, {high}), where=m)"
        if op == "setp":
            result = self._operand(operands[0], "pred")
            a, b = (self._operand(text, kind) for text in operands[1:])
            if how[0] in _OPPOSITES:
                return f"copyto({result}, ~{_OPPOSITES[how[0]]}({a}, {b}), where=m)"
            return f"{_COMPARISONS[how[0]]}({a}, {b}, out={result}, where=m)"
        result = self._operand(operands[0], _WIDER[kind] if "wide" in how else kind)
        if op == "selp":
            a, b = (self._operand(text, kind) for text in operands[1:3])
            p = self._operand(operands[3], "pred")
            return f"copyto({result}, where({p}, {a}, {b}), where=m)"
        values = [self._operand(text, kind) for text in operands[1:]]
        if op in ("mov", "cvta"):
            return f"copyto({result}, {values[0]}, where=m)"
        if op == "fma":  # products of 24 bits are exact in 53
            a, b, c = values
            return (
                f"copyto({result}, multiply({a}, {b}, dtype=f64) + {c}, where=m, casting='unsafe')"
            )
        if op == "dp2a":
            assert how == ["lo", "u32", "u32"], step.text
            return f"copyto({result}, products({', '.join(values)}), where=m)"
        if op == "mad":
            assert "lo" in how, step.text
            a, b, c = values
            return f"copyto({result}, {a} * {b} + {c}, where=m)"
        if "hi" in how:
            return f"copyto({result}, high({', '.join(values)}), where=m)"
        if op in ("shl", "shr"):  # NumPy's are not defined for more than there are bits
            assert operands[2].isdigit(), step.text
        if "approx" in how:
            return f"copyto({result}, approximate({op!r}, {values[0]}, {'ftz' in how}), where=m)"
        names = _OF_ALL | (_OF_FLOATS if kind[0] == "f" else _OF_INTEGERS)
        wide = f", dtype={result.rpartition('_')[2]}" if "wide" in how else ""
        return f"{names[op]}({', '.join(values)}, out={result}, where=m{wide})"

    def _conversion(self, step: Step) -> str:
        *how, to, kind = step.name[1:]
        result, value = self._operand(step.operands[0], to), self._operand(step.operands[1], kind)
        for part in how:
            if part in _ROUNDED:
                value = f"{_ROUNDED[part]}({value})"
        if kind[0] == "f" and to[0] in "su":
            value = f"saturated({value}, {to})"
        return f"copyto({result}, {value}, where=m, casting='unsafe')"

    def _insertion(self, step: Step) -> str:
        kind = step.name[-1]
        result, a, b = (self._operand(text, kind) for text in step.operands[:3])
        position, length = map(int, step.operands[3:])
        field = ((1 << length) - 1) << position
        mask, rest = self._number(field, kind), self._number(~field, kind)
        moved = f"left_shift({a}, {self._number(position, kind)})"
        return f"copyto({result}, {moved} & {mask} | {b} & {rest}, where=m)"

    def _permutation(self, step: Step) -> str:
        result, a, b = (self._operand(text, "u32") for text in step.operands[:3])
        return f"copyto({result}, permuted({a}, {b}, {int(step.operands[3])}), where=m)"

    def _access(self, step: Step) -> str:
        """A load, a store, or the one atomic operation."""
        op, *how, kind = step.name
        place = next(text for text in step.operands if text[0] == "[")[1:-1]
        registers = [text for text in step.operands if text[0] != "["]
        base, _, offset = place.partition("+")
        if "param" in how:
            return f"copyto({self._operand(registers[0], kind)}, {self._parameter(base)}, where=m)"
        address = f"{self._operand(base, 'u64')} + {self._number(int(offset or 0), 'u64')}"
        itself = self._constant(step)
        if op == "atom":
            assert "cas" in how, step.text
            values = ", ".join(self._operand(text, kind) for text in registers)
            return f"swap({itself}, {address}, {values}, at)"
        own = self._kinds[_prefix(registers[0])]
        wider = np.dtype(TYPES[own]).itemsize > np.dtype(TYPES[kind]).itemsize
        seen = f"{kind[0]}{own[1:]}" if wider else kind
        values = [self._operand(text, seen) for text in registers]
        if "shared" in how:
            value, space = f"({', '.join(values)},)", "shared"
        else:
            (value,), space = values, "memory"
        return (
            f"{'load' if op == 'ld' else 'store'}_{space}({itself}, {address}, {value}, {kind}, at)"
        )

    # names

    def _condition(self, predicate: str) -> str:
        name = self._operand(predicate.lstrip("!"), "pred")
        return f"~{name}" if predicate[0] == "!" else name

    def _operand(self, text: str, kind: str) -> str:
        """The name of a register or a constant, seen as a type."""
        if text[0] == "%" and "." in text:
            return text[1:].replace(".", "_")  # %tid.x and its like
        if text[0] == "%":
            self.views[f"{text[1:]}_{kind}"] = (
                text[1:],
                TYPES[self._kinds[_prefix(text)]],
                TYPES[kind],
            )
            return f"{text[1:]}_{kind}"
        if text[:2] == "0f":
            return self._constant(np.array([int(text[2:], 16)], np.uint32).view(np.float32)[0])
        if kind == "pred":
            return str(text != "0")
        return self._number(self._symbols[text] if text in self._symbols else int(text), kind)

    def _parameter(self, name: str) -> str:
        return f"parameter_{list(self.parameters).index(name)}"

    def _number(self, value: int, kind: str) -> str:
        """The name of an integer, its bits seen as a type."""
        dtype = np.dtype(TYPES[kind])
        bits = np.array([value % (1 << 8 * dtype.itemsize)], dtype=f"u{dtype.itemsize}")
        return self._constant(bits.view(dtype)[0])

    def _constant(self, value: Any) -> str:
        name = f"constant_{len(self.constants)}"
        self.constants[name] = value
        return name


def _prefix(register: str) -> str:
    """The letters of a register, which say its type."""
    return register.strip("%0123456789")


def _divided(body: str) -> tuple[list[list[Step]], list[tuple[Step | None, int]]]:
    """Cut a program where jumps begin and end, and at barriers."""
    parts: list[list[Step]] = [[]]
    ends: list[Step | None] = []
    labels = {}
    for line in re.sub(r"//.*|[{}]", "", body).split("\n"):
        text = line.strip().rstrip(";")
        if text.endswith(":"):
            parts.append([])
            ends.append(None)
            labels[text[:-1]] = len(ends)
        elif text and text[0] != ".":
            found = re.fullmatch(r"(?:@(\S+)\s+)?(\S+)\s*(.*)", text)
            assert found is not None
            operands = tuple(value.strip() for value in found[3].split(",")) if found[3] else ()
            step = Step(found[1] or "", tuple(found[2].split(".")), operands, text)
            if step.name[0] in ("bra", "ret", "bar"):
                parts.append([])
                ends.append(step)
            else:
                parts[-1].append(step)
    ends.append(None)
    targets = [labels[end.operands[0]] if end and end.name[0] == "bra" else 0 for end in ends]
    return parts, list(zip(ends, targets, strict=True))


def _high(a: Any, b: Any) -> Any:
    """The upper halves of products of 64 bits."""
    assert np.result_type(a, b) == np.uint64
    low, half = np.uint64(0xFFFFFFFF), np.uint64(32)
    a_high, a_low, b_high, b_low = a >> half, a & low, b >> half, b & low
    middle = (a_low * b_low >> half) + (a_high * b_low & low) + a_low * b_high
    return a_high * b_high + (a_high * b_low >> half) + (middle >> half)


def _permuted(a: Any, b: Any, order: int) -> Any:
    """Some of the bytes of two words, each told by 4 bits."""
    assert order & 0x8888 == 0, "signs are not repeated"
    both, result = np.uint64(a) | np.uint64(b) << np.uint64(32), np.uint64(0)
    for i in range(4):
        byte = both >> np.uint64(8 * (order >> 4 * i & 7)) & np.uint64(0xFF)
        result = result | byte << np.uint64(8 * i)
    return result.astype(np.uint32)


def _word(low: Any, high: Any) -> Any:
    """Two numbers of 16 bits as one of 32."""
    return np.uint32(low) | np.uint32(high) << np.uint32(16)


def _products(a: Any, b: Any, c: Any) -> Any:
    """The products of two numbers of 16 bits by two of 8, added to a third."""
    byte = np.uint32(0xFF)
    low, high = a & np.uint32(0xFFFF), a >> np.uint32(16)
    return low * (b & byte) + high * (b >> np.uint32(8) & byte) + c


def _saturated(x: Any, kind: Any) -> Any:
    """Floats as integers, the nearest ones where they are too large; NaN as 0."""
    limits = np.iinfo(kind)
    return np.clip(np.nan_to_num(x.astype(np.float64)), limits.min, limits.max)


def _approximate(op: str, x: Any, flushes: bool) -> Any:
    """The farthest from what is right that PTX allows, on a side that the bits of x tell."""
    function, error = _APPROXIMATE[op]
    x = _flushed(x) if flushes else x
    right = function(x.astype(np.float64))
    limit = error * np.abs(right)
    if op == "lg2":  # an absolute error near 1
        limit = np.where((x > 0.5) & (x < 2), error, limit)
    is_above = x.view(np.uint32) * np.uint32(2654435769) >> np.uint32(31) == 1
    wrong = np.where(is_above, right + limit, right - limit).astype(np.float32)
    wrong = np.where(np.abs(wrong - right) > limit, np.nextafter(wrong, np.float32(right)), wrong)
    wrong = np.where(np.isfinite(right), wrong, right).astype(np.float32)
    return _flushed(wrong) if flushes else wrong


def _flushed(x: Any) -> Any:
    """Subnormal numbers as zeros of their sign."""
    return np.where(np.abs(x) < np.finfo(np.float32).tiny, np.copysign(np.float32(0), x), x)


#: what the code of all kernels calls, besides its accesses to memory
FUNCTIONS: dict[str, Any] = {
    name: getattr(np, name)
    for names in (_OF_ALL, _OF_INTEGERS, _OF_FLOATS, _COMPARISONS, _OPPOSITES, _ROUNDED)
    for name in names.values()
} | {
    **TYPES, "f64": np.float64, "copyto": np.copyto, "where": np.where,
    "flatnonzero": np.flatnonzero, "high": _high, "permuted": _permuted, "saturated": _saturated,
    "approximate": _approximate, "word": _word, "products": _products,
}  # fmt: skip
