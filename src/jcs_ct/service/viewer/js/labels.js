/* Opacities as labels on the voxels of a study, editable, with sums that follow each edit.
 *
 * Voxels are in C order of slices (feet to head), rows and columns, as the service measures them. An edit never splits or
 * joins labels here: what is connected is found out when the edit is saved. The sums over all labels are exact at any time.
 */

const HIGHEST = 65535;
const UNDO_LIMIT = 300;

export class Labels {
  /**
   * @param {Uint16Array|Uint8Array|null} voxels labels; null where nothing was outlined
   * @param {{shape: number[], voxel_ml: number|null, slice_extent_mm: number[]|null, pixel_area_mm2: number|null}} view
   */
  constructor(voxels, view) {
    const [slices, rows, columns] = view.shape;
    this.shape = view.shape;
    this.plane = rows * columns;
    this.voxels = voxels ? Uint16Array.from(voxels) : new Uint16Array(slices * rows * columns);
    this.mlOf = mlBySlice(view, slices);
    this.lungs = null;
    this.outside = 0;
    this.undone = [];
    this.done = [];
    this.stroke = null;
    this.saved = 0;
    this.listeners = new Set();
    this.counts = this.count();
  }

  index(z, row, column) { return z * this.plane + row * this.shape[2] + column; }

  /** Voxels of each label by slice. */
  count() {
    const counts = new Map();
    const { voxels, plane } = this;
    for (let z = 0, i = 0; z < this.shape[0]; z++) {
      for (const end = i + plane; i < end; i++) if (voxels[i]) row(counts, voxels[i], this.shape[0])[z]++;
    }
    return counts;
  }

  ids() { return [...this.counts.keys()].filter((id) => this.voxelCount(id) > 0).sort((a, b) => a - b); }

  voxelCount(id) { return (this.counts.get(id) || []).reduce((sum, n) => sum + n, 0); }

  /** mL of one label, or of all; null where the study has no millimetres. */
  ml(id) {
    if (!this.mlOf) return null;
    if (id !== undefined) return (this.counts.get(id) || []).reduce((sum, n, z) => sum + n * this.mlOf[z], 0);
    return [...this.counts.keys()].reduce((sum, each) => sum + this.ml(each), 0);
  }

  /** Weight of all opacities: mL, or voxels where there are no millimetres. */
  weight() {
    if (this.mlOf) return this.ml();
    return [...this.counts.keys()].reduce((sum, id) => sum + this.voxelCount(id), 0);
  }

  /** Give the lungs, so that `share` can follow edits that reach out of them. */
  setLungs(lungs) {
    this.lungs = lungs;
    this.inside = 0;
    this.outside = 0;
    for (let z = 0, i = 0; z < this.shape[0]; z++) {
      const weight = this.mlOf ? this.mlOf[z] : 1;
      let within = 0;
      let beyond = 0;
      for (const end = i + this.plane; i < end; i++) {
        if (lungs[i]) within++;
        else if (this.voxels[i]) beyond++;
      }
      this.inside += within * weight;
      this.outside += beyond * weight;
    }
  }

  /** Share of the lung with opacities, which count as lung wherever they lie; null before `setLungs`. */
  share() {
    const lung = this.lungs ? this.inside + this.outside : 0;
    return lung > 0 ? this.weight() / lung : null;
  }

  get changed() { return this.done.length !== this.saved || this.drifted === true; }

  /** What there is now is what the service has. */
  markSaved() { this.saved = this.done.length; this.drifted = false; }

  freshId() {
    let id = 1;
    for (const known of this.counts.keys()) if (known >= id) id = known + 1;
    if (id > HIGHEST) throw new Error("There are too many opacities to add one.");
    return id;
  }

  begin(words) { this.stroke = { words, indices: [], before: [], after: [] }; }

  /** Set voxels within a stroke. @param {number[]|Int32Array} indices */
  set(indices, id) {
    const { stroke } = this;
    const box = emptyBox();
    for (const i of indices) {
      const old = this.voxels[i];
      if (old === id) continue;
      stroke.indices.push(i);
      stroke.before.push(old);
      stroke.after.push(id);
      this.put(i, id);
      grow(box, i, this);
    }
    this.tell(box);
  }

  end() {
    const { stroke } = this;
    this.stroke = null;
    if (!stroke?.indices.length) return false;
    if (this.saved > this.done.length) this.drifted = true;
    this.done.push(stroke);
    this.undone = [];
    if (this.done.length > UNDO_LIMIT) { this.done.shift(); this.saved--; }
    this.tell(null);
    return true;
  }

