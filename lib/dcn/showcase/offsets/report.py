"""A Study in words and numbers: for a terminal, and as plain values."""

from __future__ import annotations

import os
from typing import Any

from dcn.showcase.offsets.measures import BACKGROUND, CATEGORIES, PUBLISHED, SIZES
from dcn.showcase.offsets.study import Fields, Study
from dcn.showcase.offsets.survey import LayerSurvey, orderings
from dcn.text import table

HEAD = ('layer', 'regular', *CATEGORIES, 'rank correlation')
RIGHT = range(1, len(HEAD))
SQUARE = '\u00b2'


def with_spread(mean: float | None, std: float | None) -> str:
    """'2.3 ± 0.4', or a dash where nothing was measured."""
    return '-' if mean is None or std is None else f'{_short(mean)} \u00b1 {_short(std)}'


def _short(value: float) -> str:
    """Two digits behind the point; of what no sound network gives, the first three in all."""
    return f'{value:.2f}' if abs(value) < 1e4 else f'{value:.3g}'


def percent(share: float | None) -> str:
    if share is None:
        return '-'
    return f'{100 * share:.1f} %' if abs(share) < 100 else f'{100 * share:.3g} %'


def dilation_rows(found: Study) -> list[list[str]]:
    """Rows under HEAD: effective dilations in cells, the last layer first, as in the paper's table 2."""
    rows = []
    for each in reversed(found.layers):
        values = [each.places[name].dilation for name in CATEGORIES]
        correlation = '-' if each.correlation is None else f'{each.correlation:.2f}'
        cells = [with_spread(value.mean, value.std) for value in values]
        rows.append([each.layer.name, f'{each.layer.dilate}', *cells, correlation])
    return rows


FIELD_HEAD = ('', '', 'half', 'nine tenths', 'inside the box')
PART_HEAD = ('class', 'objects', 'mean offset', 'spread', 'outwards')


def border_rows(found: Study) -> list[list[str]]:
    """Two rows for each layer under ('', *CATEGORIES): lengths of offsets in cells, and the shares of samples outside
    the map, in brackets those of regular filters."""
    rows = []
    for each in reversed(found.layers):
        places = [each.places[name] for name in CATEGORIES]
        rows.append([f'{each.layer.name}: offset', *(with_spread(p.moved.mean, p.moved.std) for p in places)])
        shares = [f'{percent(p.outside_share)} ({percent(p.regular_share)})' if p.taps else '-' for p in places]
        rows.append([f'{each.layer.name}: outside', *shares])
    return rows


def field_rows(found: Study) -> list[list[str]]:
    """Rows under FIELD_HEAD: mean extents of receptive fields in pixels, for each category and column."""
    rows = []
    for name in CATEGORIES:
        for k, column in enumerate(found.fields):
            cells = mean_extent(column, name)
            if cells is not None:
                half, most, inside = cells
                places = len(column.extents[name])
                first = f'{name}, {places} place{"s" * (places > 1)}' if k == 0 else ''
                rows.append([first, column.title, f'{half:.1f}', f'{most:.1f}', percent(inside)])
    return rows


def part_rows(found: Study) -> list[list[str]]:
    """Rows under PART_HEAD: offsets of parts for each class."""
    return [
        [
            found.scenes.names[each.label],
            f'{each.count}',
            percent(each.length),
            percent(each.std),
            f'{"+" * (each.outwards >= 0)}{percent(each.outwards)}',
        ]
        for each in found.parts or ()
    ]


def sizes_text(found: Study) -> str:
    """What small, medium and large mean here, and how many objects are."""
    low, high = (f'{value:.3g}{SQUARE}' for value in found.limits[:2])
    why = {
        'paper': "the paper's sizes",
        'coco': "COCO's sizes",
        'thirds': 'a third of the objects each',
        'given': 'as given',
    }[found.limits.rule]
    small, medium, large = (found.counts[name] for name in SIZES)
    return (
        f'by the area of the box in pixels: small below {low} ({small} objects), medium to {high} ({medium}), large '
        f'from there on ({large}); {why}'
    )


def findings(found: Study) -> list[str]:
    """What the numbers say, a sentence each."""
    lines = []
    held = orderings(found.layers)
    grows, between = held['grows with size'], held['background between medium and large']
    if grows:
        lines.append(
            f'Filters spread wider on larger objects (small < medium < large) in {_of(grows)}; in the paper in all '
            'three.'
        )
        lines.append(
            f'On the background they spread between those on medium and on large objects in {_of(between)}; in the '
            'paper in all three.'
        )
    else:
        lines.append(
            'The paper\u2019s orderings cannot be judged: there are not places in all of small, medium, large and '
            'background.'
        )
    last = found.layers[-1]
    if last.correlation is not None:
        lines.append(
            f'Over the {len(last.sides)} objects with a filter of {last.layer.name} on them, size and mean effective '
            f'dilation have a rank correlation of {last.correlation:.2f}.'
        )
    everywhere = [sum(getattr(p, key) for p in last.places.values()) for key in ('outside', 'regular_outside', 'taps')]
    if everywhere[2]:
        lines.append(
            f'Of the samples of {last.layer.name}, {percent(everywhere[0] / everywhere[2])} lie outside the map and '
            f'read zero; of a regular filter\u2019s it would be {percent(everywhere[1] / everywhere[2])}.'
        )
    return lines + [line for line in [_field_line(found)] if line]


