"""What ``dcn bench ops`` prints: the machine, the table of times, and what must be known to read it."""

from __future__ import annotations

import os
from typing import Any, Mapping, Sequence

from dcn.ledger import processor

LEGEND = {
    'dense': "dense: MXNet's convolution (oneDNN) of the same shape, which leaves out products with padding",
    'valid': "valid: the same on data that is padded already: all products, as the project's operator computes them",
}
LEAST_APART = 1e-4  # a share of values that is printed
UNSTEADY = 1.5  # medians so many times the shortest round are pointed out


def machine() -> dict[str, Any]:
    """{processor, cores, threads, instruction set}"""
    from dcn.operators import native

    return {
        'processor': processor(),
        'cores': len(os.sched_getaffinity(0)),
        'threads': int(os.environ['OMP_NUM_THREADS']),
        'instruction set': native.instruction_set(),
    }


def where(machine: Mapping[str, Any]) -> str:
    """A machine in a few words."""
    return f'{machine["processor"]}, {machine["threads"]} threads, {machine["instruction set"]}'


def with_own(versions: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """{package: version} of all peers {peer: {package: version}}, MXNet's among them."""
    import mxnet

    found = {'mxnet': mxnet.__version__}
    for packages in versions.values():
        found.update(packages)
    return found


def table(report: Mapping[str, Any], peers: Sequence[str]) -> str:
    """A report {machine, versions, asked, times, memory} as text."""
    lines = [
        f'{where(report["machine"])}; '
        + ', '.join(f'{name} {version}' for name, version in report['versions'].items()),
        f"own: the project's operator, in milliseconds (medians of {report['asked']} rounds); others: "
        'multiples of own, above 1 slower',
    ]
    lines += [LEGEND[peer] for peer in peers if peer in LEGEND] + ['']
    width = max(len(row['case']) for row in report['times']) + 2
    others = [peer for peer in peers if peer != 'own']
    lines.append(f'{"":{width}s}{"":8s}{"own":>9s}' + ''.join(f'{peer:>{_width(peer)}s}' for peer in others))
    for row in report['times']:
        seconds = row['seconds']
        lines.append(
            f'{row["case"]:{width}s}{row["direction"]:8s}{seconds["own"] * 1e3:9.3f}'
            + ''.join(f'{_multiple(seconds, peer):>{_width(peer)}s}' for peer in others)
        )
    return '\n'.join(lines + _notes(report) + _memory(report['memory'], width))


def _width(peer):
    return max(len(peer), 5) + 2


def _multiple(seconds, peer):
    if peer not in seconds:
        return '-'
    ratio = seconds[peer] / seconds['own']
    return f'{ratio:.2f}' if ratio < 100 else f'{ratio:.0f}'


def _notes(report):
    rows = [(f'{row["case"]} {row["direction"]}', row) for row in report['times']]
    notes = [
        f'{name}: {peer} failed: {why}'
        for name, row in rows
        for peer, why in row['missing'].items()
        if not why.startswith('Missing')
    ]
    unsteady = [
        f'{name}: {peer}'
        for name, row in rows
        for peer, seconds in row['seconds'].items()
        if seconds > UNSTEADY * row['least'][peer]
    ]
    if unsteady:
        notes.append(
            f'unsteady, do not rely on these (median above {UNSTEADY} times the shortest round; was the '
            'machine idle?): ' + '; '.join(unsteady)
        )
    compared = [(name, peer, share) for name, row in rows for peer, share in row.get('apart', {}).items()]
    notes += [
        f'{name}: {100 * share:.2f} % of the values of {peer} differ'
        for name, peer, share in compared
        if share > LEAST_APART
    ]
    if compared:
        alike = sum(share <= LEAST_APART for _, _, share in compared)
        notes.append(f"{alike} of {len(compared)} results of other libraries equal the project's")
    return ['', *notes] if notes else []


def _memory(memory, width):
    if not memory:
        return []
    return ['', 'peak memory of a call, forward and backward, beyond inputs, outputs and gradients, in MB'] + [
        f'{name:{width}s}' + '  '.join(f'{peer} {size / 2**20:.0f}' for peer, size in sizes.items())
        for name, sizes in memory.items()
    ]
