/* Mouse, pen and touch on the panes. What is painted goes to `painter` while one is set. */

import { ALONG } from "./brush.js";

export class Pointer {
  /**
   * @param {import("./viewport.js").Viewport} viewport
   */
  constructor(viewport) {
    this.viewport = viewport;
    this.painter = null;
    this.down = new Map();
    this.drag = null;
    this.wheeled = 0;
    const { canvas } = viewport;
    const on = (name, handler, options) => canvas.addEventListener(name, handler, options);
    on("pointerdown", (event) => this.start(event));
    on("pointermove", (event) => this.move(event));
    on("pointerup", (event) => this.finish(event));
    on("pointercancel", (event) => this.finish(event));
    on("pointerleave", () => this.painter?.hover(null));
    on("wheel", (event) => this.wheel(event), { passive: false });
    on("contextmenu", (event) => event.preventDefault());
    on("dblclick", (event) => this.double(event));
  }

  point(event) {
    const box = this.viewport.canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  start(event) {
    const { viewport } = this;
    if (!viewport.nv) return;
    viewport.canvas.setPointerCapture(event.pointerId);
    viewport.canvas.focus({ preventScroll: true });
    const [x, y] = this.point(event);
    this.down.set(event.pointerId, [x, y]);
    if (this.down.size === 2) {
      this.painter?.abandon();
      this.drag = { kind: "pinch", ...this.fingers() };
      return;
    }
    const found = viewport.at(x, y);
    viewport.setActive(found.pane);
    this.drag = { kind: this.kind(event), pane: found.pane, x, y, mm: found.mm, window: [...viewport.window] };
    if (this.drag.kind === "paint") this.painter.start(found.pane, found.place);
    if (this.drag.kind === "cross") this.cross(found);
  }

  kind(event) {
    if (event.button === 2) return "window";
    if (event.button === 1 || event.shiftKey) return "pan";
    return this.painter ? "paint" : "cross";
  }

  cross(found) {
    if (found.place && found.pane === this.drag.pane) this.viewport.moveTo(found.place);
  }

  move(event) {
    const { viewport, drag } = this;
    if (!viewport.nv) return;
    const [x, y] = this.point(event);
    if (!this.down.has(event.pointerId)) {
      if (this.painter) this.painter.hover(viewport.paneAt(x, y), x, y);
      return;
    }
    this.down.set(event.pointerId, [x, y]);
    if (!drag) return;
    if (drag.kind === "pinch") return this.pinch();
    if (drag.kind === "window") return viewport.setWindow(drag.window[0] + (drag.y - y) * this.gain(), drag.window[1] + (x - drag.x) * this.gain());
    const found = viewport.at(x, y);
    if (drag.kind === "pan") { if (found.mm && drag.mm && found.pane === drag.pane) viewport.pan(drag.mm, found.mm); }
    else if (drag.kind === "cross") this.cross(found);
    else if (drag.kind === "paint") {
      this.painter.hover(drag.pane, x, y);
      this.painter.go(found.pane === drag.pane ? found.place : null);
    }
  }

  /** Units of the window for a pixel: finer for narrow windows. */
  gain() { return Math.max(0.5, this.drag.window[1] / 400); }

  finish(event) {
    this.down.delete(event.pointerId);
    if (this.drag?.kind === "paint" && !this.down.size) this.painter?.finish();
    if (!this.down.size) this.drag = null;
  }

  fingers() {
    const [a, b] = [...this.down.values()];
    return { apart: Math.hypot(a[0] - b[0], a[1] - b[1]), middle: [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2] };
  }

  pinch() {
    if (this.down.size < 2) return;
    const now = this.fingers();
    const { viewport, drag } = this;
    const from = viewport.at(...drag.middle).mm;
    const to = viewport.at(...now.middle).mm;
    if (from && to) viewport.pan(from, to);
    if (drag.apart > 10) viewport.zoom(now.apart / drag.apart);
    this.drag = { kind: "pinch", ...now };
  }

  wheel(event) {
    const { viewport } = this;
    if (!viewport.nv) return;
    event.preventDefault();
    if (event.ctrlKey) return viewport.zoom(event.deltaY < 0 ? 1.15 : 1 / 1.15);
    // Touchpads send many small steps: slices go by as far as they add up.
    this.wheeled += event.deltaMode === 1 ? event.deltaY * 40 : event.deltaY;
    const steps = Math.trunc(this.wheeled / 40);
    if (!steps) return;
    this.wheeled = 0;
    const pane = viewport.paneAt(...this.point(event));
    viewport.setActive(pane);
    step(viewport, pane, steps > 0 ? 1 : -1);
  }

  double(event) {
    if (this.painter) return;
    const pane = this.viewport.paneAt(...this.point(event));
    this.viewport.setLayout(this.viewport.layout === "all" ? pane : "all");
  }
}

/** Go on in a pane: down the wheel is towards the feet, the front or the patient's right. */
export function step(viewport, pane, by) {
  const move = [0, 0, 0];
  move[ALONG[pane]] = -by;
  viewport.moveBy(...move);
}
