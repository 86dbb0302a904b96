"""A real series with bad or mixed headers has the verdict and the measures of the unaltered one, or none."""

from __future__ import annotations

from pathlib import Path

import pytest

from jcs_ct.diagnosis.decision import Verdict
from jcs_ct.diagnosis.pipeline import Diagnoser
from jcs_ct.diagnosis.result import Diagnosis
from jcs_ct.study import read_study
from tests.altered import SERIES, moved, renamed, stating, write
from tests.noticed import codes

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def diagnoser() -> Diagnoser:
    return Diagnoser()


@pytest.fixture(scope="module")
def whole(diagnoser: Diagnoser, shared_data: Path) -> Diagnosis:
    return diagnoser.run(read_study(shared_data / SERIES))


def test_unaltered_series_is_negative(whole: Diagnosis) -> None:
    assert whole.verdict is Verdict.NEGATIVE
    assert 30 < (whole.measures.lesion_volume_ml or 0.0) < 70, "a tumour of 39 mL, and what is taken for opacity"


def test_two_breath_holds_are_measured_as_one(
    diagnoser: Diagnoser, whole: Diagnosis, shared_data: Path, tmp_path: Path
) -> None:
    same = stating(AcquisitionNumber=None)
    write(shared_data / SERIES, tmp_path, same, stating(AcquisitionTime="100000", ContentTime="100000"))
    later = stating(AcquisitionTime="100500", ContentTime="100500")
    write(shared_data / SERIES, tmp_path, same, later, moved(4.0), renamed("9"), prefix="later-")
    found = diagnoser.run(read_study(tmp_path))
    assert found.verdict is whole.verdict
    assert found.measures.lesion_volume_ml == pytest.approx(whole.measures.lesion_volume_ml)


def test_slice_without_a_position_costs_that_slice_only(
    diagnoser: Diagnoser, whole: Diagnosis, shared_data: Path, tmp_path: Path
) -> None:
    write(shared_data / SERIES, tmp_path, stating([11], ImagePositionPatient=None))
    found = diagnoser.run(read_study(tmp_path))
    assert found.verdict is whole.verdict
    assert len(found.study) == 29
    assert found.measures.lesion_volume_ml == pytest.approx(whole.measures.lesion_volume_ml, rel=0.2)
    assert "incomplete-slices" in codes(found.notices)


def test_two_persons_are_not_assessable(diagnoser: Diagnoser, shared_data: Path, tmp_path: Path) -> None:
    nameless = stating(PatientID="")
    write(shared_data / SERIES, tmp_path, nameless)
    other = stating(PatientName="Other^Person", PatientSex="M", StudyInstanceUID="1.2.3.4")
    write(shared_data / SERIES, tmp_path, nameless, other, renamed("8"), moved(-240), prefix="b")
    found = diagnoser.run(read_study(tmp_path))
    assert found.verdict is Verdict.NOT_ASSESSABLE
    assert "identities-mixed" in codes(found.reasons)
