"""YAML file and overrides -> a fresh, checked EasyDict. There is no global configuration."""

from __future__ import annotations

import copy
import os
from typing import Any, Mapping, Sequence

from easydict import EasyDict

from dcn.config.checks import check
from dcn.config.families import FAMILIES, lookup, nearest, synonym
from dcn.config.yaml_text import parse_yaml
from dcn.errors import UserError
from dcn.paths import find
from dcn.text import undecodable, wide_text


def load_config(path: str, overrides: Sequence[str] = ()) -> EasyDict:
    """The whole configuration of the experiment that the YAML file at ``path`` describes.

    A path of the project's own files, ``experiments/...``, is found from any folder. ``overrides``: 'KEY.SUB=VALUE'
    strings, VALUE in YAML, applied after the file. ``cfg.name`` is the file's name up to its first dot.
    """
    given = _read(find(path))
    for text in overrides:
        _override(given, text)
    if 'symbol' not in given:
        raise UserError(f'{path}: the key "symbol" is missing; it names the network.')
    family = FAMILIES[lookup(given['symbol'], path).family]
    cfg = _merge(family.schema, given, path)
    cfg.name = os.path.basename(path).split('.')[0]
    check(cfg, family.rules, path)
    return cfg


def difference_from_default(cfg: EasyDict) -> dict[str, Any]:
    """{'TRAIN.lr': 0.0005, ...}: the keys whose values are not the family's defaults, in plain types."""
    default = flat(_merge(FAMILIES[lookup(cfg.symbol).family].schema, {}, 'default'))
    return {key: value for key, value in flat(cfg).items() if key not in default or default[key] != value}


def from_difference(difference: Mapping[str, Any], source: str) -> EasyDict:
    """The configuration again from its ``difference_from_default``; source: where that was found, for errors."""
    given: dict[str, Any] = {}
    for key, value in difference.items():
        *sections, last = key.split('.')
        inner = given
        for section in sections:
            inner = inner.setdefault(section, {})
        inner[last] = copy.deepcopy(value)
    name = given.pop('name', '')
    family = FAMILIES[lookup(given.get('symbol', ''), source).family]
    cfg = _merge(family.schema, given, source)
    cfg.name = name
    return cfg


def output_folder(cfg: EasyDict, image_set: str) -> str:
    """Where logs, checkpoints and results of ``image_set`` go: <output_path>/<name>/<sets joined by _>."""
    return os.path.join(cfg.output_path, cfg.name, '_'.join(image_set.split('+')))


def _read(path):
    try:
        with open(path, 'rb') as stream:
            content = stream.read()
        if wide_text(content):
            raise UserError(f'this is {wide_text(content)}; save it as UTF-8.')
        given = parse_yaml(content.decode('utf-8-sig'))
    except OSError as error:
        raise UserError(f'{path}: cannot be read ({error.strerror}); give the path of a YAML file.') from None
    except UnicodeDecodeError as error:
        line, byte = undecodable(error)
        found = f'line {line} holds the byte {byte}'
        raise UserError(f'{path}: not a YAML file in UTF-8 ({found}); save it as UTF-8.') from None
    except UserError as error:
        raise UserError(f'{path}: {error}') from None
    if not isinstance(given, dict):
        raise UserError(f'{path}: expected a YAML mapping of keys to values, found {_shown(given)}.')
    return given


def _override(given, text):
    key, equals, value = text.partition('=')
    if not (equals and key.strip()):
        raise UserError(f'--set {text}: expected KEY=VALUE, such as TRAIN.lr=0.001.')
    try:
        value = parse_yaml(value)
    except UserError as error:
        raise UserError(f'--set {text[:80]}: the value is not YAML ({error}).') from None
    *sections, last = key.strip().split('.')
    for section in sections:
        if not isinstance(given.get(section), dict):
            given[section] = {}
        given = given[section]
    # "TRAIN.lr=" means empty text
    given[last] = '' if value is None and not text.partition('=')[2].strip() else value


def _merge(schema, given, source, prefix='', root=None):
    """The defaults of ``schema`` with the values of ``given``, each checked against its kind."""
    for key in given:
        if key not in schema:
            raise UserError(
                f'{source}: unknown key "{prefix}{key}"; the nearest known key is '
                f'"{_nearest_key(key, schema, prefix, root or schema)}".'
            )
    merged = EasyDict()
    for key, entry in schema.items():
        if isinstance(entry, dict):
            section = given.get(key, {})
            if not isinstance(section, dict):
                raise UserError(f'{source}: "{prefix}{key}" must be a section of keys, found {_shown(section)}.')
            merged[key] = _merge(entry, section, source, f'{prefix}{key}.', root or schema)
        else:
            value = copy.deepcopy(given.get(key, entry.default))
            merged[key] = _convert(entry.kind, value, f'{source}: "{prefix}{key}"')
    return merged


def _nearest_key(key, schema, prefix, root):
    """The known key that was meant: the same word at another level, another program's word, else the most alike one."""
    here, below, everywhere = [prefix + known for known in schema], _paths(schema, prefix), _paths(root, '')
    return (
        nearest(key, below, 1)
        or synonym(key, below)
        or nearest(key, everywhere, 1)
        or synonym(key, everywhere)
        or nearest(key, here)
        or nearest(key, below)
        or nearest(key, here, 0)
    )


def _paths(schema, prefix):
    """All keys of ``schema``, those of its sections too, each with ``prefix``."""
    found = []
    for key, entry in schema.items():
        found.append(prefix + key)
        found += _paths(entry, f'{prefix}{key}.') if isinstance(entry, dict) else []
    return found


def _convert(kind, value, where):
    try:
        return kind.convert(value)
    except (ValueError, TypeError):
        raise UserError(f'{where} must be {kind.expected}, found {_shown(value)}.') from None


def _shown(value):
    if value is None:
        return 'nothing'
    try:
        text = repr(value)
    except ValueError:  # an integer of thousands of digits
        text = 'a number of thousands of digits'
    return text if len(text) <= 100 else text[:97] + '...'


def flat(cfg: Mapping[str, Any], prefix: str = '') -> dict[str, Any]:
    """{'TRAIN.lr': 0.0005, ...}: all keys of a configuration, values in plain types (lists, numbers, texts)."""
    found: dict[str, Any] = {}
    for key, value in cfg.items():
        found.update(flat(value, f'{prefix}{key}.') if isinstance(value, dict) else {prefix + key: plain(value)})
    return found


def plain(value: Any) -> Any:
    """EasyDicts, tuples and arrays as dicts and lists."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if hasattr(value, 'tolist'):
        return value.tolist()
    return [plain(item) for item in value] if isinstance(value, (list, tuple)) else value
