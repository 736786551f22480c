"""Programs of this machine that help to make images: each has a bound, and none outlives us."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from contextlib import suppress
from typing import TYPE_CHECKING

from harness.errors import MissingError, StackError
from harness.stack.backends.process import last_lines

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_TAIL = 8
_FULL_BYTES = 4 << 20


def found(program: str, *, role: str, fix: str) -> str:
    """Return the path of a program.

    Raises:
        StackError: If it is not on PATH.
    """
    path = shutil.which(program)
    if path is None:
        raise MissingError(f"there is no {program}", where=f"the image of {role}", fix=fix)
    return path


def run(
    what: str,
    argv: Sequence[str],
    *,
    role: str,
    log: Path,
    within_s: float,
    environment: Mapping[str, str] | None = None,
) -> None:
    """Run a program to its end; on any other exit it is gone with all that it started in its session.

    Args:
        what: It is called in messages.
        argv: Program and arguments.
        role: Whose image it is for.
        log: Gets its output.
        within_s: How long it may take.
        environment: Variables beside ours.

    Raises:
        StackError: If it fails or takes longer; with its last words.
    """
    with log.open("wb") as sink:
        child = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
            start_new_session=True,
        )
        try:
            status = child.wait(within_s)
        except subprocess.TimeoutExpired as error:
            _end(child)
            raise _failed(what, role, log, f"took longer than {within_s:.0f} s") from error
        except BaseException:
            _end(child)
            raise
    if status:
        raise _failed(what, role, log, f"failed (exit {status})")


def _end(child: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def _failed(what: str, role: str, log: Path, how: str) -> StackError:
    words = last_lines(log, _TAIL) or "(it said nothing)"
    lines = "\n".join(f"    | {line}" for line in words.splitlines())
    # Not every program says so in these words: debootstrap says «file already exists».
    is_full = "No space left" in words or shutil.disk_usage(log.parent).free < _FULL_BYTES
    fix = "the disk is full: make room, or point TMPDIR elsewhere" if is_full else "its last words say why"
    return StackError(f"{what} {how}", where=f"the image of {role}, in {log.parent}", fix=f"{fix}:\n{lines}")
