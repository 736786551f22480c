"""What was written, read and echoed is known as it was: a server that keeps its word is found to, one that lies is not."""

from __future__ import annotations

import numpy as np
import pytest

from harness.clock import SystemClock
from harness.history.echoes import OWN
from harness.history.history import History
from harness.history.operations import ABSENT
from harness.history.samples import SampleOutcome
from harness.load.engine import LoadPlan, apply_load
from harness.measure.invariants.no_acknowledged_write_lost import no_acknowledged_write_lost
from harness.measure.invariants.responses_belong_to_requests import responses_belong_to_requests
from harness.spec.invariant import NoAcknowledgedWriteLost
from harness.spec.load import Load
from suites.support.kvserver import kv_server

CLOCK = SystemClock()
NO_LOSS = NoAcknowledgedWriteLost(kind="no-acknowledged-write-lost")
PUT = {
    "name": "put",
    "method": "PUT",
    "path": "/kv/{key}",
    "body": '{"a": [0, {"b/c": "{unique}"}]}',
    "writes": "/a/1/b~1c",
}
ITEM = {
    "name": "put",
    "method": "PUT",
    "path": "/kv/{key}",
    "body": '{"id": {key}, "by": "{unique}"}',
    "echoes": {"/id": "{key}"},
}
LOOK = {"name": "get", "path": "/kv/{key}", "echoes": {"/id": "{key}"}, "weight": 2}
SUBMIT = {
    "name": "put",
    "method": "PUT",
    "path": "/kv/{key}",
    "body": "{unique}",
    "settles": {
        "id": "/task",
        "path": "/tasks/{id}",
        "state": "/state",
        "done": ["done"],
        "effects": ["/kv/{key}"],
        "count": "/version",
    },
}
GET = {"name": "get", "path": "/kv/{key}", "reads": "/a/1/b~1c", "weight": 2}


@pytest.fixture(params=["fast", "lean"])
def client(request):
    """Each kind of user."""
    return request.param


def pressed(folder, client, mode, *requests, **asked):
    load = {"arrivals_per_s": 400, "client": client, "keys": {"count": 5}, "headers": {"version": "x-version"}}
    with kv_server(mode) as url:
        plan = LoadPlan(
            base_url=url,
            load=Load.model_validate({**load, "requests": requests}),
            lasts_s=1.5,
            seed=7,
            calibration_s=0.0,
            **({"remembers": True} | asked),
        )
        with apply_load(plan, folder=folder, clock=CLOCK) as pressure:
            result = pressure.finish()
    assert len(result.samples) > 400
    return result


def finding(result):
    return no_acknowledged_write_lost(
        NO_LOSS,
        History(
            run_id="r", began_at="", seed=7, backend="embedded", samples=result.samples, operations=result.operations
        ),
    )


def test_what_an_honest_server_said_is_no_counterexample(tmp_path, client):
    """And hundreds of reads could have been one."""
    found = finding(pressed(tmp_path, client, "honest", PUT, GET))

    assert found.first is None
    assert found.checked > 200


def test_a_forgotten_write_is_found(tmp_path, client):
    """It was acknowledged, and a later read has the value from before."""
    found = finding(pressed(tmp_path, client, "forgets", PUT, GET))

    assert found.broken > 0
    assert "although" in found.first.sentence


def test_an_operation_is_its_sample(tmp_path, client):
    """Key, version, times and outcome; each sample that was sent has one, and the value read is one that was written."""
    result = pressed(tmp_path, client, "refuses", PUT, GET)

    operations, samples = result.operations.records, result.samples
    rows = samples.records[operations["sample"]]
    assert (np.diff(operations["sample"]) > 0).all()
    assert len(operations) == len(samples) - samples.has_outcome(SampleOutcome.NOT_SENT).sum()
    for column in ("key", "version", "sent_s"):
        assert (operations[column] == rows[column]).all()
    assert np.allclose(operations["answered_s"], rows["intended_s"] + rows["latency_s"])
    is_write = samples.is_named("operation", samples.operations, ["put"])[operations["sample"]]
    assert (operations["is_write"] == is_write).all()
    assert set(rows["status"][~operations["is_acknowledged"]]) == {503}
    assert set(rows["status"][operations["is_acknowledged"]]) == {200, 404}
    written = operations["digest"][is_write]
    assert len(set(written)) == len(written) > 100
    assert set(operations["digest"][~is_write]) <= {*written, ABSENT}
    assert (operations["digest"][rows["status"] == 404] == ABSENT).all()


