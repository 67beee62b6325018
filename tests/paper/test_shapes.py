"""``dcn paper shapes``: rows are what their titles say, runs go through the program's own commands and are done once,
verdicts follow from the seeds."""

import json
import os
import shlex
import sys

import pytest

from dcn import cli, ledger
from dcn.cli.arguments import parse, train_arguments
from dcn.cli.paper_shapes import MARKS, write_page
from dcn.config import output_folder, symbol_class
from dcn.config.loading import flat
from dcn.dataset.shapes.detection import generate
from dcn.paper import training
from dcn.paper.ablation import Run, chosen, finished, orderings, variants
from dcn.paper.orderings import NOT_RUN, overview, verdict
from dcn.text import markdown_table

LEDGER = 'docs/ablations.jsonl'
COMMAND = f'dcn paper shapes --table --ledger {LEDGER} --page docs/ablations.md'
TINY = [
    'SCALES=[64,64]',
    'network.units=[1,1,1,1]',
    'network.filters=[16,16,16,16]',
    'network.head_filters=16',
    'TRAIN.iterations=2',
    'TRAIN.end_epoch=1',
    'TEST.test_epoch=1',
]


# ---- the rows ----


def _layers(variant):
    """Of the 3x3 layers of res5 and res4 in the training graph: (deformable ones, dilations in res5, pooling)."""
    cfg = Run(variant, 0).config()
    nodes = json.loads(symbol_class(cfg)().get_symbol(cfg, is_train=True).tojson())['nodes']
    deformable = sum(node['op'] == '_contrib_DeformableConvolution' for node in nodes)
    dilations = {
        node['attrs']['dilate'] for node in nodes if node['name'].startswith('res5') and 'branch2b' in node['name']
        and node['op'].endswith('Convolution') and 'offset' not in node['name']
    }  # fmt: skip
    trans = {node['attrs']['no_trans'] for node in nodes if node['op'] == '_contrib_DeformablePSROIPooling'}
    return deformable, dilations, trans


@pytest.mark.parametrize('network', ['rfcn', 'deeplab'])
@pytest.mark.parametrize('count, row', [(0, 'plain'), (1, 'conv1'), (2, 'conv2'), (3, 'conv3'), (6, 'conv6')])
def test_table_1_has_so_many_deformable_layers(network, count, row):
    variant = variants()[f'{network}-{row}']
    assert _layers(variant)[0] == count and variant.title.startswith(f'{count} deformable' if count else 'plain')


@pytest.mark.parametrize('network', ['rfcn', 'deeplab'])
@pytest.mark.parametrize('dilate, row', [(2, 'plain'), (4, 'dilate4'), (6, 'dilate6'), (8, 'dilate8')])
def test_table_3_dilates(network, dilate, row):
    assert _layers(variants()[f'{network}-{row}'])[:2] == (0, {f'({dilate}, {dilate})'})


def test_table_3_pools():
    assert _layers(variants()['rfcn-pool'])[0] == 0 and 'False' in _layers(variants()['rfcn-pool'])[2]
    assert _layers(variants()['rfcn-both'])[0] == 3 and 'False' in _layers(variants()['rfcn-both'])[2]
    assert not _layers(variants()['rfcn-conv3'])[2]  # whole cells
    assert _layers(variants()['rfcn-bilinear'])[2] == {'True'}


def test_every_run_has_a_folder_of_its_own():
    folders = {output_folder(run.config(), run.config().dataset.image_set) for run in chosen([], range(3))}
    assert len(folders) == 3 * len(variants()) == 57


def test_every_ordering_is_published():
    """And the numbers that stand beside ours are those of the paper's rows."""
    for above, below in orderings():
        assert all(more > less for more, less in zip(above.paper, below.paper)), (above.id, below.id)
    assert dict(zip(variants()['rfcn-both'].metrics, variants()['rfcn-both'].paper)) == {
        'mAP@0.5': 82.6,
        'mAP@0.7': 68.5,
    }
    assert variants()['deeplab-conv6'].paper == (74.8,)
    assert not variants()['rfcn-bilinear'].paper


# ---- verdicts ----


@pytest.mark.parametrize(
    'above, below, expected',
    [
        ([3.0, 4.0, 5.0], [1.0, 2.0, 2.9], 'holds'),
        ([3.0, 4.0, 5.0], [1.0, 2.0, 3.0], 'within spread'),
        ([1.0, 2.0, 2.9], [3.0, 4.0, 5.0], 'does not hold'),
        ([1.0, 9.0, 9.0], [2.0, 3.0, 4.0], 'within spread'),
        ([9.0], [1.0, 2.0, 3.0], 'too few seeds'),
        ([], [1.0, 2.0, 3.0], NOT_RUN),
    ],
)
def test_verdict(above, below, expected):
    assert verdict(above, below) == expected


def test_tables_of_known_scores():
    runs = chosen(['rfcn-plain', 'rfcn-conv3', 'rfcn-bilinear'], range(3))
    scores = {'rfcn-plain': [0.5, 0.6, 0.4], 'rfcn-conv3': [0.61, 0.72]}
    tests = {
        run: {'scores': {'mAP@0.7': scores[run.variant.id][run.seed], 'mAP@0.5': 0.8}}
        for run in runs
        if run.seed < len(scores.get(run.variant.id, ()))
    }
    lines = {line.split('  ')[0]: ' '.join(line.split()) for line in overview(runs, tests)}
    assert lines['rfcn-plain'].endswith('3 50.0 (40.0 to 60.0) 61.8 80.0 (80.0 to 80.0) 80.0')
    assert lines['rfcn-conv3'].endswith('2 66.5 (61.0 to 72.0) 64.7 80.0 (80.0 to 80.0) 81.4')
    assert lines['rfcn-bilinear'].endswith('0 not run not run')
    verdicts = [' '.join(line.split()) for line in overview(runs, tests) if ' above ' in line]
    assert verdicts == [
        'rfcn-conv3 above rfcn-plain mAP@0.7 +2.9 +16.5 holds',
        'rfcn-conv3 above rfcn-plain mAP@0.5 +1.4 +0.0 within spread',
    ]


