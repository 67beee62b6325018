"""Every experiment file of the original, unchanged, through its driver script: two iterations, a checkpoint, a test and
its own evaluator. ResNet-101 with random weights, generated images in the real folders; smaller images by default, the
real sizes with --full, which writes what it measured to output/every_yaml.md."""

import datetime
import glob
import json
import math
import os
import re
import shutil
import subprocess
import sys
import tempfile

import pytest

from tests.experiments import layouts

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
REPORT = os.path.join(ROOT, 'output', 'every_yaml.md')
CFGS = 'experiments/{}/cfgs/{}.yaml'
DETECTION = ('--set', 'SCALES=[224, 320]')
FPN = (*DETECTION, 'TEST_SCALES=[[224, 320], [288, 416]]')
SEGMENTATION = ('--set', 'SCALES=[192, 384]', 'TRAIN.CROP_HEIGHT=160', 'TRAIN.CROP_WIDTH=224')
# family, file -> driver script, settings of the quick tier, what scores.json must hold
EXPERIMENTS = {
    **{
        ('rfcn', f'resnet_v1_101_voc0712_rfcn{dcn}_end2end_ohem'): ('rfcn_end2end_train_test', DETECTION, 'mAP@0.5')
        for dcn in ('', '_dcn')
    },
    **{
        ('rfcn', f'resnet_v1_101_coco_trainval_rfcn{dcn}_end2end_ohem'): ('rfcn_end2end_train_test', DETECTION, None)
        for dcn in ('', '_dcn')
    },
    ('rfcn', 'rfcn_coco_demo'): ('rfcn_end2end_train_test', DETECTION, None),
    ('rfcn', 'deform_conv_demo'): ('rfcn_end2end_train_test', DETECTION, 'mAP@0.5'),
    ('rfcn', 'deform_psroi_demo'): ('rfcn_train_test', DETECTION, 'mAP@0.5'),
    **{
        ('faster_rcnn', f'resnet_v1_101_voc0712_rcnn{dcn}_end2end'): ('rcnn_end2end_train_test', DETECTION, 'mAP@0.5')
        for dcn in ('', '_dcn')
    },
    **{
        ('faster_rcnn', f'resnet_v1_101_coco_trainval_rcnn{dcn}_end2end'): ('rcnn_end2end_train_test', DETECTION, None)
        for dcn in ('', '_dcn')
    },
    **{
        ('fpn', f'resnet_v1_101_coco_trainval_fpn{dcn}_end2end_ohem'): ('fpn_end2end_train_test', FPN, 'AP')
        for dcn in ('', '_dcn')
    },
    **{
        ('deeplab', f'deeplab_resnet_v1_101_{data}_segmentation_{kind}'): ('deeplab_train_test', SEGMENTATION, 'mIoU')
        for data in ('cityscapes', 'voc12')
        for kind in ('base', 'dcn')
    },
    ('deeplab', 'deeplab_cityscapes_demo'): ('deeplab_train_test', SEGMENTATION, 'mIoU'),
}
IMAGES = 2  # in every test set; training sets have one each, two in all (four with flipped copies) or more
DEMO_EPOCH = 5  # rfcn_coco_demo.yaml resumes there


@pytest.fixture(scope='module')
def place(tmp_path_factory, request):
    """A folder with data/ and model/ as the README says, in which every experiment file runs unchanged."""
    folder = str(tmp_path_factory.mktemp('experiments'))
    full = request.config.getoption('--full')
    data = os.path.join(folder, 'data')
    voc, coco, street = ((375, 500), (480, 640), (1024, 2048)) if full else ((150, 200), (120, 160), (192, 384))
    devkit = os.path.join(data, 'VOCdevkit')
    for image_set, count in (('2007_trainval', 1), ('2012_trainval', 1), ('2007_test', IMAGES)):
        layouts.write_voc(devkit, image_set, count, voc)
        layouts.write_selective_search(data, f'voc_{image_set}', count, voc)
    for image_set, count in (('2012_train_seg', 2), ('2012_val_seg', IMAGES)):
        layouts.write_voc_segmentation(os.path.join(data, 'VOCdevkit2012'), image_set, count, voc)
    sets = (
        ('train2014', 'train2014', 1),
        ('val2014', 'val2014', 1),
        ('valminusminival2014', 'val2014', 1),
        ('minival2014', 'val2014', IMAGES),
        ('test-dev2015', 'test2015', IMAGES),
    )
    for first, (image_set, data_name, count) in enumerate(sets):
        layouts.write_coco(os.path.join(data, 'coco'), image_set, data_name, count, coco, 100 * first + 1)
    for split, city, count in (('train', 'aachen', 2), ('val', 'frankfurt', IMAGES)):
        layouts.write_cityscapes(os.path.join(data, 'cityscapes'), split, city, count, street)
    _write_pretrained(os.path.join(folder, 'model', 'pretrained_model', 'resnet_v1_101'))
    yield folder
    shutil.rmtree(folder)


def _write_pretrained(prefix):
    """A ResNet-101 of random weights with the names of the ImageNet model."""
    arg_params, aux_params = random_network(CFGS.format('rfcn', 'resnet_v1_101_voc0712_rfcn_end2end_ohem'))
    backbone = {name: value for name, value in arg_params.items() if name.startswith(('conv1', 'bn', 'res'))}
    os.makedirs(os.path.dirname(prefix))
    save_params(f'{prefix}-0000.params', backbone, aux_params)


