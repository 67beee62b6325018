"""How the page of ``dcn report`` writes scores and tells runs apart."""

from __future__ import annotations

import math
from typing import Any, Sequence

from dcn.webpage import charts
from dcn.webpage.document import (
    Html,
)

POINTS = 300  # of a line: more are averaged


def points(value: float | None) -> str:
    """A score of 0..1 in points; a dash where there is none."""
    return '-' if value is None or not math.isfinite(value) else f'{100 * value:.1f}'


def change(value: float) -> str:
    """A difference of scores in points, with its sign."""
    return f'{round(100 * value, 1) + 0.0:+.1f}' if math.isfinite(value) else '-'


def run_keys(named: Sequence[tuple[str, Any]]) -> list[Html]:
    """The colours of several runs, (title, anything) each; nothing for one."""
    return [charts.keys([title for title, _ in named])] if len(named) > 1 else []
