"""`report.html`: one page that a radiologist can judge in two minutes, print, and open without a network.

The page holds no script and loads nothing; every value passes through Jinja's escaping. This module gathers what the
templates show and puts numbers into words; `pictures` and `charts` make what is drawn.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from functools import cache
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from jcs_ct.diagnosis.measured import Interval, Lesion
from jcs_ct.diagnosis.result import Diagnosis
from jcs_ct.diagnosis.review import Review
from jcs_ct.notices import text
from jcs_ct.reports import charts, pictures, regions
from jcs_ct.reports.headings import heading_of
from jcs_ct.study.volume import InputKind, IntensityKind, Study, usual_spacing

_LESIONS_SHOWN = 20
_KINDS = {InputKind.DICOM: "DICOM series", InputKind.NIFTI: "NIfTI volume", InputKind.IMAGES: "Folder of pictures"}


SLOT_BEGIN, SLOT_END = "<!--sign-off-->", "<!--/sign-off-->"
"""Around the place in the page that a sign-off is put into; values are escaped, so no input can forge them."""


def write_html(diagnosis: Diagnosis, folder: Path) -> list[Path]:
    """Write `report.html` into `folder`."""
    path = folder / "report.html"
    path.write_text(render_html(diagnosis), encoding="utf-8")
    return [path]


def render_html(diagnosis: Diagnosis) -> str:
    """The whole page as text."""
    study = diagnosis.study
    page = environment().get_template("report.html.j2")
    return page.render(
        d=diagnosis,
        heading=heading_of(diagnosis),
        slot=Markup(SLOT_BEGIN + SLOT_END),
        patient=patient_facts(study.attributes),
        key_figures=key_figures(diagnosis),
        curve=None if diagnosis.rule is None else charts.threshold_curve(diagnosis.rule),
        stability="" if diagnosis.rule is None else charts.stability(diagnosis.rule),
        profile=charts.profile(diagnosis),
        panels=[pictures.render(diagnosis, index) for index in pictures.telling_slices(diagnosis)],
        window=pictures.LUNG_WINDOW if study.intensity is IntensityKind.HU else None,
        gradient=pictures.heat_gradient(),
        lesions=diagnosis.lesions[:_LESIONS_SHOWN],
        rest=_rest(diagnosis.lesions[_LESIONS_SHOWN:]),
        measures=measure_facts(diagnosis),
        region_rows=regions.region_rows(diagnosis.measures) if diagnosis.lesion_labels is not None else [],
        zone_map=regions.zone_map(diagnosis.measures),
        bands=regions.bands(diagnosis.measures.hu_bands),
        severity_note=_severity_note(diagnosis),
        interval_note=interval_note(diagnosis),
        explanation_note=explanation_note(diagnosis),
        cross_check_note=cross_check_note(diagnosis),
        typicality_note=typicality_note(diagnosis),
        facts=input_facts(study),
        making=making_facts(diagnosis),
    )


def render_sign_off(review: Review, meaning: str) -> str:
    """What the page says between `SLOT_BEGIN` and `SLOT_END` once somebody has signed the result."""
    return environment().get_template("sign_off.html.j2").render(review=review, meaning=meaning)


@cache
def environment() -> Environment:
    """Jinja's, with the filters that all pages share."""
    shared = Environment(
        loader=PackageLoader("jcs_ct.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    shared.filters.update(
        number=number, percent=percent, probability=probability, words=words, setting=setting,
        interval=interval, percents=percents, places=places, text=text,
    )  # fmt: skip
    return shared


def number(value: float | None) -> str:
    """Three significant digits, two below ten, none lost before the point; a dash where the number is not known."""
    if value is None or not math.isfinite(value):
        return "–"
    significant = 3 if abs(value) >= 10 else 2
    decimals = 0 if value == int(value) else significant - 1 - math.floor(math.log10(abs(value)))
    return f"{value:,.{min(max(decimals, 0), 6)}f}".replace(",", "\u202f").replace("-", "\u2212")


def percent(share: float | None) -> str:
    """A share 0..1 in percent, one decimal below ten."""
    if share is None or not math.isfinite(share):
        return "–"
    if 0 < share < 0.001:
        return "< 0.1\u00a0%"
    return f"{100 * share:.{1 if share < 0.0995 else 0}f}\u00a0%"


def interval(between: Interval | None) -> str:
    """Both ends as numbers; nothing where there is no interval."""
    return "" if between is None else f"{number(between.low)} to {number(between.high)}"


def places(slices: tuple[int, int]) -> str:
    """First and last slice as people count them, from 1; a single one once."""
    first, last = (index + 1 for index in slices)
    return str(first) if first == last else f"{first} to {last}"


def percents(between: Interval | None) -> str:
    """Both ends of an interval of shares, in percent; nothing where there is none."""
    return "" if between is None else f"{percent(between.low)} to {percent(between.high)}"


def probability(value: float | None) -> str:
    """Two decimals, but never rounded to a certainty that is none."""
    if value is None or not math.isfinite(value):
        return "–"
    if 0.995 <= value < 1:
        return "> 0.99"
    return "< 0.01" if 0 < value < 0.005 else f"{value:.2f}"


def words(name: str) -> str:
    """A DICOM keyword or a setting's name as words: PatientName, lung_share."""
    spaced = "".join(f" {c}" if c.isupper() and k and name[k - 1].islower() else c for k, c in enumerate(name))
    text = spaced.replace("_", " ").strip()
    return text[:1].upper() + text[1:]


def setting(value: object) -> str:
    """A setting's value as text: yes and no, lists and tables without brackets."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{words(str(key)).lower()} {setting(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(setting(item) for item in value) or "none"
    return "none" if value is None or value == "" else str(value)


def patient_facts(attributes: Mapping[str, str]) -> list[tuple[str, str]]:
    """Who and when, for the head of the page: what the input states, nothing else."""
    keywords = (
        ("Patient", "PatientName"), ("ID", "PatientID"), ("Born", "PatientBirthDate"), ("Sex", "PatientSex"),
        ("Study date", "StudyDate"), ("Study", "StudyDescription"), ("Series", "SeriesDescription"),
    )  # fmt: skip
    return [(label, _date(attributes[key])) for label, key in keywords if attributes.get(key)]


def _date(text: str) -> str:
    """A DICOM date (DA, eight digits) as year-month-day; other text as it is."""
    return f"{text[:4]}-{text[4:6]}-{text[6:]}" if len(text) == 8 and text.isdigit() else text


def key_figures(diagnosis: Diagnosis) -> list[tuple[str, str, str]]:
    """Label, figure and a remark of what to know at a glance; nothing that was not found."""
    figures = []
    if diagnosis.probability is not None:
        figures.append(("Patient probability", probability(diagnosis.probability), "of being positive, 0 to 1"))
    rule, measures = diagnosis.rule, diagnosis.measures
    if rule is not None:
        remark = f"of {rule.assessed_slices} assessed; threshold {number(rule.threshold)}"
        figures.append(("Infected slices", str(rule.infected_slices), remark))
    if diagnosis.lesion_labels is not None and measures.lesion_share_of_lung is not None:
        between = percents(measures.lesion_share_interval)
        remark = f"share of lung with opacities; {between}" if between else "share of lung with opacities"
        figures.append(("Lung affected", percent(measures.lesion_share_of_lung), remark))
        volume = measures.lesion_volume_ml
        remark = "volume not known" if volume is None else f"{number(volume)} mL in all"
        figures.append(("Opacities", str(measures.lesion_count), remark))
        severity = measures.severity
        if severity is not None and severity.total is not None:
            figures.append(("CT severity score", f"{severity.total} / 25", severity.basis))
    return figures


def _severity_note(diagnosis: Diagnosis) -> str:
    """What the score rests on, and what it would be otherwise."""
    severity = diagnosis.measures.severity
    if severity is None:
        return ""
    scale = "0: none, 1: below 5 %, 2: 5 to 25 %, 3: up to 50 %, 4: 50 to 75 %, 5: above 75 % of the region."
    note = f"Five regions, 0 to 5 each (Pan et al., Radiology 2020;295:715). {scale}"
    if severity.basis == "lobes":
        note += " The regions are the lobes that were given."
    else:
        note += (
            " A zonal approximation: lobes are not known, so thirds of the right lung's height and halves of the left "
            "lung's stand for them."
        )
    if severity.total is None:
        note += " There is no total, as a region holds no lung."
    if diagnosis.study.geometry is None:
        note += " The picture's left is taken for the patient's right, as is usual"
        if severity.mirrored_total is not None and severity.mirrored_total != severity.total:
            note += f"; were it the other way round, the score would be {severity.mirrored_total}"
        note += "."
    return note


def measure_facts(diagnosis: Diagnosis) -> list[tuple[str, str]]:
    """The table of measures: a figure, or why there is none."""
    measures, study = diagnosis.measures, diagnosis.study
    if diagnosis.lesion_labels is None:
        unknown_volume = unknown_share = "not measured: the opacities of this study were not outlined"
    else:
        if study.geometry is None:
            unknown_volume = "not known: the input has no spacing"
        else:
            unknown_volume = "not known: the input does not tell the thickness of its slice"
        unknown_share = "not known: no lung was found"
    share = measures.lesion_share_of_lung
    count = str(measures.lesion_count) if diagnosis.lesion_labels is not None else unknown_share
    volume = _with_unit(measures.lesion_volume_ml, "mL", unknown_volume)
    affected = unknown_share if share is None else percent(share)
    if measures.lesion_volume_interval_ml is not None:
        volume += f" ({interval(measures.lesion_volume_interval_ml)}\u00a0mL)"
    if measures.lesion_share_interval is not None:
        affected += f" ({percents(measures.lesion_share_interval)})"
    facts = [
        ("Volume of opacities", volume),
        ("Volume of lung", _with_unit(measures.lung_volume_ml, "mL", unknown_volume)),
        ("Share of lung with opacities", affected),
        ("Number of opacities", count),
    ]
    dense = measures.consolidation_share
    return facts if dense is None else [*facts, *_composition(dense, measures.lesion_volume_ml)]


def _composition(dense: float, volume_ml: float | None) -> list[tuple[str, str]]:
    """What the opacities are made of, as shares of them and in mL where these are known."""

    def words_of(share: float) -> str:
        return percent(share) if volume_ml is None else f"{percent(share)}, {number(share * volume_ml)}\u00a0mL"

    return [("Ground glass, of opacities", words_of(1 - dense)), ("Consolidation, of opacities", words_of(dense))]


def interval_note(diagnosis: Diagnosis) -> str:
    """What the intervals in the report are, and are not; nothing where it holds none."""
    fitted = diagnosis.provenance.settings.get("area_thresholds")
    if diagnosis.measures.lesion_share_interval is None or not isinstance(fitted, Mapping):
        return ""
    lower, upper = (float(fitted[name]) for name in ("lower", "upper"))
    held = _held(fitted.get("coverage"), fitted.get("measured"))
    return (
        f"Ranges lie between what the segmenter marks with a probability above {upper:.2f} and above {lower:.2f}."
        f"{held} A range says how sharp the outline is, not whether it is an opacity; a reader may well find more or "
        "less. The range of the total is not the sum of those of the opacities."
    )


def _held(coverage: float | None, measured: float | None) -> str:
    """On how many slices ranges held what a reader outlined, as far as that is known; a sentence after a space."""
    known = []
    if coverage is not None:
        known.append(f"on {percent(coverage)} of the slices that these thresholds were chosen on")
    if measured is not None:
        known.append(f"on {percent(measured)} of test slices, which took no part")
    return f" The area that a reader outlined lay between {', and '.join(known)}." if known else ""


def explanation_note(diagnosis: Diagnosis) -> str:
    """Where the activation maps look, in words; nothing where no slice is infected."""
    check = diagnosis.explanation
    if check is None:
        return ""
    return (
        f"On the infected slices {percent(check.in_lungs)} of the activation mapping lies in the lungs "
        f"({percent(check.chance_in_lungs)} if it were equal everywhere) and {percent(check.in_lesions)} in outlined "
        f"opacities ({percent(check.chance_in_lesions)})."
    )


def typicality_note(diagnosis: Diagnosis) -> str:
    """How usual the slices are, in words; nothing where that is not known."""
    check = diagnosis.typicality
    if check is None:
        return ""
    return (
        f"Median atypicality of the {check.slices} assessed slices: {check.median:.2f}. About 1 is as usual as slices "
        f"that the classifier learned from; above {check.unusual:.2f} is unusual ({check.slices_unusual} slices), "
        f"above {check.limit:.2f} beyond what it may judge ({check.slices_beyond} slices)."
    )


def cross_check_note(diagnosis: Diagnosis) -> str:
    """That each network alone comes to the same verdict; empty if not, as a warning then says so."""
    look = diagnosis.cross_check
    if look is None or diagnosis.networks_disagree:
        return ""
    return (
        f"The segmenter agrees: it finds opacities on {look.marked} of the {look.slices} assessed slices "
        f"(threshold {look.threshold:.3g})."
        + ("" if look.infected_by_classifier is None else f" The classifier alone calls {look.infected_by_classifier}.")
    )


def _with_unit(value: float | None, unit: str, unknown: str) -> str:
    return unknown if value is None else f"{number(value)}\u00a0{unit}"


def _millimetres(value: float | None, unknown: str) -> str:
    return unknown if value is None else f"{value:.4g}\u00a0mm"


def _rest(lesions: tuple[Lesion, ...]) -> str:
    """One sentence on the lesions that the table leaves out."""
    if not lesions:
        return ""
    volumes = [lesion.volume_ml for lesion in lesions if lesion.volume_ml is not None]
    together = f", together {number(sum(volumes))}\u00a0mL" if volumes else ""
    return f"And {len(lesions)} smaller ones{together}; all are in result.json."


def input_facts(study: Study) -> list[tuple[str, str]]:
    """What the input is, and what it states about itself."""
    unknown, geometry = "not known: the input has no spacing", study.geometry
    rows, columns = study.voxels.shape[1:]
    facts = [
        ("Kind", _KINDS[study.kind]),
        ("Slices", f"{len(study)} of {rows} × {columns} pixels" + (" (largest)" if study.extents is not None else "")),
        ("Values", "Hounsfield units" if study.intensity is IntensityKind.HU else "grey levels, window not known"),
    ]
    if geometry is None:
        facts += [("Pixel size", unknown), ("Slice distance", unknown)]
    else:
        facts.append(("Pixel size", f"{geometry.pixel_spacing[0]:.4g} × {geometry.pixel_spacing[1]:.4g}\u00a0mm"))
        facts.append(("Slice distance", _millimetres(usual_spacing(geometry), "not known")))
        facts.append(("Slice thickness", _millimetres(geometry.slice_thickness, "not stated")))
    facts += [("Plane", study.plane or "not known"), ("Series UID", study.series_uid or "none")]
    facts += [(words(key), _date(value) if "Date" in key else value) for key, value in study.attributes.items()]
    return [*facts, ("Digest (SHA-256)", study.digest)]


def making_facts(diagnosis: Diagnosis) -> list[tuple[str, str]]:
    """What made a result: networks, outlines that were given in place of them, and the origin of a decision."""
    made, decided = diagnosis.provenance, diagnosis.decision.provenance
    facts = [(words(model), setting(weights)) for model, weights in made.weights.items()]
    if made.outlines is not None:
        facts.append(("Networks", "none ran: the outlines were given"))
        stated = {key: value for key, value in asdict(made.outlines).items() if value}
        facts.append(("Outlines", setting(stated)))
    if decided is not None and diagnosis.carried_over:
        facts.append(("Decision", f"of an earlier result, made by JCS {decided.version}"))
        facts += [(f"{words(model)} of the decision", setting(entry)) for model, entry in decided.weights.items()]
    return facts
