"""Makes the results of one study of a batch: read, diagnose, de-identify, write, and draw the most affected slice."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from jcs_ct.batch.engine import Work
from jcs_ct.batch.items import Item
from jcs_ct.batch.records import Record, Records
from jcs_ct.batch.result_file import digest_of, made_from, stamp
from jcs_ct.batch.settings import WorkSettings
from jcs_ct.batch.sources import read_item
from jcs_ct.batch.work import Worker
from jcs_ct.cores import at_most
from jcs_ct.diagnosis.decide import PatientRule
from jcs_ct.diagnosis.diagnoser_settings import DiagnoserSettings
from jcs_ct.diagnosis.given_masks import GivenMasks
from jcs_ct.diagnosis.pipeline import Diagnoser
from jcs_ct.diagnosis.result import Diagnosis
from jcs_ct.reports.deidentify import UidMap, deidentified
from jcs_ct.reports.formats import ReportFormat, check_formats
from jcs_ct.reports.pictures import draw
from jcs_ct.reports.writer import write_reports
from jcs_ct.study.outlines import read_given_masks
from jcs_ct.study.volume import Study

_PICTURE_PX = 192


def prepare(settings: WorkSettings) -> Work:
    """What an engine calls once in each worker."""
    return Worker(settings, StudyDiagnosis(settings))


class StudyDiagnosis:
    """See `work.Diagnose`. The networks are loaded with the first study that needs them."""

    def __init__(self, settings: WorkSettings) -> None:
        self._settings = settings
        self._records = Records(settings.folder)
        self._uids = None if settings.key is None else UidMap(settings.key)
        self._formats = [ReportFormat(name) for name in settings.formats]
        self._diagnoser: Diagnoser | None = None

    def __call__(self, item: Item, begun: Record) -> None:
        """See `work.Diagnose`."""
        with at_most(self._settings.threads):
            study = read_item(item, self._settings)
            check_formats(self._formats, study)  # before minutes are spent
            if self._same_content(item, study):
                return
            diagnosis = self._ready().run(study, given=_given_masks(item, study))
            del study
            if self._uids is not None:
                diagnosis = deidentified(diagnosis, self._uids)
            diagnosis = _stamped(diagnosis, begun)
            self._draw(diagnosis, item.name)
            write_reports(diagnosis, self._records.result(item.name), self._formats)

    def _same_content(self, item: Item, study: Study) -> bool:
        """Whether there is a result of the same voxels: a study that was copied need not be diagnosed again."""
        document = self._records.document(item.name)
        if document is None or self._settings.redo or item.lungs is not None or item.lobes is not None:
            return False
        return made_from(document)[1] == self._settings.recipe and digest_of(document) == study.digest

    def _ready(self) -> Diagnoser:
        if self._diagnoser is None:
            weights = None if self._settings.weights is None else Path(self._settings.weights)
            settings = DiagnoserSettings(rule=PatientRule(paper_threshold=self._settings.threshold))
            self._diagnoser = Diagnoser(weights, settings, self._settings.threads)
        return self._diagnoser

    def _draw(self, diagnosis: Diagnosis, name: str) -> None:
        index = _most_affected(diagnosis)
        if index is None:
            self._records.picture(name).unlink(missing_ok=True)
            return
        drawn = draw(diagnosis, index)
        picture = (drawn.outlined or drawn.plain).copy()
        picture.thumbnail((_PICTURE_PX, _PICTURE_PX))
        part = self._records.picture(name).with_suffix(".partial")
        picture.save(part, "JPEG", quality=80)
        part.replace(self._records.picture(name))


def _stamped(diagnosis: Diagnosis, begun: Record) -> Diagnosis:
    """With what it was made from among its settings; the decision was made by the same run, and says the same."""
    made = diagnosis.provenance
    made = replace(made, settings={**made.settings, **stamp(begun.inputs, begun.recipe)})
    return replace(diagnosis, provenance=made, decision=replace(diagnosis.decision, provenance=made))


def _most_affected(diagnosis: Diagnosis) -> int | None:
    """The slice with the largest share of opacities, else the most suspicious one; None where none was assessed."""
    shown = [each for each in diagnosis.slices if each.probability is not None]
    if not shown:
        return None
    return max(shown, key=lambda each: (each.lesion_share or 0.0, each.probability or 0.0)).index


def _given_masks(item: Item, study: Study) -> GivenMasks:
    if item.lungs is None and item.lobes is None:
        return GivenMasks()
    lungs, lobes = (None if mask is None else Path(mask) for mask in (item.lungs, item.lobes))
    return GivenMasks(*read_given_masks(study, lungs, lobes))
