"""Checks for a new part: a seam's whole suite in one line of a test. See docs/extending.md.

Each check raises AssertionError with a sentence that says what the part does not keep.
"""

from harness.testing.actions import check_action
from harness.testing.checkers import check_checker
from harness.testing.components import check_component, started

__all__ = ["check_action", "check_checker", "check_component", "started"]
