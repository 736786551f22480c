"""`readiness init`: the first readiness.toml and scenarios of a project, from what its folder tells."""

from __future__ import annotations

import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.options import OUT
from harness.errors import SpecError, nearest
from harness.evidence.experiment import read_experiment
from harness.evidence.redaction import line
from harness.library.files import SCENARIOS_FOLDER, scenario_files
from harness.library.lint import linted
from harness.onboarding.clue import Start
from harness.onboarding.folder import Folder
from harness.onboarding.limits import WISHED, proved
from harness.onboarding.proposal import ASKED_MAX, Answers, proposed, told_by
from harness.onboarding.scenarios import BASELINE, scenario_texts
from harness.onboarding.settings import settings_text
from harness.options import SETTINGS_FILE, new_run_id
from harness.stack.components import COMPONENTS
from harness.verdict.outcome import Outcome

if TYPE_CHECKING:
    from harness.onboarding.limits import Limits
    from harness.onboarding.proposal import Proposal, Told

PROPOSED = tuple(kind for kind, component in COMPONENTS.items() if not component.keys)
"""What can be started with nothing said but its kind."""


def init(
    folder: Annotated[Path, typer.Argument(help="The project's folder.", exists=True, file_okay=False)] = Path(),
    app: Annotated[str | None, typer.Option(metavar="MODULE:NAME", help="It is an ASGI application.")] = None,
    wsgi: Annotated[str | None, typer.Option(metavar="MODULE:NAME", help="It is a WSGI application.")] = None,
    command: Annotated[str | None, typer.Option(help="It is a command; {port} is where it must listen.")] = None,
    url: Annotated[str | None, typer.Option(help="It runs already, there.")] = None,
    service: Annotated[
        str | None, typer.Option(metavar="NAME", help="It is one of the compose file, as it is.")
    ] = None,
    ready: Annotated[str | None, typer.Option(metavar="PATH", help="Answers 200 when it is ready.")] = None,
    needs: Annotated[str | None, typer.Option(help="What it depends on, such as redis,postgres; `none`.")] = None,
    get: Annotated[list[str] | None, typer.Option(metavar="PATH", help="What it is asked; may be given again.")] = None,
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing: take what the folder tells.")] = False,
    measure: Annotated[
        bool, typer.Option("--measure", help="Run the baseline once, for a minute, and propose what it proved.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace files that are there.")] = False,
) -> None:
    """Write the first readiness.toml and scenarios of a project, from what its folder tells.

    It reads what is there (a compose file, Procfile, package.json, go.mod, Dockerfile, Python's own files), asks four
    questions at most, and says what it could not know. Nothing of the project is run, but for --measure.

    Examples:
      readiness init                                        asks what it does not find
      readiness init --yes --measure                        in CI
      readiness init --url http://127.0.0.1:8000 --ready /health --get /items/{key}
    """
    told = told_by(Folder(folder))
    answers = Answers(
        start=_composed(told, service) or _start(app, wsgi, command, url),
        ready=ready,
        needs=_kinds(needs),
        asked=tuple(get) if get else None,
    )
    if not yes and is_a_person_there():
        answers = _asked(told, answers)
    proposal = proposed(told, answers, PROPOSED)
    _check_nothing_is_lost(folder, proposal, force=force)
    _check_is_understood(folder, proposal)
    _write(folder, proposal)
    if measure:
        limits = _measured(folder)
        _write_file(folder / SETTINGS_FILE, settings_text(proposal, limits))
        typer.echo(line(limits.said))
    _say(folder, proposal)


def is_a_person_there() -> bool:
    """Tell whether questions can be answered."""
    return sys.stdin.isatty()


def _start(app: str | None, wsgi: str | None, command: str | None, url: str | None) -> Start | None:
    """Return how the service is started, if an option says so.

    Raises:
        SpecError: If several do, or a command cannot be split into words.
    """
    given = [key for key, value in (("--app", app), ("--wsgi", wsgi), ("--command", command), ("--url", url)) if value]
    if len(given) > 1:
        raise SpecError(
            f"{' and '.join(given)} are {len(given)} services", where=given[1], fix="say exactly one of them"
        )
    if app or wsgi:
        return Start(kind="app" if app else "wsgi", runs=str(app or wsgi), seen_in="as you said")
    if url:
        return Start(kind="external", runs=url, seen_in="as you said")
    if command:
        try:
            return Start(kind="command", runs=tuple(shlex.split(command)), seen_in="as you said")
        except ValueError as error:
            raise SpecError(f"{error} in {command!r}", where="--command", fix="close what is quoted") from error
    return None


def _composed(told: Told, service: str | None) -> Start | None:
    """Return the service of the compose file that is judged, if an option says which.

    Raises:
        SpecError: If there is no such service, or nothing says where it listens.
    """
    if service is None:
        return None
    known = [str(each.runs) for each in told.composed]
    if service not in known:
        fix = nearest(service, known) if known else "write a compose file, with `ports` or `expose` for it"
        raise SpecError(f"no compose file here has a service {service!r} that listens", where="--service", fix=fix)
    return told.composed[known.index(service)]


