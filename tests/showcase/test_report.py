"""The page of runs: what it finds in folders, what it says, and that it is one file."""

import json
import os
import re
import shutil
import subprocess

import numpy as np
import pytest

from dcn import cli, ledger
from dcn.cli import main
from dcn.config import difference_from_default, load_config, output_folder
from dcn.config.loading import flat, from_difference
from dcn.dataset import get_imdb
from dcn.engine.tasks.stored_results import results_path, save_detections
from dcn.errors import UserError
from dcn.evaluation import error_kinds
from dcn.files import sha256
from dcn.rng import generator
from dcn.showcase.report.page import report
from dcn.showcase.report.runs import find, results_of
from tests.engine.voc import write_voc

FILE = 'experiments/faster_rcnn/cfgs/shapes_rcnn_end2end.yaml'
BROWSER = next(filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome'))), None)


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    return write_voc(str(tmp_path_factory.mktemp('voc')), train=2, test=12)


def made_run(data, output, name, noise, changes=(), training=True, repository=None):
    """A run as training and testing leave it, with detections that are ``noise`` pixels off; its folder."""
    cfg = load_config(str(repository / FILE), [*data, f'output_path={output}', *changes])
    cfg.name = name
    imdb, rng = get_imdb(cfg, cfg.dataset.test_image_set), generator(1, 'report')
    all_boxes = [[np.zeros((0, 5), np.float32) for _ in imdb.image_ids] for _ in range(imdb.num_classes)]
    for image, truth in enumerate(imdb.truth()):
        for box, label in zip(truth.boxes.astype(float), truth.classes):
            moved = box + rng.normal(0, 1, 4) * noise
            rows = [[*moved, 0.5 + 0.5 * rng.random()], [*(box + [60, 0, 60, 0]), 0.3 * rng.random()]]
            wrong = label if rng.random() < 0.8 else 3 - label
            all_boxes[wrong][image] = np.vstack([all_boxes[wrong][image], rows]).astype(np.float32)
    folder, trained = (output_folder(cfg, part) for part in (cfg.dataset.test_image_set, cfg.dataset.image_set))
    os.makedirs(trained)
    params = os.path.join(trained, 'net-0007.params')
    with open(params, 'wb') as stream:
        stream.write(name.encode())
    save_detections(results_path(folder, imdb), all_boxes, f'key of {name}')
    scores = imdb.evaluate_detections(all_boxes, folder)
    entry = {
        'cfg': name,
        'symbol': cfg.symbol,
        'difference': difference_from_default(cfg),
        'config_sha256': ledger.config_digest(flat(cfg)),
        'checkpoint': params,
        'checkpoint_sha256': sha256(params),
        'images': len(imdb.image_ids),
        'interval': scores.pop('interval'),
        'scores': ledger.finite(scores),
        'results': {'file': os.path.basename(results_path(folder, imdb)), 'key': f'key of {name}'},
        'tested': ledger.now(),
        'command': 'dcn test <b>&"',
    }
    for file in ('scores.json', 'net-0007_scores.json'):
        ledger.write_entry(os.path.join(folder, file), entry)
    if training:
        write_training(os.path.join(trained, 'net-training.jsonl'), entry)
    return os.path.dirname(folder)


def write_training(path, entry):
    run = {name: entry[name] for name in ('cfg', 'symbol', 'difference')}
    run.update(update=0, end_update=40, images=2, batch_images=1, batches=2, command='dcn train', started=ledger.now())
    time = {'data': 0.1, 'forward': 0.5, 'backward': 0.3, 'update': 0.05, 'save': 0.0, 'rest': 0.05}
    with open(path, 'w') as stream:
        stream.write(json.dumps({'run': run}) + '\n')
        for iteration in range(1, 41):
            record = dict(iteration=iteration, epoch=0, batch=0, lr=0.1, images_per_second=2.0, seconds=1.0, time=time)
            record.update(
                metrics={'RPNAcc': 1 - 1 / iteration, 'RCNNL1Loss': None}, memory={'process': 100, 'peak': 120}
            )
            stream.write(json.dumps(record) + '\n')


@pytest.fixture(scope='module')
def runs(data, tmp_path_factory, repository):
    """Folder of a good and of a bad run."""
    output = str(tmp_path_factory.mktemp('output'))
    made_run(data, output, 'good', 1, repository=repository)
    made_run(data, output, 'bad', 8, ['TRAIN.lr=0.5', 'TEST.NMS=0.2'], repository=repository)
    return output


def text_of(page):
    return re.sub(r'\s+', ' ', re.sub(r'<(style|svg).*?</\1>|<[^>]*>', ' ', page, flags=re.S))


def test_the_page_of_one_run(runs, tmp_path, capsys):
    out = tmp_path / 'page.html'
    assert cli.main(['report', os.path.join(runs, 'good'), '--out', str(out)]) == 0
    assert f'report of good: {out}' in capsys.readouterr().out
    page = out.read_text(encoding='utf-8')
    # one file: nothing is loaded, no script runs, what others wrote is text
    assert '<script' not in page and not re.search(r'(src|href)="(?!data:image/|#|https://arxiv)', page)
    assert 'dcn test &lt;b&gt;&amp;&quot;' in page
    entry = ledger.read_entry(os.path.join(runs, 'good', '2007_test', 'scores.json'))
    low, high = entry['interval']['scores']['mAP@0.5']
    text = text_of(page)
    assert f'{100 * entry["scores"]["mAP@0.5"]:.1f} mAP@0.5 {100 * low:.1f} to {100 * high:.1f}' in text
    for heading in ('Scores', 'Errors', 'Precision and recall', 'Confusion', 'Worst images', 'Training', 'Settings'):
        assert f'<h2>{heading}</h2>' in page
    judged = error_kinds.judge(results_of(find([os.path.join(runs, 'good')])[0]).results, truth_of(runs))
    costs = error_kinds.costs(judged)
    for kind, count in judged.counts().items():
        assert re.search(rf'{kind} {count} ', text), kind
        assert f'>{100 * costs[kind]:.1f}</text>' in page
    assert 'RPNAcc: 0.975 at the end' in text and 'forward 500.0 until the outputs are there' in text
    assert page.count('<img') >= 12  # of twelve images nearly all cost something


def truth_of(runs):
    return results_of(find([os.path.join(runs, 'good')])[0]).imdb.objects()


@pytest.mark.parametrize(
    'names, titles',
    [
        (
            ['shapes_deeplab_dcn_ablation_conv6-seed2', 'shapes_deeplab_dcn_ablation_plain-seed0'],
            ['conv6-seed2', 'plain-seed0'],
        ),
        (
            ['shapes_deeplab_dcn_ablation_conv3-seed1', 'shapes_deeplab_dcn_ablation_conv6-seed1'],
            ['conv3-seed1', 'conv6-seed1'],
        ),
        (['shapes_rfcn_end2end_ohem', 'shapes_rfcn_dcn_end2end_ohem'], None),
        (['a_network_with_a_very_long_name', 'a_network_with_a_very_long_name_'], ['name', 'name_']),
        (['a_network_with_a_very_long_name'], None),
        (['the_first_of_two_very_long_names_', 'the_first_of_two_very_long_names_2'], None),
    ],
)
def test_long_names_of_several_runs_lose_what_all_begin_with(names, titles):
    from dcn.showcase.report.runs import Run, _titles

    runs = [Run(name, name, None, {'cfg': name}, None, ()) for name in names]
    assert _titles(runs) == (titles or names)


def test_two_runs_side_by_side(runs):
    found = find([runs])
    assert [run.title for run in found] == ['bad', 'good']
    page = report(found)
    text = text_of(page)
    assert 'bad · good' in text and 'Do they differ?' in text
    # the settings that differ come first, marked; places do not count
    differing = re.search(r'What differs between the runs.*?</table>', page, re.S).group()
    assert re.findall(r'<code>(.*?)</code>', differing) == ['TEST.NMS', 'TRAIN.lr']
    assert differing.count('<tr class="marked">') == 2
    # boxes that are eight pixels off cost AP in both classes: the intervals of the differences do not hold zero
    differences = re.search(r'Do they differ\?.*?</table>', page, re.S).group()
    assert differences.count('<tr class="marked">') >= 2
    assert page.count('<h3>1. ') == 1 and 'over all runs together' in text


def test_a_checkpoint_and_the_folder_of_a_set_lead_to_the_same(runs, tmp_path):
    params = os.path.join(runs, 'good', '2007_train', 'net-0007.params')
    by_folder, by_set, by_params = (
        find([path])[0] for path in (os.path.join(runs, 'good'), os.path.join(runs, 'good', '2007_test'), params)
    )
    assert by_folder.entry == by_params.entry and by_folder.training == by_params.training == by_set.training
    # one that lies elsewhere is known by its bytes
    (tmp_path / 'else').mkdir()
    copied = str(shutil.copy(params, tmp_path / 'else' / 'net-0000.params'))
    assert find([copied], runs)[0].entry == by_folder.entry
    moved = shutil.copytree(os.path.join(runs, 'good'), tmp_path / 'runs [of May]' / 'good')
    in_brackets = find([str(moved)])[0]
    assert in_brackets.training == by_folder.training and in_brackets.entry == by_folder.entry
    assert find([copied], str(tmp_path / 'runs [of May]'))[0].entry == by_folder.entry
    shutil.rmtree(moved.parent)
    with pytest.raises(UserError, match=r'found neither; test it first: dcn test --cfg FILE --params .*else/net-0000'):
        find([copied], str(tmp_path))


def test_scores_of_another_that_are_damaged_do_not_end_the_search(runs, tmp_path):
    good = find([os.path.join(runs, 'good')])[0]
    moved = shutil.copytree(os.path.join(runs, 'good'), tmp_path / 'good')
    beside = tmp_path / 'another' / '2007_test'
    beside.mkdir(parents=True)
    (beside / 'scores.json').write_text('{"cfg": 5}')
    (tmp_path / 'else').mkdir()
    params = str(shutil.copy(moved / '2007_train' / 'net-0007.params', tmp_path / 'else' / 'net-0000.params'))
    run = find([params], str(tmp_path))[0]
    assert run.entry == good.entry and run.notes == [
        'No log of its training: it was trained elsewhere, or before training wrote NAME-training.jsonl beside its '
        'checkpoints.'
    ]
    # where nothing is found, one of them may have been its own
    shutil.rmtree(moved)
    with pytest.raises(
        UserError, match=r'found neither; test it first.*another/2007_test/scores\.json: not the scores'
    ):
        find([params], str(tmp_path))


def test_what_is_missing_is_said(data, tmp_path, repository):
    folder = made_run(data, str(tmp_path), 'net', 1, training=False, repository=repository)
    assert 'No log of its training' in text_of(report(find([folder])))
    results = os.path.join(folder, '2007_test', 'voc_2007_test_detections.npz')
    save_detections(results, [[np.zeros((0, 5))] * 12] * 3, 'another')
    text = text_of(report(find([folder])))
    assert 'of another test than the scores' in text and 'Worst images' not in text and 'mAP@0.5' in text
    os.remove(os.path.join(folder, '2007_test', 'scores.json'))
    entry = {'cfg': 'net', 'symbol': 'resnet_v1_101_rcnn', 'difference': {'symbol': 'resnet_v1_101_rcnn'}}
    write_training(os.path.join(folder, '2007_train', 'net-training.jsonl'), entry)
    assert 'It has not been tested' in text_of(report(find([folder])))


@pytest.mark.parametrize('name, message', [('nowhere', 'no such folder or checkpoint'), ('', 'no run lies here')])
def test_a_folder_without_a_run(name, message, tmp_path):
    with pytest.raises(UserError, match=message):
        find([str(tmp_path / name)])


def test_an_experiment_file_in_the_place_of_its_run(repository, capsys):
    path = repository / 'experiments/rfcn/cfgs/shapes_rfcn_end2end_ohem.yaml'
    assert main(['report', str(path)]) == 2
    told = capsys.readouterr().err
    assert 'give the folder of its run: ./output/rfcn/shapes/shapes_rfcn_end2end_ohem' in told
    assert told.count('\n') == 1


def test_the_configuration_comes_back_from_its_difference(repository):
    cfg = load_config(str(repository / FILE), ['TRAIN.lr=0.5'])
    again = from_difference(difference_from_default(cfg), 'here')
    assert flat(again) == flat(cfg) and again.TRAIN.lr == 0.5 and again.name == cfg.name


@pytest.mark.skipif(BROWSER is None, reason='needs a browser: apt-get install chromium')
def test_in_a_browser_nothing_is_wider_than_a_phone(runs, tmp_path):
    page = tmp_path / 'page.html'
    script = '<script>document.title = [innerWidth, document.documentElement.scrollWidth].join(" ")</script></body>'
    page.write_text(report(find([runs])).replace('</body>', script), encoding='utf-8')
    done = subprocess.run(
        [
            BROWSER,
            '--headless=new',
            '--no-sandbox',
            '--disable-gpu',
            f'--user-data-dir={tmp_path / "profile"}',
            '--window-size=500,900',
            '--dump-dom',
            page.as_uri(),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        timeout=120,
    )
    inner, wide = map(int, re.search(r'<title>(\d+) (\d+)</title>', done.stdout.decode()).groups())
    assert wide <= inner
