/* Three panes of a study, drawn by NiiVue on one canvas. All places are voxels (slice, row, column) of the service's grid.
 *
 * Opacities are NiiVue's "drawing": a byte a voxel whose texture can be changed in part, so that a brush stays quick in large studies.
 */

import { DRAG_MODE, NVImage, SHOW_RENDER, SLICE_TYPE } from "../vendor/niivue/niivue.js";
import { make } from "./dom.js";
import { minus } from "./format.js";
import { Panes } from "./panes.js";

const TYPES = { axial: SLICE_TYPE.AXIAL, coronal: SLICE_TYPE.CORONAL, sagittal: SLICE_TYPE.SAGITTAL };
export const PANES = ["axial", "coronal", "sagittal"];
/** Left, top, width, height as shares of the canvas. */
const LAYOUTS = {
  all: { axial: [0, 0, 0.64, 1], coronal: [0.64, 0, 0.36, 0.5], sagittal: [0.64, 0.5, 0.36, 0.5] },
  axial: { axial: [0, 0, 1, 1] },
  coronal: { coronal: [0, 0, 1, 1] },
  sagittal: { sagittal: [0, 0, 1, 1] },
};
const DRAWING_UNIT = 33991; // the texture unit that NiiVue keeps for drawings
const PLAIN = 1;
const CHOSEN = 2;
const COLOURS = { R: [0, 0, 255], G: [0, 196, 132], B: [0, 222, 0], A: [0, 255, 255], labels: ["", "opacity", "chosen opacity"] };
const OPTIONS = {
  interactive: false, dragAndDropEnabled: false, logLevel: "error", loadingText: "", dragMode: DRAG_MODE.none,
  isRadiologicalConvention: true, sagittalNoseLeft: true, multiplanarShowRender: SHOW_RENDER.NEVER, isColorbar: false,
  backColor: [0, 0, 0, 1], crosshairColor: [0.49, 0.77, 1, 0.75], crosshairWidth: 1, crosshairWidthUnit: "mm", crosshairGap: 8, fontColor: [0.85, 0.88, 0.92, 1],
  fontMinPx: 13, fontSizeScaling: 0.3, isForceMouseClickToVoxelCenters: true,
};

export class Viewport extends EventTarget {
  constructor(view) {
    super();
    this.view = view;
    this.shape = view.shape;
    this.steps = view.spacing_mm || [1, 1, 1];
    this.layout = "all";
    this.active = "axial";
    this.lesionOpacity = 0.4;
    this.lesionsShown = true;
    this.crosshairShown = true;
    this.window = null;
    this.place = this.shape.map((n) => Math.floor(n / 2));
    this.canvas = make("canvas", { tabindex: "0", role: "application", "aria-label": "Images. Arrow keys move the cross-hair, Page Up and Page Down the slice; ? lists all keys.", "aria-describedby": "readout" });
    this.box = make("div", { class: "canvas-box" }, this.canvas);
    this.over = make("div", { "aria-hidden": "true" });
    this.readout = make("output", { class: "readout", id: "readout" });
    this.node = make("div", { class: "view" }, this.box, this.over, this.readout);
    this.labels = null;
    this.chosen = null;
  }

  /** Take the volume, as an unpacked NIfTI file. */
  async open(buffer, window) {
    if (!document.createElement("canvas").getContext("webgl2")) {
      throw new Error("This browser has no WebGL 2, which the images need. Findings and files are shown all the same.");
    }
    const known = this.view.spacing_mm !== null;
    this.nv = new Panes({ ...OPTIONS, isOrientationTextVisible: known });
    await this.nv.attachToCanvas(this.canvas, false);
    const { max3D } = this.nv.uiData;
    if (Math.max(...this.shape) > max3D) {
      throw new Error(`The study has ${this.shape.join(" × ")} voxels; this computer's graphics show up to ${max3D} along each side.`);
    }
    this.window = window;
    const image = await NVImage.loadFromUrl({ url: buffer, name: "volume.nii", colormap: "gray", cal_min: window[0] - window[1] / 2, cal_max: window[0] + window[1] / 2 });
    this.nv.addVolume(image);
    this.image = image;
    // NiiVue's drawing lies in RAS order: which axes run the other way than the service's voxels do.
    const order = [...image.permRAS];
    if (order.map(Math.abs).join() !== "1,2,3") throw new Error("The volume's axes are not those of the service's grid.");
    this.flipped = order.map((axis) => axis < 0).reverse();
    this.nv.createEmptyDrawing();
    this.nv.clickToSegmentGrowingBitmap = null;
    this.nv.setDrawColormap(COLOURS);
    this.applyOpacity();
    this.setLayout("all");
    this.observer = new ResizeObserver(() => requestAnimationFrame(() => this.draw()));
    this.observer.observe(this.node);
    this.moveTo(this.place);
  }

  close() {
    this.observer?.disconnect();
    this.nv?.cleanup();
    const context = this.nv?.gl;
    this.canvas.remove();
    context?.getExtension("WEBGL_lose_context")?.loseContext();
    this.nv = this.image = null;
  }

