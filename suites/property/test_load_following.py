"""What is read in pieces is what is read at once: at any cut, also in the middle of a record, and from several generators."""

from __future__ import annotations

import tempfile
from itertools import pairwise
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from harness.history.echoes import ECHO
from harness.history.operations import OPERATION
from harness.history.samples import RECORD
from harness.load.merging import merged_samples
from harness.load.recording import (
    NAMES_FILE,
    OPERATIONS_FILE,
    RAW_FILE,
    RawFollower,
    RawReader,
    RawWriter,
    read_raw,
    take_raw,
)

MOMENTS = st.lists(st.integers(0, 30).map(lambda tenths: tenths / 10), max_size=60)
"""Of the intended start, in the order of answers: any, and many alike."""


def written(folder, moments_s):
    """Write requests down as a generator does, with a name each of a few; return the file's bytes."""
    folder.mkdir(exist_ok=True)
    writer = RawWriter(folder)
    for number, moment_s in enumerate(moments_s):
        record = np.zeros(1, dtype=RECORD)
        record["intended_s"], record["key"] = moment_s, number
        record["operation"] = writer.operations.index(f"name-{number % 3}")
        writer.append(record.tobytes())
        operation = np.zeros(1, dtype=OPERATION)
        operation["sample"], operation["key"] = number, number
        writer.remember(operation.tobytes())
        writer.accept(number, number + 1, f"t{number}")
        writer.echo(np.array([(number, number % 5 - 1, writer.told.index(f"{number % 5}"))], dtype=ECHO).tobytes())
    writer.flush()
    return (folder / RAW_FILE).read_bytes()


def pieces(data, cuts):
    """Cut bytes at any places."""
    edges = sorted({0, len(data), *(round(cut * len(data)) for cut in cuts)})
    return [data[began:ended] for began, ended in pairwise(edges)]


def at_once(folder):
    """Read the file as anybody would who has all of it: this is what a look must come to."""
    data = (folder / RAW_FILE).read_bytes()
    records = np.frombuffer(data[: len(data) // RECORD.itemsize * RECORD.itemsize], dtype=RECORD)
    return records[np.argsort(records["intended_s"], kind="stable")]


CUTS = st.lists(st.floats(0, 1), max_size=8)


@given(MOMENTS, CUTS, st.floats(-1, 4))
def test_every_look_sees_what_is_there(moments_s, cuts, from_s):
    """Each look after each piece, from any moment on; half a record waits for its other half."""
    with tempfile.TemporaryDirectory() as place:
        data = written(Path(place) / "all", moments_s)
        folder = Path(place) / "growing"
        folder.mkdir()
        (folder / NAMES_FILE).write_bytes((Path(place) / "all" / NAMES_FILE).read_bytes())
        follower = RawFollower(folder)
        for piece in [b"", *pieces(data, cuts)]:
            with (folder / RAW_FILE).open("ab") as file:
                file.write(piece)

            seen = follower.so_far(from_s)

            expected = at_once(folder)
            assert (seen.records == expected[expected["intended_s"] >= from_s]).all()
            assert len(seen) == (expected["intended_s"] >= from_s).sum()
        assert (follower.so_far().records == read_raw(folder).records).all()


@given(MOMENTS, CUTS)
def test_what_is_remembered_keeps_its_sample(moments_s, cuts):
    """However the samples were read; what is remembered of one that was cut off is left out."""
    with tempfile.TemporaryDirectory() as place:
        data = written(Path(place), moments_s)
        (Path(place) / RAW_FILE).write_bytes(b"")
        follower = RawFollower(Path(place))
        for piece in pieces(data[: len(data) - RECORD.itemsize // 2], cuts):
            with (Path(place) / RAW_FILE).open("ab") as file:
                file.write(piece)
            follower.so_far()

        samples, operations, echoes = follower.so_far(), follower.operations().records, follower.echoes()

        assert (Path(place) / OPERATIONS_FILE).is_file() == bool(moments_s)
        assert operations["sample"].tolist() == list(range(max(0, len(moments_s) - 1)))
        assert (samples.records["key"][operations["sample"]] == operations["key"]).all()
        accepted = follower.accepted()
        assert [each.sample for each in accepted] == operations["sample"].tolist()
        assert [each.id for each in accepted] == [f"t{key}" for key in operations["key"].tolist()]
        assert [each.number for each in accepted] == [key + 1 for key in operations["key"].tolist()]
        assert echoes.records["sample"].tolist() == operations["sample"].tolist()
        numbers = samples.records["key"][echoes.records["sample"]].tolist()
        assert echoes.records["place"].tolist() == [number % 5 - 1 for number in numbers]
        assert [echoes.told[index] for index in echoes.records["told"]] == [f"{number % 5}" for number in numbers]


@given(st.lists(st.tuples(MOMENTS, CUTS), min_size=1, max_size=4))
def test_pieces_of_several_generators_come_home_whole(generators):
    """Each relayed by its worker piece by piece, and put together here: as if each had been read at once."""
    with tempfile.TemporaryDirectory() as place:
        homes, aways = [], []
        for index, (moments_s, cuts) in enumerate(generators):
            away, home = Path(place) / f"away-{index}", Path(place) / f"home-{index}"
            home.mkdir()
            data = written(away, moments_s)
            (away / RAW_FILE).write_bytes(b"")
            reader = RawReader(away)
            take_raw(home, {"raw": "", "names": {"operations": [""], "sources": [""], "replicas": [""]}})
            follower = RawFollower(home)
            for piece in pieces(data, cuts):
                with (away / RAW_FILE).open("ab") as file:
                    file.write(piece)
                take_raw(home, reader.piece())
                follower.so_far()
            assert reader.piece() is None
            homes.append(follower.so_far())
            aways.append(read_raw(away))

        assert (merged_samples(homes).records == merged_samples(aways).records).all()
        assert [home.operations for home in homes] == [away.operations for away in aways]
