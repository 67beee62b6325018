"""``dcn paper``: every experiment file exists and loads, commands run as printed, measured stands beside published."""

import json
import os
import shlex

import pytest

from dcn import cli
from dcn.config import difference_from_default, load_config, output_folder
from dcn.paper.experiment import NOT_RUN, needed
from dcn.paper.rows import rows
from dcn.paper.sources import preparation, sources

EXPERIMENTS = [(row, cell) for row in rows().values() for cell in row.cells if cell.file]


def printed(capsys, *argv):
    assert cli.main(['paper', *argv]) == 0
    return capsys.readouterr().out


def test_every_experiment_file_loads_and_is_its_own(repository):
    """No two rows write to one place, but for networks that are trained once and tested twice."""
    places = {}
    for row, cell in EXPERIMENTS:
        cfg = load_config(str(repository / cell.file), cell.overrides)
        places.setdefault(output_folder(cfg, cfg.dataset.image_set), []).append(row.id)
    shared = sorted(names for names in places.values() if len(names) > 1)
    assert shared == [['fpn-coco', 'fpn-coco-scales'], ['fpn-dcn-coco', 'fpn-dcn-coco-scales']]


def test_files_are_those_of_the_authors(repository):
    """Their 18 files less four demos and one without a published number; and the two for one scale."""
    used = {cell.file for _, cell in EXPERIMENTS}
    assert len(used) == 15
    demos = {'deform_conv_demo', 'deform_psroi_demo', 'rfcn_coco_demo', 'deeplab_cityscapes_demo'}
    without_row = {'resnet_v1_101_voc0712_rcnn_end2end'}
    files = {
        str(path.relative_to(repository))
        for path in repository.glob('experiments/*/cfgs/*.yaml')
        if not path.name.startswith('shapes') and path.stem not in demos | without_row
    }
    assert used == files


@pytest.mark.parametrize(
    'name, numbers',
    [
        ('rfcn-dcn-voc', 'mAP@0.5 82.3, mAP@0.7 67.8'),
        ('fpn-dcn-coco-scales', 'AP 44.4'),
        ('deeplab-voc', 'mIoU 70.7'),
        ('table3-both', 'mAP@0.5 82.6, mAP@0.7 68.5'),
        ('table5-averages-dcn', 'AP 37.5'),
    ],
)
def test_one_row(capsys, name, numbers):
    text = printed(capsys, name)
    assert numbers in text
    assert ('no command:' in text) != ('dcn train --cfg experiments/' in text)


def test_overview_has_every_row_and_says_that_none_was_run(capsys):
    text = printed(capsys)
    assert len(rows()) == 46 and all(f'\n{name} ' in text for name in rows())
    assert NOT_RUN in text
    assert 'class-aware RPN  Faster R-CNN' in text and '68.0 / 44.9' in text


def test_printed_commands_are_understood(capsys, repository):
    """Deformable layers of the ablation as the paper names them; quoting survives a shell."""
    lines = [line for line in printed(capsys, 'table1-6').splitlines() if 'dcn train' in line]
    assert len(lines) == 4
    words = shlex.split(lines[-1])
    cfg = load_config(str(repository / words[words.index('--cfg') + 1]), words[words.index('--set') + 1 :])
    assert cfg.network.deformable == ['res4b20', 'res4b21', 'res4b22', 'res5']
    assert cfg.network.roi_pooling == 'integer'


def test_needed_paths(repository):
    cells = {row.id: cell for row, cell in EXPERIMENTS}
    found = {
        name: needed(load_config(str(repository / cells[name].file)))
        for name in ('rfcn-voc', 'rfcn-coco', 'deeplab-cityscapes', 'deeplab-voc')
    }
    assert './data/VOCdevkit/VOC2012/Annotations' in found['rfcn-voc']
    assert './data/coco/annotations/image_info_test-dev2015.json' in found['rfcn-coco']
    assert './data/cityscapes/gtFine/train' in found['deeplab-cityscapes']
    assert './data/VOCdevkit2012/VOC2012/SegmentationClass' in found['deeplab-voc']
    assert all(paths[-1] == './model/pretrained_model/resnet_v1_101-0000.params' for paths in found.values())


def test_published_beside_measured(tmp_path, capsys, repository):
    folder = tmp_path / 'resnet_v1_101_voc0712_rfcn_end2end_ohem' / '2007_test'
    os.makedirs(folder)
    run = {
        'cfg': folder.parent.name,
        'symbol': 'resnet_v1_101_rfcn',
        'checkpoint': 'somewhere-0007.params',
        'images': 4952,
        'difference': difference_from_default(
            load_config(
                str(repository / 'experiments/rfcn/cfgs/resnet_v1_101_voc0712_rfcn_end2end_ohem.yaml'), ['TEST.NMS=0.5']
            )
        ),
        'scores': {'mAP@0.5': 0.7874},
    }
    (folder / 'scores.json').write_text(json.dumps(run))
    text = printed(capsys, 'rfcn-voc', '--output', str(tmp_path))
    assert 'somewhere-0007.params on 4952 images' in text and NOT_RUN not in text
    # where runs of other settings write to the same place, one must see it
    assert 'but with TEST.NMS 0.5, not as by default' in text and text.count('but with') == 1
    measured = {line.split()[0]: line.split()[1:] for line in text.splitlines() if line.startswith('    mAP')}
    assert measured['mAP@0.5'] == ['79.6', '78.7', '-0.9'] and measured['mAP@0.7'][:2] == ['63.1', '-']


