"""The `jcs` command: options in, exit codes out; all work is done elsewhere.

Exit codes: 0 a result was written, 2 bad input or usage, 3 the study is not assessable (the result is written all the
same, with the reasons). `jcs doctor` has codes of its own.
"""

from __future__ import annotations

import gc
import logging
import sys
from typing import Annotated

import typer

from jcs_ct._version import __version__
from jcs_ct.cli.batching import batch, cohort
from jcs_ct.cli.diagnosing import compare, diagnose, info, measure
from jcs_ct.cli.doctoring import doctor
from jcs_ct.cli.evaluating import calibrate, evaluate
from jcs_ct.cli.networking import pacs
from jcs_ct.cli.process import end_in_order, prepare_streams
from jcs_ct.cli.serving import serve, user
from jcs_ct.cli.training import export, quantise, train
from jcs_ct.errors import JcsError

app = typer.Typer(
    help="Explainable diagnosis of COVID-19 on chest CT. Research use only, not a medical device.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
_state = {"debug": False}


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"jcs {__version__}")
        raise typer.Exit


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks of errors.")] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and end.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Explainable diagnosis of COVID-19 on chest CT. Research use only, not a medical device."""
    del version
    _state["debug"] = debug


COMMANDS = (
    diagnose, batch, cohort, measure, compare, info, doctor, serve, train, evaluate, export, quantise, calibrate,
)  # fmt: skip
for command in COMMANDS:
    app.command()(command)
app.add_typer(user, name="user")
app.add_typer(pacs, name="pacs")


def main() -> None:
    """Entry point of the console script."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    # Headers of a study are objects by the hundred thousand that live to its end: no rubbish to look for so often.
    gc.set_threshold(50_000)
    prepare_streams()
    end_in_order()
    try:
        app()
    except JcsError as error:
        if _state["debug"]:
            raise
        typer.echo(f"jcs: {error}", err=True)
        raise SystemExit(error.exit_code) from None