def test_an_answer_without_a_value_tells_nothing(tmp_path, client):
    """It is no acknowledgement, of whatever."""
    operations = pressed(tmp_path, client, "nonsense", PUT, GET).operations.records

    reads = operations[~operations["is_write"]]
    assert len(reads) > 100
    assert not reads["is_acknowledged"][reads["version"] > 0].any()


def test_nothing_is_remembered_unless_it_is_asked_for(tmp_path, client):
    """It takes time of the generator."""
    result = pressed(tmp_path, client, "honest", PUT, GET, remembers=False)

    assert len(result.operations) == 0


def test_a_whole_body_is_a_value_too(tmp_path, client):
    """As it stands, whatever it is."""
    whole = [{**PUT, "body": "{key}: {unique}", "writes": ""}, {**GET, "reads": ""}]

    found = finding(pressed(tmp_path, client, "honest", *whole))

    assert found.first is None
    assert found.checked > 200


def whose(result, load):
    return responses_belong_to_requests(
        Load.model_validate({"arrivals_per_s": 400, "requests": load}),
        History(run_id="r", began_at="", seed=7, backend="embedded", samples=result.samples, echoes=result.echoes),
    )


def test_an_honest_servers_answers_are_each_their_requests_own(tmp_path, client):
    """Every read that found something; a write's answer says nothing here, and so it proves nothing."""
    result = pressed(tmp_path, client, "honest", ITEM, LOOK, remembers=False, compares_echoes=True)

    found, samples, echoes = whose(result, [ITEM, LOOK]), result.samples, result.echoes.records
    reads = samples.is_named("operation", samples.operations, ["get"]) & samples.is_ok()
    assert (found.first, found.broken) == (None, 0)
    assert found.checked > 200
    assert echoes["sample"].tolist() == np.flatnonzero(reads).tolist()
    assert len(result.operations) == 0


def test_an_answer_that_is_anothers_is_found(tmp_path, client):
    """Every twentieth read gets the one before it: of five keys, most of these are another's."""
    result = pressed(tmp_path, client, "swaps", ITEM, LOOK, remembers=False, compares_echoes=True)

    found, echoes = whose(result, [ITEM, LOOK]), result.echoes
    swapped = echoes.records[echoes.records["place"] != OWN]
    keys = result.samples.records["key"][swapped["sample"]].tolist()
    assert 5 < found.broken == len(swapped) <= len(result.samples) // 20
    assert all(int(echoes.told[told]) != key for told, key in zip(swapped["told"], keys, strict=True))
    shown, asked = found.first.samples
    said = next(row for row in swapped if row["sample"] == shown)
    assert str(result.samples.records["key"][asked]) == echoes.told[said["told"]]


def test_no_answer_is_looked_at_unless_it_is_asked_for(tmp_path, client):
    """It takes time of the generator."""
    assert len(pressed(tmp_path, client, "swaps", ITEM, LOOK, remembers=False).echoes) == 0


def test_what_an_answer_accepts_is_known_by_its_name(tmp_path, client):
    """Each that was granted, with the number of its request; a refusal names nothing, whatever it says."""
    result = pressed(tmp_path, client, "refuses", SUBMIT, remembers=False, keeps_accepted=True)

    records = result.samples.records
    granted = np.flatnonzero(result.samples.is_ok()).tolist()
    assert [each.sample for each in result.accepted] == granted
    assert [each.id for each in result.accepted] == [f"t-{version}" for version in records["version"][granted]]
    assert [each.number for each in result.accepted] == granted
    assert 0 < (records["status"] == 503).sum() == len(records) - len(granted)


def test_what_is_accepted_is_not_kept_unless_it_is_asked_for(tmp_path, client):
    """It takes time of the generator."""
    assert pressed(tmp_path, client, "honest", SUBMIT, remembers=False).accepted == ()
