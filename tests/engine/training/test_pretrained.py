"""A missing ImageNet model is told first, before minutes are spent on the data."""

import pytest

from dcn.config import load_config
from dcn.errors import UserError


def test_missing_model_is_told_before_missing_data(repository, operators, tmp_path):
    from dcn.engine.training.run import train

    path = repository / 'experiments' / 'rfcn' / 'cfgs' / 'resnet_v1_101_voc0712_rfcn_dcn_end2end_ohem.yaml'
    changes = {'output_path': tmp_path, 'dataset.dataset_path': tmp_path, 'network.pretrained': tmp_path / 'none'}
    cfg = load_config(str(path), [f'{key}={value}' for key, value in changes.items()])
    with pytest.raises(UserError, match='network.pretrained: the ImageNet model .*none-0000.params is missing'):
        train(cfg, 'cpu')
