"""The page of ``dcn offsets``."""

from __future__ import annotations

import os

import numpy as np

from dcn.showcase.offsets.measures import CATEGORIES, MOST, PUBLISHED
from dcn.showcase.offsets.parts import ClassParts
from dcn.showcase.offsets.report import (
    FIELD_HEAD,
    HEAD,
    PART_HEAD,
    RIGHT,
    border_rows,
    dilation_rows,
    field_rows,
    findings,
    part_rows,
    percent,
    sizes_text,
    with_spread,
)
from dcn.showcase.offsets.study import PART_IMAGES, Study
from dcn.showcase.offsets.survey import LayerSurvey
from dcn.visualize.canvas import beside, dashed_frame
from dcn.visualize.heat import draw_heat, tile
from dcn.visualize.parts import draw_coloured_parts, part_boxes
from dcn.visualize.sampling import draw_tree
from dcn.webpage import charts
from dcn.webpage.document import (
    Html,
    Section,
    code,
    document,
    element,
    facts,
    figure,
    folded,
    gallery,
    heading,
    joined,
    link,
    listing,
    note,
    paragraph,
    table,
)
from dcn.webpage.pictures import picture

PAPER = 'https://arxiv.org/abs/1703.06211'
TREE_SIDE, FIELD_SIDE, TILE_SIDE, PART_SIDE = 260, 260, 180, 240  # pixels of the pictures


def page(found: Study, command: str) -> str:
    """A Study as a page; ``command``: what was typed to make it."""
    sections = [_dilation(found), _border(found)]
    if any(each.layer.mask for each in found.layers):
        sections.append(_masks(found))
    sections += [_trees(found)] if found.trees else []
    sections += [_fields(found)] if found.fields else []
    sections += [_parts(found)] if found.parts else []
    sections.append(_method(found, command))
    lead = [element('ul', joined(element('li', line) for line in findings(found)))]
    subtitle = joined(
        [f'{found.cfg.symbol}, {os.path.basename(found.params)}. {found.scenes.title}.', found.scenes.rule], ' '
    )
    return document(f'Offsets of {found.cfg.name}', subtitle, sections, lead)


def _dilation(found):
    parts = [
        paragraph(
            'The effective dilation of a filter is the mean distance between neighbouring taps: how widely it looks, '
            'in cells of its map. A regular filter has its own dilation. Mean and standard deviation over all filters '
            'that are centred on an object of that size, or on none (',
            link('table 2 of the paper', PAPER),
            ').',
        ),
        table(HEAD, dilation_rows(found), RIGHT),
        note(f'Sizes {sizes_text(found)}.'),
        folded(
            'The published table 2: R-FCN, ResNet-101, VOC 2007 test',
            table(
                ('layer', *CATEGORIES),
                [[name, *(f'{mean} \u00b1 {std}' for mean, std in row)] for name, row in PUBLISHED.items()],
                range(1, 5),
            ),
            note('Small: area below 96\u00b2 pixels; medium: to 224\u00b2; large: above. res5 has a dilation of 2.'),
        ),
    ]
    for each in reversed(found.layers):
        parts += _layer(each)
    return Section('Effective dilation', 'dilation', parts)


def _layer(each: LayerSurvey) -> list[Html]:
    """One layer: a heading that links can end at, numbers, two charts."""
    layer = each.layer
    measured = [(name, each.places[name].dilation) for name in CATEGORIES if each.places[name].dilation.count]
    most = max([1.0, layer.dilate * 1.5] + [value.quantile(0.99) for _, value in measured])
    most = min(most, MOST)
    step = next(s for s in (0.05, 0.1, 0.2, 0.5, 1.0, 2.0) if most / s <= 64 or s == 2.0)
    densities = [charts.Series(name, *value.density(step, most)) for name, value in measured]
    highest = 1.05 * max([float(each.y.max()) for each in densities if len(each.y)] + [0.0]) or 1.0
    low = step * int(max(0.0, min([layer.dilate / 2] + [value.quantile(0.01) for _, value in measured])) / step)
    shown = [
        figure(
            charts.lines(densities, 'effective dilation in cells', 'density', (low, most), (0, highest), filled=True),
            'All filters, by what they are centred on.',
        )
    ]
    if len(each.sides) > 1:
        dots = charts.scatter(
            [charts.Series('object', each.sides, each.means)], 'side of the object in pixels', 'mean dilation'
        )
        shown.append(figure(dots, 'Each dot is an object: the mean over the filters that are centred on it.'))
    strides = ', '.join(f'{value:g}' for value in sorted(each.strides))
    kind = 'modulated, ' if layer.mask else ''
    groups = f'{layer.groups} deformable group{"s" * (layer.groups > 1)}'
    return [
        heading(layer.name, layer.name),
        note(
            f'{kind}{layer.kernel} x {layer.kernel}, dilation {layer.dilate}, {groups}, sampling rule {layer.rule}; '
            f'a cell is {strides} pixels of the network\u2019s input.'
        ),
        gallery(shown, 380),
    ]


