"""Loading, overriding and refusing configurations."""

import copy

import numpy as np
import pytest

from dcn.config import SYMBOLS, difference_from_default, load_config, output_folder, symbol_class
from dcn.config.yaml_text import parse_yaml
from dcn.errors import UserError


@pytest.fixture
def write(tmp_path):
    """A function: YAML text -> path of a file with it; a symbol is added unless the text has one."""

    def write(text, name='experiment.yaml'):
        path = tmp_path / name
        path.write_text(text if 'symbol' in text else 'symbol: resnet_v1_101_rfcn\n' + text)
        return str(path)

    return write


def refused(path, overrides=()):
    """The sentence with which loading is refused."""
    with pytest.raises(UserError) as error:
        load_config(path, overrides)
    assert '\n' not in str(error.value)
    return str(error.value)


def test_defaults_are_the_originals(write):
    cfg = load_config(write(''))
    # some of each section, from the original's config.py
    assert cfg.SCALES == [(600, 1000)] and cfg.CLASS_AGNOSTIC is True and cfg.gpus == ''
    assert (cfg.default.frequent, cfg.default.kvstore) == (20, 'device')
    assert (cfg.network.NUM_ANCHORS, cfg.network.FIXED_PARAMS) == (9, ['gamma', 'beta'])
    assert (cfg.dataset.dataset, cfg.dataset.NUM_CLASSES) == ('PascalVOC', 21)
    assert (cfg.TRAIN.lr_factor, cfg.TRAIN.momentum, cfg.TRAIN.wd, cfg.TRAIN.BATCH_IMAGES) == (0.1, 0.9, 0.0005, 2)
    assert (cfg.TRAIN.RPN_PRE_NMS_TOP_N, cfg.TRAIN.RPN_POST_NMS_TOP_N, cfg.TRAIN.RPN_MIN_SIZE) == (12000, 2000, 16)
    assert (cfg.TEST.RPN_PRE_NMS_TOP_N, cfg.TEST.RPN_POST_NMS_TOP_N, cfg.TEST.NMS) == (6000, 300, 0.3)
    assert cfg.TRAIN.CXX_PROPOSAL is True and cfg.TEST.HAS_RPN is False
    assert set(cfg.TRAIN.ALTERNATE) == {'RPN_BATCH_IMAGES', 'RCNN_BATCH_IMAGES'} | {
        f'{stage}_{key}' for stage in ('rpn1', 'rfcn1', 'rpn2', 'rfcn2', 'rpn3') for key in ('lr', 'lr_step', 'epoch')
    }


def test_defaults_of_segmentation_are_the_originals(write):
    cfg = load_config(write('symbol: resnet_v1_101_deeplab'))
    assert cfg.SCALES == [(360, 600)] and cfg.default.frequent == 1000
    assert cfg.network.pretrained == '../model/pretrained_model/resnet_v1-101'
    assert cfg.network.PIXEL_MEANS.tolist() == [103.06, 115.9, 123.15]
    assert cfg.network.FIXED_PARAMS == ['conv1', 'bn_conv1', 'res2', 'bn2', 'gamma', 'beta']
    assert (cfg.dataset.dataset, cfg.dataset.image_set, cfg.dataset.NUM_CLASSES) == (
        'cityscapes',
        'leftImg8bit_train',
        19,
    )
    assert (cfg.TRAIN.lr_factor, cfg.TRAIN.BATCH_IMAGES, cfg.TRAIN.model_prefix) == (0.1, 1, 'deeplab')


def test_each_family_knows_its_own_keys(write):
    assert 'unknown key "TRAIN.RPN_BATCH_SIZE"' in refused(
        write('symbol: resnet_v1_101_deeplab\nTRAIN: {RPN_BATCH_SIZE: 3}')
    )
    # 19 classes without a background, all of which may be named
    names = ', '.join(f'label{number}' for number in range(19))
    assert load_config(write(f'symbol: resnet_v1_101_deeplab\ndataset: {{CLASSES: [{names}]}}')).dataset.CLASSES
    assert 'CLASSES names 2 different' in refused(
        write('symbol: resnet_v1_101_deeplab\ndataset: {CLASSES: [road, car]}')
    )
    # without the background, which then is class 0
    assert load_config(write('symbol: resnet_v1_101_deeplab\ndataset: {NUM_CLASSES: 3, CLASSES: [road, car]}'))
    assert '255 means "ignore"' in refused(write('symbol: resnet_v1_101_deeplab\ndataset: {NUM_CLASSES: 256}'))


