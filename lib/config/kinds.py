"""What a configuration value may be: each kind turns a YAML value into the key's value or says what it expected."""
import collections
import math

import numpy as np

# expected: words for the error message; convert: YAML value -> value, ValueError or TypeError when it does not fit
Kind = collections.namedtuple('Kind', 'expected convert')


def _require(condition):
    if not condition:
        raise ValueError


def _boolean(value):
    _require(isinstance(value, bool))
    return value


def _integer(value):
    _require(isinstance(value, int) and not isinstance(value, bool))
    return value


def _number(value):
    # YAML 1.1 reads 1e-4 (no point) as text
    value = float(value) if isinstance(value, str) else value
    _require(isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value))
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


def _pair(value):
    return tuple(_sequence(_positive, 2)(value))


def _scales(value):
    """A flat pair stands for one scale, as in the original's files; a list of pairs gives several."""
    _require(isinstance(value, (list, tuple)) and value)
    return [_pair(value)] if not isinstance(value[0], (list, tuple)) else [_pair(item) for item in value]


def _vector(length):
    return lambda value: np.array(_sequence(_number, length)(value))


def _strides(value):
    return value if isinstance(value, int) and _positive(value) else _sequence(_positive)(value)


def optional(kind):
    """``kind`` or null, where null means what the original does."""
    return Kind(kind.expected + ' or null', lambda value: None if value is None else kind.convert(value))


def choice(*values):
    """One of ``values``."""
    def convert(value):
        _require(isinstance(value, str) and value in values)
        return value
    return Kind('one of ' + ', '.join(values), convert)


BOOLEAN = Kind('true or false', _boolean)
INTEGER = Kind('an integer', _integer)
POSITIVE = Kind('a positive integer', _positive)
NUMBER = Kind('a number', _number)
TEXT = Kind('text', _text)
NAMES = Kind('a list of names', _sequence(_text))
NUMBERS = Kind('a list of numbers', _sequence(_number))
FOUR_SIZES = Kind('a list of four positive integers', _sequence(_positive, 4))
THREE_NUMBERS = Kind('a list of three numbers', _vector(3))
FOUR_NUMBERS = Kind('a list of four numbers', _sequence(_number, 4))
FOUR_WEIGHTS = Kind('a list of four numbers', _vector(4))
SCALE = Kind('a pair [short side, longest side] of pixels', _scales)
STRIDES = Kind('a positive integer or a list of them', _strides)
