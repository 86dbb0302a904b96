"""How many studies an input holds. One is read; several are refused and listed, so none is passed over silently."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from jcs_ct.errors import SeveralStudiesError
from jcs_ct.notices import Notice, Severity, notice, printable
from jcs_ct.study.dicom_frames import Frame
from jcs_ct.study.dicom_identity import same_person, stated

_LISTED = 5


@dataclass
class FoundStudy:
    """One study of an input."""

    frames: list[Frame]
    """Of all its series."""

    @property
    def called(self) -> str:
        """What to call it in a message: who, when and where."""
        first = self.frames[0]
        who = first.attributes.get("PatientID") or first.attributes.get("PatientName") or "no patient ID"
        when = first.attributes.get("StudyDate") or "no date"
        folder = PurePosixPath(first.name).parent
        return printable(f"{who[:40]} of {when[:20]} ({len(self.frames)} images in {str(folder)[-40:]})")


def found_studies(series: Sequence[list[Frame]]) -> tuple[FoundStudy, ...]:
    """The studies that series of CT images belong to: of one Study Instance UID, and of one person as far as stated."""
    studies: list[FoundStudy] = []
    for frames in series:
        for known in studies:
            first, other = known.frames[0], frames[0]
            same = stated(first, "StudyInstanceUID") == stated(other, "StudyInstanceUID")
            if same and same_person(first, other):
                known.frames += frames
                break
        else:
            studies.append(FoundStudy(list(frames)))
    return tuple(studies)


def several_studies(studies: Sequence[FoundStudy], chosen: bool) -> list[Notice]:
    """The notice that there are several studies; a refusal unless the user has chosen a series of one."""
    if len(studies) < 2:
        return []
    severity = Severity.WARNING if chosen else Severity.REFUSAL
    return [notice("several-studies", severity, count=len(studies), patients=_patients(studies))]


def refuse_several(studies: Sequence[FoundStudy]) -> None:
    """Refuse an input of several studies.

    Raises:
        SeveralStudiesError: It lists them.
    """
    if len(studies) < 2:
        return
    patients = _patients(studies)
    listed = "; ".join(study.called for study in studies[:_LISTED])
    more = f"; and {len(studies) - _LISTED} more" if len(studies) > _LISTED else ""
    raise SeveralStudiesError(
        f"found {len(studies)} studies of {patients} {'patient' if patients == 1 else 'patients'}, expected one: "
        f"{listed}{more}. Give each study alone, or choose a series with --series-uid (jcs info lists them); jcs "
        "batch takes many studies"
    )


def files_of_studies(studies: Sequence[FoundStudy], others: Iterable[Path]) -> list[list[Path]]:
    """The files of each study, in the order of their first files.

    Args:
        studies: What was found.
        others: Files that are of no study as far as can be told: damaged ones, and objects that are no CT images. They
            go to each study that has images in their folder, or to all: none is dropped without a word.
    """
    files = sorted(sorted({frame.path for frame in study.frames}) for study in studies)
    folders = [{path.parent for path in each} for each in files]
    for path in others:
        beside = [number for number, each in enumerate(folders) if path.parent in each] or range(len(files))
        for number in beside:
            files[number].append(path)
    return files


def _patients(studies: Sequence[FoundStudy]) -> int:
    persons: list[Frame] = []
    for study in studies:
        if not any(same_person(study.frames[0], known) for known in persons):
            persons.append(study.frames[0])
    return len(persons)
