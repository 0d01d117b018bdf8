"""Recipes as JSON files: the fields of a recipe's dataclass, by name. The card of a weights file contains one."""

import json
from collections.abc import Mapping
from dataclasses import asdict, fields, is_dataclass, replace
from difflib import get_close_matches
from math import inf, isinf
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, TypeVar, get_args, get_origin

from occlupose.bounds import alternatives, brief, hints
from occlupose.errors import OccluposeError, unreadable
from occlupose.files import atomic, parse_json

R = TypeVar("R")

BASE = "base"
"""Entry of a recipe file: the recipe that its other fields change."""


def write(recipe: Any, path: Path) -> None:
    """Writes all fields of a recipe.

    Raises:
        OccluposeError: the file could not be written.
    """
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(to_json(recipe), indent=1) + "\n")


def to_json(recipe: Any) -> dict[str, Any]:
    """The fields of a recipe; None in place of infinity, which JSON does not have."""
    return {name: _without_infinity(value) for name, value in asdict(recipe).items()}


def read(path: Path, known: Mapping[str, R]) -> R:
    """The recipe of a file, or of a card. Fields that it does not name are those of the recipe that it names as "base",
    in nested ones too; null is no limit where a number may be infinite.

    Arguments:
        known: recipes by name; without a base, the first that has the fields of the file.

    Raises:
        OccluposeError: not a JSON file; an unknown base or field; a value of a wrong type or out of bounds.
    """
    try:
        content = parse_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise unreadable(path, error, "give a recipe in JSON, or a card") from error
    if isinstance(content, dict) and isinstance(content.get("recipe"), dict):
        content = content["recipe"]
    try:
        default = _base(content, known)
        recipe: R = _record(content, [type(default)], default, "")
    except OccluposeError as error:
        raise OccluposeError(f"{path}: {error}") from error
    return recipe


def _base(content: Any, known: Mapping[str, R]) -> R:
    """The recipe that a file changes; takes its name out of the content."""
    if not isinstance(content, dict):
        raise OccluposeError(f"content {brief(content)}: must be an object with the fields of a recipe")
    name = content.pop(BASE, None)
    if name is not None and not (isinstance(name, str) and name in known):
        raise OccluposeError(f"{BASE} {brief(name)}: not known; known are {', '.join(known)}")
    candidates = list(known.values()) if name is None else [known[name]]
    return next((recipe for recipe in candidates if content.keys() <= hints(type(recipe)).keys()), candidates[0])


def changed(recipe: R, changes: Mapping[str, Any]) -> R:
    """A recipe with other values of some fields.

    Arguments:
        changes: by the names of fields, with dots in nested ones ("optimisation.steps"); None changes nothing.

    Raises:
        OccluposeError: a value of a wrong type or out of bounds.
    """
    for name, value in changes.items():
        first, _, rest = name.partition(".")
        if value is not None:
            inner = changed(getattr(recipe, first), {rest: value}) if rest else value
            recipe = replace(recipe, **{first: inner})  # type: ignore[type-var]
    return recipe


def _value(value: Any, hint: Any, default: object, place: str) -> Any:
    """A value of a JSON file as its annotation says. What is neither an object, a list nor null stays as it is:
    the recipe checks it.

    Arguments:
        default: value of the field in the default recipe.
        place: the field, such as "optimisation.steps".
    """
    kinds = [get_args(each)[0] if get_origin(each) is Annotated else each for each in alternatives(hint)]
    records = [kind for kind in kinds if is_dataclass(kind)]
    if records and not (value is None and NoneType in kinds):
        return _record(value, records, default, place)
    tuples = [kind for kind in kinds if get_origin(kind) is tuple]
    if tuples and isinstance(value, list):
        members = get_args(tuples[0])
        each = members[:1] * len(value) if members[-1] is Ellipsis else (*members, *[Any] * len(value))
        return tuple(_value(item, member, None, place) for item, member in zip(value, each, strict=False))
    return inf if value is None and float in kinds and NoneType not in kinds else value


def _record(value: Any, kinds: list[Any], default: object, place: str) -> Any:
    """A dataclass from an object of a JSON file. Of several kinds it is the one with the fewest fields that has all of
    the given ones, and the others have the defaults of that kind.
    """
    if not isinstance(value, dict):
        raise OccluposeError(f"{place} {brief(value)}: must be an object with the fields of a recipe")
    by_size = sorted(kinds, key=lambda kind: len(fields(kind)))
    kind = next((kind for kind in by_size if value.keys() <= hints(kind).keys()), by_size[-1])
    inside = f"{place}." if place else ""
    known = {field.name: hints(kind)[field.name] for field in fields(kind)}
    for name in value:
        if name not in known:
            near = get_close_matches(name, known, n=1)
            cure = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
            raise OccluposeError(f"{inside}{brief(name)}: not a field of the recipe; {cure}")
    given = {
        name: _value(item, known[name], getattr(default, name, None), inside + name) for name, item in value.items()
    }
    try:
        return replace(default, **given) if [type(default)] == kinds else kind(**given)  # type: ignore[type-var]
    except OccluposeError as error:
        raise OccluposeError(f"{inside}{error}") from error


def _without_infinity(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_infinity(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_without_infinity(each) for each in value]
    return None if isinstance(value, float) and isinf(value) else value
