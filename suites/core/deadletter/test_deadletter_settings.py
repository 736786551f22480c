"""What the environment of a service may choose about its dead letters reaches their policy."""

from __future__ import annotations

import pytest

from fixtures.reference.core.deadletter import AtCap, DeadLetterPolicy
from fixtures.reference.core.deadletter.settings import DeadLetterSettings


def test_settings_without_a_variable_are_the_policy():
    """Thirty days, ten thousand, refusing, and advice at ten and at fifty (D2, D3)."""
    promised = DeadLetterPolicy(
        retention_s=30 * 24 * 3600,
        max_entries=10_000,
        at_cap=AtCap.REJECT_ALERT,
        archive=False,
        look_at=10,
        act_at=50,
    )

    assert DeadLetterSettings().policy() == DeadLetterPolicy() == promised


def test_settings_reach_the_policy():
    """Each value under its own name."""
    chosen = {
        "retention_s": 61.0,
        "max_entries": 62,
        "at_cap": AtCap.DROP_OLDEST,
        "archive": True,
        "look_at": 63,
        "act_at": 64,
    }

    assert DeadLetterSettings(**chosen).policy() == DeadLetterPolicy(**chosen)


@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        ({"retention_s": 59.9}, "retention_s"),
        ({"retention_s": "inf"}, "retention_s"),
        ({"max_entries": 0}, "max_entries"),
        ({"at_cap": "drop"}, "at_cap"),
        ({"look_at": 0}, "look_at"),
        ({"act_at": 1}, "act_at"),
        ({"look_at": 50}, "act_at > look_at"),
        ({"archive": True}, "archive only with drop_oldest"),
        ({"retention": 100}, "retention"),
    ],
)
def test_settings_refuse_what_makes_no_sense(chosen, said):
    """At the start, by its name."""
    with pytest.raises(ValueError, match=said):
        DeadLetterSettings(**chosen)