def _of(held):
    return f'{sum(held)} of {len(held)} layer{"s" * (len(held) > 1)}'


def _field_line(found):
    """How much of the gradient falls on the objects."""
    shares = []
    for column in found.fields:
        inside = [reach.inside for name in SIZES for reach in column.extents[name] if reach.inside is not None]
        if not inside:
            return ''
        shares.append(f'{percent(sum(inside) / len(inside))} {column.title}')
    return (
        f'Of the gradient of {found.field_layer} at the middle of objects, this much falls inside their boxes: '
        f'{", ".join(shares)}.'
        if shares
        else ''
    )


def lines(found: Study) -> list[str]:
    """For a terminal."""
    made = [f'{found.cfg.name}, {os.path.basename(found.params)}', f'{found.scenes.title}: {found.scenes.rule}', '']
    made += ['effective dilation in cells, mean and standard deviation']
    made += table(HEAD, dilation_rows(found), right=RIGHT)
    return made + ['', f'sizes {sizes_text(found)}', *findings(found)]


def values(found: Study) -> dict[str, Any]:
    """The numbers as plain values; lengths in cells of the layer's map unless they say pixels."""
    return {
        'network': found.cfg.name,
        'symbol': found.cfg.symbol,
        'checkpoint': found.params,
        'images': len(found.scenes.scenes),
        'data': found.scenes.title,
        'objects': found.scenes.rule,
        'sizes': {'low': found.limits.low, 'high': found.limits.high, 'rule': found.limits.rule, 'count': found.counts},
        'layers': [_layer(each) for each in found.layers],
        'orderings': orderings(found.layers),
        'published': {
            layer: dict(zip(CATEGORIES, ({'mean': mean, 'std': std} for mean, std in row)))
            for layer, row in PUBLISHED.items()
        },
        'receptive_fields': {
            'layer': found.field_layer,
            'columns': [_fields(column) for column in found.fields],
        },
        'parts': None if found.parts is None else [_parts(each, found.scenes.names) for each in found.parts],
        'findings': findings(found),
    }


def _layer(each: LayerSurvey) -> dict[str, Any]:
    layer = each.layer
    return {
        'name': layer.name,
        'kernel': layer.kernel,
        'dilate': layer.dilate,
        'groups': layer.groups,
        'rule': layer.rule,
        'modulated': bool(layer.mask),
        'stride_pixels': sorted(each.strides),
        'rank_correlation': each.correlation,
        'objects': [{'side_pixels': side, 'dilation': mean} for side, mean in zip(each.sides, each.means)],
        'categories': {
            name: {
                'filters': places.dilation.count,
                'dilation': {
                    'mean': places.dilation.mean,
                    'std': places.dilation.std,
                    'quantiles': {str(q): places.dilation.quantile(q) for q in (0.05, 0.25, 0.5, 0.75, 0.95)},
                },
                'tap_moves': {'mean': places.moved.mean, 'std': places.moved.std},
                'outside': places.outside_share,
                'outside_regular': places.regular_share,
                'mask': {'mean': places.mask.mean, 'std': places.mask.std} if layer.mask else None,
            }
            for name, places in each.places.items()
        },
    }


def mean_extent(column: Fields, category: str) -> tuple[float, float, float | None] | None:
    """(half, most, inside) as means over the places of a category; None where there are none."""
    found = column.extents[category]
    if not found:
        return None
    inside = [reach.inside for reach in found if reach.inside is not None]
    return (
        sum(reach.half for reach in found) / len(found),
        sum(reach.most for reach in found) / len(found),
        sum(inside) / len(inside) if inside and category != BACKGROUND else None,
    )


def _fields(column):
    found = {name: mean_extent(column, name) for name in CATEGORIES}
    keys = ('half_side_pixels', 'most_side_pixels', 'inside_box')
    return {
        'title': column.title,
        'categories': {name: value and dict(zip(keys, value)) for name, value in found.items()},
    }


def _parts(each, names):
    return {
        'class': names[each.label],
        'objects': each.count,
        'mean_move': each.mean.tolist(),
        'length': each.length,
        'std': each.std,
        'outwards': each.outwards,
    }
