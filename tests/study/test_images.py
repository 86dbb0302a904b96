from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from jcs_ct.errors import UnreadableFileError, UnsupportedInputError
from jcs_ct.notices import notice
from jcs_ct.study import InputKind, IntensityKind, read_study, refusals
from jcs_ct.study.images import natural_key
from tests.noticed import codes, values_of
from tests.phantoms import ChestPhantom, to_grey, write_png_slices

PHANTOM = ChestPhantom.infected(shape=(12, 96, 96), spacing=(16.0, 3.5, 3.5))
GREY = to_grey(PHANTOM.hu)


def write(path: Path, pixels: NDArray[np.generic], **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)  # type: ignore[arg-type]
    return path


def test_slices_come_in_natural_order_of_their_names(tmp_path: Path) -> None:
    write_png_slices(tmp_path, PHANTOM.hu)
    study = read_study(tmp_path)
    assert study.sources[:3] == ("slice1.png", "slice2.png", "slice3.png")
    np.testing.assert_array_equal(study.voxels, GREY)
    assert (study.kind, study.intensity, study.geometry) == (InputKind.IMAGES, IntensityKind.GRAY8, None)
    assert study.plane is None
    assert (study.notices, refusals(study)) == ((), ())


def test_natural_order_mixes_digits_and_letters() -> None:
    names = ["b", "10.png", "2.png", "a10b2", "a2b10", "a2b9", "1a"]
    assert sorted(names, key=natural_key) == ["1a", "2.png", "10.png", "a2b9", "a2b10", "a10b2", "b"]


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".dat", ""])
def test_content_decides_what_a_picture_is(tmp_path: Path, suffix: str) -> None:
    kind = {".bmp": "BMP", ".tif": "TIFF"}.get(suffix, "PNG")
    path = write(tmp_path / f"picture{suffix}", GREY[6], format=kind)
    np.testing.assert_array_equal(read_study(path).voxels, GREY[6:7])


def test_jpeg_is_read(tmp_path: Path) -> None:
    study = read_study(write(tmp_path / "a.jpg", GREY[6], quality=95))
    assert np.abs(study.voxels[0].astype(int) - GREY[6]).mean() < 3


def test_pages_of_a_tiff_are_slices(tmp_path: Path) -> None:
    pages = [Image.fromarray(grey) for grey in GREY]
    pages[0].save(tmp_path / "all.tif", save_all=True, append_images=pages[1:])
    study = read_study(tmp_path / "all.tif")
    np.testing.assert_array_equal(study.voxels, GREY)
    assert study.sources == ("all.tif",) * len(GREY)


def test_grey_stored_as_colour_is_grey(tmp_path: Path) -> None:
    write(tmp_path / "1.png", np.stack([GREY[5]] * 3, axis=-1))
    write(tmp_path / "2.png", np.dstack([GREY[6]] * 3 + [np.full_like(GREY[6], 255)]))
    Image.fromarray(GREY[7]).convert("P").save(tmp_path / "3.png")
    Image.fromarray(GREY[8]).convert("LA").save(tmp_path / "4.png")
    study = read_study(tmp_path)
    np.testing.assert_array_equal(study.voxels, GREY[5:9])
    assert refusals(study) == ()


def test_transparent_pixels_are_black_like_the_background(tmp_path: Path) -> None:
    opaque = np.full_like(GREY[6], 255)
    opaque[:10] = 0
    pixels = np.maximum(GREY[6], 50)
    write(tmp_path / "a.png", np.dstack([pixels] * 3 + [opaque]))
    voxels = read_study(tmp_path).voxels[0]
    assert not voxels[:10].any()
    np.testing.assert_array_equal(voxels[10:], pixels[10:])


def test_coloured_annotation_does_not_make_a_photograph(tmp_path: Path) -> None:
    pixels = np.stack([GREY[6]] * 3, axis=-1)
    pixels[10:20, 10:20] = (255, 0, 0)
    assert read_study(write(tmp_path / "a.png", pixels)).notices == ()


