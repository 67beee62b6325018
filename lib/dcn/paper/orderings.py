"""The ablations as text: scores of every row over its seeds, and whether the paper's orderings hold."""

from __future__ import annotations

import statistics
from typing import Callable, Iterator, Mapping, Sequence

from dcn.ledger import Entry
from dcn.paper.ablation import Run, Variant, orderings
from dcn.text import table

NOT_RUN = 'not run'
FEWEST = 2  # runs of a row, to speak of a spread

Tested = Mapping[Run, Entry]  # what is finished, by finished()


def verdict(above: Sequence[float], below: Sequence[float]) -> str:
    """Whether scores ``above`` are better than those ``below``, by the seeds' spread.

    'holds': every run above scored more than every run below; 'does not hold': less; else 'within spread'. Of three
    runs each without a difference one in twenty holds by chance, and one in twenty does not.
    """
    if min(len(above), len(below)) < FEWEST:
        return NOT_RUN if not (above and below) else 'too few seeds'
    if min(above) > max(below):
        return 'holds'
    return 'does not hold' if max(above) < min(below) else 'within spread'


def run_list(runs: Sequence[Run], tests: Tested) -> list[str]:
    """Lines: the state of every run."""
    body = []
    for run in runs:
        metrics = run.variant.metrics if run in tests else ()
        state = ', '.join(f'{metric} {100 * tests[run]["scores"][metric]:.1f}' for metric in metrics)
        body.append([run.name, f'{run.variant.network}, {run.variant.title}', state or NOT_RUN])
    return table(['RUN', '', ''], body)


def overview(runs: Sequence[Run], tests: Tested, make: Callable = table) -> Iterator[str]:
    """Lines: the scores of every network's rows, then the orderings. ``make``: dcn.text.table or markdown_table."""
    variants = list(dict.fromkeys(run.variant for run in runs))
    for network in dict.fromkeys(variant.network for variant in variants):
        yield from _scores_table([variant for variant in variants if variant.network == network], tests, make)
        yield ''
    yield from _orderings_table(variants, tests, make)


def _scores_table(variants, tests, make):
    metrics = variants[0].metrics
    body = []
    for variant in variants:
        cells = [spread(_points(variant, number, tests)) for number in range(len(metrics))]
        papers = variant.paper or [''] * len(metrics)
        pairs = [text for pair in zip(cells, papers) for text in pair]
        body.append([variant.id, variant.title, len(_points(variant, 0, tests)), *pairs])
    columns = [text for metric in metrics for text in (f'{metric}: mean (lowest to highest)', 'paper')]
    head = ['ROW', variants[0].network, 'seeds', *columns]
    return make(head, body, range(2, len(head)))


def _orderings_table(variants, tests, make):
    body = []
    for above, below in orderings():
        if above not in variants or below not in variants:
            continue
        for number, metric in enumerate(above.metrics):
            ours = [_points(variant, number, tests) for variant in (above, below)]
            here = f'{statistics.mean(ours[0]) - statistics.mean(ours[1]):+.1f}' if all(ours) else ''
            paper = f'{above.paper[number] - below.paper[number]:+.1f}'
            body.append([f'{above.id} above {below.id}', metric, paper, here, verdict(*ours)])
    return make(['THE PAPER FINDS', 'metric', 'paper', 'here', 'here it'], body, (2, 3))


def _points(variant: Variant, number: int, tests: Tested) -> list[float]:
    """Of each finished run, the ``number``-th metric."""
    metric = variant.metrics[number]
    return [100 * entry['scores'][metric] for run, entry in tests.items() if run.variant == variant]


def spread(values: Sequence[float]) -> str:
    """'mean (lowest to highest)'."""
    if len(values) < FEWEST:
        return f'{values[0]:.1f}' if values else NOT_RUN
    return f'{statistics.mean(values):.1f} ({min(values):.1f} to {max(values):.1f})'
