"""Libraries that break what they offer: each known case must fail, and what a run showed is written down."""

from __future__ import annotations

from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from fixtures.peers.page import Seen, page
from suites.support.servers import start_postgres, start_redis

pytest.register_assert_rewrite("suites.contract.core")

SEEN = pytest.StashKey[list[Seen]]()


@pytest.fixture(scope="session")
def redis_port():
    """The port of a Redis that this session shares."""
    with start_redis() as port:
        yield port


@pytest.fixture(scope="session")
def postgres_port():
    """The port of a PostgreSQL that this session shares."""
    with start_postgres() as port:
        yield port


def pytest_addoption(parser: pytest.Parser) -> None:
    """Take where to write what was shown."""
    parser.addoption("--page", help="write what each library keeps and breaks to this file")


def pytest_configure(config: pytest.Config) -> None:
    """Begin with nothing shown."""
    config.stash[SEEN] = []


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Expect what is known to break: were it green, the suite could not see it. What is known of no test is a mistake."""
    if not any("::" in argument for argument in config.args) and (unknown := _of_no_test(items)):
        raise pytest.UsageError(f"known of tests that there are not, in fixtures/peers: {', '.join(sorted(unknown))}")
    for item in items:
        if why := _known(item, "breaks"):
            item.add_marker(pytest.mark.xfail(reason=why, strict=True))
        elif why := _known(item, "sometimes"):
            item.add_marker(pytest.mark.xfail(reason=why, strict=False))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    """Note what came of a test of a library."""
    report = yield
    peer = _peer_of(item)
    if peer is not None and (report.when == "call" or (report.when == "setup" and report.skipped)):
        # A known case that failed is `skipped` to pytest; one that passed has failed, as everything else that is red.
        words = {"passed": "keeps", "skipped": "breaks" if hasattr(report, "wasxfail") else "not offered"}
        about = (item.obj.__doc__ or "").partition("\n")[0]
        why = _known(item, "breaks") or _known(item, "sometimes") or ""
        word = words.get(report.outcome, "red")
        seen = Seen(peer.library, version(peer.library), item.path.stem, item.name, about, word, why)
        item.config.stash[SEEN].append(seen)
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write the page, if asked to."""
    if to := session.config.getoption("--page"):
        day = datetime.now(UTC).date().isoformat()
        Path(to).write_text(page(session.config.stash[SEEN], day=day), encoding="utf-8")


def _peer_of(item: pytest.Item) -> Any:
    cls = getattr(item, "cls", None)
    return getattr(cls, "peer", None)


def _known(item: pytest.Item, word: str) -> str | None:
    """Return what is known to break there, always or sometimes: of one case, or of all cases of a test."""
    known = getattr(_peer_of(item), word, {})
    return next((why for test, why in known.items() if _is_of(item, test)), None)


def _is_of(item: pytest.Item, test: str) -> bool:
    """Tell whether this is the test of that name, and the case if one is named."""
    name, _, case = item.name.partition("[")
    of_name, _, of_case = test.partition("[")
    return of_name == name and (not of_case or sorted(of_case[:-1].split("-")) == sorted(case[:-1].split("-")))


def _of_no_test(items: list[pytest.Item]) -> set[str]:
    """Return what is known of libraries that no test of theirs goes by."""
    of_peer: dict[Any, list[pytest.Item]] = {}
    for item in items:
        of_peer.setdefault(_peer_of(item), []).append(item)
    return {
        f"{peer.__name__}: {test}"
        for peer, own in of_peer.items()
        if peer is not None
        for word in ("breaks", "sometimes")
        for test in getattr(peer, word, {})
        if not any(_is_of(item, test) for item in own)
    }
