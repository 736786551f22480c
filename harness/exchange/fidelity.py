"""How a fault is said in the words of another tool, and how much of it is lost on the way."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness.exchange.pods import Pods


class Fidelity(StrEnum):
    """Whether another tool can do a fault.

    `EXACT` means that the target and its clients meet the same. No fault of today is: a fault proxy delays, drops and
    refuses on connections, where these tools do so to packets, and a process comes back where these tools make a new
    pod.
    """

    EXACT = "exact"
    APPROXIMATE = "approximate"
    UNSUPPORTED = "unsupported"


@dataclass(frozen=True, slots=True, kw_only=True)
class Translation:
    """A fault in another tool's words.

    Attributes:
        fidelity: How well that says it.
        why: What is otherwise there, or why there is nothing; one clause, the tool the subject where none is named.
        parts: What does it there, one after the other; nothing where it cannot be done.
        pods: Which pods it is about, so that what was assumed of them can be said.
    """

    fidelity: Fidelity
    why: str
    parts: tuple[Mapping[str, Any], ...] = ()
    pods: tuple[Pods, ...] = ()


def approximate(why: str, *parts: Mapping[str, Any], pods: tuple[Pods, ...]) -> Translation:
    """Return what does nearly the same there."""
    return Translation(fidelity=Fidelity.APPROXIMATE, why=why, parts=parts, pods=pods)


def unsupported(why: str) -> Translation:
    """Return that there is nothing that does it there."""
    return Translation(fidelity=Fidelity.UNSUPPORTED, why=why)