def _border(found):
    return Section(
        'Offsets and the border',
        'border',
        [
            paragraph(
                'Length of the offsets in cells, mean and standard deviation; and the share of samples that lie '
                'outside the map, where they read zero, in brackets that of regular filters at the same places. A '
                'filter whose taps all move together looks elsewhere but no wider: its offsets are long, and its '
                'effective dilation stays what it is.'
            ),
            table(('', *CATEGORIES), border_rows(found), range(1, 5)),
        ],
    )


def _masks(found):
    rows = [
        [
            each.layer.name,
            *(with_spread(each.places[name].mask.mean, each.places[name].mask.std) for name in CATEGORIES),
        ]
        for each in reversed(found.layers)
        if each.layer.mask
    ]
    return Section(
        'Masks',
        'masks',
        [
            paragraph(
                'Modulated layers weigh each tap with a mask from 0 to 2; a network that has learned nothing gives 1. '
                'Mean and standard deviation.'
            ),
            table(('layer', *CATEGORIES), rows, range(1, 5)),
        ],
    )


def _trees(found):
    names = [layer.name for layer in found.chain]
    points = Html(f'{found.chain[0].kernel ** 2}' + (f'<sup>{len(names)}</sup>' if len(names) > 1 else ''))
    total = found.chain[0].kernel ** (2 * len(names))
    of_groups = (
        f' Taps are those of deformable group {found.group}, counted from 0, of {found.chain[0].groups}.'
        if found.chain[0].groups > 1
        else ''
    )
    faint = ' Points that masks weigh less are fainter.' if any(layer.mask for layer in found.chain) else ''
    shown = []
    for number, tree in enumerate(found.trees):
        spot = tree.spot
        read = f'{tree.moved.reads.sum()} of {len(tree.moved.reads)} points read something'
        caption = f'{spot.category}: {spot.text}. {read} ({tree.regular.reads.sum()} of a regular filter).'
        shown.append(figure(picture(tree_picture(found, number), caption), caption))
    return Section(
        'Sampling trees',
        'trees',
        [
            paragraph(
                'What one response of ',
                code(names[0]),
                f' reads through {_count(len(names))} deformable layer{"s" * (len(names) > 1)} ({", ".join(names)}): ',
                points,
                f' = {total} points' if len(names) > 1 else ' points',
                ' (figure 6 of the paper). Left, blue: with regular filters, whose points fall together. Right, red: '
                'as the offsets move them. Green: the response. Rings: points outside the map, or behind one outside, '
                f'which read nothing.{of_groups}{faint}',
            ),
            gallery(shown, 430),
        ],
    )


def tree_picture(found: Study, number: int) -> np.ndarray:
    """The regular tree number ``number`` and the moved one, side by side."""
    tree = found.trees[number]
    image = _boxed(found.images[tree.spot.scene], tree.spot.box)
    return beside(
        [
            draw_tree(image, what, tree.root, tree.size, TREE_SIDE, _margin(tree), moved)
            for what, moved in ((tree.regular, False), (tree.moved, True))
        ]
    )


def field_picture(found: Study, number: int) -> np.ndarray:
    """The receptive fields of all columns at the place of tree ``number``, side by side, equally bright."""
    spot = found.trees[number].spot
    most = max(float(np.quantile(column.shown[number], 0.999)) for column in found.fields)
    image = found.images[spot.scene]
    return beside(
        [draw_heat(image, column.shown[number], spot.point, spot.box, FIELD_SIDE, most) for column in found.fields]
    )


def _fields(found):
    shown = []
    for number, tree in enumerate(found.trees):
        spot = tree.spot
        inside = ', '.join(
            f'{percent(column.reach[number].inside)} {column.title}'
            for column in found.fields
            if column.reach[number].inside is not None
        )
        caption = f'{spot.category}: {spot.text}.' + (f' Inside the box: {inside}.' if inside else '')
        shown.append(figure(picture(field_picture(found, number), caption), caption))
    titles = [column.title for column in found.fields]
    compared = f' (plain: {found.beside.cfg.name})' if found.beside else ''
    return Section(
        'Receptive fields',
        'fields',
        [
            paragraph(
                'How much each pixel of the image moves a response of ',
                code(found.field_layer),
                ': the absolute gradient, summed over colours and channels, made to sum to 1 (figure 5 of the paper, '
                'measured as by Luo et al., ',
                link('arXiv 1701.04128', 'https://arxiv.org/abs/1701.04128'),
                f'). Side by side: {"; ".join(titles)}{compared}. With offsets at zero the weights stay those that '
                'were learned beside the offsets: that column shows what the offsets do, not how a network without '
                'them would look.',
            ),
            _mean_tiles(found, titles),
            table(FIELD_HEAD, field_rows(found), range(2, 5)),
            note(
                'Half and nine tenths: side in pixels of the image of a square with as many pixels as hold that part '
                'of the gradient. Inside the box: its share within the object\u2019s box.'
            ),
            gallery(shown, 160 * len(titles)),
        ],
    )


