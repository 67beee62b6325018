"""The trained networks that come with the project, saved as files and run by a process in which MXNet cannot be
imported."""

import os
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip('torch')
SHAPES = {
    'rfcn': ('shapes_rfcn_end2end_ohem', 'shapes_rfcn'),
    'rfcn deformable': ('shapes_rfcn_dcn_end2end_ohem', 'shapes_rfcn_dcn'),
    'faster_rcnn': ('shapes_rcnn_end2end', 'shapes_rcnn'),
    'faster_rcnn deformable': ('shapes_rcnn_dcn_end2end', 'shapes_rcnn_dcn'),
    'fpn': ('shapes_fpn_end2end_ohem', 'shapes_fpn'),
    'fpn deformable': ('shapes_fpn_dcn_end2end_ohem', 'shapes_fpn_dcn'),
    'deeplab': ('shapes_deeplab', 'shapes_deeplab'),
    'deeplab deformable': ('shapes_deeplab_dcn', 'shapes_deeplab_dcn'),
}
PROGRAM = """
import sys
sys.modules['mxnet'] = None
import numpy as np, torch
from dcn.torch import Network
folder, *names = sys.argv[1:]
for name in names:
    prefix = f'{folder}/{name}'
    network = Network.load(prefix + '-symbol.json', prefix + '-0000.params', process=True)
    inputs = np.load(prefix + '-inputs.npz')
    with torch.no_grad():
        outputs = network(**{key: torch.from_numpy(inputs[key]) for key in inputs.files})
    np.savez(prefix + '-outputs.npz', **{key: value.numpy() for key, value in outputs.items()})
"""


def test_saved_graphs_run_without_mxnet(operators, repository, tmp_path):
    from dcn.checkpoint import read_params
    from dcn.config import load_config
    from dcn.engine.inference.photos import PhotoNetwork
    from dcn.engine.tasks.task import task_of
    from tests.graphs.filling import picture

    expected, names = {}, []
    for title, (stem, name) in SHAPES.items():
        family = title.split()[0]
        cfg = load_config(str(repository / f'experiments/{family}/cfgs/{stem}.yaml'))
        path = repository / f'experiments/{family}/shapes/{name}-0000.params'
        if family != 'deeplab':
            cfg.TEST.RPN_POST_NMS_TOP_N = 12  # fewer than NMS leaves: nothing is filled up at random
        network = PhotoNetwork(task_of(cfg, is_train=False).test_graph(), read_params(str(path), process=True))
        inputs = {'data': picture(160, 160)}
        if family != 'deeplab':
            inputs['im_info'] = np.float32([[160, 160, 1]])
        network.symbol.save(str(tmp_path / f'{name}-symbol.json'))
        os.symlink(path, tmp_path / f'{name}-0000.params')
        np.savez(tmp_path / f'{name}-inputs.npz', **inputs)
        if family == 'deeplab':
            inputs['softmax_label'] = np.zeros((1, 160 * 160), np.float32)
        expected[name] = network.predictor.predict(inputs)
        names.append(name)
    command = [sys.executable, '-c', PROGRAM, str(tmp_path), *names]
    done = subprocess.run(command, capture_output=True, text=True, cwd=repository)
    assert done.returncode == 0, done.stderr
    for name, outputs in expected.items():
        found = np.load(tmp_path / f'{name}-outputs.npz')
        assert list(found.files) == list(outputs)
        for key, array in outputs.items():
            tolerance = {'rois_output': 0.01, 'bbox_pred_reshape_output': 5e-4}.get(key, 1e-4)
            np.testing.assert_allclose(found[key], array, rtol=0, atol=tolerance, err_msg=f'{name} {key}')
