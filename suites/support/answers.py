"""Answers of a made-up service, for what is asked of samples alone: who asked whom for what, when, and what came."""

from __future__ import annotations

import numpy as np

from harness.history.echoes import ECHO, OWN, Echoes
from harness.history.history import History
from harness.history.operations import NO_VERSION, OPERATION, Operations
from harness.history.samples import NAMELESS, RECORD, SampleOutcome, Samples
from harness.spec.load import Load

REPLICAS = (NAMELESS, "replica-1", "replica-2")
SOURCES = (NAMELESS, "l1", "stale")


def load_of(*requests: dict[str, object], **told: object) -> Load:
    """Return a load that asks these requests."""
    return Load.model_validate({"arrivals_per_s": 10, "requests": requests, **told})


def answer(
    sent_s: float,
    answered_s: float,
    name: str = "read",
    *,
    version: int = NO_VERSION,
    key: int = 0,
    replica: str = "replica-1",
    source: str = "l1",
    status: int = 200,
    digest: int | None = None,
    echo: tuple[int, str] | None = (OWN, NAMELESS),
) -> dict[str, object]:
    """Return one request and its answer; `digest` is what it carried, if that is remembered.

    `echo` is which of its echoes is not its own, and what it says; None if the answer does not say whose it is.
    """
    return {**locals()}


def history_of(load: Load, answers: list[dict]) -> History:
    """Return a history of these answers; each is the sample of its place in the list."""
    names = tuple(request.name for request in load.asked)
    records = np.zeros(len(answers), dtype=RECORD)
    for row, said in zip(records, answers, strict=True):
        row["intended_s"] = row["sent_s"] = said["sent_s"]
        row["latency_s"] = said["answered_s"] - said["sent_s"]
        row["version"], row["key"], row["status"] = said["version"], said["key"], said["status"]
        row["operation"], row["source"] = names.index(said["name"]), SOURCES.index(said["source"])
        row["replica"] = REPLICAS.index(said["replica"])
        is_ok = 200 <= said["status"] < 300
        row["outcome"] = SampleOutcome.OK if is_ok else SampleOutcome.FAILED
    samples = Samples(records, names, SOURCES, REPLICAS)
    remembered = [(place, said) for place, said in enumerate(answers) if said["digest"] is not None]
    return History(
        run_id="r",
        began_at="",
        seed=1,
        backend="embedded",
        samples=samples,
        operations=_operations(load, remembered),
        echoes=_echoes(load, answers),
    )


def _echoes(load: Load, answers: list[dict]) -> Echoes:
    names = {request.name for request in load.asked if request.echoes}
    telling = [(place, *said["echo"]) for place, said in enumerate(answers) if said["echo"] and said["name"] in names]
    told = tuple(dict.fromkeys((NAMELESS, *(text for _, _, text in telling))))
    rows = [(sample, place, told.index(text)) for sample, place, text in telling]
    return Echoes(np.array(rows, dtype=ECHO), told)


def _operations(load: Load, remembered: list[tuple[int, dict]]) -> Operations:
    writes = {request.name for request in load.asked if request.writes is not None}
    records = np.zeros(len(remembered), dtype=OPERATION)
    for row, (place, said) in zip(records, remembered, strict=True):
        for column in ("sent_s", "answered_s", "digest", "version", "key"):
            row[column] = said[column]
        row["sample"], row["is_write"] = place, said["name"] in writes
        row["is_acknowledged"] = said["status"] in {200, 404}
    return Operations(records)
