"""OpenSLO v1 documents, read as promises of ours: every ratio and threshold that samples of requests can decide.

The indicator's `metricSource` has the type `Readiness`, and its `spec` says which requests are meant; see
docs/openslo.md. What cannot be honoured is refused by name: a field that is silently passed over is a promise that is
silently not judged.

Source: https://github.com/OpenSLO/OpenSLO, v1 specification.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from harness.errors import SpecError
from harness.spec.document import Document, read_yaml_documents
from harness.spec.model import Model
from harness.spec.objective import Errors, Hits, Late, RatioObjective, Slow
from harness.spec.parser import text_of, validated
from harness.spec.phase import Slug
from harness.spec.quantity import Duration

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from harness.spec.document import KeyPath

UNSUPPORTED = {
    "alertPolicies": "a run raises no alerts; keep them where the service is watched",
    "calendar": "a run is no calendar month; write a rolling window",
    "compositeWeight": "promises are judged each for itself; write one SLO for each",
    "metricSourceRef": "requests come from a run's folder, not from a data source; write the type Readiness",
    "raw": "counters of requests are needed, not their quotient; write good (or bad) and total",
    "rawType": "counters of requests are needed, not their quotient; write good (or bad) and total",
    "timeSliceTarget": "requests are counted, not slices of time; use the budgeting method Occurrences",
    "timeSliceWindow": "requests are counted, not slices of time; use the budgeting method Occurrences",
}
"""Fields of OpenSLO that an offline judgement cannot honour, and what to do instead."""

PASSED_OVER = ("Service",)
"""Kinds that promise nothing."""

_VERSION = "openslo/v1"
_OLDER = (
    "rewrite it: spec.timeWindows became spec.timeWindow with a duration, and objectives[].ratioMetrics became "
    "spec.indicator.spec.ratioMetric (docs/openslo.md shows one)"
)
_OTHERS = {
    "prometheus/": ("Sloth", "its counters are queries of Prometheus"),
    "sloth.slok.dev/": ("Sloth", "its counters are queries of Prometheus"),
    "pyrra.dev/": ("Pyrra", "its counters are queries of Prometheus"),
    "n9/": ("Nobl9", "its counters are queries of a data source"),
    "sre.google.com/": ("slo-generator", "its counters are queries of a data source"),
    "slo-generator/": ("slo-generator", "its counters are queries of a data source"),
    "monitoring.coreos.com/": ("the Prometheus operator", "it holds rules, and no promises"),
}
"""Formats of other tools, by how their version begins."""

_BY_KEY = {"slos": "prometheus/", "groups": "monitoring.coreos.com/"}
"""The same where a document says no apiVersion: Sloth's own files, and those of Prometheus."""


class _Part(Model):
    """A part of an OpenSLO document, whose keys are written in camel case."""

    model_config = ConfigDict(alias_generator=to_camel)


class Selection(_Part):
    """Which requests are meant.

    Attributes:
        scenario: Only of this scenario; of every one that has the phase if None.
        phase: Of this phase.
        operation: `read`, `write`, or the name that a locustfile gave; all of them if None.
        within: Answered with success within this; with the outcome `answered`, answered within this, be it with a no.
        over: Not answered with success within this.
        outcome: `ok`: answered with success; `failed`: anything else; `answered`: whatever the answer says.
        sources: Answered by one of these cache levels.
    """

    scenario: Slug | None = None
    phase: str = "baseline"
    operation: str | None = None
    within: Duration | None = Field(default=None, gt=0, le=60)
    over: Duration | None = Field(default=None, gt=0, le=60)
    outcome: Literal["ok", "failed", "answered"] | None = None
    sources: tuple[str, ...] = ()

    @property
    def population(self) -> Selection:
        """Return it without what tells good requests from bad ones."""
        return Selection(scenario=self.scenario, phase=self.phase, operation=self.operation)


class _Source(_Part):
    type: Literal["Readiness"]
    spec: Selection = Selection()


class _Metric(_Part):
    metric_source: _Source


class _Ratio(_Part):
    counter: Literal[True] = True
    good: _Metric | None = None
    bad: _Metric | None = None
    total: _Metric

    @model_validator(mode="after")
    def _good_or_bad(self) -> Self:
        if (self.good is None) == (self.bad is None):
            raise ValueError("a ratio has either `good` or `bad` requests; write one of the two")
        return self

    @model_validator(mode="after")
    def _parts_of_one_whole(self) -> Self:
        total, part = self.total.metric_source.spec, self.part.metric_source.spec
        if part == total:
            raise ValueError("`total` and its part are the same requests, so the ratio is always 1; tell them apart")
        if total != total.population:
            raise ValueError("`total` leaves requests out by how they ended; select those in `good` or `bad`")
        if part.population != total:
            raise ValueError("the two are not of the same requests; let scenario, phase and operation be equal in both")
        return self

    @property
    def part(self) -> _Metric:
        """Return whichever of the two there is."""
        return self.good or self.bad or self.total


