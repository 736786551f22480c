"""The reference service with each seeded defect: it is broken, and no wreck that anything would notice."""

from __future__ import annotations

import pytest

from fixtures.defects import DEFECTS, installed
from fixtures.reference.parts import Design
from suites.support.replicas import put


@pytest.mark.parametrize("defect", sorted(DEFECTS))
async def test_service_with_a_defect_starts_and_serves(world, defect):
    """On a good day it is ready, writes an item and reads it."""
    client = await world.replica(design=installed(defect, Design()))

    written, read = await put(client, 3, "new"), await client.get("/items/3")

    assert (written.status_code, read.status_code, read.json()["value"]) == (200, 200, "new")
