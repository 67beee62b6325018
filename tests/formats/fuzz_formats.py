"""Coverage-guided run over both readers with atheris; how to start it: README.md beside this file.

First argument: params or symbol; the rest goes to libFuzzer. Stops at the first input that breaks a promise of
harness.py.
"""

import os
import sys

import atheris

with atheris.instrument_imports(include=['dcn.formats']):
    from dcn.formats import params, symbol_json  # noqa: F401  imported here so that their branches are counted
from tests.formats import corpus, harness
from tests.formats.corpus_symbols import BAD_SYMBOLS, GOOD_SYMBOLS

_MEMORY_EVERY = 64  # tracing memory is slow: every so many runs


def seeds(kind):
    return {**corpus.GOOD_PARAMS, **corpus.BAD_PARAMS} if kind == 'params' else {**GOOD_SYMBOLS, **BAD_SYMBOLS}


def main():
    kind, folder = sys.argv[1], sys.argv[2]
    os.makedirs(folder, exist_ok=True)
    for name, data in seeds(kind).items():
        with open(os.path.join(folder, name), 'wb') as stream:
            stream.write(data)
    runs = 0

    def one_input(data):
        nonlocal runs
        runs += 1
        reader = harness.open_checkpoint if kind == 'params' else harness.open_symbol
        if runs % _MEMORY_EVERY:
            reader(data)
            return
        peak, count = harness.peak_of(reader, data)
        allowed = harness.allowed_for_checkpoint(data) if kind == 'params' else harness.allowed_for_symbol(data, count)
        assert peak <= allowed, (peak, allowed)

    atheris.Setup([sys.argv[0], *sys.argv[2:]], one_input)
    atheris.Fuzz()


if __name__ == '__main__':
    main()
