"""What the environment may choose about batches reaches their policy."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from fixtures.reference.core.batch import BatchPolicy, WhenFull
from fixtures.reference.core.batch.settings import BatchSettings


def test_batch_settings_of_nothing_are_the_policy_s_own():
    """One place says what holds by default, the other agrees."""
    assert BatchSettings().policy() == BatchPolicy()


def test_batch_settings_all_reach_the_policy():
    """Each of the policy's fields can be chosen, and is what was chosen."""
    chosen = {"max_items": 7, "max_age_s": 0.5, "concurrency": 3, "max_queued": 70, "when_full": WhenFull.REJECT}

    policy = BatchSettings(**chosen).policy()

    assert {name: getattr(policy, name) for name in BatchPolicy.__dataclass_fields__} == chosen


def test_batch_settings_that_contradict_each_other_are_refused_by_name():
    """A queue that never holds a full batch is a mistake of the operator."""
    with pytest.raises(ValidationError, match="max_queued 9 is below max_items 10"):
        BatchSettings(max_items=10, max_queued=9)

    assert BatchSettings(max_items=10, max_queued=10).policy().max_queued == 10
