"""The schedule of a load at its edges, and the raw file that its generator leaves."""

from __future__ import annotations

from hashlib import blake2b

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from harness.errors import LoadError
from harness.history.samples import RECORD
from harness.load.arrivals import PATIENT_S, keys_of, kinds_of, schedule_of, together, zipf_keys
from harness.load.recording import Names, RawWriter, read_raw
from harness.spec.load import Load
from harness.spec.requests import Keys
from suites.support.items import SYSTEM, WRITE, item_load

LAST = np.array([np.nextafter(1.0, 0.0)])
"""The largest number that can be drawn."""

RECORDED = [
    # seed, load, run, requests; digests of intended start (ns), key and whether it writes; then the first of them
    (1, {}, 46.0, 9256, "1cfde982e4566a70", "8828c14832df2829", "d0f0059c55b83d33", [26, 75, 3, 3, 83, 2, 1699, 10]),
    (7, {}, 46.0, 9290, "f3a8a31eadf4285b", "fe8e66e536f33bbf", "0b2c22c7a8ad3b7d", [28, 0, 2, 1, 0, 11, 9, 699]),
    (
        20261129, {"arrivals_per_s": 50, "arrivals": "constant", "keys": {"count": 100, "zipf": 0}}, 60.0, 3000,
        "24ed926db97758dc", "9a2a1a96fba13213", "5e705ad0d9bfaefe", [78, 24, 44, 64, 9, 84, 77, 22],
    ),
]  # fmt: skip
"""What version 0.1 sent to the reference service, before requests were declared (numpy 2.3, 2026-11)."""


@pytest.mark.parametrize(("seed", "told", "lasts_s", "count", "times", "keys", "writes", "first"), RECORDED)
def test_the_reference_service_is_asked_what_it_always_was(seed, told, lasts_s, count, times, keys, writes, first):
    """The same seed, the same requests at the same times, so that verdicts of before and after can be compared."""
    schedule = schedule_of(item_load(**({"arrivals_per_s": 200} | told)), lasts_s=lasts_s, seed=seed)

    assert (len(schedule), schedule.keys[:8].tolist()) == (count, first)
    assert digest(np.round(schedule.intended_s * 1e9).astype("<i8")) == times
    assert digest(schedule.keys.astype("<i4")) == keys
    assert digest(schedule.requests == SYSTEM.requests.index(WRITE)) == writes


def digest(column):
    return blake2b(column.tobytes(), digest_size=8).hexdigest()


def test_each_kind_has_its_share_and_its_own_range_of_keys():
    """A draw just below a share's end is of its kind, and the end itself of the next; who has no key has none."""
    load = Load.model_validate(
        {
            "arrivals_per_s": 1,
            "keys": {"count": 10, "zipf": 0},
            "requests": [
                {"name": "one", "path": "/one/{key}", "weight": 1, "keys": {"first": 100, "count": 2, "zipf": 0}},
                {"name": "all", "path": "/all", "weight": 2},
                {"name": "put", "method": "PUT", "path": "/put", "body": "{key}", "weight": 1},
            ],
        }
    )
    kinds = kinds_of(load, np.array([0.0, np.nextafter(0.25, 0), 0.25, 0.7, 0.75, LAST[0]]))

    assert kinds.tolist() == [0, 0, 1, 1, 2, 2]
    assert keys_of(load, kinds, np.array([0.0, 0.6, 0.0, 0.9, 0.0, 0.95])).tolist() == [100, 101, -1, -1, 0, 9]


def test_parts_know_which_of_the_whole_they_are():
    """Numbers stay with their requests, through parts, cuts and what is put together again."""
    whole = metronome(10, 2.0)
    parts = [whole.part(index, 3).beginning(0.5).ending(1.5) for index in range(3)]

    assert together(parts).numbers.tolist() == list(range(5, 15))


def metronome(per_s, lasts_s):
    return schedule_of(Load(arrivals_per_s=per_s, arrivals="constant"), lasts_s=lasts_s, seed=1)


def test_a_metronome_starts_at_once_and_keeps_its_gap():
    """Four a second for a second."""
    assert metronome(4, 1.0).intended_s.tolist() == [0.0, 0.25, 0.5, 0.75]


def test_nobody_comes_at_the_end_or_after_it():
    """1.1 s * 100/s is a hair more than 110 in binary, and still 110 requests."""
    assert 1.1 * 100 > 110
    assert len(metronome(100, 1.1)) == 110


def test_a_course_is_handed_out_as_it_was_laid_out():
    """Slice by slice, nothing lost or repeated at their borders."""
    schedule = metronome(10_000, 1.0)

    columns = [list(column) for column in zip(*schedule, strict=True)]

    assert columns == [column.tolist() for column in schedule.columns]
    assert columns[3] == list(range(10_000))
    assert set(columns[4]) == {PATIENT_S}


def test_an_empty_course_hands_out_nothing():
    """No division, no first element."""
    assert list(schedule_of(Load(arrivals_per_s=0.1), lasts_s=1e-6, seed=1)) == []


@pytest.mark.parametrize("count", [1, 3, 2000, 1_000_000])
@pytest.mark.parametrize("skew", [0.0, 0.7, 1.0])
def test_the_last_key_is_a_key(count, skew):
    """However the shares are rounded, nobody asks for an item that does not exist."""
    assert zipf_keys(Keys(count=count, zipf=skew), LAST).tolist() == [count - 1]


def test_a_name_beyond_a_byte_is_nameless():
    """A service that invents a source per answer cannot shift the names of others."""
    names = Names()

    indexes = [names.index(f"source {number}") for number in range(300)]

    assert indexes == [*range(1, 256), *[0] * 45]
    assert len([*names]) == 256


@example([*range(400)], {390, 399})
@given(st.lists(st.integers(0, 400), max_size=600), st.sets(st.integers(0, 400), max_size=40))
def test_names_that_promises_speak_of_have_a_place_whenever_they_turn_up(turned_up, wanted):
    """However many others came before; no two share an index, and as many others have one as there is room for."""
    names = Names(map(str, wanted))
    indexes = {number: names.index(str(number)) for number in turned_up}

    given = [index for index in indexes.values() if index]
    assert len(given) == len(set(given)) <= 255
    assert max(given, default=0) <= 255
    assert all(indexes[number] for number in wanted & {*turned_up})
    assert [*names][1:] == [str(number) for number, index in sorted(indexes.items(), key=lambda each: each[1]) if index]
    assert len(given) >= min(len(indexes), 255 - len(wanted))
    assert indexes == {number: names.index(str(number)) for number in indexes}


def test_half_a_record_is_left_out(tmp_path):
    """What a killed generator wrote is read up to its last whole record, in order of intended start."""
    records = np.zeros(3, dtype=RECORD)
    records["intended_s"] = [2.0, 1.0, 3.0]
    writer = RawWriter(tmp_path)
    writer.append(records.tobytes()[:-7])
    writer.flush()

    assert read_raw(tmp_path).records["intended_s"].tolist() == [1.0, 2.0]


def test_a_folder_without_samples_is_an_error(tmp_path):
    """Nothing to read is not the same as nothing having happened."""
    with pytest.raises(LoadError, match="left no samples"):
        read_raw(tmp_path)