class _IndicatorSpec(_Part):
    description: str = ""
    ratio_metric: _Ratio | None = None
    threshold_metric: _Metric | None = None

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (self.ratio_metric is None) == (self.threshold_metric is None):
            raise ValueError("an indicator has a ratioMetric or a thresholdMetric; write one of the two")
        return self


class _Metadata(_Part):
    name: Slug
    display_name: str = ""
    labels: dict[str, str | tuple[str, ...]] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)


class Indicator(_Part):
    """An SLI: inside an SLO, or a document of its own."""

    metadata: _Metadata
    spec: _IndicatorSpec


class _Goal(_Part):
    display_name: str = ""
    op: Literal["lt", "lte"] | None = None
    value: Annotated[float, Field(gt=0, le=60)] | None = None
    target: Annotated[float, Field(gt=0, lt=1)] | None = None
    target_percent: Annotated[float, Field(gt=0, lt=100)] | None = None

    @model_validator(mode="after")
    def _one_target(self) -> Self:
        if (self.target is None) == (self.target_percent is None):
            raise ValueError("an objective has a target or a targetPercent; write one of the two")
        return self

    @property
    def bad_share(self) -> float:
        """Return the share of requests that may be bad."""
        target = self.target if self.target is not None else (self.target_percent or 0.0) / 100
        return round(1 - target, 12)  # 1 - 0.95 is a hair more than 0.05


class _Window(_Part):
    duration: str
    is_rolling: Literal[True]


class _SloSpec(_Part):
    description: str = ""
    service: str
    indicator: Indicator | None = None
    indicator_ref: str | None = None
    time_window: Annotated[tuple[_Window, ...], Field(max_length=1)] = ()
    budgeting_method: Literal["Occurrences"]
    objectives: Annotated[tuple[_Goal, ...], Field(min_length=1, max_length=20)]

    @model_validator(mode="after")
    def _one_indicator(self) -> Self:
        if (self.indicator is None) == (self.indicator_ref is None):
            raise ValueError("an SLO has an indicator or an indicatorRef; write one of the two")
        return self


class _Slo(_Part):
    api_version: Literal["openslo/v1"]
    kind: Literal["SLO"]
    metadata: _Metadata
    spec: _SloSpec


class _Sli(Indicator):
    api_version: Literal["openslo/v1"]
    kind: Literal["SLI"]


@dataclass(frozen=True, slots=True)
class Promise:
    """One objective of an SLO, as one of ours.

    Attributes:
        slo: The SLO's name.
        scenario: Only this one is asked; every one that has the phase if None.
        objective: What it promises.
    """

    slo: str
    scenario: str | None
    objective: RatioObjective


def read_openslo(path: Path) -> tuple[Promise, ...]:
    """Read a file of OpenSLO documents.

    Raises:
        SpecError: If one cannot be read, understood or honoured; it names file, line and key path.
    """
    documents = read_yaml_documents(text_of(path), name=str(path))
    slos: list[tuple[Document, _Slo]] = []
    indicators: dict[str, Indicator] = {}
    for document in documents:
        _check_format(document)
    for document in documents:
        _check_supported(document)
        match document.data.get("kind") if isinstance(document.data, dict) else None:
            case "SLO":
                slos.append((document, validated(_Slo, document)))
            case "SLI":
                indicator = validated(_Sli, document)
                if indicator.metadata.name in indicators:
                    what = f"two SLIs are called {indicator.metadata.name!r}"
                    raise SpecError(what, where=document.place(("metadata", "name")), fix="give each a name of its own")
                indicators[indicator.metadata.name] = indicator
            case kind if kind not in PASSED_OVER:
                fix = "leave it out; SLO, SLI and Service are read"
                raise SpecError(f"kind {kind!r} cannot be judged", where=document.place(("kind",)), fix=fix)
    if not slos:
        raise SpecError("there is no SLO in this file", where=str(path), fix="add a document of kind SLO")
    return tuple(promise for document, slo in slos for promise in _promises(document, slo, indicators))


def _check_format(document: Document) -> None:
    """See that a document is OpenSLO v1 at all: of anything else each key would be a mistake of its own."""
    data = document.data if isinstance(document.data, dict) else {}
    key = "apiVersion" if "apiVersion" in data else "version"
    named = str(data.get(key) or next((begins for word, begins in _BY_KEY.items() if word in data), ""))
    if named != _VERSION:
        what, fix = _no_format_of_ours(named)
        raise SpecError(what, where=document.place((key,) if key in data else ()), fix=fix)


