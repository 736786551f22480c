"""What the generator's machine is short of is told from what the service does, and is never one of its failures."""

from __future__ import annotations

import errno
import json
import os
import resource
import socket
from contextlib import ExitStack

import numpy as np
import pytest

from harness.errors import LoadError
from harness.evidence import NO_SECRETS, EvidenceFolder
from harness.evidence.store import read_history, write_history
from harness.history.samples import RECORD, SampleOutcome
from harness.layout import HISTORY_FILE
from harness.load.addresses import is_spoken, reachable
from harness.load.recording import RawWriter, read_raw
from harness.load.shortage import short_of
from harness.measure.failing import what_failed
from harness.verdict.judge import judge
from harness.verdict.outcome import Outcome
from suites.support.made import Stretch, history_of, samples_of, scenario_of, tally_of

SCENARIO = scenario_of(faults=False, objectives=[{"sli": "errors", "max": "1%"}])


def wrapped(cause, *, explicitly):
    """Return an error that a client raises of what it met."""
    try:
        try:
            raise cause
        except OSError as error:
            if explicitly:
                raise ValueError("no connection") from error
            raise RuntimeError("no connection")  # noqa: B904 - as many clients do
    except (ValueError, RuntimeError) as error:
        return error


@pytest.mark.parametrize(
    ("number", "short"),
    [
        (errno.EMFILE, "descriptors"),
        (errno.ENFILE, "descriptors"),
        (errno.EADDRNOTAVAIL, "ports"),
        (errno.EADDRINUSE, "ports"),
        (errno.ENOBUFS, "memory"),
        (errno.ENOMEM, "memory"),
        (errno.ECONNREFUSED, None),
        (errno.ECONNRESET, None),
        (errno.ETIMEDOUT, None),
    ],
)
def test_a_refusal_of_the_own_machine_is_known_however_a_client_wraps_it(number, short):
    """By its number, which the service cannot choose."""
    error = OSError(number, os.strerror(number))

    assert short_of(error) == short
    assert short_of(wrapped(error, explicitly=True)) == short_of(wrapped(error, explicitly=False)) == short


def test_the_first_refusal_that_has_a_number_decides():
    """What an earlier request met is not told of one that the service refused."""
    refused = ConnectionRefusedError(errno.ECONNREFUSED, "refused")
    refused.__context__ = OSError(errno.EMFILE, "too many open files")
    numberless = ConnectionError("of a client's own")
    numberless.__context__ = OSError(errno.EMFILE, "too many open files")

    assert short_of(refused) is None
    assert short_of(numberless) == "descriptors"
    assert short_of(None) is short_of(ValueError("nothing of the system's")) is None


def test_errors_that_explain_one_another_end():
    """A circle of causes, as careless code makes them."""
    one, other = ValueError("one"), ValueError("other")
    one.__cause__, other.__cause__ = other, one

    assert short_of(one) is None


