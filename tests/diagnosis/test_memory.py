"""What measuring holds at once, in bytes a voxel: it decides how large a study a small machine can take."""

from __future__ import annotations

import tracemalloc

import numpy as np

from jcs_ct.cropped_volume import CroppedVolume
from jcs_ct.diagnosis.lung_regions import lung_sides
from jcs_ct.diagnosis.measure import find_lesions, measure_lesions
from jcs_ct.diagnosis.measured import Measured
from jcs_ct.diagnosis.slices import LungSlices, find_lung_slices
from jcs_ct.diagnosis.whole_lungs import whole_lungs
from tests.diagnosis.test_measure import phantom_study
from tests.phantoms import ChestPhantom

PHANTOM = ChestPhantom.infected(shape=(48, 512, 512), spacing=(4.2, 0.65, 0.65))
VOXELS = PHANTOM.hu.size


def measured(slices: LungSlices, probability: CroppedVolume[np.uint8]) -> Measured:
    """As `pipeline` does it."""
    opacities = CroppedVolume.made(probability.shape, np.bool_, lambda z: probability[z] > 127)
    labels = find_lesions(opacities, slices.study)
    lungs = whole_lungs(slices.lung_mask, labels, slices.overview, None, slices.assessed)
    return measure_lesions(labels, probability, lungs, slices.study, None, opacities)


def test_measuring_takes_less_than_the_voxels_themselves() -> None:
    slices = find_lung_slices(phantom_study(PHANTOM), (160, 208))
    assert slices is not None
    probability = CroppedVolume.of(np.where(PHANTOM.lesion_mask, 200, 0).astype(np.uint8))
    tracemalloc.start()
    try:
        found = measured(slices, probability)
        kept, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(found.lesions) == 2
    assert kept / VOXELS < 0.6  # lungs and sides a byte each where there is lung, labels two where there are any
    assert peak / VOXELS < 1.2  # as arrays, labels, mask, lungs and sides alone would be 5


def test_what_a_diagnosis_holds_is_a_part_of_its_volumes() -> None:
    slices = find_lung_slices(phantom_study(PHANTOM), (160, 208))
    assert slices is not None
    found = measured(slices, CroppedVolume.of(np.where(PHANTOM.lesion_mask, 200, 0).astype(np.uint8)))
    sides = lung_sides(found.lungs, None)
    for volume in (slices.lung_mask, found.lungs, sides):
        assert volume.nbytes < 0.3 * VOXELS
    assert found.labels.nbytes < 0.1 * VOXELS
