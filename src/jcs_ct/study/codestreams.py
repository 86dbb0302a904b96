"""What a compressed frame says about its own size, read before a decoder takes memory for it.

Decoders believe the codestream, not the DICOM header around it: 200 bytes can ask for 65,535 x 65,535 pixels.
"""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.encaps import get_frame
from pydicom.pixels.utils import pixel_array
from pydicom.uid import (
    UID,
    JPEG2000TransferSyntaxes,
    JPEGLSTransferSyntaxes,
    JPEGTransferSyntaxes,
    RLELossless,
)

_JP2_SIGNATURE = b"\x00\x00\x00\x0cjP  "
_SOC_SIZ = b"\xff\x4f\xff\x51"  # start of codestream, image and tile size (ISO/IEC 15444-1 A.5.1)
# Start of frame of JPEG and JPEG-LS (ISO/IEC 10918-1 B.2.2; 14495-1 C.2.2): C4, C8 and CC are other markers.
_START_OF_FRAME = frozenset({*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC})
_WITHOUT_LENGTH = frozenset({0x01, *range(0xD0, 0xD9)})


def decode_frame(dataset: Dataset, index: int | None, shape: tuple[int, int]) -> NDArray[np.generic]:
    """The stored values of one frame.

    Args:
        dataset: with its pixels and file meta information.
        index: of the frame; None for an object of one frame.
        shape: rows and columns that the header states.

    Raises:
        Exception: decoders raise nearly anything on damaged data.
    """
    syntax = dataset.file_meta.TransferSyntaxUID
    if syntax.is_encapsulated:
        count = int(dataset.get("NumberOfFrames", 1) or 1)
        found = stated_shape(get_frame(dataset.PixelData, index or 0, number_of_frames=count), syntax)
        if found is not None and found != (*shape, 1):
            raise ValueError(f"its compressed pixels are {found[0]} x {found[1]} in {found[2]} components")
    elif int(dataset.BitsAllocated) == 1 and syntax.is_little_endian:
        return _bits(dataset.PixelData, (index or 0) * shape[0] * shape[1], shape)
    # On damaged RLE pylibjpeg's decoder does not raise an exception, it panics. pydicom's own is as fast.
    stored = pixel_array(dataset, index=index, decoding_plugin="pydicom" if syntax == RLELossless else "")
    if stored.shape != shape:
        raise ValueError(f"{stored.shape} pixels, expected {shape}")
    return stored


def _bits(packed: bytes, start: int, shape: tuple[int, int]) -> NDArray[np.uint8]:
    """The frame whose first pixel is bit `start`. pydicom 3.0 fails where frames do not begin with a byte."""
    stop = start + shape[0] * shape[1]
    if stop > 8 * len(packed):
        raise ValueError(f"{8 * len(packed)} pixels of one bit, expected at least {stop}")
    first = start // 8
    held = np.frombuffer(packed, np.uint8, -(-stop // 8) - first, first)
    return np.unpackbits(held, bitorder="little")[start - 8 * first :][: stop - start].reshape(shape)


def stated_shape(codestream: bytes, syntax: UID) -> tuple[int, int, int] | None:
    """Rows, columns and components that a compressed frame states; None where the syntax has no such statement.

    Raises:
        ValueError: The codestream does not begin as its transfer syntax says.
    """
    if syntax in JPEG2000TransferSyntaxes:
        return _jpeg2000_shape(codestream)
    if syntax in JPEGTransferSyntaxes or syntax in JPEGLSTransferSyntaxes:
        return _jpeg_shape(codestream)
    return None


def _jpeg2000_shape(codestream: bytes) -> tuple[int, int, int]:
    start = codestream.find(_SOC_SIZ, 0, 4096) if codestream.startswith(_JP2_SIGNATURE) else 0
    if start < 0 or codestream[start : start + 4] != _SOC_SIZ or len(codestream) < start + 42:
        raise ValueError("the pixels do not begin with a JPEG 2000 header")
    # After the marker: Lsiz, Rsiz, Xsiz, Ysiz, XOsiz, YOsiz, XTsiz, YTsiz, XTOsiz, YTOsiz, Csiz.
    width, height, left, top, tile_width, tile_height = struct.unpack_from(">6I", codestream, start + 8)
    (components,) = struct.unpack_from(">H", codestream, start + 40)
    # Tiles of a few pixels make a decoder take memory for as many tiles as there are pixels.
    if min(tile_width, tile_height) < min(width, height, 32):
        raise ValueError(f"the pixels come in tiles of {tile_height} x {tile_width}")
    return height - top, width - left, components


def _jpeg_shape(codestream: bytes) -> tuple[int, int, int]:
    place = 2
    while codestream[:2] == b"\xff\xd8" and place + 10 <= len(codestream):
        if codestream[place] != 0xFF:
            break
        marker = codestream[place + 1]
        if marker in _START_OF_FRAME:
            rows, columns, components = struct.unpack_from(">HHB", codestream, place + 5)
            return rows, columns, components
        if marker == 0xFF:  # a fill byte
            place += 1
        elif marker in _WITHOUT_LENGTH:
            place += 2
        else:
            place += 2 + struct.unpack_from(">H", codestream, place + 2)[0]
    raise ValueError("the pixels hold no JPEG frame header")
