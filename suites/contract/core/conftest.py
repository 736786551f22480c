"""Contracts are classes that other folders collect; pytest explains their failing asserts like those of a test."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("suites.contract.core")
