"""Strict settings: YAML and `key.path=value`, typed by the model, every problem in one message with its place."""

from __future__ import annotations

import difflib
import re
import types
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from gpt2lab.core.errors import UserError

OVERRIDE = re.compile(r"^[a-z_]+(\.[a-z0-9_]+)+=")
UNDOTTED = re.compile(r"^[a-z_]+=")

Positive = Annotated[int, Field(gt=0)]
Natural = Annotated[int, Field(ge=0)]
PositiveFloat = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NaturalFloat = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]
Probability = Annotated[float, Field(ge=0, lt=1)]


def _at_commas(given: Any) -> Any:
    return [part.strip() for part in given.split(",")] if isinstance(given, str) else given


AtCommas = BeforeValidator(_at_commas)
"""Of names and numbers, which have no commas in them: a list may also be written as one would type it."""

KeyPath = tuple[str | int, ...]


class Settings(BaseModel):
    """A group of settings. The text under each field is its help; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, protected_namespaces=())

    def as_dict(self) -> dict[str, Any]:
        return self.model_dump(mode="json")


S = TypeVar("S", bound=Settings)


def split(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """What people typed after the verb, as (paths and values, overrides)."""
    overrides = [argument for argument in arguments if OVERRIDE.match(argument)]
    return [argument for argument in arguments if not OVERRIDE.match(argument)], overrides


def resolve(
    model: type[S],
    *,
    file: Path | None = None,
    values: dict[str, Any] | None = None,
    overrides: Sequence[str] = (),
    said: str = "on the command line",
) -> S:
    """Settings from a YAML file, then `values`, then overrides; the later wins. All problems are raised together, those
    of overrides with where they were `said`."""
    data, places = read_yaml(file) if file else ({}, {})
    _merge(data, values or {})
    problems = [problem for override in overrides if (problem := _apply(model, data, places, override, said))]
    try:
        resolved = model.model_validate(data)
    except ValidationError as error:
        resolved = None
        problems += [_explain(model, detail, places) for detail in error.errors()]
    if problems or resolved is None:
        many = f"{len(problems)} settings are wrong" if len(problems) > 1 else "a setting is wrong"
        raise UserError(f"{many}:\n" + "\n".join(f"  {problem}" for problem in problems), place=file)
    return resolved


def read_yaml(file: Path) -> tuple[dict[str, Any], dict[KeyPath, str]]:
    """The values of a YAML file, and the line each key stands on."""
    try:
        text = file.read_text("utf-8")
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        data = yaml.safe_load(text) or {}
    except FileNotFoundError as error:
        raise UserError("the file does not exist", place=file) from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise UserError(f"not valid YAML: {error}", place=file) from error
    if not isinstance(data, dict):
        raise UserError("settings are written as `key: value`", place=f"{file}, line 1")
    places: dict[KeyPath, str] = {}
    _note_lines(root, (), file, places)
    return data, places


def describe(model: type[Settings], prefix: str = "") -> list[tuple[str, str, str]]:
    """(key path, default, help) of every setting, for `--help` and the docs."""
    rows = []
    for name, field in model.model_fields.items():
        inner = _settings_in(field.annotation)
        if inner:
            rows += describe(inner, f"{prefix}{name}.")
        else:
            default = "…" if field.is_required() else _plain(field.get_default(call_default_factory=True))
            meaning = " ".join((field.description or "").split())
            if choices := _choices(field.annotation):
                meaning += f" One of {', '.join(choices)}."
            rows.append((f"{prefix}{name}", default, f"{meaning} Required." if field.is_required() else meaning))
    return rows


def _choices(annotation: Any) -> list[str]:
    literals = [kind for kind in _alternatives(annotation) if typing.get_origin(kind) is typing.Literal]
    found = [str(choice) for literal in literals for choice in typing.get_args(literal)]
    return found if len(found) > 1 else []


def _plain(value: Any) -> str:
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def merged(values: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """`values` with `changes` laid over them, group by group."""
    both = {key: dict(value) if isinstance(value, dict) else value for key, value in values.items()}
    _merge(both, changes)
    return both


def differences(there: dict[str, Any], wanted: dict[str, Any], prefix: str = "") -> list[str]:
    """`train.seed: 1 there, 2 asked for`, for every setting that is not the same, or is asked for no more."""
    found = []
    for key in {**wanted, **there}:
        before, now = there.get(key), wanted.get(key)
        if isinstance(before or now, dict) and isinstance(now or before, dict):
            found += differences(before or {}, now or {}, f"{prefix}{key}.")
        elif before != now:
            found.append(f"{prefix}{key}: {_plain(before)} there, {_plain(now)} asked for")
    return found


def _merge(into: dict[str, Any], values: dict[str, Any]) -> None:
    for key, value in values.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value


def _apply(
    model: type[Settings], data: dict[str, Any], places: dict[KeyPath, str], override: str, said: str
) -> str | None:
    dotted, _, text = override.partition("=")
    keys = dotted.split(".")
    inner: Any = model
    for depth, key in enumerate(keys):
        group = _settings_in(inner)
        if group is None and (free := _free_in(inner)):
            under, inner = _under(free, keys[depth:])
            keys = [*keys[:depth], *under]
            break
        if group is None:
            return f"{dotted}: {'.'.join(keys[:depth])} is one setting, not a group of them"
        if key not in group.model_fields:
            return f"{dotted}: {_no_such_key(key, group, keys[:depth])}"
        inner = group.model_fields[key].annotation
    keys, target = _as_written(data, keys), data
    for key in keys[:-1]:
        if not isinstance(target.get(key), dict):
            target[key] = {}
        target = target[key]
    try:
        target[keys[-1]] = _as_in_a_file(text) if inner is Any else _typed(text, inner)
    except yaml.YAMLError as error:
        return f"{dotted}: not valid YAML: {error}"
    places[tuple(keys)] = f"{said}: {override}"
    return None


def _free_in(annotation: Any) -> Any:
    """A group whose keys are free, as a dictionary's."""
    return next((kind for kind in _alternatives(annotation) if typing.get_origin(kind) is dict), None)


