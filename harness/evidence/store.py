"""A history on disk, and back, exactly.

samples.parquet   every request, in the columns of `RECORD`, those of `SELDOM` only if there is something in them;
                  names and outcomes are strings in a dictionary, so that DuckDB, pandas and Polars read them as they
                  stand
operations.parquet  what the remembered requests wrote and read, in the columns of `OPERATION`; only if there were any
accounts.jsonl    what became of what was only accepted, one JSON object a line; only if that was asked
circuits.jsonl    what circuit breakers did, as replicas told it, one JSON object an answer; only if that was asked
echoes.parquet    whose answers requests got, in the columns of `ECHO`; only if an answer told
events.jsonl      the timeline, one JSON object a line, so that a terminal can read it
history.json      everything else, with sorted keys

Each file appears whole or not at all.
"""

from __future__ import annotations

import dataclasses
import io
import json
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from harness.errors import ReportError
from harness.history.accounts import Account, Fate
from harness.history.circuits import Circuit, CircuitReport, CircuitState, Stay
from harness.history.echoes import ECHO, Echoes, no_echoes
from harness.history.failures import UNKNOWN, Failure
from harness.history.history import History
from harness.history.load import Heartbeat, LoadTally
from harness.history.machine import Held, MachineSecond
from harness.history.marks import Beginning, Dose, Event, FaultMark, PhaseMark, PointMark, Startup
from harness.history.operations import OPERATION, Operations, no_operations
from harness.history.samples import NAMELESS, RECORD, SELDOM, SampleOutcome, Samples
from harness.layout import (
    ACCOUNTS_FILE,
    CIRCUITS_FILE,
    ECHOES_FILE,
    EVENTS_FILE,
    HISTORY_FILE,
    OPERATIONS_FILE,
    SAMPLES_FILE,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from harness.evidence.folder import EvidenceFolder

T = TypeVar("T")

SCHEMA = 2
"""Of history.json, which says it since 2; 1 held no kinds of failures, no ids and plans of faults, and no profile."""

_NAMED = {"operation": "operations", "source": "sources", "replica": "replicas"}
"""Columns that are an index into a list of names, and the attribute of Samples that is this list."""

_OUTCOMES = tuple(outcome.name.lower() for outcome in SampleOutcome)
_FIX = "take the folder from the run again, or judge the scenario anew"


def write_history(history: History, folder: EvidenceFolder) -> None:
    """Write `history` into `folder`, which is made if it is not there; secrets have been taken out of it before.

    Raises:
        ReportError: If a file cannot be written, a secret is in the history, or a sample names something that is not in
            its list of names.
    """
    folder.write(SAMPLES_FILE, _parquet(history.samples, folder.path / SAMPLES_FILE))
    if len(history.operations):
        folder.write(OPERATIONS_FILE, _records_parquet(history.operations.records))
    if len(history.echoes):
        folder.write(ECHOES_FILE, _records_parquet(history.echoes.records))
    if history.accounts:
        folder.write(ACCOUNTS_FILE, b"".join(_json(dataclasses.asdict(account)) for account in history.accounts))
    if history.circuits:
        folder.write(CIRCUITS_FILE, b"".join(_json(dataclasses.asdict(report)) for report in history.circuits))
    folder.write(EVENTS_FILE, b"".join(_json(dataclasses.asdict(event)) for event in history.events))
    folder.write(HISTORY_FILE, _json(_rest_of(history), indent=1))


def read_history(folder: Path) -> History:
    """Read what `write_history` wrote.

    Raises:
        ReportError: If a file is missing, truncated, or not what `write_history` writes; it names the file.
    """
    rest = _parsed(folder / HISTORY_FILE)
    rest = _in_schema_2(folder / HISTORY_FILE, rest, rest.pop("schema", 1))
    names = _part(folder / HISTORY_FILE, lambda: rest.pop("names"))
    samples = _samples(folder / SAMPLES_FILE, names)
    events = _part(folder / EVENTS_FILE, lambda: _events(folder / EVENTS_FILE, rest.pop("events_count")))
    operations = _operations(folder / OPERATIONS_FILE)
    echoes = _echoes(folder / ECHOES_FILE, names.get("told", [NAMELESS]))
    accounts = _part(folder / ACCOUNTS_FILE, lambda: _accounts(folder / ACCOUNTS_FILE))
    circuits = _part(folder / CIRCUITS_FILE, lambda: _circuits(folder / CIRCUITS_FILE))
    seen: dict[str, Any] = {
        "samples": samples,
        "operations": operations,
        "echoes": echoes,
        "accounts": accounts,
        "circuits": circuits,
        "events": events,
    }
    return _part(folder / HISTORY_FILE, lambda: History(**_values(rest), **seen))


def _json(data: Any, indent: int | None = None) -> bytes:
    # A lone surrogate, as in a badly encoded file name, becomes the escape that JSON reads back as the same.
    text = json.dumps(data, sort_keys=True, ensure_ascii=False, indent=indent) + "\n"
    return text.encode("utf-8", "backslashreplace")


def _rest_of(history: History) -> dict[str, Any]:
    fields = {field.name: getattr(history, field.name) for field in dataclasses.fields(history)}
    samples, events = fields.pop("samples"), fields.pop("events")
    del fields["operations"], fields["echoes"], fields["accounts"], fields["circuits"]
    fields["names"] = {plural: list(getattr(samples, plural)) for plural in _NAMED.values()}
    if len(history.echoes):
        fields["names"]["told"] = list(history.echoes.told)
    fields["events_count"] = len(events)
    fields["schema"] = SCHEMA
    if not history.machine:  # not measured everywhere, nor ever before 2026-12
        del fields["machine"]
    else:
        fields["machine"] = [_second_data(second) for second in history.machine]
    if history.beginning is None:  # every story had a stack of its own
        del fields["beginning"]
    fields["heartbeats"] = [beat.to_json() for beat in history.heartbeats]
    fields["tally"] = history.tally and history.tally.to_json()
    return {name: _plain(value) for name, value in fields.items()}


def _second_data(second: MachineSecond) -> dict[str, Any]:
    """Return a second as plain data; what replicas held and spent was not known before 2026-12, nor everywhere."""
    data = dataclasses.asdict(second)
    unknown = {
        name for name, is_known in (("held", second.held), ("spent_s", second.spent_s is not None)) if not is_known
    }
    return {name: value for name, value in data.items() if name not in unknown}


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return dataclasses.asdict(value) if dataclasses.is_dataclass(value) and not isinstance(value, type) else value


def _in_schema_2(path: Path, rest: dict[str, Any], schema: Any) -> dict[str, Any]:
    """Return what a history.json holds in the shape of today's."""
    match schema:
        case 1:
            return _part(path, lambda: _of_schema_1(rest))
        case 2:
            return rest
        case _:
            fix = f"use a harness that reads it; this one knows schema {SCHEMA}"
            raise ReportError(f"unknown schema {schema!r}", where=f"{path}: schema", fix=fix)


def _of_schema_1(rest: dict[str, Any]) -> dict[str, Any]:
    faults = [{**mark, "id": f"fault-{number}"} for number, mark in enumerate(rest["faults"], start=1)]
    failures = [{"kind": UNKNOWN, "what": text} for text in rest["troubles"]]
    kept = {name: value for name, value in rest.items() if name != "troubles"}
    return {**kept, "faults": faults, "failures": failures}


def _values(rest: dict[str, Any]) -> dict[str, Any]:
    """Turn plain JSON back into the values that History holds."""
    tally, beginning = rest["tally"], rest.get("beginning")
    return {
        **rest,
        "tally": tally if tally is None else LoadTally(**tally),
        "heartbeats": tuple(Heartbeat.from_json(beat) for beat in rest["heartbeats"]),
        "machine": tuple(_second(second) for second in rest.get("machine", ())),
        "phases": tuple(PhaseMark(**mark) for mark in rest["phases"]),
        "faults": tuple(_fault(mark) for mark in rest["faults"]),
        "points": tuple(PointMark(**mark) for mark in rest["points"]),
        "startup": tuple(Startup(**part) for part in rest["startup"]),
        "failures": tuple(Failure(**failure) for failure in rest["failures"]),
        "beginning": beginning if beginning is None else _beginning(beginning),
    }


def _beginning(said: dict[str, Any]) -> Beginning:
    lists = {name: tuple(said[name]) for name in ("after", "kept", "seen")}
    return Beginning(**{**said, **lists})


def _second(second: dict[str, Any]) -> MachineSecond:
    return MachineSecond(**{**second, "held": tuple(Held(**each) for each in second.get("held", ()))})


def _fault(mark: dict[str, Any]) -> FaultMark:
    planned, doses = mark.get("planned"), tuple(Dose(**dose) for dose in mark["doses"])
    return FaultMark(**{**mark, "planned": planned and (planned[0], planned[1]), "doses": doses})


def _parquet(samples: Samples, path: Path) -> bytes:
    written = [name for name in RECORD.names or () if name not in SELDOM or samples.records[name].any()]
    return _table_bytes({name: _column(name, samples, path) for name in written})


def _column(name: str, samples: Samples, path: Path) -> pa.Array:
    values = np.ascontiguousarray(samples.records[name])
    if name not in _NAMED and name != "outcome":
        return _array(values)
    known = _OUTCOMES if name == "outcome" else getattr(samples, _NAMED[name])
    if len(values) and int(values.max()) >= len(known):
        what = f"a sample's {name} is number {values.max()} of {len(known)} names"
        raise ReportError(what, where=str(path), fix="this is a fault of the load generator; keep its log")
    return pa.DictionaryArray.from_arrays(_array(values.astype(np.int32)), _strings(known))


def _records_parquet(records: NDArray[np.void]) -> bytes:
    return _table_bytes({name: _array(np.ascontiguousarray(records[name])) for name in records.dtype.names or ()})


def _array(values: NDArray[Any]) -> pa.Array:
    """Return values that lie side by side as an array without nulls, which points to them.

    Not by `pyarrow.array`, which imports pandas where there is one: half a second, and 60 MB.
    """
    if values.dtype == np.bool_:
        return _array(values.view(np.uint8)).cast(pa.bool_())
    return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), len(values), [None, pa.py_buffer(values)])