def _no_format_of_ours(named: str) -> tuple[str, str]:
    """Say whose format a version is, and how to fix it."""
    for begins, (tool, why) in _OTHERS.items():
        if named.startswith(begins):
            return (
                f"this is a file of {tool}, not OpenSLO",
                f"{why}; say the same promise as {_VERSION} (docs/openslo.md)",
            )
    vendor, _, version = named.partition("/")
    if vendor in {"openslo", "openslo.com"}:
        return f"OpenSLO {version} is not read, v1 is: apiVersion: {_VERSION}", _OLDER
    what = f"unknown apiVersion {named!r}" if named else "this is no OpenSLO document: it says no apiVersion"
    return what, f"write apiVersion: {_VERSION}"


def _check_supported(document: Document) -> None:
    for path in document.lines:
        if path and path[-1] in UNSUPPORTED and not _is_own_name(path):
            fix = UNSUPPORTED[str(path[-1])]
            raise SpecError(f"`{path[-1]}` cannot be honoured", where=document.place(path), fix=fix)


def _is_own_name(path: KeyPath) -> bool:
    """Tell whether the key was chosen by the author: labels and annotations may be called anything."""
    return "labels" in path[:-1] or "annotations" in path[:-1]


def _promises(document: Document, slo: _Slo, indicators: dict[str, Indicator]) -> Iterator[Promise]:
    indicator = slo.spec.indicator or indicators.get(slo.spec.indicator_ref or "")
    if indicator is None:
        known = ", ".join(indicators) or "none"
        where = document.place(("spec", "indicatorRef"))
        what = f"there is no SLI {slo.spec.indicator_ref!r} in this file"
        raise SpecError(what, where=where, fix=f"add a document of kind SLI; known: {known}")
    for index, goal in enumerate(slo.spec.objectives):
        where = document.place(("spec", "objectives", index))
        selection = _selection(indicator)
        yield Promise(slo.metadata.name, selection.scenario, _objective(indicator, goal, where))


def _selection(indicator: Indicator) -> Selection:
    metric = indicator.spec.threshold_metric or (indicator.spec.ratio_metric and indicator.spec.ratio_metric.part)
    return metric.metric_source.spec if metric else Selection()


def _objective(indicator: Indicator, goal: _Goal, where: str) -> RatioObjective:
    selected, ratio = _selection(indicator), indicator.spec.ratio_metric
    told: dict[str, Any] = {"during": selected.phase, "of": selected.operation}
    if ratio is None:
        if goal.op is None or goal.value is None or selected != selected.population:
            fix = "write op: lte and value: 0.1 (seconds) on the objective, and no within, over, outcome or sources"
            raise SpecError("a threshold of latency needs op and value, and all requests", where=where, fix=fix)
        return Slow.model_construct(sli="slow", over=goal.value, max=goal.bad_share, **told)
    if goal.op is not None or goal.value is not None:
        fix = "leave op and value out; `good` says what is good"
        raise SpecError("a ratio has no threshold", where=where, fix=fix)
    return _of_ratio(selected, goal.bad_share, is_good=ratio.good is not None, told=told, where=where)


def _of_ratio(
    selected: Selection, bad_share: float, *, is_good: bool, told: dict[str, Any], where: str
) -> RatioObjective:
    """Return the promise that a selection of good (or bad) requests stands for: one criterion, one promise."""
    match (is_good, selected.within, selected.over, selected.outcome, selected.sources):
        case (True, float(within), None, None | "ok", ()):
            return Slow.model_construct(sli="slow", over=within, max=bad_share, **told)
        case (True, float(within), None, "answered", ()):
            return Late.model_construct(sli="late", over=within, max=bad_share, **told)
        case (False, None, float(over), None, ()):
            return Slow.model_construct(sli="slow", over=over, max=bad_share, **told)
        case (True, None, None, "ok", ()) | (False, None, None, "failed", ()):
            return Errors.model_construct(sli="errors", max=bad_share, **told)
        case (True, None, None, None | "ok", sources) if sources:
            return Hits.model_construct(sli="hits", min=round(1 - bad_share, 12), levels=sources, **told)
    good = "good: {within: 100ms}, {within: 100ms, outcome: answered}, {outcome: ok} or {sources: [LEVEL]}"
    fix = f"{good}; bad: {{over: 100ms}} or {{outcome: failed}}"
    raise SpecError("this selection of requests cannot be judged", where=where, fix=fix)
