"""A run's samples are read by the tools that people have, and each finds the same: every request, exactly."""

from __future__ import annotations

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pytest

from harness.evidence import NO_SECRETS, EvidenceFolder
from harness.evidence.store import write_history
from harness.history.samples import RECORD, SELDOM, SampleOutcome
from harness.layout import SAMPLES_FILE
from harness.measure.series import percentile_s
from harness.verdict.judge import judge
from harness.verdict.outcome import Outcome
from suites.support.made import Stretch, history_of, scenario_of

SCENARIO = scenario_of(faults=False, objectives=[{"sli": "slow", "over": "100ms", "max": "5%"}])
SLOW_S = 0.1
SEED = 20261123


@pytest.fixture(scope="module")
def history():
    """Thirty seconds with lognormal latencies around the objective, some failures, and requests that were never sent."""
    made = history_of(SCENARIO, [Stretch(lasts_s=30, per_s=250, failed=20, unfinished=10)])
    records = made.samples.records
    records["latency_s"] = np.random.default_rng(SEED).lognormal(np.log(0.03), 0.7, len(records))
    records["sent_s"][-5:] = np.nan
    records["outcome"][-5:] = SampleOutcome.NOT_SENT
    return made


@pytest.fixture(scope="module")
def file(history, tmp_path_factory):
    """Where they are on disk."""
    folder = tmp_path_factory.mktemp("run")
    write_history(history, EvidenceFolder(folder, NO_SECRETS))
    return folder / SAMPLES_FILE


COUNTS = """
SELECT count(*),
       count(*) FILTER (outcome != 'ok' OR latency_s > $slow_s),
       count(*) FILTER (outcome = 'not_sent' AND isnan(sent_s))
FROM read_parquet($file)
"""


def _ask(database, query, **values):
    return database.execute(query, values).fetchall()


def with_duckdb(file):
    """Read it where it lies, with SQL."""
    with duckdb.connect() as database:
        columns = [row[0] for row in _ask(database, "DESCRIBE SELECT * FROM read_parquet($file)", file=str(file))]
        ((total, slow, unsent),) = _ask(database, COUNTS, file=str(file), slow_s=SLOW_S)
        latencies_s = [row[0] for row in _ask(database, "SELECT latency_s FROM read_parquet($file)", file=str(file))]
    return columns, total, slow, unsent, sorted(latencies_s)


def with_pandas(file):
    frame = pd.read_parquet(file)
    is_slow = (frame["outcome"] != "ok") | (frame["latency_s"] > SLOW_S)
    is_unsent = (frame["outcome"] == "not_sent") & frame["sent_s"].isna()
    return list(frame), len(frame), is_slow.sum(), is_unsent.sum(), sorted(frame["latency_s"])


def with_polars(file):
    frame = pl.read_parquet(file)
    is_slow = (pl.col("outcome").cast(pl.String) != "ok") | (pl.col("latency_s") > SLOW_S)
    is_unsent = (pl.col("outcome").cast(pl.String) == "not_sent") & pl.col("sent_s").is_nan()
    found = [frame.filter(condition).height for condition in (is_slow, is_unsent)]
    return frame.columns, frame.height, *found, sorted(frame["latency_s"])


@pytest.mark.parametrize("read", [with_duckdb, with_pandas, with_polars])
def test_each_reader_finds_every_request_exactly(history, file, read):
    """Names and outcomes as words; the slow are counted, not estimated: as many as the verdict says; p95 to the bit."""
    columns, total, slow, unsent, latencies_s = read(file)

    claim = judge(SCENARIO, history, confidence=0.95).claims[0]
    assert columns == [name for name in RECORD.names if name not in SELDOM]
    assert (total, slow, unsent) == (claim.total, claim.events, 5)
    assert 0.01 < slow / total < 0.2
    assert latencies_s == sorted(history.samples.records["latency_s"].tolist())
    p95_s = percentile_s(history.samples.records["latency_s"], 0.95)
    assert p95_s == latencies_s[int(np.ceil(0.95 * total)) - 1]


def test_the_counted_share_decides_where_a_rounded_percentile_would_not(history):
    """p95 = 104.9 ms reads 100 ms in a client that rounds to two digits; 6 of 100 are slower than 100 ms, and it fails."""
    records = history.samples.records.copy()
    records["outcome"] = SampleOutcome.OK
    records["latency_s"] = 0.05
    anywhere = np.random.default_rng(SEED).permutation(len(records))[: round(0.062 * len(records))]
    records["latency_s"][anywhere] = 0.1049
    samples = type(history.samples)(records, *list_of_names(history.samples))
    told = history_of(SCENARIO, [Stretch(lasts_s=30, per_s=250)], samples=samples)

    claim = judge(SCENARIO, told, confidence=0.95).claims[0]

    assert round(percentile_s(records["latency_s"], 0.95), 1) == SLOW_S
    assert claim.events == round(0.062 * len(records))
    assert claim.outcome is Outcome.FAIL
    assert claim.lower > claim.limit


def list_of_names(samples):
    return samples.operations, samples.sources, samples.replicas
