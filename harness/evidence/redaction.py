"""The one door through which words leave: secrets are taken out, and what could command a terminal or deceive an eye.

Redaction is by value, not by name: whoever holds a secret registers it, and neither it nor a form that is one step
away from it (percent-encoded, base64, JSON- or HTML-escaped) passes this door.
"""

from __future__ import annotations

import base64
import dataclasses
import html
import json
import os
import re
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote, quote_plus

from harness.errors import ReportError
from harness.evidence.store import write_atomically
from harness.history.samples import Samples

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

V = TypeVar("V")

REDACTED = "[redacted]"
SHORTEST_SECRET = 6
"""Characters; a shorter value is in half of all words, and redacting it would destroy the report instead."""

_SLUG = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-_])")
_BLANKS = re.compile(r"[ \t\n]+")  # a no-break space stays: it keeps `12 000` on one line
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # control characters, but not tab and newline
    "\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"  # bidirectional, zero width, separators
    "\U000e0000-\U000e007f"  # tags: text that no reader sees
    "\ud800-\udfff]"  # lone surrogates, which are no text at all
)


class Secrets:
    """Values that must never be written.

    Its text form says how many there are, never which.
    """

    def __init__(self, values: Iterable[str] = ()) -> None:
        """Register `values`; empty ones are nothing to hide.

        Raises:
            ValueError: If a value is too short to be told from ordinary words.
        """
        known = {value for value in values if value}
        if any(len(value) < SHORTEST_SECRET for value in known):
            raise ValueError(f"a secret has fewer than {SHORTEST_SECRET} characters; choose a longer one")
        self._count = len(known)
        # Of one that has several lines, such as a key, each line: a log may put something before every one of them.
        lines = {part.strip() for value in known for part in value.splitlines()}
        told = known | {part for part in lines if len(part) >= SHORTEST_SECRET}
        forms = {form for value in told for form in _forms(value)}
        longest_first = sorted(forms, key=lambda form: (-len(form), form))
        self._pattern = re.compile("|".join(map(re.escape, longest_first))) if forms else None

    def __repr__(self) -> str:
        return f"Secrets({self._count} values)"

    def redacted(self, text: str) -> str:
        """Return `text` with every secret replaced."""
        return self._pattern.sub(REDACTED, text) if self._pattern else text

    def are_in(self, data: bytes) -> bool:
        """Tell whether a secret stands in `data` as it is."""
        return bool(self._pattern and self._pattern.search(data.decode("latin-1")))


NO_SECRETS = Secrets()


def _forms(secret: str) -> Iterator[str]:
    yield secret
    yield secret.encode().decode("latin-1")  # as it stands in a file of bytes
    yield from {quote(secret, safe=""), quote(secret), quote_plus(secret)}
    yield re.sub("%[0-9A-F]{2}", lambda found: found[0].lower(), quote(secret, safe=""))
    yield json.dumps(secret)[1:-1]
    yield html.escape(secret)
    yield from _inside_base64(secret.encode())


def _inside_base64(secret: bytes) -> Iterator[str]:
    """Return what of `secret` stays the same wherever it stands in a longer base64 text, such as `user:secret`."""
    for before in range(3):
        encoded = base64.b64encode(b"\0" * before + secret).decode()
        spoilt_after = (before + len(secret)) % 3
        core = encoded[(0, 2, 3)[before] : len(encoded) - (0, 3, 2)[spoilt_after]]
        yield from {core, core.replace("+", "-").replace("/", "_")}


def plain(text: str) -> str:
    """Return `text` without ANSI sequences, control and bidirectional characters, and characters nobody sees."""
    return _UNSEEN.sub("", _ANSI.sub("", text))


def line(text: str) -> str:
    """Return `text` as one plain line."""
    return _BLANKS.sub(" ", plain(text)).strip(" ")


def redacted(value: V, secrets: Secrets) -> V:
    """Return a frozen value with every secret replaced in every string inside it."""
    return _redacted(value, secrets)  # type: ignore[no-any-return]  # of the same type, as its tests show


def _redacted(value: Any, secrets: Secrets) -> Any:
    if type(value) is str:  # not StrEnum, whose words are ours
        return secrets.redacted(value)
    if isinstance(value, tuple | list):
        return type(value)(_redacted(item, secrets) for item in value)
    if isinstance(value, Samples):
        return Samples(value.records, *(_redacted(names, secrets) for names in _names_of(value)))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: _redacted(getattr(value, field.name), secrets) for field in dataclasses.fields(value)}
        return dataclasses.replace(value, **fields)
    return value


def _names_of(samples: Samples) -> tuple[tuple[str, ...], ...]:
    return samples.operations, samples.sources, samples.replicas


def inside(folder: Path, name: str) -> Path:
    """Return the folder `name` in `folder`.

    Raises:
        ReportError: If `name` is not a slug, and so could lead elsewhere.
    """
    if not _SLUG.fullmatch(name):
        raise ReportError(
            f"{name!r} cannot name a folder",
            where=str(folder),
            fix="use lower-case letters, digits and dashes, at most 63",
        )
    return folder / name


def check_place(path: Path, *, option: str) -> None:
    """See that a file can be written before something long begins, and take an older one away.

    An older one would be taken for this run's, if this run does not live to write its own.

    Raises:
        ReportError: If it is a folder, or lies where nothing can be written.
    """
    parent = next(folder for folder in path.absolute().parents if folder.exists())
    what = ""
    if path.is_dir():
        what = "it is a folder"
    elif not parent.is_dir():
        what = f"{parent} is no folder"
    elif not os.access(parent, os.W_OK | os.X_OK):
        what = f"{parent} may not be written to"
    if what:
        raise ReportError(f"cannot write: {what}", where=f"{option} {path}", fix="name a file in a folder of yours")
    path.unlink(missing_ok=True)


def write_text(path: Path, text: str, secrets: Secrets) -> None:
    """Write `text` without secrets and unseen characters, whole or not at all.

    Raises:
        ReportError: If it cannot be written.
    """
    # Twice: taking an unseen character out of the middle of a secret would put it together.
    write_atomically(path, secrets.redacted(plain(secrets.redacted(text))).encode())


def redact_file(path: Path, secrets: Secrets) -> None:
    """Take secrets out of a file that others wrote, such as a log; one without any is not touched.

    Raises:
        ReportError: If it cannot be written.
    """
    data = path.read_bytes()
    if secrets.are_in(data):
        write_atomically(path, secrets.redacted(data.decode("latin-1")).encode("latin-1"))


def write_bytes(path: Path, data: bytes, secrets: Secrets) -> None:
    """Write `data` as it is, whole or not at all.

    Raises:
        ReportError: If it cannot be written, or a secret is in it: bytes cannot be redacted without being spoilt.
    """
    if secrets.are_in(data):
        raise ReportError(
            "a secret is in the data",
            where=str(path),
            fix="keep the secret out of names and labels of the scenario and of the service",
        )
    write_atomically(path, data)