def _strings(words: Sequence[str]) -> pa.Array:
    """Return words as an array, as above: in UTF-8, end to end, and where each begins."""
    encoded = [word.encode() for word in words]
    begins = np.cumsum([0, *map(len, encoded)], dtype=np.int32)
    return pa.StringArray.from_buffers(len(words), pa.py_buffer(begins), pa.py_buffer(b"".join(encoded)))


def _table_bytes(columns: dict[str, pa.Array]) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink, compression="zstd")
    return sink.getvalue()


def _operations(path: Path) -> Operations:
    """Return what was remembered; a run that remembered nothing has no such file."""
    if not path.exists():
        return no_operations()
    table = _table(path)
    return Operations(_part(path, lambda: _records_of(table, OPERATION)))


def _echoes(path: Path, told: Sequence[str]) -> Echoes:
    """Return whose answers requests got; a run that did not ask has no such file."""
    if not path.exists():
        return no_echoes()
    table = _table(path)
    return Echoes(_part(path, lambda: _records_of(table, ECHO)), tuple(told))


def _records_of(table: pa.Table, kind: np.dtype[np.void]) -> NDArray[np.void]:
    records = np.empty(table.num_rows, dtype=kind)
    for name in kind.names or ():
        column = table[name]
        # Booleans are stored as bits, which no array of numbers can point to.
        records[name] = _indices(column.cast(pa.uint8()) if pa.types.is_boolean(column.type) else column, None)
    return records


