"""`readiness`: one file per command; this one puts them together.

Exit codes: 0 pass, 1 fail, 2 inconclusive, 3 error (of the harness, or of how it was called); 130 and 143 after a
signal, with everything healed and stopped.
"""

from __future__ import annotations

import signal
import sys

import typer
from typer.exceptions import TyperException

from harness.cli.baseline import baseline
from harness.cli.check import check
from harness.cli.diff import diff
from harness.cli.faultproxy import AS_GIVEN, faultproxy
from harness.cli.heal import heal
from harness.cli.images import images
from harness.cli.load import load
from harness.cli.report import report
from harness.cli.run import run
from harness.cli.slo import slo
from harness.cli.verify import verify
from harness.cli.worker import worker
from harness.errors import HarnessError, refusal
from harness.verdict.outcome import Outcome

app = typer.Typer(
    name="readiness",
    help="Will it hold? Start a service with its real dependencies, load it, break it, and judge what was seen.",
    epilog="Exit codes: 0 pass, 1 fail, 2 inconclusive, 3 error, 130/143 after a signal.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

for command in (run, heal, report, verify, diff, slo, load, worker, images):
    app.command()(command)
app.add_typer(baseline, name="baseline")
app.add_typer(check, name="check")
app.command(context_settings=AS_GIVEN)(faultproxy)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; the process ends with one of our exit codes."""
    try:
        status = app(arguments, standalone_mode=False)
    except HarnessError as error:
        typer.echo(f"error: {error}", err=True)
        status = Outcome.ERROR.exit_code
    except OSError as error:
        typer.echo(f"error: {refusal(error)}", err=True)
        status = Outcome.ERROR.exit_code
    except TyperException as error:
        typer.echo(f"error: {error.format_message()}\n  fix:   readiness --help lists what there is", err=True)
        status = Outcome.ERROR.exit_code  # the usual 2 would mean `inconclusive`
    except (KeyboardInterrupt, typer.Abort):
        status = 128 + signal.SIGINT
    sys.exit(status)