  value([z, row, column]) { return this.image.img[(z * this.shape[1] + row) * this.shape[2] + column]; }

  // Places

  /** Slices, rows and columns as NiiVue's axes (x to the left... in RAS order), and back. */
  toRas(place) { return place.map((v, k) => (this.flipped[k] ? this.shape[k] - 1 - v : v)).reverse(); }

  fromRas(ras) { return [...ras].reverse().map((v, k) => (this.flipped[k] ? this.shape[k] - 1 - v : v)); }

  moveTo(place) {
    this.place = place.map((v, k) => Math.min(this.shape[k] - 1, Math.max(0, Math.round(v))));
    this.nv.scene.crosshairPos = this.nv.vox2frac(this.toRas(this.place));
    this.draw();
    this.dispatchEvent(new Event("moved"));
  }

  moveBy(dz, dr, dc) { this.moveTo([this.place[0] + dz, this.place[1] + dr, this.place[2] + dc]); }

  /** The pane below a point of the canvas (CSS pixels), and the voxel there, null outside of the picture. */
  at(x, y) {
    const ratio = this.nv.uiData.dpr || 1;
    const pane = this.paneAt(x, y);
    const k = this.nv.screenSlices.findIndex((slice) => slice.axCorSag === TYPES[pane]);
    if (k < 0) return { pane, place: null, mm: null };
    const fraction = this.nv.screenXY2TextureFrac(x * ratio, y * ratio, k, false);
    const mm = [...this.nv.frac2mm(fraction)].slice(0, 3);
    const inside = fraction.every((f) => f >= 0 && f <= 1);
    return { pane, mm, place: inside ? this.fromRas([...this.nv.frac2vox(fraction)]).map((v, n) => Math.min(this.shape[n] - 1, Math.max(0, v))) : null };
  }

  paneAt(x, y) {
    const { width, height } = this.canvas.getBoundingClientRect();
    const [u, v] = [x / width, y / height];
    const found = Object.entries(LAYOUTS[this.layout]).find(([, [l, t, w, h]]) => u >= l && u <= l + w && v >= t && v <= t + h);
    return found ? found[0] : this.active;
  }

  /** CSS pixels for one mm (or voxel step) in a pane. */
  scaleOf(pane) {
    const slice = this.nv.screenSlices.find((each) => each.axCorSag === TYPES[pane]);
    return slice ? Math.abs(slice.leftTopWidthHeight[2] / slice.fovMM[0]) / (this.nv.uiData.dpr || 1) : 1;
  }

  // What is seen

  setLayout(name) {
    this.layout = name;
    if (!(this.active in LAYOUTS[name])) this.active = Object.keys(LAYOUTS[name])[0];
    this.nv.setCustomLayout(Object.entries(LAYOUTS[name]).map(([pane, position]) => ({ sliceType: TYPES[pane], position })));
    this.draw();
    this.dispatchEvent(new Event("layout"));
  }

  setActive(pane) {
    if (pane === this.active) return;
    this.active = pane;
    this.draw();
    this.dispatchEvent(new Event("layout"));
  }

  panes() { return Object.keys(LAYOUTS[this.layout]); }

  setWindow(level, width) {
    this.window = [level, Math.max(1, width)];
    this.dispatchEvent(new Event("window"));
    this.later("window", () => {
      this.image.cal_min = this.window[0] - this.window[1] / 2;
      this.image.cal_max = this.window[0] + this.window[1] / 2;
      this.nv.refreshLayers(this.image, 0);
      this.draw();
    });
  }

  zoom(factor) {
    const pan = this.nv.scene.pan2Dxyzmm;
    const zoom = Math.min(20, Math.max(0.5, pan[3] * factor));
    const mm = this.nv.frac2mm(this.nv.scene.crosshairPos);
    for (let k = 0; k < 3; k++) pan[k] += (pan[3] - zoom) * mm[k];
    pan[3] = zoom;
    if (zoom === 1) pan.fill(0, 0, 3);
    this.draw();
  }

  resetZoom() {
    this.nv.scene.pan2Dxyzmm = [0, 0, 0, 1];
    this.draw();
  }

  /** Shift what is seen so that `mm` of the patient comes to lie where `to` was. */
  pan(mm, to) {
    const pan = this.nv.scene.pan2Dxyzmm;
    for (let k = 0; k < 3; k++) pan[k] += pan[3] * (to[k] - mm[k]);
    this.draw();
  }

  setCrosshair(shown) {
    this.crosshairShown = shown;
    this.draw();
  }

  /** The cross-hair is solid, in mm: one that is thinner than a pixel would vanish in small panes. */
  fitCrosshair() {
    const width = this.crosshairShown ? 1.1 / Math.min(...this.panes().map((pane) => this.scaleOf(pane))) : 0;
    if (Math.abs(this.nv.opts.crosshairWidth - width) < 0.02 * width) return;
    this.nv.opts.crosshairWidth = width;
    if (this.nv.crosshairs3D) this.nv.crosshairs3D.mm[0] = NaN;
    this.nv.drawScene();
  }

  setLesions(shown, opacity) {
    this.lesionsShown = shown;
    this.lesionOpacity = opacity;
    this.applyOpacity();
    this.draw();
  }

