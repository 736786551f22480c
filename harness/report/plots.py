"""The story of one experiment as a picture: what was broken when, and what users felt.

Its views share one axis, seconds from the start of the load; faults are bands through all of them. The same facts
always draw the same SVG, byte for byte. Only this file knows matplotlib, and only its object interface.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib.figure import Figure

from harness.evidence.redaction import line
from harness.measure.series import by_second
from harness.report import panels
from harness.report.formatting import seconds_of
from harness.spec.objective import KINDS, Recovery
from harness.verdict.outcome import Outcome

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

    from harness.history.history import History
    from harness.report.palette import Palette
    from harness.spec.scenario import Scenario
    from harness.verdict.outcome import Verdict

SIZE_INCHES = (10.0, 7.6)
MACHINE_INCHES = 1.2
"""Of height, for what the machine gave, where that was measured."""
PNG_DOTS_PER_INCH = 160
RECOVERY_AT = 0.86
"""Height of what is said about recovery, as a share of the first view: beside the name of the fault."""
_STYLE: Any = {
    "svg.hashsalt": "readiness",
    "font.family": ["DejaVu Sans"],
    "font.size": 9.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.7,
    "text.parse_math": False,  # a `$` in a fault's name is a dollar, not the start of a formula
}


def picture(scenario: Scenario, history: History, verdict: Verdict, palette: Palette) -> Figure:
    """Draw one experiment."""
    until_s = max(history.lasted_s, 1.0)
    seconds = by_second(history.samples, scenario.load, until_s=until_s)
    width, height = SIZE_INCHES
    views, ratios = (5, (3.2, 1.1, 1.1, 1.5, 1.3)) if history.machine else (4, (3.2, 1.1, 1.1, 1.5))
    size = (width, height + (MACHINE_INCHES if history.machine else 0))
    figure = Figure(figsize=size, facecolor=palette.ground)
    axes = figure.subplots(views, 1, sharex=True, height_ratios=ratios)
    figure.subplots_adjust(left=0.08, right=0.9, top=0.945, bottom=0.062, hspace=0.14)
    for view in axes:
        _plain_axes(view, until_s, palette)
    panels.latency(axes[0], scenario, history, seconds, palette)
    panels.errors(axes[1], scenario, history, seconds, palette)
    panels.hits(axes[2], scenario, history, seconds, palette)
    panels.sources(axes[3], scenario, seconds, palette)
    if history.machine:
        panels.machine(axes[4], history.machine, palette)
    _faults(axes, history, until_s, palette)
    _recovery(axes[0], history, verdict, palette)
    _phases(axes, history, palette)
    axes[-1].set_xlabel("seconds since the load began", color=palette.faint)
    return figure


def svg(scenario: Scenario, history: History, verdict: Verdict, palette: Palette) -> str:
    """Return the picture as SVG; the cloud of dots is an image inside it, all else are lines."""
    sink = io.StringIO()
    with mpl.rc_context(_STYLE):
        drawn = picture(scenario, history, verdict, palette)
        drawn.savefig(sink, format="svg", dpi=PNG_DOTS_PER_INCH, metadata={"Date": None})
    return sink.getvalue()


def png(scenario: Scenario, history: History, verdict: Verdict, palette: Palette) -> bytes:
    """Return the picture as PNG."""
    sink = io.BytesIO()
    with mpl.rc_context(_STYLE):
        picture(scenario, history, verdict, palette).savefig(sink, format="png", dpi=PNG_DOTS_PER_INCH)
    return sink.getvalue()


def _plain_axes(view: Axes, until_s: float, palette: Palette) -> None:
    view.set_facecolor("none")
    view.set_xlim(0, until_s)
    view.tick_params(colors=palette.faint, labelsize=8, length=3, width=0.6)
    for spine in view.spines.values():
        spine.set_color(palette.faint)
    view.grid(visible=True, axis="y", color=palette.faint, alpha=0.18, linewidth=0.6)
    view.set_axisbelow(True)


def _faults(axes: Sequence[Axes], history: History, until_s: float, palette: Palette) -> None:
    for row, mark in enumerate(history.faults):
        healed_s = until_s if mark.healed_s is None else mark.healed_s
        for view in axes:
            view.axvspan(mark.injected_s, healed_s, color=palette.fault, alpha=0.11, linewidth=0, zorder=0)
            view.axvline(mark.injected_s, color=palette.fault, linewidth=0.8, alpha=0.7, zorder=1)
            view.axvline(healed_s, color=palette.fault, linewidth=0.8, alpha=0.7, zorder=1)
        proof = "" if mark.is_delivered else "\n(dose not seen)"
        axes[0].annotate(
            line(mark.fault) + proof, ((mark.injected_s + healed_s) / 2, 1.0), xycoords=("data", "axes fraction"),
            xytext=(0, -22 - 14 * row), textcoords="offset points", ha="center", va="center", fontsize=10,
            weight="bold", color=palette.fault, zorder=8, annotation_clip=False,
        )  # fmt: skip


def _recovery(view: Axes, history: History, verdict: Verdict, palette: Palette) -> None:
    """Show from healing to the end of the last bad second, if that was promised and seen."""
    healed_s = max((mark.healed_s for mark in history.faults if mark.healed_s is not None), default=0.0)
    claims = [claim for claim in verdict.claims if KINDS.get(claim.sli) is Recovery and claim.estimate is not None]
    for claim in claims:
        color = palette.hits if claim.outcome is Outcome.PASS else palette.bad
        took_s = claim.estimate or 0.0
        view.plot(
            [healed_s, healed_s + took_s],
            [RECOVERY_AT, RECOVERY_AT],
            transform=view.get_xaxis_transform(),
            color=color,
            linewidth=3,
        )
        view.annotate(
            f"recovered in {seconds_of(took_s)}" if took_s else "recovered at once", (healed_s, RECOVERY_AT),
            xycoords=("data", "axes fraction"), xytext=(4, 5), textcoords="offset points", color=color, fontsize=8.5,
            weight="bold", zorder=8, annotation_clip=False,
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
