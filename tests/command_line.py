"""The command line within the process of the tests: what a user types, and the exit code and texts that come back."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from jcs_ct.cli import main


@dataclass(frozen=True)
class Outcome:
    """How a command ended."""

    code: int | str | None
    out: str
    err: str

    def refusal(self) -> str:
        """The one line of a refusal, without the program's name; fails if it was none."""
        assert self.code == 2, self
        assert self.out == "", self
        (line,) = self.err.strip().splitlines()
        assert line.startswith("jcs: "), self
        return line.removeprefix("jcs: ")


@dataclass(frozen=True)
class CommandLine:
    """Calls `jcs` as the console script does."""

    monkeypatch: pytest.MonkeyPatch
    capsys: pytest.CaptureFixture[str]

    def __call__(self, *arguments: str | Path) -> Outcome:
        self.monkeypatch.setattr(sys, "argv", ["jcs", *map(str, arguments)])
        self.capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        said = self.capsys.readouterr()
        return Outcome(ended.value.code, said.out, said.err)
