"""A history that was written is read back exactly, and a damaged one is named."""

import dataclasses
import json
import subprocess
import sys
import tempfile
import typing
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import ReportError
from harness.evidence import NO_SECRETS, EvidenceFolder
from harness.evidence.folder import write_atomically
from harness.evidence.store import read_history, write_history
from harness.history.accounts import Account
from harness.history.circuits import Circuit, CircuitReport, Stay
from harness.history.echoes import ECHO, Echoes
from harness.history.failures import Failure
from harness.history.history import History
from harness.history.load import Heartbeat, LoadTally
from harness.history.machine import Held, MachineSecond
from harness.history.marks import Dose, Event, FaultMark, PhaseMark, PointMark, Startup
from harness.history.operations import OPERATION, Operations
from harness.history.samples import RECORD, SELDOM, SampleOutcome, Samples
from suites.support import histories
from suites.support.servers import PROJECT

FLOATS = st.floats(allow_nan=False, allow_infinity=False)
TEXTS = st.text(max_size=20)


def made(kind, **fields):
    """Build values of a frozen dataclass with finite floats."""
    hints = typing.get_type_hints(kind)
    series = st.none() | st.lists(FLOATS, max_size=3).map(tuple)
    floats = {
        float: FLOATS,
        float | None: st.none() | FLOATS,
        tuple[float, float]: st.tuples(FLOATS, FLOATS),
        tuple[float, ...] | None: series,
        tuple[tuple[float, float], ...] | None: st.none() | st.lists(st.tuples(FLOATS, FLOATS), max_size=3).map(tuple),
    }
    known = {name: floats[hint] if hint in floats else st.from_type(hint) for name, hint in hints.items()}
    return st.builds(kind, **known | fields)


def names():
    """Return names of which the first is nameless."""
    return st.lists(st.text(min_size=1, max_size=8), unique=True, max_size=5).map(lambda others: ("", *others))


@st.composite
def samples(draw):
    """Draw samples whose every column is in its range."""
    operations, sources, replicas = draw(names()), draw(names()), draw(names())
    rows = st.tuples(
        st.floats(), st.floats(), st.floats(),
        st.integers(-(2**63), 2**63 - 1), st.integers(-(2**31), 2**31 - 1), st.integers(0, 2**16 - 1),
        *(st.integers(0, len(known) - 1) for known in (operations, sources, replicas)),
        st.sampled_from(list(SampleOutcome)),
        st.sampled_from([0, 0, 0, 1]), st.sampled_from([0, 0, 0, 1, 255]),
    )  # fmt: skip
    return Samples(np.array(draw(st.lists(rows, max_size=8)), dtype=RECORD), operations, sources, replicas)


@st.composite
def operations(draw):
    """Draw operations whose every column is in its range."""
    numbers = st.integers(-(2**63), 2**63 - 1)
    rows = st.tuples(
        st.floats(), st.floats(), st.integers(0, 2**64 - 1), numbers, numbers, numbers, st.booleans(), st.booleans()
    )
    return Operations(np.array(draw(st.lists(rows, max_size=8)), dtype=OPERATION))


@st.composite
def echoes(draw):
    """Draw echoes whose every column is in its range."""
    told = draw(names())
    rows = st.tuples(st.integers(0, 2**63 - 1), st.integers(-128, 127), st.integers(0, len(told) - 1))
    records = np.array(draw(st.lists(rows, max_size=8)), dtype=ECHO)
    return Echoes(records, told if len(records) else ("",))


