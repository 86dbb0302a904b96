"""The real work of a batch on phantoms of few slices."""

from __future__ import annotations

import csv
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread
from pydicom.dataset import Dataset

from jcs_ct.batch.cohort import CohortOptions, write_cohort
from jcs_ct.batch.diagnosing import StudyDiagnosis
from jcs_ct.batch.discovery import discover
from jcs_ct.batch.engine import Did
from jcs_ct.batch.items import Item, keyed_name
from jcs_ct.batch.records import Records, State, Why
from jcs_ct.batch.result_file import made_from, row_of
from jcs_ct.batch.settings import WorkSettings
from jcs_ct.batch.table import write_table
from jcs_ct.batch.work import Worker
from jcs_ct.diagnosis.pipeline import Diagnoser
from jcs_ct.study.reader import read_study
from tests.batch.calls import call
from tests.batch.poison import CRASHES, EXHAUSTS, TASK
from tests.phantoms import ChestPhantom, write_dicom_series, write_nifti

PHANTOM = ChestPhantom.infected(shape=(10, 96, 96), spacing=(20.0, 3.4, 3.4))
KEY = b"k" * 32
EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "lung-pet-ct-dx-A0002"


def dicom(folder: Path, study: int, description: str = "", day: str = "20200401") -> None:
    def edit(dataset: Dataset, index: int) -> None:
        dataset.StudyInstanceUID, dataset.StudyDate = f"1.2.3.{study}", day
        dataset.SOPInstanceUID = f"1.2.3.{study}.{index + 1}"
        dataset.SeriesDescription = description

    write_dicom_series(folder, PHANTOM.hu, spacing=(3.4, 3.4), positions=PHANTOM.positions, edit=edit)


@pytest.fixture(scope="module")
def diagnoser() -> Diagnoser:
    return Diagnoser(threads=1)


@pytest.fixture
def real(tmp_path: Path) -> Path:
    """Twelve slices of a real study, enough to be measured."""
    files = sorted(EXAMPLE.glob("*.dcm"), key=lambda path: float(dcmread(path).ImagePositionPatient[2]))
    (tmp_path / "real").mkdir()
    for path in files[9:21]:
        shutil.copy2(path, tmp_path / "real")
    return tmp_path / "real"


def worker(out: Path, diagnoser: Diagnoser | None = None, **changes: object) -> Worker:
    settings = replace(WorkSettings(str(out), recipe="r"), **changes)  # type: ignore[arg-type]
    diagnose = StudyDiagnosis(settings)
    diagnose._diagnoser = diagnoser
    return Worker(settings, diagnose)


