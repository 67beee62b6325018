"""The paper's ablations on the generated data set: their rows and runs, from shapes.yaml, and what the runs scored."""

from __future__ import annotations

import functools
import json
import os
from typing import Iterable, NamedTuple, Sequence

import yaml
from easydict import EasyDict

from dcn import ledger
from dcn.config import difference_from_default, load_config, output_folder
from dcn.errors import UserError
from dcn.ledger import Entry
from dcn.paper.rows import rows
from dcn.paths import in_project

ABLATION = os.path.join(os.path.dirname(__file__), 'shapes.yaml')


class Variant(NamedTuple):
    """One row: a network that is trained with several seeds."""

    id: str
    network: str  # title
    title: str  # what sets it apart
    file: str  # experiment file
    overrides: tuple[str, ...]  # --set values
    metrics: tuple[str, ...]  # of its table
    paper: tuple[float, ...]  # the paper's numbers, of each metric, in points; empty where it has no such row


class Run(NamedTuple):
    """A variant trained and tested with one seed."""

    variant: Variant
    seed: int
    changes: tuple[str, ...] = ()  # further --set values, of all runs

    @property
    def name(self) -> str:
        return f'{self.variant.id}-seed{self.seed}'

    @property
    def overrides(self) -> list[str]:
        return [*self.variant.overrides, f'TRAIN.seed={self.seed}', *self.changes]

    def config(self) -> EasyDict:
        """What ``dcn train --run-name`` makes of its arguments."""
        cfg = load_config(in_project(self.variant.file), self.overrides)
        cfg.name += f'_{self.name}'
        return cfg

    def commands(self, *training: str) -> list[list[str]]:
        """The arguments of the program ``dcn`` that train and test it. training: further ones of dcn train."""
        common = ['--cfg', self.variant.file, '--run-name', self.name, '--set', *self.overrides]
        return [['train', *training, *common], ['test', *common]]

    def entry(self) -> Entry | None:
        """What its test left in its folder; None where nothing lies there, or a test of other settings."""
        cfg = self.config()
        path = os.path.join(output_folder(cfg, cfg.dataset.test_image_set), 'scores.json')
        entry = ledger.read_entry(path) if os.path.isfile(path) else None
        return entry if entry and self.made(entry) else None

    def made(self, entry: Entry) -> bool:
        """Whether a test, wherever it was made, is of this run."""
        cfg = self.config()
        return entry['cfg'] == cfg.name and _settings(entry['difference']) == _settings(difference_from_default(cfg))


def finished(runs: Sequence[Run], entries: Iterable[Entry] = ()) -> dict[Run, Entry]:
    """The tests of those ``runs`` that are finished, here or among ``entries`` of a ledger; the latest of each."""
    named: dict[str, list[Entry]] = {}
    for entry in entries:
        named.setdefault(entry['cfg'], []).append(entry)
    found = {}
    for run in runs:
        own = [entry for entry in (*named.get(run.config().name, ()), run.entry()) if entry and run.made(entry)]
        if own:
            found[run] = max(own, key=lambda entry: entry.get('tested') or '')
    return found


@functools.lru_cache(maxsize=None)
def variants() -> dict[str, Variant]:
    """{name: Variant} in the order of running."""
    return {entry['id']: _variant(entry, _ablation()['networks'][entry['network']]) for entry in _ablation()['rows']}


def orderings() -> list[tuple[Variant, Variant]]:
    """Pairs of which the paper finds the first one better."""
    return [(variants()[better], variants()[worse]) for better, worse in _ablation()['orderings']]


def chosen(names: Sequence[str], seeds: Iterable[int], changes: Sequence[str] = ()) -> list[Run]:
    """The runs of some variants (all without ``names``), row by row."""
    unknown = [name for name in names if name not in variants()]
    if unknown:
        raise UserError(f'--only {unknown[0]}: no such row; expected some of {", ".join(variants())}.')
    picked = [variants()[name] for name in variants() if not names or name in names]
    return [Run(variant, seed, tuple(changes)) for variant in picked for seed in seeds]


@functools.lru_cache(maxsize=None)
def _ablation():
    with open(ABLATION, encoding='utf-8') as stream:
        return yaml.safe_load(stream)


def _variant(entry, network):
    cells = rows()[entry['paper']].cells if 'paper' in entry else ()
    published = next((cell.published for cell in cells if cell.network == network['published']), {})
    return Variant(
        entry['id'],
        network['title'],
        entry['title'],
        f'experiments/{network["file"]}',
        tuple(entry['set']),
        tuple(network['metrics']),
        tuple(published[metric] for metric in network['metrics'] if published),
    )


def _settings(difference):
    """Of a difference from the defaults, through JSON or not: what is computed."""
    return json.loads(json.dumps({key: value for key, value in difference.items() if key not in ledger.PLACES}))
