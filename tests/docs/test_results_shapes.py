"""The table of docs/results-shapes.md is made from its ledger."""

from dcn import cli, ledger


def test_the_table_is_that_of_the_ledger(repository, capsys):
    path = repository / 'docs' / 'results-shapes.jsonl'
    assert cli.main(['paper', '--ledger', str(path), '--markdown']) == 0
    table = capsys.readouterr().out.strip()
    page = (repository / 'docs' / 'results-shapes.md').read_text(encoding='utf-8')
    assert f'--markdown -->\n{table}\n<!-- end -->' in page


def test_the_ledger_holds_every_shipped_network_with_what_made_it(repository):
    entries = ledger.read(str(repository / 'docs' / 'results-shapes.jsonl'))
    shipped = {path.name for path in repository.glob('experiments/*/shapes/*.params')}
    retrained = {'shapes_rfcn_dcn_slow-0012.params'}  # beside the shipped one; the page says why it is not shipped
    assert {entry['checkpoint'].rpartition('/')[2] for entry in entries} == shipped | retrained
    for entry in entries:
        assert (
            entry['interval']['scores'] and not entry['project']['changed'] and entry['data']['objects'] in (867, None)
        )
        assert not entry['checkpoint'].startswith('/')