FAULTS = made(
    FaultMark,
    planned=st.none() | st.tuples(FLOATS, FLOATS),
    doses=st.lists(made(Dose), max_size=3).map(tuple),
    healed_s=st.none() | FLOATS,
)
HELD = st.lists(
    st.builds(
        Held,
        replica=st.text(),
        descriptors=st.integers(),
        resident_bytes=st.integers(),
        connections=st.dictionaries(st.text(), st.integers(), max_size=2),
    ),
    max_size=2,
).map(tuple)
NUMBERS = st.lists(st.integers(0, 9), max_size=3).map(tuple)
COUNTS = st.lists(st.none() | st.integers(0, 9), max_size=3).map(tuple)
ACCOUNTS = made(Account, samples=NUMBERS, effects=COUNTS, asked_s=st.none() | FLOATS)
STAYS = st.lists(made(Stay, admitted=st.none() | st.integers(0)), max_size=3).map(tuple)
CIRCUITS = st.lists(made(Circuit, stays=STAYS), max_size=2).map(tuple)
REPORTS = st.lists(made(CircuitReport, circuits=CIRCUITS), max_size=2).map(tuple)
HISTORIES = st.builds(
    History,
    run_id=TEXTS,
    began_at=TEXTS,
    seed=st.integers(),
    backend=TEXTS,
    defect=st.none() | TEXTS,
    profile=st.none() | TEXTS,
    samples=samples(),
    operations=operations(),
    echoes=echoes(),
    accounts=st.lists(ACCOUNTS, max_size=3).map(tuple),
    circuits=REPORTS,
    tally=st.none() | made(LoadTally),
    heartbeats=st.lists(made(Heartbeat), max_size=3).map(tuple),
    machine=st.lists(made(MachineSecond, held=HELD), max_size=3).map(tuple),
    phases=st.lists(made(PhaseMark), max_size=3).map(tuple),
    faults=st.lists(FAULTS, max_size=3).map(tuple),
    points=st.lists(made(PointMark), max_size=3).map(tuple),
    events=st.lists(made(Event, text=st.text(st.characters(), max_size=20)), max_size=3).map(tuple),
    startup=st.lists(made(Startup), max_size=3).map(tuple),
    failures=st.lists(made(Failure), max_size=3).map(tuple),
)


def without_samples(history):
    """Return what can be compared with `==`."""
    return dataclasses.replace(history, samples=None, operations=None, echoes=None)


@settings(deadline=None)
@given(HISTORIES)
def test_a_history_is_read_back_exactly(history):
    """Every field, every bit of every sample, and every name survive the disk."""
    with tempfile.TemporaryDirectory() as folder:
        write_history(history, EvidenceFolder(Path(folder), NO_SECRETS))
        again = read_history(Path(folder))

    assert without_samples(again) == without_samples(history)
    assert again.samples.records.tobytes() == history.samples.records.tobytes()
    assert again.samples.records.dtype == history.samples.records.dtype
    assert again.operations.records.tobytes() == history.operations.records.tobytes()
    assert again.operations.records.dtype == history.operations.records.dtype
    assert again.echoes.records.tobytes() == history.echoes.records.tobytes()
    assert (again.echoes.records.dtype, again.echoes.told) == (history.echoes.records.dtype, history.echoes.told)
    for plural in ("operations", "sources", "replicas"):
        assert getattr(again.samples, plural) == getattr(history.samples, plural)


@settings(deadline=None, max_examples=25)
@given(HISTORIES)
def test_a_history_is_always_the_same_bytes(history):
    """Writing twice gives equal files, so that a bundle can be hashed."""
    with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
        write_history(history, EvidenceFolder(Path(first), NO_SECRETS))
        write_history(history, EvidenceFolder(Path(second), NO_SECRETS))

        assert {file.name: file.read_bytes() for file in Path(first).iterdir()} == {
            file.name: file.read_bytes() for file in Path(second).iterdir()
        }


def test_badly_encoded_words_survive(tmp_path):
    """A file name that is no UTF-8 reaches us as a lone surrogate, and must not cost the run its evidence."""
    event = Event(at_s=1.0, kind="stack", text="cannot read caf\udce9\u2028\x85")
    history = History(run_id="caf\udce9", began_at="", seed=1, backend="embedded", events=(event,))
    write_history(history, EvidenceFolder(tmp_path, NO_SECRETS))

    again = read_history(tmp_path)

    assert (again.run_id, again.events) == (history.run_id, history.events)


def test_samples_are_readable_without_us(tmp_path):
    """Any reader of Parquet sees names and outcomes as words."""
    write_history(histories.breaker_never_opens()[1], EvidenceFolder(tmp_path, NO_SECRETS))

    table = pq.read_table(tmp_path / "samples.parquet")

    assert table.column_names == [name for name in RECORD.names if name not in SELDOM]
    assert set(table["operation"].to_pylist()) == {"read", "write"}
    assert set(table["outcome"].to_pylist()) == {"ok", "failed", "unfinished"}
    assert {"l1", "l2", "l3"} <= set(table["source"].to_pylist())


