"""Pictures and studies decoded and brought to the one form, still at their own resolution."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from jcs_ct import lungs, preprocessing
from jcs_ct.datasets.records import SliceRecord
from jcs_ct.errors import DataError, InputError
from jcs_ct.normalization import normal_study
from jcs_ct.notices import texts
from jcs_ct.study import Study, read_study, refusals
from jcs_ct.study.masks import read_labels

MAX_LABELS = 9
"""A mask may tell kinds of opacities apart; many more values are a picture, or a mask that JPEG has blurred."""


@dataclass(frozen=True)
class NormalizedSlice:
    """One slice in the one form, still at its own resolution."""

    image: NDArray[np.uint8]
    """(H, W), upright."""
    lungs: NDArray[np.bool_]
    mask: NDArray[np.bool_] | None
    box: preprocessing.Box
    consolidation: NDArray[np.bool_] | None = None
    """(H, W): the part of the mask that a reader called consolidation; the rest of it is ground glass."""


def normalized(
    records: Iterable[SliceRecord], input_size: tuple[int, int]
) -> Iterator[tuple[SliceRecord, NormalizedSlice]]:
    """The slices of records, one after the other: of a study those that a diagnosis would look at.

    Each comes with its own record: of a study with the number of the slice, and with the label that a mask tells where
    the table leaves it open.

    Args:
        records: pictures and whole studies.
        input_size: height and width that the networks take.

    Raises:
        DataError: a file is missing, unreadable, not fit to be diagnosed, of another size than its mask, or
            uninfected with a mask that is not empty.
    """
    for record in records:
        if record.study:
            yield from _study_slices(record, input_size)
        else:
            one = normalize_slice(record, input_size)
            yield _labelled(record, one.mask), one


def normalize_slice(record: SliceRecord, input_size: tuple[int, int]) -> NormalizedSlice:
    """Decode one picture and bring it to the one form.

    Raises:
        DataError: image or mask missing, unreadable, or of different sizes.
    """
    grey = read_record(record).voxels[0].astype(np.uint8) if record.own else read_grey(record.path)
    mask = None if record.mask is None else _stored_mask(record, record.mask)
    if mask is not None and mask.shape != grey.shape:
        raise DataError(f"{record.mask}: found size {mask.shape}, expected {grey.shape} as of {record.path}")
    dense = None if record.composition is None or mask is None else _stored_consolidation(record.composition, mask)
    inside = np.ones((1, *grey.shape), bool)
    image = record.upright(preprocessing.normalize_grey(grey[None], inside)[0])
    lung = lungs.find_lungs(image[None])
    mask, dense = (None if one is None else record.upright(one) for one in (mask, dense))
    found = lungs.lung_box(lung, image[None]) or preprocessing.Box(0, image.shape[0], 0, image.shape[1])
    box = preprocessing.network_box(found, input_size)
    return NormalizedSlice(image, lung[0], mask, box, dense)


def read_record(record: SliceRecord) -> Study:
    """Read what a row of own data names, as a diagnosis reads it.

    Raises:
        DataError: it cannot be read, or would not be diagnosed.
    """
    try:
        study = read_study(record.path)
    except InputError as error:
        raise DataError(f"{record.called}: {error}") from error
    if reasons := texts(refusals(study)):
        raise DataError(f"{record.called}: {'; '.join(reasons)}; expected axial CT of a chest: remove the row")
    if not record.study and len(study) > 1:
        raise DataError(f"{record.called}: found {len(study)} pictures in one file, expected one slice: part them")
    return study


def read_mask(record: SliceRecord, study: Study) -> NDArray[np.bool_]:
    """(Z, H, W): a reader's mask of a whole study, on its grid.

    Raises:
        DataError: the mask cannot be read, or is not on the grid of the study.
    """
    if record.mask is None:
        raise DataError(f"{record.called}: found no mask, expected one")
    try:
        return read_labels(record.mask, study, MAX_LABELS) > 0
    except InputError as error:
        raise DataError(f"{record.called}: {error}") from error


def _study_slices(record: SliceRecord, input_size: tuple[int, int]) -> Iterator[tuple[SliceRecord, NormalizedSlice]]:
    study = read_record(record)
    mask = None if record.mask is None else read_mask(record, study)
    record = _labelled(record, mask)  # the label is the study's
    found = normal_study(study)
    box = found.box(input_size)
    if box is None:
        raise DataError(f"{record.called}: no lungs were found, expected axial CT of a chest: remove the row")
    if mask is not None and found.turned:
        mask = np.rot90(mask, 1, (1, 2))
    for k in np.flatnonzero(found.shown).tolist():
        own = None if mask is None else np.ascontiguousarray(mask[k])
        infected = record.infected
        if record.slice_labels is not None:
            infected = record.slice_labels[len(study) - 1 - k]  # slices are numbered from the feet, labels from above
        yield (
            replace(record, index=k, infected=infected),
            NormalizedSlice(found.images[k], found.lungs[k], own, box),
        )


def _labelled(record: SliceRecord, mask: NDArray[np.bool_] | None) -> SliceRecord:
    """A record with the label that its mask tells, where it has none."""
    if not record.own or mask is None:
        return record
    shown = bool(mask.any())
    if record.infected is False and shown:
        raise DataError(
            f"{record.called}: labelled uninfected, but its mask {record.mask and record.mask.name} marks opacities; "
            "correct `infected` or the mask"
        )
    return replace(record, infected=shown) if record.infected is None else record


def picture_mask(record: SliceRecord) -> NDArray[np.bool_]:
    """(H, W): a reader's mask of a picture, upright.

    Raises:
        DataError: there is none, or it cannot be read.
    """
    if record.mask is None:
        raise DataError(f"{record.called}: found no mask, expected one")
    return record.upright(_stored_mask(record, record.mask))


def _stored_mask(record: SliceRecord, path: Path) -> NDArray[np.bool_]:
    values = read_grey(path, record.called if record.own else "")
    if record.own and (count := len(np.unique(values))) > MAX_LABELS + 1:
        raise DataError(
            f"{record.called}: the mask {path.name} holds {count} grey levels, expected 0 and at most {MAX_LABELS} "
            "others: save masks as PNG, as JPEG blurs them"
        )
    return values > 0


def _stored_consolidation(path: Path, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(H, W): the consolidated part of a mask, from a colour-mapped picture see `SliceRecord.composition`."""
    try:
        colours = np.asarray(Image.open(path).convert("RGB"))
    except (OSError, SyntaxError) as error:
        raise DataError(f"cannot read {path}: {error}") from error
    if colours.shape[:2] != mask.shape:
        raise DataError(f"{path}: found size {colours.shape[:2]}, expected {mask.shape} as of the whole mask")
    return np.asarray(mask & (colours[..., 1] > 0))


def read_grey(path: Path, called: str = "") -> NDArray[np.uint8]:
    """(H, W): a picture as grey levels.

    Raises:
        DataError: it cannot be read.
    """
    try:
        return np.asarray(Image.open(path).convert("L"))
    except (OSError, SyntaxError) as error:  # Pillow raises the latter on some damaged PNG files
        raise DataError(f"{called}{': ' if called else ''}cannot read {path}: {error}") from error