@pytest.mark.slow
def test_poison_of_every_kind_is_reported_and_the_others_are_done(tmp_path: Path, diagnoser: Diagnoser) -> None:
    root, out = tmp_path / "in", tmp_path / "out"
    dicom(root / "good", 1)
    dicom(root / "two\nlines", 2)
    dicom(root / "crash", 3, CRASHES)
    dicom(root / "memory", 4, EXHAUSTS)
    write_nifti(root / "volume.nii.gz", PHANTOM.hu, spacing=PHANTOM.spacing)
    shutil.make_archive(str(root / "zipped"), "zip", root / "good")
    (root / "empty").mkdir()
    (root / "unreadable").symlink_to(root / "unreadable")
    items = discover([root])
    totals = call(items, out, workers=2, task=TASK)
    assert (totals.done, totals.failed) == (4, 4)
    records = {record.name.split("-")[0]: record for record in Records(out).all()}
    assert {name for name, record in records.items() if record.state is State.DONE} == {
        "good", "two_lines", "volume", "zipped",
    }  # fmt: skip
    assert [records[name].why for name in ("crash", "memory")] == [Why.CRASH, Why.MEMORY]
    assert [records[name].state for name in ("crash", "memory")] == [State.QUARANTINED] * 2
    assert [records[name].why for name in ("empty", "unreadable")] == [Why.UNREADABLE] * 2
    assert records["two_lines"].path == str(root / "two\nlines")
    direct = diagnoser.run(read_study(root / "good"))
    for name in ("good", "two_lines", "zipped"):
        assert records[name].row["verdict"] == direct.verdict
        assert records[name].row["lesion_ml"] == pytest.approx(direct.measures.lesion_volume_ml)
    assert not list((out / "studies").glob(".*"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every folder")
def test_folder_that_may_not_be_read_is_reported(tmp_path: Path) -> None:
    (tmp_path / "in" / "closed").mkdir(parents=True, mode=0o000)
    did = worker(tmp_path / "out")(discover([tmp_path / "in"])[0])
    assert did.record is not None
    assert did.record.why is Why.UNREADABLE


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, diagnoser: Diagnoser) -> tuple[Records, Did]:
    """A batch of one real study, which is done."""
    out = tmp_path_factory.mktemp("finished")
    return Records(out), worker(out, diagnoser)(Item("case", str(EXAMPLE)))


def test_result_is_that_of_jcs_diagnose_with_what_it_was_made_from(
    finished: tuple[Records, Did], diagnoser: Diagnoser
) -> None:
    records, did = finished
    assert did.record is not None
    assert did.record.state is State.DONE, did.record
    document = records.document("case")
    assert document is not None
    assert made_from(document) == (did.record.inputs, "r")
    assert [path.name for path in records.result("case").iterdir()] == ["result.json"]
    with Image.open(records.picture("case")) as picture:
        assert max(picture.size) == 192
    direct, row = diagnoser.run(read_study(EXAMPLE)), did.record.row
    assert (row["verdict"], row["lesion_ml"]) == (direct.verdict, direct.measures.lesion_volume_ml)
    assert direct.rule is not None
    for step in direct.rule.curve:
        assert (step.paper_threshold <= row["positive_up_to"]) == step.positive
    zones = {zone.name: zone.lesion_volume_ml for zone in direct.measures.zones}
    assert row["left_lower_zone_lesion_ml"] == zones["left lower"]


def test_follow_ups_are_compared_as_jcs_compare_does(finished: tuple[Records, Did], tmp_path: Path) -> None:
    records, did = Records(tmp_path / "out"), finished[1]
    assert did.record is not None
    for name, day, ml in (("later", "20070525", 100.0), ("earlier", "20070425", 66.0), ("other", "20070425", 1.0)):
        document = json.loads((finished[0].result("case") / "result.json").read_text())
        document["input"]["attributes"] |= {"StudyDate": day, "PatientID": "P2" if name == "other" else "P1"}
        document["measures"]["lesion_volume_ml"] = ml
        records.result(name).mkdir()
        (records.result(name) / "result.json").write_text(json.dumps(document))
        records.write(replace(did.record, name=name, row=row_of(document)))
    write_cohort(records, records.root, CohortOptions())
    with (records.root / "follow_ups.csv").open(newline="") as stream:
        (pair,) = csv.DictReader(stream)
    assert (pair["patient_id"], pair["earlier"], pair["later"], pair["days"]) == ("P1", "earlier", "later", "30")
    assert (float(pair["change_ml"]), float(pair["change_points"]), pair["notices"]) == (34.0, 0.0, "")
    assert "Follow-up" in (records.root / "cohort.html").read_text()


def test_copied_study_is_read_and_not_diagnosed_again(tmp_path: Path, diagnoser: Diagnoser) -> None:
    dicom(tmp_path / "case", 1)
    item, out = Item("case", str(tmp_path / "case")), tmp_path / "out"
    worker(out, diagnoser)(item)
    before = (out / "studies" / "case" / "result.json").stat()
    shutil.copytree(tmp_path / "case", tmp_path / "copy")
    shutil.rmtree(tmp_path / "case")
    shutil.move(tmp_path / "copy", tmp_path / "case")
    for path in (tmp_path / "case").iterdir():
        os.utime(path, (1, 1))
    did = worker(out)(item)  # without networks, it could not diagnose in this time
    after = (out / "studies" / "case" / "result.json").stat()
    assert did.record is not None
    assert (did.worked, did.record.state) == (True, State.DONE)
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
    assert worker(out)(item).worked is False


def test_study_among_others_is_read_by_its_files_and_by_its_uid(tmp_path: Path, diagnoser: Diagnoser) -> None:
    dicom(tmp_path / "in" / "inbox", 1)
    for path in (tmp_path / "in" / "inbox").iterdir():
        path.rename(path.with_name(f"one-{path.name}"))
    dicom(tmp_path / "in" / "inbox", 2)
    found = discover([tmp_path / "in"])
    write_table(found, tmp_path / "plan.csv")
    planned = discover([tmp_path / "plan.csv"])
    work = worker(tmp_path / "out", diagnoser)
    for item, uid in ((found[0], "1.2.3.1"), (planned[1], "1.2.3.2")):
        record = work(item).record
        assert record is not None
        assert record.state is State.DONE, record
        assert (record.row["study_uid"], record.row["slices"]) == (uid, 10)


def test_deidentified_batch_names_nobody(tmp_path: Path, diagnoser: Diagnoser) -> None:
    dicom(tmp_path / "Doe John", 1, "Thorax of Doe")
    name = keyed_name("Doe John", KEY)
    work = worker(tmp_path / "out", diagnoser, key=KEY, formats=("json", "html"))
    record = work(Item(name, str(tmp_path / "Doe John"))).record
    assert record is not None
    assert record.state is State.DONE
    failed = work(Item(keyed_name("Roe", KEY), str(tmp_path / "Roe"))).record
    assert failed is not None
    assert failed.why is Why.UNREADABLE
    held = b"".join(path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file())
    for word in (b"Doe", b"Roe", b"Phantom^Chest", b"PHANTOM-1", b"20200401", b"1.2.3.1"):
        assert word not in held, word


def test_formats_that_the_input_does_not_allow_are_its_failure(tmp_path: Path) -> None:
    write_nifti(tmp_path / "a.nii", PHANTOM.hu, spacing=PHANTOM.spacing)
    record = worker(tmp_path / "out", formats=("json", "seg"))(Item("a", str(tmp_path / "a.nii"))).record
    assert record is not None
    assert (record.state, record.why) == (State.FAILED, Why.WRONG_OPTION)
    assert "--format seg" in record.reason


def test_given_lobes_are_measured_and_their_change_is_seen(tmp_path: Path, real: Path, diagnoser: Diagnoser) -> None:
    study = read_study(real)
    found = diagnoser.run(study).lung_mask
    assert found is not None
    assert study.geometry is not None
    spacing = (8.0, *study.geometry.pixel_spacing)
    write_nifti(tmp_path / "study.nii", study.voxels, spacing=spacing)
    lobes = np.asarray(found).astype(np.uint8)
    write_nifti(tmp_path / "lobes.nii", lobes, spacing=spacing)
    item = Item("a", str(tmp_path / "study.nii"), lobes=str(tmp_path / "lobes.nii"))
    work = worker(tmp_path / "out", diagnoser)
    record = work(item).record
    assert record is not None
    assert record.state is State.DONE, record
    assert record.row["left_upper_lobe_lesion_ml"] == pytest.approx(record.row["lesion_ml"])
    assert work(item).worked is False
    write_nifti(tmp_path / "lobes.nii", lobes * 2, spacing=spacing)
    again = work(item)
    assert again.worked is True
    assert again.record is not None
    assert again.record.row["left_upper_lobe_lesion_ml"] == 0
