"""The command that looks after an installation."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from jcs_ct.cli.process import say


def doctor(
    weights: Annotated[Path | None, typer.Option(help="Weights folder in place of the one that ships.")] = None,
    needs: Annotated[
        list[str] | None, typer.Option(help="Extra that must be installed, such as serve; once for each.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    self_test: Annotated[
        bool, typer.Option("--self-test/--no-self-test", help="Run the networks on a phantom, some seconds.")
    ] = True,
) -> None:
    """Check an installation: versions, processor, packages, extras, weights, and a test on a phantom.

    Exit codes: 0 all is well, 4 a fault (do not use it), 5 it works, with warnings.
    """
    from jcs_ct.doctor.checks import EXIT_CODES, State, examine, worst
    from jcs_ct.doctor.facts import facts_of_this_computer
    from jcs_ct.weights import SHIPPED

    folder = weights or SHIPPED
    findings = list(examine(facts_of_this_computer(), folder, needs or ()))
    if self_test and worst(findings) is not State.FAULT:
        from jcs_ct.doctor.self_test import try_on_phantom

        findings.append(try_on_phantom(folder))
    if as_json:
        say(json.dumps([asdict(each) for each in findings], indent=2))
    else:
        for each in findings:
            say(f"{each.state:<8} {each.about}: {each.text}")
    raise typer.Exit(EXIT_CODES[worst(findings)])
