/* The little of NIfTI-1 that the service's layers need: one little-endian volume of whole numbers. */

const TYPES = { 2: Uint8Array, 4: Int16Array, 512: Uint16Array };

/**
 * @param {ArrayBuffer} buffer unpacked
 * @param {[number, number, number]} shape slices, rows and columns that are expected
 * @returns {Uint8Array|Int16Array|Uint16Array} voxels in C order of `shape`, on the same memory where it is aligned
 */
export function readVoxels(buffer, shape) {
  const header = new DataView(buffer);
  if (buffer.byteLength < 352 || header.getInt32(0, true) !== 348) throw new Error("The layer is no NIfTI-1 file as the service writes it.");
  const [columns, rows, slices] = [1, 2, 3].map((k) => header.getInt16(40 + 2 * k, true));
  if (slices !== shape[0] || rows !== shape[1] || columns !== shape[2]) {
    throw new Error(`The layer has ${slices} × ${rows} × ${columns} voxels, expected ${shape.join(" × ")}.`);
  }
  const Type = TYPES[header.getInt16(70, true)];
  if (!Type) throw new Error(`The layer's type of voxels (${header.getInt16(70, true)}) is none that the service writes.`);
  const start = Math.round(header.getFloat32(108, true));
  const count = slices * rows * columns;
  if (buffer.byteLength < start + count * Type.BYTES_PER_ELEMENT) throw new Error("The layer is cut off: open the study again.");
  return start % Type.BYTES_PER_ELEMENT ? new Type(buffer.slice(start), 0, count) : new Type(buffer, start, count);
}
