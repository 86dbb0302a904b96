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
class QuantisedFile:
    """A network in whole numbers of eight bits, as OpenVINO keeps it: its graph, with its weights beside it."""

    path: Path
    sha256: str
    weights_sha256: str

    @property
    def weights(self) -> Path:
        """OpenVINO finds them by this name."""
        return self.path.with_suffix(".bin")


@dataclass(frozen=True)
class NetworkFile:
    """One exported network."""

    name: str
    path: Path
    sha256: str
    quantised: QuantisedFile | None = None
    """The same in 8 bits, where it was quantised."""
    calibration: dict[str, float] | None = None
    """Scale and bias of its probabilities' Platt scaling, for a classifier that was calibrated."""


def load_manifest(folder: Path = SHIPPED) -> dict[str, NetworkFile]:
    """Exported networks by name, each checked against its recorded checksum.

    Raises:
        WeightsError: the folder holds no manifest, a file is missing, or one differs from its checksum.
    """
    try:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        found = [
            NetworkFile(
                name,
                folder / entry["onnx"],
                entry["onnx_sha256"],
                _quantised(folder, entry["quantised"]) if "quantised" in entry else None,
                entry.get("calibration"),
            )
            for name, entry in manifest["networks"].items()
        ]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise WeightsError(f"{folder}: no readable manifest.json of weights ({error})") from error
    for file in found:
        _check(file.path, file.sha256)
        if file.quantised is not None:
            _check(file.quantised.path, file.quantised.sha256)
            _check(file.quantised.weights, file.quantised.weights_sha256)
    return {file.name: file for file in found}


def _quantised(folder: Path, entry: dict[str, Any]) -> QuantisedFile:
    return QuantisedFile(folder / entry["file"], entry["sha256"], entry["weights_sha256"])


def write_calibration(folder: Path, name: str, calibration: dict[str, float], fitted_on: str) -> None:
    """Put a calibration into a folder's manifest."""
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    manifest["networks"][name]["calibration"] = calibration
    manifest["networks"][name]["calibration_fitted_on"] = fitted_on
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