  undo() { return this.replay(this.done, this.undone, "before"); }

  redo() { return this.replay(this.undone, this.done, "after"); }

  replay(from, to, which) {
    const stroke = from.pop();
    if (!stroke) return null;
    const box = emptyBox();
    const { indices } = stroke;
    // Backwards for undoing: a stroke may have crossed a voxel twice.
    for (let n = 0; n < indices.length; n++) {
      const k = which === "before" ? indices.length - 1 - n : n;
      this.put(indices[k], stroke[which][k]);
      grow(box, indices[k], this);
    }
    to.push(stroke);
    this.tell(box);
    this.tell(null);
    return stroke.words;
  }

  remove(id) {
    this.begin(`delete opacity ${id}`);
    this.set(this.indicesOf(id), 0);
    return this.end();
  }

  indicesOf(id) {
    const found = [];
    (this.counts.get(id) || []).forEach((n, z) => {
      if (!n) return;
      for (let i = z * this.plane, end = i + this.plane; i < end; i++) if (this.voxels[i] === id) found.push(i);
    });
    return found;
  }

  put(i, id) {
    const z = Math.floor(i / this.plane);
    const old = this.voxels[i];
    if (old) this.counts.get(old)[z]--;
    if (id) row(this.counts, id, this.shape[0])[z]++;
    if (this.lungs && !this.lungs[i] && !old !== !id) this.outside += (id ? 1 : -1) * (this.mlOf ? this.mlOf[z] : 1);
    this.voxels[i] = id;
  }

  /** Be told of changed boxes ([z0, r0, c0, z1, r1, c1]), and with null once an edit is complete. */
  watch(listener) { this.listeners.add(listener); return () => this.listeners.delete(listener); }

  tell(box) {
    if (box && box[0] > box[3]) return;
    for (const listener of [...this.listeners]) listener(box);
  }

  /** Where to look at a label: the voxel of it nearest to its middle, on the slice that shows most of it. */
  middle(id) {
    const counts = this.counts.get(id);
    if (!counts) return null;
    let z = 0;
    counts.forEach((n, k) => { if (n > counts[z]) z = k; });
    if (!counts[z]) return null;
    const columns = this.shape[2];
    const places = [];
    for (let i = z * this.plane, end = i + this.plane; i < end; i++) if (this.voxels[i] === id) places.push(i - z * this.plane);
    const mean = [0, 0];
    for (const p of places) { mean[0] += Math.floor(p / columns) / places.length; mean[1] += (p % columns) / places.length; }
    const away = (p) => (Math.floor(p / columns) - mean[0]) ** 2 + ((p % columns) - mean[1]) ** 2;
    const best = places.reduce((a, b) => (away(b) < away(a) ? b : a));
    return [z, Math.floor(best / columns), best % columns];
  }

  /** First and last slice that show a label. */
  slices(id) {
    const counts = [...(this.counts.get(id) || [])];
    return [counts.findIndex((n) => n > 0), counts.findLastIndex((n) => n > 0)];
  }

  /** 0 or 1 by voxel, as the service takes outlines. */
  mask() {
    const mask = new Uint8Array(this.voxels.length);
    for (let i = 0; i < mask.length; i++) if (this.voxels[i]) mask[i] = 1;
    return mask;
  }
}

function mlBySlice(view, slices) {
  if (view.slice_extent_mm && view.pixel_area_mm2) return view.slice_extent_mm.map((extent) => (extent * view.pixel_area_mm2) / 1000);
  return view.voxel_ml ? new Array(slices).fill(view.voxel_ml) : null;
}

function row(counts, id, slices) {
  let found = counts.get(id);
  if (!found) counts.set(id, (found = new Uint32Array(slices)));
  return found;
}

const emptyBox = () => [Infinity, Infinity, Infinity, -1, -1, -1];

function grow(box, i, { plane, shape }) {
  const z = Math.floor(i / plane);
  const r = Math.floor((i - z * plane) / shape[2]);
  const c = i % shape[2];
  box[0] = Math.min(box[0], z); box[1] = Math.min(box[1], r); box[2] = Math.min(box[2], c);
  box[3] = Math.max(box[3], z); box[4] = Math.max(box[4], r); box[5] = Math.max(box[5], c);
}
