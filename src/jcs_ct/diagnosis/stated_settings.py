"""The settings and fitted values that a diagnosis was made with, as its provenance states them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

from jcs_ct.diagnosis.diagnoser_settings import DiagnoserSettings
from jcs_ct.diagnosis.networks import CLASSIFIER, SEGMENTER, LoadedNetwork
from jcs_ct.engine import Device
from jcs_ct.evaluation.evidence import SliceEvidence


def stated_settings(
    settings: DiagnoserSettings, networks: Mapping[str, LoadedNetwork], evidence: SliceEvidence | None, device: Device
) -> dict[str, object]:
    """Plain data for `Provenance.settings`."""
    fitted = {
        "evidence": evidence,
        "calibration": networks[CLASSIFIER].calibration,
        "area_thresholds": networks[SEGMENTER].area_thresholds,
    }
    return {
        **asdict(settings),
        **{name: None if each is None else asdict(each) for name, each in fitted.items()},
        "consolidation_hu": networks[SEGMENTER].consolidation_hu,
        "device": device,
    }