def test_the_page_holds_the_ledgers_numbers(repository, tmp_path):
    page = tmp_path / 'ablations.md'
    page.write_text((repository / 'docs' / 'ablations.md').read_text())
    runs = chosen([], range(3))
    write_page(str(page), overview(runs, finished(runs, ledger.read(str(repository / LEDGER))), markdown_table))
    assert page.read_text() == (repository / 'docs' / 'ablations.md').read_text(), f'run: {COMMAND}'


# ---- running ----


@pytest.fixture
def program(monkeypatch, tmp_path):
    """A program in the place of ``dcn`` that does what ``body`` says; argv as there; returns how to set the body."""

    def set_body(body):
        monkeypatch.setattr(training, 'PROGRAM', [sys.executable, '-c', body])

    monkeypatch.chdir(tmp_path)
    return set_body


def test_a_failed_run_is_told_and_the_others_go_on(program, tmp_path):
    program('import sys; open("asked", "a").write(sys.argv[1] + "\\n"); sys.exit("error: no room")')
    told, runs = [], chosen(['rfcn-plain', 'rfcn-pool'], [0], [f'output_path={tmp_path}'])
    assert not training.train_all(runs, 1, told.append)
    assert [line for line in told if 'status 1: error: no room' in line and 'dcn train failed' in line] == told[1::2]
    assert len(told) == 4 and (tmp_path / 'asked').read_text().split() == ['train', 'train']


def test_an_interrupt_ends_the_programs(program, tmp_path):
    program('import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: sys.exit(open("ended", "w").close()));'
            'open("begun", "w").close(); time.sleep(60)')  # fmt: skip

    class Stop(Exception):
        pass

    def stop(_):
        if os.path.exists('begun'):
            raise Stop

    training_sleep, training.time.sleep = training.time.sleep, stop
    try:
        with pytest.raises(Stop):
            training.train_all(chosen(['rfcn-plain'], [0], [f'output_path={tmp_path}']), 2, lambda line: None)
    finally:
        training.time.sleep = training_sleep
    assert os.path.exists('ended')


def test_runs_are_resumed_then_tested_and_not_done_again(tmp_path, monkeypatch, capsys):
    """With the real commands, on four images: an interrupted training goes on."""
    generate(str(tmp_path / 'shapes'), train=4, test=3, size=64)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('PYTHONPATH', os.pathsep.join(sys.path))
    changes = [*TINY, f'dataset.root_path={tmp_path}', f'dataset.dataset_path={tmp_path}/shapes', 'output_path=runs']
    (run,) = chosen(['deeplab-plain'], [5], changes)
    assert cli.main(['train', '--max-iterations', '1', *run.commands()[0][1:]]) == 0
    command = ['paper', 'shapes', '--only', 'deeplab-plain', '--seeds', '5', '--ledger', 'all.jsonl']

    def printed(*arguments):
        assert cli.main([*command, *arguments, '--set', *changes]) == 0
        return capsys.readouterr().out

    assert NOT_RUN in printed('--list') and NOT_RUN in printed('--table')
    text = printed()
    assert text.startswith('0 of 1 runs are finished')
    assert 'resuming at epoch 0, batch 1, after 1 updates' in (tmp_path / 'runs/deeplab-plain-seed5.log').read_text()
    points = f'{100 * run.entry()["scores"]["mIoU"]:.1f}'
    assert f'deeplab-plain-seed5: mIoU {points}' in text and text.count(points) == 2
    (tmp_path / 'page.md').write_text(f'before\n{MARKS[0]}\nold\n{MARKS[1]}\nafter\n')
    printed('--table', '--page', 'page.md')
    page = (tmp_path / 'page.md').read_text()
    assert page.startswith(f'before\n{MARKS[0]}\n\n| ROW |') and page.endswith(f' |\n\n{MARKS[1]}\nafter\n')
    assert f'| {points} | 69.7 |' in page
    # not again, nor where only the ledger is left; and not taken for a run of other settings
    assert printed().startswith('1 of 1 runs are finished')
    os.rename('runs', 'elsewhere')
    assert printed().startswith('1 of 1 runs are finished') and points in printed('--list')
    changes.append('TRAIN.lr=0.1')
    assert NOT_RUN in printed('--list')


def test_dry_run_prints_commands_that_are_understood(capsys):
    assert cli.main(['paper', 'shapes', '--dry-run', '--only', 'rfcn-conv2', '--seeds', '3']) == 0
    train, test = map(shlex.split, capsys.readouterr().out.splitlines())
    assert train[:2] == ['dcn', 'train'] and test[:2] == ['dcn', 'test'] and train[2:] == test[2:]
    _, cfg = parse(train[2:], '', train_arguments)
    (run,) = chosen(['rfcn-conv2'], [3])
    assert flat(cfg) == flat(run.config()) and cfg.network.deformable == ['res5b', 'res5c'] and cfg.TRAIN.seed == 3


def test_unknown_row(capsys):
    assert cli.main(['paper', 'shapes', '--only', 'rfcn-conv4']) == 2
    assert '--only rfcn-conv4: no such row; expected some of rfcn-plain' in capsys.readouterr().err
