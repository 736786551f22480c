"""smtp: a mail server that takes every message, and keeps none (aiosmtpd)."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from harness.stack.component import Component, Traces
from harness.stack.health_probe import HealthProbe
from harness.stack.image import Image, Pin
from harness.stack.ports import reserve
from harness.stack.program import PythonModule
from harness.stack.recipe import ContainerRecipe, Recipe

if TYPE_CHECKING:
    from pathlib import Path

    from harness.stack.service import Address, Workspace

PORT = 1025
"""Where it listens in a container."""

NOOP, QUIT = b"NOOP\r\n", b"QUIT\r\n"
"""Asked before any greeting of the client. Source: RFC 5321, 4.1.4: NOOP may come at any time, even first."""

_LEAST_ANSWER_BYTES = len(b"250 OK\r\n")
_ANSWERS_WITHIN_S = 1.0


def local(name: str, program: Path, workspace: Workspace) -> Recipe:  # noqa: ARG001 - it keeps nothing
    """Describe a server as a local process."""
    address = reserve()
    sink = ["-c", "aiosmtpd.handlers.Sink"]
    argv = [str(program), "-I", "-m", "aiosmtpd", "--nosetuid", "--listen", str(address), *sink]
    return Recipe(name=name, argv=argv, address=address, probe=PROBE)


def contained(name: str, image: str) -> ContainerRecipe:
    """Describe a server as a container: Mailpit, which keeps the last messages in memory."""
    return ContainerRecipe(
        name=name,
        image=image,
        port=PORT,
        published={PORT: reserve()},
        command=["--smtp", f"0.0.0.0:{PORT}", "--max", "100"],
        probe=PROBE,
    )


def is_answering(address: Address) -> bool:
    """Tell whether it greets, and takes a command."""
    codes = [line[:4] for line in _said(address, NOOP + QUIT)]
    return codes == ["220 ", "250 ", "221 "]


def version(address: Address) -> str:
    """Return what it greets with, such as `Python SMTP 1.4.6`.

    Raises:
        OSError: If it does not answer.
    """
    greeting, *_ = [*_said(address, QUIT), ""]
    if not greeting:
        raise ConnectionError(f"{address} ended without a greeting")
    return " ".join(greeting.split()[2:])


def _said(address: Address, asked: bytes) -> list[str]:
    """Return the lines that it answers with."""
    with socket.create_connection((address.host, address.port), timeout=_ANSWERS_WITHIN_S) as connection:
        connection.sendall(asked)
        return connection.makefile("r", encoding="utf-8", errors="replace").readlines()


def long_question(length_bytes: int) -> bytes:
    """Return so many commands that do nothing that their answers are as long, and a farewell."""
    return NOOP * (length_bytes // _LEAST_ANSWER_BYTES + 1) + QUIT


PROBE = HealthProbe(
    is_answering=is_answering, question=NOOP + QUIT, long_question=long_question, version=version, greets=True
)

COMPONENT = Component(
    kind="smtp",
    program=PythonModule(name="aiosmtpd", fix="pip install 'readiness-harness[smtp]', or use --backend containers"),
    local=local,
    image=Image(official=Pin("axllent/mailpit", "v1.20.4")),  # no wheel has it, so that it can only be pulled
    port=PORT,
    probe=PROBE,
    contained=contained,
    gives={"url": "smtp://{host}:{port}"},
    traces=Traces(
        packages=("aiosmtplib", "django-anymail", "fastapi-mail", "flask-mail", "nodemailer", "gopkg.in/gomail.v2"),
        images=("mailhog", "mailpit", "maildev"),
        variables={
            r"(SMTP|MAIL|EMAIL|MAILER)_(URL|DSN)": "{url}",
            r"(SMTP|MAIL|EMAIL|MAIL_SMTP)_(HOST(NAME)?|SERVER)": "{host}",
            r"(SMTP|MAIL|EMAIL|MAIL_SMTP)_PORT": "{port}",
        },
        scheme="smtp",
    ),
)