def test_new_keys_default_to_the_original(write):
    cfg = load_config(write(''))
    # what the paper's networks are: ResNet-101, frozen batch norm, plain SGD with steps
    network, train = cfg.network, cfg.TRAIN
    assert (network.depth, network.train_bn, network.modulated, network.deform_rule) == (101, False, False, 'v1')
    assert (network.rpn_filters, network.head_filters) == (512, 1024)
    for key in (
        'units',
        'filters',
        'strides',
        'res5_dilate',
        'pooled_size',
        'deformable',
        'deformable_groups',
        'roi_pooling',
    ):
        assert network[key] is None  # the symbol class decides
    assert (train.optimizer, train.lr_schedule, train.clip_gradient, train.iterations) == ('sgd', 'step', None, None)


def test_values_are_converted(write):
    cfg = load_config(
        write(
            'gpus: 0\nTRAIN: {lr_step: 4.83, lr: 1e-4, BBOX_WEIGHTS: [1, 2, 3, 4]}\nnetwork: {PIXEL_MEANS: [1, 2.5, 3]}'
        )
    )
    assert (cfg.gpus, cfg.TRAIN.lr_step) == ('0', '4.83')  # text in the original's files
    assert cfg.TRAIN.lr == 1e-4  # YAML 1.1 reads 1e-4 as text
    np.testing.assert_array_equal(cfg.TRAIN.BBOX_WEIGHTS, [1, 2, 3, 4])
    assert isinstance(cfg.network.PIXEL_MEANS, np.ndarray)


@pytest.mark.parametrize(
    'text, scales', [('[480, 800]', [(480, 800)]), ('[[480, 800], [600, 1000]]', [(480, 800), (600, 1000)])]
)
def test_a_flat_pair_is_one_scale(text, scales, write):
    assert load_config(write(f'SCALES: {text}')).SCALES == scales


def test_keys_of_the_originals_files_without_default_are_known(write):
    cfg = load_config(
        write(
            'dataset: {proposal: selective_search}\n'
            'TRAIN: {ENABLE_CROP: true, CROP_HEIGHT: 768, CROP_WIDTH: 1024}\n'
            'TEST: {SOFTNMS_THRESH: 0.5, USE_SOFTNMS: true}\nnetwork: {FIXED_PARAMS_SHARED: [conv1]}\n'
            'TEST_SCALES: [[480, 800], [576, 900]]'
        )
    )
    assert cfg.dataset.proposal == 'selective_search' and cfg.TEST.SOFTNMS_THRESH == 0.5
    assert cfg.TRAIN.CROP_WIDTH == 1024 and cfg.TEST_SCALES == [(480, 800), (576, 900)]


@pytest.mark.parametrize(
    'text, path, nearest',
    [
        ('TRIAN: {lr: 1}', 'TRIAN', 'TRAIN'),
        ('TRAIN: {lr_stepp: 1}', 'TRAIN.lr_stepp', 'TRAIN.lr_step'),
        ('TRAIN: {ALTERNATE: {rpn1_rl: 1}}', 'TRAIN.ALTERNATE.rpn1_rl', 'TRAIN.ALTERNATE.rpn1_lr'),
        ('network: {deformabel: []}', 'network.deformabel', 'network.deformable'),
        ('test: {NMS: 0.3}', 'test', 'TEST'),
        ('lr: 1', 'lr', 'TRAIN.lr'),  # right name, wrong level
        ('TRAIN: {learning_rate: 1}', 'TRAIN.learning_rate', 'TRAIN.lr'),  # what other programs say
        ('TRAIN: {epochs: 1}', 'TRAIN.epochs', 'TRAIN.end_epoch'),
        ('TRAIN: {batch_size: 1}', 'TRAIN.batch_size', 'TRAIN.BATCH_IMAGES'),
        ('TRAIN: {weight-decay: 1}', 'TRAIN.weight-decay', 'TRAIN.wd'),
        ('names: [a]', 'names', 'dataset.CLASSES'),
        ('TEST: {nms_thresh: 1}', 'TEST.nms_thresh', 'TEST.NMS'),
        ('network: {num_classes: 1}', 'network.num_classes', 'dataset.NUM_CLASSES'),  # right name, wrong section
        ('7: 1', '7', ''),
    ],
)  # nothing comes near, still a sentence
def test_an_unknown_key_names_the_nearest(text, path, nearest, write):
    file = write(text)
    message = refused(file)
    assert message.startswith(f'{file}: unknown key "{path}"')
    assert f'"{nearest}"' in message or not nearest