def _under(free: Any, keys: list[str]) -> tuple[list[str], Any]:
    """In such a group: keys from group to group, and the type of what they lead to. Where no further groups can be,
    the rest is one key with dots."""
    value = typing.get_args(free)[1]
    if value is Any:
        return keys, value
    if (inner := _free_in(value)) and len(keys) > 1:
        further, value = _under(inner, keys[1:])
        return [keys[0], *further], value
    kinds = {*_alternatives(value)} - {type(None)}
    return [".".join(keys)], value if len(kinds) == 1 else Any


def _as_written(data: Any, keys: list[str]) -> list[str]:
    """Where the file has one key with dots, such as `over: {train.learning_rate: 1e-4}`, it is that one."""
    for depth, key in enumerate(keys):
        if not isinstance(data, dict):
            break
        if (rest := ".".join(keys[depth:])) in data:
            return [*keys[:depth], rest]
        data = data.get(key)
    return keys


def _as_in_a_file(text: str) -> Any:
    """What the setting's type does not say YAML does: numbers, true and false, none, and what stands in brackets."""
    if text.lower() in ("none", "null"):
        return None
    if text[:1] in ("[", "{"):
        return yaml.safe_load(text)
    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError:
        return text
    return found if isinstance(found, bool | int | float) else text


def _typed(text: str, annotation: Any) -> Any:
    """An override's text in the shape that the setting's type expects; pydantic does the rest."""
    kinds = _alternatives(annotation)
    if type(None) in kinds and text.lower() in ("none", "null"):
        return None
    origins = {typing.get_origin(kind) or kind for kind in kinds}
    if text[:1] in ("[", "{") and origins & {list, tuple, dict}:
        return yaml.safe_load(text)
    if origins & {list, tuple}:
        return [part.strip() for part in text.split(",")] if text else []
    choices = [
        choice for kind in kinds if typing.get_origin(kind) is typing.Literal for choice in typing.get_args(kind)
    ]
    return next((choice for choice in choices if str(choice) == text), text)  # a choice may be a number


def _alternatives(annotation: Any) -> list[Any]:
    if typing.get_origin(annotation) is Annotated:
        return _alternatives(typing.get_args(annotation)[0])
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return [kind for part in typing.get_args(annotation) for kind in _alternatives(part)]
    return [annotation]


def _settings_in(annotation: Any) -> type[Settings] | None:
    for kind in _alternatives(annotation):
        if isinstance(kind, type) and issubclass(kind, Settings):
            return kind
    return None


def _explain(model: type[Settings], detail: Any, places: dict[KeyPath, str]) -> str:
    path: KeyPath = detail["loc"]
    message = detail["msg"].removeprefix("Value error, ")  # pydantic's word for what our own validators say
    message = message[:1].lower() + message[1:]
    if detail["type"] == "extra_forbidden":
        group: Any = model
        for key in path[:-1]:
            if isinstance(key, str):
                annotation = group.model_fields[key].annotation
                group = _settings_in(annotation) or _settings_in(typing.get_args(annotation)[0])  # one, or a tuple of
        message = _no_such_key(str(path[-1]), group, path[:-1])
    elif detail["type"] == "missing":
        path = _first_required(model, path)
        message = "is required"
    elif "input" in detail and not isinstance(detail["input"], dict):
        message += f" (got {detail['input']!r})"
    place = next((places[path[:n]] for n in range(len(path), 0, -1) if path[:n] in places), None)
    return f"{'.'.join(map(str, path))}: {message}" + (f" ({place})" if place else "")


def _first_required(model: type[Settings], path: KeyPath) -> KeyPath:
    """Of a whole group that is missing, what must be given in it."""
    group: Any = model
    for key in path:
        group = group.model_fields[key].annotation if isinstance(key, str) and group else None
        group = _settings_in(group)
    if group:
        path += tuple(name for name, field in group.model_fields.items() if field.is_required())[:1]
    return path


def _no_such_key(key: str, group: type[Settings], parents: Sequence[str | int]) -> str:
    names = list(group.model_fields)
    close = difflib.get_close_matches(key, names, n=1)
    prefix = "".join(f"{parent}." for parent in parents)
    hint = f"did you mean {prefix}{close[0]}?" if close else f"known here: {', '.join(prefix + name for name in names)}"
    return f"there is no such setting; {hint}"


def _note_lines(node: yaml.Node | None, path: KeyPath, file: Path, places: dict[KeyPath, str]) -> None:
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            line = f"{file.name}, line {key.start_mark.line + 1}"
            if key.value in seen:
                raise UserError(f"the key {key.value!r} stands twice", place=line, way_out="keep one of the two")
            seen.add(key.value)
            places[(*path, key.value)] = line
            _note_lines(value, (*path, key.value), file, places)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            places[(*path, index)] = f"{file.name}, line {value.start_mark.line + 1}"
            _note_lines(value, (*path, index), file, places)