def _table(path: Path) -> pa.Table:
    try:
        # Arrow's threads are not joined when the interpreter ends: one in sixty runs was aborted at its exit, with 134.
        return pq.ParquetFile(pa.BufferReader(path.read_bytes())).read(use_threads=False)
    except (OSError, pa.ArrowException) as error:
        raise _unread(path, error) from error


def _samples(path: Path, names: dict[str, list[str]]) -> Samples:
    table = _table(path)
    known = {column: names[plural] for column, plural in _NAMED.items()} | {"outcome": list(_OUTCOMES)}
    return Samples(_part(path, lambda: _records(table, known)), *(tuple(names[plural]) for plural in _NAMED.values()))


def _records(table: pa.Table, known: dict[str, list[str]]) -> NDArray[np.void]:
    records = np.zeros(table.num_rows, dtype=RECORD)
    for name in RECORD.names or ():
        if name not in SELDOM or name in table.column_names:
            records[name] = _indices(table[name], known.get(name))
    return records


def _indices(column: pa.ChunkedArray, known: Sequence[str] | None) -> NDArray[Any]:
    """Return a column's numbers; for strings, where each stands in `known`."""
    parts = [_numbers(chunk) if known is None else _places(chunk, known) for chunk in column.chunks]
    return np.concatenate(parts) if parts else np.empty(0, dtype=np.uint8)