@pytest.mark.parametrize(
    'text, key, expected',
    [
        ('TRAIN: {lr: fast}', 'TRAIN.lr', 'a number'),
        ('TRAIN: {lr: .nan}', 'TRAIN.lr', 'a number'),
        ('TRAIN: {FLIP: 1}', 'TRAIN.FLIP', 'true or false'),
        ('TRAIN: {end_epoch: 7.5}', 'TRAIN.end_epoch', 'an integer'),
        ('TRAIN: {end_epoch: true}', 'TRAIN.end_epoch', 'an integer'),
        ('output_path:', 'output_path', 'text'),
        ('SCALES: [600]', 'SCALES', 'a pair'),
        ('network: {ANCHOR_SCALES: 8}', 'network.ANCHOR_SCALES', 'a list of numbers'),
        ('network: {units: [3, 4, 6]}', 'network.units', 'a list of four positive integers or null'),
        ('network: {deform_rule: v3}', 'network.deform_rule', 'one of v1, v2'),
        ('TRAIN: 3', 'TRAIN', 'a section of keys'),
        ('network: {PIXEL_MEANS: [1, 2]}', 'network.PIXEL_MEANS', 'a list of three numbers'),
    ],
)
def test_a_wrong_type_says_what_was_expected(text, key, expected, write):
    message = refused(write(text))
    assert f'"{key}"' in message and expected in message and 'found' in message


@pytest.mark.parametrize(
    'text, words',
    [
        ('network: {NUM_ANCHORS: 12}', 'NUM_ANCHORS is 12, but 3 ANCHOR_SCALES times 3 ANCHOR_RATIOS make 9'),
        ('TRAIN: {END2END: true}', 'BBOX_NORMALIZATION_PRECOMPUTED must be true'),
        ('network: {depth: 34}', 'network.depth is 34; expected 50, 101 or 152'),
        ('dataset: {NUM_CLASSES: 3, CLASSES: [circle]}', 'NUM_CLASSES is 3, but dataset.CLASSES names 1'),
        ('gpus: zero', 'gpus is "zero"'),
        ('symbol: resnet_v1_101_rfcn_dnc', 'nearest: resnet_v1_101_rfcn_dcn'),
        ('symbol: [1]', 'symbol is "[1]"'),
        ('symbol: {', 'not a YAML file'),
        ('- symbol', 'expected a YAML mapping'),
        ('# no symbol', 'expected a YAML mapping'),
        ('TRAIN: {BATCH_ROIS: 1}', 'TRAIN.BATCH_ROIS is 1; expected -1 for all of them, or a positive'),
        ('TRAIN: {BATCH_ROIS: -7}', 'TRAIN.BATCH_ROIS is -7'),
        ('gpus: cpu', '--gpus also takes cpu'),
        ('gpus: "0" # symbol', 'the key "symbol" is missing'),
    ],
)
def test_contradictions_and_bad_files_are_one_sentence(text, words, write):
    file = write(text)
    message = refused(file)
    assert file in message and words in message


@pytest.mark.parametrize(
    'text, expected',
    [
        ('TRAIN: {lr: -1}', 'a number from 0'),
        ('TRAIN: {lr_step: abc}', 'epochs separated by commas'),
        ('TRAIN: {end_epoch: -3}', 'an integer from 0'),
        ('TRAIN: {warmup_step: -5}', 'an integer from 0'),
        ('TRAIN: {momentum: 5}', 'a number from 0 to 1'),
        ('TRAIN: {FG_FRACTION: 9}', 'a number from 0 to 1'),
        ('TRAIN: {BBOX_STDS: [0, 0, 0, 0]}', 'a list of four numbers above 0'),
        ('TRAIN: {clip_gradient: 0}', 'a number above 0 or null'),
        ('TEST: {NMS: 7}', 'a number from 0 to 1'),
        ('TEST: {RPN_NMS_THRESH: -1}', 'a number from 0 to 1'),
        ('SCALES: [1000, 600]', 'the short side not above'),
        ('dataset: {image_set: ""}', 'text that is not empty'),
    ],
)
def test_values_out_of_range_say_what_was_expected(text, expected, write):
    message = refused(write(text))
    assert f' must be {expected}' in message or expected in message and 'found' in message


