"""What fits of a checkpoint, and what is said of the rest."""

import numpy as np

from dcn.checkpoint.fitting import fit, notes


def test_what_fits_is_kept():
    given = {
        'arg:conv1_weight': np.ones((2, 3, 7, 7), np.float32),
        'arg:rfcn_cls_weight': np.ones((49, 4, 1, 1)),
        'arg:rfcn_bbox_weight': np.ones((8, 1)),
        'arg:rfcn_bbox_weight_test': np.ones((8, 1)),
        'arg:fc1000_bias': np.ones(3),
        'aux:bn_conv1_moving_var': np.full(2, 3.0),
    }
    wanted = {
        'conv1_weight': (2, 3, 7, 7),
        'rfcn_cls_weight': (98, 4, 1, 1),
        'rfcn_bbox_weight': (8, 1),
        'bn_conv1_moving_var': (2,),
        'bn_conv1_moving_mean': (2,),
        'res5a_branch2b_offset_weight': (18, 4, 3, 3),
    }
    found = fit(given, wanted, {'bn_conv1_moving_var', 'bn_conv1_moving_mean'})
    assert found.kept['arg:conv1_weight'] is given['arg:conv1_weight']
    assert found.kept['aux:bn_conv1_moving_var'].tolist() == [3, 3]
    assert sorted(found.kept) == ['arg:conv1_weight', 'arg:rfcn_bbox_weight', 'aux:bn_conv1_moving_var']
    assert found.offsets == ['res5a_branch2b_offset_weight']
    assert found.fresh == {
        'rfcn_cls_weight': 'shape (49, 4, 1, 1) -> (98, 4, 1, 1)',
        'bn_conv1_moving_mean': 'not in the checkpoint',
    }
    assert list(found.twins) == ['arg:rfcn_bbox_weight_test'] and found.dropped == ['fc1000_bias']


def test_weights_for_testing_of_a_layer_that_starts_anew_go():
    given = {'arg:bbox_pred_weight': np.ones((84, 2)), 'arg:bbox_pred_weight_test': np.ones((84, 2))}
    found = fit(given, {'bbox_pred_weight': (324, 2)}, set())
    assert (
        not found.kept
        and not found.twins
        and list(found.fresh) == ['bbox_pred_weight']
        and found.dropped == ['bbox_pred_weight_test']
    )


def test_sentences_name_what_is_not_kept():
    wanted = {'a_weight': (1,), 'res5a_branch2b_offset_bias': (2,), 'b_weight': (3,), 'c_weight': (4,)}
    found = fit({'arg:a_weight': np.ones(1), 'arg:b_weight': np.ones(2), 'arg:z_weight': np.ones(1)}, wanted, set())
    assert list(notes(found)) == [
        '1 offset parameters are zero, so that deformable layers act as plain ones: res5a_branch2b_offset_bias',
        '2 start anew: b_weight (shape (2,) -> (3,)), c_weight (not in the checkpoint)',
        '1 left out: z_weight',
    ]
    assert list(notes(found, 1))[1] == '2 start anew: b_weight (shape (2,) -> (3,)) and 1 more'
