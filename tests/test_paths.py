"""The project's own files are found from any folder; a user's file of the same name comes first."""

from dcn.paths import EXPERIMENTS, find

CFG = 'experiments/rfcn/cfgs/rfcn_coco_demo.yaml'


def test_a_path_of_the_project_works_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find(CFG) == str(EXPERIMENTS / 'rfcn' / 'cfgs' / 'rfcn_coco_demo.yaml')


def test_the_users_own_file_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / CFG).parent.mkdir(parents=True)
    (tmp_path / CFG).write_text('symbol: resnet_v1_101_rfcn\n')
    assert find(CFG) == CFG


def test_what_is_nowhere_stays_as_it_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert [find(path) for path in ('experiments/none.yaml', '/nowhere/a.yaml', 'experiments')] == [
        'experiments/none.yaml',
        '/nowhere/a.yaml',
        'experiments',
    ]
