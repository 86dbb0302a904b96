"""The weights that ship: what is here, and whether it is what was published.

`manifest.json` names each network's files with their SHA-256; MODEL_CARD.md says what they were made from and for.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jcs_ct.errors import WeightsError

SHIPPED = Path(__file__).parent


@dataclass(frozen=True)
class ModelFile:
    """A network as a graph, with its weights in it or in a file of their own beside it."""

    path: Path
    sha256: str
    weights: Path | None = None
    weights_sha256: str | None = None

    def check(self) -> None:
        """Hold both files against their checksums.

        Raises:
            WeightsError: one is missing or differs.
        """
        _check(self.path, self.sha256)
        if self.weights is not None and self.weights_sha256 is not None:
            _check(self.weights, self.weights_sha256)

    def trace(self) -> dict[str, str]:
        """What a result says of what ran."""
        found = {"file": self.path.name, "sha256": self.sha256}
        return found if self.weights_sha256 is None else found | {"weights_sha256": self.weights_sha256}


@dataclass(frozen=True)
class TypicalityFile:
    """Where the slices that a classifier learned from lie among its features; see `evaluation.typicality`."""

    path: Path
    sha256: str
    unusual: float
    limit: float


@dataclass(frozen=True)
class NetworkFile:
    """One exported network."""

    name: str
    exact: ModelFile
    """ONNX, computed in fp32; its weights are those of the safetensors file beside it."""
    quantised: ModelFile | None = None
    """The same in whole numbers of eight bits, as OpenVINO keeps it, where it was quantised."""
    calibration: dict[str, float] | None = None
    """Scale and bias of its probabilities' Platt scaling, for a classifier that was calibrated."""
    area_thresholds: dict[str, Any] | None = None
    """Thresholds that intervals of volumes are made with, and their coverage, where that is known."""
    consolidation_hu: float | None = None
    """Level of density above which what a segmenter outlines is consolidation, below it ground glass; None where no
    reader's masks told it."""
    typicality: TypicalityFile | None = None
    """How far a slice may lie from those that a classifier learned from, where that was fitted."""

    def check(self) -> None:
        """Hold all files against their checksums.

        Raises:
            WeightsError: one is missing or differs.
        """
        self.exact.check()
        if self.typicality is not None:
            _check(self.typicality.path, self.typicality.sha256)
        if self.quantised is not None:
            self.quantised.check()


def load_manifest(folder: Path = SHIPPED) -> dict[str, NetworkFile]:
    """Exported networks by name, each file checked against its recorded checksum.

    Raises:
        WeightsError: the folder holds no manifest, a file is missing, or one differs from its checksum.
    """
    found = read_manifest(folder)
    for file in found.values():
        file.check()
    return found


def shipped_network(name: str) -> NetworkFile:
    """One of the networks that ship, its files checked and no others.

    Raises:
        WeightsError: there is none of that name, or one of its files is missing or differs from its checksum.
    """
    row = read_manifest(SHIPPED).get(name)
    if row is None:
        raise WeightsError(f"{SHIPPED}: the manifest names no {name}")
    row.check()
    return row


def read_manifest(folder: Path = SHIPPED) -> dict[str, NetworkFile]:
    """Exported networks by name; no file is checked yet.

    Raises:
        WeightsError: the folder holds no manifest.
    """
    try:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        return {name: _network(folder, name, entry) for name, entry in manifest["networks"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise WeightsError(f"{folder}: no readable manifest.json of weights ({error})") from error


def _network(folder: Path, name: str, entry: dict[str, Any]) -> NetworkFile:
    weights = folder / entry["safetensors"] if "safetensors" in entry else None
    exact = ModelFile(folder / entry["onnx"], entry["onnx_sha256"], weights, entry.get("safetensors_sha256"))
    quantised = None
    if "quantised" in entry:
        own = entry["quantised"]
        path = folder / own["file"]
        # OpenVINO finds them by this name.
        quantised = ModelFile(path, own["sha256"], path.with_suffix(".bin"), own["weights_sha256"])
    fitted = {what: entry.get(what) for what in ("calibration", "area_thresholds", "consolidation_hu")}
    typicality = None
    if (own := entry.get("typicality")) is not None:
        typicality = TypicalityFile(folder / own["file"], own["sha256"], own["unusual"], own["limit"])
    return NetworkFile(name, exact, quantised, **fitted, typicality=typicality)


Fitted = float | dict[str, float] | dict[str, float | None] | dict[str, float | str]
"""What the manifest keeps of one fit."""


def write_fitted(folder: Path, name: str, what: str, fitted: Fitted, fitted_on: str) -> None:
    """Put what was fitted for a network, and on what, into a folder's manifest.

    Args:
        folder: of the weights.
        name: of the network.
        what: `calibration`, `area_thresholds`, `consolidation_hu` or `typicality`; see `NetworkFile`.
        fitted: its value.
        fitted_on: source, split and number of slices.
    """
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    manifest["networks"][name] |= {what: fitted, f"{what}_fitted_on": fitted_on}
    write_manifest(folder, manifest)


def load_evidence(folder: Path = SHIPPED) -> dict[str, float] | None:
    """Weights of `evaluation.evidence.SliceEvidence`; None where they were not fitted for these networks.

    Raises:
        WeightsError: the folder holds no readable manifest.
    """
    try:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WeightsError(f"{folder}: no readable manifest.json of weights ({error})") from error
    found = manifest.get("evidence")
    return None if found is None else {name: float(value) for name, value in found.items()}


def write_evidence(folder: Path, evidence: dict[str, float], fitted_on: str) -> None:
    """Put weights of the slice evidence, and what they were fitted on, into a folder's manifest."""
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    manifest |= {"evidence": evidence, "evidence_fitted_on": fitted_on}
    write_manifest(folder, manifest)


def write_manifest(folder: Path, manifest: dict[str, Any]) -> Path:
    """Write a folder's manifest, aside first."""
    path = folder / "manifest.json"
    part = path.with_suffix(".partial")
    part.write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    part.replace(path)
    return path


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _check(path: Path, expected: str) -> None:
    try:
        found = file_sha256(path)
    except OSError as error:
        raise WeightsError(f"cannot read the weights {path}: {error.strerror}") from error
    if found != expected:
        raise WeightsError(
            f"{path}: found SHA-256 {found[:16]}…, expected {expected[:16]}…; the file is damaged or was exchanged"
        )
