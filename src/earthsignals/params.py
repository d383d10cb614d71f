"""Validated parameters: `params.yaml` in, frozen models out, and one sentence when it is wrong.

Every knob that changes a result lives in `params.yaml`, one section per pipeline. A section is a
subclass of `Section`; unknown keys, wrong types and impossible values stop a stage before it
starts, named by their full dotted path. Scales (`smoke`, `laptop`, `paper`) are sets of concrete
values in `scales.yaml` that `apply_scale` writes into `params.yaml`: the stages only ever see
plain values, so `dvc exp run -S` keeps working.
"""

from __future__ import annotations

import difflib
import io
import json
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from earthsignals.credentials import refuse_keys
from earthsignals.storage import EarthSignalsError, atomic_path

NonNegative = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
"""A part of a whole."""


class ParamsError(EarthSignalsError):
    """A parameter or setting that cannot be used as it stands."""


class Section(BaseModel):
    """Base of every parameter section: frozen, strict, no unknown keys.

    Strict means: no number in quotes, no true/false for a number, no 1.0 for a whole number; a
    whole number is welcome where a real one is expected. NaN and infinity are refused.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, validate_default=True, allow_inf_nan=False
    )


class Range(Section):
    """A closed interval [low, high] that a simulated condition is drawn from."""

    low: float
    high: float

    @model_validator(mode="after")
    def _ordered(self) -> Range:
        if not self.low < self.high:
            raise ValueError(f"low ({self.low}) must be less than high ({self.high})")
        return self

    @property
    def middle(self) -> float:
        """Arithmetic centre of the interval."""
        return 0.5 * (self.low + self.high)


SectionT = TypeVar("SectionT", bound=BaseModel)


def load_section(
    name: str, model: type[SectionT], path: str | Path = "params.yaml"
) -> SectionT:
    """Read the section `name` (dots descend: `tdlas.train`) of `path` and validate it as `model`.

    Raises ParamsError when the file or section is missing, the YAML is malformed, or any key is
    unknown, of the wrong type or out of range; every problem is named in one go.
    """
    values: Any = read_yaml(path)
    for depth, key in enumerate(parts := name.split(".")):
        if not isinstance(values, Mapping) or key not in values:
            known = list(values) if isinstance(values, Mapping) else []
            where = ".".join(parts[: depth + 1])
            hint = _did_you_mean(key, known)
            raise ParamsError(f"{path}: the section `{where}` is missing{hint}")
        values = values[key]
    return validate(model, values, source=str(path), prefix=name)


def validate(model: type[SectionT], values: Any, *, source: str, prefix: str = "") -> SectionT:
    """Validate plain `values` as `model`; problems become one ParamsError naming `source`.

    `prefix` is the dotted path of `model` within `source`. Credentials are refused wherever they stand.
    """
    if not isinstance(values, Mapping):
        found = "nothing" if values is None else f"`{values}`"
        raise ParamsError(f"{source}: `{prefix}` holds {found}, expected a section of keys")
    refuse_keys(values, source=source, prefix=prefix)
    try:
        # By way of JSON: strict about numbers and text, yet a YAML list is good for a tuple.
        return model.model_validate_json(json.dumps(values, default=str))
    except ValidationError as error:
        problems = [_sentence(model, problem, prefix) for problem in error.errors()]
    raise ParamsError(f"{source}: " + "; ".join(dict.fromkeys(problems)))


def read_yaml(path: str | Path) -> dict[str, Any]:
    """A YAML file as plain values (YAML 1.2, as DVC reads it: `1e-3` is a number).

    Raises ParamsError when the file is missing, malformed or not a mapping.
    """
    from ruamel.yaml import YAML

    return _read(YAML(typ="safe", pure=True), path)


class Change(NamedTuple):
    """One value that a scale sets: dotted key, value in params.yaml now, value of the scale."""

    key: str
    old: Any
    new: Any


def scale_names(scales_path: str | Path = "scales.yaml") -> list[str]:
    """The scales that `scales_path` defines, in its order."""
    return list(read_yaml(scales_path))


def scale_changes(
    scale: str, params_path: str | Path = "params.yaml", scales_path: str | Path = "scales.yaml"
) -> list[Change]:
    """What `apply_scale` would change: every key whose value in `params_path` differs.

    Raises ParamsError for an unknown scale or a key that `params_path` does not have.
    """
    scales = read_yaml(scales_path)
    if scale not in scales:
        raise ParamsError(
            f"{scales_path}: there is no scale `{scale}`{_did_you_mean(scale, list(scales))}"
        )
    params = read_yaml(params_path)
    changes = []
    for parts, new in _leaves(scales[scale] or {}):
        old: Any = params
        for depth, part in enumerate(parts):
            if not isinstance(old, Mapping) or part not in old:
                known = list(old) if isinstance(old, Mapping) else []
                raise ParamsError(
                    f"{scales_path}: `{scale}.{'.'.join(parts)}` sets a key that {params_path} "
                    f"does not have (`{'.'.join(parts[: depth + 1])}`){_did_you_mean(part, known)}"
                )
            old = old[part]
        if old != new or type(old) is not type(new):
            changes.append(Change(".".join(parts), old, new))
    return changes


def apply_scale(
    scale: str, params_path: str | Path = "params.yaml", scales_path: str | Path = "scales.yaml"
) -> list[Change]:
    """Write the concrete values of `scale` into `params_path`, keeping its comments and order.

    Atomic, and the file is left untouched when nothing differs. Returns what changed.
    """
    changes = scale_changes(scale, params_path, scales_path)
    if not changes:
        return changes
    from ruamel.yaml import YAML

    yaml = YAML()  # round trip: comments, order and quotes stay
    yaml.preserve_quotes = True
    yaml.width = 4096
    document = _read(yaml, params_path)
    for change in changes:
        *sections, key = change.key.split(".")
        section: Any = document
        for part in sections:
            section = section[part]
        section[key] = _inline(change.new)
    text = io.StringIO()
    yaml.dump(document, text)
    with atomic_path(params_path) as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8")
    return changes


def _read(yaml: Any, path: str | Path) -> Any:
    from ruamel.yaml.error import YAMLError

    try:
        content = yaml.load(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ParamsError(
            f"{path} does not exist; run in the project's root folder, or restore the file with "
            f"`git checkout -- {Path(path).name}`"
        ) from None
    except (YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise ParamsError(
            f"{path} is no valid YAML{where} ({problem}); correct that line"
        ) from None
    content = {} if content is None else content
    if not isinstance(content, Mapping):
        raise ParamsError(f"{path} holds {type(content).__name__}, expected sections of keys")
    return content


def _leaves(section: Mapping[str, Any], parts: tuple[str, ...] = ()):
    for key, value in section.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, (*parts, str(key)))
        else:
            yield (*parts, str(key)), value


def _inline(value: Any) -> Any:
    """Lists are written on one line: `[1, 2]`."""
    if not isinstance(value, list):
        return value
    from ruamel.yaml.comments import CommentedSeq

    sequence = CommentedSeq(value)
    sequence.fa.set_flow_style()
    return sequence


def _sentence(model: type[BaseModel], problem: Mapping[str, Any], prefix: str) -> str:
    """One problem that pydantic found, in words a user can act upon."""
    location = [part for part in problem["loc"] if not str(part).startswith(("function-", "list["))]
    dotted = ".".join(str(part) for part in (*([prefix] if prefix else []), *location))
    kind, value = problem["type"], problem["input"]
    if kind == "extra_forbidden":
        owner = _model_at(model, location[:-1])
        return f"`{dotted}` is no known key{_did_you_mean(str(location[-1]), _names(owner))}"
    if kind in ("value_error", "assertion_error"):
        message = problem["msg"].split(", ", 1)[-1]
        return f"`{dotted}`: {message}"
    expected = allowed(model, location) or problem["msg"]
    if kind == "missing":
        return f"`{dotted}` is missing, expected {expected}"
    return f"`{dotted}` is {_shown(value)}, expected {expected}"


def _shown(value: Any) -> str:
    text = json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "..."


def _model_at(model: type[BaseModel], location: Sequence[Any]) -> Any:
    """The model that `location` leads to, stepping over list indices and union tags."""
    for part in location:
        field = _fields(model).get(part) if isinstance(part, str) else None
        nested = _nested(field.annotation) if field else None
        model = nested or model
    return model


def _fields(model: type[BaseModel]) -> dict[str, Any]:
    fields = dict(model.model_fields)
    return fields | {field.alias: field for field in model.model_fields.values() if field.alias}


def _names(model: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]


def _nested(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for arg in typing.get_args(annotation) if (found := _nested(arg))), None)


def allowed(model: type[BaseModel], location: Sequence[Any]) -> str:
    """Type and allowed range of the field of `model` at `location` (its keys), e.g. `a number > 0 and <= 1`.

    Empty where there is no such field.
    """
    for depth in range(len(location), 0, -1):  # an item of a list is described by its field
        owner = _model_at(model, location[: depth - 1])
        field = _fields(owner).get(location[depth - 1])
        if field is not None:
            bounds = _bounds(field.metadata)
            words = _type_words(field.annotation)
            return f"{words} {' and '.join(bounds)}" if bounds else words
    return ""


def _bounds(metadata: Sequence[Any]) -> list[str]:
    signs = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}
    words = {"multiple_of": "a multiple of", "min_length": "at least this long:",
             "max_length": "at most this long:", "pattern": "matching"}
    found = []
    for item in metadata:
        for name, sign in (signs | words).items():
            limit = getattr(item, name, None)
            if limit is not None:
                found.append(f"{sign} {limit}")
    return found


def _type_words(annotation: Any) -> str:
    simple = {int: "a whole number", float: "a number", bool: "true or false", str: "text",
              type(None): "null", Path: "a path"}
    if annotation in simple:
        return simple[annotation]
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Literal:
        return "one of " + ", ".join(f"`{choice}`" for choice in arguments)
    if origin is typing.Annotated:
        bounds = _bounds(arguments[1:])
        words = _type_words(arguments[0])
        return f"{words} {' and '.join(bounds)}" if bounds else words
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_type_words(argument) for argument in arguments)
    if origin is tuple and Ellipsis not in arguments:
        return "a list of " + ", ".join(_type_words(argument) for argument in arguments)
    if origin in (list, tuple):
        return f"a list, each item {_type_words(arguments[0])}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "a section with the keys " + ", ".join(_names(annotation))
    return getattr(annotation, "__name__", str(annotation))


def _did_you_mean(key: str, known: Sequence[str]) -> str:
    """`; did you mean x?` and the known keys, or the known keys alone."""
    close = difflib.get_close_matches(key, [str(name) for name in known], n=1, cutoff=0.6)
    question = f"; did you mean `{close[0]}`?" if close else ""
    listing = ", ".join(str(name) for name in known) or "none"
    return f"{question} (known: {listing})"
