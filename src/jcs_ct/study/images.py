"""Folders of PNG, JPEG, BMP or TIFF slices, and single pictures: grey levels of an unknown window, no geometry.

Pictures keep the orientation in which they are stored: nothing in them says which way the patient lies.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageSequence, UnidentifiedImageError

from jcs_ct.errors import UnreadableFileError, UnsupportedInputError
from jcs_ct.notices import Notice, notice
from jcs_ct.study.files import Names, listing, one_line
from jcs_ct.study.limits import MAX_SIDE, refuse_too_large
from jcs_ct.study.volume import InputKind, IntensityKind, Study, content_digest

_FORMATS = ("PNG", "JPEG", "BMP", "DIB", "TIFF")
# A colour channel may differ by this much through JPEG's chroma coding alone.
_GREY_TOLERANCE = 24
# Arrows and letters on a grey slice cover less of it; photographs and screenshots of maps cover more.
_MAX_COLOURED_SHARE = 0.1


@dataclass(frozen=True)
class _Picture:
    """One decoded slice."""

    name: str
    pixels: NDArray[np.uint8] | NDArray[np.float32]
    """(H, W): uint8, or float32 where the file has more than 8 bits."""
    coloured: bool

    @property
    def deep(self) -> bool:
        return self.pixels.dtype != np.uint8


def read_images(files: list[Path], root: Names) -> Study:
    """Read pictures as the slices of one study, in the natural order of their names.

    Args:
        files: At least one picture file.
        root: What to call the files.

    Returns:
        A GRAY8 study without geometry. Smaller slices are padded centrally with 0.

    Raises:
        UnreadableFileError: More than half of the files cannot be decoded.
        UnsupportedInputError: The pictures lie in several folders, or are too large.
    """
    _refuse_several_folders(files, root)
    pictures, unreadable = _decode_all(sorted(files, key=lambda path: natural_key(path.name)), root)
    notices = []
    if unreadable:
        names = tuple(name for name, _ in unreadable)
        notices.append(notice("pictures-unreadable", count=len(names), files=names, reason=unreadable[0][1]))
    if any(picture.deep for picture in pictures):
        pictures, scaled = _to_eight_bits(pictures)
        notices.append(scaled)
    voxels, extents = _stack(pictures)
    if extents is not None:
        notices.append(notice("pictures-padded", width=voxels.shape[2], height=voxels.shape[1]))
    return Study(
        voxels=voxels,
        intensity=IntensityKind.GRAY8,
        kind=InputKind.IMAGES,
        sources=tuple(picture.name for picture in pictures),
        digest=content_digest(voxels, IntensityKind.GRAY8, None),
        extents=extents,
        notices=(*notices, *_colour_refusals(pictures)),
    )


def natural_key(name: str) -> tuple[tuple[int, int, str], ...]:
    """Sorting key that puts "slice2" before "slice10"."""
    parts = re.split(r"([0-9]+)", name.casefold())
    return tuple((0, int(part), part) if part.isdecimal() else (1, 0, part) for part in parts if part)


def _refuse_several_folders(files: list[Path], root: Names) -> None:
    folders = sorted({PurePosixPath(root.of(path)).parent.as_posix() for path in files})
    if len(folders) > 1:
        raise UnsupportedInputError(
            f"pictures lie in {len(folders)} folders ({listing(folders)}), and may be of several patients; "
            "expected the slices of one series in one folder: give one of these folders"
        )


def _decode_all(files: list[Path], root: Names) -> tuple[list[_Picture], list[tuple[str, str]]]:
    pictures: list[_Picture] = []
    unreadable: list[tuple[str, str]] = []
    size, packed = 0, 0
    for path in files:
        name = root.of(path)
        packed += path.stat().st_size
        try:
            pages: list[_Picture] = []
            for page in _decode(path, name):
                pages.append(page)
                size += page.pixels.nbytes
                refuse_too_large(size, packed, f"{name} with the pictures before it")
            pictures += pages
        except UnsupportedInputError:
            raise
        except UnidentifiedImageError:
            unreadable.append((name, "it does not decode as its first bytes promise"))
        except Exception as error:  # Pillow's plugins raise nearly anything on damaged files
            unreadable.append((name, one_line(error)))
    if len(unreadable) * 2 > len(files):
        name, reason = unreadable[0]
        count = f"{len(unreadable)} of {len(files)} pictures are" if len(files) > 1 else "the picture is"
        raise UnreadableFileError(f"{count} damaged, first {name} ({reason}): copy or export the pictures again")
    return pictures, unreadable


def _decode(path: Path, name: str) -> Iterator[_Picture]:
    with Image.open(path, formats=_FORMATS) as image:
        for frame in ImageSequence.Iterator(image):  # the pages of a TIFF may differ in size
            if max(frame.size) > MAX_SIDE:
                raise UnsupportedInputError(
                    f"{name} has {frame.size[0]} x {frame.size[1]} pixels, expected a CT slice of at most {MAX_SIDE}"
                )
            pixels, coloured = _to_grey(frame)
            yield _Picture(name, pixels, coloured)


def _to_grey(image: Image.Image) -> tuple[NDArray[np.uint8] | NDArray[np.float32], bool]:
    if image.mode.startswith(("I", "F")):
        return np.asarray(image, dtype=np.float32), False
    if image.mode in ("L", "1"):
        return np.asarray(image.convert("L")), False
    # Palettes and alpha channels resolve to colours first; what is transparent shows the black of a CT's background.
    opaque = Image.new("RGBA", image.size, (0, 0, 0, 255))
    opaque.alpha_composite(image.convert("RGBA"))
    channels = np.asarray(opaque.convert("RGB"))  # (H, W, 3)
    spread = channels.max(axis=2) - channels.min(axis=2)
    coloured = float((spread > _GREY_TOLERANCE).mean()) > _MAX_COLOURED_SHARE
    return np.asarray(opaque.convert("L")), coloured


def _to_eight_bits(pictures: list[_Picture]) -> tuple[list[_Picture], Notice]:
    """Bring deeper pictures to 0..255, all with one scale, so that slices stay comparable."""
    deep = [picture.pixels for picture in pictures if picture.deep]
    if not all(np.isfinite(pixels).all() for pixels in deep):
        raise UnreadableFileError("a picture holds values that are not numbers: export the pictures again")
    low = min(float(pixels.min()) for pixels in deep)
    high = max(float(pixels.max()) for pixels in deep)
    scale = 255 / (high - low) if high > low else 0.0
    scaled = [
        _Picture(p.name, np.rint((p.pixels - np.float32(low)) * np.float32(scale)).astype(np.uint8), p.coloured)
        if p.deep
        else p
        for p in pictures
    ]
    return scaled, notice("pictures-rescaled", low=low, high=high)


def _stack(pictures: list[_Picture]) -> tuple[NDArray[np.uint8], NDArray[np.int64] | None]:
    """Put the slices into one (Z, H, W) array, and tell where each lies in it if sizes differ."""
    sizes = [picture.pixels.shape for picture in pictures]
    height, width = (max(size[k] for size in sizes) for k in (0, 1))
    # What was decoded is held already; padding to the largest size may still ask for too much.
    what = f"{len(pictures)} pictures of up to {width} x {height} pixels"
    refuse_too_large(len(pictures) * height * width, len(pictures) * height * width, what)
    voxels = np.zeros((len(pictures), height, width), dtype=np.uint8)
    extents = np.zeros((len(pictures), 4), dtype=np.int64)
    for index, (picture, (rows, columns)) in enumerate(zip(pictures, sizes, strict=True)):
        top, left = (height - rows) // 2, (width - columns) // 2
        voxels[index, top : top + rows, left : left + columns] = picture.pixels
        extents[index] = top, top + rows, left, left + columns
    return voxels, extents if len(set(sizes)) > 1 else None


def _colour_refusals(pictures: list[_Picture]) -> tuple[Notice, ...]:
    coloured = sum(picture.coloured for picture in pictures)
    return (notice("colour-pictures", count=coloured, total=len(pictures)),) if coloured else ()
