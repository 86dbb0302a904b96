"""What a user can choose about a diagnosis."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from jcs_ct.diagnosis.decide import PatientRule


class DecideBy(StrEnum):
    """What decides whether a slice is infected."""

    JOINT = "joint"
    """Classifier and segmenter together, as one calibrated probability (`evaluation.evidence`)."""
    CLASSIFIER = "classifier"
    """The classifier alone, as in the paper."""


class Precision(StrEnum):
    """Number format that the networks compute in."""

    FP32 = "fp32"
    INT8 = "int8"


@dataclass(frozen=True)
class DiagnoserSettings:
    """Settings of a `Diagnoser`; written into every result.

    Raises:
        ValueError: a probability lies outside 0..1, or the precision or what decides is unknown.
    """

    rule: PatientRule = field(default_factory=PatientRule)
    suspect_probability: float = 0.3
    """In a positive patient, slices at or above this probability are segmented. It is lower than the rule's, because
    lesions fade out over slices that are not infected themselves. In other patients only infected slices are."""
    lesion_probability: float = 0.5
    """A pixel above this probability is lesion."""
    precision: Precision = Precision.INT8
    """Used where the weights hold this precision. Networks are trained in fp32."""
    decide_by: DecideBy | None = None
    """What decides whether a slice is infected; if None, both tasks where the weights hold slice evidence, else the
    classifier."""
    mirrored: bool = False
    """Whether each slice is also seen mirrored and the two outputs are averaged. This doubles the time."""

    def __post_init__(self) -> None:
        for name in ("suspect_probability", "lesion_probability"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"expected {name} between 0 and 1, found {getattr(self, name)}")
        # A plain string would never be equal to an enum's member under `is`, and the default would be used silently.
        object.__setattr__(self, "precision", Precision(self.precision))
        object.__setattr__(self, "decide_by", None if self.decide_by is None else DecideBy(self.decide_by))
