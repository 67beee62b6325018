"""The log of a training in lines of JSON: windows, parts of the time, resuming, TensorBoard's files."""

import json
import struct
import sys

import numpy as np
import pytest

from dcn import history
from dcn.engine.tasks.metrics import DetectionMetrics
from dcn.engine.training.loop import Limits, Observers, Plan, Position, fit
from dcn.engine.training.schedule import StepSchedule
from dcn.engine.training.trainer import Trainer
from dcn.errors import UserError
from dcn.history import PARTS, History, read
from tests.engine import tiny

import mxnet as mx

NET = tiny.symbol()
SCHEDULE = StepSchedule(0.1, [3], 0.5, warmup_step=2, warmup_lr=0.01)


class Seen(DetectionMetrics):
    """What each batch gave, to take means of by hand."""

    def __init__(self):
        super().__init__()
        self.batches = []

    def update(self, outputs, inputs):
        super().update(outputs, inputs)
        self.batches.append(self.values(outputs, inputs))


def started(path, update=0, frequent=2, **more):
    run = {'cfg': 'net', 'update': update, 'batch_images': 1, **more}
    return History(str(path), run, frequent)


def trained(path, start=Position(), update=0, saves=(), **options):
    """Two epochs of five batches, a line every two; the metrics."""
    trainer, metrics = Trainer(NET, [mx.cpu()], *tiny.parameters(NET), kind='sgd'), Seen()
    trainer.updater.count = update
    log = started(path, update)
    plan = Plan(SCHEDULE, Limits(2, 100, **options), start)
    save = lambda *_: saves and saves[0]()  # noqa: E731
    fit(trainer, tiny.Loader(5), plan, Observers(metrics, log), save, batches=tiny.batches)
    log.close()
    return metrics


def test_lines_hold_the_means_of_their_own_batches(tmp_path):
    """Every two batches of an epoch, and what is left at its end; the log's running means begin anew each epoch."""
    metrics = trained(tmp_path / 'log')
    runs, records = read(str(tmp_path / 'log'))
    assert [run['cfg'] for run in runs] == ['net']
    assert [(r['iteration'], r['epoch'], r['batch']) for r in records] == [
        (2, 0, 1),
        (4, 0, 3),
        (5, 0, 4),
        (7, 1, 1),
        (9, 1, 3),
        (10, 1, 4),
    ]
    first = 0
    for record in records:
        for name in DetectionMetrics.NAMES:
            pairs = np.array([batch[name] for batch in metrics.batches[first : record['iteration']]])
            assert record['metrics'][name] == pytest.approx(pairs[:, 0].sum() / pairs[:, 1].sum(), rel=1e-5)
        first = record['iteration']
    assert [r['lr'] for r in records] == pytest.approx([SCHEDULE(r['iteration']) for r in records])


def test_the_parts_are_the_whole_time(tmp_path):
    trained(tmp_path / 'log')
    for record in read(str(tmp_path / 'log')).records:
        assert tuple(record['time']) == PARTS and all(value >= 0 for value in record['time'].values())
        assert sum(record['time'].values()) == pytest.approx(record['seconds'], rel=1e-3)
        assert record['time']['forward'] > 0 and record['time']['backward'] > 0
        assert 0 < record['memory']['process'] <= record['memory']['peak'] and 'gpu' not in record['memory']


def test_checkpoints_have_a_part_of_their_own_and_do_not_slow_the_speed(tmp_path, monkeypatch):
    """A clock that goes on by a hundred seconds in each checkpoint and by one with each reading."""
    now = [0.0]

    def clock():
        now[0] += 1
        return now[0]

    def save():
        now[0] += 100

    monkeypatch.setattr(history.time, 'perf_counter', clock)
    trained(tmp_path / 'log', saves=[save], checkpoint_every=2)
    records = read(str(tmp_path / 'log')).records
    # written after updates 2, 4, 5 (the end of the epoch), 6, 8 and 10; the last is after the last line
    assert [round(r['time']['save'] / 100) for r in records] == [0, 1, 1, 2, 1, 0]
    assert all(r['images_per_second'] > 2 / 60 for r in records if r['batch'] != 4)


def test_a_resumed_run_goes_on_without_doubled_iterations(tmp_path):
    """Stopped after update 7, continued from a checkpoint at update 5: 7 was written before and comes once."""
    path = tmp_path / 'log'
    trained(path, max_iterations=7)
    assert [r['iteration'] for r in read(str(path)).records] == [2, 4, 5, 7]
    trained(path, Position(1), update=5)
    runs, records = read(str(path))
    assert [r['iteration'] for r in records] == [2, 4, 5, 7, 9, 10]
    assert [run['update'] for run in runs] == [0, 5]
    # from the beginning: nothing of the run before is left
    trained(path)
    assert [run['update'] for run in read(str(path)).runs] == [0]


