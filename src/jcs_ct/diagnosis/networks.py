"""The networks of a weights folder, loaded: each is a row of its manifest."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from jcs_ct.diagnosis.diagnoser_settings import Precision
from jcs_ct.diagnosis.typicality import Usual
from jcs_ct.engine import BACKENDS, Device, Network
from jcs_ct.errors import WeightsError
from jcs_ct.evaluation.calibration import PlattScaling
from jcs_ct.evaluation.conformal import AreaThresholds
from jcs_ct.lungs import LUNGS
from jcs_ct.weights import ModelFile, NetworkFile, load_manifest, shipped_network

CLASSIFIER, SEGMENTER = "classifier", "segmenter"
REQUIRED = (CLASSIFIER, SEGMENTER)
FROM_WHAT_SHIPS = (LUNGS,)
"""Networks that need not be in a weights folder: where its manifest does not name one, the one that ships is used."""


@dataclass(frozen=True)
class LoadedNetwork:
    """One row of the manifest, ready to run, with what was fitted to its output."""

    network: Network
    file: ModelFile
    """The file that runs; the manifest may offer several precisions."""
    row: NetworkFile

    @property
    def input_size(self) -> tuple[int, int]:
        """Height and width of the input."""
        return self.network.input_size

    @cached_property
    def calibration(self) -> PlattScaling | None:
        """Calibration of the output; None if none was fitted."""
        return None if self.row.calibration is None else PlattScaling(**self.row.calibration)

    @cached_property
    def usual(self) -> Usual | None:
        """Typical slices in feature space; None if none were fitted."""
        return Usual.of(self.row)

    @property
    def consolidation_hu(self) -> float | None:
        """Opacities denser than this are consolidated; None if no level was fitted."""
        return self.row.consolidation_hu

    @cached_property
    def area_thresholds(self) -> AreaThresholds | None:
        """Thresholds for intervals of volumes; None if none were fitted."""
        return None if self.row.area_thresholds is None else AreaThresholds(**self.row.area_thresholds)


def load_networks(
    folder: Path, precision: Precision, threads: int | None = None, device: Device = Device.CPU
) -> dict[str, LoadedNetwork]:
    """Load the networks of a manifest that the stages of a diagnosis use, by name.

    Args:
        folder: weights with `manifest.json`.
        precision: used for each network that has it, else fp32.
        threads: cores to use; all if None.
        device: what the networks run on.

    Raises:
        WeightsError: a required network is missing, or a file differs from its checksum.
        UsageError: the device is missing.
    """
    rows = load_manifest(folder)
    if missing := [name for name in REQUIRED if name not in rows]:
        raise WeightsError(f"{folder}: the manifest names no {' and no '.join(missing)}")
    used = {name: rows[name] for name in REQUIRED}
    used |= {name: rows.get(name) or shipped_network(name) for name in FROM_WHAT_SHIPS}
    return {name: _loaded(row, precision, threads, device) for name, row in used.items()}


def _loaded(row: NetworkFile, precision: Precision, threads: int | None, device: Device) -> LoadedNetwork:
    file = row.exact if precision is Precision.FP32 or row.quantised is None else row.quantised
    return LoadedNetwork(Network(file.path, threads, BACKENDS[device]), file, row)
