/* Pictures that lie on their side are shown as they were judged: turned by a quarter counter-clockwise within each slice.
 *
 * The service's layers and outlines are as the pictures came in; results and reports are of the turned ones.
 */

import { readVoxels } from "./nifti.js";

/** Whether the service has turned the study. */
export const wasTurned = (result) => result.input.spacing_mm === null && result.notices.some(({ code }) => code === "quarter-turn");

export const turnedShape = ([slices, rows, columns]) => [slices, columns, rows];

/** @param {Uint8Array|Int16Array|Uint16Array} voxels in C order of `shape`; the answer is in that of `turnedShape(shape)` */
export function turn(voxels, [slices, rows, columns]) {
  const turned = new voxels.constructor(voxels.length);
  for (let z = 0, to = 0; z < slices; z++) {
    const start = z * rows * columns;
    for (let i = 0; i < columns; i++) for (let j = 0; j < rows; j++) turned[to++] = voxels[start + j * columns + columns - 1 - i];
  }
  return turned;
}

/** The inverse; `shape` is that of the answer. */
export function turnBack(turned, [slices, rows, columns]) {
  const voxels = new turned.constructor(turned.length);
  for (let z = 0, from = 0; z < slices; z++) {
    const start = z * rows * columns;
    for (let i = 0; i < columns; i++) for (let j = 0; j < rows; j++) voxels[start + j * columns + columns - 1 - i] = turned[from++];
  }
  return voxels;
}

/** The same for a whole NIfTI file without millimetres, whose affine is the same for rows and columns. */
export function turnFile(buffer, shape) {
  const voxels = turn(readVoxels(buffer, shape), shape);
  const start = Math.round(new DataView(buffer).getFloat32(108, true));
  const file = new Uint8Array(start + voxels.byteLength);
  file.set(new Uint8Array(buffer, 0, start));
  file.set(new Uint8Array(voxels.buffer), start);
  const header = new DataView(file.buffer);
  header.setInt16(42, shape[1], true);
  header.setInt16(44, shape[2], true);
  return file.buffer;
}
