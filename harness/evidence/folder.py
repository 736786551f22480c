"""The one way into a run's folder: each file whole or not at all, and none that still holds a secret.

Secrets are cut where a history and its logs enter (`EvidenceFolder.cut`), so that what is judged, drawn and told holds
none. This is the net beneath: whatever got past that, in a scenario's own words or in something computed from them, is
taken out of text on its way to the disk, and keeps bytes from getting there.
"""

from __future__ import annotations

import errno
import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import ReportError, is_full
from harness.evidence.redaction import Secrets, plain, redacted
from harness.layout import LOGS

if TYPE_CHECKING:
    from harness.history.history import History

_SLUG = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


@dataclass(frozen=True, slots=True)
class EvidenceFolder:
    """A folder of a run, or of one of its experiments.

    Attributes:
        path: Where it is; made when the first file is written.
        secrets: What none of its files may hold.
    """

    path: Path
    secrets: Secrets

    def __truediv__(self, name: str) -> EvidenceFolder:
        """Return a folder in it, for which the same is secret.

        Raises:
            ReportError: If `name` is not a slug, and so could lead elsewhere.
        """
        return EvidenceFolder(inside(self.path, name), self.secrets)

    def cut(self, history: History) -> History:
        """Return `history` without secrets, having taken them out of the logs in this folder as well.

        Raises:
            ReportError: If a log cannot be written.
        """
        EvidenceFolder(self.path / LOGS, self.secrets).cut_files()
        return redacted(history, self.secrets)

    def cut_files(self) -> None:
        """Take secrets out of the files that others wrote here, such as logs; one without any is not touched.

        Raises:
            ReportError: If one cannot be written.
        """
        for path in self.path.glob("*"):
            data = path.read_bytes() if path.is_file() else b""
            if self.secrets.are_in(data):
                write_atomically(path, self.secrets.redacted(data.decode("latin-1")).encode("latin-1"))

    def write(self, name: str, data: str | bytes) -> None:
        """Write a file of this folder; see `write_file`."""
        write_file(self.path / name, data, self.secrets)


def write_file(path: Path, data: str | bytes, secrets: Secrets) -> None:
    """Write a file whole or not at all: text without secrets and unseen characters, bytes as they are.

    Raises:
        ReportError: If it cannot be written, or a secret is in bytes: those cannot be redacted without being spoilt.
    """
    if isinstance(data, str):
        # Twice: taking an unseen character out of the middle of a secret would put it together.
        data = secrets.redacted(plain(secrets.redacted(data))).encode()
    elif secrets.are_in(data):
        fix = "choose a secret that is no ordinary word; if it is none, this is a bug of ours"
        raise ReportError("a secret is in the data", where=str(path), fix=fix)
    write_atomically(path, data)


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


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file whole or not at all, by renaming a finished one into its place.

    Raises:
        ReportError: If it cannot be written; with a full disk it says what was kept.
    """
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            temporary = Path(file.name)
            file.write(data)
        temporary.chmod(0o644)
        os.replace(temporary, path)  # noqa: PTH105 - the one call of which atomicity is promised by name
    except OSError as error:
        raise _unwritten(path, error) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def _unwritten(path: Path, error: OSError) -> ReportError:
    if error.errno != errno.ENOSPC:
        fix = "make room there, or choose another folder: --out FOLDER" if is_full(error) else "check its rights"
        return ReportError(f"cannot write: {error.strerror}", where=str(path), fix=fix)
    kept = sorted(item.name for item in path.parent.glob("[!.]*")) if path.parent.is_dir() else []
    what = f"no space left on the disk; kept in this folder: {', '.join(kept) or 'nothing'}"
    return ReportError(what, where=str(path), fix="make room, then write the report again")
