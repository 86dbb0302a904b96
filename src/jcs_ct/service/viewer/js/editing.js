/* Correcting opacities: brush, eraser, deleting, undoing. Sums follow at once; the service measures when it is saved. */

import { between, covered, labelThere } from "./brush.js";
import { announce, make } from "./dom.js";
import { ml, number, percent, signed } from "./format.js";

export class Editor {
  /**
   * @param {import("./viewport.js").Viewport} viewport
   * @param {import("./labels.js").Labels} labels
   * @param {{save: () => void, leave: () => void}} actions
   */
  constructor(viewport, labels, actions) {
    Object.assign(this, { viewport, labels, actions, tool: "brush", before: null });
    this.ring = make("div", { class: "brush-ring", hidden: true, "aria-hidden": "true" });
    viewport.node.append(this.ring);
    this.build();
    this.baseline();
    this.pick("brush");
    this.forget = labels.watch((box) => { if (!box) this.follow(); });
    this.follow();
  }

  build() {
    const unit = this.viewport.view.spacing_mm ? "mm" : "px";
    // Who has chosen a tool goes on in the picture, where arrow keys and Space are.
    const choose = (name) => () => { this.pick(name); this.viewport.canvas.focus({ preventScroll: true }); };
    this.tools = { brush: tool("Brush", "b", choose("brush")), erase: tool("Erase", "r", choose("erase")) };
    this.size = make("input", { type: "range", id: "brush-size", min: 1, max: 40, step: 1, value: unit === "mm" ? 10 : 8, on: { input: () => this.sized() } });
    this.sizeWords = make("output", { for: "brush-size" });
    this.unit = unit;
    this.ball = make("input", { type: "checkbox" });
    this.undoButton = make("button", { text: "Undo", "aria-keyshortcuts": "Control+Z", on: { click: () => this.undo() } });
    this.redoButton = make("button", { text: "Redo", "aria-keyshortcuts": "Control+Y", on: { click: () => this.redo() } });
    this.saveButton = make("button", { class: "primary", text: "Save", "aria-keyshortcuts": "Control+S", on: { click: () => this.actions.save() } });
    this.live = make("span", { class: "live", id: "live-measures" });
    this.node = make("div", { class: "bar edit-bar", role: "toolbar", "aria-label": "Correct opacities" },
      make("div", { class: "group" }, Object.values(this.tools)),
      make("div", { class: "group" }, make("label", { for: "brush-size", text: "Size" }), this.size, this.sizeWords),
      make("label", { class: "check" }, this.ball, "in depth"),
      make("div", { class: "group" }, this.undoButton, this.redoButton),
      this.live,
      make("div", { class: "group" }, this.saveButton, make("button", { text: "Leave", "aria-label": "Leave: end correcting", on: { click: () => this.actions.leave() } })));
    this.sized();
  }

  /** What the live figures are compared with: what the service has measured. */
  baseline() { this.saved = { weight: this.labels.weight(), share: this.labels.share() }; }

  close() {
    this.forget();
    this.ring.remove();
  }

  pick(name) {
    this.tool = name;
    for (const [each, button] of Object.entries(this.tools)) button.setAttribute("aria-pressed", String(each === name));
    this.ring.classList.toggle("erase", name === "erase");
  }

  /** Go on as an editor before this one. */
  take(tool, size, ball) {
    this.pick(tool);
    this.size.value = size;
    this.ball.checked = ball;
    this.sized();
  }

  sized() { this.sizeWords.textContent = `${this.size.value} ${this.unit}`; }

  resize(by) {
    this.size.value = Number(this.size.value) + by;
    this.sized();
    this.hover(...(this.lastHover || [null]));
  }

  get radius() { return Number(this.size.value) / 2; }

  grid() { return { shape: this.viewport.shape, steps: this.viewport.steps, ball: this.ball.checked }; }

  // What a pointer does

  start(pane, place) {
    this.pane = pane;
    this.last = null;
    this.label = null;
    this.labels.begin(this.tool === "brush" ? "brush" : "eraser");
    this.go(place);
  }

  go(place) {
    if (!place || !this.labels.stroke) { this.last = null; return; }
    const centres = this.last ? between(this.last, place) : [place];
    for (const centre of centres) this.paint(covered(centre, this.pane, this.radius, this.grid()));
    this.last = place;
    // The slice that is painted on becomes the current one of the other panes when the stroke ends.
    this.place = place;
  }

  paint(indices) {
    if (this.tool === "erase") return this.labels.set(indices, 0);
    this.label ??= labelThere(this.labels.voxels, indices, this.labels.shape) ?? this.labels.freshId();
    // What another opacity already covers stays its own: pieces are told apart when it is saved.
    this.labels.set(indices.filter((i) => !this.labels.voxels[i]), this.label);
  }

  finish() {
    const painted = this.labels.end();
    if (painted && this.place) this.viewport.moveTo(this.place);
  }

  abandon() {
    if (!this.labels.stroke) return;
    if (this.labels.end()) this.labels.undo();
  }

  hover(pane, x, y) {
    this.lastHover = [pane, x, y];
    this.ring.hidden = pane === null;
    if (pane === null) return;
    const wide = 2 * this.radius * this.viewport.scaleOf(pane);
    Object.assign(this.ring.style, { width: `${wide}px`, height: `${wide}px`, left: `${x - wide / 2}px`, top: `${y - wide / 2}px` });
  }

  // Without a pointer

  stamp() {
    this.start(this.viewport.active, this.viewport.place);
    this.finish();
    announce(this.words());
  }

  erase(id) {
    if (!id) return;
    this.labels.remove(id);
    announce(`Opacity ${id} deleted. ${this.words()}`);
  }

  undo() { const done = this.labels.undo(); if (done) announce(`Undone: ${done}. ${this.words()}`); }

  redo() { const done = this.labels.redo(); if (done) announce(`Done again: ${done}. ${this.words()}`); }

  // Figures

  follow() {
    const { labels } = this;
    this.undoButton.disabled = !labels.done.length;
    this.redoButton.disabled = !labels.undone.length;
    this.saveButton.disabled = !labels.changed;
    this.live.replaceChildren("Opacities ", make("strong", { text: this.amount(labels.weight()) }), this.difference(), labels.share() === null ? "" : ` · ${percent(labels.share())} of lung`);
  }

  amount(weight) { return this.labels.mlOf ? ml(weight) : `${number(weight, 6)} voxels`; }

  difference() {
    const change = this.labels.weight() - this.saved.weight;
    if (Math.abs(change) < 1e-9) return " (as saved)";
    return this.labels.mlOf ? ` (${signed(change)} mL)` : ` (${change > 0 ? "+" : "−"}${number(Math.abs(change), 6)})`;
  }

  words() { return this.live.textContent; }
}

const tool = (words, key, click) => make("button", { "aria-pressed": "false", "aria-keyshortcuts": key, text: words, on: { click } });
