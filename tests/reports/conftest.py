"""Diagnoses as the pipeline would make them, of phantoms: with geometry (HU) and without (grey pictures)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from jcs_ct.cropped_volume import CroppedVolume
from jcs_ct.diagnosis.decision import (
    Decision,
    ExplanationCheck,
    Provenance,
    RuleOutcome,
    SliceScore,
    ThresholdStep,
    TypicalityCheck,
    Verdict,
)
from jcs_ct.diagnosis.measure import find_lesions, measure_lesions
from jcs_ct.diagnosis.measured import Interval
from jcs_ct.diagnosis.not_assessable import NotAssessable
from jcs_ct.diagnosis.result import Diagnosis
from jcs_ct.notices import Notice, Severity, notice
from jcs_ct.study.volume import Geometry, InputKind, IntensityKind, SourceGrid, Study
from tests.diagnosis_variants import altered
from tests.phantoms import ChestPhantom, to_grey

PHANTOM = ChestPhantom.infected()


def said(words: str, severity: Severity = Severity.WARNING) -> Notice:
    """A notice of any words."""
    return notice("earlier-wording", severity, wording=words)


def diagnose(study: Study, lesions: NDArray[np.bool_], lungs: NDArray[np.bool_]) -> Diagnosis:
    """What a perfect model would say of `study`."""
    assessed = np.asarray(lungs.any((1, 2)))
    labels = find_lesions(lesions, study)
    measured = measure_lesions(labels, lesions.astype(np.float16), lungs, study, segmented=assessed)
    sick = [bool(labels[k].any()) for k in range(len(study))]
    scores = tuple(
        SliceScore(0.9 if infected else 0.1, infected) if shown else SliceScore()
        for infected, shown in zip(sick, assessed, strict=True)
    )
    infected = sum(bool(score.infected) for score in scores)
    made = Provenance("0.0.0", {"classifier": {"name": "c.onnx", "sha256": "12" * 32}}, {"threshold": 25})
    rule = (
        notice("threshold-by-share", paper_threshold=25, threshold=5.0, paper_count=325, count=40)
        if study.geometry is None
        else notice("threshold-by-distance", paper_threshold=25, threshold=5.0, paper_distance_mm=1, distance_mm=5)
    )
    decision = Decision(
        verdict=Verdict.POSITIVE,
        reasons=(notice("threshold-reached", infected=infected, assessed=int(assessed.sum()), threshold=5.0),),
        probability=0.97,
        rule=RuleOutcome(
            infected_slices=infected,
            assessed_slices=int(assessed.sum()),
            threshold=5.0,
            unit="slices by mm" if study.geometry is not None else "slices by fraction",
            infected_extent_mm=5.0 * infected if study.geometry is not None else None,
            explanation=rule,
            curve=tuple(ThresholdStep(t, t / 5, infected >= t / 5) for t in (15, 20, 25, 30, 200)),
        ),
        scores=scores,
        activation=CroppedVolume.of(np.where(lesions, 200, 30).astype(np.uint8)),
        digest=study.digest,
        provenance=made,
    )
    return Diagnosis(study, decision, measured, (), made, {"read": 0.5, "total": 2.0})


@pytest.fixture(scope="session")
def diagnosis() -> Diagnosis:
    """Positive, of a DICOM series in HU: 5 mm slices, 2.6 mm pixels."""
    places = np.array(PHANTOM.positions)
    positions = np.stack([np.full(40, -166.0), np.full(40, -170.5), places + 12.25], axis=1)
    geometry = Geometry(positions, np.array([1.0, 0, 0]), np.array([0, 1.0, 0]), (2.6, 2.6), 5.0)
    study = Study(
        voxels=PHANTOM.hu,
        intensity=IntensityKind.HU,
        kind=InputKind.DICOM,
        sources=tuple(f"{k:04d}.dcm" for k in range(40)),
        digest="ab" * 32,
        geometry=geometry,
        plane="axial",
        series_uid="1.2.3",
        attributes={"PatientName": "Phantom^Chest", "PatientID": "P1", "StudyDate": "20200401", "Modality": "CT"},
    )
    return diagnose(study, PHANTOM.lesion_mask, PHANTOM.lung_mask)


@pytest.fixture(scope="session")
def picture_diagnosis() -> Diagnosis:
    """Positive, of pictures of two sizes: the odd ones are padded from 128 x 128 (rows, columns) out of 100 x 110."""
    extents = np.array([[0, 128, 0, 128] if k % 2 == 0 else [14, 114, 9, 119] for k in range(40)])
    own = np.zeros(PHANTOM.shape, bool)
    for k, (top, bottom, left, right) in enumerate(extents):
        own[k, top:bottom, left:right] = True
    study = Study(
        voxels=to_grey(PHANTOM.hu) * own,
        intensity=IntensityKind.GRAY8,
        kind=InputKind.IMAGES,
        sources=tuple(f"slice{k + 1}.png" for k in range(40)),
        digest="cd" * 32,
        extents=extents,
    )
    return diagnose(study, PHANTOM.lesion_mask & own, PHANTOM.lung_mask & own)


@pytest.fixture(scope="session")
def nifti_diagnosis() -> Diagnosis:
    """Positive, of an oblique NIfTI file whose axes run A, I, R."""
    # stored axes (row, z, column) of the canonical volume; row and z count backwards
    grid = SourceGrid(axes=(1, 0, 2), flips=(True, True, False))
    turn = np.deg2rad(10)
    across = np.array([np.cos(turn), np.sin(turn), 0])
    down = np.array([-np.sin(turn), np.cos(turn), 0])
    positions = np.array([-160.0, -150.0, 40.0]) + np.arange(40)[:, None] * np.array([0, 0, 5.0])
    geometry = Geometry(positions, across, down, (2.6, 2.6))
    lps = np.eye(4)  # columns: steps along stored axes 0 (row, backwards), 1 (z, backwards), 2 (column)
    lps[:3, :3] = np.stack([-down * 2.6, [0, 0, -5.0], across * 2.6], axis=1)
    lps[:3, 3] = positions[-1] + down * 2.6 * 127
    study = Study(
        voxels=PHANTOM.hu,
        intensity=IntensityKind.HU,
        kind=InputKind.NIFTI,
        sources=("ct.nii.gz",) * 40,
        digest="ef" * 32,
        geometry=geometry,
        grid=replace(grid, affine=np.diag([-1.0, -1, 1, 1]) @ lps),
    )
    return diagnose(study, PHANTOM.lesion_mask, PHANTOM.lung_mask)


@pytest.fixture(scope="session")
def not_assessable(diagnosis: Diagnosis) -> Diagnosis:
    """Read, but not judged."""
    refused = NotAssessable((notice("no-lungs"),)).decision(diagnosis.study.digest, diagnosis.provenance)
    return replace(diagnosis, decision=refused, measured=None)


@pytest.fixture(scope="session")
def sure_diagnosis(diagnosis: Diagnosis) -> Diagnosis:
    """The one in HU, with intervals of all volumes and checks of its explanation and its slices."""
    volume, share = diagnosis.measures.lesion_volume_ml, diagnosis.measures.lesion_share_of_lung
    assert volume is not None
    assert share is not None
    thresholds = {"lower": 0.16, "upper": 0.8, "coverage": 0.9, "measured": 0.46}
    return altered(
        diagnosis,
        lesions=tuple(
            replace(one, voxels_interval=Interval(10 * one.id, 5000), volume_interval_ml=Interval(0.31 * one.id, 987.6))
            for one in diagnosis.lesions
        ),
        measures=replace(
            diagnosis.measures,
            lesion_volume_interval_ml=Interval(volume / 2, 1234.5),
            lesion_share_interval=Interval(share / 2, 0.456),
        ),
        provenance=replace(diagnosis.provenance, settings={"area_thresholds": thresholds}),
        explanation=ExplanationCheck(7, 0.49, 0.24, 0.162, 0.041),
        typicality=TypicalityCheck(20, 1.04, 1.23, 1.72, 3, 1),
    )
