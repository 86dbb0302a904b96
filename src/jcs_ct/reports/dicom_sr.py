"""DICOM Structured Report: verdict, rule and measurements as TID 1500, "Measurement Report" (PS3.16 Annex A).

The patient as a whole is a group of TID 1501, each lung and each opacity a group of TID 1411 that refers to its segment
in the segmentations. What is said in words (reasons, rule, warnings) stands under Qualitative Evaluations, row 12.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from highdicom.seg import Segmentation
from highdicom.sr import (
    AlgorithmIdentification,
    CodedConcept,
    Comprehensive3DSR,
    ContainerContentItem,
    ContentSequence,
    DeviceObserverIdentifyingAttributes,
    FindingSite,
    Measurement,
    MeasurementReport,
    MeasurementsAndQualitativeEvaluations,
    ObservationContext,
    ObserverContext,
    QualitativeEvaluation,
    ReferencedSegment,
    RelationshipTypeValues,
    SourceImageForMeasurementGroup,
    SourceSeriesForSegmentation,
    TextContentItem,
    TrackingIdentifier,
    VolumetricROIMeasurementsAndQualitativeEvaluations,
)
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes as standard
from pydicom.sr.coding import Code

from jcs_ct.diagnosis.lung_regions import SIDE_LABELS
from jcs_ct.diagnosis.measured import Lesion, RegionMeasures, Side
from jcs_ct.diagnosis.result import Diagnosis
from jcs_ct.notices import text, texts
from jcs_ct.reports import dicom_codes as codes
from jcs_ct.reports.dicom_objects import MANUFACTURER, MODEL_NAME, RESEARCH_USE, Derivation
from jcs_ct.reports.dicom_seg import lesion_name, lung_name, segmentations
from jcs_ct.reports.pictures import telling_slices

_Group = MeasurementsAndQualitativeEvaluations | VolumetricROIMeasurementsAndQualitativeEvaluations


def report_with_segmentations(derivation: Derivation) -> Iterator[tuple[str, Dataset]]:
    """The report by file name, after the segmentations that it refers to, if slices have a place for any."""
    found = dict(segmentations(derivation)) if derivation.source.placed else {}
    yield from found.items()
    yield "report.sr", structured_report(derivation, found.get("lesions.seg"), found.get("lungs.seg"))


def structured_report(
    derivation: Derivation, lesions: Segmentation | None, lungs: Segmentation | None
) -> Comprehensive3DSR:
    """The report. It refers to the segmentations that were made; without them lesions and lungs are left out of it."""
    groups: list[_Group] = [_patient(derivation)]
    if lungs is not None:
        groups += [_lung(derivation, one, one.side, lungs) for one in derivation.diagnosis.measures.lungs if one.side]
    if lesions is not None:
        groups += [_lesion(derivation, lesion, lesions) for lesion in derivation.diagnosis.lesions]
    content = MeasurementReport(
        observation_context=ObservationContext(observer_device_context=_observer(derivation)),
        procedure_reported=codes.CHEST_CT,
        imaging_measurements=groups,
        title=standard.DCM.ImagingMeasurementReport,
    )
    content[0].ContentSequence.append(_in_words(derivation.diagnosis))
    report = Comprehensive3DSR(
        evidence=[*derivation.images, *(one for one in (lesions, lungs) if one is not None)],
        content=content[0],
        is_complete=True,
        is_final=False,
        coding_schemes=[codes.OWN_SCHEME],
        transfer_syntax_uid="1.2.840.10008.1.2.1",
        **derivation.instance("report"),
    )
    derivation.finish(report)
    return report


def _observer(derivation: Derivation) -> ObserverContext:
    attributes = DeviceObserverIdentifyingAttributes(
        uid=derivation.device_uid,
        name=MODEL_NAME,
        manufacturer_name=MANUFACTURER,
        model_name=f"{MODEL_NAME} {derivation.diagnosis.provenance.version}",
        serial_number=derivation.weights_digest[:16],
    )
    return ObserverContext(CodedConcept.from_code(standard.DCM.Device), attributes)


def _algorithm(derivation: Derivation) -> AlgorithmIdentification:
    provenance, parameters = derivation.diagnosis.provenance, derivation.parameters
    decided = provenance.outlines is None or derivation.diagnosis.carried_over
    return AlgorithmIdentification(
        name=MODEL_NAME,
        version=provenance.version,
        parameters=[f"{name} SHA-256 {digest}" for name, digest in parameters.items()] or None,
        family=codes.ARTIFICIAL_INTELLIGENCE if decided else codes.MANUAL_PROCESSING,
        manufacturer=MANUFACTURER,
    )


def _patient(derivation: Derivation) -> MeasurementsAndQualitativeEvaluations:
    """The verdict, and the numbers that it follows from."""
    diagnosis = derivation.diagnosis
    rule, totals = diagnosis.rule, diagnosis.measures
    outlined = diagnosis.lesion_labels is not None
    numbers: list[tuple[Code, float | None, Code]] = [(codes.PROBABILITY, diagnosis.probability, codes.NO_UNITS)]
    if rule is not None:
        numbers += [
            (codes.INFECTED_SLICES, rule.infected_slices, codes.SLICES),
            (codes.ASSESSED_SLICES, rule.assessed_slices, codes.SLICES),
            (codes.THRESHOLD, rule.threshold, codes.SLICES),
            (codes.INFECTED_EXTENT, rule.infected_extent_mm, codes.MILLIMETRE),
        ]
    if outlined:
        numbers += [
            (codes.NUMBER_OF_LESIONS, totals.lesion_count, codes.NO_UNITS),
            (codes.LESION_VOLUME, totals.lesion_volume_ml, codes.MILLILITRE),
            (codes.LESION_SHARE, _percent(totals.lesion_share_of_lung), codes.PERCENT),
        ]
    if outlined and totals.severity is not None:
        numbers.append((codes.SEVERITY, totals.severity.total, codes.NO_UNITS))
    return MeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(derivation.uid("tracking patient"), "Patient"),
        algorithm_id=_algorithm(derivation),
        finding_sites=[FindingSite(codes.LUNG)],
        measurements=_measurements(numbers),
        qualitative_evaluations=[QualitativeEvaluation(codes.COVID_19, codes.VERDICTS[diagnosis.verdict])],
        source_images=[
            SourceImageForMeasurementGroup(*derivation.reference(index)) for index in telling_slices(diagnosis)
        ],
    )


def _lung(
    derivation: Derivation, measures: RegionMeasures, side: Side, segmentation: Segmentation
) -> VolumetricROIMeasurementsAndQualitativeEvaluations:
    numbers = [
        (codes.VOLUME, measures.lung_volume_ml, codes.MILLILITRE),
        (codes.LESION_VOLUME, measures.lesion_volume_ml, codes.MILLILITRE),
        (codes.LESION_SHARE, _percent(measures.lesion_share), codes.PERCENT),
    ]
    name = lung_name(side)
    return VolumetricROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(derivation.uid(f"tracking {name}"), name),
        referenced_segment=_segment(derivation, segmentation, SIDE_LABELS[side]),
        finding_category=codes.ANATOMICAL_STRUCTURE,
        finding_type=codes.LUNG,
        finding_sites=[FindingSite(codes.LUNG, codes.SIDES[side])],
        measurements=_measurements(numbers),
    )


def _lesion(
    derivation: Derivation, lesion: Lesion, segmentation: Segmentation
) -> VolumetricROIMeasurementsAndQualitativeEvaluations:
    measurements = _measurements(
        [
            (codes.VOLUME, lesion.volume_ml, codes.MILLILITRE),
            (codes.MEAN_ATTENUATION, lesion.mean_hu, codes.HOUNSFIELD_UNIT),
            (codes.LONG_AXIS, lesion.long_axis_mm, codes.MILLIMETRE),
            (codes.SHORT_AXIS, lesion.perpendicular_mm, codes.MILLIMETRE),
        ]
    )
    measurements += _measurements([(codes.AREA, lesion.area_mm2, codes.SQUARE_MILLIMETRE)], codes.MAXIMUM)
    measurements += _measurements([(codes.PROBABILITY, lesion.mean_probability, codes.NO_UNITS)], codes.MEAN)
    name = lesion_name(lesion.id)
    return VolumetricROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(derivation.uid(f"tracking {name}"), name),
        referenced_segment=_segment(derivation, segmentation, lesion.id),
        finding_category=codes.ABNORMAL_STRUCTURE,
        finding_type=codes.ABNORMAL_OPACITY,
        finding_sites=[FindingSite(codes.LUNG, None if lesion.side is None else codes.SIDES[lesion.side])],
        measurements=measurements,
    )


def _segment(derivation: Derivation, segmentation: Segmentation, number: int) -> ReferencedSegment:
    series = str(derivation.images[0].SeriesInstanceUID)
    return ReferencedSegment(
        sop_class_uid=segmentation.SOPClassUID,
        sop_instance_uid=segmentation.SOPInstanceUID,
        segment_number=number,
        source_series=SourceSeriesForSegmentation(series),
    )


def _measurements(
    numbers: Sequence[tuple[Code, float | None, Code]], derivation: Code | None = None
) -> list[Measurement]:
    """TID 300, for the numbers that are known."""
    return [
        # More than six digits would say more than a measurement on voxels can.
        Measurement(name=name, value=float(f"{value:.6g}"), unit=unit, derivation=derivation)
        for name, value, unit in numbers
        if value is not None and math.isfinite(value)
    ]


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share


def _in_words(diagnosis: Diagnosis) -> ContainerContentItem:
    """Qualitative Evaluations: why the verdict is what it is, and what to know about it."""
    said = [(codes.CONCLUSION, words) for words in texts(diagnosis.reasons)]
    if diagnosis.rule is not None:
        said.append((codes.PATIENT_RULE, text(diagnosis.rule.explanation)))
    said += [(codes.COMMENT, words) for words in (*texts(diagnosis.notices), RESEARCH_USE)]
    container = ContainerContentItem(
        name=codes.QUALITATIVE_EVALUATIONS, relationship_type=RelationshipTypeValues.CONTAINS
    )
    container.ContentSequence = ContentSequence(
        [
            TextContentItem(name=name, value=words, relationship_type=RelationshipTypeValues.CONTAINS)
            for name, words in said
        ]
    )
    return container
