"""The page is parsed, not matched against a stored copy: what it says, what it must never say, what it loads."""

from __future__ import annotations

import base64
import io
import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from jcs_ct.diagnosis.decision import Verdict
from jcs_ct.diagnosis.measured import Lesion
from jcs_ct.diagnosis.result import Diagnosis, SliceFinding
from jcs_ct.notices import Severity, text
from jcs_ct.reports import charts, pictures
from jcs_ct.reports.html_report import number, percent, places, render_html
from tests.diagnosis_variants import altered
from tests.reports.conftest import said
from tests.reports.test_json_report import with_composition

_VOID = {"meta", "img", "br", "link", "path", "rect", "circle"}


class Page(HTMLParser):
    """Text and elements of a page; notices tags that do not match."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert self._open == []
        self.text = re.sub(r"\s+", " ", self.text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in _VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open[-1:] != ["style"]:
            self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.mark.parametrize("name", ["diagnosis", "picture_diagnosis", "nifti_diagnosis", "not_assessable"])
def test_page_loads_nothing_and_runs_nothing(name: str, request: pytest.FixtureRequest) -> None:
    html = render_html(request.getfixturevalue(name))
    page = Page(html)
    assert not {tag for tag, _ in page.elements} & {"script", "link", "iframe", "object", "embed", "base", "form"}
    assert re.findall(r"https?:|//[a-z]|@import|url\(", re.sub(r"base64,[A-Za-z0-9+/=]+", "", html)) == []
    for attributes in page.all("img"):
        assert (attributes["src"] or "").startswith("data:image/jpeg;base64,")
        assert attributes["alt"]
    assert "Research use only. Not a medical device." in page.text
    assert len(html) < 3_000_000


def test_positive_page_tells_a_radiologist_what_counts(diagnosis: Diagnosis) -> None:
    page = Page(render_html(diagnosis))
    for expected in (
        "Positive", "0.97", "not a virus", "other pneumonias were left out", text(diagnosis.reasons[0]), "R marks",
        "These slices stand for 5 mm each, so the threshold is 5 slices.",
        "positive at thresholds up to 30 and negative from 200 on",
        "position along the patient, mm", "lung window, centre −600, width 1500 HU", "Phantom^Chest", "2020-04-01",
        "ab" * 32, "12" * 32,
    ):  # fmt: skip
        assert expected in page.text, expected
    assert len(page.all("img")) == 18
    assert page.text.count("Slice ") >= 6


def test_pictures_have_no_sides_and_no_millimetres(picture_diagnosis: Diagnosis) -> None:
    html = render_html(picture_diagnosis)
    page = Page(html)
    assert "not known: the input has no spacing" in page.text
    assert "does not tell left from right" in page.text
    assert 'class="side' not in html
    assert "slice, in the order of the input" in page.text
    assert "grey values as in the input" in page.text
    assert not re.search(r"\d\s?(mm|mL|cm²)", page.text)


def test_not_assessable_page_is_about_the_reasons(not_assessable: Diagnosis) -> None:
    page = Page(render_html(not_assessable))
    assert "Not assessable" in page.text
    assert text(not_assessable.reasons[0]) in page.text
    assert "neither positive nor negative" in page.text
    assert "The rule behind the verdict" not in page.text
    assert len(page.all("img")) == 3


def test_negative_without_segmentation(diagnosis: Diagnosis) -> None:
    negative = altered(diagnosis, verdict=Verdict.NEGATIVE, probability=0.001, measured=None)
    page = Page(render_html(negative))
    assert "does not rule out" in page.text
    assert "not a virus" not in page.text
    assert "< 0.01" in page.text
    assert "Volume of opacities" not in page.text
    assert len(page.all("img")) == 6


def test_text_from_the_input_is_escaped(diagnosis: Diagnosis) -> None:
    evil = '<script>alert(1)</script>"><img src=x onerror=alert(1)>'
    study = replace(
        diagnosis.study,
        attributes={"PatientName": evil, evil: evil},
        sources=(evil,) * 40,
        series_uid=evil,
    )
    spoiled = altered(
        diagnosis,
        study=study,
        reasons=(said(evil),),
        notices=(said(evil), said(evil, Severity.INFO)),
        timing_s={evil: 1.0},
        provenance=replace(diagnosis.provenance, weights={evil: {evil: evil}}, settings={evil: [evil]}),
    )
    page = Page(render_html(spoiled))
    assert page.all("script") == []
    assert len(page.all("img")) == 18
    assert evil in page.text
    assert not any(key.startswith("on") for _, attributes in page.elements for key in attributes)


def test_long_lesion_tables_are_cut_and_say_so(diagnosis: Diagnosis) -> None:
    one = diagnosis.lesions[0]
    many = tuple(replace(one, id=k + 1, volume_ml=1.0) for k in range(33))
    page = Page(render_html(altered(diagnosis, lesions=many)))
    assert "And 13 smaller ones, together 13\u00a0mL".replace("\u00a0", " ") in page.text


def test_unknown_lesion_fields_are_dashes(picture_diagnosis: Diagnosis) -> None:
    bare = Lesion(1, 30, None, None, (0, 1), None, (0, 0, 0, 1, 1, 1), None, None)
    html = render_html(altered(picture_diagnosis, lesions=(bare,)))
    table = html[html.index("Opacities, the largest first") :]
    assert len(re.findall(r"<td[^>]*>–</td>", table)) == 9  # all but number and slices


def test_a_mean_near_0_hu_has_no_sign(diagnosis: Diagnosis) -> None:
    html = render_html(altered(diagnosis, lesions=(replace(diagnosis.lesions[0], mean_hu=-0.3),)))
    table = html[html.index("Opacities, the largest first") :]
    assert "<td>0</td>" in table
    assert "−0" not in table.replace("−0 ", "")


def test_measures_by_region_are_those_of_the_diagnosis(diagnosis: Diagnosis) -> None:
    html = render_html(diagnosis)
    page = Page(html)
    severity = diagnosis.measures.severity
    assert severity is not None
    assert severity.total is not None
    assert f"CT severity score: {severity.total} of 25" in page.text
    assert f"{severity.total} / 25" in page.text
    for region in (*diagnosis.measures.lungs, *diagnosis.measures.zones):
        figures = (number(region.lung_volume_ml), number(region.lesion_volume_ml), percent(region.lesion_share))
        assert "".join(f"<td>{figure}</td>" for figure in figures) in html, region.name
    assert page.text.index("Right lung") < page.text.index("Left lung")
    # seen from the feet: the patient's right comes first, the upper zone is on top
    assert re.search(r"Right Upper zone.*Middle zone.*Lower zone.*Left Upper zone", page.text)
    for lesion in diagnosis.lesions:
        assert lesion.long_axis_mm is not None
        assert lesion.perpendicular_mm is not None
        assert f"{lesion.long_axis_mm:.0f} × {lesion.perpendicular_mm:.0f}" in page.text
    assert "−100 to 100 HU, not aerated" in page.text


def test_ranges_and_what_they_are_worth_are_told(sure_diagnosis: Diagnosis, diagnosis: Diagnosis) -> None:
    text = Page(render_html(sure_diagnosis)).text.replace("\u00a0", " ").replace("\u202f", " ")
    for expected in (
        "to 1 234 mL)", "to 46 %", "0.31 to 988", "a probability above 0.80 and above 0.16",
        "between on 90 % of the slices",
        "on 46 % of test slices, which took no part", "49 % of the activation mapping lies in the lungs (24 % if",
        "16 % in outlined opacities (4.1 %)",
    ):  # fmt: skip
        assert expected in text, expected
    fitted = sure_diagnosis.provenance.settings["area_thresholds"]
    assert isinstance(fitted, dict)
    settings: dict[str, object] = {"area_thresholds": {**fitted, "coverage": None}}
    unpromised = altered(sure_diagnosis, provenance=replace(sure_diagnosis.provenance, settings=settings))
    text = Page(render_html(unpromised)).text
    assert "lay between on 46" in text
    assert "chosen on" not in text
    without = Page(render_html(diagnosis)).text
    assert "Ranges lie" not in without
    assert "activation mapping lies" not in without


def test_pictures_have_sides_of_the_picture_only(picture_diagnosis: Diagnosis) -> None:
    page = Page(render_html(picture_diagnosis))
    assert "Picture left" in page.text
    assert "First third" in page.text
    assert "tells neither left from right nor head from feet" in page.text
    assert "Right lung" not in page.text
    assert "not aerated" not in page.text
    assert "The picture's left is taken for the patient's right" in page.text


def test_a_score_without_a_total_says_why(diagnosis: Diagnosis) -> None:
    measures = diagnosis.measures
    assert measures.severity is not None
    unknown = replace(measures, severity=replace(measures.severity, total=None))
    page = Page(render_html(altered(diagnosis, measures=unknown)))
    assert "There is no total, as a region holds no lung." in page.text
    assert "/ 25" not in page.text


def test_outlines_and_activation_lie_where_the_lesion_lies(diagnosis: Diagnosis) -> None:
    lesion = diagnosis.lesions[0]
    index = sum(lesion.slices) // 2
    panels = pictures.render(diagnosis, index)
    assert panels.outlined is not None
    assert panels.heat is not None
    plain, outlined, heat = (_decode(uri) for uri in (panels.plain, panels.outlined, panels.heat))
    cyan = (outlined[..., 2].astype(int) - outlined[..., 0]) > 120
    coloured = np.abs(heat.astype(int) - plain).max(axis=2) > 60
    # the left lung is on the right of the picture; both lesions are not on this slice
    assert cyan[:, : panels.width // 2].sum() == 0
    assert cyan[:, panels.width // 2 :].sum() > 200
    rows, columns = np.nonzero(cyan)
    inside = coloured[rows.min() : rows.max(), columns.min() : columns.max()].sum()
    assert inside / coloured.sum() > 0.95
    (mark,) = panels.marks
    assert mark.id == lesion.id
    assert mark.top == pytest.approx(100 * rows.min() / panels.height, abs=2)


def test_slices_of_other_proportions_are_shown_undistorted(picture_diagnosis: Diagnosis) -> None:
    tall = altered(
        picture_diagnosis,
        study=replace(
            picture_diagnosis.study, voxels=np.zeros((2, 300, 100), np.uint8), sources=("a", "b"), extents=None
        ),
        slices=(SliceFinding(0, "a", None, False), SliceFinding(1, "b", None, False)),
        activation=None, measured=None,
    )  # fmt: skip
    panels = pictures.render(tall, 0)
    assert panels.height / panels.width == pytest.approx(3.0, rel=0.01)
    assert panels.filling < 50
    assert pictures.telling_slices(tall) == [0, 1]


def test_lung_window_and_grey_values(diagnosis: Diagnosis, picture_diagnosis: Diagnosis) -> None:
    study = replace(diagnosis.study, voxels=np.full((40, 2, 2), -600, np.int16))
    assert set(np.unique(pictures.grey_levels(study, 0))) == {128}
    study = replace(diagnosis.study, voxels=np.array([[[-2000, -1350], [150, 3000]]] * 40, np.int16))
    assert pictures.grey_levels(study, 0).tolist() == [[0, 0], [255, 255]]
    grey = picture_diagnosis.study
    assert np.array_equal(pictures.grey_levels(grey, 4), grey.voxels[4])


def test_telling_slices_are_the_worst_and_lie_apart(diagnosis: Diagnosis) -> None:
    probability = np.full(40, 0.05)
    probability[10:25] = 0.9
    probability[33] = 0.99
    slices = tuple(
        replace(f, assessed=True, probability=float(p), infected=p > 0.5, lesion_share=0.0)
        for f, p in zip(diagnosis.slices, probability, strict=True)
    )
    chosen = pictures.telling_slices(altered(diagnosis, slices=slices))
    assert len(chosen) == 6
    assert chosen[0] == 33
    assert chosen == sorted(chosen, reverse=True)
    assert set(chosen[1:]) <= set(range(10, 25))
    assert min(a - b for a, b in pairwise(chosen)) >= 2


def test_profile_leaves_gaps_empty_and_marks_infected_slices(diagnosis: Diagnosis) -> None:
    profile = charts.profile(diagnosis)
    assert profile is not None
    infected = sum(bool(f.infected) for f in diagnosis.slices)
    skipped = sum(not f.assessed for f in diagnosis.slices)
    assert profile.infected.count("M") == infected
    assert profile.skipped.count("M") == skipped
    assert profile.clear.count("M") == 40 - infected - skipped
    assert profile.in_mm


def test_threshold_curve_is_cut_for_many_infected_slices(diagnosis: Diagnosis) -> None:
    assert diagnosis.rule is not None
    curve = charts.threshold_curve(replace(diagnosis.rule, infected_slices=300))
    assert curve.beyond
    assert curve.count_at == curve.right
    assert [dot.positive for dot in curve.dots] == [True, True, True, True, False]
    assert [dot.paper_threshold for dot in curve.dots if dot.used] == [25]


def test_numbers_are_written_for_people() -> None:
    written = [number(v) for v in (None, float("nan"), 0, 7, 0.0345, 3.456, 34.56, 345.6, 34567.8, -593.2)]
    assert written == ["–", "–", "0", "7", "0.035", "3.5", "34.6", "346", "34\u202f568", "−593"]
    assert [places(slices) for slices in ((0, 0), (4, 11))] == ["1", "5 to 12"]
    written = [percent(v).replace("\u00a0", " ") for v in (None, 0.0, 0.0004, 0.0123, 0.5)]
    assert written == ["–", "0.0 %", "< 0.1 %", "1.2 %", "50 %"]


def _decode(uri: str) -> np.ndarray:
    picture = Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))
    return np.asarray(picture.convert("RGB"))


def test_composition_is_shown_where_it_is_known(diagnosis: Diagnosis) -> None:
    page = render_html(with_composition(diagnosis))
    assert "Consolidation, of opacities" in page
    assert page.count("<td>25\u00a0%</td>") >= len(diagnosis.lesions) + 8  # two lungs, six zones
    assert "Consolidation, of opacities" not in render_html(diagnosis)
