/* A slider for each pane's slice, and words for what is at the cross-hair. */

import { make } from "./dom.js";
import { hu, percent, probability } from "./format.js";
import { PANES } from "./viewport.js";

export class SliceSliders {
  constructor(viewport, page) {
    this.viewport = viewport;
    this.page = page;
    this.parts = PANES.map((pane, axis) => {
      const value = make("output");
      const input = make("input", { type: "range", min: 1, max: viewport.shape[axis], step: 1, "aria-label": `${pane} slice`, on: { input: () => this.go(axis, Number(input.value) - 1) } });
      return { input, value, node: make("label", {}, pane[0].toUpperCase() + pane.slice(1), input, value) };
    });
    this.node = make("div", { class: "slices" }, this.parts.map((part) => part.node));
  }

  go(axis, value) {
    const place = [...this.viewport.place];
    place[axis] = value;
    this.viewport.moveTo(place);
  }

  follow() {
    const { place, shape } = this.viewport;
    this.parts.forEach(({ input, value }, axis) => {
      input.value = place[axis] + 1;
      value.textContent = `${place[axis] + 1} / ${shape[axis]}`;
    });
    this.viewport.readout.textContent = this.words();
  }

  words() {
    const { viewport, page } = this;
    const [z, row, column] = viewport.place;
    const slice = page.result.slices[z];
    const value = viewport.value(viewport.place);
    const id = page.labels?.voxels[page.labels.index(z, row, column)];
    const position = slice.position_mm === null ? "" : ` at ${slice.position_mm.toFixed(1).replace("-", "−")} mm`;
    return [
      `Slice ${z + 1}${position}`, viewport.view.intensity === "HU" ? `${hu(value)} HU` : `grey ${value}`,
      slice.assessed ? `probability ${probability(slice.probability)}` : "not assessed",
      slice.lesion_share && !page.labels?.changed ? `${percent(slice.lesion_share)} of the slice's lung` : null, id ? `opacity ${id}` : null,
    ].filter(Boolean).join(" · ");
  }
}
