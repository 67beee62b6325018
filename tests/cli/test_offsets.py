"""``dcn offsets`` on networks whose offsets are known because they are nothing but biases."""

import json
import re

import numpy as np
import pytest

from dcn import cli
from dcn.dataset.shapes.detection import generate
from dcn.engine.tasks.detection import EndToEnd
from dcn.engine.tasks.segmentation import Segmentation
from dcn.formats import params as params_file
from tests.cli.test_demo import CHANGES
from tests.rfcn.tiny import write_checkpoint, write_photo
from tests.webpage.test_webpage import Nesting

CFGS = {
    'rfcn': 'experiments/rfcn/cfgs/shapes_rfcn_dcn_end2end_ohem.yaml',
    'fpn': 'experiments/fpn/cfgs/shapes_fpn_dcn_end2end_ohem.yaml',
    'deeplab': 'experiments/deeplab/cfgs/shapes_deeplab_dcn.yaml',
}
GRID = np.array([(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1)], np.float32)


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    """A folder with test images of the generated data set."""
    folder = tmp_path_factory.mktemp('offsets')
    generate(str(folder / 'shapes'), train=1, test=4, size=64)
    return folder


def widened(path, groups, by):
    """Offsets of all layers become those of filters that are wider by ``by`` cells in the first group, twice that in
    the second and so on; returns the path."""
    arrays = params_file.read(path)
    for name, values in arrays.items():
        if '_branch2b_offset_weight' in name:
            arrays[name] = np.zeros_like(values)
        if '_branch2b_offset_bias' in name:
            arrays[name] = np.zeros_like(values)
            arrays[name][: 18 * groups] = np.concatenate([(GRID * by * (g + 1)).ravel() for g in range(groups)])
    params_file.write(path, arrays)
    return path


def run(folder, repository, data, family, changes=(), groups=1, by=0.5, arguments=()):
    """(printed lines come by capsys) numbers and page of ``dcn offsets`` on a tiny network of ``family``."""
    cfg, changes = str(repository / CFGS[family]), [*CHANGES[family], *changes]
    task = Segmentation if family == 'deeplab' else EndToEnd
    path = write_checkpoint(str(folder / f'{family}-0000.params'), cfg, small=changes, task=task)
    places = [f'dataset.root_path={data}', f'dataset.dataset_path={data}/shapes']
    out, numbers = str(folder / f'{family}.html'), str(folder / f'{family}.json')
    status = cli.main(
        ['offsets', *arguments, '--cfg', cfg, '--params', widened(path, groups, by), '--out', out, '--json', numbers]
        + ['--trees', '1', '--fields', '1', '--set', *changes, *places]
    )
    assert status == 0
    with open(numbers, encoding='utf-8') as stream, open(out, encoding='utf-8') as page:
        return json.load(stream), page.read()


def dilations(found):
    """{layer: [(mean, std) of each category that has filters]}"""
    return {
        layer['name']: [
            (row['dilation']['mean'], row['dilation']['std']) for row in layer['categories'].values() if row['filters']
        ]
        for layer in found['layers']
    }


def test_table_2_of_a_network_of_constant_offsets(tmp_path, repository, data, capsys):
    """Four groups are wider by 0.5 to 2 cells on a dilation of 2: a mean of 3.25, the deviation of four numbers."""
    found, page = run(tmp_path, repository, data, 'rfcn', groups=4)
    expected = np.array([2.5, 3, 3.5, 4])
    for rows in dilations(found).values():
        assert len(rows) == 4  # thirds: 64 pixels are small for the paper
        np.testing.assert_allclose(rows, [[expected.mean(), expected.std()]] * 4, rtol=1e-6)
    assert found['sizes']['rule'] == 'thirds' and found['images'] == 4
    # corner taps move by root 2 times as far as those beside the middle, which stays
    moves = np.linalg.norm(GRID[:, None] * [[[0.5], [1.0], [1.5], [2.0]]], axis=-1).mean()
    rows = found['layers'][0]['categories']
    assert rows['large']['tap_moves']['mean'] == pytest.approx(moves, rel=1e-6)
    assert all(row['outside'] > row['outside_regular'] for row in rows.values() if row['filters'])
    printed = capsys.readouterr().out
    assert re.search(r'res5b_branch2b +2 +3\.25 \u00b1 0\.56', printed) and 'open it in a browser' in printed
    parts = found['parts']
    assert parts and len(parts[0]['mean_move'][0]) == 5
    fields = found['receptive_fields']['columns']
    assert [column['title'] for column in fields] == ['with its offsets', 'with offsets at zero']
    nesting = Nesting(page)
    assert nesting.tags.count('img') >= 12 and all(
        source.startswith(('data:', '#', 'https://arxiv.org/')) for source in nesting.sources
    )
    assert 'id="res5a_branch2b"' in page and '3.25 \u00b1 0.56' in page


