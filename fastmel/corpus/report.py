"""A run as one HTML page that needs nothing else: how much, how fast, how long, what failed."""

import base64
import contextlib
import json
import struct
import zlib
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastmel.corpus.plan import Plan, load_plan
from fastmel.corpus.run import EVENTS
from fastmel.corpus.work import report_of

__all__ = ["page"]

#: failures of a class that are listed
_LISTED = 200

#: columns of the picture, which shards are put together in
_COLUMNS = 512

#: events further apart than this belong to different runs, in seconds
_PAUSE = 300.0

_WIDTH, _HEIGHT = 640, 200


def page(folder: Path) -> str:
    """Return the report of a run, finished or not."""
    plan = load_plan(folder)
    sides = [plan.side(index) for index in plan.complete()]
    reports = [report_of(side) for side in sides]
    items = [item for side in sides for item in side["items"]]
    failures = [failure for side in sides for failure in side["failures"]]
    seconds = sum(report["seconds"] for report in reports)
    totals = {
        "inputs": f"{plan.n_items:,}",
        "written": f"{len(items):,}",
        "failed": f"{len(failures):,}",
        "not worked on yet": f"{plan.n_items - len(items) - len(failures):,}",
        "audio": f"{seconds / 3600:,.2f} h",
        "frames": f"{sum(report['frames'] for report in reports):,}",
        "features": f"{sum(report['bytes'] for report in reports) / 1e6:,.1f} MB",
        "shards": f"{len(sides):,} of {len(plan.shards):,}",
    }
    lengths = np.array([item["samples"] / item["sr"] for item in items])
    levels = np.array([item["level"] for item in items])
    sections = [
        ("Totals", _table(totals)),
        ("Throughput", _throughput(folder)),
        ("Lengths", _histogram(lengths, "s")),
        ("Levels", _histogram(levels, "dB re full scale")),
        ("Mean features", _picture(sides)),
        ("Failures", _failures(failures)),
        ("Front end", _table({"name": plan.settings["frontend"], **_given(plan)})),
        ("Versions", _table(plan.versions)),
    ]
    body = "\n".join(
        f"<section><h2>{title}</h2>\n{content}</section>" for title, content in sections if content
    )
    return _PAGE.format(title=escape(str(folder)), style=_STYLE, body=body)


def _given(plan: Plan) -> dict[str, Any]:
    """The options in which the configuration differs from the default."""
    options: dict[str, Any] = json.loads(plan.config.to_json())
    return options


def _table(rows: dict[str, Any]) -> str:
    cells = (f"<tr><th>{escape(k)}<td>{escape(_short(v))}" for k, v in rows.items())
    return f"<table>{''.join(cells)}</table>"


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 100 else f"{text[:97]}..."


def _throughput(folder: Path) -> str:
    """Times real time, in up to a hundred stretches of the time that runs took."""
    events = list(_events(folder / EVENTS))
    if len(events) < 3:
        return ""
    times = np.array([event["time"] for event in events])
    steps = np.diff(times)
    elapsed = np.concatenate([[0.0], np.cumsum(np.where(steps < _PAUSE, steps, 0.0))])
    audio = np.cumsum([event["seconds"] for event in events])
    edges = np.linspace(0, max(elapsed[-1], 1e-3), min(len(events), 100))
    rates = np.diff(np.interp(edges, elapsed, audio)) / np.diff(edges)
    return _bars(rates, f"times real time; from 0 to {elapsed[-1]:,.0f} s of work")


def _events(path: Path) -> Iterator[dict[str, Any]]:
    """Read what lines are whole: a run that is killed may write half of one."""
    for line in path.read_text().splitlines() if path.exists() else ():
        with contextlib.suppress(ValueError):
            yield json.loads(line)


