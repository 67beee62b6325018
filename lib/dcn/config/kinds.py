"""What a configuration value may be: each kind turns a YAML value into the key's value or says what it expected."""

from __future__ import annotations

import math
from typing import Any, Callable, Dict, NamedTuple

import numpy as np

MOST_SIDE = 65535  # of an image, as of those of a data set: boxes are kept in 16 bits
Schema = Dict[str, Any]  # key -> Key, or the Schema of a section


class Kind(NamedTuple):
    """expected: words for the error message; convert: YAML value -> value, ValueError or TypeError where it cannot."""

    expected: str
    convert: Callable[[Any], Any]


# what reads a key
TRAINING, TESTING, BOTH = 'training', 'testing', 'training and testing'
NOTHING = 'nothing, as in the original'


class Key(NamedTuple):
    """One key of a YAML file: what it is if absent, what it may be, what it means and what reads it."""

    default: Any
    kind: Kind
    meaning: str
    reader: str


def _require(condition):
    if not condition:
        raise ValueError


def _boolean(value):
    _require(isinstance(value, bool))
    return value


def _integer(value):
    _require(isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 31)
    return value


def _number(value):
    # YAML 1.1 reads 1e-4 (no point) as text
    value = float(value) if isinstance(value, str) else value
    _require(isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value))
    return value


def _limited(convert, low, high=math.inf):
    def convert_limited(value):
        value = convert(value)
        _require(low <= value <= high)
        return value

    return convert_limited


def _above_zero(value):
    value = _number(value)
    _require(value > 0)
    return value


def _some_text(value):
    value = _text(value)
    _require(value.strip())
    return value


def _epochs(value):
    """Numbers separated by commas, as text."""
    value = _text(value)
    _require(all(float(part) >= 0 for part in value.split(',') if part.strip()))
    return value


def _text(value):
    # "gpus: 0" and "lr_step: 4.83" are numbers for YAML and text for the program
    _require(isinstance(value, (str, int, float)) and not isinstance(value, bool))
    return str(value)


def _sequence(convert, length=None):
    def convert_all(value):
        _require(isinstance(value, (list, tuple)) and len(value) == (length or len(value)))
        return [convert(item) for item in value]

    return convert_all


def _positive(value):
    _require(_integer(value) > 0)
    return value


def _file_name(value):
    _require(not set(_text(value)) & set('/\\\0'))
    return value


def _pair(value):
    short, longest = _sequence(_positive, 2)(value)
    _require(short <= longest <= MOST_SIDE)
    return short, longest


def _scales(value):
    """A flat pair stands for one scale, as in the original's files; a list of pairs gives several."""
    _require(isinstance(value, (list, tuple)) and value)
    return [_pair(value)] if not isinstance(value[0], (list, tuple)) else [_pair(item) for item in value]


def _vector(length):
    return lambda value: np.array(_sequence(_number, length)(value))


def _strides(value):
    return value if isinstance(value, int) and _positive(value) else _sequence(_positive)(value)


def optional(kind: Kind) -> Kind:
    """``kind`` or null, where null means what the original does."""
    return Kind(kind.expected + ' or null', lambda value: None if value is None else kind.convert(value))


def choice(*values: str) -> Kind:
    """One of ``values``."""

    def convert(value):
        _require(isinstance(value, str) and value in values)
        return value

    return Kind('one of ' + ', '.join(values), convert)


BOOLEAN = Kind('true or false', _boolean)
INTEGER = Kind('an integer', _integer)
POSITIVE = Kind('a positive integer', _positive)
NUMBER = Kind('a number', _number)
NOT_NEGATIVE = Kind('a number from 0', _limited(_number, 0))
ABOVE_ZERO = Kind('a number above 0', _above_zero)
FRACTION = Kind('a number from 0 to 1', _limited(_number, 0, 1))
COUNT = Kind('an integer from 0', _limited(_integer, 0))
TEXT = Kind('text', _text)
FILE_NAME = Kind('part of the name of a file, without / and \\', _file_name)
SOME_TEXT = Kind('text that is not empty', _some_text)
EPOCHS = Kind('epochs separated by commas, such as "4.83" or "4,6"', _epochs)
NAMES = Kind('a list of names', _sequence(_text))
NUMBERS = Kind('a list of numbers', _sequence(_number))
FOUR_SIZES = Kind('a list of four positive integers', _sequence(_positive, 4))
THREE_NUMBERS = Kind('a list of three numbers', _vector(3))
FOUR_NUMBERS = Kind('a list of four numbers', _sequence(_number, 4))
FOUR_ABOVE_ZERO = Kind('a list of four numbers above 0', _sequence(_above_zero, 4))
FOUR_WEIGHTS = Kind('a list of four numbers', _vector(4))
SCALE = Kind(
    f'a pair [short side, longest side] of pixels up to {MOST_SIDE}, the short side not above the other', _scales
)

STRIDES = Kind('a positive integer or a list of them', _strides)
