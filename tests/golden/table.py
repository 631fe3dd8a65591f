"""Write the table of front ends and their largest differences from references into README.md.

python tests/golden/table.py
"""

import json
from itertools import groupby
from pathlib import Path

import numpy as np

import fastmel
from fastmel import frontends

HERE = Path(__file__).parent
README = HERE.parents[1] / "README.md"

BEGIN = "<!-- table of front ends, written by tests/golden/table.py -->\n"
END = "<!-- end of table of front ends -->"


def difference(case, y, kept):
    """Return the largest difference of a front end from what a reference gave."""
    found = fastmel.frontend(case["preset"], **case["options"])(y[: case["cut"]])
    return np.max(np.abs(found - kept[f"{case['name']}: noisy"]))


def rows(preset, cases, y):
    """Write a front end's lines: one for each reference, whatever options were tried."""
    with np.load(HERE / f"{preset}.npz") as kept:
        differences = {}
        for case in cases:
            differences.setdefault(case["reference"], []).append(difference(case, y, kept))
    name = f"| `{preset}` | {frontends.describe(preset).rstrip('.')}"
    for reference, values in differences.items():
        yield f"{name} | {reference} | {len(values)} | {max(values):.0e} |"
        name = "| |"


def table():
    """Measure, and write the table's lines."""
    index = json.loads((HERE / "index.json").read_text())
    with np.load(HERE / "signals.npz") as signals:
        y = (signals["noisy"] / 32768).astype(np.float32)
    order = sorted(index, key=lambda case: frontends.names().index(case["preset"]))
    by_preset = groupby(order, key=lambda case: case["preset"])
    return [
        "| front end | what it is | reference | cases | largest difference |",
        "|---|---|---|---|---|",
        *(row for preset, cases in by_preset for row in rows(preset, cases, y)),
    ]


def main():
    """Put the table between its marks."""
    before, rest = README.read_text().split(BEGIN)
    text = "\n".join(table()) + "\n"
    README.write_text(before + BEGIN + text + END + rest.split(END)[1])


if __name__ == "__main__":
    main()
