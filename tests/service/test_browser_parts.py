"""Parts of the page on their own, as a browser runs them, and what its files may not hold."""

from __future__ import annotations

import hashlib
import re

import numpy as np

from jcs_ct.service.app import VIEWER
from tests.service.browser import Visit

WAYS = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|DOMParser|setHTML"


def test_what_is_vendored_is_what_its_note_says() -> None:
    folder = VIEWER / "vendor" / "niivue"
    digest = hashlib.sha256((folder / "niivue.js").read_bytes()).hexdigest()
    assert digest in (folder / "README.md").read_text(encoding="utf-8")
    assert "BSD 2-Clause" in (folder / "LICENSE").read_text(encoding="utf-8")


def test_the_page_has_no_way_from_text_to_html() -> None:
    ours = [
        path for path in VIEWER.rglob("*") if path.suffix in (".js", ".html", ".css") and "vendor" not in path.parts
    ]
    assert len(ours) > 20
    for path in ours:
        text = path.read_text(encoding="utf-8")
        assert not re.search(WAYS, text), path
        assert not re.search(r"https?://(?!www\.w3\.org)", text), path
    page = (VIEWER / "index.html").read_text(encoding="utf-8")
    assert not re.search(r"<style|<script(?![^>]*\ssrc=)|\son\w+=|\sstyle=", page)


LABELS_SCRIPT = """async () => {
  const { Labels } = await import("/js/labels.js");
  const view = { shape: [3, 2, 4], voxel_ml: null, slice_extent_mm: [1, 2, 4], pixel_area_mm2: 500 };
  const first = Uint16Array.from({ length: 24 }, (_, i) => (i === 5 || i === 9 ? 1 : i === 20 ? 2 : 0));
  const labels = new Labels(first, view);
  const lungs = new Uint8Array(24).fill(1, 0, 16);
  labels.setLungs(lungs);
  const told = [labels.ml(), labels.ml(1), labels.share()];
  labels.begin("brush"); labels.set([0, 1, 5], 3); labels.set([1], 0); labels.end();
  const painted = [labels.ml(), labels.voxelCount(1), labels.voxelCount(3)];
  labels.remove(2);
  const removed = [labels.ml(), labels.share(), labels.ids()];
  labels.undo(); labels.undo();
  const undone = [...labels.voxels].every((v, i) => v === first[i]) && !labels.changed;
  labels.redo(); labels.markSaved();
  const saved = labels.changed;
  labels.undo(); labels.begin("eraser"); labels.set([9], 0); labels.end();
  const mask = [...labels.mask()].reduce((a, b) => a + b);
  return { told, painted, removed, undone, saved, drifted: labels.changed, mask };
}"""


def test_sums_of_labels_follow_every_edit(visit: Visit) -> None:
    visit.open()
    found = visit.page.evaluate(LABELS_SCRIPT)
    # Voxels 0 to 7 lie in slice 0 (0.5 mL each), 8 to 15 in slice 1 (1 mL), 16 to 23 in slice 2 (2 mL).
    assert found["told"] == [3.5, 1.5, 3.5 / (8 * 0.5 + 8 * 1 + 2)]
    assert found["painted"] == [4.0, 1, 2]
    assert found["removed"] == [2.0, 2.0 / 12, [1, 3]]
    assert found["undone"]
    assert not found["saved"]
    assert found["drifted"]  # as many edits as were saved, but others
    assert found["mask"] == 2


def test_turning_pictures_upright_is_undone_for_the_service(visit: Visit) -> None:
    visit.open()
    stack = np.arange(2 * 3 * 4).reshape(2, 3, 4)
    turned, back = visit.page.evaluate(
        """async (values) => {
          const { turn, turnBack } = await import("/js/turn.js");
          const turned = turn(Uint16Array.from(values), [2, 3, 4]);
          return [[...turned], [...turnBack(turned, [2, 3, 4])]];
        }""",
        stack.ravel().tolist(),
    )
    assert turned == np.rot90(stack, 1, (1, 2)).ravel().tolist()
    assert back == stack.ravel().tolist()


def test_a_brush_covers_what_its_size_in_mm_says(visit: Visit) -> None:
    visit.open()
    found = visit.page.evaluate(
        """async () => {
          const { covered, between } = await import("/js/brush.js");
          const grid = { shape: [9, 9, 9], steps: [8, 2.9, 2.7], ball: false };
          const flat = covered([4, 4, 4], "axial", 6, grid);
          const ball = covered([4, 4, 4], "axial", 9, { ...grid, ball: true });
          const corner = covered([0, 0, 0], "coronal", 9, grid);
          return { flat, ball, corner, way: between([0, 0, 0], [0, 2, 5]).length };
        }"""
    )
    z, row, column = np.meshgrid(*(np.arange(9),) * 3, indexing="ij")

    def within(centre: int, radius: float) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
        away = ((z - centre) * 8.0) ** 2 + ((row - centre) * 2.9) ** 2 + ((column - centre) * 2.7) ** 2
        return np.asarray(away <= radius**2)

    assert found["flat"] == np.flatnonzero(within(4, 6) & (z == 4)).tolist()
    assert found["ball"] == np.flatnonzero(within(4, 9)).tolist()
    assert found["corner"] == np.flatnonzero(within(0, 9) & (row == 0)).tolist()
    assert found["way"] == 5
