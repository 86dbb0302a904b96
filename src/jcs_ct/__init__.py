"""JCS: COVID-19 diagnosis on chest CT by joint classification and segmentation.

    from jcs_ct import Diagnoser, read_study

    diagnosis = Diagnoser().run(read_study("study"))

`measure_outlines` measures opacities that a user drew or edited; no network judges them.

The names are loaded when they are first used (PEP 562), so that `import jcs_ct` costs nothing: the readers and the
inference engine take a second or more, and a program may want only the version or an exception. Modules inside the
package import each other directly, never through this file.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from jcs_ct._version import __version__

if TYPE_CHECKING:
    from jcs_ct.diagnosis.pipeline import Diagnoser
    from jcs_ct.diagnosis.remeasure import measure_outlines
    from jcs_ct.diagnosis.result import Diagnosis
    from jcs_ct.study.reader import read_study
    from jcs_ct.study.volume import Study

__all__ = ["Diagnoser", "Diagnosis", "Study", "__version__", "measure_outlines", "read_study"]

_HOMES = {
    "Diagnoser": "jcs_ct.diagnosis.pipeline",
    "Diagnosis": "jcs_ct.diagnosis.result",
    "Study": "jcs_ct.study.volume",
    "measure_outlines": "jcs_ct.diagnosis.remeasure",
    "read_study": "jcs_ct.study.reader",
}


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
