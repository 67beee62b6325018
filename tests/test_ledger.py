"""Entries of tests: written, read, collected; what is equal for equal experiments, and what is not."""

import copy
import json
import os
import subprocess

import pytest

from dcn import ledger
from dcn.config import load_config
from dcn.config.loading import difference_from_default, flat
from dcn.dataset.fingerprint import described, fingerprint
from dcn.errors import UserError
from dcn.paper.tables import entries_table, markdown

FILE = 'experiments/rfcn/cfgs/shapes_rfcn_end2end_ohem.yaml'


def entry(cfg='net', score=0.5, tested='2026-01-01T00:00:00Z', **more):
    return {
        'cfg': cfg,
        'config_sha256': 'c',
        'checkpoint_sha256': 'p',
        'seed': 0,
        'updates': 3000,
        'images': 400,
        'data': {'set': 'shapes_2007_test', 'sha256': 'd'},
        'engine': {'name': 'mxnet'},
        'project': {'commit': '0123456789', 'changed': True},
        'tested': tested,
        'scores': {'mAP@0.5': score, 'AP@0.5': {'cat': score}, 'metric': 'area'},
        'interval': {'confidence': 0.95, 'scores': {'mAP@0.5': [score - 0.02, score + 0.03]}},
        'results': {'file': 'x.npz', 'key': 'k'},
        **more,
    }


def test_a_ledger_holds_each_test_once_the_latest(tmp_path):
    path = str(tmp_path / 'ledger.jsonl')
    later = entry(score=0.6, tested='2026-01-02T00:00:00Z')
    ledger.write(path, [later, entry(), entry('other', seed=1)])
    found = ledger.read(path)
    assert [(e['cfg'], e['scores']['mAP@0.5']) for e in found] == [('net', 0.6), ('other', 0.5)]
    assert 'results' not in found[0] and found[0]['interval'] == later['interval']
    assert len(open(path).readlines()) == 2
    for changed in ('config_sha256', 'checkpoint_sha256'):
        assert len(ledger.merged([entry(), entry(**{changed: 'else'})])) == 2
    assert len(ledger.merged([entry(), entry(engine={'name': 'torch'})])) == 2
    assert ledger.read(str(tmp_path / 'none')) == []
    with pytest.raises(UserError, match='none: there is no test in it'):
        ledger.existing(str(tmp_path / 'none'))


def test_entries_are_found_below_a_folder(tmp_path):
    folder = tmp_path / 'a[1]' / 'net' / '2007_test'
    os.makedirs(folder)
    # the last test and the checkpoint's own file hold the same
    for name in ('scores.json', 'net-0003_scores.json'):
        ledger.write_entry(str(folder / name), entry())
    ledger.write_entry(str(folder / 'net-0002_scores.json'), entry(checkpoint_sha256='q'))
    assert len(ledger.below(str(tmp_path / 'a[1]'))) == 2


def test_older_files_are_entries_too(tmp_path):
    (tmp_path / 'scores.json').write_text(json.dumps({'cfg': 'net', 'images': 3, 'scores': {'mIoU': 0.5}}))
    (found,) = ledger.below(str(tmp_path))
    assert found['images'] == 3
    assert 'net' in '\n'.join(entries_table([found]))


@pytest.mark.parametrize('line', ['[]', '{"cfg": 1}', 'text', '{"cfg": "a", "scores": 3}'])
def test_a_line_that_is_none_is_named(line, tmp_path):
    path = tmp_path / 'ledger.jsonl'
    path.write_text(json.dumps(entry()) + '\n' + line + '\n')
    with pytest.raises(UserError, match=':2: '):
        ledger.read(str(path))


def test_the_digest_is_that_of_the_experiment_not_of_its_place():
    cfg = load_config(FILE)
    moved = load_config(FILE, ['output_path=/tmp/x', 'dataset.root_path=/data', 'default.frequent=7', 'gpus=0,1'])
    other = load_config(FILE, ['TRAIN.lr=0.1'])
    digests = [ledger.config_digest(flat(c)) for c in (cfg, moved, other)]
    assert digests[0] == digests[1] != digests[2] and len(digests[0]) == 64


def test_difference_and_digest_belong_together():
    """An entry holds the difference alone: with the defaults of its commit it gives the configuration again."""
    cfg = load_config(FILE, ['TRAIN.seed=3'])
    default = {key: value for key, value in flat(cfg).items() if key not in difference_from_default(cfg)}
    assert ledger.config_digest({**default, **difference_from_default(cfg)}) == ledger.config_digest(flat(cfg))


def test_project_and_machine_say_what_git_and_the_system_say(repository):
    found = ledger.project()
    if (repository / '.git').exists():
        done = subprocess.run(['git', '-C', str(repository), 'rev-parse', 'HEAD'], stdout=subprocess.PIPE, check=True)
        assert found['commit'] == done.stdout.decode().strip() and isinstance(found['changed'], bool)
    assert ledger.machine()['cores'] == os.cpu_count()


def test_no_number_that_json_has_not():
    value = {'a': float('nan'), 'b': [1.0, float('inf')], 'c': 'x'}
    assert ledger.finite(value) == {'a': None, 'b': [1.0, None], 'c': 'x'}


def test_tables():
    lines = markdown([entry()])
    assert lines[2] == (
        '| net | 0 | 3000 | mxnet | shapes_2007_test (400 images) | mAP@0.5 | 50.0 | 48.0 to 53.0 | 0123456+ |'
    )


def test_fingerprint_follows_content_not_places(tmp_path):
    image = tmp_path / 'a.jpg'
    image.write_bytes(b'pixels')
    record = {'id': 'a', 'image': str(image), 'boxes': [[1, 2, 3, 4]], 'gt_classes': [1]}
    first = fingerprint([record], ['cat'])
    image.rename(tmp_path / 'b.jpg')
    assert fingerprint([dict(record, image=str(tmp_path / 'b.jpg'))], ['cat']) == first
    changes = [dict(record, id='b'), dict(record, boxes=[[1, 2, 3, 5]]), dict(record, gt_classes=[2])]
    (tmp_path / 'c.jpg').write_bytes(b'pixelz')
    changes.append(dict(copy.copy(record), image=str(tmp_path / 'c.jpg')))
    others = [fingerprint([change], ['cat']) for change in changes] + [fingerprint([record], ['dog'])]
    assert len({first, *others}) == 6
    assert described('set', [record], ['cat'])['objects'] == 1
    assert described('set', [{'id': 'a', 'image': str(tmp_path / 'b.jpg'), 'label': None}], ['cat'])['objects'] is None
