"""The reference core's watcher of queries keeps what every one must."""

from __future__ import annotations

import pytest

from suites.contract.core.query import QueryContract
from suites.support.core.queries import OurWatcher


class TestOurQueries(QueryContract):
    """QO1 to QO4."""

    @pytest.fixture
    def watcher(self):
        return OurWatcher()