def test_a_missing_file_is_one_sentence(tmp_path):
    assert 'No such file' in refused(str(tmp_path / 'none.yaml'))
    assert 'cannot be read' in refused(str(tmp_path))


def test_overrides(write):
    path = write('TRAIN: {lr: 0.1}', 'stem.of.experiment.yaml')
    cfg = load_config(
        path,
        [
            'TRAIN.lr=0.2',
            'network.deformable=[res5, res4b22]',
            'dataset.NUM_CLASSES=4',
            'gpus=',
            'symbol=resnet_v1_101_rfcn_dcn',
            'network.units=null',
        ],
    )
    assert (cfg.TRAIN.lr, cfg.dataset.NUM_CLASSES, cfg.gpus) == (0.2, 4, '')
    assert cfg.network.deformable == ['res5', 'res4b22']
    assert (cfg.symbol, cfg.network.units, cfg.name) == ('resnet_v1_101_rfcn_dcn', None, 'stem')


@pytest.mark.parametrize(
    'override, words',
    [
        ('TRAIN.lr', 'expected KEY=VALUE'),
        ('=3', 'expected KEY=VALUE'),
        ('TRAIN.lr=[', 'the value is not YAML'),
        ('TRAIN.lrr=1', '"TRAIN.lr"'),
        ('TRAIN=1', 'a section of keys'),
        ('TRAIN.lr.x=1', '"TRAIN.lr" must be a number'),
    ],
)
def test_bad_overrides(override, words, write):
    assert words in refused(write(''), [override])


def test_two_configurations_share_nothing(write):
    path = write('')
    one = load_config(path)
    untouched = copy.deepcopy(one.network.FIXED_PARAMS)
    one.network.FIXED_PARAMS.append('all')
    one.TRAIN.BBOX_WEIGHTS[:] = 0
    one.TRAIN.ALTERNATE.rpn1_lr = 7
    two = load_config(path)
    assert two.network.FIXED_PARAMS == untouched
    assert two.TRAIN.BBOX_WEIGHTS.tolist() == [1, 1, 1, 1] and two.TRAIN.ALTERNATE.rpn1_lr == 0


def test_difference_from_default(write):
    cfg = load_config(write('TRAIN: {lr: 0.5, BBOX_WEIGHTS: [1, 1, 1, 2], wd: 0.0005}'))
    assert difference_from_default(cfg) == {
        'symbol': 'resnet_v1_101_rfcn',
        'name': 'experiment',
        'TRAIN.lr': 0.5,
        'TRAIN.BBOX_WEIGHTS': [1, 1, 1, 2],
    }


def test_output_folder_is_the_originals(write):
    stem = 'resnet_v1_101_coco_trainval_rfcn_dcn_end2end_ohem'
    cfg = load_config(write('output_path: ./output/rfcn_dcn/coco', stem + '.yaml'))
    assert output_folder(cfg, 'train2014+val2014') == f'./output/rfcn_dcn/coco/{stem}/train2014_val2014'


@pytest.mark.parametrize('symbol', SYMBOLS)
def test_every_symbol_has_its_class(symbol, operators, write):
    found = symbol_class(load_config(write(f'symbol: {symbol}')))
    assert found.__module__ == SYMBOLS[symbol].module
    assert found.__name__ == symbol or symbol == 'rfcn_demo'  # whose class has another name, as in the original
    assert callable(found.get_symbol)


