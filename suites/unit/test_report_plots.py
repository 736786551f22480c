"""A picture is the same bytes for the same facts, and shows whatever was seen, even nothing."""

import dataclasses
import hashlib
import re
import struct
import xml.etree.ElementTree as ET

import matplotlib as mpl
import pytest

from harness.history.marks import FaultMark
from harness.report import plots
from harness.report.palette import DARK, LIGHT
from harness.spec.objective import Slow
from harness.verdict.judge import judge
from suites.support import histories

MADE = [histories.breaker_never_opens, histories.nothing_seen, histories.broke_off]


def judged(make):
    """Return scenario, history and verdict of a made history."""
    scenario, history = make()
    return scenario, history, judge(scenario, history, confidence=0.95)


def words_of(figure):
    """Return every text that stands in a figure."""
    return {text.get_text() for view in figure.axes for text in (*view.texts, *legend_of(view))}


def legend_of(view):
    """Return the texts of a legend, if there is one."""
    return view.get_legend().get_texts() if view.get_legend() else []


@pytest.mark.parametrize("make", MADE)
@pytest.mark.parametrize("palette", [LIGHT, DARK])
def test_the_same_facts_draw_the_same_svg(make, palette):
    """No date, no random id: a picture can be hashed."""
    first, second = (plots.svg(*judged(make), palette) for _ in range(2))

    assert hashlib.sha256(first.encode()).digest() == hashlib.sha256(second.encode()).digest()
    assert "<dc:date>" not in first


def test_svg_holds_nothing_that_runs_or_loads():
    """It is well-formed, without scripts or handlers, and refers only to itself."""
    drawn = plots.svg(*judged(histories.breaker_never_opens), LIGHT)

    tags = {element.tag.rpartition("}")[2] for element in ET.fromstring(drawn).iter()}  # noqa: S314 - drawn a line before
    links = re.findall(r'(?:href|src)="([^"]*)"', drawn)
    assert not tags & {"script", "foreignObject", "a", "iframe", "animate", "set"}
    assert all(link.startswith(("#", "data:image/png;base64,")) for link in links)
    assert not re.search(r"\son\w+=", drawn)


def test_png_is_large_enough_to_read():
    """At least 1000 pixels wide."""
    drawn = plots.png(*judged(histories.control), LIGHT)
    width, height = struct.unpack(">II", drawn[16:24])

    assert drawn.startswith(b"\x89PNG")
    assert (width, height) == (1600, 1216)


def test_the_picture_names_what_happened():
    """Phases, the fault, limits, recovery and what became of requests stand in it."""
    words = words_of(plots.picture(*judged(histories.breaker_never_opens), LIGHT))

    assert {"warmup", "baseline", "fault", "recovery"} <= words
    assert {"redis +400ms", "p50", "p95", "limit 100ms", "< 0.1%", "< 1%", "> 70%"} <= words
    assert {"recovered in 3.0 s", "failed (101)", "never finished (6)", "none", "l1", "l2", "l3"} <= words


def test_no_limit_crosses_a_word():
    """However high a limit is beside what was seen, there is room above it for the legend, the fault and its recovery."""
    scenario, history = histories.redis_latency()
    high = Slow(sli="slow", over="2s", max="1%", during="baseline")
    scenario = scenario.model_copy(update={"objectives": (*scenario.objectives, high)})
    figure = plots.picture(scenario, history, judge(scenario, history, confidence=0.95), LIGHT)
    figure.canvas.draw()
    view = figure.axes[0]

    named = [text for text in view.texts if text.get_text().startswith(("redis +400ms", "recovered in"))]
    limit = view.transData.transform((0.0, high.over))[1]
    assert len(named) == 2
    assert all(limit < words.get_window_extent().y0 for words in (view.get_legend(), *named))


def test_a_fault_that_was_not_seen_is_told():
    """A band without proof says so."""
    assert "redis down\n(dose not seen)" in words_of(plots.picture(*judged(histories.nothing_seen), LIGHT))


def test_a_fault_that_was_never_healed_is_drawn_to_the_end():
    """The run ended inside it."""
    scenario, history, verdict = judged(histories.control)
    mark = FaultMark(id="fault-1", fault="a", kind="k", target="t", phase="p", injected_s=5.0, healed_s=None, doses=())

    drawn = plots.picture(scenario, dataclasses.replace(history, faults=(mark,)), verdict, LIGHT)

    assert "a\n(dose not seen)" in words_of(drawn)
    assert max(patch.get_x() + patch.get_width() for patch in drawn.axes[0].patches) == 28.0


def test_sources_are_stacked_by_depth():
    """The first of the hits is at the bottom in every picture, whichever answered first in that run."""
    scenario, history, verdict = judged(histories.redis_latency)
    names = ("", "elsewhere", "stale", "l3", "l1")
    shuffled = dataclasses.replace(history.samples, sources=names)

    drawn = plots.picture(scenario, dataclasses.replace(history, samples=shuffled), verdict, LIGHT)

    assert [text.get_text() for text in drawn.axes[3].get_legend().get_texts()] == ["stale", "l3", "elsewhere", "l1"]


def test_a_dollar_is_a_dollar():
    """A name that looks like a formula is drawn as it is, even a wrong one."""
    scenario, history, verdict = judged(histories.broke_off)
    mark = FaultMark(
        id="fault-1", fault="$\\frac{$", kind="k", target="t", phase="p", injected_s=0.1, healed_s=0.5, doses=()
    )

    assert plots.svg(scenario, dataclasses.replace(history, faults=(mark,)), verdict, LIGHT)


def test_drawing_leaves_matplotlib_as_it_was():
    """Whoever else draws in this process is not disturbed."""
    with mpl.rc_context({"font.size": 31.0, "svg.hashsalt": "theirs"}):
        plots.svg(*judged(histories.broke_off), LIGHT)

        assert (mpl.rcParams["font.size"], mpl.rcParams["svg.hashsalt"]) == (31.0, "theirs")
