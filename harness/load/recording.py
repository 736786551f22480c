"""The raw files between the load child and us: one record after the other, with the names beside them.

Appended to, flushed once a second; a child that is killed leaves a readable prefix. A reader that follows it as it
grows reads each byte once.
"""

from __future__ import annotations

import base64
import json
from bisect import bisect_left, bisect_right
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.errors import LoadError, is_full
from harness.history.accounts import Accepted
from harness.history.echoes import ECHO, Echoes
from harness.history.load import SHORTAGES
from harness.history.operations import OPERATION, Operations
from harness.history.samples import NAMELESS, NAMES_MAX, RECORD, Samples
from harness.layout import LOAD_LOG
from harness.load.shortage import SpareDescriptor, short_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

RAW_FILE = "samples.raw"
NAMES_FILE = "samples.names.json"
OPERATIONS_FILE = "operations.raw"
ECHOES_FILE = "echoes.raw"
ACCEPTED_FILE = "accepted.jsonl"

_NONE_WANTED: Mapping[str, Sequence[str]] = MappingProxyType({})


class Names:
    """Names that turn up while a run goes on, each with the index that stands for it in a record.

    Args:
        wanted: Names that have a place whenever they turn up, since promises speak of them.
    """

    def __init__(self, wanted: Iterable[str] = ()) -> None:
        self._indexes = {NAMELESS: 0}
        self._awaited = {*wanted} - {NAMELESS}

    def __iter__(self) -> Iterator[str]:
        return iter(self._indexes)

    def index(self, name: str) -> int:
        """Return the index of `name`; what finds no place is nameless, as an index is one byte: 255 names have one."""
        if name in self._indexes:
            return self._indexes[name]
        if len(self._indexes) + len(self._awaited - {name}) < NAMES_MAX:
            self._awaited.discard(name)
            self._indexes[name] = len(self._indexes)
        return self._indexes.get(name, 0)


class RawWriter:
    """Appends records; holds at most one second of them.

    Args:
        folder: Where they are kept.
        wanted: Names that must be told apart, by their list: see `LoadPlan.told_apart`.
    """

    def __init__(self, folder: Path, wanted: Mapping[str, Sequence[str]] = _NONE_WANTED) -> None:
        self.operations, self.sources, self.replicas = (
            Names(wanted.get(column, ())) for column in ("operations", "sources", "replicas")
        )
        self.told = Names()
        self._folder = folder
        self._spare = SpareDescriptor()
        self._held = bytearray()
        self._remembered = bytearray()
        self._echoed = bytearray()
        self._accepted = bytearray()
        (folder / RAW_FILE).write_bytes(b"")

    def append(self, record: bytes) -> None:
        """Take one record."""
        self._held += record

    def remember(self, operation: bytes) -> None:
        """Take one `OPERATION`, whose sample is the number of its record among all that were appended."""
        self._remembered += operation

    def echo(self, echo: bytes) -> None:
        """Take one `ECHO`, or nothing; its sample is numbered as that of an operation."""
        self._echoed += echo

    def accept(self, sample: int, number: int, called: str) -> None:
        """Take what an answer calls the thing that it accepts; `sample` is numbered as above."""
        self._accepted += json.dumps([sample, number, called]).encode() + b"\n"

    def flush(self) -> None:
        """Give everything to the files, names first, so that no record has an index without a name.

        Raises:
            LoadError: If it cannot be written.
        """
        names = {name: [*getattr(self, name)] for name in ("operations", "sources", "replicas", "told")}
        fresh = self._folder / f".{NAMES_FILE}"
        try:
            with self._spare.lent():
                fresh.write_text(json.dumps(names), encoding="utf-8")
                fresh.replace(self._folder / NAMES_FILE)  # whole at any moment: it may be read meanwhile
                for name, records in self._kept():
                    if records:
                        with (self._folder / name).open("ab") as file:
                            file.write(records)
        except OSError as error:
            what = f"the load generator cannot write its samples: {error.strerror}"
            raise LoadError(what, where=str(self._folder / RAW_FILE), fix=_how_to_write(error)) from error
        for _, records in self._kept():
            records.clear()

    def _kept(self) -> tuple[tuple[str, bytearray], ...]:
        return (
            (RAW_FILE, self._held),
            (OPERATIONS_FILE, self._remembered),
            (ECHOES_FILE, self._echoed),
            (ACCEPTED_FILE, self._accepted),
        )


def _how_to_write(error: OSError) -> str:
    """Say how to mend what kept samples from being written."""
    short = short_of(error)
    if short is not None:
        return SHORTAGES[short][1]
    if is_full(error):
        return "make room on that disk, or choose another folder: --out FOLDER"
    return "see what stands in the way there, or choose another folder: --out FOLDER"


