"""A real series with its headers altered: what public bug reports of comparable software describe, made anew."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from pydicom import dcmread
from pydicom.config import disable_value_validation
from pydicom.dataset import Dataset
from pydicom.uid import ImplicitVRLittleEndian

Edit = Callable[[Dataset, int], None]
SERIES = Path("dicom") / "lung-pet-ct-dx-A0002"
"""30 slices of 8 mm, 8 mm apart; negative, 66 mL of opacities."""


def stating(indices: Iterable[int] | None = None, **values: object) -> Edit:
    """Sets elements of the slices at `indices` (all if None); an element is deleted by None."""
    chosen = None if indices is None else frozenset(indices)

    def edit(dataset: Dataset, index: int) -> None:
        if chosen is not None and index not in chosen:
            return
        for keyword, value in values.items():
            if value is None:
                dataset.pop(keyword, None)
            else:
                setattr(dataset, keyword, value)

    return edit


def raw(indices: Iterable[int], **values: str) -> Edit:
    """Like `stating`, for texts that pydicom would not let pass as values of their elements."""
    chosen = frozenset(indices)

    def edit(dataset: Dataset, index: int) -> None:
        if index in chosen:
            for keyword, value in values.items():
                dataset.pop(keyword, None)
                dataset.add_new(keyword, "LO", value)

    return edit


def renamed(suffix: str) -> Edit:
    """Gives each image a UID of its own."""

    def edit(dataset: Dataset, index: int) -> None:
        dataset.SOPInstanceUID = f"{dataset.SOPInstanceUID[:50]}.{suffix}{index}"
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID

    return edit


def moved(mm: float) -> Edit:
    """Moves slices along the patient."""

    def edit(dataset: Dataset, index: int) -> None:
        x, y, z = dataset.ImagePositionPatient
        dataset.ImagePositionPatient = [x, y, z + mm]
        if "SliceLocation" in dataset:
            dataset.SliceLocation = dataset.SliceLocation + mm

    return edit


def coarser(dataset: Dataset, index: int) -> None:
    """Keeps every fourth pixel of every fourth row, where a test is of headers and has many series to write."""
    pixels = dataset.pixel_array[::4, ::4]
    dataset.PixelData, (dataset.Rows, dataset.Columns) = pixels.tobytes(), pixels.shape
    dataset.PixelSpacing = [4 * float(spacing) for spacing in dataset.PixelSpacing]


def write(source: Path, target: Path, *edits: Edit, prefix: str = "", implicit: bool = False) -> list[Path]:
    """Write the files of a folder anew, each altered by the edits; returns them from the first to the last."""
    target.mkdir(parents=True, exist_ok=True)
    paths = []
    with disable_value_validation():  # values are wrong on purpose
        for index, path in enumerate(sorted(source.iterdir())):
            dataset = dcmread(path)
            for edit in edits:
                edit(dataset, index)
            paths.append(target / f"{prefix}{path.name}")
            if implicit:  # read back, each element has the type that its tag has
                dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
            dataset.save_as(paths[-1])
    return paths