@pytest.mark.parametrize(
    'text, words',
    [
        ('TEST: {NMS: 0.35}\nTRAIN: {lr: 1}\nTEST: {RPN_MIN_SIZE: 3}', '"TEST" stands in line 2 and in line 4'),
        ('TRAIN:\n  lr: 1\n  wd: 2\n  lr: 3', '"lr" stands in line 3 and in line 5'),
        ('network: {ANCHOR_SCALES: [8], ANCHOR_SCALES: [4]}', '"ANCHOR_SCALES" stands in line 2 and in line 2'),
        ('a: &a [*a]', 'an anchor (&) is used inside of its own value'),
        (
            'a: &a [1, 1, 1]\n'
            + ''.join(f'k{n}: &k{n} [{", ".join(["*k" + str(n - 1) if n else "*a"] * 9)}]\n' for n in range(8)),
            'holds more than 100000 values',
        ),
        (
            'a: &a {k: 1}\n'
            + ''.join(f'k{n}: &k{n} {{<<: [{", ".join(["*k" + str(n - 1) if n else "*a"] * 9)}]}}\n' for n in range(9)),
            'holds more than 100000 values',
        ),
        ('a: ' + '[' * 5000, 'nested too deep'),
        ('a: ' + '{' * 5000, 'nested too deep'),
        ('a:\n' + '- ' * 5000, 'nested too deep'),
        ('TRAIN: {end_epoch: !!int ""}', 'not of the kind that its tag'),
        ('TRAIN: {FLIP: !!bool x}', 'not of the kind that its tag'),
        ('TRAIN: {lr: !!timestamp x}', 'not of the kind that its tag'),
        ('TRAIN: {end_epoch: ' + '9' * 5000 + '}', 'digits'),
        ('TRAIN: {end_epoch: ' + '9' * 50 + '}', 'must be an integer from 0, found 9999'),
        ('? [1]\n: 2', 'a key is no plain text'),
        ('TRAIN: !!python/object/apply:os.system [ls]', 'not a YAML file'),
        ('TRAIN: {lr: 2020-13-45}', 'must be a number from 0'),
    ],
)
def test_what_would_change_or_stop_a_run_is_one_sentence(text, words, write):
    file = write(text)
    message = refused(file)
    assert message.startswith(f'{file}: ') and words in message and len(message) < 600


@pytest.mark.parametrize('value', ['9' * 5000, '[' * 5000, '&a [*a]', '{x: 1, x: 2}'])
def test_overrides_are_as_safe(write, value):
    assert refused(write(''), [f'TRAIN.lr={value}']).startswith('--set TRAIN.lr=')


def test_plain_words_stay_as_they_are_written(write):
    cfg = load_config(
        write(
            'gpus: 2020-01-01\ndataset: {image_set: 2024_1, test_image_set: 2024_01_02}'.replace('gpus', 'output_path')
        )
    )
    assert (cfg.output_path, cfg.dataset.image_set, cfg.dataset.test_image_set) == (
        '2020-01-01',
        '2024_1',
        '2024_01_02',
    )


def test_byte_order_mark_and_merged_sections(write, tmp_path):
    path = tmp_path / 'a.yaml'
    path.write_bytes(b'\xef\xbb\xbfsymbol: resnet_v1_101_rfcn\nTEST: &t {NMS: 0.4}\n')
    assert load_config(str(path)).TEST.NMS == 0.4
    path.write_text('symbol: resnet_v1_101_rfcn', encoding='utf-16')
    assert 'save it as UTF-8' in refused(str(path))


def test_what_is_merged_may_be_used_again_before_its_turn():
    """Values of a section within a section are made after those of the section below it."""
    assert parse_yaml('a: &a {x: 1}\ns: {b: &b {<<: *a, x: 2}}\nc: {<<: *b, y: 3}\n') == {
        'a': {'x': 1},
        's': {'b': {'x': 2}},
        'c': {'x': 2, 'y': 3},
    }


@pytest.mark.parametrize(
    'content, words',
    [
        ('symbol: a\n'.encode('utf-16'), 'this is UTF-16 text, as PowerShell writes it; save it as UTF-8'),
        ('symbol: a\n'.encode('utf-16-be'), 'this is UTF-16 text'),
        ('symbol: a\n'.encode('utf-32'), 'this is UTF-32 text'),
        ('symbol: a\n# K\xfche\n'.encode('latin-1'), 'line 2 holds the byte fc'),
    ],
)
def test_other_encodings_are_named(tmp_path, content, words):
    path = tmp_path / 'a.yaml'
    path.write_bytes(content)
    with pytest.raises(UserError, match=f'a.yaml: .*{words}'):
        load_config(str(path))


def test_a_number_that_begins_with_a_zero_is_text():
    """YAML 1.1 takes 010 for 8: a class of that name would become another."""
    assert parse_yaml('[010, 0, 10, -3, 0x10]') == ['010', 0, 10, -3, 16]


def test_two_merge_keys_in_a_section():
    with pytest.raises(UserError, match='the key "<<" stands in line 2 and in line 3'):
        parse_yaml('a:\n  <<: {b: 1}\n  <<: {b: 2}\n')


@pytest.mark.parametrize('prefix', ['../other/net', '/tmp/net', 'a/b', 'a\\b'])
def test_checkpoints_stay_in_the_folder_of_their_run(write, prefix):
    """Else two runs could share checkpoints, and one replace those of the other."""
    told = refused(write(''), [f'TRAIN.model_prefix={prefix}'])
    assert '"TRAIN.model_prefix" must be part of the name of a file, without / and' in told