  applyOpacity() {
    this.nv.drawOpacity = this.lesionsShown ? Math.max(0.004, this.lesionOpacity) : 0;
    this.nv.drawRimOpacity = this.lesionsShown ? Math.min(1, this.lesionOpacity + 0.55) : -1;
  }

  async addActivation(buffer, opacity) {
    const image = await NVImage.loadFromUrl({ url: buffer, name: "activation.nii", colormap: "inferno", cal_min: 31, cal_max: 160 });
    this.nv.overlayAlphaShader = opacity;
    this.nv.addVolume(image);
    this.draw();
  }

  setActivation(opacity) {
    this.nv.overlayAlphaShader = opacity;
    this.draw();
  }

  // Opacities

  setLabels(labels) {
    this.forget?.();
    this.labels = labels;
    this.forget = labels.watch((box) => { if (box) { this.copy(box); this.draw(); } });
    this.copy([0, 0, 0, ...this.shape.map((n) => n - 1)]);
    this.draw();
  }

  choose(id) {
    const old = this.chosen;
    this.chosen = id;
    for (const each of new Set([old, id])) {
      if (each === null || each === undefined || !this.labels) continue;
      const [first, last] = this.labels.slices(each);
      if (first >= 0) this.copy([first, 0, 0, last, this.shape[1] - 1, this.shape[2] - 1]);
    }
    this.draw();
  }

  /** Bring a box of labels into NiiVue's drawing and its texture. */
  copy([z0, r0, c0, z1, r1, c1]) {
    const { labels, chosen, shape, nv } = this;
    const bitmap = nv.drawBitmap;
    const [flipZ, flipR, flipC] = this.flipped;
    for (let z = z0; z <= z1; z++) {
      const zz = flipZ ? shape[0] - 1 - z : z;
      for (let r = r0; r <= r1; r++) {
        const rr = flipR ? shape[1] - 1 - r : r;
        const from = (z * shape[1] + r) * shape[2];
        const to = (zz * shape[1] + rr) * shape[2] + (flipC ? shape[2] - 1 : 0);
        const step = flipC ? -1 : 1;
        for (let c = c0; c <= c1; c++) {
          const id = labels.voxels[from + c];
          bitmap[to + step * c] = id === 0 ? 0 : id === chosen ? CHOSEN : PLAIN;
        }
      }
    }
    this.upload(bitmap, this.toRas([z0, r0, c0]), this.toRas([z1, r1, c1]));
  }

  upload(bitmap, a, b) {
    const low = a.map((v, k) => Math.min(v, b[k]));
    const size = a.map((v, k) => Math.abs(v - b[k]) + 1);
    const { gl } = this.nv;
    gl.activeTexture(DRAWING_UNIT);
    gl.bindTexture(gl.TEXTURE_3D, this.nv.drawTexture);
    const settings = [[gl.UNPACK_ALIGNMENT, 1, 1], [gl.UNPACK_ROW_LENGTH, this.shape[2], 0], [gl.UNPACK_IMAGE_HEIGHT, this.shape[1], 0], [gl.UNPACK_SKIP_PIXELS, low[0], 0], [gl.UNPACK_SKIP_ROWS, low[1], 0], [gl.UNPACK_SKIP_IMAGES, low[2], 0]];
    for (const [name, value] of settings) gl.pixelStorei(name, value);
    gl.texSubImage3D(gl.TEXTURE_3D, 0, ...low, ...size, gl.RED, gl.UNSIGNED_BYTE, bitmap);
    for (const [name, , usual] of settings) gl.pixelStorei(name, usual);
  }

  // Drawing

  later(name, action) {
    this.waiting ||= new Map();
    const first = this.waiting.size === 0;
    this.waiting.set(name, action);
    if (first) requestAnimationFrame(() => {
      const actions = [...this.waiting.values()];
      this.waiting.clear();
      if (this.nv) actions.forEach((each) => each());
    });
  }

  draw() {
    if (!this.nv) return;
    this.later("draw", () => { this.nv.drawScene(); this.fitCrosshair(); this.annotate(); });
  }

  annotate() {
    const window = this.window && `W ${Math.round(this.window[1])}  L ${minus(Math.round(this.window[0]))}`;
    this.over.replaceChildren(...Object.entries(LAYOUTS[this.layout]).flatMap(([pane, [l, t, w, h]]) => {
      const frame = make("div", { class: `pane-frame${pane === this.active && this.layout === "all" ? " active" : ""}` });
      const axis = PANES.indexOf(pane);
      const label = make("div", { class: "pane-label" }, make("strong", { text: pane[0].toUpperCase() + pane.slice(1) }), ` ${this.place[axis] + 1} / ${this.shape[axis]}`, pane === "axial" && window ? make("div", { text: window }) : null);
      const percent = (v) => `${100 * v}%`;
      Object.assign(frame.style, { left: percent(l), top: percent(t), width: percent(w), height: percent(h) });
      Object.assign(label.style, { left: percent(l), top: percent(t) });
      return [frame, label];
    }));
  }
}
