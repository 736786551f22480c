"""The seeded defects as a table: what may be chosen, where, and by what each is caught.

What each breaks is seen in defects/, a file per part.
"""

from __future__ import annotations

import asyncio
from dataclasses import fields, replace
from importlib import import_module

import pytest

from fixtures import defects
from fixtures.defects import DEFECTS, installed
from fixtures.defects import app as wrapper
from fixtures.defects import work as wrapper_of_the_worker
from fixtures.reference import app as product
from fixtures.reference import work as worker
from fixtures.reference.core.worker import Worker
from fixtures.reference.middleware import Observed
from fixtures.reference.parts import Design
from fixtures.trials.sensitivity import claims
from harness.spec.parser import read_settings
from harness.stack.blueprint import Blueprint
from suites.support.replicas import quick_settings
from suites.support.servers import PROJECT


def design_of(app):
    """Tell which class plays which part in an application; its worker is a program of its own."""
    parts = app.state.parts
    (breaker,) = {type(each) for each in parts.breakers}
    (observed,) = (each for each in app.user_middleware if each.cls is Observed)
    (limiter,) = {type(each) for each in (parts.limiter, parts.tenants)}
    elsewhere = {
        "breaker": breaker,
        "limiter": limiter,
        "pool": type(parts.store.pool),
        "drain": type(app.state.drain),
        "labels": observed.kwargs["labels"],
    }
    names = {each.name for each in fields(Design)} - elsewhere.keys() - {"worker"}
    return Design(**elsewhere, **{name: type(getattr(parts, name)) for name in names})


def test_no_defect_leaves_the_design_as_it_is():
    """Without a defect the service is made of the core's own classes."""
    assert installed("", Design()) == Design()


@pytest.mark.parametrize("defect", sorted(DEFECTS))
def test_only_the_wrapper_can_be_told_to_break(monkeypatch, defect):
    """What is deployed stays healthy whatever a variable says; what a run with --defect serves has the defect in it."""
    monkeypatch.setenv("REFERENCE_DEFECT", defect)

    assert design_of(product.create_app()) == Design()
    assert design_of(wrapper.create_app()) == replace(installed(defect, Design()), worker=Worker)


@pytest.mark.parametrize("defect", sorted(DEFECTS))
def test_only_the_workers_wrapper_can_be_told_to_break(monkeypatch, defect):
    """The same of the worker, whose parts are built where it runs."""
    designs = []

    async def work(_settings, design):
        designs.append(design)

    monkeypatch.setenv("REFERENCE_DEFECT", defect)
    monkeypatch.setattr(worker, "work", work)

    worker.main()
    wrapper_of_the_worker.main()

    assert designs == [Design(), installed(defect, Design())]


async def test_a_worker_is_what_its_design_says(redis_port, postgres_port):
    """Not only its parts."""
    seen = []

    class Noted(Worker):
        async def run(self) -> None:
            seen.append(type(self))

    async with asyncio.timeout(30):  # another one would go on working
        await worker.work(quick_settings(redis_port, postgres_port, seed_items=0), Design(worker=Noted))

    assert seen == [Noted]


@pytest.mark.parametrize("wrapped", [wrapper.create_app, wrapper_of_the_worker.main], ids=["service", "worker"])
@pytest.mark.parametrize(("named", "said"), [(None, "names no defect"), ("", "names no defect"), ("x", "known: ")])
def test_the_wrapper_never_serves_a_healthy_service(monkeypatch, wrapped, named, said):
    """The gate would pass it, and the defect would look like one that the gate cannot see."""
    monkeypatch.delenv("REFERENCE_DEFECT", raising=False)
    if named is not None:
        monkeypatch.setenv("REFERENCE_DEFECT", named)

    with pytest.raises(ValueError, match=said):
        wrapped()


def test_a_run_serves_the_product_and_with_a_defect_its_wrapper():
    """As readiness.toml names both; a system without a wrapper is told by its environment alone."""
    system = read_settings(PROJECT / "readiness.toml").system
    alone = system.model_copy(update={"subject": system.subject.model_copy(update={"defect_app": None})})
    defect = "redis-no-timeout"

    assert Blueprint(system=system, seed=1).subject.app == "fixtures.reference.app:create_app"
    assert Blueprint(system=system, seed=1, defect=defect).subject.app == "fixtures.defects.app:create_app"
    assert Blueprint(system=alone, seed=1, defect=defect).subject.app == "fixtures.reference.app:create_app"


@pytest.mark.parametrize("defect", sorted(DEFECTS))
def test_each_defect_changes_the_design_or_encloses_it_and_says_what_it_breaks(defect):
    """Every row of the table names a module that changes something, and begins by saying what that is."""
    row = DEFECTS[defect]
    module = import_module(f"fixtures.defects.{row.module}")

    assert (installed(defect, Design()) != Design()) != hasattr(module, "enclose")
    assert row.module == defect.replace("-", "_")
    assert module.__doc__.startswith(f"`{defect}`: ")
    assert row.breaks


def test_each_defect_can_be_chosen_and_the_scenario_that_catches_it_says_so():
    """readiness.toml offers every row of the table and no other; what a row says of a scenario stands there as well."""
    settings = read_settings(PROJECT / "readiness.toml")
    claimed = {(each.scenario, each.catch.defect, each.catch.by) for each in claims()}
    tabled = {(row.caught_by, name, row.breaks) for name, row in DEFECTS.items() if row.is_caught_by_a_run}

    assert settings.system.subject.defects.keys() == DEFECTS.keys()
    assert len(tabled) >= 4
    assert tabled <= claimed


@pytest.mark.parametrize("defect", sorted(name for name, row in DEFECTS.items() if not row.is_caught_by_a_run))
def test_a_defect_that_no_scenario_catches_is_caught_by_a_test_that_there_is(defect):
    """Which sees the healthy part first, and is about this one."""
    file, _, name = DEFECTS[defect].caught_by.partition("::")
    test = getattr(import_module(file.removesuffix(".py").replace("/", ".")), name)
    (cases,) = (mark for mark in test.pytestmark if mark.name == "parametrize")

    healthy, *broken = (case[0] for case in cases.args[1])
    assert healthy == ""
    assert defect in broken


def test_unknown_defect_is_refused_with_those_that_are_known():
    """A misspelt id must not start a healthy service."""
    with pytest.raises(ValueError, match="unknown defect 'breaker-never-open'") as refusal:
        defects.installed("breaker-never-open", Design())

    assert all(defect in str(refusal.value) for defect in DEFECTS)
