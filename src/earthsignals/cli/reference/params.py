"""docs/reference/params.md: every parameter, from the models that check it and params.yaml's comments."""

from __future__ import annotations

import ast
import inspect
import json
import re
import textwrap
import typing
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel

from earthsignals.cli.pipelines import PIPELINES
from earthsignals.cli.reference.markdown import cell, code, notice, page, table
from earthsignals.params import Range, Section, allowed, read_yaml
from earthsignals.storage import EarthSignalsError


class Parameter(NamedTuple):
    """One row: its path below the pipeline, what is allowed there, its default as text, what it means."""

    path: tuple[str, ...]
    allowed: str
    default: str
    meaning: str


def params_page(root: Path) -> str:
    """The text of the page, the same whatever scale params.yaml is at.

    Raises EarthSignalsError for a pipeline whose `params` module holds no `<Pipeline>Params`.
    """
    values, scales = read_yaml(root / "params.yaml"), read_yaml(root / "scales.yaml")
    comments = read_comments((root / "params.yaml").read_text(encoding="utf-8"))
    names = list(scales)
    lines = [
        "# Parameters", "",
        notice("the models in `src/earthsignals/*/params.py`, params.yaml and scales.yaml"), "",
        "Every knob that changes a result stands in `params.yaml`, one section per pipeline. Units stand in "
        "the names or beside the meaning. *Left out* is what holds where params.yaml does not have the key; "
        f"a key without it must stand there. Scales ({', '.join(names)}) are what `earthsignals scale NAME` "
        "writes: one value where all of them agree, else one for each. How a stage is executed is no "
        "parameter: see `settings.example.yaml`.", "",
        "Pipelines: " + " · ".join(f"[{name}](#{name})" for name in PIPELINES), "",
    ]  # fmt: skip
    for pipeline in PIPELINES:
        model = section_model(pipeline)
        lines += [f"## {pipeline}", "", _first_line(model), ""]
        for path, section in _sections(model):
            own = list(parameters(section, (pipeline, *path), comments))
            if not own:
                continue
            if path:
                meaning = comments.get((pipeline, *path)) or _first_line(section)
                lines += [f"### {'.'.join((pipeline, *path))}", "", meaning, ""]
            rows = [_row(each, len(path) + 1, values, scales) for each in own]
            lines += [*table(("key", "meaning", "allowed", "left out", "value"), rows), ""]
    return page(lines)


def section_model(pipeline: str) -> type[Section]:
    """The model of a pipeline's whole section: `<Pipeline>Params` in its `params` module."""
    name = f"{pipeline.capitalize()}Params"
    found = getattr(import_module(f"earthsignals.{pipeline}.params"), name, None)
    if found is None:
        raise EarthSignalsError(
            f"src/earthsignals/{pipeline}/params.py: holds no `{name}`, which is expected to be the model of "
            f"params.yaml's section `{pipeline}`; name it so"
        )
    return found


def parameters(
    model: type[BaseModel], prefix: tuple[str, ...], comments: Mapping[tuple[str, ...], str]
) -> Iterator[Parameter]:
    """The keys of one section that hold no further section; a range counts as two keys of its section."""
    said = _field_docstrings(model)
    for name, field in model.model_fields.items():
        key, nested = field.alias or name, _nested_section(field.annotation)
        meaning = comments.get((*prefix, key)) or said.get(name, "")
        default = None if field.is_required() else field.get_default(call_default_factory=True)
        if nested is not field.annotation:  # a value, or a section that may also be null
            shown = "" if field.is_required() else _shown(default)
            yield Parameter((*prefix, key), allowed(model, (key,)), shown, meaning)
        if nested and issubclass(nested, Range):
            for end in nested.model_fields:
                shown = "" if default is None else _shown(getattr(default, end))
                said_of = meaning or _first_line(nested)
                yield Parameter((*prefix, key, end), allowed(nested, (end,)), shown, said_of)


def read_comments(text: str) -> dict[tuple[str, ...], str]:
    """The comment behind each key of a YAML text in block style, by the key's path."""
    found, path = {}, []
    for line in text.splitlines():
        entry = re.match(r"( *)([\w-]+):(?=\s|$)", line)
        if not entry:
            continue
        while path and path[-1][0] >= len(entry[1]):
            path.pop()
        path.append((len(entry[1]), entry[2]))
        _, mark, comment = line.partition(" # ")
        if mark:
            found[tuple(name for _, name in path)] = comment.strip()
    return found


def _sections(
    model: type[BaseModel], path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], type[BaseModel]]]:
    yield path, model
    for name, field in model.model_fields.items():
        nested = _nested_section(field.annotation)
        if nested and not issubclass(nested, Range):
            yield from _sections(nested, (*path, field.alias or name))


def _nested_section(annotation: Any) -> type[BaseModel] | None:
    """The section that a field is, or may be where it may also be null; a list of sections is a value."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if typing.get_origin(annotation) in (tuple, list, dict):
        return None
    found = (_nested_section(each) for each in typing.get_args(annotation))
    return next((each for each in found if each), None)


def _row(
    parameter: Parameter, depth: int, values: Mapping[str, Any], scales: Mapping[str, Any]
) -> tuple[str, ...]:
    absent = object()
    base = _at(values, parameter.path, absent)
    at_scales = {name: _at(scale or {}, parameter.path, base) for name, scale in scales.items()}
    shown = {name: "" if value is absent else _shown(value) for name, value in at_scales.items()}
    if len(set(shown.values())) == 1:
        value = code(next(iter(shown.values())))
    else:
        value = ", ".join(f"{name} {code(text)}" for name, text in shown.items())
    return (
        code(".".join(parameter.path[depth:])), cell(parameter.meaning), cell(parameter.allowed),
        code(parameter.default), value,
    )  # fmt: skip


def _at(values: Any, path: tuple[str, ...], absent: Any) -> Any:
    for key in path:
        if not isinstance(values, Mapping) or key not in values:
            return absent
        values = values[key]
    return values


def _shown(value: Any) -> str:
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json")
    if isinstance(value, float):
        return f"{value:.10g}"
    return json.dumps(value, default=_plain, ensure_ascii=False)


def _plain(value: Any) -> Any:
    """What JSON does not know: a section in a list, a date, a path."""
    return value.model_dump(mode="json") if isinstance(value, BaseModel) else str(value)


def _first_line(model: type[BaseModel]) -> str:
    return (inspect.getdoc(model) or "").split("\n\n")[0].replace("\n", " ")


def _field_docstrings(model: type[BaseModel]) -> dict[str, str]:
    """Texts that stand under fields in the source, of the model and of those it derives from."""
    found: dict[str, str] = {}
    for each in reversed(model.__mro__):
        if not issubclass(each, Section):
            continue
        body = ast.parse(textwrap.dedent(inspect.getsource(each))).body[0].body
        for field, below in zip(body, body[1:], strict=False):
            text = below.value if isinstance(below, ast.Expr) else None
            if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Constant):
                found[field.target.id] = " ".join(str(text.value).split())
    return found