def _numbers(chunk: pa.Array) -> NDArray[Any]:
    """Return an array without nulls as it lies in memory; not by its own `to_numpy`, for the reason above."""
    return np.from_dlpack(chunk)


def _places(chunk: pa.Array, known: Sequence[str]) -> NDArray[Any]:
    encoded = chunk if isinstance(chunk, pa.DictionaryArray) else chunk.dictionary_encode()
    names = encoded.dictionary.to_pylist()
    strange = sorted({str(name) for name in names} - set(known))
    if strange:
        raise ValueError(f"{strange[0]!r} is not among the names {', '.join(known)}")
    return np.array([known.index(name) for name in names], dtype=np.uint8).take(_numbers(encoded.indices))


def _events(path: Path, count: int) -> tuple[Event, ...]:
    # Not splitlines(): it also splits at characters that JSON leaves inside a string.
    lines = _text(path).split("\n")[:-1]
    if len(lines) != count:
        raise ReportError(f"{len(lines)} events instead of {count}", where=str(path), fix=_FIX)
    return tuple(Event(**json.loads(line)) for line in lines)


def _accounts(path: Path) -> tuple[Account, ...]:
    """Return what became of what was accepted; a run that did not ask has no such file."""
    if not path.exists():
        return ()
    return tuple(_account(json.loads(line)) for line in _text(path).split("\n")[:-1])


def _account(said: dict[str, Any]) -> Account:
    listed: dict[str, Any] = {name: tuple(said[name]) for name in ("samples", "effects", "amiss") if name in said}
    return Account(**{**said, **listed, "fate": Fate(said["fate"])})


def _circuits(path: Path) -> tuple[CircuitReport, ...]:
    """Return what replicas told of their circuit breakers; a run that did not ask has no such file."""
    if not path.exists():
        return ()
    return tuple(_circuit_report(json.loads(line)) for line in _text(path).split("\n")[:-1])


def _circuit_report(said: dict[str, Any]) -> CircuitReport:
    circuits = tuple(
        Circuit(**{**circuit, "stays": tuple(_stay(stay) for stay in circuit["stays"])}) for circuit in said["circuits"]
    )
    return CircuitReport(**{**said, "circuits": circuits})


def _stay(said: dict[str, Any]) -> Stay:
    return Stay(**{**said, "state": CircuitState(said["state"])})


def _parsed(path: Path) -> dict[str, Any]:
    return _part(path, lambda: dict(json.loads(_text(path))))


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise _unread(path, error) from error


def _part(path: Path, read: Callable[[], T]) -> T:
    """Return what `read` returns; any complaint about the shape of the data becomes an error that names the file."""
    try:
        return read()
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise _unread(path, error) from error


def _unread(path: Path, error: Exception) -> ReportError:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else f"{type(error).__name__}: {error}"
    first = reason.splitlines()[0] if reason else "it is empty"
    return ReportError(f"cannot read what was seen: {first}", where=str(path), fix=_FIX)
