/* Everything that can be downloaded. */

import * as api from "../api.js";
import { make, show } from "../dom.js";
import { bytes } from "../format.js";

const KINDS = [[/segment.*\.dcm$|seg.*\.dcm$/i, "DICOM segmentation"], [/(^|\/)(sr|report|structured).*\.dcm$/i, "DICOM report"], [/\.dcm$/i, "DICOM"], [/report\.pdf$/, "Report"], [/report\.html$/, "Report"], [/result\.json$/, "Result for programs"], [/\.csv$/, "Table"], [/\.nii\.gz$/, "NIfTI volume"], [/\.png$/, "Picture"]];

export class FilesPanel {
  constructor(id) {
    this.id = id;
    this.node = make("div");
    this.loaded = false;
  }

  async load(anew = false) {
    if (this.loaded && !anew) return;
    this.loaded = true;
    try {
      const files = await api.files(this.id);
      const [single, series] = split(files);
      show(this.node,
        make("p", {}, make("a", { class: "button primary", href: api.archiveAddress(this.id), download: true, text: `All ${files.length} files as a zip` })),
        make("table", { class: "files", "aria-label": "Files" }, make("tbody", {}, single.map((file) => this.row(file)))),
        [...series].map(([folder, inside]) => make("details", {}, make("summary", { text: `${folder}: ${inside.length} files, ${bytes(inside.reduce((sum, file) => sum + file.size, 0))}` }), make("table", { class: "files", "aria-label": folder }, make("tbody", {}, inside.map((file) => this.row(file)))))));
    } catch (error) {
      show(this.node, make("p", { class: "notice error", text: error.message }));
    }
  }

  row(file) {
    return make("tr", {}, make("td", {}, make("a", { href: api.fileAddress(this.id, file.name), download: file.name.split("/").at(-1), text: file.name }), make("div", { class: "muted", text: kind(file.name) })), make("td", { class: "number", text: bytes(file.size) }));
  }
}

const kind = (name) => KINDS.find(([pattern]) => pattern.test(name))?.[1] ?? "";

/** Files on their own, and folders of many (pictures slice by slice). */
function split(files) {
  const folders = new Map();
  for (const file of files) {
    const folder = file.name.split("/").slice(0, -1).join("/");
    folders.set(folder, [...(folders.get(folder) || []), file]);
  }
  const single = files.filter((file) => folders.get(file.name.split("/").slice(0, -1).join("/")).length <= 12);
  return [single, [...folders].filter(([, inside]) => inside.length > 12)];
}
