"""Charts as SVG within a page: they take its colours, also in the dark, and stay sharp at any size."""

from __future__ import annotations

import math
from typing import Iterator, NamedTuple, Sequence

import numpy as np

from dcn.webpage.document import Html, element, escaped, joined

COLOURS = 8  # variables --s0 to --s7 of colours.css
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 10, 40  # pixels around the area where things are drawn


class Series(NamedTuple):
    """Points (N,), (N,) under one name; where x or y is not finite a line is broken."""

    name: str
    x: Sequence[float]
    y: Sequence[float]


def lines(
    series: Sequence[Series],
    x_label: str = '',
    y_label: str = '',
    x_range: tuple[float, float] | None = None,
    y_range: tuple[float, float] | None = None,
    filled: bool = False,
    width: int = 460,
    height: int = 250,
    legend: bool = True,
) -> Html:
    """A line for each Series, its name above (unless ``legend`` is False: see keys). filled: with the area below it
    tinted."""

    def drawn(place, number, one):
        found = []
        for part in _unbroken(one):
            points = ' '.join(f'{x:.1f},{y:.1f}' for x, y in map(place, *part))
            if filled:
                (x1, base), (x2, _) = place(part[0][0], area.y[0]), place(part[0][-1], area.y[0])
                found.append(
                    f'<polygon points="{x1:.1f},{base:.1f} {points} {x2:.1f},{base:.1f}" '
                    f'style="fill: var(--s{number}); fill-opacity: .13"/>'
                )
            found.append(
                f'<polyline points="{points}" style="fill: none; stroke: var(--s{number}); stroke-width: 1.8; '
                'stroke-linejoin: round"/>'
            )
        return ''.join(found)

    area = _Area(series, x_range, y_range, width, height)
    return _chart(area, series, drawn, x_label, y_label, legend)


def scatter(
    series: Sequence[Series],
    x_label: str = '',
    y_label: str = '',
    x_range: tuple[float, float] | None = None,
    y_range: tuple[float, float] | None = None,
    width: int = 460,
    height: int = 250,
) -> Html:
    """A dot for each point of each Series."""

    def drawn(place, number, one):
        dots = ''.join(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.3"/>' for part in _unbroken(one) for x, y in map(place, *part)
        )
        return f'<g style="fill: var(--s{number}); fill-opacity: .5">{dots}</g>'

    return _chart(_Area(series, x_range, y_range, width, height), series, drawn, x_label, y_label)


def keys(names: Sequence[str]) -> Html:
    """The colours of the Series and what they stand for."""
    return element(
        'div',
        joined(
            [
                element(
                    'span',
                    joined([element('i', '', style=f'background: var(--s{k % COLOURS})'), name], ''),
                    class_='key',
                )
                for k, name in enumerate(names)
            ],
            '',
        ),
        class_='note',
    )


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Round numbers from ``low`` to ``high``, at most ``most`` of them: 1, 2 or 5 times a power of ten apart."""
    if not high > low:
        return [low]
    rough = (high - low) / max(1, most - 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - 1e-9))
    first = math.ceil(low / step - 1e-9)
    return [number * step for number in range(first, int(math.floor(high / step + 1e-9)) + 1)]


class _Area:
    """Ranges of a chart's axes, and the way from values to pixels."""

    def __init__(
        self,
        series: Sequence[Series],
        x_range: tuple[float, float] | None,
        y_range: tuple[float, float] | None,
        width: int,
        height: int,
    ):
        self.x = x_range or _range([value for one in series for value in one.x])
        self.y = y_range or _range([value for one in series for value in one.y])
        self.width, self.height = width, height

    def place(self, x, y):
        """(x, y) in pixels of a value; what lies outside the ranges is moved to their edge."""
        across, down = ((min(max(v, low), high) - low) / (high - low) for v, (low, high) in ((x, self.x), (y, self.y)))
        return (
            LEFT + across * (self.width - LEFT - RIGHT),
            self.height - BOTTOM - down * (self.height - TOP - BOTTOM),
        )


def _range(values: Sequence[float]) -> tuple[float, float]:
    finite = [float(value) for value in values if np.isfinite(value)]
    low, high = (min(finite), max(finite)) if finite else (0.0, 1.0)
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _unbroken(one):
    """[(x values, y values)] of the runs of finite points."""
    runs: list[tuple[list[float], list[float]]] = []
    here: tuple[list[float], list[float]] = ([], [])
    for x, y in zip(one.x, one.y):
        if np.isfinite(x) and np.isfinite(y):
            here[0].append(float(x))
            here[1].append(float(y))
        elif here[0]:
            runs.append(here)
            here = ([], [])
    return runs + ([here] if here[0] else [])


def _chart(area, series, drawn, x_label, y_label, legend=True):
    parts = [*_axes(area), *_labels(area, x_label, y_label)]
    parts += [drawn(area.place, number % COLOURS, one) for number, one in enumerate(series)]
    text = escaped(f'{y_label} over {x_label}: {", ".join(one.name for one in series)}')
    chart = Html(
        f'<svg class="chart" viewBox="0 0 {area.width} {area.height}" role="img" aria-label="{text}">'
        f'{"".join(parts)}</svg>'
    )
    return joined([keys([one.name for one in series]), chart]) if legend and len(series) > 1 else chart


