"""What ``dcn bench ops`` prints: the machine, the table of times, and what must be known to read it."""
import os
import platform

LEGEND = {'dense': "dense: MXNet's convolution (oneDNN) of the same shape, which leaves out products with padding",
          'valid': 'valid: the same on data that have their padding already: all products, as the own operator makes'}


def machine():
    """{processor, cores, threads, instruction set}"""
    from lib.operators import native
    return {'processor': _processor(), 'cores': len(os.sched_getaffinity(0)),
            'threads': int(os.environ['OMP_NUM_THREADS']), 'instruction set': native.instruction_set()}


def _processor():
    with open('/proc/cpuinfo') as stream:
        names = [line.partition(':')[2].strip() for line in stream if line.startswith('model name')]
    return names[0] if names else platform.machine()


def with_own(versions):
    """{package: version} of all peers {peer: {package: version}}, MXNet's among them."""
    import mxnet
    found = {'mxnet': mxnet.__version__}
    for packages in versions.values():
        found.update(packages)
    return found


def table(report, peers):
    """A report {machine, versions, asked, times, memory} as text: milliseconds, and how many times longer each peer
    takes than the own operators."""
    where = report['machine']
    lines = [f'{where["processor"]}, {where["threads"]} threads, {where["instruction set"]}; '
             + ', '.join(f'{name} {version}' for name, version in report['versions'].items()),
             f'medians of {report["asked"]} rounds in milliseconds; (in brackets) times own']
    lines += [LEGEND[peer] for peer in peers if peer in LEGEND] + ['']
    width = max(len(row['case']) for row in report['times']) + 2
    lines.append(f'{"":{width}s}{"":8s}' + ''.join(f'{peer:>12s}' + ' ' * 8 * (peer != 'own') for peer in peers))
    for row in report['times']:
        cells = ''.join(_cell(row['seconds'], peer) for peer in peers)
        lines.append(f'{row["case"]:{width}s}{row["direction"]:8s}{cells}'.rstrip())
    return '\n'.join(lines + _notes(report) + _memory(report['memory'], width))


def _cell(seconds, peer):
    if peer not in seconds:
        return f'{"-":>12s}' + ' ' * 8 * (peer != 'own')
    ratio = '' if peer == 'own' else f' ({seconds[peer] / seconds["own"]:.2f})'
    return f'{seconds[peer] * 1e3:12.3f}' + f'{ratio:8s}' * (peer != 'own')


def _notes(report):
    notes = []
    for row in report['times']:
        name = f'{row["case"]} {row["direction"]}'
        notes += [f'{name}: {peer} took {count} rounds'
                  for peer, count in row['rounds'].items() if count < report['asked']]
        notes += [f'{name}: {peer} failed: {why}' for peer, why in row['missing'].items()
                  if not why.startswith('Missing')]
        notes += [f'{name}: {100 * share:.2f} % of the values of {peer} are apart'
                  for peer, share in row.get('apart', {}).items()]
    return ['', *notes] if notes else []


def _memory(memory, width):
    if not memory:
        return []
    return ['', 'most memory of a call, forward and backward, beyond inputs, outputs and gradients, in MB'] + [
        f'{name:{width}s}' + '  '.join(f'{peer} {size / 2 ** 20:.0f}' for peer, size in sizes.items())
        for name, sizes in memory.items()]
