"""What is said about the study that was read: what is missing, and why it may not be assessed."""

from __future__ import annotations

from jcs_ct.notices.entry import Entry
from jcs_ct.notices.notice import Severity

_EXPORT_ALONE = "Export the axial series of one patient alone."

ABOUT_INPUT: dict[str, Entry] = {
    "identities-mixed": Entry(
        Severity.REFUSAL,
        "the images of one series contradict each other on {elements}; {count} of {total} differ from most: {files}",
        "Images of several persons, studies or scanners stand under one Series Instance UID.",
        "Export each patient's series alone.",
        {"files": "names removed"},
    ),
    "orientations-mixed": Entry(
        Severity.REFUSAL,
        "{count} orientations are mixed in one series ({found}); slices of one orientation are needed",
        "No orientation has a clear majority in the series.",
        _EXPORT_ALONE,
    ),
    "orientations-left-out": Entry(
        Severity.WARNING,
        "{count} orientations are mixed in one series ({found}); only the axial slices are read",
        "A few slices of an axial series run another way.",
    ),
    "matrices-mixed": Entry(
        Severity.REFUSAL,
        "{count} of {total} slices have another matrix or pixel spacing; slices of one kind are needed",
        "No matrix size and pixel spacing has a clear majority in the series.",
        _EXPORT_ALONE,
    ),
    "matrices-left-out": Entry(
        Severity.WARNING,
        "{count} of {total} slices have another matrix or pixel spacing and are left out",
        "A few slices of the series do not fit onto the others.",
    ),
    "repeated-acquisitions": Entry(
        Severity.WARNING,
        "the series shows the same part of the patient more than once (told apart by {told_apart_by}); read: the "
        "{read:slice|slices} of one stack, left out: {left_out}",
        "The series holds several acquisitions, phases or reconstructions of the same place. One of them is read.",
        "Export the one to assess as a series of its own if it is another one.",
    ),
    "stray-slices": Entry(
        Severity.WARNING,
        "{count:slice of another acquisition lies|slices of another acquisition lie} in between; left out: {files}",
        "Single slices differ from all others or from both their neighbours, and do not continue the scan.",
        private={"files": "names removed"},
    ),
    "stacks-inseparable": Entry(
        Severity.REFUSAL,
        "{count} of {total} places hold several slices, and nothing in the headers tells which belong together",
        "Several scans or reconstructions are mixed in one series.",
        "Export each of them as a series of its own.",
    ),
    "incomplete-slices": Entry(
        Severity.WARNING,
        "{count} of {total} slices lack {element} and are left out: {files}",
        "A few headers lack, or contradict, what all others state.",
        "Export the series again if these slices matter.",
        {"files": "names removed"},
    ),
    "differing-slices": Entry(
        Severity.WARNING,
        "{count} of {total} slices state {element}, unlike the others, and are left out: {files}",
        "A few headers state what all others lack.",
        "Export the series again.",
        {"files": "names removed"},
    ),
    "slices-inconsistent": Entry(
        Severity.REFUSAL,
        "{count} of {total} slices lack {element}; slices of one kind are needed",
        "So many headers lack an essential value that the others are no whole scan.",
        "Export the series again.",
    ),
    "misplaced-slices": Entry(
        Severity.WARNING,
        "{count:slice states|slices state} a position that its Slice Location contradicts; left out: {files}",
        "Image Position (Patient) and Slice Location agree for all other slices.",
        "Export the series again if these slices matter.",
        {"files": "names removed"},
    ),
    "values-ignored": Entry(
        Severity.INFO,
        "unreadable values in up to {count} of {total} headers were ignored: {elements}",
        "Elements that the assessment does not need hold values of a wrong form.",
    ),
    "values-not-carried": Entry(
        Severity.INFO,
        "values that break the rules of DICOM are not carried into DICOM results: {elements}",
        "Header elements are too long, or hold characters that their type does not allow. Other results show them.",
    ),
    "uids-replaced": Entry(
        Severity.WARNING,
        "UIDs that are not valid were replaced in the results: {elements}",
        "DICOM UIDs consist of digits and dots. Results refer to the images by replacements, the same ones each time. "
        "A viewer may not find the images that they belong to.",
        "Correct the UIDs of the images before reading, if results are to be linked to them.",
    ),
    "places-taken-twice": Entry(
        Severity.WARNING,
        "{count:slice lies|slices lie} where another one does; left out: {files}",
        "Two slices state the same position. The earlier one is read.",
        "Check with the report that the right ones were read.",
        {"files": "names removed"},
    ),
    "positions-missing": Entry(
        Severity.WARNING,
        "the slices state no position or orientation; sorted by {sorted_by}, direction unknown, no sizes in mm",
        "Nothing can be measured in mm or mL, and the order of the slices is a guess.",
        "Export the original DICOM images.",
    ),
    "position-missing": Entry(
        Severity.WARNING,
        "the slice states no position or orientation; no sizes in mm",
        "A single slice without a place in the patient.",
        "Export the original DICOM image.",
    ),
    "rescale-missing": Entry(
        Severity.WARNING,
        "Rescale Slope or Intercept is missing; stored values are taken as HU",
        "CT images must state both (PS3.3 C.8.2.1).",
        "Check that air is near -1000 HU.",
    ),
    "rescale-slope-zero": Entry(
        Severity.WARNING,
        "Rescale Slope is 0; such slices have one value everywhere",
        "The header of some slices makes all values equal.",
        "Export the study again.",
    ),
    "lossy-compression": Entry(
        Severity.WARNING,
        "the images went through lossy compression; fine ground glass may be altered",
        "The header says that the images were compressed with loss.",
        "Use the original images.",
    ),
    "not-hounsfield": Entry(
        Severity.REFUSAL,
        "the values are not Hounsfield units (Rescale Type {unit}); HU are needed",
        "Rescale Type names another unit.",
        "Give a series in HU.",
    ),
    "gaps": Entry(
        Severity.WARNING,
        "{count:gap|gaps} between slices that are usually {usual_mm:.2f} mm apart: {where}; not measured",
        "Some slices are missing. What lies in the gap is neither assessed nor counted.",
        "Export the whole series.",
    ),
    "uneven-slices": Entry(
        Severity.WARNING,
        "the slices are unevenly spaced, {least_mm:.2f} to {most_mm:.2f} mm apart",
        "Measures use the real distances.",
    ),
    "shifted-slices": Entry(
        Severity.WARNING,
        "neighbouring slices lie up to {off_mm:.0f} mm beside each other; measures use their real places",
        "The slices are not stacked along a straight line.",
        "Check that all slices are of one scan.",
    ),
    "gantry-tilt": Entry(
        Severity.INFO,
        "the slices are stacked at a slant of {degrees:.0f} degrees (gantry tilt)",
        "The gantry was tilted. Measures use the real places.",
    ),
    "orientation-not-stated": Entry(
        Severity.WARNING,
        "{file} states no usable sform or qform; no sizes in mm, axes are taken as RAS+",
        "The NIfTI header does not say where the voxels lie.",
        "Convert the study again from DICOM.",
        {"file": "the file"},
    ),
    "sform-unusable": Entry(
        Severity.WARNING,
        "the sform of {file} is not usable; its qform is taken",
        "The sform is stated, but does not span space. The qform says where the voxels lie.",
        "Check in the report that the lungs lie upright.",
        {"file": "the file"},
    ),
    "forms-contradict": Entry(
        Severity.WARNING,
        "sform and qform of {file} place its voxels up to {off_mm:.0f} mm apart; the sform is taken",
        "Programs that read the qform see the volume elsewhere. Masks carry both forms of the source, so every program "
        "lays them on it.",
        "Convert the study again from DICOM.",
        {"file": "the file"},
    ),
    "pictures-rescaled": Entry(
        Severity.INFO,
        "the pictures have more than 8 bits; grey levels {low:g} to {high:g} are scaled to 0 to 255",
        "All pictures are scaled alike, so slices stay comparable.",
    ),
    "pictures-padded": Entry(
        Severity.WARNING,
        "the slices have different sizes; padded with 0 to {width} x {height} pixels",
        "Smaller pictures are centred on the size of the largest one.",
        "Export all slices in one size.",
    ),
    "colour-pictures": Entry(
        Severity.REFUSAL,
        "{count} of {total} pictures are in colour; grey CT slices are needed",
        "Colour means a photograph, a fused image or a map, not a CT slice.",
        "Export the grey slices.",
    ),
    "quarter-turn": Entry(
        Severity.INFO,
        "the pictures state no orientation; turned by 90° to bring the lungs side by side",
        "The lungs lay above each other. Measures of left and right stay unknown.",
    ),
    "not-axial": Entry(
        Severity.REFUSAL,
        "the series is {plane}; axial slices are needed",
        "The slices are coronal, sagittal or oblique.",
        "Give the axial series.",
    ),
    "localizers-only": Entry(
        Severity.REFUSAL,
        "the images are localizers; slices are needed",
        "The series holds overview images only (Image Type).",
        "Give the axial series.",
    ),
    "projections-only": Entry(
        Severity.REFUSAL,
        "the images are projections (Image Type {word}); slices are needed",
        "A projection such as a MIP shows many slices at once.",
        "Give the axial series.",
    ),
    "not-ct": Entry(
        Severity.REFUSAL,
        "the modality is {modality}; CT is needed",
        "The images come from another modality.",
        "Give a CT series.",
    ),
    "few-slices": Entry(
        Severity.REFUSAL,
        "{found:slice|slices} found; a scan of the chest has at least {least}",
        "The series is too short to be a scan of the chest, such as a series that monitors a contrast agent.",
    ),
    "matrix-too-small": Entry(
        Severity.REFUSAL,
        "the slices are {width} pixels wide; at least {least} are needed",
        "Opacities cannot be seen in so few pixels.",
        "Give the original slices, not thumbnails.",
    ),
    "one-value-everywhere": Entry(
        Severity.REFUSAL,
        "all values are {value}; an image of a chest is needed",
        "The image is blank.",
        "Export the study again.",
    ),
    "no-contrast": Entry(
        Severity.REFUSAL,
        "the grey levels span only {low} to {high}; a picture with contrast is needed",
        "The pictures are almost blank.",
        "Export the pictures with a lung window.",
    ),
    "no-air": Entry(
        Severity.REFUSAL,
        "there is no air: values span {low} to {high} HU; a chest holds values near -850 HU",
        "The values are not HU, or no chest is shown.",
        "Check the rescaling of the values.",
    ),
    "no-tissue": Entry(
        Severity.REFUSAL,
        "there is no tissue: values span {low} to {high} HU; a chest holds values near 40 HU",
        "The values are not HU, or no chest is shown.",
        "Check the rescaling of the values.",
    ),
    "pixel-spacing-implausible": Entry(
        Severity.REFUSAL,
        "the pixel spacing is {small_mm:g} x {large_mm:g} mm; {least_mm:g} to {most_mm:g} mm is plausible for CT",
        "Measures would be wrong.",
        "Check Pixel Spacing, or the affine of the NIfTI file.",
    ),
    "pixels-not-square": Entry(
        Severity.REFUSAL,
        "the pixels measure {small_mm:g} x {large_mm:g} mm; square ones are needed",
        "The networks know square pixels only.",
        "Give the original axial slices.",
    ),
    "slice-distance-implausible": Entry(
        Severity.REFUSAL,
        "the slices are {distance_mm:g} mm apart; {least_mm:g} to {most_mm:g} mm is plausible for CT",
        "Measures would be wrong.",
        "Check the positions of the slices, or the affine of the NIfTI file.",
    ),
    "lung-skipped": Entry(
        Severity.WARNING,
        "slices of {thickness_mm:g} mm lie {distance_mm:.3g} mm apart; {percent:.0f} % of the lung in between was "
        "not scanned and is estimated from its neighbours",
        "High-resolution CT with gaps. Volumes are estimates.",
    ),
    "thick-slices": Entry(
        Severity.WARNING,
        "the slices are {thickness_mm:g} mm thick; small and faint opacities are averaged away",
        "Slices are thicker than those the networks were tested on.",
        "Give a thinner reconstruction if there is one.",
    ),
    "edge-enhancing-kernel": Entry(
        Severity.WARNING,
        "kernel {kernel} enhances edges; noise may look like texture, and densities overshoot at edges",
        "The series was reconstructed with a bone kernel.",
        "Give the reconstruction with a standard or lung kernel if there is one.",
        {"kernel": "of the series"},
    ),
    "contrast-agent": Entry(
        Severity.WARNING,
        "a contrast agent was given ({agent}); vessels and enhancing tissue are denser than without",
        "Densities differ from those of a scan without contrast.",
        private={"agent": "name removed"},
    ),
    "prone": Entry(
        Severity.INFO,
        "the patient lay prone; opacities that follow gravity lie in front, not at the back",
        "Patient Position is HFP or FFP.",
    ),
}