class Growing:
    """A file that grows, read on from where it was left."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read_bytes = 0

    def more(self) -> bytes:
        """Return what is new since this was last asked; nothing, where the file is not there yet.

        Raises:
            OSError: If it cannot be read.
        """
        if not self._path.is_file():
            return b""
        with self._path.open("rb") as file:
            file.seek(self._read_bytes)
            data = file.read()
        self._read_bytes += len(data)
        return data


_ROW = np.dtype([("record", RECORD), ("number", "<i8")])
"""A record, and which of all it was to be written."""


class RawFollower:
    """What a load child has written down so far, in order of intended start.

    Each look reads what is new, and puts it in its place; records that start alike stay in the order of writing.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file = Growing(folder / RAW_FILE)
        self._cut = b""
        self._rows = np.empty(0, dtype=_ROW)
        self._count = 0

    def so_far(self, from_s: float = -np.inf) -> Samples:
        """Return the requests meant to start at or after a moment that are written down by now.

        Half a last record waits for its other half.

        Args:
            from_s: Seconds since the origin.

        Raises:
            LoadError: If there is nothing to read.
        """
        try:
            data = self._cut + self._file.more()
            names = json.loads((self._folder / NAMES_FILE).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            fix = f"look at {LOAD_LOG} there: the generator died before its first second was over"
            raise LoadError(f"the load generator left no samples: {error}", where=str(self._folder), fix=fix) from error
        whole = len(data) // RECORD.itemsize * RECORD.itemsize
        self._cut = data[whole:]
        self._add(np.frombuffer(data[:whole], dtype=RECORD))
        first = bisect_left(range(self._count), from_s, key=self._intended_s)
        records = np.ascontiguousarray(self._rows["record"][first : self._count])
        return Samples(records, tuple(names["operations"]), tuple(names["sources"]), tuple(names["replicas"]))

    def operations(self) -> Operations:
        """Return what is remembered of the requests that were read so far; asked once, when all is written down.

        Raises:
            LoadError: If it cannot be read.
        """
        return Operations(self._beside(OPERATIONS_FILE, OPERATION))

    def echoes(self) -> Echoes:
        """Return whose answers the requests got that were read so far; asked once, when all is written down.

        Raises:
            LoadError: If it cannot be read.
        """
        names = json.loads((self._folder / NAMES_FILE).read_text(encoding="utf-8"))
        return Echoes(self._beside(ECHOES_FILE, ECHO), tuple(names.get("told", (NAMELESS,))))

    def _beside(self, file: str, kind: np.dtype[np.void]) -> NDArray[np.void]:
        """Return the records of another table, whose `sample` is by now a row of the samples."""
        data = self._all_of(file)
        records = np.frombuffer(data[: len(data) // kind.itemsize * kind.itemsize], dtype=kind)
        place = self._places()
        known = records[records["sample"] < self._count].copy()
        known["sample"] = place[known["sample"]]
        return known[np.argsort(known["sample"])]

    def accepted(self) -> tuple[Accepted, ...]:
        """Return what was accepted by the answers that were read so far; asked once, when all is written down.

        Raises:
            LoadError: If it cannot be read.
        """
        place = self._places()
        lines = self._all_of(ACCEPTED_FILE).split(b"\n")[:-1]  # half a last line is left out
        told = [Accepted(sample=sample, number=number, id=called) for sample, number, called in map(json.loads, lines)]
        known = [replace(each, sample=int(place[each.sample])) for each in told if each.sample < self._count]
        return tuple(sorted(known, key=lambda each: each.sample))

    def _places(self) -> NDArray[np.int64]:
        """Return the row of each record, by the number with which it was written."""
        return np.argsort(self._rows["number"][: self._count])

    def _all_of(self, file: str) -> bytes:
        path = self._folder / file
        try:
            return Growing(path).more()
        except OSError as error:
            fix = f"look at {LOAD_LOG} there"
            raise LoadError(f"cannot read what was remembered: {error}", where=str(path), fix=fix) from error

    def _add(self, fresh: NDArray[np.void]) -> None:
        """Put records in their places: all that may come after the earliest of them is sorted again, and no more."""
        if not len(fresh):
            return
        first = bisect_right(range(self._count), fresh["intended_s"].min(), key=self._intended_s)
        count = self._count + len(fresh)
        later = np.empty(count - first, dtype=_ROW)
        later[: self._count - first] = self._rows[first : self._count]
        later["record"][self._count - first :] = fresh
        later["number"][self._count - first :] = np.arange(self._count, count)
        if count > len(self._rows):
            kept, self._rows = self._rows[:first], np.empty(2 * count, dtype=_ROW)
            self._rows[:first] = kept
        self._rows[first:count] = later[np.argsort(later["record"]["intended_s"], kind="stable")]
        self._count = count

    def _intended_s(self, row: int) -> float:
        return float(self._rows["record"]["intended_s"][row])


def read_raw(folder: Path) -> Samples:
    """Read what a load child wrote, in order of intended start; half a last record is left out.

    Raises:
        LoadError: If there is nothing to read.
    """
    return RawFollower(folder).so_far()


class RawReader:
    """Reads what a load child appends, a piece at a time, to be sent elsewhere."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file = Growing(folder / RAW_FILE)

    def piece(self) -> dict[str, Any] | None:
        """Return what is new since the last time, as a JSON object for `take_raw`; None if nothing is."""
        data = self._file.more()
        if not data:
            return None
        names = json.loads((self._folder / NAMES_FILE).read_text(encoding="utf-8"))
        return {"raw": base64.b64encode(data).decode(), "names": names}


def take_raw(folder: Path, piece: dict[str, Any]) -> None:
    """Append what a `RawReader` elsewhere read."""
    (folder / NAMES_FILE).write_text(json.dumps(piece["names"]), encoding="utf-8")
    with (folder / RAW_FILE).open("ab") as file:
        file.write(base64.b64decode(piece["raw"]))


def remove_raw(folder: Path) -> None:
    """Remove the raw files, once their records are kept elsewhere."""
    for name in (RAW_FILE, NAMES_FILE, OPERATIONS_FILE, ECHOES_FILE, ACCEPTED_FILE):
        (folder / name).unlink(missing_ok=True)
