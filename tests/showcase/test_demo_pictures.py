"""The pages of the demo: what a tile's caption counts, and that pages of any content can be put together."""

import numpy as np

from dcn.showcase import demo_pictures
from dcn.showcase.probe import deformable_layers
from dcn.visualize.boxes import label_corner
from dcn.visualize.canvas import text_size, text_strip
from dcn.visualize.parts import draw_coloured_parts, middle_half, part_boxes
from dcn.visualize.sampling import spread_cells

import mxnet as mx

TRUTH = demo_pictures.Found(np.array([[0, 0, 9, 9], [20, 20, 39, 39]]), None, np.array([1, 2]))


def found(*rows):
    rows = np.array(rows, dtype=float).reshape(-1, 6)
    return demo_pictures.Found(rows[:, :4], rows[:, 4], rows[:, 5].astype(int))


def test_verdict_counts_right_class_and_overlap_once():
    twice = found([0, 0, 9, 9, 0.9, 1], [0, 0, 9, 8, 0.8, 1])
    assert demo_pictures.verdict(twice, TRUTH) == '1 of 2 found, mean IoU 1.00, 1 wrong'
    # 20 x 10 of 20 x 20 is an IoU of 0.5 exactly, which is not above 0.5; then a wrong class
    assert demo_pictures.verdict(found([20, 20, 39, 29, 0.9, 2]), TRUTH) == '0 of 2 found, 1 wrong'
    assert demo_pictures.verdict(found([20, 20, 39, 39, 0.9, 1]), TRUTH) == '0 of 2 found, 1 wrong'
    assert (
        demo_pictures.verdict(found([20, 20, 39, 34, 0.9, 2], [0, 0, 9, 9, 0.6, 1]), TRUTH)
        == '2 of 2 found, mean IoU 0.88'
    )
    assert demo_pictures.verdict(found(), TRUTH) == '0 of 2 found'


def test_detections_page_holds_any_number_of_images():
    image, names = np.zeros((40, 40, 3), np.uint8), ('__background__', 'cat', 'dog')
    for count in (1, 3):
        columns = {'net': [found([0, 0, 9, 9, 0.9, 1])] * count}
        page = demo_pictures.detections_page([image] * count, [TRUTH] * count, columns, names, 0.5, 'all.')
        assert page.dtype == np.uint8 and (page[:20] == 255).all()


def test_agreement_leaves_out_what_does_not_count():
    truth = np.array([[0, 0, 0, 1], [0, 0, 1, 255]], np.uint8)
    found = np.array([[0, 0, 0, 1], [0, 0, 2, 2]], np.uint8)
    # of 7 pixels 6 are right; background 5/5, class 1 one of two, class 2 none: a mean of a half
    assert demo_pictures.agreement(found, truth) == 'mean IoU 0.50, 85.7 % right'


def test_segmentations_page_holds_any_number_of_images():
    image, labels = np.zeros((40, 40, 3), np.uint8), np.eye(40, dtype=np.uint8)
    for count in (1, 3):
        page = demo_pictures.segmentations_page(
            [image] * count,
            [labels] * count,
            {'net': [labels] * count},
            ('background', 'line'),
            np.array([[0, 0, 0], [255, 0, 0]]),
            'all.',
        )
        assert page.dtype == np.uint8 and (page[:20] == 255).all()


def test_label_keeps_off_its_box_other_boxes_and_labels():
    extent, shape = (30, 10), (100, 100, 3)
    box, above = (20, 20, 60, 60), (20, 5, 60, 19)
    whole = (0, 0, 100, 100)
    assert label_corner(box, extent, shape, [box], []) == (20, 10)  # above the box
    assert label_corner(box, extent, shape, [box, above], []) == (20, 60)  # above is taken: below
    assert label_corner(box, extent, shape, [box, above], [(20, 60, 60, 70)]) == (60, 20)  # below, too: beside
    assert label_corner(whole, extent, shape, [whole], []) == (0, 0)  # no room outside


def test_text_is_broken_between_words():
    one, two = text_strip(400, 'some words'), text_strip(text_size('words', 15)[0], 'some words')
    assert two.shape[0] == 2 * one.shape[0] and one.min() < 100


def test_coloured_parts_show_the_surroundings_and_grey_beyond_the_image():
    image = np.full((50, 50, 3), 7, np.uint8)
    regular, _ = part_boxes(np.array([0, 0, 19, 19]), np.zeros((2, 2, 2)))
    drawn = draw_coloured_parts(image, np.array([0, 0, 19, 19]), regular, side=180)
    # 20 pixels and a margin of 8 on each side are 36: five canvas pixels each
    assert drawn[5, 5].tolist() == [232] * 3 and drawn[175, 175].tolist() == [7] * 3


def test_deformable_layers_are_found_with_their_numbers():
    data = mx.sym.Variable('data')
    offset = mx.sym.Convolution(data, kernel=(3, 3), pad=(1, 1), num_filter=36, name='where')
    net = mx.sym.contrib.DeformableConvolution(
        data, offset, kernel=(3, 3), pad=(2, 2), dilate=(2, 2), num_filter=4, num_deformable_group=2, name='deform'
    )
    assert deformable_layers(mx.sym.Activation(net, act_type='relu')) == [
        ('deform', 'where_output', 3, 2, 2, 2, 1, 'v1', None)
    ]


def test_cells_reach_the_border_and_the_middle_half_leaves_a_quarter():
    assert spread_cells((5, 9), 3, 3) == [[(y, x) for x in (0, 4, 8)] for y in (0, 2, 4)]
    assert middle_half(np.zeros((40, 80, 3))) == [20, 10, 59, 29]
