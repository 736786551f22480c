"""An experiment, written as a scenario's file: what it says, and beside it, as comments, what had to be assumed.

An experiment looks at the steady state before its method, and again after it; what it leaves to its rollbacks is there
when it looks. So the second look is a promise about the part of the phase `fault` in which the method is over and the
fault still there, and about the phase `recovery` only where the method has undone its faults by itself.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.evidence.redaction import line
from harness.spec.document import read_yaml
from harness.spec.parser import validated
from harness.spec.scenario import Scenario
from harness.verdict.bounds import requests_needed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.exchange.experiment import Experiment
    from harness.exchange.hypothesis import Probe
    from harness.exchange.method import Window

ARRIVALS_PER_S = 200.0
"""Requests a second where nothing else is chosen: those of this project's own scenarios."""

SHARE = 0.01
"""Of requests, that may break a promise: an experiment asks once, and of many requests some are lost by chance."""

PROVING = requests_needed(SHARE, 0.95)
"""Requests that prove it at 95 %, if none of them is bad: 299."""

MARGIN = 3
"""How many times as many requests as would do if none were bad."""

WARMUP_S, BASELINE_S, HOLD_S, RECOVERY_S, WITHIN_S, SEEN_S = 4, 24, 10, 8, 5, 3
"""Lengths of phases where an experiment says none, as in this project's own scenarios; `SEEN_S` is what a recovery
needs beyond the time it is allowed (`objective.SETTLED_AFTER_S`), and a second more."""

BASELINE_REQUESTS = 4800
"""In a baseline: enough for 0.1 % of errors (2 995 at 95 %), which readiness.toml may promise of all scenarios."""

STORY_MAX = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class _Lengths:
    """How long phases are, in seconds.

    Attributes:
        baseline_s: Before the method.
        fault_s: From the beginning of the method until its faults are undone; 0 if there are none.
        recovery_s: After that.
        within_s: How long the service may take to recover.
        settle_s: How long the method waits after its faults, before it looks; None if it looks while they are there.
        holds_s: When the method is over, after the phase `fault` began.
    """

    baseline_s: float
    fault_s: float
    recovery_s: float
    within_s: float
    settle_s: float | None
    holds_s: float


def scenario_text(experiment: Experiment, *, arrivals_per_s: float = ARRIVALS_PER_S) -> str:
    """Return an experiment as the file of a scenario.

    Args:
        experiment: What it does and promises.
        arrivals_per_s: The load, which an experiment does not know.

    Raises:
        SpecError: If it is no scenario, such as one that lasts for days.
    """
    lengths = _lengths(experiment, arrivals_per_s)
    lines = [*_opening(experiment), *_load(experiment, arrivals_per_s)]
    lines += [*_phases(experiment, lengths), *_objectives(experiment, lengths)]
    text = "\n".join(lines) + "\n"
    validated(Scenario, read_yaml(text, name=f"the scenario of {experiment.name}"))
    return text


def name_of(title: str) -> str:
    """Return a title as a scenario's name."""
    words = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:63].strip("-")
    return words or "imported-experiment"


def _lengths(experiment: Experiment, arrivals_per_s: float) -> _Lengths:
    method, asked = experiment.method, max(1, len(experiment.probes))
    judged_s = math.ceil(MARGIN * PROVING * asked / arrivals_per_s)
    baseline_s = max(BASELINE_S, judged_s, math.ceil(BASELINE_REQUESTS / arrivals_per_s))
    ends_s = [window.ends_s for window in method.windows if window.ends_s is not None]
    if len(ends_s) < len(method.windows):
        fault_s, settle_s = method.lasts_s + max(HOLD_S, judged_s), None
    else:
        fault_s = max(ends_s, default=0.0)
        settle_s = round(method.lasts_s - fault_s, 3)
    within_s = settle_s or WITHIN_S
    recovery_s = max(RECOVERY_S, within_s + SEEN_S, 0 if settle_s is None else settle_s + judged_s)
    return _Lengths(
        baseline_s=baseline_s,
        fault_s=fault_s,
        recovery_s=recovery_s,
        within_s=within_s,
        settle_s=settle_s,
        holds_s=method.lasts_s,
    )


def _opening(experiment: Experiment) -> Iterator[str]:
    title, story = line(experiment.title), line(experiment.description)[:STORY_MAX]
    yield f"# Imported from {line(Path(experiment.name).name)}, a Chaos Toolkit experiment: {title}"
    yield "# An action that fails ends a run here, and every fault is undone whatever happens; Chaos Toolkit goes on,"
    yield "# and undoes what its rollbacks name."
    for passed_over in experiment.passed_over:
        yield f"# Passed over: {line(passed_over)}"
    yield f"scenario: {_text(name_of(experiment.title))}"
    yield f"story: {_text(story if len(story) >= 10 else f'Imported experiment: {story or title}')}"


