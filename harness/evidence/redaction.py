"""Words without secrets, and without what could command a terminal or deceive an eye. Pure; `folder` writes them.

Redaction is by value, not by name: a secret is registered, and neither it nor a form that is one step away from it
(percent-encoded, base64, JSON- or HTML-escaped) remains.
"""

from __future__ import annotations

import base64
import dataclasses
import html
import json
import re
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote, quote_plus

from harness.history.samples import Samples

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

V = TypeVar("V")

REDACTED = "[redacted]"
SHORTEST_SECRET = 6
"""Characters; a shorter value is in half of all words, and redacting it would destroy the report instead."""

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
    yield from {json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]}
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
    """Return `text` without ANSI sequences, control and bidirectional characters, and characters that are not seen."""
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