def test_colour_picture_is_refused(tmp_path: Path) -> None:
    y, x = np.mgrid[:96, :96]
    photograph = np.dstack([x * 2, y * 2, 255 - x]).astype(np.uint8)
    one = read_study(write(tmp_path / "one" / "a.png", photograph))
    assert refusals(one)[0] == notice("colour-pictures", count=1, total=1)
    write_png_slices(tmp_path / "many", PHANTOM.hu)
    write(tmp_path / "many" / "slice99.png", photograph)
    assert refusals(read_study(tmp_path / "many"))[0] == notice("colour-pictures", count=1, total=13)


def test_sixteen_bits_are_scaled_alike_with_a_remark(tmp_path: Path) -> None:
    deep = (PHANTOM.hu + 1024).astype(np.uint16)
    for index, pixels in enumerate(deep):
        write(tmp_path / f"{index}.png", pixels)
    study = read_study(tmp_path)
    low, high = int(deep.min()), int(deep.max())
    expected = (deep.astype(float) - low) / (high - low) * 255
    assert np.abs(study.voxels.astype(float) - expected).max() <= 0.51
    assert study.notices == (notice("pictures-rescaled", low=float(low), high=float(high)),)


def test_slices_of_several_sizes_are_centred_and_their_extents_kept(tmp_path: Path) -> None:
    write(tmp_path / "1.png", GREY[5])
    write(tmp_path / "2.png", GREY[6][10:81, 5:92])
    study = read_study(tmp_path)
    assert study.voxels.shape == (2, 96, 96)
    assert study.extents is not None
    rows, columns = study.own_pixels(1)
    np.testing.assert_array_equal(study.voxels[1][rows, columns], GREY[6][10:81, 5:92])
    assert (rows.start, rows.stop, columns.start, columns.stop) == (12, 83, 4, 91)
    outside = study.voxels[1].copy()
    outside[rows, columns] = 0
    assert not outside.any()
    assert codes(study.notices) == ["pictures-padded"]


def test_other_files_beside_the_slices_are_passed_over(tmp_path: Path) -> None:
    write_png_slices(tmp_path, PHANTOM.hu)
    for name in ("LICENSE", "notes.txt", ".hidden.png", "Thumbs.db"):
        (tmp_path / name).write_text("text")
    study = read_study(tmp_path)
    assert (len(study), study.notices) == (12, ())


def test_damaged_slice_is_left_out_with_a_remark(tmp_path: Path) -> None:
    paths = write_png_slices(tmp_path, PHANTOM.hu)
    paths[4].write_bytes(paths[4].read_bytes()[:200])
    study = read_study(tmp_path)
    assert len(study) == 11
    assert values_of(study.notices, "pictures-unreadable")["files"] == ("slice5.png",)


@pytest.mark.parametrize("keep", [10, 60, 200])
def test_truncated_picture_is_reported(tmp_path: Path, keep: int) -> None:
    path = write_png_slices(tmp_path, PHANTOM.hu[6:7])[0]
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(UnreadableFileError, match=r"slice1\.png"):
        read_study(path)


def test_truncated_jpeg_is_reported(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jpg", GREY[6])
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(UnreadableFileError, match="truncated"):
        read_study(path)


def test_mostly_damaged_folder_is_refused(tmp_path: Path) -> None:
    for path in write_png_slices(tmp_path, PHANTOM.hu)[:7]:
        path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(UnreadableFileError, match="7 of 12"):
        read_study(tmp_path)


def test_pictures_of_several_folders_are_not_mixed(tmp_path: Path) -> None:
    write_png_slices(tmp_path / "patient1", PHANTOM.hu)
    write_png_slices(tmp_path / "patient2", PHANTOM.hu)
    with pytest.raises(UnsupportedInputError, match=r"2 folders .*patient1, patient2"):
        read_study(tmp_path)


def test_picture_of_absurd_size_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedInputError, match="9000"):
        read_study(write(tmp_path / "a.png", np.zeros((4, 9000), dtype=np.uint8)))


def test_public_series_of_uneven_sizes_is_read(shared_data: Path) -> None:
    study = read_study(shared_data / "coronacases" / "coronacases_001")
    assert study.voxels.shape == (100, 320, 238)
    assert study.sources[0] == "001.jpg"
    assert study.extents is not None
    assert refusals(study) == ()