def test_masks_of_modulated_layers(tmp_path, repository, data, capsys):
    changes = ['network.modulated=true', 'network.deform_rule=v2', 'network.deformable_groups=1']
    found, page = run(tmp_path, repository, data, 'rfcn', changes, by=1.0)
    for layer in found['layers']:
        assert layer['modulated'] and layer['rule'] == 'v2'
        for row in layer['categories'].values():
            if row['filters']:
                assert row['mask']['mean'] == pytest.approx(1) and row['mask']['std'] == pytest.approx(0, abs=1e-6)
                assert row['dilation']['mean'] == pytest.approx(3)
    assert 'id="masks"' in page


def test_levels_of_a_pyramid_are_traced_together(tmp_path, repository, data, capsys):
    found, page = run(tmp_path, repository, data, 'fpn', groups=2, arguments=['--sizes', '10,20'])
    strides = {layer['name']: layer['stride_pixels'] for layer in found['layers']}
    assert strides['res3a_branch2b'] == [8] and strides['res5b_branch2b'] == [32]
    assert all(mean == pytest.approx(1.75) for rows in dilations(found).values() for mean, _ in rows)
    assert '<sup>3</sup> = 729 points' in page and found['sizes']['low'] == 10


def test_classes_of_pixels_are_objects_of_a_segmentation(tmp_path, repository, data, capsys):
    found, page = run(tmp_path, repository, data, 'deeplab')
    assert found['parts'] is None and 'id="parts"' not in page
    assert all(mean == pytest.approx(2.5) for rows in dilations(found).values() for mean, _ in rows)
    photo = write_photo(tmp_path / 'photo.png', (70, 90))
    again, _ = run(tmp_path, repository, data, 'deeplab', arguments=[photo])
    assert again['images'] == 1 and again['data'] == '1 photo'
    assert sum(row['filters'] for row in again['layers'][0]['categories'].values()) > 0


def test_mistakes_end_in_one_sentence(tmp_path, repository, data, capsys):
    cfg, plain = (
        str(repository / f'experiments/rfcn/cfgs/shapes_rfcn{name}_end2end_ohem.yaml') for name in ('_dcn', '')
    )
    places = ['--set', *CHANGES['rfcn'], f'dataset.root_path={data}', f'dataset.dataset_path={data}/shapes']
    path = write_checkpoint(str(tmp_path / 'dcn-0000.params'), cfg, small=CHANGES['rfcn'])
    flat = write_checkpoint(str(tmp_path / 'plain-0000.params'), plain, small=CHANGES['rfcn'])
    broken = params_file.read(path)
    broken['arg:res5a_branch2b_offset_bias'][3] = np.nan
    params_file.write(str(tmp_path / 'nan-0000.params'), broken)
    empty = tmp_path / 'empty'
    empty.mkdir()
    nowhere = ['--set', *CHANGES['rfcn'], 'dataset.dataset=PascalVOC', f'dataset.dataset_path={tmp_path}/none']
    cases = [
        (['--cfg', cfg, '--params', path, *nowhere], 'none/VOC2007'),
        (['--cfg', plain, '--params', flat], 'has no deformable convolution'),
        (['--cfg', cfg, '--params', flat], 'offset'),
        (['--cfg', cfg, '--params', str(tmp_path / 'nan-0000.params')], 'not finite'),
        ([str(empty), '--cfg', cfg, '--params', path], 'a folder without photos'),
        ([str(tmp_path / 'none.jpg'), '--cfg', cfg, '--params', path], 'the image is missing'),
        (['--cfg', cfg, '--params', path, '--sizes', '5'], 'expected auto, paper, coco, thirds'),
        (['--cfg', cfg, '--params', path, '--group', '4'], 'expected a number from 0 to 3'),
        (['--cfg', cfg, '--params', path, '--out', path], 'would replace'),
    ]
    for arguments, sentence in cases:
        out = [] if '--out' in arguments else ['--out', str(tmp_path / 'page.html')]
        assert cli.main(['offsets', *arguments, *out, *([] if nowhere[-1] in arguments else places)]) == 2, arguments
        error = capsys.readouterr().err.strip().splitlines()[-1]
        assert error.startswith('error: ') and sentence in error, (arguments, error)
    assert not (tmp_path / 'page.html').exists()