@pytest.fixture
def no_descriptor():
    """Hold every descriptor that this process may have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with ExitStack() as held:
        held.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        lowest = os.open(os.devnull, os.O_RDONLY)
        held.callback(os.close, lowest)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(lowest + 1, 64), hard))
        yield lambda: _hold_all(held)


def _hold_all(held):
    while True:
        try:
            held.callback(os.close, os.open(os.devnull, os.O_RDONLY))
        except OSError:
            return


def test_a_name_that_is_unknown_for_want_of_descriptors_is_no_unknown_name(no_descriptor):
    """The files that know of names cannot be opened then, and the error does not say so."""
    unknown = socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    assert short_of(unknown) is None
    no_descriptor()
    assert short_of(unknown) == "descriptors"


def test_samples_are_written_down_where_connections_hold_every_descriptor(tmp_path, no_descriptor):
    """Second after second: one descriptor is kept back for it."""
    writer = RawWriter(tmp_path)
    record = np.zeros(1, dtype=RECORD).tobytes()
    no_descriptor()
    for _ in range(3):
        writer.append(record)
        writer.flush()
    with pytest.raises(OSError, match="Too many open files"):
        os.open(os.devnull, os.O_RDONLY)
    resource.setrlimit(resource.RLIMIT_NOFILE, resource.getrlimit(resource.RLIMIT_NOFILE)[1:] * 2)

    assert len(read_raw(tmp_path)) == 3


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.ENOSPC, "make room on that disk"),
        (errno.EMFILE, "open files"),
        (errno.EROFS, "see what stands in the way"),
    ],
)
def test_samples_that_cannot_be_written_are_told_with_advice_that_fits(tmp_path, monkeypatch, number, said):
    """A disk is only to blame where it is full."""
    writer = RawWriter(tmp_path)

    def refused(*_args, **_kwargs):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("pathlib.Path.write_text", refused)

    with pytest.raises(LoadError) as told:
        writer.flush()

    assert said in told.value.fix
    assert ("disk" in told.value.fix) is (number == errno.ENOSPC)


def prevented_history(share):
    """Return a run of a service without a fault, of which this share was never sent for want of ports."""
    samples = samples_of([Stretch(lasts_s=30, per_s=250)])
    chosen = np.arange(len(samples)) < share * len(samples)
    samples.records["outcome"][chosen], samples.records["status"][chosen] = SampleOutcome.PREVENTED, 0
    samples.records["sent_s"][chosen] = np.nan
    return history_of(SCENARIO, (), samples=samples, tally=tally_of(samples, short_of="ports" if share else None))


@pytest.mark.parametrize("share", [0.0002, 0.5, 1.0])
def test_what_the_generators_machine_prevents_is_no_failure_of_the_service_and_no_pass(share):
    """However much it was: the promise is about what the service met, and the load proves nothing."""
    history = prevented_history(share)

    verdict = judge(SCENARIO, history, confidence=0.95)

    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert [claim.events for claim in verdict.claims] == [0]
    said = {each.name: each for each in verdict.obligations}["generator without errors"]
    assert said.outcome is Outcome.INCONCLUSIVE
    assert said.sentence.startswith(f"{history.tally.prevented} requests were never sent: on the generator's machine")
    assert "no port is left" in said.sentence
    assert "ip_local_port_range" in said.sentence
    assert what_failed(SCENARIO, history) == ()


def test_what_was_prevented_is_in_every_count(tmp_path):
    """The account of the load is whole, a folder keeps it, and a load that knows no shortage says nothing of it."""
    history = prevented_history(0.5)
    (tmp_path / "short").mkdir()
    write_history(history, EvidenceFolder(tmp_path / "short", NO_SECRETS))
    write_history(prevented_history(0.0), EvidenceFolder(tmp_path / "well", NO_SECRETS))
    again = read_history(tmp_path / "short")
    well = json.loads((tmp_path / "well" / HISTORY_FILE).read_text())["tally"]

    assert again.tally == history.tally
    assert again.tally.is_whole
    assert again.tally.prevented == 3750 == again.samples.has_outcome(SampleOutcome.PREVENTED).sum()
    assert {"prevented", "short_of"}.isdisjoint(well)
    delivered = {each.name: each.sentence for each in judge(SCENARIO, history, confidence=0.95).obligations}
    assert delivered["load delivered"].endswith(" + 3750 prevented by the generator's machine")


V4, V6 = (socket.AF_INET, 1, 6, "", ("127.0.0.1", 80)), (socket.AF_INET6, 1, 6, "", ("::1", 80, 0, 0))


def test_an_address_of_a_family_that_the_machine_does_not_speak_is_left_out_where_there_is_another():
    """Where it speaks both, or has no choice, all stay, and nothing is asked."""
    asked = []

    def speaks(family, host):
        asked.append(host)
        return family == socket.AF_INET

    assert reachable([V6, V6], speaks) == [V6, V6]
    assert asked == []
    assert reachable([V6, V4], speaks) == [V4]
    assert reachable([V6, V4], lambda *_: True) == [V6, V4]
    assert reachable([V6, V4], lambda *_: False) == [V6, V4]


def test_a_machine_speaks_to_itself():
    """As the kernel says, without a packet."""
    assert is_spoken(socket.AF_INET, "127.0.0.1")
