"""A small disk as faults fill it and make room on it again: found by the process, or the sandbox, that keeps it."""

from __future__ import annotations

from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import FaultError, StackError
from harness.faults import filling
from harness.faults.ledger import noted_process

if TYPE_CHECKING:
    from collections.abc import Mapping


def fill(facts: Mapping[str, Any], leaving_bytes: int) -> None:
    """Fill a disk by one file, until so much is left.

    Args:
        facts: `folder`, and the `file` in it; what keeps it: `pid` and `started_s`, or `engine` and `container`.
        leaving_bytes: To the block of the disk.

    Raises:
        FaultError: If it is not there, or cannot be filled.
    """
    if "container" in facts:
        _asked_inside("fill", facts, leaving_bytes)
        return
    try:
        filling.fill(_folder(facts), facts["file"], leaving_bytes)
    except OSError as error:
        what = f"a disk cannot be filled: {error.strerror}"
        raise FaultError(what, where=str(facts["folder"]), fix="see that its memory is to be had") from error


def free_bytes(facts: Mapping[str, Any]) -> int:
    """Return how much can still be written to it; `facts` are those of `fill`.

    Raises:
        FaultError: If it is not there.
    """
    return _asked_inside("look", facts) if "container" in facts else filling.free_bytes(_folder(facts))


def make_room(facts: Mapping[str, Any]) -> bool:
    """Remove the file that fills it; tell whether it was there. A disk that is gone took it along."""
    with suppress(FaultError, StackError):
        if "container" in facts:
            return bool(_asked_inside("clear", facts))
        return filling.clear(_folder(facts), facts["file"])
    return False


def is_filled(facts: Mapping[str, Any]) -> bool:
    """Tell whether the file is there that fills it."""
    if "container" in facts:
        return False  # what removed it has said so, and it is gone with the container
    with suppress(FaultError):
        return Path(_folder(facts), facts["file"]).exists()
    return False


def _folder(facts: Mapping[str, Any]) -> str:
    """Return where the disk is seen from here: through the process that keeps it, if that is still the same one."""
    if noted_process(facts):
        return f"/proc/{facts['pid']}/root{facts['folder']}"
    raise FaultError("the disk is gone", where=str(facts["folder"]), fix="see the log of what kept it")


def _asked_inside(asked: str, facts: Mapping[str, Any], leaving_bytes: int = 0) -> int:
    """Have it done in the sandbox that keeps the disk, and return what is said of it."""
    from harness.stack.backends import engine  # noqa: PLC0415 - a Docker client, only where it is needed

    script = Path(filling.__file__).read_text(encoding="utf-8")
    folder = str(facts["folder"])
    words = [asked, folder, str(facts["file"]), str(leaving_bytes)]
    with closing(engine.connect(facts["engine"])) as client:
        return int(engine.run_python_on(folder, script, words, facts["container"], client))