def _mean_tiles(found, titles):
    """Mean fields: a row for each category, a column for each network."""
    names = [name for name in CATEGORIES if name in found.fields[0].means]
    figures = []
    for name in names:
        most = max(float(np.quantile(column.means[name], 0.999)) for column in found.fields)
        side = len(found.fields[0].means[name])
        pair = beside([tile(column.means[name], most, TILE_SIDE) for column in found.fields])
        caption = f'{name}: mean over {_places(found.fields[0].extents[name])}, {side} pixels of the input a side'
        figures.append(figure(picture(pair, f'{caption}: {", ".join(titles)}'), caption))
    return gallery(figures, 150 * len(titles))


def _parts(found):
    names = found.scenes.names
    # the classes that occur most often, in their order
    often = sorted(sorted(found.parts, key=lambda each: -each.count)[:12], key=lambda each: each.label)
    shown = []
    for each in often:
        example = each.example
        _, moved = part_boxes(example.box, example.offsets)
        drawn = draw_coloured_parts(found.images[example.scene], example.box, moved, PART_SIDE)
        caption = f'{names[each.label]}: the largest, {found.scenes.scenes[example.scene].name}'
        shown.append(figure(joined([picture(drawn, caption), mean_chart(each)]), caption))
    side = found.parts[0].mean.shape[-1]
    return Section(
        'Parts of RoIs',
        'parts',
        [
            paragraph(
                f'Each object\u2019s box is pooled in {side} x {side} parts, each moved by an offset (figure 7 of the '
                'paper). Offsets are in percent of the box\u2019s width and height. Spread: how much a part\u2019s '
                'offset differs from object to object. Outwards: how much wider the parts stand in the mean than the '
                f'regular ones. Over the objects of the first {min(PART_IMAGES, len(found.scenes.scenes))} images.'
            ),
            table(PART_HEAD, part_rows(found), range(1, 5)),
            gallery(shown, PART_SIDE),
            note(
                'Pictures: the parts of one object, each in the colour of its place; white: the box. Below: the box '
                'with the regular places of the parts and, in orange, where they move in the mean.'
            ),
        ],
    )


def mean_chart(each: ClassParts, side: int = 240, factor: float = 1.0) -> Html:
    """The mean offsets of a class's parts, ``factor`` times enlarged, in a box of ``side`` pixels."""
    parts, margin = each.mean.shape[-1], 44
    inner = side - 2 * margin
    marks = []
    for row in range(parts):
        for column in range(parts):
            x, y = (margin + (at + 0.5) / parts * inner for at in (column, row))
            dx, dy = (float(np.clip(v, -3, 3)) * factor * inner for v in each.mean[:, row, column])
            marks.append(
                f'<circle cx="{x:.1f}" cy="{y:.1f}" r="1.6" style="fill: var(--s7)"/>'
                f'<path d="M{x:.1f},{y:.1f}l{dx:.1f},{dy:.1f}" style="stroke: var(--s1); stroke-width: 1.6"/>'
                f'<circle cx="{x + dx:.1f}" cy="{y + dy:.1f}" r="2.6" style="fill: var(--s1)"/>'
            )
    return Html(
        f'<svg class="chart" style="overflow: hidden" viewBox="0 0 {side} {side}" role="img" '
        'aria-label="mean offsets of the parts">'
        f'<rect class="axis" x="{margin}" y="{margin}" width="{inner}" height="{inner}"/>{"".join(marks)}</svg>'
    )


def _method(found, command):
    rules = sorted({each.layer.rule for each in found.layers})
    return Section(
        'Method',
        'method',
        [
            facts(
                [
                    ('images', f'{len(found.scenes.scenes)}; {found.scenes.rule}'),
                    ('sizes', sizes_text(found)),
                    (
                        'adjacent taps',
                        'neighbours in a row or a column of the undeformed filter, 12 pairs of 3 x 3; each deformable '
                        'group of a filter counts by itself',
                    ),
                    (
                        'where a filter is',
                        'at the centre of its cell; it belongs to the smallest box around that, or to the region '
                        'below it',
                    ),
                    ('outside the map', f'where the sampling rule ({", ".join(rules)}) reads zero'),
                    (
                        'trees',
                        'a tap of one layer is a place on the map of the layer before; offsets there are interpolated '
                        'like the map itself; what lies between the layers is left out, as in the paper',
                    ),
                    ('rank correlation', 'Spearman\u2019s, of objects\u2019 sizes and mean effective dilations'),
                ]
            ),
            listing(command),
        ],
    )


def _boxed(image, box):
    """The image with the object's box, dashed."""
    if box is None:
        return image
    drawn = image.copy()
    dashed_frame(drawn, [box[0], box[1], box[2], box[3]], 3)
    return drawn


def _margin(tree) -> float:
    """Room around the image, a part of its short side, for most of the points of a tree, within reason."""
    size = np.array(tree.size)
    places = np.concatenate([tree.moved.points, tree.regular.points]) + 0.5
    beyond = np.quantile(np.maximum(-places, places - size).max(1), 0.95)
    return float(np.clip(beyond / size.min() + 0.03, 0.06, 0.2))


def _places(found) -> str:
    return f'{len(found)} place{"s" * (len(found) > 1)}'


def _count(number: int) -> str:
    return {1: 'one', 2: 'two', 3: 'three'}.get(number, str(number))
