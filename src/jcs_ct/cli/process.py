"""What a command owes the process around it: streams that take any text, and an end in good order."""

from __future__ import annotations

import io
import os
import signal
import sys
from types import FrameType

import typer

from jcs_ct.cleanup import leave
from jcs_ct.errors import UsageError


def prepare_streams() -> None:
    """Let both standard streams take any text: what a terminal cannot show is written as an escape."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def end_in_order() -> None:
    """Have SIGTERM and SIGHUP remove temporary folders before they end the process."""

    def stop(number: int, frame: FrameType | None) -> None:
        del frame
        leave(128 + number)

    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is signal.SIG_DFL:  # nohup has SIGHUP ignored
            signal.signal(number, stop)


def say(text: str, needed: bool = False) -> None:
    """Print a line on standard output. Where nobody reads it any more, nothing is said about that.

    Args:
        text: the line.
        needed: whether the command is of no use where the line cannot be written (a full disk, say); else that is told
            on standard error, as what the command made is there all the same.

    Raises:
        UsageError: a needed line cannot be written.
    """
    try:
        typer.echo(text)
        sys.stdout.flush()
    except OSError as error:
        _discard_output()
        if isinstance(error, BrokenPipeError):
            return
        problem = f"cannot write to standard output: {error.strerror}"
        if needed:
            raise UsageError(f"{problem}; give it another place") from error
        typer.echo(f"jcs: {problem}", err=True)


def _discard_output() -> None:
    """Write nothing more to standard output: what is still in its buffer would fail again when the process ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
