"""Measure, and write the figures into README.md, benches/README.md and benches/results.json.

Run from an environment with the ``bench`` extra, on a machine that does nothing else:

    python benches/table.py         # everything, ten minutes
    python benches/table.py calls   # benches/README.md: every call against librosa's

What is measured and how is in the bench files and in conftest.py.
"""

import json
import os
import platform
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).parent
README = HERE.parent / "README.md"
CALLS = HERE / "README.md"
RESULTS = HERE / "results.json"

BEGIN = "<!-- speed table, written by benches/table.py -->\n"
END = "<!-- end of speed table -->"

#: in the order of the table
BENCHES = [f"bench_{name}.py" for name in ("mel", "threads", "startup", "memory")]

#: the case that is measured again as a processor without AVX-512 would run it
EIGHT_LANES = "bench_mel.py::bench_log_mel[60 s, 22.05 kHz, 2048/512/128]"


def measure(*benches, **environment):
    """Run benches in a new process and return pytest-benchmark's report on them."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.json")
        command = [sys.executable, "-m", "pytest", "--quiet", f"--benchmark-json={report}"]
        targets = [str(HERE / bench) for bench in benches]
        environment = {**os.environ, **environment}
        subprocess.run([*command, *targets], env=environment, cwd=HERE.parent, check=True)
        return json.loads(report.read_text())


def digest(report, note=""):
    """Reduce a report to what is worth keeping: one dict per bench, times in seconds."""
    return [
        {
            "bench": bench["name"] + note,
            "median": bench["stats"]["median"],
            "rounds": bench["stats"]["rounds"],
            **bench["extra_info"],
        }
        for bench in report["benchmarks"]
    ]


def time_text(seconds):
    for unit, scale in ("s", 1), ("ms", 1e3):
        if seconds * scale >= 1:
            return f"{seconds * scale:.3g} {unit}"
    return f"{seconds * 1e6:.3g} µs"


def title(entry):
    name, _, case = entry["bench"].removeprefix("bench_").partition("[")
    return ", ".join(filter(None, (name.replace("_", " "), case.replace("]", ""))))


def rows(entry):
    """Write the table's lines for one bench: one for each rival."""
    if memory := entry.get("working memory KiB"):
        sizes = ", ".join(f"{kib} KiB for {length}" for length, kib in memory.items())
        return [f"| {title(entry)} | {sizes} | | | |"]
    ours = f"| {title(entry)} | {time_text(entry['median'])}"
    if frames := entry.get("frames"):
        ours += f", {1e6 * entry['median'] / frames:.3g} µs a frame"
    against = [
        f"| {name} | {time_text(rival['median'])} | {rival['ratio']:.3g}x |"
        for name, rival in entry.get("rivals", {}).items()
    ] or ["| | | |"]
    return [f"{ours} {against[0]}", *(f"| | {other}" for other in against[1:])]


def table(results):
    return "\n".join(
        [
            f"{results['machine']}; {results['versions']}.",
            "One thread where no other number is named; calls are made in turns in one process,",
            "times are medians, and a ratio is the median of the other's time over fastmel's.",
            "",
            "| work | fastmel | against | takes | ratio |",
            "|---|---|---|---|---|",
            *(line for entry in results["benches"] for line in rows(entry)),
            "",
        ]
    )


def environment(report):
    """Describe where a report's figures come from."""
    packages = ("fastmel", "librosa", "numpy", "scipy", "numba")
    versions = ", ".join(f"{package} {version(package)}" for package in packages)
    return {
        "machine": report["machine_info"]["cpu"]["brand_raw"],
        "versions": f"Python {platform.python_version()}, {versions}",
    }


def replace_table(path, text):
    """Put a table between the marks in a file."""
    before, rest = path.read_text().split(BEGIN)
    path.write_text(before + BEGIN + text + END + rest.split(END)[1])


def write_calls():
    """Measure every call, and write benches/README.md."""
    report = measure("bench_calls.py")
    lines = []
    for entry in digest(report):
        name = entry["bench"].removeprefix("bench_call[").removesuffix("]")
        rival = entry["rivals"]["librosa"]
        ours, theirs = time_text(entry["median"]), time_text(rival["median"])
        lines.append(f"| {name} | {ours} | {theirs} | {rival['ratio']:.3g}x |")
    where = environment(report)
    head = ["", "| call | fastmel | librosa | ratio |", "|---|---|---|---|"]
    replace_table(
        CALLS, "\n".join([f"{where['machine']}; {where['versions']}.", *head, *lines, ""])
    )


def write_all():
    report = measure(*BENCHES)
    with tempfile.TemporaryDirectory() as cache:
        narrow = measure(
            EIGHT_LANES,
            NUMBA_CPU_NAME="haswell",
            NUMBA_CPU_FEATURES="",
            FASTMEL_CACHE_DIR=cache,
        )
    benches = digest(report) + digest(narrow, note=", 8 lanes (AVX2)")
    results = environment(report) | {"benches": benches}
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    replace_table(README, table(results))
    write_calls()


if __name__ == "__main__":
    write_calls() if sys.argv[1:] == ["calls"] else write_all()
