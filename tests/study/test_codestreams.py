from __future__ import annotations

import struct
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.encaps import encapsulate, get_frame
from pydicom.uid import JPEG2000, JPEG2000Lossless, JPEGBaseline8Bit, JPEGLSLossless, RLELossless

from jcs_ct.errors import UnreadableFileError
from jcs_ct.study import read_study
from jcs_ct.study.codestreams import stated_shape
from tests.phantoms import ChestPhantom, write_dicom_series

PHANTOM = ChestPhantom(shape=(1, 64, 80), spacing=(5.0, 5.2, 4.2))


@pytest.mark.parametrize("name", ["CT1_J2KI", "CT1_J2KR", "CT1_JLSL", "CT1_JLSN", "CT1_JPLL"])
def test_real_codestreams_state_their_size(shared_data: Path, name: str) -> None:
    dataset = dcmread(shared_data / "dicom" / "transfer-syntaxes" / f"{name}.dcm")
    frame = get_frame(dataset.PixelData, 0, number_of_frames=1)
    assert stated_shape(frame, dataset.file_meta.TransferSyntaxUID) == (512, 512, 1)


@pytest.mark.parametrize(("syntax", "marker"), [(JPEG2000Lossless, b"\xff\x51"), (JPEGLSLossless, b"\xff\xf7")])
def test_frame_of_another_size_is_refused_before_it_is_decoded(tmp_path: Path, syntax: str, marker: bytes) -> None:
    path = write_dicom_series(tmp_path, PHANTOM.hu, transfer_syntax=syntax)[0]  # type: ignore[arg-type]
    dataset = dcmread(path)
    frame = bytearray(get_frame(dataset.PixelData, 0, number_of_frames=1))
    place = frame.index(marker)
    if syntax == JPEG2000Lossless:
        struct.pack_into(">II", frame, place + 6, 60000, 60001)  # Xsiz, Ysiz
    else:
        struct.pack_into(">HH", frame, place + 5, 60001, 60000)
    dataset.PixelData = encapsulate([bytes(frame)])
    dataset.save_as(path)
    with pytest.raises(UnreadableFileError, match="compressed pixels are 60001 x 60000 in 1 components"):
        read_study(path)


def test_tiny_tiles_are_refused() -> None:
    header = b"\xff\x4f\xff\x51" + struct.pack(">HH8IH", 41, 0, 512, 512, 0, 0, 1, 1, 0, 0, 1)
    with pytest.raises(ValueError, match="tiles of 1 x 1"):
        stated_shape(header, JPEG2000)


@pytest.mark.parametrize("content", [b"", b"\xff\xd8", b"\xff\xd8\xff\xe0\x00\x04ab", b"no jpeg at all, but text" * 9])
def test_codestream_without_a_header_is_refused(content: bytes) -> None:
    for syntax in (JPEG2000, JPEGLSLossless, JPEGBaseline8Bit):
        with pytest.raises(ValueError, match="header"):
            stated_shape(content, syntax)


def test_run_lengths_state_no_size() -> None:
    assert stated_shape(b"anything", RLELossless) is None
