"""What tools/export_check.py is about to do; the networks themselves take minutes."""

import pytest

from dcn.config import load_config
from dcn.paths import in_project
from tests.export import full_size


def test_every_family_plain_and_deformable_is_there():
    configurations = [load_config(in_project(f'experiments/{path}')) for path in full_size.NETWORKS.values()]
    assert len({cfg.symbol for cfg in configurations}) == 8
    assert {cfg.dataset.dataset for cfg in configurations} == {'PascalVOC', 'coco', 'CityScape'}


def test_an_unknown_network_is_named(capsys):
    with pytest.raises(SystemExit):
        full_size.main(['rfcn-imagenet'])
    assert 'unknown network rfcn-imagenet; there are rfcn-voc0712, ' in capsys.readouterr().err


def test_boxes_and_pixels_have_rows():
    common = dict(network='a', to='onnx', images=3, equal=True)
    boxes = dict(engine=9, matched=8, largest_error_pixels=0.0123, largest_error_score=1e-6)
    assert full_size.row_of({**common, 'boxes': boxes}) == ('a', 'onnx', 3, 9, 8, '0.012', '1e-06', '', '', '')
    measured = dict(megabytes=250.0, export_seconds=5.0, peak_gb=2.5)
    found = full_size.row_of({**common, **measured, 'different_pixels': 2})
    assert found[4] == 'all but 2 pixels' and found[-3:] == (250.0, 5.0, 2.5)
