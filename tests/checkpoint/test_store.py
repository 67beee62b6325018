"""Checkpoints of a run: complete ones are found, others named and passed over, whatever happened to them."""

import json
import os
import pickle
import shutil

import numpy as np
import pytest

from dcn import checkpoint
from dcn.checkpoint import store
from dcn.checkpoint.state import belongs, crc32, write_state
from dcn.errors import UserError
from dcn.formats import params as params_file

COUNTERS = dict(update=7, epoch=1, batch=2, batches=5, origin=0, images=2)


class Symbol:
    """A graph that is nothing but its JSON."""

    def tojson(self):
        return '{}'


def arrays(update):
    return {'arg:weight': np.full(1000, update, np.float32), 'aux:mean': np.zeros(2, np.float32)}


def state(update, **more):
    return checkpoint.TrainingState(
        {'momentum:weight': np.full(1000, -update, np.float32)}, {}, {}, dict(COUNTERS, update=update), **more
    )


def save(prefix, number, update):
    return store.save(prefix, number, Symbol(), arrays(update), state(update))


@pytest.fixture
def prefix(tmp_path):
    return str(tmp_path / 'net')


def test_what_is_saved_comes_back(prefix):
    momentum = {'momentum:weight': np.arange(3, dtype=np.float32)}
    metrics, settings = {'RPNAcc': np.array([1.5, 3])}, {'TRAIN.lr': 0.1, 'SCALES': [[600, 1000]]}
    devices = [{'mean': np.array([1.0, 2.0])}, {'mean': np.array([3.0, 4.0])}]
    saved = checkpoint.TrainingState(momentum, metrics, settings, COUNTERS, devices)
    path = store.save(prefix, 2, Symbol(), arrays(7), saved)
    assert path == prefix + '-0002.params'
    newest = checkpoint.newest(prefix)
    assert newest.number == 2 and newest.counters == COUNTERS == checkpoint.position(path)
    found = checkpoint.read_state(newest.state)
    np.testing.assert_array_equal(found.optimizer['momentum:weight'], momentum['momentum:weight'])
    assert list(found.optimizer) == ['momentum:weight'] and list(found.metrics['RPNAcc']) == [1.5, 3]
    assert found.settings == settings and found.counters == COUNTERS
    assert [device['mean'].tolist() for device in found.devices] == [[1, 2], [3, 4]]
    assert checkpoint.newest(prefix + '-b') is None


def test_the_names_that_other_programs_know_show_the_newest(prefix):
    for update in (1, 2):
        save(prefix, 1, update)
        assert params_file.read(prefix + '-0001.params')['arg:weight'][0] == update
        assert belongs(prefix + '-0001.state', prefix + '-0001.params')
    assert os.path.exists(prefix + '-symbol.json')


def test_a_file_system_without_links_gets_copies(prefix, monkeypatch):
    def no_links(*_):
        raise PermissionError(1, 'Operation not permitted')

    monkeypatch.setattr('dcn.files.os.link', no_links)
    save(prefix, 1, 3)
    assert (
        belongs(prefix + '-0001.state', prefix + '-0001.params') and checkpoint.newest(prefix).counters['update'] == 3
    )


