"""`report.pdf`: the report for the printer and for a patient's folder, compact, on A4.

The words are those of the HTML report, the pictures those of the key slices. The file is the same for the same
diagnosis: it holds no date of its making.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image as Pillow
from reportlab.lib.colors import Color, HexColor
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import Flowable, Image, KeepTogether, Paragraph, SimpleDocTemplate, Spacer, Table, TableStyle

from jcs_ct.diagnosis.decision import Verdict
from jcs_ct.diagnosis.measured import Lesion
from jcs_ct.diagnosis.result import Diagnosis
from jcs_ct.diagnosis.review import Judgement, Review
from jcs_ct.notices import Notice, text
from jcs_ct.reports import charts, html_report
from jcs_ct.reports.headings import HEADINGS, heading_of
from jcs_ct.reports.html_report import number, percent, probability
from jcs_ct.reports.key_slices import KeySlice, key_slices
from jcs_ct.reports.pdf_text import markup, needs_shaping, register_base

_LESIONS_SHOWN = 20
_LESION_HEADS = ("No.", "Lung", "Volume", "Largest area", "Slices", "Mean HU", "Mean probability")
_JPEG_QUALITY = 85
_MARGIN = 16 * mm
_WIDTH = A4[0] - 2 * _MARGIN
_FRAME_PADDING = 6  # points, of reportlab's frames
_INK, _MUTED, _RULE = HexColor("#1b2733"), HexColor("#5b6975"), HexColor("#d5dbe0")
_VERDICT_COLOURS = {
    Verdict.POSITIVE: HexColor("#9c2a10"),
    Verdict.NEGATIVE: HexColor("#1d5b96"),
    Verdict.NOT_ASSESSABLE: HexColor("#5b6975"),
    Verdict.NOT_ASSESSED: HexColor("#5b6975"),
}
_POSITIVE_NOTE = (
    "A positive verdict means “opacities of this kind”, not a virus: other pneumonias can look the same, and it takes "
    "a laboratory test to name the cause."
)
_BANNER = "Research use only. Not a medical device. Not for diagnosis or treatment."


def write_pdf(diagnosis: Diagnosis, folder: Path) -> list[Path]:
    """Write `report.pdf` into `folder`."""
    path = folder / "report.pdf"
    path.write_bytes(render_pdf(diagnosis))
    return [path]


def render_pdf(diagnosis: Diagnosis) -> bytes:
    """The whole document."""
    register_base()
    return _document(_story(diagnosis), diagnosis.provenance.version, diagnosis.study.digest)


def render_sign_off_page(review: Review, meaning: str, result: Mapping[str, Any], first_page: int) -> bytes:
    """What comes behind the last page once somebody has signed the result; `result` as in result.json."""
    register_base()
    heading = HEADINGS[Verdict(result["verdict"])]
    colour = _VERDICT_COLOURS[Verdict.POSITIVE] if review.judgement is Judgement.REJECTED else _INK
    facts = [
        ("Reviewer", _e(review.reviewer)),
        ("Time", review.at.strftime("%Y-%m-%d %H:%M:%S UTC")),
        ("Verdict of the result", _e(heading.title)),
    ]
    story = [
        *_patient(result["input"]["attributes"]),
        Spacer(1, 4 * mm),
        Paragraph(f"Sign-off: {review.judgement}", _style("title", colour)),
        _text(_e(meaning)),
        Spacer(1, 2 * mm),
        _table([[_text(label), _text(value)] for label, value in facts], [48 * mm, _WIDTH - 48 * mm]),
    ]
    if review.comment.strip():
        story += [_heading("Comment"), *(_text(_e(line)) for line in review.comment.splitlines())]
    return _document(story, result["provenance"]["version"], result["input"]["digest"], first_page)


def _document(story: list[Flowable], version: str, digest: str, first_page: int = 1) -> bytes:
    """Pages with their frames, counted from `first_page`."""
    stream = io.BytesIO()
    document = SimpleDocTemplate(
        stream,
        pagesize=A4,
        leftMargin=_MARGIN - _FRAME_PADDING,
        rightMargin=_MARGIN - _FRAME_PADDING,
        topMargin=20 * mm,
        bottomMargin=16 * mm,
        title="JCS report: COVID-19 on chest CT",
        author="JCS",
        invariant=1,  # no date, no random identifier
    )

    def frame(canvas: Canvas, _: object) -> None:
        _page_frame(canvas, version, digest, canvas.getPageNumber() + first_page - 1)

    document.build(story, onFirstPage=frame, onLaterPages=frame)
    return stream.getvalue()


def _story(diagnosis: Diagnosis) -> list[Flowable]:
    return [
        *_patient(diagnosis.study.attributes),
        *_verdict(diagnosis),
        *_rule(diagnosis),
        *_measures(diagnosis),
        *_key_slices(diagnosis),
        *_lesions(diagnosis),
        *_provenance(diagnosis),
    ]


def _patient(attributes: Mapping[str, str]) -> list[Flowable]:
    facts = html_report.patient_facts(attributes)
    if not facts:
        return [_text("The input names no patient.", "muted")]
    return [_text(" &nbsp; ".join(f"<font color='#5b6975'>{_e(k)}</font> <b>{_e(v)}</b>" for k, v in facts))]


def _verdict(diagnosis: Diagnosis) -> list[Flowable]:
    heading = heading_of(diagnosis)
    colour = _VERDICT_COLOURS[diagnosis.verdict]
    story: list[Flowable] = [
        Spacer(1, 4 * mm),
        Paragraph(_e(heading.title), _style("title", colour)),
        _text(_e(heading.meaning)),
    ]
    figures = html_report.key_figures(diagnosis)
    if figures:
        cells: list[list[Flowable]]
        cells = [[_text(f"<b>{_e(value)}</b>", "figure") for _, value, _ in figures],
                 [_text(f"{_e(label)}<br/><font color='#5b6975'>{_e(remark)}</font>", "small")
                  for label, _, remark in figures]]  # fmt: skip
        story += [Spacer(1, 2 * mm), _plain_table(cells, _WIDTH / len(figures))]
    story += [_heading("Reasons"), *_listed(diagnosis.reasons)]
    if diagnosis.verdict is Verdict.POSITIVE:
        story.append(_text(_POSITIVE_NOTE, "muted"))
    for note in (html_report.cross_check_note(diagnosis), html_report.typicality_note(diagnosis)):
        if note:
            story.append(_text(_e(note), "muted"))
    if diagnosis.warnings:
        story += [_heading("Warnings"), *_listed(diagnosis.warnings)]
    if diagnosis.remarks:
        story += [_heading("Notes"), *_listed(diagnosis.remarks)]
    return story


def _listed(notices: tuple[Notice, ...]) -> list[Flowable]:
    return [_text(f"• {_e(text(each))}") for each in notices]


def _rule(diagnosis: Diagnosis) -> list[Flowable]:
    if diagnosis.rule is None:
        return []
    words = f"{text(diagnosis.rule.explanation)} {charts.stability(diagnosis.rule)}"
    return [_heading("Patient rule"), _text(_e(words))]


def _measures(diagnosis: Diagnosis) -> list[Flowable]:
    rows = [[_text(_e(label)), _text(_e(value))] for label, value in html_report.measure_facts(diagnosis)]
    for lung in diagnosis.measures.lungs:
        volumes = f"{number(lung.lung_volume_ml)} mL, of which opacities {number(lung.lesion_volume_ml)} mL"
        rows.append([_text(f"{lung.name.capitalize()} lung"), _text(f"{volumes} ({percent(lung.lesion_share)})")])
    notes = (html_report.interval_note(diagnosis), html_report.explanation_note(diagnosis))
    return [
        _heading("Measures"),
        _table(rows, [60 * mm, _WIDTH - 60 * mm]),
        *(_text(_e(note), "muted") for note in notes if note),
    ]


def _key_slices(diagnosis: Diagnosis) -> list[Flowable]:
    slices = key_slices(diagnosis)
    if not slices:
        return []
    first, *others = slices
    # The heading stays with the first picture.
    return [KeepTogether([_heading("Key slices"), *_slice(first)]), *(KeepTogether(_slice(one)) for one in others)]


def _slice(one: KeySlice) -> list[Flowable]:
    share = _WIDTH / 3
    pictures: list[Flowable] = []
    titles: list[Flowable] = []
    for title, picture in one.panels:
        width = share - 2 * mm
        pictures.append(Image(_jpeg(picture), width, width * picture.height / picture.width))
        titles.append(_text(_e(title), "small"))
    return [_text(_e(one.caption), "small"), _plain_table([pictures, titles], share), Spacer(1, 1 * mm)]


def _lesions(diagnosis: Diagnosis) -> list[Flowable]:
    if not diagnosis.lesions:
        return []
    # Of given outlines no network told how sure it is.
    heads = _LESION_HEADS if diagnosis.provenance.outlines is None else _LESION_HEADS[:-1]
    rows = [[_text(f"<b>{head}</b>", "small") for head in heads]]
    rows += [
        [_text(_e(cell), "small") for cell in _lesion_cells(one)[: len(heads)]]
        for one in diagnosis.lesions[:_LESIONS_SHOWN]
    ]
    rest = len(diagnosis.lesions) - _LESIONS_SHOWN
    more = [_text(f"And {rest} smaller ones; all are in result.json.", "muted")] if rest > 0 else []
    return [_heading("Opacities"), _table(rows, [_WIDTH / len(heads)] * len(heads), repeated=1), *more]


def _lesion_cells(lesion: Lesion) -> list[str]:
    volume = f"{lesion.voxels} voxels" if lesion.volume_ml is None else f"{number(lesion.volume_ml)} mL"
    between = html_report.interval(lesion.volume_interval_ml or lesion.voxels_interval)
    volume += f" ({between})" if between else ""
    area = "–" if lesion.area_mm2 is None else f"{number(lesion.area_mm2)} mm²"
    return [
        str(lesion.id),
        "–" if lesion.side is None else lesion.side.value,
        volume,
        area,
        html_report.places(lesion.slices),
        number(None if lesion.mean_hu is None else round(lesion.mean_hu)),
        probability(lesion.mean_probability),
    ]


def _provenance(diagnosis: Diagnosis) -> list[Flowable]:
    made = diagnosis.provenance
    facts = [("Software", f"JCS {made.version}")]
    facts += html_report.making_facts(diagnosis)
    facts += html_report.input_facts(diagnosis.study)
    rows = [[_text(_e(label), "small"), _text(_e(value), "small")] for label, value in facts]
    return [_heading("Provenance"), _table(rows, [48 * mm, _WIDTH - 48 * mm])]


def _page_frame(canvas: Canvas, version: str, digest: str, page: int) -> None:
    """What every page says: that this is no medical device, what made it, and which page it is."""
    canvas.saveState()
    canvas.setFillColor(_INK)
    canvas.setFont("JCS-Bold", 8)
    canvas.drawString(_MARGIN, A4[1] - 12 * mm, _BANNER)
    canvas.setFont("JCS", 8)
    canvas.setFillColor(_MUTED)
    canvas.drawRightString(A4[0] - _MARGIN, A4[1] - 12 * mm, f"JCS {version}, COVID-19 on chest CT")
    canvas.drawString(_MARGIN, 9 * mm, f"Input {digest[:16]}")
    canvas.drawRightString(A4[0] - _MARGIN, 9 * mm, f"Page {page}")
    canvas.setStrokeColor(_RULE)
    canvas.line(_MARGIN, A4[1] - 14 * mm, A4[0] - _MARGIN, A4[1] - 14 * mm)
    canvas.restoreState()


def _e(text: str) -> str:
    """Text as it is, in whatever script: paragraphs read a kind of XML."""
    return markup(text)


def _text(words: str, style: str = "body") -> Paragraph:
    look = _style(style)
    look.shaping = int(needs_shaping(words))
    return Paragraph(words, look)


def _heading(text: str) -> Paragraph:
    return Paragraph(text, _style("heading"))


def _table(rows: list[list[Paragraph]], widths: list[float], repeated: int = 0) -> Table:
    """Rows with lines between them; so many of the first are repeated on each page."""
    table = Table(rows, colWidths=widths, hAlign="LEFT", repeatRows=repeated)
    table.setStyle(
        TableStyle(
            [
                ("LINEBELOW", (0, 0), (-1, -1), 0.4, _RULE),
                ("VALIGN", (0, 0), (-1, -1), "TOP"),
                ("LEFTPADDING", (0, 0), (-1, -1), 0),
                ("TOPPADDING", (0, 0), (-1, -1), 1.5),
                ("BOTTOMPADDING", (0, 0), (-1, -1), 1.5),
            ]
        )
    )
    return table


def _plain_table(rows: list[list[Flowable]], width: float) -> Table:
    """Columns of one width, no lines."""
    table = Table(rows, colWidths=[width] * len(rows[0]), hAlign="LEFT")
    table.setStyle(TableStyle([("LEFTPADDING", (0, 0), (-1, -1), 0), ("VALIGN", (0, 0), (-1, -1), "TOP")]))
    return table


def _jpeg(picture: Pillow.Image) -> io.BytesIO:
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=_JPEG_QUALITY, subsampling=0)
    stream.seek(0)
    return stream


def _style(name: str, colour: Color = _INK) -> ParagraphStyle:
    sizes = {"title": 20, "figure": 13, "heading": 10.5, "body": 8.5, "muted": 8.5, "small": 7.5}
    size = sizes[name]
    return ParagraphStyle(
        name,
        fontName="JCS-Bold" if name in ("title", "heading") else "JCS",
        fontSize=size,
        leading=1.3 * size,
        textColor=_MUTED if name == "muted" else colour,
        spaceBefore=3 * mm if name == "heading" else 0,
        spaceAfter=1 * mm if name in ("heading", "title") else 0.5 * mm,
        keepWithNext=name == "heading",
        splitLongWords=1,
    )