def random_network(cfg_path):
    """(arg_params, aux_params) of an experiment's network, trained on nothing."""
    from dcn.config import load_config, symbol_class

    cfg = load_config(os.path.join(ROOT, cfg_path), ["network.pretrained=''"])
    network = symbol_class(cfg)()
    network.get_symbol(cfg, is_train=False)
    network.infer_shape({'data': (1, 3, 224, 224), 'im_info': (1, 3)})
    arg_params, aux_params = {}, {}
    network.init_weight(cfg, arg_params, aux_params)
    return arg_params, aux_params


def save_params(path, arg_params, aux_params):
    import mxnet as mx

    groups = (('arg', arg_params), ('aux', aux_params))
    mx.nd.save(path, {f'{kind}:{name}': value for kind, group in groups for name, value in group.items()})


@pytest.fixture
def empty(place):
    """The place, without what an earlier experiment left."""
    yield place
    for left in ('output', os.path.join('data', 'cache')):
        shutil.rmtree(os.path.join(place, left), ignore_errors=True)


@pytest.mark.parametrize('family, stem', list(EXPERIMENTS), ids=[stem for _, stem in EXPERIMENTS])
def test_trains_saves_tests_and_evaluates(empty, request, family, stem):
    place = empty
    script, reduced, score = EXPERIMENTS[family, stem]
    full, epoch = request.config.getoption('--full'), 1
    iterations = 3 if full else 2  # the last one is timed
    if stem == 'rfcn_coco_demo':
        # four images an epoch, flipped copies included
        iterations, epoch = 4 * DEMO_EPOCH + iterations, DEMO_EPOCH + 1
        _write_resumed(place, family, stem)
    settings = [] if full else list(reduced)
    output, memory = run(
        place,
        f'experiments/{family}/{script}.py',
        CFGS.format(family, stem),
        *settings,
        '--set',
        f'TRAIN.iterations={iterations}',
        f'TEST.test_epoch={epoch}',
    )
    losses = [float(value) for value in re.findall(r'Train-[^=]*(?:Loss|Acc)[^=]*=([^,\s]+)', output)]
    assert losses and all(math.isfinite(value) for value in losses), output
    results = only(place, 'output/**/scores.json')
    with open(results) as stream:
        found = json.load(stream)
    assert found['images'] == IMAGES
    if score is None:
        # a set for upload: nothing to compare with, but a file that the server takes
        with open(only(place, 'output/**/detections_test-dev2015_results.json')) as stream:
            rows = json.load(stream)
        assert all(set(row) == {'image_id', 'category_id', 'bbox', 'score'} for row in rows)
    else:
        assert 0 <= found['scores'][score] <= 1
    only(place, f'output/**/*-{epoch:04d}.params')
    if full:
        _report(place, stem, memory, found['scores'], score)


def run(place, script, cfg, *arguments):
    """What a script of the project prints that runs in ``place``, and its peak memory in GB."""
    command = [
        sys.executable,
        os.path.join(ROOT, script),
        '--cfg',
        os.path.join(ROOT, cfg),
        '--frequent',
        '1',
        *arguments,
    ]
    with tempfile.TemporaryFile('w+') as printed:
        process = subprocess.Popen(command, cwd=place, stdout=printed, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = status
        printed.seek(0)
        output = printed.read()
    assert status == 0, output
    return output, usage.ru_maxrss * 1024 / 1e9


def only(place, pattern):
    """The one file that matches."""
    found = glob.glob(os.path.join(place, pattern), recursive=True)
    assert len(found) == 1, found
    return found[0]


def _write_resumed(place, family, stem):
    """The checkpoint that the demo's file goes on from."""
    folder = os.path.join(place, 'output', 'rfcn', stem, 'train2014_val2014')
    os.makedirs(folder)
    save_params(os.path.join(folder, f'e2e-{DEMO_EPOCH:04d}.params'), *random_network(CFGS.format(family, stem)))


def _report(place, stem, memory, scores, score):
    """A row: seconds of the last iteration, seconds a test image, peak memory, the running losses, the result."""
    train, test = (_log(place, stem, pattern) for pattern in ('Batch [', 'testing '))
    seconds = (_time(train[-1]) - _time(train[-2])).total_seconds()
    # several test scales are counted one by one
    passes = int(re.search(r'testing (\d+)/', test[-1]).group(1)) / IMAGES
    tested = passes * sum(map(float, re.findall(r'([0-9.]+)s', test[-1].partition('testing')[2])))
    losses = ', '.join(f'{name} {float(value):.3g}' for name, value in re.findall(r'(\w*Loss)=([0-9.]+)', train[-1]))
    result = f'{score} {scores[score]:.4f}' if score else 'file for upload'
    os.makedirs(os.path.dirname(REPORT), exist_ok=True)
    with open(REPORT, 'a') as stream:
        stream.write(f'| {stem} | {seconds:.1f} | {tested:.1f} | {memory:.1f} | {losses} | {result} |\n')


def _log(place, stem, pattern):
    """The lines of the run's log files that hold ``pattern``."""
    lines = []
    for path in sorted(glob.glob(os.path.join(place, 'output', '**', f'{stem}_*.log'), recursive=True)):
        with open(path) as stream:
            lines += [line for line in stream if pattern in line]
    return lines


def _time(line):
    """The time at which a line was logged: '2017-03-17 12:00:00,123 ...'."""
    return datetime.datetime.strptime(line[:23], '%Y-%m-%d %H:%M:%S,%f')