def test_a_line_that_was_cut_off_does_no_harm(tmp_path):
    path = tmp_path / 'log'
    trained(path, max_iterations=4)
    with open(path, 'a') as stream:
        stream.write('{"iteration": 5, "met')
    assert [r['iteration'] for r in read(str(path)).records] == [2, 4]
    trained(path, Position(0, 4), update=4)
    assert [r['iteration'] for r in read(str(path)).records] == [2, 4, 5, 7, 9, 10]


@pytest.mark.parametrize('line', ['{"iteration": 5', '[]', '{}', '{"run": 1}'])
def test_a_damaged_line_is_named(line, tmp_path, caplog):
    path = tmp_path / 'log'
    path.write_text(f'{line}\n{{"iteration": 3}}\n')
    with pytest.raises(UserError, match='log:1: not a line of a training'):
        read(str(path))
    started(path, update=3)
    assert 'begins anew' in caplog.text and read(str(path)).records == []


def test_batches_that_are_left_out_give_no_line(tmp_path):
    """TRAIN.nonfinite 'skip': the count of updates stands still."""

    class Still:
        seconds = {'forward': 0.0, 'backward': 0.0, 'update': 0.0}

        class updater:
            count = 3

        @staticmethod
        def gpu_memory():
            return 5 << 20

    log, metrics = started(tmp_path / 'log', update=2, frequent=1), DetectionMetrics()
    log.begin(metrics)
    for batch in range(3):
        log.step(Still, 0.1, 0, batch, metrics)
    (record,) = read(str(tmp_path / 'log')).records
    assert record['memory']['gpu'] == 5 and set(record['metrics'].values()) == {None}


def test_a_full_disk_ends_the_log_not_the_training(tmp_path, monkeypatch, caplog):
    log = started(tmp_path / 'log')
    monkeypatch.setattr(history, 'open', _full, raising=False)
    log._write({'iteration': 2})
    assert 'No space left on device; the log of this training ends here, training continues' in caplog.text
    log._write({'iteration': 3})
    assert caplog.text.count('ends here') == 1


def _full(*_, **__):
    raise OSError(28, 'No space left on device')


def test_no_file_without_a_path(tmp_path):
    log = History(None, {'update': 0, 'batch_images': 1}, 1, str(tmp_path / 'events'))
    log._write({'iteration': 1})
    assert list(tmp_path.iterdir()) == []


def events_in(folder, event_pb2):
    """{tag: {step: value}} of TensorBoard's files: records of length (8), its CRC (4), content, its CRC (4)."""
    found = {}
    for path in sorted(folder.iterdir()):
        content, at = path.read_bytes(), 0
        while at < len(content):
            (length,) = struct.unpack_from('<Q', content, at)
            event = event_pb2.Event.FromString(content[at + 12 : at + 12 + length])
            at += length + 16
            for value in event.summary.value:
                found.setdefault(value.tag, {})[event.step] = value.simple_value
    return found


def test_tensorboard_gets_the_same_figures(tmp_path):
    event_pb2 = pytest.importorskip('tensorboardX.proto.event_pb2')
    trainer, metrics = Trainer(NET, [mx.cpu()], *tiny.parameters(NET), kind='sgd'), Seen()
    log = History(str(tmp_path / 'log'), {'update': 0, 'batch_images': 1}, 2, str(tmp_path / 'events'))
    plan = Plan(SCHEDULE, Limits(1, 100))
    fit(trainer, tiny.Loader(5), plan, Observers(metrics, log), lambda *_: None, batches=tiny.batches)
    log.close()
    found = events_in(tmp_path / 'events', event_pb2)
    records = read(str(tmp_path / 'log')).records
    for tag, value in (
        ('metrics/RPNAcc', lambda r: r['metrics']['RPNAcc']),
        ('learning_rate', lambda r: r['lr']),
        ('images_per_second', lambda r: r['images_per_second']),
        ('seconds/forward', lambda r: r['time']['forward']),
        ('memory_MB/process', lambda r: r['memory']['process']),
    ):
        assert found[tag] == pytest.approx({r['iteration']: value(r) for r in records})


def test_without_the_package_one_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, 'tensorboardX', None)
    with pytest.raises(UserError, match='--tensorboard: the package tensorboardX is not installed; pip install'):
        history.require_events()


def test_lines_are_json_that_anybody_reads(tmp_path):
    trained(tmp_path / 'log')
    for line in (tmp_path / 'log').read_text().splitlines():
        json.loads(line, parse_constant=lambda name: pytest.fail(name))