def _kinds(needs: str | None) -> tuple[str, ...] | None:
    if needs is None:
        return None
    return tuple(kind.strip() for kind in needs.split(",") if kind.strip() and kind.strip() != "none")


def _asked(told: Told, answers: Answers) -> Answers:
    """Ask what no option says, each question with what the folder tells as its answer."""
    start = answers.start
    if start is None:
        start = _asked_start(told)
    ready = answers.ready or typer.prompt(
        "Which path answers 200 when it is ready", told.ready.path if told.ready else "/"
    )
    needs = answers.needs
    if needs is None and start.kind not in {"external", "service"}:
        found = ",".join(each.kind for each in told.needs if each.kind in PROPOSED) or "none"
        needs = _kinds(typer.prompt(f"What does it depend on (of {', '.join(PROPOSED)}; or none)", found))
    asked = answers.asked
    if asked is None:
        paths = " ".join(route.path for route in told.asked[:ASKED_MAX]) or "/"
        asked = tuple(str(typer.prompt("Which paths do clients ask for ({key} is a number)", paths)).split())
    return Answers(start=start, ready=ready, needs=needs, asked=asked)


def _asked_start(told: Told) -> Start:
    for number, start in enumerate(told.starts, start=1):
        typer.echo(f"  {number}  {start}")
    usual = "1" if told.starts else None
    said = str(typer.prompt("How is it started (a number, MODULE:NAME, a URL, or a command with {port})", usual))
    if said.isdecimal() and 0 < int(said) <= len(told.starts):
        return told.starts[int(said) - 1]
    is_url, is_application = "://" in said, " " not in said and ":" in said
    composed = [each for each in told.composed if said == f"service {each.runs}"]
    if composed:
        return composed[0]
    answered = _start(
        said if is_application and not is_url else None,
        None,
        None if is_url or is_application else said,
        said if is_url else None,
    )
    if answered is None:
        raise SpecError("nothing says how the service is started", where="the first question", fix="answer it")
    return answered


def _texts(folder: Path, proposal: Proposal) -> dict[Path, str]:
    scenarios = folder / SCENARIOS_FOLDER
    return {
        folder / SETTINGS_FILE: settings_text(proposal, WISHED),
        **{scenarios / name: text for name, text in scenario_texts(proposal)},
    }


def _check_nothing_is_lost(folder: Path, proposal: Proposal, *, force: bool) -> None:
    """See that nothing is lost.

    Raises:
        SpecError: If a file is there, and may not be replaced; nothing was written then.
    """
    there = [path for path in _texts(folder, proposal) if path.exists()]
    if there and not force:
        more = f" and {len(there) - 1} more" if len(there) > 1 else ""
        raise SpecError(
            "it is there already", where=f"{there[0]}{more}", fix="--force replaces it, and loses what it says"
        )


def _check_is_understood(folder: Path, proposal: Proposal) -> None:
    """See that what would be written can be run.

    Raises:
        SpecError: If it cannot, since what an answer says is wrong; nothing was written then.
    """
    with tempfile.TemporaryDirectory() as place:
        trial = Path(place)
        _write(trial, proposal)
        if proposal.start.dockerfile:
            (trial / proposal.start.dockerfile).touch()
        beside = folder if proposal.start.compose else trial
        mistakes = linted(scenario_files(trial / SCENARIOS_FOLDER), trial, beside=beside).mistakes
    if mistakes:
        first = mistakes[0]
        where = first.where.replace(f"{place}/", "what would be ")
        raise SpecError(first.what, where=where, fix=f"{first.fix}; nothing was written in {folder.resolve()}")


def _write(folder: Path, proposal: Proposal) -> None:
    for path, text in _texts(folder, proposal).items():
        _write_file(path, text)


def _write_file(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _measured(folder: Path) -> Limits:
    """Run the baseline, and return what it proved.

    Raises:
        SpecError: If it did not end, or proved nothing.
    """
    program = [sys.executable, "-P", "-c", "from harness.cli import main; main()"]
    run_id, limits = new_run_id(), None
    ended = subprocess.run([*program, "run", BASELINE, "--no-allure", "--run-id", run_id], cwd=folder, check=False)
    found = folder / OUT / run_id / BASELINE
    if found.is_dir() and ended.returncode != Outcome.ERROR.exit_code:
        experiment, _text = read_experiment(found)
        limits = proved(experiment.scenario, experiment.history)
    if limits is None:
        fix = f"see why above; {SETTINGS_FILE} and the scenarios are written, with wishes instead of what was measured"
        raise SpecError("the baseline proved nothing", where=str(found if found.is_dir() else folder), fix=fix)
    return limits


def _say(folder: Path, proposal: Proposal) -> None:
    count = sum(1 for _ in scenario_texts(proposal))
    typer.echo(f"{folder / SETTINGS_FILE}: {line(str(proposal.start))}")
    typer.echo(f"{folder / SCENARIOS_FOLDER}/: {count} scenarios")
    for sentence in proposal.unknown:
        typer.echo(f"not known: {line(sentence)}")
    where = "" if folder == Path() else f"cd {folder} && "
    typer.echo(f"next: {where}readiness run {BASELINE}, then readiness run")
