"""What ``dcn diff`` prints of two checkpoints."""

from typing import Iterator, List, Sequence

from dcn.formats.ndarray import Entry
from dcn.inspection.checkpoint.compare import Difference
from dcn.text import shape_text


def checkpoint_summary(found: Sequence[Difference], tensors: int) -> str:
    """One line on all Differences of checkpoints, the first of which has ``tensors`` tensors."""
    one, two = (sum(getattr(difference, side) is None for difference in found) for side in ('two', 'one'))
    remade = sum(difference.remade for difference in found)
    changed = [difference for difference in found if difference.values is not None]
    parts = [f'{len(changed)} of {tensors} tensors have other values']
    if changed:
        most = max(changed, key=lambda difference: difference.values.relative)
        parts.append(f'{most.name} the most (relative {most.values.relative:.3g})')
    counts = ((remade, 'have another shape or type'), (one, 'are only in the first'), (two, 'are only in the second'))
    parts += [f'{count} {words}' for count, words in counts if count]
    return '; '.join(parts)


def checkpoint_lines(found: Sequence[Difference]) -> List[str]:
    """A line for each Difference, two where both kind and values differ."""
    return [line for difference in found for line in _lines(difference)]


def _lines(difference: Difference) -> Iterator[str]:
    name, one, two, values = difference
    if one is None or two is None:
        side, entry = ('<', one) if two is None else ('>', two)
        yield f'{side} {name}: {_text(entry)}'
        return
    if difference.remade:
        yield f'{name}: {_text(one)} -> {_text(two)}'
    if values is not None:
        yield (
            f'{name}: {values.count:,} of {values.size:,} values differ, by {values.largest:.3g} at most '
            f'and {values.mean:.3g} in the mean; relative {values.relative:.3g}'
        )


def _text(entry: Entry) -> str:
    if entry.storage == 'empty':
        return 'empty'
    return f'{entry.dtype} {shape_text(entry.shape)}' + ('' if entry.storage == 'dense' else f' {entry.storage}')