def _histogram(values: NDArray[np.float64], unit: str) -> str:
    if not len(values):
        return ""
    counts, edges = np.histogram(values, bins=min(60, max(5, len(values))))
    low, middle, high = np.percentile(values, (5, 50, 95))
    quantiles = f"5 %: {low:.2f}, median: {middle:.2f}, 95 %: {high:.2f}"
    return _bars(counts, f"items; from {edges[0]:.2f} to {edges[-1]:.2f} {unit} ({quantiles})")


def _bars(heights: Sequence[float] | NDArray[Any], caption: str) -> str:
    largest, width = max(heights), _WIDTH / len(heights)
    bars = "".join(
        f'<rect x="{i * width:.2f}" y="{_HEIGHT * (1 - height / largest):.2f}" '
        f'width="{0.9 * width:.2f}" height="{_HEIGHT * height / largest:.2f}"/>'
        for i, height in enumerate(heights)
        if height > 0
    )
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" preserveAspectRatio="none">{bars}</svg>'
        f"<p>up to {largest:,.0f} {escape(caption)}</p>"
    )


def _picture(sides: list[dict[str, Any]]) -> str:
    """The mean of each feature, along the corpus: a column for some shards, low bands below."""
    sides = [side for side in sides if side["items"]]
    if not sides:
        return ""
    each = np.array([side["mean_features"] for side in sides])
    frames = np.array([sum(item["frames"] for item in side["items"]) for side in sides])
    groups = np.array_split(np.arange(len(frames)), min(len(frames), _COLUMNS))
    columns = [np.average(each[group], axis=0, weights=frames[group]) for group in groups]
    means = np.array(columns).T[::-1]
    low, high = means.min(), means.max()
    shades = np.round(255 * (means - low) / max(high - low, 1e-12)).astype(np.uint8)
    image = base64.b64encode(_png(shades)).decode()
    return (
        f'<img class="pixels" alt="mean features" src="data:image/png;base64,{image}">'
        f"<p>from {low:.2f} (black) to {high:.2f} (white), along the corpus</p>"
    )


def _png(shades: NDArray[np.uint8]) -> bytes:
    """Encode a grey picture (rows, columns)."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    rows, columns = shades.shape
    header = struct.pack(">IIBBBBB", columns, rows, 8, 0, 0, 0, 0)
    lines = b"".join(b"\0" + row.tobytes() for row in shades)
    chunks = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(lines)), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def _failures(failures: list[dict[str, Any]]) -> str:
    by_class: dict[str, list[dict[str, Any]]] = {}
    for failure in failures:
        by_class.setdefault(failure["class"], []).append(failure)
    return "".join(_failures_of(*one) for one in sorted(by_class.items()))


def _failures_of(class_: str, failures: list[dict[str, Any]]) -> str:
    def rows() -> Iterator[str]:
        for failure in failures[:_LISTED]:
            yield f"<tr><td>{escape(failure['path'])}<td>{escape(failure['message'])}"
        if len(failures) > _LISTED:
            yield f"<tr><td colspan=2>and {len(failures) - _LISTED:,} more"

    return (
        f"<details><summary>{escape(class_)}: {len(failures):,}</summary>"
        f"<table>{''.join(rows())}</table></details>"
    )


_STYLE = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { max-width: 44rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem; overflow-wrap: anywhere; } h2 { font-size: 1.1rem; margin-top: 2rem; }
table { border-collapse: collapse; } summary { cursor: pointer; }
th, td { text-align: left; vertical-align: top; padding: 0.1rem 1rem 0.1rem 0; }
th { font-weight: normal; opacity: 0.7; } td { overflow-wrap: anywhere; }
svg, img { width: 100%; height: 12rem; border-bottom: 1px solid; } svg { fill: #3a78c9; }
.pixels { image-rendering: pixelated; } p { margin: 0.3rem 0; opacity: 0.7; }
"""

_PAGE = """<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>fastmel: {title}</title>
<style>{style}</style>
<h1>{title}</h1>
{body}
</html>
"""
