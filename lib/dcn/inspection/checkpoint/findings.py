"""What an examination of a checkpoint finds: a code and its particulars. Sentences are made by
:mod:`dcn.inspection.render.diagnosis`."""

from typing import Any, Dict, List, NamedTuple

FACT, WRONG, OK, NOTE, STEP = 'fact', 'wrong', 'ok', 'note', 'step'


class Finding(NamedTuple):
    """``level``: FACT (what the file is), WRONG, OK, NOTE (worth knowing) or STEP (what to do); ``data``: the
    particulars of this ``code``, plain values."""

    level: str
    code: str
    data: Dict[str, Any]


class Report(NamedTuple):
    """All Findings on a checkpoint, in the order in which they are told."""

    findings: List[Finding]

    def of(self, *levels: str) -> List[Finding]:
        """Those of these levels."""
        return [finding for finding in self.findings if finding.level in levels]

    @property
    def sound(self) -> bool:
        """Whether nothing is wrong."""
        return not self.of(WRONG)


def fact(code: str, **data: Any) -> Finding:
    return Finding(FACT, code, data)


def wrong(code: str, **data: Any) -> Finding:
    return Finding(WRONG, code, data)


def ok(code: str, **data: Any) -> Finding:
    return Finding(OK, code, data)


def note(code: str, **data: Any) -> Finding:
    return Finding(NOTE, code, data)


def step(code: str, **data: Any) -> Finding:
    return Finding(STEP, code, data)
