/* Files out of what was dropped or chosen, folders included, each with its path below what was dropped. */

/** @returns {Promise<Array<{file: File, path: string}>>} */
export async function droppedFiles(transfer) {
  // Entries must be taken before the first await: afterwards the browser has emptied the transfer.
  const entries = [...transfer.items].filter((item) => item.kind === "file").map((item) => item.webkitGetAsEntry?.() || item.getAsFile());
  const found = [];
  for (const entry of entries) {
    if (!entry) continue;
    if (entry instanceof File) found.push({ file: entry, path: entry.name });
    else await walk(entry, "", found);
  }
  return found;
}

export const chosenFiles = (input) => [...input.files].map((file) => ({ file, path: file.webkitRelativePath || file.name }));

async function walk(entry, folder, found) {
  if (entry.isFile) {
    const file = await new Promise((resolve, reject) => entry.file(resolve, reject));
    found.push({ file, path: folder + file.name });
    return;
  }
  const reader = entry.createReader();
  for (;;) {
    const batch = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!batch.length) return;
    for (const child of batch) await walk(child, `${folder}${entry.name}/`, found);
  }
}

const SINGLE = /\.(zip|nii|nii\.gz)$/i;

/**
 * What belongs to one study: each zip or NIfTI file is one, all other files of one dropped folder (or loose ones) together are one.
 * @returns {Array<{name: string, files: Array<{file: File, path: string}>}>}
 */
export function asStudies(found) {
  const studies = new Map();
  for (const one of found) {
    if (one.file.name.startsWith(".")) continue;
    const top = one.path.includes("/") ? one.path.split("/")[0] : "";
    const key = SINGLE.test(one.file.name) ? `one:${one.path}` : `all:${top}`;
    const name = SINGLE.test(one.file.name) ? one.file.name : top || one.file.name;
    if (!studies.has(key)) studies.set(key, { name, files: [] });
    studies.get(key).files.push(one);
  }
  return [...studies.values()];
}
