/* Probability along z: a bar for each slice, clickable, and a slider for who uses keys or a screen reader. */

import { draw, make, show } from "./dom.js";
import { percent, probability } from "./format.js";

const HEIGHT = 62;
const TOP = 4;
const BARS = 38; // height of the probabilities; below them lies the share of lung with opacities
const LANE = 12;

export class Strip {
  /** @param {(z: number) => void} onGo */
  constructor(result, onGo) {
    this.result = result;
    this.slices = result.slices;
    this.onGo = onGo;
    this.z = 0;
    this.cut = result.provenance?.settings?.rule?.slice_probability ?? result.provenance?.decision?.settings?.rule?.slice_probability ?? 0.5;
    this.svg = draw("svg", { role: "slider", tabindex: "0", "aria-label": "Axial slice, with the probability of infection of each", "aria-valuemin": 1, "aria-valuemax": this.slices.length, "aria-orientation": "horizontal" });
    const from = result.input.spacing_mm ? ["feet", "head"] : ["first", "last"];
    this.node = make("section", { class: "strip", "aria-label": "Probability along z" },
      make("div", { class: "legend" }, key("infected", `infected (above ${this.cut})`), key("clear", "not infected"), key("none", "not assessed"), key("share", "share of the slice's lung with opacities"), make("span", { text: `${from[0]} → ${from[1]}` })),
      this.svg);
    this.svg.addEventListener("keydown", (event) => this.pressed(event));
    this.svg.addEventListener("pointerdown", (event) => { this.svg.setPointerCapture(event.pointerId); this.pointed(event); });
    this.svg.addEventListener("pointermove", (event) => { if (event.buttons) this.pointed(event); });
    this.observer = new ResizeObserver(() => this.render());
    this.observer.observe(this.svg);
  }

  close() { this.observer.disconnect(); }

  setResult(result) {
    this.result = result;
    this.slices = result.slices;
    this.render();
  }

  pointed(event) {
    const box = this.svg.getBoundingClientRect();
    const z = Math.floor(((event.clientX - box.left) / box.width) * this.slices.length);
    this.onGo(Math.min(this.slices.length - 1, Math.max(0, z)));
  }

  pressed(event) {
    const last = this.slices.length - 1;
    const to = { ArrowRight: this.z + 1, ArrowUp: this.z + 1, ArrowLeft: this.z - 1, ArrowDown: this.z - 1, PageUp: this.z + 10, PageDown: this.z - 10, Home: 0, End: last }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    this.onGo(Math.min(last, Math.max(0, to)));
  }

  setSlice(z) {
    this.z = z;
    const slice = this.slices[z];
    const found = !slice.assessed ? "not assessed" : `probability ${probability(slice.probability)}, ${slice.infected ? "infected" : "not infected"}`;
    const share = slice.lesion_share ? `, ${percent(slice.lesion_share)} of its lung with opacities` : "";
    this.svg.setAttribute("aria-valuenow", z + 1);
    this.svg.setAttribute("aria-valuetext", `slice ${z + 1} of ${this.slices.length}, ${found}${share}`);
    this.mark?.setAttribute("x", this.at(z) - 1);
  }

  at(z) { return (z / this.slices.length) * this.width; }

  render() {
    this.width = Math.max(100, this.svg.clientWidth);
    const wide = this.width / this.slices.length;
    const bar = Math.max(1, wide > 4 ? wide - 1 : wide);
    this.svg.setAttribute("viewBox", `0 0 ${this.width} ${HEIGHT}`);
    const bars = this.slices.map((slice, z) => {
      const p = slice.assessed ? slice.probability : 0.06;
      const height = Math.max(1.5, p * BARS);
      const kind = !slice.assessed ? "none" : slice.infected ? "infected" : "clear";
      const share = slice.lesion_share ? Math.max(1.5, Math.min(1, slice.lesion_share) * LANE) : 0;
      return [draw("rect", { class: kind, x: this.at(z), y: TOP + BARS - height, width: bar, height }),
        share && draw("rect", { class: "share", x: this.at(z), y: HEIGHT - 2 - share, width: bar, height: share })];
    });
    const y = TOP + BARS * (1 - this.cut);
    this.mark = draw("rect", { class: "now", x: this.at(this.z) - 1, y: 1, width: Math.max(4, wide + 1), height: HEIGHT - 2, rx: 2 });
    show(this.svg, draw("rect", { class: "ground", width: this.width, height: HEIGHT }), bars, draw("line", { class: "cut", x1: 0, x2: this.width, y1: y, y2: y }), this.mark);
    this.setSlice(this.z);
  }
}

const key = (kind, words) => make("span", {}, make("i", { class: `key-${kind}` }), words);
