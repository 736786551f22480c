"""The raw file between the load child and us: one `RECORD` after the other, with the names beside it.

Appended to, flushed once a second; a child that is killed leaves a readable prefix.
"""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.errors import LoadError
from harness.history.samples import NAMELESS, RECORD, Samples
from harness.layout import LOAD_LOG

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RAW_FILE = "samples.raw"
NAMES_FILE = "samples.names.json"


class Names:
    """Names that turn up while a run goes on, each with the index that stands for it in a record."""

    def __init__(self) -> None:
        self._indexes = {NAMELESS: 0}

    def __iter__(self) -> Iterator[str]:
        return iter(self._indexes)

    def index(self, name: str) -> int:
        """Return the index of `name`; the 255th new one and all after it are nameless, an index is one byte."""
        if name not in self._indexes and len(self._indexes) < 256:
            self._indexes[name] = len(self._indexes)
        return self._indexes.get(name, 0)


class RawWriter:
    """Appends records; holds at most one second of them."""

    def __init__(self, folder: Path) -> None:
        self.operations = Names()
        self.sources = Names()
        self.replicas = Names()
        self._folder = folder
        self._held = bytearray()
        self._file = (folder / RAW_FILE).open("wb")

    def append(self, record: bytes) -> None:
        """Take one record."""
        self._held += record

    def flush(self) -> None:
        """Give everything to the file, names first, so that no record has an index without a name.

        Raises:
            LoadError: If it cannot be written.
        """
        names = {name: [*getattr(self, name)] for name in ("operations", "sources", "replicas")}
        fresh = self._folder / f".{NAMES_FILE}"
        try:
            fresh.write_text(json.dumps(names), encoding="utf-8")
            fresh.replace(self._folder / NAMES_FILE)  # whole at any moment: somebody may be reading
            self._file.write(self._held)
            self._file.flush()
        except OSError as error:
            what = f"the load generator cannot write its samples: {error.strerror}"
            fix = "make room on that disk, or choose another folder: --out FOLDER"
            raise LoadError(what, where=str(self._folder / RAW_FILE), fix=fix) from error
        self._held.clear()


def read_raw(folder: Path) -> Samples:
    """Read what a load child wrote, in order of intended start; half a last record is left out.

    Raises:
        LoadError: If there is nothing to read.
    """
    try:
        data = (folder / RAW_FILE).read_bytes()
        names = json.loads((folder / NAMES_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        fix = f"look at {LOAD_LOG} there: the generator died before its first second was over"
        raise LoadError(f"the load generator left no samples: {error}", where=str(folder), fix=fix) from error
    records = np.frombuffer(data[: len(data) // RECORD.itemsize * RECORD.itemsize], dtype=RECORD)
    ordered = records[np.argsort(records["intended_s"], kind="stable")]
    return Samples(ordered, tuple(names["operations"]), tuple(names["sources"]), tuple(names["replicas"]))


class RawReader:
    """Reads what a load child appends, a piece at a time, to be sent elsewhere."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read_bytes = 0

    def piece(self) -> dict[str, Any] | None:
        """Return what is new since the last time, as a JSON object for `take_raw`; None if nothing is."""
        path = self._folder / RAW_FILE
        if not path.is_file():
            return None
        with path.open("rb") as file:
            file.seek(self._read_bytes)
            data = file.read()
        if not data:
            return None
        self._read_bytes += len(data)
        names = json.loads((self._folder / NAMES_FILE).read_text(encoding="utf-8"))
        return {"raw": base64.b64encode(data).decode(), "names": names}


def take_raw(folder: Path, piece: dict[str, Any]) -> None:
    """Append what a `RawReader` elsewhere read."""
    (folder / NAMES_FILE).write_text(json.dumps(piece["names"]), encoding="utf-8")
    with (folder / RAW_FILE).open("ab") as file:
        file.write(base64.b64decode(piece["raw"]))


def remove_raw(folder: Path) -> None:
    """Remove the raw file, once its records are kept elsewhere."""
    for name in (RAW_FILE, NAMES_FILE):
        (folder / name).unlink(missing_ok=True)