def _axes(area: _Area) -> Iterator[str]:
    """Grid lines with their numbers."""
    left, bottom = area.place(area.x[0], area.y[0])
    right, top = area.place(area.x[1], area.y[1])
    for value in ticks(*area.y, most=5):
        _, y = area.place(area.x[0], value)
        yield f'<path class="grid" d="M{left:.1f},{y:.1f}H{right:.1f}"/>'
        yield f'<text x="{left - 7:.1f}" y="{y + 4:.1f}" text-anchor="end">{_number(value)}</text>'
    for value in ticks(*area.x):
        x, _ = area.place(value, area.y[0])
        yield f'<path class="axis" d="M{x:.1f},{bottom:.1f}v4"/>'
        yield f'<text x="{x:.1f}" y="{bottom + 17:.1f}" text-anchor="middle">{_number(value)}</text>'
    yield f'<path class="axis" d="M{left:.1f},{bottom:.1f}H{right:.1f}"/>'


def _labels(area, x_label, y_label):
    left, bottom = area.place(area.x[0], area.y[0])
    right, top = area.place(area.x[1], area.y[1])
    yield f'<text x="{(left + right) / 2:.1f}" y="{area.height - 5}" text-anchor="middle">{escaped(x_label)}</text>'
    yield (
        f'<text transform="translate(12,{(top + bottom) / 2:.1f}) rotate(-90)" text-anchor="middle">'
        f'{escaped(y_label)}</text>'
    )


def _number(value):
    """A tick in few letters: 20k for 20000."""
    value = round(value, 10) + 0.0
    return f'{value / 1000:g}k' if abs(value) >= 10000 else f'{value:g}'


def bars(rows: Sequence[tuple[str, Sequence[float]]], names: Sequence[str], digits: int = 1, width: int = 460) -> Html:
    """Horizontal bars with their values: for each row (label, values) one bar for each of ``names``; nan: none."""
    most = max((value for _, values in rows for value in values if np.isfinite(value)), default=0.0) or 1.0
    left, thick, gap = 110, 15, 8
    room, y, parts = width - left - 48, 4.0, []
    for label, values in rows:
        middle = y + thick * len(values) / 2 + 4
        parts.append(f'<text x="{left - 8}" y="{middle:.1f}" text-anchor="end">{escaped(label)}</text>')
        for number, value in enumerate(values):
            if np.isfinite(value):
                length = max(1.0, room * value / most)
                parts.append(
                    f'<rect x="{left}" y="{y:.1f}" width="{length:.1f}" height="{thick - 2}" rx="2" '
                    f'style="fill: var(--s{number % COLOURS})"/>'
                    f'<text class="value" x="{left + length + 6:.1f}" y="{y + thick - 3:.1f}">{value:.{digits}f}</text>'
                )
            y += thick
        y += gap
    text = escaped('; '.join(f'{label} {", ".join(f"{v:.{digits}f}" for v in values)}' for label, values in rows))
    chart = Html(
        f'<svg class="chart" style="max-width: {width}px" viewBox="0 0 {width} {y:.0f}" role="img" '
        f'aria-label="{text}">{"".join(parts)}</svg>'
    )
    return joined([keys(names), chart]) if len(names) > 1 else chart


def shares(rows: Sequence[tuple[str, Sequence[float]]], names: Sequence[str], width: int = 700) -> Html:
    """One bar for each row (label, values), divided into ``names`` by their share of the row's sum."""
    left, thick = (150, 24) if any(label for label, _ in rows) else (0, 24)
    parts = []
    for row, (label, values) in enumerate(rows):
        x, y, total = float(left), 4 + row * (thick + 8), sum(values) or 1.0
        parts.append(f'<text x="{left - 8}" y="{y + 16}" text-anchor="end">{escaped(label)}</text>' if label else '')
        for number, value in enumerate(values):
            length = (width - left) * value / total
            parts.append(
                f'<rect x="{x:.1f}" y="{y}" width="{length:.1f}" height="{thick}" '
                f'style="fill: var(--s{number % COLOURS})"><title>{escaped(names[number])} {value / total:.1%}</title>'
                '</rect>'
            )
            if length > 34:
                parts.append(
                    f'<text x="{x + length / 2:.1f}" y="{y + 16}" text-anchor="middle" style="fill: var(--card)">'
                    f'{100 * value / total:.0f} %</text>'
                )
            x += length
    height = 4 + len(rows) * (thick + 8)
    chart = Html(
        f'<svg class="chart" style="max-width: {width}px" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="shares of {escaped(", ".join(names))}">{"".join(parts)}</svg>'
    )
    return joined([keys(names), chart])


def matrix(
    rows: Sequence[str],
    columns: Sequence[str],
    values: np.ndarray,
    texts: Sequence[Sequence[str]],
    corner: str = '',
) -> Html:
    """A table whose cells are tinted by ``values`` (r, c) in 0 .. 1, the diagonal in another colour; ``texts``: in
    them."""

    def cell(r, c):
        strength = 100 * float(np.clip(values[r, c], 0, 1)) ** 0.7 * 0.72
        colour = 's2' if rows[r] == columns[c] else 's1'
        style = f'background: color-mix(in srgb, var(--{colour}) {strength:.0f}%, transparent)'
        return element('td', texts[r][c], class_='n', style=style if values[r, c] > 0 else None)

    head = joined([element('th', corner), *(element('th', element('span', name), scope='col') for name in columns)], '')
    body = [
        element('tr', joined([element('th', name, scope='row'), *(cell(r, c) for c in range(len(columns)))], ''))
        for r, name in enumerate(rows)
    ]
    content = joined([element('thead', element('tr', head)), element('tbody', joined(body))])
    return element('div', element('table', content, class_='matrix'), class_='scroll')
