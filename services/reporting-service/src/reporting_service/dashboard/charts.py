"""Charts as Vega-Lite specifications, and the drawing board that turns them into SVG.

The specifications are pure functions of the figures. A chart is drawn once and kept by its specification: the same
figures give the same picture.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import subprocess
import sys
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

BLUE, ORANGE, RED, GREY, INK, SECONDARY, LINE = (
    "#1d70b8",
    "#f47738",
    "#942514",
    "#b1b4b6",
    "#0b0c0c",
    "#505a5f",
    "#dfe1e3",
)
STANDING_COLOURS = {"In time": BLUE, "Late": ORANGE, "Overdue": RED, "Not yet due": GREY}
WIDE, NARROW = 960, 470
Spec = dict[str, Any]


def months(rows: Sequence[Mapping[str, Any]]) -> Spec:
    """Reviews due per month, stacked by how they stand. Rows: month (label, in order), standing, n."""
    names = list(STANDING_COLOURS)
    return _frame(
        260,
        [{**row, "order": names.index(row["standing"])} for row in rows],
        mark={"type": "bar", "stroke": "white", "strokeWidth": 1},
        encoding={
            "x": {
                "field": "month",
                "type": "ordinal",
                "sort": None,
                "title": None,
                "axis": {"labelAngle": 0},
            },
            "y": {"field": "n", "type": "quantitative", "title": "Reviews", "axis": {"tickMinStep": 1}},
            "color": {
                "field": "standing",
                "type": "nominal",
                "scale": {"domain": names, "range": list(STANDING_COLOURS.values())},
                "legend": {"orient": "top", "title": None},
            },
            "order": {"field": "order"},
        },
    )


def backlog(rows: Sequence[Mapping[str, Any]]) -> Spec:
    """Overdue reviews by how long. Rows: band (in order), n."""
    room = 1.25 * max([1, *(row["n"] for row in rows)])  # for the number behind the longest bar
    x = {"field": "n", "type": "quantitative", "title": None, "axis": None, "scale": {"domain": [0, room]}}
    y = {"field": "band", "type": "nominal", "sort": None, "title": None, "axis": {"labelLimit": 260}}
    return _frame(
        30 * len(rows),
        rows,
        width=NARROW,
        layer=[
            {"mark": {"type": "bar", "color": RED}, "encoding": {"x": x, "y": y}},
            {
                "mark": {
                    "type": "text",
                    "align": "left",
                    "dx": 6,
                    "fontSize": 16,
                    "color": INK,
                    "fontWeight": "bold",
                },
                "encoding": {"x": x, "y": y, "text": {"field": "n", "format": ",d"}},
            },
        ],
    )


def trajectory(
    lines: Sequence[Mapping[str, Any]], cohorts: Sequence[Mapping[str, Any]], start: date, end: date
) -> Spec:
    """Final plans for phase transfers, added up by week, as a share of each cohort, against its date. Lines: cohort,
    week, share (0 to 1). Cohorts: cohort, limit (day), label."""
    colour = {
        "field": "cohort",
        "type": "nominal",
        "scale": {"domain": [c["cohort"] for c in cohorts], "range": [BLUE, ORANGE]},
        "legend": {
            "orient": "top",
            "title": None,
            "symbolType": "stroke",
            "symbolStrokeWidth": 4,
            "labelLimit": 400,
        },
    }
    x = {
        "type": "temporal",
        "title": None,
        "scale": {"domain": [start.isoformat(), end.isoformat()]},
        "axis": {"format": "%b", "tickCount": "month", "grid": False},
    }
    y = {
        "field": "share",
        "type": "quantitative",
        "title": "Share of the children",
        "scale": {"domain": [0, 1]},
        "axis": {"format": "%"},
    }
    values = {"values": list(cohorts)}
    return _frame(
        260,
        lines,
        layer=[
            {
                "mark": {"type": "line", "interpolate": "step-after", "strokeWidth": 4},
                "encoding": {"x": {**x, "field": "week"}, "y": y, "color": colour},
            },
            {
                "data": values,
                "mark": {"type": "rule", "strokeDash": [6, 4], "strokeWidth": 3},
                "encoding": {"x": {**x, "field": "limit"}, "color": colour},
            },
            {
                "data": values,
                "mark": {"type": "text", "align": "right", "dx": -6, "y": 8, "fontSize": 15, "color": INK},
                "encoding": {"x": {**x, "field": "limit"}, "text": {"field": "label"}},
            },
        ],
    )


def _frame(height: int, rows: Sequence[Mapping[str, Any]], *, width: int = WIDE, **rest: Any) -> Spec:
    label = {
        "labelFontSize": 15,
        "labelColor": INK,
        "titleFontSize": 15,
        "titleColor": SECONDARY,
        "titleFontWeight": 400,
    }
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
        "width": width,
        "height": height,
        "autosize": {"type": "fit-x", "contains": "padding"},
        "background": None,
        "data": {"values": list(rows)},
        "config": {
            "font": "Arial, sans-serif",
            "view": {"stroke": None},
            "axis": {**label, "gridColor": LINE, "domainColor": SECONDARY, "tickColor": SECONDARY},
            "axisY": {"domain": False, "ticks": False, "labelPadding": 8},
            "legend": {
                "labelFontSize": 16,
                "labelColor": INK,
                "symbolSize": 220,
                "columnPadding": 24,
                "offset": 14,
            },
        },
        **rest,
    }


# --- drawing ------------------------------------------------------------------------------------------------------


class DrawingBoard:
    """Draws in a child process, one chart at a time, and keeps the newest pictures."""

    def __init__(self, *, keep: int = 64, seconds: float = 20.0) -> None:
        self._keep, self._seconds = keep, seconds
        self._pictures: OrderedDict[str, str] = OrderedDict()
        self._child: subprocess.Popen[str] | None = None
        self._turn = threading.Lock()

    async def svg(self, spec: Spec) -> str:
        """The picture of a specification. Raises `ChartFailed` if it cannot be drawn."""
        asked = json.dumps(spec, sort_keys=True)
        key = hashlib.sha256(asked.encode()).hexdigest()
        if key not in self._pictures:
            drawn = await asyncio.to_thread(self._draw, asked)
            self._pictures[key] = _own_ids(drawn, key[:8])
            while len(self._pictures) > self._keep:
                self._pictures.popitem(last=False)
        self._pictures.move_to_end(key)
        return self._pictures[key]

    def _draw(self, spec: str) -> str:
        with self._turn:
            child = self._living()
            watchdog = threading.Timer(self._seconds, child.kill)
            watchdog.start()
            try:
                assert child.stdin
                assert child.stdout
                child.stdin.write(spec + "\n")
                child.stdin.flush()
                line = child.stdout.readline()
            except OSError as error:
                raise ChartFailed from error
            finally:
                watchdog.cancel()
            if not line:
                self._child = None
                child.wait()
                raise ChartFailed
            drawn = json.loads(line)
            assert isinstance(drawn, str)
            return drawn

    def _living(self) -> subprocess.Popen[str]:
        if self._child is None or self._child.poll() is not None:
            self._child = subprocess.Popen(
                [sys.executable, "-m", "reporting_service.dashboard.draw"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                process_group=0,  # Ctrl-C is the service's; the child ends with its input
            )
        return self._child

    def close(self) -> None:
        """End the child, if there is one."""
        with self._turn:
            if self._child is not None:
                self._child.communicate()
                self._child = None


class ChartFailed(Exception):
    """A chart could not be drawn; its table says the same."""


def _own_ids(svg: str, prefix: str) -> str:
    """Make the ids in a picture its own, for several pictures share a page; and hide it from screen readers, which
    have the table."""
    svg = re.sub(r'(id="|url\(#)', rf"\g<1>c{prefix}-", svg)
    return svg.replace("<svg ", '<svg aria-hidden="true" focusable="false" ', 1)
