"""All or nothing: what a folder holds after success, after failure, and beside other people's files."""

from __future__ import annotations

import json
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from jcs_ct.diagnosis.result import Diagnosis
from jcs_ct.errors import UsageError
from jcs_ct.reports import html_report
from jcs_ct.reports.nifti_report import nifti_warnings
from jcs_ct.reports.writer import write_reports
from tests.diagnosis_variants import altered
from tests.reports.conftest import said


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def break_html(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def fail(diagnosis: Diagnosis, folder: Path) -> list[Path]:
        (folder / "report.html").write_text("<half")
        raise error

    monkeypatch.setattr(html_report, "write_html", fail)


def test_volumes_where_there_is_geometry(diagnosis: Diagnosis, tmp_path: Path) -> None:
    written = write_reports(diagnosis, tmp_path / "new" / "out")
    names = {path.name for path in written}
    assert names == {"result.json", "report.html", "lesions.nii.gz", "activation.nii.gz", "lungs.nii.gz"}
    assert all(path.is_file() for path in written)
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["out"]


def test_pictures_where_there_is_none(picture_diagnosis: Diagnosis, tmp_path: Path) -> None:
    write_reports(picture_diagnosis, tmp_path / "out")
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"result.json", "report.html", "lesions", "activation"}


def test_not_assessable_has_a_page_and_a_result(not_assessable: Diagnosis, tmp_path: Path) -> None:
    written = write_reports(not_assessable, tmp_path / "out")
    assert [path.name for path in written] == ["report.html", "result.json"]


def test_folder_is_as_open_as_any_other(diagnosis: Diagnosis, tmp_path: Path) -> None:
    (tmp_path / "usual").mkdir()
    write_reports(diagnosis, tmp_path / "out")
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == stat.S_IMODE((tmp_path / "usual").stat().st_mode)


def test_nothing_is_left_of_a_failed_run(diagnosis: Diagnosis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    break_html(monkeypatch, RuntimeError("in the middle"))
    with pytest.raises(RuntimeError, match="in the middle"):
        write_reports(diagnosis, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_full_disk_is_told_and_leaves_the_earlier_result(
    diagnosis: Diagnosis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    write_reports(diagnosis, out)
    before = tree(out)
    break_html(monkeypatch, OSError(28, "No space left on device"))
    with pytest.raises(UsageError, match="No space left on device"):
        write_reports(altered(diagnosis, probability=0.5), out)
    assert tree(out) == before
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("failing", range(1, 11))
def test_failure_between_two_renames_puts_everything_back(
    diagnosis: Diagnosis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    out = tmp_path / "out"
    write_reports(diagnosis, out)
    before = tree(out)
    rename, calls = Path.rename, iter(range(1, 1000))

    def fail_once(self: Path, target: Path) -> Path:
        if next(calls) == failing:
            raise KeyboardInterrupt
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail_once)
    with pytest.raises(KeyboardInterrupt):
        write_reports(altered(diagnosis, probability=0.5), out)
    assert tree(out) == before
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_earlier_results_are_replaced_and_other_files_kept(
    diagnosis: Diagnosis, picture_diagnosis: Diagnosis, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    write_reports(picture_diagnosis, out)
    (out / "notes.txt").write_text("mine")
    write_reports(diagnosis, out)
    names = {p.name for p in out.iterdir()}
    assert names == {"result.json", "report.html", "lesions.nii.gz", "activation.nii.gz", "lungs.nii.gz", "notes.txt"}
    assert (out / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("beside_is_closed", [False, True])
def test_folder_with_other_files_is_written_into(
    diagnosis: Diagnosis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, beside_is_closed: bool
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "scan.dcm").write_text("input")
    if beside_is_closed:  # as with a mounted volume: permissions do not bind root, who may run the tests
        monkeypatch.setattr("os.access", lambda path, mode: False)
    write_reports(diagnosis, out)
    assert len(list(out.iterdir())) == 6


def test_file_in_place_of_the_folder_is_refused(diagnosis: Diagnosis, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(UsageError, match="is a file"):
        write_reports(diagnosis, tmp_path / "out")


@pytest.mark.parametrize("name", ["lesions.nii.gz", "report.html", "lesions/truth.png"])
def test_files_of_others_with_our_names_are_not_overwritten(diagnosis: Diagnosis, tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("not ours")
    with pytest.raises(UsageError, match=r"lesions|report"):
        write_reports(diagnosis, tmp_path)
    assert (tmp_path / name).read_text() == "not ours"


def test_pictures_added_to_an_earlier_result_are_not_deleted(
    diagnosis: Diagnosis, picture_diagnosis: Diagnosis, tmp_path: Path
) -> None:
    write_reports(picture_diagnosis, tmp_path / "out")
    (tmp_path / "out" / "lesions" / "mine.png").write_text("x")
    with pytest.raises(UsageError, match=r"mine\.png"):
        write_reports(diagnosis, tmp_path / "out")


def test_uneven_slices_are_a_warning_in_both_reports(diagnosis: Diagnosis, tmp_path: Path) -> None:
    assert diagnosis.study.geometry is not None
    positions = diagnosis.study.geometry.positions.copy()
    positions[30:, 2] += 15
    geometry = replace(diagnosis.study.geometry, positions=positions)
    uneven = replace(diagnosis, study=replace(diagnosis.study, geometry=geometry), notices=(said("first"),))
    write_reports(uneven, tmp_path / "out")
    notices = json.loads((tmp_path / "out" / "result.json").read_text())["notices"]
    assert [one["code"] for one in notices if not one["reason"]] == ["earlier-wording", "nifti-uneven"]
    write_reports(replace(uneven, notices=(*uneven.notices, *nifti_warnings(uneven.study))), tmp_path / "out")
    assert json.loads((tmp_path / "out" / "result.json").read_text())["notices"] == notices, "said once"
    assert "unevenly spaced" in (tmp_path / "out" / "report.html").read_text()
