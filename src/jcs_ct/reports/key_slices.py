"""The slices that the verdict rests on as single pictures: side by side as they are, outlined, and with activation.

The HTML report sets text beside its pictures. Here captions are part of the picture, as a PACS shows it alone. They say
nothing about the patient.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import resources

from PIL import Image, ImageDraw, ImageFont

from jcs_ct.diagnosis.result import Diagnosis, SliceFinding
from jcs_ct.reports.html_report import probability
from jcs_ct.reports.pictures import LUNG_WINDOW, OUTLINE_COLOUR, Pictures, draw, telling_slices
from jcs_ct.study.volume import IntensityKind

FONT_FILES = {"regular": "DejaVuSans.ttf", "bold": "DejaVuSans-Bold.ttf"}
_LINE = 30  # px, of a caption
_MARGIN = 8
_FONT_SIZE = 17
_WHITE, _GREY = (235, 235, 235), (170, 170, 170)


@dataclass(frozen=True)
class KeySlice:
    """One slice, ready to be shown."""

    index: int
    caption: str
    """Which slice it is and what was found on it."""
    panels: tuple[tuple[str, Image.Image], ...]
    """Titles and RGB pictures of one size, from one to three."""

    def montage(self) -> Image.Image:
        """The panels side by side under their captions, RGB."""
        width, height = self.panels[0][1].size
        canvas = Image.new("RGB", (len(self.panels) * (width + _MARGIN) - _MARGIN, height + 2 * _LINE))
        pen = ImageDraw.Draw(canvas)
        pen.text((_MARGIN, 5), self.caption, font=_font(), fill=_WHITE)
        for k, (title, picture) in enumerate(self.panels):
            left = k * (width + _MARGIN)
            pen.text((left + _MARGIN, _LINE + 5), title, font=_font(), fill=_GREY)
            canvas.paste(picture, (left, 2 * _LINE))
        return canvas


def key_slices(diagnosis: Diagnosis) -> list[KeySlice]:
    """The slices worth showing, in the order of the HTML report."""
    findings = {finding.index: finding for finding in diagnosis.slices}
    return [_key_slice(diagnosis, findings[index]) for index in telling_slices(diagnosis)]


def font_file(weight: str) -> str:
    """Path of the font that ships with the package, "regular" or "bold"; it has Latin, Greek and Cyrillic letters."""
    return str(resources.files("jcs_ct.reports").joinpath("fonts", FONT_FILES[weight]))


def _key_slice(diagnosis: Diagnosis, finding: SliceFinding) -> KeySlice:
    drawn = draw(diagnosis, finding.index)
    window = ""
    if diagnosis.study.intensity is IntensityKind.HU:
        window = f" ({LUNG_WINDOW[0]:g} / {LUNG_WINDOW[1]:g} HU)".replace("-", "−")
    panels = [(f"CT{window}", drawn.plain.convert("RGB"))]
    if drawn.outlined is not None:
        # A picture stands alone in a PACS: whose outlines they are has to be in it.
        title = "Opacities outlined" if diagnosis.provenance.outlines is None else "Opacities as given by a user"
        panels.append((title, _with_marks(drawn)))
    if drawn.heat is not None:
        panels.append(("Activation mapping", drawn.heat))
    if diagnosis.study.geometry is not None:
        panels = [(title, _with_sides(picture)) for title, picture in panels]
    return KeySlice(finding.index, _caption(diagnosis, finding), tuple(panels))


def _caption(diagnosis: Diagnosis, finding: SliceFinding) -> str:
    words = [f"Slice {finding.index + 1} of {len(diagnosis.study)}"]
    if finding.position_mm is not None:
        words.append(f"{finding.position_mm:.1f} mm".replace("-", "−"))
    if finding.probability is not None:
        words.append(f"probability {probability(finding.probability)}")
    return ", ".join(words) + ".  JCS, research use only"


def _with_marks(drawn: Pictures) -> Image.Image:
    """The numbers of the largest lesions beside their outlines."""
    assert drawn.outlined is not None
    picture = drawn.outlined.copy()
    pen = ImageDraw.Draw(picture)
    for mark in drawn.marks:
        at = (mark.left / 100 * picture.width, max(mark.top / 100 * picture.height, float(_FONT_SIZE)))
        pen.text(
            at, str(mark.id), font=_font(), fill=OUTLINE_COLOUR, anchor="mb", stroke_width=2, stroke_fill=(0, 0, 0)
        )
    return picture


def _with_sides(picture: Image.Image) -> Image.Image:
    """R and L as seen from the patient's feet: the patient's right is on the left."""
    marked = picture.copy()
    pen = ImageDraw.Draw(marked)
    for text, anchor, across in (("R", "lm", _MARGIN), ("L", "rm", marked.width - _MARGIN)):
        at = (across, marked.height / 2)
        pen.text(at, text, font=_font(), fill=_WHITE, anchor=anchor, stroke_width=2, stroke_fill=(0, 0, 0))
    return marked


@cache
def _font() -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(font_file("regular"), _FONT_SIZE)