WRITES_AND_READS = """
import sys
from pathlib import Path
from harness.evidence import NO_SECRETS, EvidenceFolder
from harness.evidence.store import read_history, write_history
from suites.support import histories

write_history(histories.breaker_never_opens()[1], EvidenceFolder(Path(sys.argv[1]), NO_SECRETS))
read_history(Path(sys.argv[1]))
print(sorted({"pandas", "pyarrow"} & set(sys.modules)))
"""

COUNTS_THREADS = """
import os
before = os.listdir("/proc/self/task")
read_history(Path(sys.argv[1]))
print(len(set(os.listdir("/proc/self/task")) - set(before)))
"""


def said_by(program: str, folder: Path) -> str:
    """Run a program in an interpreter of its own, told a folder; return what it printed."""
    command = [sys.executable, "-c", program, folder]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True, timeout=60)
    return done.stdout.strip()


def test_no_thread_is_left_that_could_abort_the_exit(tmp_path):
    """Arrow does not join its threads; an interpreter that ends while one starts is aborted (apache/arrow#34314)."""
    write_history(histories.breaker_never_opens()[1], EvidenceFolder(tmp_path, NO_SECRETS))
    imports = WRITES_AND_READS.partition("write_history(histories")[0]
    assert said_by(imports + COUNTS_THREADS, tmp_path) == "0"


def test_pandas_is_left_alone(tmp_path):
    """It is installed here, and pyarrow imports it when asked to convert: half a second and 60 MB of every run."""
    assert said_by(WRITES_AND_READS, tmp_path) == "['pyarrow']"


def test_keys_are_sorted(tmp_path):
    """Two histories can be compared line by line."""
    write_history(histories.redis_latency()[1], EvidenceFolder(tmp_path, NO_SECRETS))

    def ordered(pairs):
        assert [name for name, _ in pairs] == sorted(name for name, _ in pairs)
        return dict(pairs)

    for text in [(tmp_path / "history.json").read_text(), *(tmp_path / "events.jsonl").read_text().splitlines()]:
        assert json.loads(text, object_pairs_hook=ordered)


def test_events_are_one_json_object_a_line(tmp_path):
    """A terminal can follow the timeline."""
    _, history = histories.redis_latency()
    write_history(history, EvidenceFolder(tmp_path, NO_SECRETS))

    lines = (tmp_path / "events.jsonl").read_text().splitlines()

    assert [event.text for event in history.events] == [json.loads(line)["text"] for line in lines]


@pytest.mark.parametrize("name", ["samples.parquet", "history.json", "events.jsonl"])
@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda path: path.unlink(), id="missing"),
        pytest.param(lambda path: path.write_bytes(b""), id="empty"),
        pytest.param(lambda path: path.write_bytes(path.read_bytes()[:-30]), id="truncated"),
        pytest.param(lambda path: path.write_bytes(b"\xff\xfe{}\n"), id="not ours"),
    ],
)
def test_a_damaged_file_is_named(tmp_path, name, spoil):
    """Whatever is wrong with a file, the error says which one it is."""
    write_history(histories.redis_latency()[1], EvidenceFolder(tmp_path, NO_SECRETS))
    spoil(tmp_path / name)

    with pytest.raises(ReportError) as raised:
        read_history(tmp_path)

    assert raised.value.where == str(tmp_path / name)


def test_a_sample_without_a_name_is_refused(tmp_path):
    """An index beyond the list of names would be another name when read back."""
    records = np.zeros(1, dtype=RECORD)
    records["source"] = 7
    history = History(run_id="r", began_at="", seed=1, backend="embedded", samples=Samples(records))

    with pytest.raises(ReportError, match="source is number 7 of 1"):
        write_history(history, EvidenceFolder(tmp_path, NO_SECRETS))


def test_a_file_is_whole_or_not_there(tmp_path, monkeypatch):
    """A write that fails half way leaves the old file and no litter."""
    write_atomically(tmp_path / "kept.txt", b"old")

    def full(*_args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("harness.evidence.folder.os.replace", full)
    with pytest.raises(ReportError, match=r"no space left on the disk; kept in this folder: kept\.txt"):
        write_atomically(tmp_path / "kept.txt", b"new")

    assert (tmp_path / "kept.txt").read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["kept.txt"]
