/* Windows, overlays and panes. */

import { make } from "./dom.js";

const PRESETS = {
  HU: [["Lung", -600, 1500], ["Mediastinum", 40, 400], ["Bone", 450, 1500]],
  GRAY8: [["Full", 127.5, 255], ["Dark", 80, 140]],
};
export const firstWindow = (intensity) => PRESETS[intensity][0].slice(1);

export class Toolbar {
  /**
   * @param {import("./viewport.js").Viewport} viewport
   * @param {{activation: (shown: boolean, opacity: number) => void}} actions
   */
  constructor(viewport, view, actions) {
    this.viewport = viewport;
    this.actions = actions;
    this.presets = PRESETS[view.intensity];
    this.level = entry("Level", () => this.typed());
    this.width = entry("Width", () => this.typed());
    this.level.input.step = this.width.input.step = view.intensity === "HU" ? 10 : 1;
    this.buttons = this.presets.map(([words, level, width], k) => make("button", { "aria-pressed": "false", "aria-keyshortcuts": k + 1, text: words, on: { click: () => viewport.setWindow(level, width) } }));
    this.lesions = overlay("Opacities", "", viewport.lesionOpacity, true, view.layers.lesions || view.layers.lungs, () => viewport.setLesions(this.lesions.box.checked, Number(this.lesions.slider.value)));
    this.activation = overlay("Activation", "activation", 0.4, false, view.layers.activation, () => actions.activation(this.activation.box.checked, Number(this.activation.slider.value)));
    this.layouts = [["all", "All", "All panes"], ["axial", "Ax", "Ax: axial pane only"], ["coronal", "Cor", "Cor: coronal pane only"], ["sagittal", "Sag", "Sag: sagittal pane only"]].map(([name, words, title]) => make("button", { "aria-pressed": "false", data: { layout: name }, "aria-label": title, title, text: words, on: { click: () => viewport.setLayout(name) } }));
    this.node = make("div", { class: "bar", role: "toolbar", "aria-label": "Picture" },
      group("Window", [this.buttons, this.level.node, this.width.node]), group("Opacities", this.lesions.node), group("Activation", this.activation.node), group("Panes", this.layouts));
    viewport.addEventListener("window", () => this.follow());
    viewport.addEventListener("layout", () => this.follow());
  }

  follow() {
    const [level, width] = this.viewport.window;
    this.buttons.forEach((button, k) => button.setAttribute("aria-pressed", String(this.presets[k][1] === level && this.presets[k][2] === width)));
    if (document.activeElement !== this.level.input) this.level.input.value = Math.round(level);
    if (document.activeElement !== this.width.input) this.width.input.value = Math.round(width);
    this.layouts.forEach((button) => button.setAttribute("aria-pressed", String(button.dataset.layout === this.viewport.layout)));
  }

  typed() {
    const [level, width] = [this.level.input, this.width.input].map((input) => Number(input.value));
    if (Number.isFinite(level) && width >= 1) this.viewport.setWindow(level, width);
  }

  preset(k) { this.buttons[k]?.click(); }

  toggle(which) { if (!this[which].box.disabled) this[which].box.click(); }
}

const group = (label, children) => make("div", { class: "group", role: "group", "aria-label": label }, children);

function entry(words, change) {
  const input = make("input", { type: "number", "aria-label": `Window ${words.toLowerCase()}`, on: { change } });
  return { input, node: make("label", {}, `${words[0]}\u00a0`, input) };
}

function overlay(words, kind, opacity, shown, there, change) {
  const box = make("input", { type: "checkbox", checked: shown && Boolean(there), disabled: !there, on: { change } });
  const slider = make("input", { type: "range", min: 0, max: 1, step: 0.05, value: opacity, disabled: !there, "aria-label": `Opacity of the overlay: ${words}`, on: { input: change } });
  const title = there ? null : "This result has no such layer.";
  return { box, slider, node: [make("label", { class: "check", title }, box, make("span", { class: `swatch ${kind}` }), `\u00a0${words}`), slider] };
}
