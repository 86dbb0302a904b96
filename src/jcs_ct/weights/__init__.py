"""The weights that ship: what is here, and whether it is what was published.

`manifest.json` names each network's files with their SHA-256; MODEL_CARD.md says what they were made from and for.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from jcs_ct.errors import WeightsError

SHIPPED = Path(__file__).parent


@dataclass(frozen=True)
class NetworkFile:
    """One exported network."""

    name: str
    path: Path
    sha256: str


def load_manifest(folder: Path = SHIPPED) -> dict[str, NetworkFile]:
    """Exported networks by name, each checked against its recorded checksum.

    Raises:
        WeightsError: the folder holds no manifest, a file is missing, or one differs from its checksum.
    """
    try:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        networks = {
            name: (folder / entry["onnx"], entry["onnx_sha256"]) for name, entry in manifest["networks"].items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise WeightsError(f"{folder}: no readable manifest.json of weights ({error})") from error
    return {name: NetworkFile(name, path, _checked(path, expected)) for name, (path, expected) in networks.items()}


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _checked(path: Path, expected: str) -> str:
    try:
        found = file_sha256(path)
    except OSError as error:
        raise WeightsError(f"cannot read the weights {path}: {error.strerror}") from error
    if found != expected:
        raise WeightsError(
            f"{path}: found SHA-256 {found[:16]}…, expected {expected[:16]}…; the file is damaged or was exchanged"
        )
    return found
