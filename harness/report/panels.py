"""The views of a picture: latency, errors, cache hits, where answers came from, and what the machine gave.

Each draws on axes it is given and imports nothing of matplotlib; `plots` arranges them.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, assert_never

import numpy as np

from harness.evidence.redaction import line
from harness.history.samples import SampleOutcome
from harness.measure.series import NO_LEVEL
from harness.report.formatting import thousands
from harness.spec.objective import Errors, Hits, Late, Processor, Recovery, Slow
from harness.spec.quantity import duration_text, percent_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from matplotlib.axes import Axes

    from harness.history.history import History
    from harness.history.machine import MachineSecond
    from harness.measure.series import Second
    from harness.report.palette import Palette
    from harness.spec.objective import Objective
    from harness.spec.scenario import Scenario

MOST_DOTS = 20_000
"""Requests of one kind drawn as dots; of more, every n-th: beyond this the cloud only gets slower to draw."""

_DASHES = (0, (5, 3))


@dataclass(frozen=True, slots=True)
class Limits:
    """The promises of a scenario, by the view that draws their limits.

    Attributes:
        latency: On the latency of every request.
        errors: On the errors of each second.
        hits: On the hits of each second.
    """

    latency: list[Slow | Late] = field(default_factory=list)
    errors: list[Errors] = field(default_factory=list)
    hits: list[Hits] = field(default_factory=list)


def limits_of(objectives: Iterable[Objective]) -> Limits:
    """Sort promises by where they are drawn."""
    limits = Limits()
    for objective in objectives:
        match objective:
            case Slow() | Late():
                limits.latency.append(objective)
            case Errors():
                limits.errors.append(objective)
            case Hits():
                limits.hits.append(objective)
            case Processor():
                pass  # no line: what is drawn of the processors is not a share of an answer
            case Recovery():
                pass  # no line: `plots` draws how long it took, which its claim knows
            case _:
                assert_never(objective)
    return limits


def latency(view: Axes, scenario: Scenario, history: History, seconds: Sequence[Second], palette: Palette) -> None:
    """Draw every request, p50 and p95 of each second, and the limits, on a logarithmic scale."""
    _title(view, "latency from intended start", palette)
    view.set_yscale("log")
    view.set_ylim(*_latency_range_s(history, scenario))
    view.yaxis.set_major_formatter(lambda value, _: duration_text(value))
    view.minorticks_off()
    _dots(view, history, palette)
    middle_s = [second.at_s + 0.5 for second in seconds]
    # One name hangs below the end of its line and one stands above it: they never meet, since p50 ≤ p95.
    for name, values, color, width, up_points in (
        ("p50", [second.p50_s for second in seconds], palette.median, 1.2, -5),
        ("p95", [second.p95_s for second in seconds], palette.tail, 2.0, 5),
    ):
        drawn = _numbers(values)
        view.plot(middle_s, drawn, color=color, linewidth=width, solid_joinstyle="round", zorder=5)
        if np.isfinite(drawn).any():
            _beside(view, drawn[np.isfinite(drawn)][-1], name, color, weight="bold", up_points=up_points)
    _latency_limits(view, scenario, palette)


def _dots(view: Axes, history: History, palette: Palette) -> None:
    samples = history.samples
    kinds = (
        (SampleOutcome.OK, "answered", palette.dots, ".", 8, 0.5),
        (SampleOutcome.FAILED, "failed", palette.bad, "x", 16, 0.9),
        (SampleOutcome.UNFINISHED, "never finished", palette.waiting, "^", 18, 0.9),
        (SampleOutcome.NOT_SENT, "never sent", palette.waiting, "_", 18, 0.9),
        (SampleOutcome.CANCELLED, "given up", palette.faint, "|", 14, 0.7),
        (SampleOutcome.PREVENTED, "prevented", palette.faint, "_", 18, 0.7),
    )
    for outcome, label, color, marker, size, opacity in kinds:
        chosen = samples.records[samples.has_outcome(outcome)]
        if not len(chosen):
            continue
        few = chosen[:: -(-len(chosen) // MOST_DOTS)]
        view.scatter(
            few["intended_s"], np.maximum(few["latency_s"], 1e-4), s=size, c=color, marker=marker, alpha=opacity,
            linewidths=0.0 if marker == "." else 0.9, label=f"{label} ({thousands(len(chosen))})", rasterized=True,
            zorder=3,
        )  # fmt: skip
    if not len(samples):
        view.text(
            0.5, 0.5, "no request was seen", transform=view.transAxes, ha="center", color=palette.faint, fontsize=11
        )
    else:
        view.legend(
            loc="upper left", ncols=len(kinds), frameon=False, fontsize=8, labelcolor=palette.faint, handletextpad=0.2,
            borderpad=0.0, columnspacing=1.4, markerscale=1.6,
        )  # fmt: skip


def _latency_limits(view: Axes, scenario: Scenario, palette: Palette) -> None:
    for over_s in _limits_s(scenario):
        view.axhline(over_s, color=palette.limit, linewidth=1.0, linestyle=_DASHES, zorder=6)
        _beside(view, over_s, f"limit {duration_text(over_s)}", palette.limit)


def _limits_s(scenario: Scenario) -> list[float]:
    return sorted({promise.over for promise in limits_of(scenario.objectives).latency})


def _latency_range_s(history: History, scenario: Scenario) -> tuple[float, float]:
    seen_s = history.samples.records["latency_s"]
    low_s = float(np.quantile(seen_s, 0.001)) if len(seen_s) else 1e-3
    high_s = float(seen_s.max()) if len(seen_s) else 1.0
    # Room above for the legend, and never less than to 400 ms, so that a calm run looks calm. No limit may cross it,
    # nor the names of a fault and its recovery, which stand in the uppermost fifth.
    return max(low_s * 0.7, 2e-4), max(max(high_s, 0.4) * 3.2, *(over_s * 6 for over_s in _limits_s(scenario)), 0.0)


def errors(view: Axes, scenario: Scenario, history: History, seconds: Sequence[Second], palette: Palette) -> None:
    """Draw the share of requests of each second that did not end well."""
    _title(view, "errors", palette)
    shares = _numbers([second.errors_ratio for second in seconds])
    _steps(view, np.zeros(len(seconds)), np.nan_to_num(shares), palette.bad)
    limits = limits_of(scenario.objectives).errors
    highest = max([0.02, *(promise.limit * 1.6 for promise in limits), *np.nan_to_num(shares) * 1.12])
    view.set_ylim(0, min(highest, 1.05))
    view.locator_params(axis="y", nbins=3)
    _percent_axis(view)
    _limits(view, limits, history, palette)


def hits(view: Axes, scenario: Scenario, history: History, seconds: Sequence[Second], palette: Palette) -> None:
    """Draw the share that a cache answered, of what it may answer, second by second."""
    _title(view, "cache hits", palette)
    shares = _numbers([second.hits_ratio for second in seconds])
    view.set_ylim(0, 1.05)
    view.plot([second.at_s + 0.5 for second in seconds], shares, color=palette.hits, linewidth=1.6)
    view.set_yticks([0, 0.5, 1])
    _percent_axis(view)
    _limits(view, limits_of(scenario.objectives).hits, history, palette)


def _percent_axis(view: Axes) -> None:
    view.yaxis.set_major_formatter(lambda value, _: f"{value * 100:g} %")


def _limits(view: Axes, promises: Sequence[Errors] | Sequence[Hits], history: History, palette: Palette) -> None:
    """Draw each promise as far as it reaches, with its name on the side where a kept promise draws nothing."""
    for promise in promises:
        mark = history.phase(promise.during, after_s=promise.after)
        if mark is None:
            continue
        is_floor = promise.is_floor
        view.hlines(promise.limit, mark.began_s, mark.ended_s, color=palette.limit, linewidth=1.0, linestyle=_DASHES)
        view.annotate(
            f"{'>' if is_floor else '<'} {percent_text(promise.limit)}", (mark.began_s, promise.limit),
            xytext=(3, -2.5 if is_floor else 2.5), textcoords="offset points", color=palette.limit, fontsize=7.5,
            va="top" if is_floor else "bottom",
            bbox={"facecolor": palette.ground, "alpha": 0.8, "linewidth": 0, "boxstyle": "round,pad=0.15"},
        )  # fmt: skip


def sources(view: Axes, scenario: Scenario, seconds: Sequence[Second], palette: Palette) -> None:
    """Draw how many of the requests of each second that a cache may answer came from where, one on the other."""
    _title(view, "by cache level,\nper second", palette)
    names = _levels(seconds, scenario.load.told.hits)
    colors = {**dict(zip(names, itertools.cycle(palette.sources), strict=False)), NO_LEVEL: palette.none}
    bottom = np.zeros(len(seconds))
    for name in names:
        top = bottom + [second.sources.get(name, 0) for second in seconds]
        _steps(view, bottom, top, colors[name], label=line(name))
        bottom = top
    view.locator_params(axis="y", nbins=3, integer=True)
    view.set_ylim(0, max(float(bottom.max(initial=0.0)) * 1.08, 1.0))
    if names:
        view.legend(
            loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=8, reverse=True,
            labelcolor=palette.ink, handlelength=0.9, handleheight=0.9, handletextpad=0.5, borderaxespad=0.4,
        )  # fmt: skip


def machine(view: Axes, seconds: Sequence[MachineSecond], palette: Palette) -> None:
    """Draw how many processors the run had and how many strangers, one on the other, and how long the service waited.

    Args:
        view: Where.
        seconds: What the machine gave, at least one.
        palette: In which colours.
    """
    _title(view, "processors", palette)
    ends_s = [second.at_s for second in seconds]
    own, strangers = (np.array(values) for values in zip(*map(_shared, seconds), strict=True))
    edges = [seconds[0].began_s, *ends_s]
    for bottom, top, color, label in (
        (np.zeros(len(own)), own, palette.median, "this run"),
        (own, own + strangers, palette.waiting, "strangers"),
    ):
        low, high = (np.append(edge, edge[-1:]) for edge in (bottom, top))
        view.fill_between(edges, low, high, step="post", color=color, linewidth=0, alpha=0.8, label=label)
    waited = [np.nan if second.waited_s is None else second.waited_s / second.lasted_s for second in seconds]
    if np.isfinite(waited).any():
        middle_s = [second.at_s - second.lasted_s / 2 for second in seconds]
        view.plot(middle_s, waited, color=palette.tail, linewidth=1.4, label="the service\nwaited")
    view.set_ylim(0, max(float(seconds[0].cores), float(np.nanmax([0.0, *waited]))) * 1.05)
    view.locator_params(axis="y", nbins=3, integer=True)
    view.legend(
        loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=8, reverse=True,
        labelcolor=palette.ink, handlelength=0.9, handleheight=0.9, handletextpad=0.5, borderaxespad=0.4,
    )  # fmt: skip


def _shared(second: MachineSecond) -> tuple[float, float]:
    """Return how many processors the run had, and strangers together with other machines."""
    return second.own_s / second.lasted_s, (second.strangers_s + second.stolen_s) / second.lasted_s


def _levels(seconds: Sequence[Second], hits: Sequence[str]) -> list[str]:
    """Return the levels that answered, hits first as they are declared, whatever order they were first seen in."""
    seen = {name for second in seconds for name, count in second.sources.items() if count}
    others = sorted(seen - {*hits, NO_LEVEL})
    return [*(name for name in hits if name in seen), *others, *({NO_LEVEL} & seen)]


def _title(view: Axes, text: str, palette: Palette) -> None:
    view.set_ylabel(text, color=palette.ink, fontsize=8.5, labelpad=6)


def _beside(view: Axes, y: float, text: str, color: str, *, weight: str = "normal", up_points: float = 0) -> None:
    """Write `text` at the right of the axes, at the height of what it names."""
    view.annotate(
        text, (1.0, y), xycoords=("axes fraction", "data"), xytext=(6, up_points), textcoords="offset points",
        color=color, fontsize=8, va="center", weight=weight, annotation_clip=False,
    )  # fmt: skip


def _steps(view: Axes, bottom: np.ndarray, top: np.ndarray, color: str, label: str | None = None) -> None:
    """Fill from `bottom` to `top`, level through each second; one shape, for bars side by side would show seams."""
    low, high = (np.append(edge, edge[-1:]) for edge in (bottom, top))
    view.fill_between(np.arange(len(top) + 1), low, high, step="post", color=color, linewidth=0, label=label)


def _numbers(values: Sequence[float | None]) -> np.ndarray:
    return np.array([np.nan if value is None else value for value in values], dtype=float)
