"""Failures as records: each class of error has a word of its own, and what is shown or sorted later asks for no other."""

from __future__ import annotations

import errno
import inspect
import json
import re
import signal

import pytest

from harness import errors
from harness.errors import (
    FaultError,
    FaultProxyError,
    HarnessError,
    Interrupted,
    LoadError,
    MissingError,
    MultipleSpecError,
    NotReadyError,
    SpecError,
    StackError,
    SubjectError,
)
from harness.evidence import NO_SECRETS, EvidenceFolder, Experiment
from harness.evidence.store import read_history, write_history
from harness.history.failures import UNKNOWN, Failure, failure_of
from harness.plugin import BrokenExperiment, SloViolated, raise_unless_pass
from harness.report.allure.context import CATEGORIES
from harness.verdict.judge import judge
from harness.verdict.outcome import Outcome
from suites.support import histories

CLASSES = [each for _, each in inspect.getmembers(errors, inspect.isclass) if issubclass(each, HarnessError)]


def test_each_class_of_error_has_a_word_of_its_own():
    """Lower case, without spaces; several mistakes are of the same kind as one."""
    words = {each: each.kind for each in CLASSES if each is not MultipleSpecError}

    assert MultipleSpecError.kind == SpecError.kind
    assert len(set(words.values())) == len(words) >= 10
    assert all(re.fullmatch(r"[a-z]+(?:-[a-z]+)*", word) for word in words.values())


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        pytest.param(LoadError("it died", where="load.log", fix="see it"), Failure(kind="load", what="it died", where="load.log", fix="see it"), id="ours"),
        pytest.param(Interrupted(signal.SIGTERM), Failure(kind="interrupted", what="the experiment was cut short: SIGTERM"), id="a signal"),
        pytest.param(KeyboardInterrupt(), Failure(kind="interrupted", what="the experiment was cut short: interrupted"), id="Ctrl-C"),
    ],
)  # fmt: skip
def test_a_failure_keeps_what_the_error_said(error, expected):
    """Its kind, its parts, and the text that people read."""
    failure = failure_of(error)

    assert failure == expected
    assert not isinstance(error, HarnessError) or str(failure) == str(error)


def test_a_refusal_of_the_system_is_a_kind_too():
    """With the file that it was about, and how to make room."""
    failure = failure_of(OSError(errno.ENOSPC, "No space left on device", "/run/x"))

    assert (failure.kind, failure.where) == ("refused", "/run/x")
    assert "make room" in failure.fix


@pytest.mark.parametrize(
    ("failure", "category"),
    [
        (NotReadyError, "Component not ready"),
        (MissingError, "Component not ready"),
        (FaultError, "Fault not under control"),
        (FaultProxyError, "Fault not under control"),
        (StackError, "Harness error"),
        (LoadError, "Harness error"),
        (None, "Harness error"),
    ],
)
def test_allure_sorts_by_kind_whatever_the_words_are(failure, category):
    """The words are those of another category, so that none is read from prose; allure-pytest puts the class before."""
    scenario, history = histories.broke_off()
    words = "the fault `x` died while starting: INCONCLUSIVE: [fault] x"
    failures = () if failure is None else (failure_of(failure(words, where="there is no redis", fix="[not-ready]")),)
    history = histories.replace(history, failures=failures)
    verdict = judge(scenario, history, confidence=0.95)
    with pytest.raises(BrokenExperiment) as raised:
        raise_unless_pass(Experiment(scenario, history, verdict, None))

    told = f"harness.plugin.BrokenExperiment: {raised.value}"
    fitting = [each for each in CATEGORIES if "broken" in each["matchedStatuses"]]
    assert next(each["name"] for each in fitting if re.match(each.get("messageRegex", ""), told)) == category


def test_a_service_that_does_not_start_fails_by_itself():
    """No load was sent, and none is missed; Allure shows it apart from promises that were broken."""
    scenario, history = histories.broke_off()
    died = SubjectError("replica-1 died while starting: exit 3", where="127.0.0.1:1", fix="| no such table")
    history = histories.replace(history, failures=(failure_of(died),))

    verdict = judge(scenario, history, confidence=0.95)

    assert verdict.outcome is Outcome.FAIL
    assert verdict.sentence.startswith("fail: replica-1 died while starting: exit 3")
    assert [each.name for each in verdict.obligations] == ["ran to the end"]
    with pytest.raises(SloViolated) as raised:
        raise_unless_pass(Experiment(scenario, history, verdict, None))
    told = f"harness.plugin.SloViolated: {raised.value}"
    fitting = [each for each in CATEGORIES if "failed" in each["matchedStatuses"]]
    assert (
        next(each["name"] for each in fitting if re.match(each.get("messageRegex", ""), told))
        == "Service does not start"
    )


def test_a_history_of_schema_1_keeps_its_text(tmp_path):
    """It held the text alone; judged again, it says the same."""
    scenario, history = histories.broke_off()
    write_history(history, EvidenceFolder(tmp_path, NO_SECRETS))
    path = tmp_path / "history.json"
    data = json.loads(path.read_text())
    del data["schema"], data["failures"], data["profile"]
    text = str(history.failures[0])
    path.write_text(json.dumps({**data, "troubles": [text]}))

    again = read_history(tmp_path)

    assert again.failures == (Failure(kind=UNKNOWN, what=text),)
    assert judge(scenario, again, confidence=0.95) == judge(scenario, history, confidence=0.95)


@pytest.mark.parametrize("schema", [0, 3, "2", None])
def test_an_unknown_schema_is_refused_by_name(tmp_path, schema):
    """A history from a later harness is not guessed at."""
    write_history(histories.broke_off()[1], EvidenceFolder(tmp_path, NO_SECRETS))
    path = tmp_path / "history.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "schema": schema}))

    with pytest.raises(errors.ReportError, match="unknown schema") as raised:
        read_history(tmp_path)
    assert raised.value.where == f"{path}: schema"
