"""What the environment of a service may choose about its checkpoints reaches their policy."""

from __future__ import annotations

import pytest

from fixtures.reference.core.checkpoint import CheckpointPolicy
from fixtures.reference.core.checkpoint.settings import CheckpointSettings


def test_settings_without_a_variable_are_the_policy():
    """Seven days (K4)."""
    assert CheckpointSettings().policy() == CheckpointPolicy() == CheckpointPolicy(ttl_s=7 * 24 * 3600)


def test_settings_reach_the_policy():
    """Under its own name."""
    assert CheckpointSettings(ttl_s=61).policy() == CheckpointPolicy(ttl_s=61)


@pytest.mark.parametrize("ttl_s", [59.9, 0, -1, "nan", "inf"])
def test_settings_refuse_a_time_to_live_that_ends_between_two_attempts(ttl_s):
    """A task rests for minutes; a run must be known for longer."""
    with pytest.raises(ValueError, match="ttl_s"):
        CheckpointSettings(ttl_s=ttl_s)


def test_settings_refuse_what_they_do_not_know():
    """A misspelt lifetime is not the default one."""
    with pytest.raises(ValueError, match="tll_s"):
        CheckpointSettings(tll_s=100)
