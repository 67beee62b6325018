"""The table of docs/torch.md is made from its ledger."""

from dcn import cli


def test_the_table_is_that_of_the_ledger(repository, capsys):
    path = repository / 'docs' / 'torch-shapes.jsonl'
    assert cli.main(['paper', '--ledger', str(path), '--engines', '--markdown']) == 0
    table = capsys.readouterr().out.strip()
    page = (repository / 'docs' / 'torch.md').read_text(encoding='utf-8')
    assert f'--markdown -->\n{table}\n<!-- end -->' in page