def test_published_measured_and_interval_side_by_side(tmp_path, capsys):
    folder = tmp_path / 'resnet_v1_101_voc0712_rfcn_end2end_ohem' / '2007_test'
    os.makedirs(folder)
    interval = {'confidence': 0.95, 'scores': {'mAP@0.5': [0.7712, 0.8049], 'mAP@0.7': None}}
    run = {'cfg': 'net', 'checkpoint': 'p', 'images': 4952, 'scores': {'mAP@0.5': 0.7874, 'mAP@0.7': 0.6}}
    (folder / 'scores.json').write_text(json.dumps(dict(run, interval=interval)))
    lines = printed(capsys, 'rfcn-voc', '--output', str(tmp_path)).splitlines()
    head = next(line for line in lines if '95 % interval' in line)
    assert head.split() == ['published', 'measured', 'difference', '95', '%', 'interval']
    rows = {line.split()[0]: line.split()[1:] for line in lines if line.startswith('    mAP')}
    assert rows['mAP@0.5'] == ['79.6', '78.7', '-0.9', '77.1', 'to', '80.5'] and rows['mAP@0.7'] == [
        '63.1',
        '60.0',
        '-3.1',
    ]


def test_tests_are_collected_into_one_file(tmp_path, capsys):
    path, output = str(tmp_path / 'ledger.jsonl'), str(tmp_path / 'output')
    assert cli.main(['paper', '--ledger', path, '--output', output]) == 2
    assert 'nothing to write: no scores.json of a test lies below' in capsys.readouterr().err
    for name, score in (('one', 0.5), ('two', 0.6)):
        folder = os.path.join(output, name, '2007_test')
        os.makedirs(folder)
        with open(os.path.join(folder, 'scores.json'), 'w') as stream:
            json.dump({'cfg': name, 'images': 3, 'scores': {'mIoU': score}}, stream)
        text = printed(capsys, '--ledger', path, '--output', output)
        assert f'{100 * score:.1f}' in text
    assert '2 tests: ' in text
    # as Markdown, without collecting
    text = printed(capsys, '--ledger', path, '--markdown', '--output', str(tmp_path))
    assert text.startswith('| test |') and text.count('mIoU') == 2


def test_unknown_row(capsys):
    assert cli.main(['paper', 'table9']) == 2
    assert 'no such row; expected one of rfcn-voc' in capsys.readouterr().err


# ---- what a row takes besides its commands ----


def test_every_set_has_its_archives(repository):
    """Each image set that an experiment reads: which archives hold it, how large they are, where they go."""
    known = sources()
    for row, cell in EXPERIMENTS:
        cfg = load_config(str(repository / cell.file), cell.overrides)
        lines = list(preparation(cfg, 4))
        for name in [*cfg.dataset.image_set.split('+'), cfg.dataset.test_image_set]:
            assert known['sets'][name]['images'] > 0
            for archive in known['sets'][name]['archives']:
                size, place, folder = known['archives'][archive]
                assert f'  {archive} ({size}) into {folder}' in lines and f'    from {place}' in lines, row.id


def test_minival_and_test_dev_say_where_they_come_from(capsys):
    assert 'coco_annotations_minival.tgz' in printed(capsys, 'fpn-coco')
    text = printed(capsys, 'rfcn-dcn-coco')
    assert 'detections_test-dev2015_results.json' in text and 'https://cocodataset.org/#upload' in text
    assert 'upload' not in printed(capsys, 'rfcn-voc')


def test_the_hours_are_an_estimate_that_can_be_redone(capsys):
    """VOC: 2 x 16551 images, 7 epochs, three passes of 0.19 s, on 4 GPUs."""
    hours = 2 * (5011 + 11540) * 7 * 3 * 0.19 / 4 / 3600
    expected = f'time: {hours:.0f} hours of training on 4 Maxwell Titan X (estimated, not measured)'
    assert expected in printed(capsys, 'rfcn-dcn-voc')


def test_table_3_has_commands_for_every_dilation(capsys):
    for dilate in (4, 6, 8):
        text = printed(capsys, f'table3-{dilate}')
        assert f"--set 'network.deformable=[]' network.res5_dilate={dilate} network.roi_pooling=integer" in text
