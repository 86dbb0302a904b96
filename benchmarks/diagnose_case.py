"""Time and memory of one whole diagnosis, from DICOM files to reports.

    python benchmarks/diagnose_case.py --data ../shared/data [--slices 300]

Makes a case of the wanted number of slices from `dicom/ricord-001012` (slices repeated evenly over 300 mm), runs
`jcs diagnose` on it in a process of its own, and prints seconds, peak memory and the verdict as JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from pydicom import dcmread
from pydicom.uid import generate_uid

EXTENT_MM = 300.0
"""What the slices of a case reach over along the patient, however many they are."""


def write_case(source: Path, folder: Path, slices: int) -> None:
    """Write `slices` DICOM files, evenly over a chest, from the slices of a series in their order along the patient."""
    datasets = sorted((dcmread(p) for p in source.rglob("*.dcm")), key=lambda d: float(d.ImagePositionPatient[2]))
    series = generate_uid()
    folder.mkdir(parents=True)
    for number, index in enumerate(np.linspace(0, len(datasets) - 1, slices).round().astype(int)):
        dataset = datasets[index]
        x, y, _ = dataset.ImagePositionPatient
        dataset.ImagePositionPatient = [x, y, number * EXTENT_MM / slices]
        dataset.SeriesInstanceUID = series
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        dataset.InstanceNumber = number + 1
        dataset.save_as(folder / f"{number:04d}")


def main() -> None:
    """Make the case, run it, print what it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds dicom/ricord-001012")
    parser.add_argument("--slices", type=int, default=300)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        case, out = Path(folder, "case"), Path(folder, "out")
        write_case(arguments.data / "dicom" / "ricord-001012", case, arguments.slices)
        start = time.perf_counter()
        command = [sys.executable, "-m", "jcs_ct.cli", "diagnose", str(case), "-o", str(out)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        seconds = time.perf_counter() - start
        document = json.loads((out / "result.json").read_text(encoding="utf-8"))
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024**2
    figures = {
        "slices": arguments.slices,
        "seconds": round(seconds, 1),
        "peak_gb": round(peak, 2),
        "cores": len(os.sched_getaffinity(0)),
        "verdict": document["verdict"],
        "segmented_slices": sum(s["lesion_share"] is not None for s in document["slices"]),
        "stages": document["timing_s"],
    }
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
