"""The clock of a replica as faults set it off and right again: a file on this disk, or in its container."""

from __future__ import annotations

from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import FaultError, StackError
from harness.stack import clock_file

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness.stack.clock_file import Offsets


def offsets_of(facts: Mapping[str, Any]) -> Offsets:
    """Return how far a replica was told that its clocks are off; not at all where it was told nothing.

    Args:
        facts: `file`, and `engine` and `container` where it is in one.

    Raises:
        FaultError: If the file says something else.
    """
    text = _text_of(facts)
    try:
        return clock_file.NONE if text is None else clock_file.parsed(text)
    except (ValueError, KeyError, TypeError) as error:
        where, fix = str(facts["file"]), "delete it; only a run writes there"
        raise FaultError(f"it does not say how far a clock is off: {text!r}", where=where, fix=fix) from error


def set_off(facts: Mapping[str, Any], offsets: Offsets) -> None:
    """Tell a replica how far its clocks are off; `facts` are those of `offsets_of`.

    Raises:
        FaultError: If it cannot be told.
    """
    if "container" in facts:
        from harness.stack.backends import engine  # noqa: PLC0415 - a Docker client, only where it is needed

        with closing(engine.connect(facts["engine"])) as client:
            engine.put_text(facts["container"], facts["file"], offsets.text(), client)
        return
    try:
        clock_file.write(Path(facts["file"]), offsets)
    except OSError as error:
        what = f"a clock cannot be set off: {error.strerror}"
        raise FaultError(what, where=str(facts["file"]), fix="make room on that disk") from error


def set_right(facts: Mapping[str, Any]) -> bool:
    """Have the wall clock of a replica be right again; tell whether it was off.

    Its monotonic clock stays where it is (`monotonic_s`). A replica that is gone has taken its file along.
    """
    with suppress(StackError):  # a container that is gone is as good
        if not offsets_of(facts).wall_s:
            return False
        set_off(facts, clock_file.Offsets(monotonic_s=float(facts["monotonic_s"])))
        return True
    return False


def _text_of(facts: Mapping[str, Any]) -> str | None:
    if "container" in facts:
        from harness.stack.backends import engine  # noqa: PLC0415 - as above

        with closing(engine.connect(facts["engine"])) as client:
            return engine.text_of(facts["container"], facts["file"], client)
    try:
        return Path(facts["file"]).read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