def _load(experiment: Experiment, arrivals_per_s: float) -> Iterator[str]:
    yield "load: # assumed: an experiment has no load; write what the service must bear"
    yield f"  arrivals_per_s: {arrivals_per_s:g}"
    if experiment.probes:
        yield "  requests: # what the probes ask; leave this out, and the load asks what readiness.toml declares"
        for probe in experiment.probes:
            yield f"    - {_flow(probe.request.model_dump(exclude_defaults=True))} # {_from(probe)}"


def _from(probe: Probe) -> str:
    return line(f"from {probe.place}: {probe.said}")


def _phases(experiment: Experiment, lengths: _Lengths) -> Iterator[str]:
    yield "phases:"
    yield f"  - {{name: warmup, lasts: {WARMUP_S}s}} # assumed; not judged"
    yield f"  - {{name: baseline, lasts: {_seconds(lengths.baseline_s)}}} # assumed; the hypothesis before the method"
    if not lengths.fault_s:
        return
    why = "the method, and an assumed time in which its end is looked at" if lengths.settle_s is None else "the method"
    yield f"  - name: fault # {why}"
    yield f"    lasts: {_seconds(lengths.fault_s)}"
    yield "    faults:"
    for window in experiment.method.windows:
        yield f"      - {_flow(_fault(window, lengths.fault_s))} # from {line(window.place)}: {window.said}"
    yield f"  - {{name: recovery, lasts: {_seconds(lengths.recovery_s)}}} # assumed"


def _fault(window: Window, phase_s: float) -> dict[str, Any]:
    said = window.fault.model_dump(mode="json", exclude_defaults=True)
    when = {"at": _seconds(window.starts_s)} if window.starts_s else {}
    if window.ends_s is not None and window.ends_s < phase_s:
        when["until"] = _seconds(window.ends_s)
    return {**said, **when}


def _objectives(experiment: Experiment, lengths: _Lengths) -> Iterator[str]:
    promised = list(_promised(experiment, lengths))
    if not (promised or lengths.fault_s):
        return
    yield "objectives: # shares are assumed: a probe asks once, and one answer is no evidence"
    for probe, during, after_s in promised:
        where = {"during": during} | ({"after": _seconds(after_s)} if after_s else {})
        of = {"of": probe.request.name, "max": f"{SHARE:.0%}"}
        yield f"  - {_flow({'sli': 'errors', **of, **where})} # {_from(probe)}"
        if probe.within_s is not None:
            slow = {"sli": "slow", "over": _seconds(probe.within_s), **of, **where}
            yield f"  - {_flow(slow)} # its timeout"
    if lengths.fault_s:
        why = "the time that the method waits before it looks" if lengths.settle_s else "assumed"
        yield f"  - {{sli: recovery, within: {_seconds(lengths.within_s)}}} # {why}"


def _promised(experiment: Experiment, lengths: _Lengths) -> Iterator[tuple[Probe, str, float]]:
    """Yield each probe with a phase that it is looked at in, and how long after the phase's beginning."""
    looks = {
        "default": (_BEFORE, _AFTER),
        "before-method-only": (_BEFORE,),
        "after-method-only": (_AFTER,),
        "during-method-only": (_DURING,),
        "continuously": (_BEFORE, _DURING, _AFTER),
        "skip": (),
    }[experiment.strategy]
    phases = {look: _phase(look, lengths) for look in looks}
    for probe in experiment.probes:
        for during, after_s in dict.fromkeys(phases.values()):
            yield probe, during, after_s


_BEFORE, _DURING, _AFTER = "before", "during", "after"


def _phase(look: str, lengths: _Lengths) -> tuple[str, float]:
    if look == _BEFORE or not lengths.fault_s:
        return "baseline", 0.0
    if look == _DURING:
        return "fault", 0.0
    return ("fault", lengths.holds_s) if lengths.settle_s is None else ("recovery", lengths.settle_s)


def _seconds(seconds: float) -> str:
    """Return a duration to the millisecond, in seconds where they are whole."""
    milliseconds = round(seconds * 1000)
    return f"{milliseconds // 1000}s" if milliseconds % 1000 == 0 else f"{milliseconds}ms"


def _flow(data: dict[str, Any]) -> str:
    return "{" + ", ".join(f"{key}: {_value(value)}" for key, value in data.items()) + "}"


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_text(key)}: {_value(each)}" for key, each in value.items()) + "}"
    return _text(value)


def _text(value: str) -> str:
    """Return a text as YAML: as it is if it is a plain word, quoted as JSON is otherwise."""
    is_word = re.fullmatch(r"[a-z][a-z0-9.-]*|[0-9.]+(?:%|[a-zA-Z]+(?:/s)?)", value)
    is_sign = value.lower() in {"y", "n", "yes", "no", "on", "off", "true", "false", "null"}
    return value if is_word and not is_sign else json.dumps(value, ensure_ascii=False)
