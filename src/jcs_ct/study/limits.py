"""How much an input may ask for: checked against what the file holds, before memory is spent on what its header says.

A header of a few bytes can promise terabytes. What is promised must fit into a volume of plausible size, and compressed
data must not unfold beyond what medical images do.
"""

from __future__ import annotations

from jcs_ct.errors import UnsupportedInputError

MAX_VOLUME_BYTES = 2 * 1024**3
"""Of decoded voxels: 4,000 slices of 512 x 512 at 16 bits. A chest CT of 1,000 slices is a quarter of it."""
MAX_FILE_BYTES = 2 * 1024**3
"""Of one file."""
MAX_FRAMES = 10_000
"""In one file."""
MAX_SIDE = 4096
"""Rows or columns of a slice; CT has 512, at times 1,024 or 2,048."""
MAX_TEXT = 324
"""Characters of a value that reports and worklists show: the longest name (PN) that DICOM allows in one line. Longer
ones are cut."""
MAX_FILES = 50_000
"""Below a folder, or in an archive."""
MAX_RATIO = 100
"""Uncompressed to compressed size. Clinical CT reaches 2 to 10, strong lossy compression 50; blank images reach 64
with run lengths, 1,000 with deflate, and any number with JPEG 2000."""
RATIO_MATTERS_ABOVE = 64 * 1024**2
"""Bytes, uncompressed: small images of one grey level compress beyond any bound."""


def refuse_too_large(size: int, packed: int, what: str) -> None:
    """Refuse what would take more memory than a study does, or unfolds as no medical image does.

    Args:
        size: Bytes that decoding would take.
        packed: Bytes that it would be decoded from.
        what: Names the input in the message.

    Raises:
        UnsupportedInputError: It is too much.
    """
    if size > MAX_VOLUME_BYTES:
        raise UnsupportedInputError(
            f"{what} would take {size / 1024**3:.1f} GiB; expected at most {MAX_VOLUME_BYTES / 1024**3:g} GiB: "
            "give one series of one patient"
        )
    if size > RATIO_MATTERS_ABOVE and size > MAX_RATIO * max(1, packed):
        raise UnsupportedInputError(
            f"{what} would unfold to {size // max(1, packed)} times its size; expected at most {MAX_RATIO} times: "
            "it is blank, damaged, or made to exhaust memory"
        )
