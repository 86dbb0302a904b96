"""Which files are results of ours: written into the folder of a study, they are no part of the study."""

from __future__ import annotations

import json
import re
from pathlib import Path

RESULT_FAMILY = "jcs-result/"
"""What the name of every version of the format of `result.json` begins with."""
DICOM_FOLDER = "dicom"
FILES = (
    "report.html", "report.pdf", "lesions.nii.gz", "activation.nii.gz", "lungs.nii.gz", "slices.csv", "lesions.csv",
    "measures.csv", "notices.csv", "result.json",
)  # fmt: skip
_OUR_PICTURE = re.compile(r"\d{3,}\.png")
_OUR_OBJECT = re.compile(r"(lesions\.seg|lungs\.seg|report\.sr|report\.pdf|activation\.pm|key-\d{2,}\.sc)\.dcm")
FOLDERS = {"lesions": _OUR_PICTURE, "activation": _OUR_PICTURE, DICOM_FOLDER: _OUR_OBJECT}
"""What each folder of results holds; anything else in it is not ours."""


def is_result(path: Path) -> bool:
    """Whether a `result.json` is one of ours."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(document, dict) and str(document.get("schema", "")).startswith(RESULT_FAMILY)


def is_own(path: Path, results: frozenset[Path]) -> bool:
    """Whether a file is a result, told by its name and place in one of the folders that hold a result of ours."""
    if path.parent in results:
        return path.name in FILES
    ours = FOLDERS.get(path.parent.name)
    return ours is not None and path.parent.parent in results and ours.fullmatch(path.name) is not None
