"""DICOM Parametric Map: the activation mapping of the classified slices, on the pixels of the source series."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from highdicom.pm import ParametricMap, RealWorldValueMapping

from jcs_ct.reports import dicom_codes as codes
from jcs_ct.reports.dicom_objects import Derivation


def parametric_maps(derivation: Derivation) -> Iterator[tuple[str, ParametricMap]]:
    """The activation map by file name, if there is one."""
    if (activation := activation_map(derivation)) is not None:
        yield "activation.pm", activation


def activation_map(derivation: Derivation) -> ParametricMap | None:
    """One frame a slice that the classifier has seen, 0 to 255 for 0 to 1; None where it has seen none."""
    diagnosis = derivation.diagnosis
    assessed = [finding.index for finding in diagnosis.slices if finding.assessed]
    if diagnosis.activation is None or not assessed:
        return None
    parametric_map = ParametricMap(
        source_images=[derivation.images[index] for index in assessed],
        # 16 bits are what the standard allows integers in a parametric map (PS3.3 C.8.32.2).
        pixel_array=derivation.stored(np.stack([diagnosis.activation[z] for z in assessed])).astype(np.uint16),
        contains_recognizable_visual_features=False,
        real_world_value_mappings=[
            RealWorldValueMapping(
                lut_label="activation",
                lut_explanation="Activation mapping",
                unit=codes.NO_UNITS,
                value_range=(0, 255),
                slope=1 / 255,
                intercept=0.0,
                quantity_definition=codes.ACTIVATION,
            )
        ],
        window_center=128,
        window_width=256,
        content_label="ACTIVATION",
        content_description="Where the classifier looked; 1 is the strongest of the study",
        coding_schemes=[codes.OWN_SCHEME],
        **derivation.instance("activation"),
    )
    derivation.finish(parametric_map)
    return parametric_map
