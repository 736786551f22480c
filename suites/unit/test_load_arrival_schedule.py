"""The schedule of a load at its edges, and the raw file that its generator leaves."""

from __future__ import annotations

import numpy as np
import pytest

from harness.errors import LoadError
from harness.history.samples import RECORD
from harness.load.arrivals import schedule_of, zipf_keys
from harness.load.recording import Names, RawWriter, read_raw
from harness.spec.load import Keys, Load


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

    intended_s, keys, is_write = (list(column) for column in zip(*schedule, strict=True))

    assert intended_s == schedule.intended_s.tolist()
    assert keys == schedule.keys.tolist()
    assert is_write == schedule.is_write.tolist()


def test_an_empty_course_hands_out_nothing():
    """No division, no first element."""
    assert list(schedule_of(Load(arrivals_per_s=0.1), lasts_s=1e-6, seed=1)) == []


class Last:
    """The largest number that a generator can draw."""

    def random(self, count):
        return np.full(count, np.nextafter(1.0, 0.0))


@pytest.mark.parametrize("count", [1, 3, 2000, 1_000_000])
@pytest.mark.parametrize("skew", [0.0, 0.7, 1.0])
def test_the_last_key_is_a_key(count, skew):
    """However the shares are rounded, nobody asks for an item that does not exist."""
    assert zipf_keys(Keys(count=count, zipf=skew), 1, Last()).tolist() == [count - 1]


def test_a_name_beyond_a_byte_is_nameless():
    """A service that invents a source per answer cannot shift the names of others."""
    names = Names()

    indexes = [names.index(f"source {number}") for number in range(300)]

    assert indexes == [*range(1, 256), *[0] * 45]
    assert len([*names]) == 256


def test_half_a_record_is_left_out(tmp_path):
    """What a killed generator wrote is read up to its last whole record, in order of intended start."""
    records = np.zeros(3, dtype=RECORD)
    records["intended_s"] = [2.0, 1.0, 3.0]
    writer = RawWriter(tmp_path)
    writer.append(records.tobytes()[:-7])
    writer.flush()
    writer._file.close()

    assert read_raw(tmp_path).records["intended_s"].tolist() == [1.0, 2.0]


def test_a_folder_without_samples_is_an_error(tmp_path):
    """Nothing to read is not the same as nothing having happened."""
    with pytest.raises(LoadError, match="left no samples"):
        read_raw(tmp_path)
