"""http-stub: a third party's API, which answers from a file of the project, in time or late, well or not."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from harness.errors import SpecError
from harness.spec.parser import text_of, validated
from harness.spec.stub import StubAnswers
from harness.spec.toml import read_toml
from harness.stack import stub_server
from harness.stack.component import Component
from harness.stack.health_probe import HealthProbe
from harness.stack.http_client import get, http_question
from harness.stack.image import Base, Image, Pin
from harness.stack.ports import reserve
from harness.stack.program import Program
from harness.stack.recipe import ContainerRecipe, Recipe
from harness.stack.service import ANYWHERE, Address

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from harness.spec.stub import StubAnswer
    from harness.spec.system import Part
    from harness.stack.service import Workspace

PORT = 8080
"""Where it listens in a container."""

SCRIPT = Path(stub_server.__file__)
"""What runs: nothing but the standard library, so that any Python can."""

_INSIDE = "/etc/readiness"
_ANSWERS_WITHIN_S = 1.0
_NOTHING = "an http-stub is told nothing to answer"
_NEEDED = 'name the file that says it: answers = "stubs/payments.toml" (docs/system.md)'

DOCKERFILE = """\
# Nothing but a Python: what it runs is a script of the harness, which is put there before it starts.
ARG BASE
FROM ${BASE}
USER 10001:10001
EXPOSE 8080
CMD ["python3", "-I", "/etc/readiness/stub_server.py", "0.0.0.0", "8080", "/etc/readiness/answers.json"]
"""


def local(name: str, program: Path, workspace: Workspace, answers: str | None = None) -> Recipe:
    """Describe it as a local process, with its answers in the work folder."""
    said = workspace.work / name / "answers.json"
    said.parent.mkdir()
    said.write_text(answers_json(answers, workspace.project), encoding="utf-8")
    address = reserve()
    argv = [str(program), "-I", str(SCRIPT), address.host, str(address.port), str(said)]
    return Recipe(name=name, argv=argv, address=address, probe=PROBE)


def contained(name: str, image: str, answers: str | None = None) -> ContainerRecipe:
    """Describe it as a container: any Python, with our script and the answers put inside."""
    script, said = f"{_INSIDE}/{SCRIPT.name}", f"{_INSIDE}/answers.json"
    return ContainerRecipe(
        name=name,
        image=image,
        port=PORT,
        published={PORT: reserve()},
        command=["python3", "-I", script, ANYWHERE, str(PORT), said],
        files={script: SCRIPT.read_text(encoding="utf-8"), said: partial(answers_json, answers)},
        user="10001:10001",
        probe=PROBE,
    )


def answers_json(answers: str | None, project: Path) -> str:
    """Return a file of answers as the server reads it: every key said, times in seconds.

    Raises:
        SpecError: If it cannot be read or understood.
    """
    if answers is None:
        raise SpecError(_NOTHING, where="readiness.toml: system.components", fix=_NEEDED)
    return json.dumps([_said(each) for each in _read(answers, project).answers], ensure_ascii=False)


def _said(answer: StubAnswer) -> dict[str, object]:
    """Return one answer with every key said, in the words of the server."""
    return {
        "method": answer.method,
        "path": answer.path,
        "status": answer.status,
        "headers": answer.headers,
        "body": answer.body,
        "json": answer.document,
        "after_s": answer.after,
        "times": answer.times,
    }


def _read(answers: str, project: Path) -> StubAnswers:
    path = project / answers
    return validated(StubAnswers, read_toml(text_of(path), name=str(path)))


def fitted(part: Part) -> Component:
    """Return the one that answers from the file that a part names."""
    return replace(
        COMPONENT, local=partial(local, answers=part.answers), contained=partial(contained, answers=part.answers)
    )


def mistakes(part: Part, project: Path, place: Callable[[str], str]) -> Iterator[SpecError]:
    """Find out whether it knows what to answer."""
    if part.answers is None:
        yield SpecError(_NOTHING, where=place("answers"), fix=_NEEDED)
        return
    try:
        _read(part.answers, project)
    except SpecError as error:
        yield error


def is_answering(address: Address) -> bool:
    """Tell whether it says what it is."""
    try:
        return get(address, stub_server.HEALTH, within_s=_ANSWERS_WITHIN_S).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False


def version(address: Address) -> str:
    """Return `http-stub of 3 answers, Python 3.13.1`.

    Raises:
        OSError: If it does not answer.
    """
    try:
        return get(address, stub_server.HEALTH, within_s=_ANSWERS_WITHIN_S).text.strip()
    except httpx.HTTPError as error:
        raise ConnectionError(str(error)) from error


PROBE = HealthProbe(
    is_answering=is_answering,
    question=f"GET {stub_server.HEALTH} HTTP/1.0\r\n\r\n".encode(),
    long_question=partial(http_question, stub_server.HEALTH),
    version=version,
)

COMPONENT = Component(
    kind="http-stub",
    program=Program(name=sys.executable),
    local=local,
    image=Image(official=Pin("python", "3.13-slim"), made_of=Base(), dockerfile=DOCKERFILE),
    port=PORT,
    probe=PROBE,
    contained=contained,
    gives={"url": "http://{host}:{port}"},
    keys=("answers",),
    fitted=fitted,
    mistakes=mistakes,
)
