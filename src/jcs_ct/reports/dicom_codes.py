"""The codes that DICOM results speak in: those of the standard where there are any, else our own, with definitions.

docs/dicom-conformance.md lists them for readers of the objects.
"""

from __future__ import annotations

from highdicom.coding_schemes import CodingSchemeIdentificationItem
from pydicom.sr.coding import Code

from jcs_ct.diagnosis.decision import Verdict
from jcs_ct.diagnosis.measured import Side
from jcs_ct.diagnosis.review import Judgement
from jcs_ct.study.segment_codes import ABNORMAL_OPACITY as ABNORMAL_OPACITY
from jcs_ct.study.segment_codes import ABNORMAL_STRUCTURE as ABNORMAL_STRUCTURE
from jcs_ct.study.segment_codes import ANATOMICAL_STRUCTURE as ANATOMICAL_STRUCTURE
from jcs_ct.study.segment_codes import LUNG as LUNG

# Findings and places
COVID_19 = Code("840539006", "SCT", "COVID-19")
VERDICTS = {
    Verdict.POSITIVE: Code("10828004", "SCT", "Positive"),
    Verdict.NEGATIVE: Code("260385009", "SCT", "Negative"),
    Verdict.NOT_ASSESSABLE: Code("373068000", "SCT", "Undetermined"),
    Verdict.NOT_ASSESSED: Code("373121007", "SCT", "Not Evaluated"),
}
SIDES = {Side.RIGHT: Code("24028007", "SCT", "Right"), Side.LEFT: Code("7771000", "SCT", "Left")}
CHEST_CT = Code("24627-2", "LN", "CT Chest")

# Text of a report
QUALITATIVE_EVALUATIONS = Code("C0034375", "UMLS", "Qualitative Evaluations")
CONCLUSION = Code("121077", "DCM", "Conclusion")
COMMENT = Code("121106", "DCM", "Comment")

# Measurements
VOLUME = Code("118565006", "SCT", "Volume")
AREA = Code("42798000", "SCT", "Area")
LONG_AXIS = Code("103339001", "SCT", "Long axis")
SHORT_AXIS = Code("103340004", "SCT", "Short axis")
MEAN_ATTENUATION = Code("112181", "DCM", "Mean Attenuation Coefficient")
PROBABILITY = Code("122157", "DCM", "Probability")
NUMBER_OF_LESIONS = Code("246206008", "SCT", "Number of lesions")
MAXIMUM = Code("56851009", "SCT", "Maximum")
MEAN = Code("373098007", "SCT", "Mean")

# Units
MILLILITRE = Code("mL", "UCUM", "mL")
MILLIMETRE = Code("mm", "UCUM", "mm")
SQUARE_MILLIMETRE = Code("mm2", "UCUM", "mm2")
HOUNSFIELD_UNIT = Code("[hnsf'U]", "UCUM", "Hounsfield unit")
PERCENT = Code("%", "UCUM", "%")
NO_UNITS = Code("1", "UCUM", "no units")
SLICES = Code("{slices}", "UCUM", "slices")

ARTIFICIAL_INTELLIGENCE = Code("123110", "DCM", "Artificial Intelligence")
MANUAL_PROCESSING = Code("123109", "DCM", "Manual Processing")
MORPHOLOGICAL_OPERATIONS = Code("123104", "DCM", "Morphological Operations")

# Our own. A code's meaning never changes; a new meaning gets a new code.
_OWN = "99JCS"
PATIENT_RULE = Code("rule", _OWN, "Patient rule")
"""TEXT: how the infected slices lead to the verdict on the patient."""
INFECTED_SLICES = Code("infected-slices", _OWN, "Number of infected slices")
"""NUM: slices whose calibrated probability of infection is above that of the rule."""
ASSESSED_SLICES = Code("assessed-slices", _OWN, "Number of assessed slices")
"""NUM: slices that show enough lung to be classified."""
THRESHOLD = Code("threshold", _OWN, "Threshold of infected slices")
"""NUM: the number of infected slices of this study at and above which the rule is positive."""
INFECTED_EXTENT = Code("infected-extent", _OWN, "Extent of infected slices along the patient")
"""NUM: sum of the lengths that the infected slices stand for."""
LESION_VOLUME = Code("lesion-volume", _OWN, "Volume of opacities")
"""NUM: volume of all opacities in the finding site."""
LESION_SHARE = Code("lesion-share", _OWN, "Share of lung volume with opacities")
"""NUM: volume of opacities over volume of lung, opacities included."""
SEVERITY = Code("severity-score", _OWN, "CT severity score, 0 to 25")
"""NUM: sum over five regions of 0 to 5 by the share of opacities (Pan et al., Radiology 2020;295:715)."""
ACTIVATION = Code("activation", _OWN, "Activation mapping, relative to its maximum in the study")
"""Quantity of the parametric map: how much a place adds to the classifier's margin for infection."""

SIGN_OFF = Code("sign-off", _OWN, "Sign-off of the report")
"""CODE: whether a person stands by the report. That person is the observer of the item; a comment is its property."""
JUDGEMENTS = {
    Judgement.ACCEPTED: Code("accepted", _OWN, "Accepted"),
    Judgement.REJECTED: Code("rejected", _OWN, "Rejected"),
}
"""Accepted: the person stands by the report. Rejected: the person does not, and it must not be used."""

OWN_SCHEME = CodingSchemeIdentificationItem(
    _OWN, name="JCS private codes", version="1", responsible_organization="jcs-ct"
)
