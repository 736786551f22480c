"""The story of one experiment as a picture: what was broken when, and what users felt.

Four views share one axis, seconds from the start of the load; faults are bands through all of them. The same facts
always draw the same SVG, byte for byte. Only this file knows matplotlib, and only its object interface.
"""

from __future__ import annotations

import io
import itertools
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator, PercentFormatter

from harness.history.samples import SampleOutcome
from harness.measure.series import by_second
from harness.report.egress import line
from harness.report.words import lasted_s
from harness.spec.objective import Errors, Hits, Slow
from harness.spec.quantity import duration_text, percent_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

    from harness.history.history import History
    from harness.measure.series import Second
    from harness.report.palette import Palette
    from harness.spec.objective import Objective
    from harness.spec.scenario import Scenario

SIZE_INCHES = (10.0, 7.6)
PNG_DOTS_PER_INCH = 160
MOST_DOTS = 20_000
"""Answered requests drawn as dots; of more, every n-th, for beyond this the cloud only gets slower to draw."""

_STYLE: Any = {
    "svg.hashsalt": "readiness",
    "font.family": ["DejaVu Sans"],
    "font.size": 9.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.7,
    "text.parse_math": False,  # a `$` in a fault's name is a dollar, not the start of a formula
}


def picture(scenario: Scenario, history: History, palette: Palette) -> Figure:
    """Draw one experiment."""
    until_s = max(lasted_s(history), 1.0)
    seconds = by_second(history.samples, until_s=until_s)
    figure = Figure(figsize=SIZE_INCHES, facecolor=palette.ground)
    axes = figure.subplots(4, 1, sharex=True, height_ratios=(3.2, 1.1, 1.1, 1.5))
    figure.subplots_adjust(left=0.085, right=0.875, top=0.905, bottom=0.062, hspace=0.14)
    for view in axes:
        _plain_axes(view, until_s, palette)
    _latency(axes[0], scenario, history, seconds, palette)
    _errors(axes[1], scenario, history, seconds, palette)
    _hits(axes[2], scenario, history, seconds, palette)
    _sources(axes[3], history, seconds, palette)
    _faults(axes, history, until_s, palette)
    _phases(axes, history, palette)
    axes[3].set_xlabel("seconds since the load began", color=palette.faint)
    return figure


def svg(scenario: Scenario, history: History, palette: Palette) -> str:
    """Return the picture as SVG; the cloud of dots is an image inside it, all else are lines."""
    sink = io.StringIO()
    with mpl.rc_context(_STYLE):
        picture(scenario, history, palette).savefig(sink, format="svg", dpi=PNG_DOTS_PER_INCH, metadata={"Date": None})
    return sink.getvalue()


def png(scenario: Scenario, history: History, palette: Palette) -> bytes:
    """Return the picture as PNG."""
    sink = io.BytesIO()
    with mpl.rc_context(_STYLE):
        picture(scenario, history, palette).savefig(sink, format="png", dpi=PNG_DOTS_PER_INCH)
    return sink.getvalue()


def _plain_axes(view: Axes, until_s: float, palette: Palette) -> None:
    view.set_facecolor("none")
    view.set_xlim(0, until_s)
    view.tick_params(colors=palette.faint, labelsize=8, length=3, width=0.6)
    for spine in view.spines.values():
        spine.set_color(palette.faint)
    view.grid(visible=True, axis="y", color=palette.faint, alpha=0.18, linewidth=0.6)
    view.set_axisbelow(True)


def _title(view: Axes, text: str, palette: Palette) -> None:
    view.set_ylabel(text, color=palette.ink, fontsize=8.5, labelpad=6)


def _beside(view: Axes, y: float, text: str, color: str, *, weight: str = "normal") -> None:
    """Write `text` at the right of the axes, at the height of what it names."""
    view.annotate(
        text, (1.0, y), xycoords=("axes fraction", "data"), xytext=(6, 0), textcoords="offset points",
        color=color, fontsize=8, va="center", weight=weight, annotation_clip=False,
    )  # fmt: skip


# --- latency -----------------------------------------------------------------------------------------------------


