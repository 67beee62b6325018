"""python -m tests.operators.core_worker LIBRARY MEMORY [PART ...]: runs core_checks on a build of the core, in a
process of its own, since a fault ends it.

LIBRARY: a libdcn.so; MEMORY: one of core_runner.MEMORIES; PART: run only checks with this in their name. Prints the
name of each check before it runs, so that the last one names the culprit, and in the end how many there were and for
which instruction set.
"""

import faulthandler
import sys
import traceback

from tests.operators import (
    core_checks,
    core_runner,
    without_mxnet,  # noqa: F401  (first: what follows would import MXNet)
)

FAILED = 3  # exit status where a check found a wrong result; other ones are those of crashes and sanitizers


def main(library, memory, *parts):
    faulthandler.enable()
    runner = core_runner.CoreRunner(core_runner.Core(library), memory)
    table = {
        name: check
        for name, check in core_checks.every_check().items()
        if not parts or any(part in name for part in parts)
    }
    failed = []
    for name, check in table.items():
        print(name, flush=True)
        try:
            check(runner)
        except (AssertionError, core_runner.Refused):
            failed.append(name)
            traceback.print_exc()
    for name in failed:
        print(f'wrong: {name}', file=sys.stderr)
    print(f'{len(table)} checks, {len(failed)} wrong, {runner.library.instruction_set()}')
    return FAILED if failed else 0


if __name__ == '__main__':
    sys.exit(main(*sys.argv[1:]))
