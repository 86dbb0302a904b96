/* Keys of a study. */

import { announce } from "./dom.js";
import { step } from "./pointer.js";
import { PANES } from "./viewport.js";

export function studyKeys(page) {
  const { viewport, toolbar } = page;
  const editing = () => Boolean(page.editor);
  const key = (keys, words, run, more = {}) => ({ keys: [keys].flat(), words, run, ...more });
  const onCanvas = () => document.activeElement === viewport.canvas;
  return [
    ...moves(viewport, onCanvas),
    key(["PageUp", "k"], "slice up (towards the head in the axial pane)", () => step(viewport, viewport.active, -1), { always: true }),
    key(["PageDown", "j"], "slice down", () => step(viewport, viewport.active, 1), { always: true }),
    key("v", "next pane", () => viewport.setActive(PANES[(PANES.indexOf(viewport.active) + 1) % 3])),
    key("q", "one pane or all", () => viewport.setLayout(viewport.layout === "all" ? viewport.active : "all")),
    ...[1, 2, 3].filter((n) => toolbar.presets[n - 1]).map((n) => key(String(n), `window: ${toolbar.presets[n - 1][0].toLowerCase()}`, () => toolbar.preset(n - 1))),
    key(["+", "="], "zoom in", () => viewport.zoom(1.25)),
    key("-", "zoom out", () => viewport.zoom(0.8)),
    key("0", "whole picture", () => viewport.resetZoom()),
    key("l", "opacities on or off", () => toolbar.toggle("lesions")),
    key("a", "activation on or off", () => toolbar.toggle("activation")),
    key("x", "cross-hair on or off", () => { page.crosshairOff = !page.crosshairOff; viewport.setCrosshair(!page.crosshairOff); }),
    key("n", "next opacity", () => page.next(1)),
    key("p", "opacity before", () => page.next(-1)),
    key("i", "say what is at the cross-hair", () => announce(page.sliders.words())),
    key("e", "correct, or leave correcting", () => page.toggleEditing()),
    key("b", "brush", () => page.editor.pick("brush"), { when: editing }),
    key("r", "eraser", () => page.editor.pick("erase"), { when: editing }),
    key("[", "smaller brush", () => page.editor.resize(-1), { when: editing }),
    key("]", "larger brush", () => page.editor.resize(1), { when: editing }),
    key("Space", "paint or erase at the cross-hair", () => page.editor.stamp(), { when: editing, always: true }),
    key("Delete", "delete the chosen opacity", () => page.editor.erase(page.chosen), { when: editing }),
    key("Ctrl+z", "undo", () => page.editor.undo(), { when: editing }),
    key(["Ctrl+y", "Ctrl+Shift+z"], "redo", () => page.editor.redo(), { when: editing }),
    key("Ctrl+s", "save the correction", () => page.save(), { when: editing }),
    key("o", "sign off", () => page.sign()),
  ];
}

/** Arrows move within the pane while the picture has the focus. */
function moves(viewport, when) {
  const across = { axial: [0, 0, 1], coronal: [0, 0, 1], sagittal: [0, 1, 0] };
  const down = { axial: [0, 1, 0], coronal: [-1, 0, 0], sagittal: [-1, 0, 0] };
  const go = (table, sign) => () => viewport.moveBy(...table[viewport.active].map((v) => sign * v));
  return [
    { keys: ["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown"], words: "cross-hair, while the picture has the focus", when, run: (event) => ({ ArrowLeft: go(across, -1), ArrowRight: go(across, 1), ArrowUp: go(down, -1), ArrowDown: go(down, 1) })[event.key]() },
  ];
}