def _latency(view: Axes, scenario: Scenario, history: History, seconds: Sequence[Second], palette: Palette) -> None:
    _title(view, "latency from intended start", palette)
    view.set_yscale("log")
    view.set_ylim(*_latency_range_s(history))
    view.yaxis.set_major_formatter(FuncFormatter(lambda value, _: duration_text(value)))
    view.yaxis.set_minor_locator(NullLocator())
    _dots(view, history, palette)
    middle_s = [second.at_s + 0.5 for second in seconds]
    for name, values, color, width in (
        ("p50", [second.p50_s for second in seconds], palette.median, 1.2),
        ("p95", [second.p95_s for second in seconds], palette.tail, 2.0),
    ):
        drawn = _numbers(values)
        view.plot(middle_s, drawn, color=color, linewidth=width, solid_joinstyle="round", zorder=5)
        if np.isfinite(drawn).any():
            _beside(view, drawn[np.isfinite(drawn)][-1], name, color, weight="bold")
    _latency_limits(view, scenario, palette)


def _dots(view: Axes, history: History, palette: Palette) -> None:
    samples = history.samples
    kinds = (
        (SampleOutcome.OK, "answered", palette.dots, ".", 5, 0.5),
        (SampleOutcome.FAILED, "failed", palette.bad, "x", 16, 0.9),
        (SampleOutcome.UNFINISHED, "never finished", palette.waiting, "^", 18, 0.9),
        (SampleOutcome.NOT_SENT, "never sent", palette.waiting, "_", 18, 0.9),
    )
    for outcome, label, color, marker, size, opacity in kinds:
        chosen = samples.records[samples.has_outcome(outcome)]
        if not len(chosen):
            continue
        few = chosen[:: max(1, len(chosen) // MOST_DOTS)] if outcome is SampleOutcome.OK else chosen
        view.scatter(
            few["intended_s"], np.maximum(few["latency_s"], 1e-4), s=size, c=color, marker=marker, alpha=opacity,
            linewidths=0.0 if marker == "." else 0.9, label=f"{label} ({len(chosen)})", rasterized=True, zorder=3,
        )  # fmt: skip
    if len(samples):
        view.legend(
            loc="upper left", ncols=4, frameon=False, fontsize=8, labelcolor=palette.faint, handletextpad=0.2,
            borderpad=0.0, columnspacing=1.4, markerscale=1.6,
        )  # fmt: skip


def _latency_limits(view: Axes, scenario: Scenario, palette: Palette) -> None:
    for over_s in sorted({promise.over for promise in scenario.objectives if isinstance(promise, Slow)}):
        view.axhline(over_s, color=palette.limit, linewidth=1.0, linestyle=(0, (5, 3)), zorder=6)
        _beside(view, over_s, f"limit {duration_text(over_s)}", palette.limit)


def _latency_range_s(history: History) -> tuple[float, float]:
    seen_s = history.samples.records["latency_s"]
    low_s = float(np.quantile(seen_s, 0.001)) if len(seen_s) else 1e-3
    high_s = float(seen_s.max()) if len(seen_s) else 1.0
    # Room above for the legend, and never less than to 400 ms, so that a calm run looks calm.
    return max(low_s * 0.7, 2e-4), max(high_s, 0.4) * 3.2


# --- shares ------------------------------------------------------------------------------------------------------


def _errors(view: Axes, scenario: Scenario, history: History, seconds: Sequence[Second], palette: Palette) -> None:
    _title(view, "errors", palette)
    shares = _numbers([second.errors_ratio for second in seconds])
    starts_s = [second.at_s for second in seconds]
    view.bar(starts_s, np.nan_to_num(shares), width=1.0, align="edge", color=palette.bad, linewidth=0)
    limits = [promise for promise in scenario.objectives if isinstance(promise, Errors)]
    highest = max([0.02, *(promise.limit * 1.6 for promise in limits), *np.nan_to_num(shares) * 1.12])
    view.set_ylim(0, min(highest, 1.05))
    view.yaxis.set_major_locator(MaxNLocator(3))
    _percent_axis(view)
    _limits(view, limits, history, palette, "<")


def _hits(view: Axes, scenario: Scenario, history: History, seconds: Sequence[Second], palette: Palette) -> None:
    _title(view, "cache hits", palette)
    shares = _numbers([second.hits_ratio for second in seconds])
    view.set_ylim(0, 1.05)
    view.plot([second.at_s + 0.5 for second in seconds], shares, color=palette.hits, linewidth=1.6)
    view.set_yticks([0, 0.5, 1])
    _percent_axis(view)
    _limits(view, [promise for promise in scenario.objectives if isinstance(promise, Hits)], history, palette, ">")


def _percent_axis(view: Axes) -> None:
    view.yaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %"))


def _limits(view: Axes, promises: Sequence[Objective], history: History, palette: Palette, relation: str) -> None:
    """Draw each promise as far as its phase goes; name it once at the right."""
    for promise in promises:
        mark = history.phase(promise.during)
        if mark is None or not isinstance(promise, Errors | Hits):
            continue
        view.hlines(
            promise.limit, mark.began_s, mark.ended_s, color=palette.limit, linewidth=1.0, linestyle=(0, (5, 3))
        )
        view.annotate(
            f"{relation} {percent_text(promise.limit)}", (mark.began_s, promise.limit), xytext=(3, 2.5),
            textcoords="offset points", color=palette.limit, fontsize=7.5, va="bottom",
        )  # fmt: skip


def _sources(view: Axes, history: History, seconds: Sequence[Second], palette: Palette) -> None:
    _title(view, "reads per second,\nby source", palette)
    names = [name for name in (*history.samples.sources, "none") if any(second.sources.get(name) for second in seconds)]
    starts_s = [second.at_s for second in seconds]
    bottom = np.zeros(len(seconds))
    others = itertools.cycle(palette.others)
    for name in names:
        heights = np.array([second.sources.get(name, 0) for second in seconds], dtype=float)
        color = palette.sources.get(name) or next(others)
        view.bar(starts_s, heights, 1.0, bottom, align="edge", color=color, linewidth=0, label=line(name))
        bottom += heights
    view.yaxis.set_major_locator(MaxNLocator(3, integer=True))
    view.set_ylim(0, max(float(bottom.max(initial=0.0)) * 1.08, 1.0))
    if names:
        view.legend(
            loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=8, reverse=True,
            labelcolor=palette.ink, handlelength=0.9, handleheight=0.9, handletextpad=0.5, borderaxespad=0.4,
        )  # fmt: skip


# --- time --------------------------------------------------------------------------------------------------------


def _faults(axes: Sequence[Axes], history: History, until_s: float, palette: Palette) -> None:
    for row, mark in enumerate(history.faults):
        healed_s = until_s if mark.healed_s is None else mark.healed_s
        for view in axes:
            view.axvspan(mark.injected_s, healed_s, color=palette.fault, alpha=0.11, linewidth=0, zorder=0)
            view.axvline(mark.injected_s, color=palette.fault, linewidth=0.8, alpha=0.7, zorder=1)
            view.axvline(healed_s, color=palette.fault, linewidth=0.8, alpha=0.7, zorder=1)
        proof = "" if mark.is_delivered else "  (dose not seen)"
        axes[0].annotate(
            line(mark.fault) + proof, ((mark.injected_s + healed_s) / 2, 1.0), xycoords=("data", "axes fraction"),
            xytext=(0, -22 - 14 * row), textcoords="offset points", ha="center", va="center", fontsize=10,
            weight="bold", color=palette.fault, zorder=8, annotation_clip=False,
        )  # fmt: skip


def _phases(axes: Sequence[Axes], history: History, palette: Palette) -> None:
    for mark in history.phases:
        axes[0].annotate(
            line(mark.name), ((mark.began_s + mark.ended_s) / 2, 1.0), xycoords=("data", "axes fraction"),
            xytext=(0, 9), textcoords="offset points", ha="center", va="bottom", fontsize=9.5, color=palette.ink,
            annotation_clip=False,
        )  # fmt: skip
        for view in axes:
            view.axvline(mark.began_s, color=palette.faint, linewidth=0.6, alpha=0.6, linestyle=(0, (1, 2)), zorder=1)


def _numbers(values: Sequence[float | None]) -> np.ndarray:
    return np.array([np.nan if value is None else value for value in values], dtype=float)
