/* Which voxels a brush covers. Distances are in mm where they are known and in pixels where not. */

/** Axis that a pane looks along, as an index into (slice, row, column). */
export const ALONG = { axial: 0, coronal: 1, sagittal: 2 };

/**
 * @param {[number, number, number]} centre voxel (slice, row, column)
 * @param {string} pane
 * @param {number} radius
 * @param {{shape: number[], steps: number[], ball: boolean}} grid `steps` between slices, rows and columns; `ball` paints in depth as well
 * @returns {number[]} indices in C order
 */
export function covered(centre, pane, radius, { shape, steps, ball }) {
  const along = ALONG[pane];
  const reach = steps.map((step, axis) => (axis === along && !ball ? 0 : Math.floor(radius / step)));
  const [z0, z1] = range(centre[0], reach[0], shape[0]);
  const [r0, r1] = range(centre[1], reach[1], shape[1]);
  const [c0, c1] = range(centre[2], reach[2], shape[2]);
  const found = [];
  for (let z = z0; z <= z1; z++) {
    for (let r = r0; r <= r1; r++) {
      const square = ((z - centre[0]) * steps[0]) ** 2 + ((r - centre[1]) * steps[1]) ** 2;
      for (let c = c0; c <= c1; c++) {
        if (square + ((c - centre[2]) * steps[2]) ** 2 <= radius * radius) found.push((z * shape[1] + r) * shape[2] + c);
      }
    }
  }
  return found;
}

const range = (middle, reach, count) => [Math.max(0, middle - reach), Math.min(count - 1, middle + reach)];

/** Centres along the way from one voxel to another, so that a quick stroke has no holes. */
export function between(from, to) {
  const steps = Math.max(1, ...from.map((v, k) => Math.abs(to[k] - v)));
  return Array.from({ length: steps }, (_, n) => from.map((v, k) => Math.round(v + ((to[k] - v) * (n + 1)) / steps)));
}

/** The label that most of the voxels, or of those around them, have: what a brush goes on with. */
export function labelThere(voxels, indices, shape) {
  const votes = new Map();
  const steps = [0, 1, -1, shape[2], -shape[2]];
  for (const i of indices) {
    for (const step of steps) {
      const id = voxels[i + step];
      if (id) votes.set(id, (votes.get(id) || 0) + 1);
    }
  }
  return [...votes].sort((a, b) => b[1] - a[1])[0]?.[0] ?? null;
}
