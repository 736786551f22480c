"""Files to models, and pydantic's complaints to errors that say where and how to fix."""

from __future__ import annotations

import difflib
import re
import types
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from harness.errors import SpecError, all_of, nearest
from harness.spec.mistakes import MistakesError
from harness.spec.system import Settings
from harness.spec.toml import read_toml

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pydantic.fields import FieldInfo
    from pydantic_core import ErrorDetails

    from harness.spec.document import Document, KeyPath

M = TypeVar("M", bound=BaseModel)

_PLAINLY = {"model_type": "Input should be keys with their values; write them as `{key: value}`, as docs/ shows"}
"""What pydantic says in words of Python, for those who write files."""


def read_settings(path: Path) -> Settings:
    """Read readiness.toml.

    Raises:
        SpecError: If it cannot be read or understood; see `validated`.
    """
    return validated(Settings, read_toml(text_of(path), name=str(path)))


def text_of(path: Path) -> str:
    """Return what a file says.

    Raises:
        SpecError: If it cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise SpecError(f"cannot read the file: {reason}", where=str(path), fix="check the path and rights") from error


def validated(model: type[M], document: Document) -> M:
    """Return a document as a model.

    Raises:
        SpecError: If it is none; it names file, line, key path and the nearest known key, of every mistake in it.
    """
    try:
        return model.model_validate(_as_tuples(document.data), strict=True)
    except ValidationError as error:
        raise _explained(error, model, document) from error


def _as_tuples(data: Any) -> Any:
    """Return plain data with tuples for lists, which is what pydantic takes for a tuple where it is strict.

    Strict it is: a number in quotes is a text, and true is no number. What a file means must not depend on guesses.
    """
    if isinstance(data, dict):
        return {key: _as_tuples(value) for key, value in data.items()}
    return tuple(map(_as_tuples, data)) if isinstance(data, list) else data


def _explained(error: ValidationError, model: type[BaseModel], document: Document) -> SpecError:
    """Turn every complaint into our form, in the order in which the file's lines stand."""
    told = [each for detail in _causes(error.errors(), model) for each in _told(detail, model)]
    told.sort(key=lambda item: document.line(item[0]))
    return all_of([SpecError(what, where=document.place(path), fix=fix) for path, what, fix in told])


def _told(detail: ErrorDetails, model: type[BaseModel]) -> Iterator[tuple[KeyPath, str, str]]:
    """Yield where a complaint is, what it is, and how to fix it; each of several that are one to pydantic."""
    path, known = _walk(model, detail["loc"])
    cause = detail.get("ctx", {}).get("error")
    if not isinstance(cause, MistakesError):
        yield (*path, *_tag(detail)), *_what_and_fix(detail, known)
        return
    for inside, said in cause.found:
        yield (*path, *inside), *_parted(said)


def _causes(details: list[ErrorDetails], model: type[BaseModel]) -> list[ErrorDetails]:
    """Leave out what only follows from another complaint.

    A mistyped key is two complaints, unknown and missing: the unknown one is the one to fix. And a list whose only
    item is wrong is also called too short.
    """
    mistyped = {
        (*detail["loc"][:-1], key)
        for detail in details
        if detail["type"] == "extra_forbidden"
        for key in difflib.get_close_matches(str(detail["loc"][-1]), _walk(model, detail["loc"])[1], n=1)
    }
    parents = {detail["loc"][:length] for detail in details for length in range(len(detail["loc"]))}
    return [
        detail
        for detail in details
        if detail["loc"] not in parents and not (detail["type"] == "missing" and detail["loc"] in mistyped)
    ]


def _tag(detail: ErrorDetails) -> KeyPath:
    """Return the key that says which of several kinds is meant, where it says one that there is not."""
    return (detail["ctx"]["discriminator"].strip("'"),) if detail["type"] == "union_tag_invalid" else ()


def _what_and_fix(detail: ErrorDetails, known: list[str]) -> tuple[str, str]:
    key = str(detail["loc"][-1]) if detail["loc"] else ""
    match detail["type"]:
        case "extra_forbidden":
            return f"unknown key {key!r}", nearest(key, known)
        case "missing":
            return f"missing key {key!r}", f"add it; known keys here: {', '.join(known)}"
        case "union_tag_invalid":
            context = detail["ctx"]
            tags = [tag.strip(" '") for tag in context["expected_tags"].split(",")]
            kind = context["discriminator"].strip("'")
            return f"unknown {kind} {context['tag']!r}", nearest(str(context["tag"]), tags)
        case "literal_error":
            known = re.findall(r"'([^']*)'", detail["ctx"]["expected"])
            return f"unknown {key} {detail['input']!r}", nearest(str(detail["input"]), known)
        case "unknown_word":
            return detail["msg"], nearest(detail["ctx"]["word"], detail["ctx"]["known"])
        case _:
            return _bounded(detail, key) or _parted(
                _PLAINLY.get(detail["type"], detail["msg"]).removeprefix("Value error, ")
            )


def _bounded(detail: ErrorDetails, key: str) -> tuple[str, str] | None:
    """Say what a number is and should be; None of any other complaint."""
    if detail["type"] not in {"greater_than", "greater_than_equal", "less_than", "less_than_equal"}:
        return None
    bound = detail["msg"].removeprefix("Input should be ")
    return f"{key} is {detail['input']!r}, and should be {bound}", f"write one that is {bound}"


def _parted(said: str) -> tuple[str, str]:
    what, _, fix = said.partition("; ")
    return what, fix or "give it a value of that kind"


def _walk(model: Any, location: tuple[int | str, ...]) -> tuple[KeyPath, list[str]]:
    """Follow a complaint's location through the models; a union's tag is in it, but not in the file.

    Returns:
        The key path as written in the file, and the keys known at its last step.
    """
    path: list[str | int] = []
    known = _keys_of(model)
    for part in location:
        if part == "[key]":  # pydantic's mark of a complaint about a dictionary's key, which is the last step already
            break
        model = _plain(model)
        known = _keys_of(model) or known
        member = _member(model, part)
        if member is not None:
            model = member
            known = _keys_of(model)
            continue
        path.append(part)
        model = _inside(model, part)
    return tuple(path), known


def _plain(annotation: Any) -> Any:
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    return annotation


def _keys_of(model: Any) -> list[str]:
    return list(_fields_of(model)) if isinstance(model, type) and issubclass(model, BaseModel) else []


def _fields_of(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """Return a model's fields by their names in a file."""
    return {field.alias or name: field for name, field in model.model_fields.items()}


def _member(model: Any, tag: str | int) -> Any:
    """Return the member of a tagged union that `tag` selects."""
    if get_origin(model) not in (Union, types.UnionType):
        return None
    for member in get_args(model):
        for field in getattr(member, "model_fields", {}).values():
            if tag in get_args(field.annotation):
                return member
    return None


def _inside(model: Any, part: str | int) -> Any:
    if isinstance(model, type) and issubclass(model, BaseModel):
        field = _fields_of(model).get(str(part))
        return field.rebuild_annotation() if field else None
    arguments = get_args(model)
    return (arguments[-1] if get_origin(model) is dict else arguments[0]) if arguments else None
