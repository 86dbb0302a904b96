"""The real work of a batch with a decoder that native code of some files crashes, hangs or exhausts."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from jcs_ct.batch import diagnosing
from jcs_ct.batch.engine import Work
from jcs_ct.batch.settings import WorkSettings
from jcs_ct.study import dicom
from jcs_ct.study.codestreams import decode_frame

TASK = "tests.batch.poison:prepare"
CRASHES, EXHAUSTS = "crashes the decoder", "exhausts memory"


def prepare(settings: WorkSettings) -> Work:
    vars(dicom)["decode_frame"] = _decode
    return diagnosing.prepare(settings)


def _decode(dataset: Dataset, *arguments: Any) -> NDArray[np.generic]:
    described = dataset.get("SeriesDescription", "")
    if described == CRASHES:
        ctypes.string_at(0)
    if described == EXHAUSTS:
        raise RuntimeError("std::bad_alloc")
    return decode_frame(dataset, *arguments)