def test_the_newest_three_stay_and_every_epochs_last(prefix):
    for update in range(1, 8):
        save(prefix, 1 + update // 4, update)
    assert sorted(os.listdir(prefix + '-checkpoints')) == ['00000005', '00000006', '00000007']
    assert params_file.read(prefix + '-0001.params')['arg:weight'][0] == 3
    assert checkpoint.numbered(prefix, 1).counters['update'] == 3


def damage_cut(path):
    with open(path, 'r+b') as stream:
        stream.truncate(os.path.getsize(path) - 5)


def damage_empty(path):
    open(path, 'wb').close()


def damage_bit(path):
    with open(path, 'r+b') as stream:
        stream.seek(os.path.getsize(path) - 20)  # of a manifest: within a digest
        byte = stream.read(1)[0]
        stream.seek(-1, os.SEEK_CUR)
        stream.write(bytes([byte ^ 1]))


def damage_gone(path):
    os.remove(path)


def damage_mixed(path):
    """The file of another checkpoint."""
    shutil.copy(path.replace('00000003', '00000001'), path)


@pytest.mark.parametrize('file', ['params', 'state', 'manifest.json'])
@pytest.mark.parametrize('damage', [damage_cut, damage_empty, damage_bit, damage_gone, damage_mixed])
def test_what_is_damaged_is_named_and_passed_over(prefix, caplog, file, damage):
    for update in (1, 2, 3):
        save(prefix, 1, update)
    path = os.path.join(prefix + '-checkpoints', '00000003', file)
    damage(path)
    assert checkpoint.newest(prefix).counters['update'] == 2
    assert len(caplog.records) == 1 and os.path.dirname(path) in caplog.text


@pytest.mark.parametrize('text', [b'5', b'null', b'"x"', b'[]', b'{}', b'{"sha256": 1}', b'[' * 100000, b'\xff'])
def test_what_is_no_manifest_is_named_and_passed_over(prefix, caplog, text):
    for update in (1, 2):
        save(prefix, 1, update)
    path = os.path.join(prefix + '-checkpoints', '00000002', 'manifest.json')
    with open(path, 'wb') as stream:
        stream.write(text)
    assert checkpoint.newest(prefix).counters['update'] == 1
    assert len(caplog.records) == 1 and path in caplog.text and 'object has no' not in caplog.text


def test_what_else_lies_among_the_checkpoints_does_no_harm(prefix, caplog):
    """A file in the place of one, a folder of another name, and one that cannot be removed when its time has come."""
    for update in range(1, 4):
        save(prefix, 1, update)
    folder = prefix + '-checkpoints'
    shutil.rmtree(os.path.join(folder, '00000001'))
    with open(os.path.join(folder, '00000001'), 'w'):
        pass
    os.mkdir(os.path.join(folder, '4\N{SUPERSCRIPT TWO}'))
    save(prefix, 1, 4)
    save(prefix, 1, 5)
    assert checkpoint.newest(prefix).counters['update'] == 5 and not caplog.records
    assert sorted(os.listdir(folder)) == ['00000001', '00000003', '00000004', '00000005']


def test_parameters_that_are_tested_are_those_that_were_written(prefix):
    """Also where a program was killed between a checkpoint and its names, and where there is no state to compare."""
    path = save(prefix, 1, 1)
    store.require_unaltered(path)
    before = prefix + '-0001.state.before'
    shutil.copy(prefix + '-0001.state', before)
    save(prefix, 1, 2)
    os.replace(before, prefix + '-0001.state')
    store.require_unaltered(path)
    damaged = str(shutil.copy(path, prefix + '-0002.params'))
    damage_bit(damaged)
    store.require_unaltered(damaged)
    shutil.copy(prefix + '-checkpoints/00000002/state', prefix + '-0002.state')
    with pytest.raises(UserError, match=r'net-0002.params: altered since it was written, or of another run than'):
        store.require_unaltered(damaged)
    damage_bit(prefix + '-0002.state')
    store.require_unaltered(damaged)
    damage_bit(path)  # and with it the checkpoint's own file, which is the same
    with pytest.raises(UserError, match=r'net-0001.params: altered'):
        store.require_unaltered(path)
    for name in ('some.params', 'final-0000.params'):
        store.require_unaltered(shutil.copy(damaged, os.path.join(os.path.dirname(prefix), name)))


@pytest.mark.parametrize('key', ['number', 'counters', 'files'])
def test_no_number_in_a_manifest_can_change(prefix, key):
    for update in (1, 2):
        save(prefix, 1, update)
    path = os.path.join(prefix + '-checkpoints', '00000002', 'manifest.json')
    with open(path) as stream:
        manifest = json.load(stream)
    manifest[key] = 3 if key == 'number' else dict(manifest[key], update=3)
    with open(path, 'w') as stream:
        json.dump(manifest, stream)
    assert checkpoint.newest(prefix).counters['update'] == 1


def test_with_no_complete_one_left_there_is_none(prefix):
    save(prefix, 1, 1)
    damage_bit(os.path.join(prefix + '-checkpoints', '00000001', 'state'))
    # the link of its name is the same file
    assert checkpoint.newest(prefix) is None and checkpoint.numbered(prefix, 1) is None


class Killed(BaseException):
    pass


@pytest.mark.parametrize('call', ['mkdir', 'fsync', 'rename', 'link', 'replace'])
@pytest.mark.parametrize('after', [False, True])
def test_a_kill_at_any_moment_leaves_a_checkpoint_to_go_on_from(prefix, monkeypatch, call, after):
    """Killed before or after each call that touches the disk, the first, second, third... time: nothing is cleaned up,
    and the next run finds the old checkpoint or the new one, and saves."""
    save(prefix, 1, 7)
    original, moment = getattr(os, call), 0
    while True:
        moment, calls = moment + 1, []

        def dying(*arguments, moment=moment, calls=calls, **more):
            if not after:
                calls.append(arguments)
                if len(calls) == moment:
                    raise Killed
            result = original(*arguments, **more)
            if after:
                calls.append(arguments)
                if len(calls) == moment:
                    raise Killed
            return result

        with monkeypatch.context() as patch:
            patch.setattr(os, call, dying)
            patch.setattr(shutil, 'rmtree', lambda *_, **__: None)
            patch.setattr(os, 'unlink', lambda *_: None)  # no clean-up: a dead program does none
            try:
                save(prefix, 1, 8)
            except Killed:
                pass
            else:
                break
        assert checkpoint.newest(prefix).counters['update'] in (7, 8)
        found = checkpoint.newest(prefix)
        store.publish(prefix, found)
        assert params_file.read(prefix + '-0001.params')['arg:weight'][0] == found.counters['update']
        save(prefix, 1, 7)
        assert checkpoint.newest(prefix).counters['update'] == 7
        assert not [name for name in os.listdir(prefix + '-checkpoints') if not name.isdigit()]
    assert moment > 1


def test_checkpoints_of_an_older_version_are_gone_on_with(prefix, caplog):
    """<prefix>-NNNN.params and .state alone, without digests; the newest pair that fits."""
    for number in (1, 2, 3):
        params_file.write(f'{prefix}-{number:04d}.params', arrays(number))
        path = f'{prefix}-{number:04d}.state'
        write_state(path, state(number), f'{prefix}-{number:04d}.params')
        stored = params_file.read(path)
        del stored['state:sha256']
        params_file.write(path, stored)
    params_file.write(prefix + '-0002.params', arrays(9))
    os.remove(prefix + '-0003.params')
    assert checkpoint.newest(prefix).counters['update'] == 1
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 2 and 'net-0003.state' in told[0] and 'net-0002.state' in told[1]


def test_an_altered_state_is_refused(prefix):
    params_file.write(prefix + '-0001.params', arrays(1))
    write_state(prefix + '-0001.state', state(1), prefix + '-0001.params')
    stored = params_file.read(prefix + '-0001.state')
    stored['momentum:weight'][0] += 1
    params_file.write(prefix + '-0001.state', stored)
    assert int(stored['params:crc32'][0]) == crc32(prefix + '-0001.params')
    with pytest.raises(UserError, match='net-0001.state: its content is not what was written'):
        checkpoint.read_state(prefix + '-0001.state')
    assert checkpoint.numbered(prefix, 1) is None


def test_what_an_overwritten_run_leaves(prefix):
    """Its parameters stay, its states go, also those of later epochs; a prefix that begins alike is another run."""
    for number in (1, 2, 3):
        save(prefix, number, number)
    save(prefix + '-b', 3, 3)
    earlier = store.mark(prefix)
    save(prefix, 1, 1)
    store.forget(earlier)
    folder = os.path.dirname(prefix)
    assert sorted(name for name in os.listdir(folder) if name.endswith('.state')) == [
        'net-0001.state',
        'net-b-0003.state',
    ]
    assert len([name for name in os.listdir(folder) if name.endswith('.params')]) == 4
    assert os.listdir(prefix + '-checkpoints') == ['00000004']
    assert checkpoint.newest(prefix).counters['update'] == 1


def test_pickled_states_are_refused_by_name(tmp_path):
    path = tmp_path / 'net-0001.state'
    path.write_bytes(pickle.dumps({'momentum': 1}))
    with pytest.raises(UserError, match=r'net-0001\.state: this is a pickled optimizer state of MXNet'):
        checkpoint.read_state(str(path))


def test_a_full_disk_names_the_file_and_leaves_nothing_half_written(prefix, monkeypatch):
    save(prefix, 1, 1)

    def full(*_):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr('dcn.files.os.fsync', full)
    with pytest.raises(OSError) as error:
        save(prefix, 1, 2)
    assert error.value.filename and error.value.errno == 28
    assert os.listdir(prefix + '-checkpoints') == ['00000001']
