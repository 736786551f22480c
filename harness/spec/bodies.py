"""Bodies of requests that stand in files of the project: read once, with the descriptions, and so in the evidence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from harness.errors import SpecError
from harness.spec.login import unknown_words
from harness.spec.parser import text_of
from harness.spec.requests import DeclaredRequest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from harness.spec.document import Document
    from harness.spec.system import Settings

BODY_MAX_BYTES = 1_000_000
"""A generator fills a body in for each request: at 1 MB and 100/s it writes 100 MB a second, more than it can."""


def with_bodies(settings: Settings, document: Document, project: Path) -> tuple[Settings, list[SpecError]]:
    """Return what readiness.toml says with the bodies that stand in files, and what is wrong with those.

    Args:
        settings: What it says.
        document: The same, with its lines.
        project: The folder that it stands in.
    """
    system, requests, wrong = settings.system, list(settings.system.requests), list[SpecError]()
    for index, request in enumerate(requests):
        if request.body_file is None:
            continue
        file, place = project / request.body_file, document.place(("system", "requests", index, "body_file"))
        try:
            requests[index] = _with_body(request, _body(file, place))
        except ValidationError as error:
            wrong += _explained(error, file, place)
        except SpecError as error:
            wrong.append(error)
    for what, fix in () if wrong else unknown_words(requests, system.login, system.secrets):
        wrong.append(SpecError(what, where=document.place(("system", "requests")), fix=fix))
    asking = system.model_copy(update={"requests": tuple(requests)})
    return settings.model_copy(update={"system": asking}), wrong


def _body(file: Path, place: str) -> str:
    """Return what a file says.

    Raises:
        SpecError: If it cannot be read, or is too long.
    """
    if file.is_file() and file.stat().st_size > BODY_MAX_BYTES:
        what = f"{file} has {file.stat().st_size:,} bytes".replace(",", " ")
        raise SpecError(what, where=place, fix=f"send a smaller body; {BODY_MAX_BYTES // 1_000_000} MB are the most")
    try:
        return text_of(file)
    except SpecError as error:
        raise SpecError(f"{error.what}: {file}", where=place, fix="name a file below this folder") from error


def _with_body(request: DeclaredRequest, body: str) -> DeclaredRequest:
    """Return a request with a body that is held to all that one written beside it is.

    Raises:
        ValidationError: If it does not.
    """
    said: dict[str, Any] = {name: getattr(request, name) for name in request.model_fields_set - {"body_file"}}
    return DeclaredRequest.model_validate({**said, "body": body})


def _explained(error: ValidationError, file: Path, place: str) -> Iterator[SpecError]:
    for detail in error.errors():
        what = detail["msg"].removeprefix("Value error, ")
        yield SpecError(f"{file}: {what}", where=place, fix="mend the file, or name another one")
