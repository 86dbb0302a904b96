/* The table of opacities; a row leads to the place. */

import { make, show } from "../dom.js";
import { hu, ml, number, percent, UNKNOWN } from "../format.js";

export class LesionsPanel {
  /** @param {{choose: (id: number) => void, erase: (id: number) => void}} actions */
  constructor(actions) {
    this.actions = actions;
    this.chosen = null;
    this.editing = false;
    this.node = make("div");
  }

  /**
   * @param {Object} result the service's
   * @param {import("../labels.js").Labels|null} labels edited ones; those of the result if null
   */
  render(result, labels) {
    const focused = this.node.contains(document.activeElement) ? document.activeElement.dataset.key : null;
    const known = new Map(result.lesions.map((lesion) => [lesion.id, lesion]));
    const changed = labels?.changed;
    const ids = labels ? labels.ids() : [...known.keys()];
    const rows = ids.map((id) => this.row(id, known.get(id), labels, changed));
    const lost = changed ? [...known.keys()].filter((id) => !ids.includes(id)).length : 0;
    const withMl = result.measures.lesion_volume_ml !== null || Boolean(labels?.mlOf);
    show(this.node,
      changed && make("p", { class: "notice", text: `Edited, not saved: volumes follow at once; what is connected, places, diameters and HU follow when you save.${lost ? ` ${lost} deleted.` : ""}` }),
      rows.length ? make("table", { class: "lesion-table", "aria-label": "Opacities" }, head(withMl, this.editing), make("tbody", {}, rows)) : make("p", { class: "empty", text: result.verdict === "not_assessable" ? "Nothing was measured." : "No opacities." }));
    if (focused) this.node.querySelector(`[data-key="${focused}"]`)?.focus();
  }

  row(id, lesion, labels, changed) {
    const edited = changed && labels.voxelCount(id) !== lesion?.voxels;
    const volume = labels?.mlOf ? labels.ml(id) : lesion?.volume_ml;
    const slices = edited || !lesion ? labels?.slices(id) : lesion.slices;
    const go = () => this.actions.choose(id);
    const withMl = volume !== null && volume !== undefined;
    const size = edited && lesion?.voxels ? `${number(labels.voxelCount(id))} vx` : percent(lesion?.share_of_lung);
    return make("tr", { class: id === this.chosen ? "chosen" : null, on: { click: (event) => { if (!event.target.closest("button")) go(); } } },
      make("td", {}, make("button", { data: { key: `go${id}` }, "aria-label": `Go to opacity ${id}`, "aria-pressed": String(id === this.chosen), text: id, on: { click: go } })),
      make("td", { text: lesion ? lesion.lobe || lesion.zone || UNKNOWN : "new" }),
      withMl && make("td", { class: `number${edited ? " unsaved" : ""}`, text: ml(volume).replace(" mL", "") }),
      make("td", { class: "number", text: size }),
      make("td", { class: "number", text: slices ? `${slices[0] + 1}–${slices[1] + 1}` : UNKNOWN }),
      withMl && make("td", { class: "number", text: edited || !lesion?.long_axis_mm ? UNKNOWN : `${Math.round(lesion.long_axis_mm)}×${Math.round(lesion.perpendicular_mm)}` }),
      withMl && make("td", { class: "number", text: edited ? UNKNOWN : hu(lesion?.mean_hu) }),
      !withMl && make("td", { class: "number", text: lesion?.mean_probability?.toFixed(2) ?? UNKNOWN }),
      this.editing && make("td", {}, make("button", { class: "small danger", data: { key: `x${id}` }, "aria-label": `Delete opacity ${id}`, text: "✕", on: { click: () => this.actions.erase(id) } })));
  }

  choose(id) { this.chosen = id; }
}

function head(withMl, editing) {
  const columns = [["No."], [withMl ? "Zone" : "Place"], withMl && ["mL", 1], ["of lung", 1], ["Slices", 1], withMl && ["mm", 1, "Longest diameter and the one across"], withMl && ["HU", 1, "Mean"], !withMl && ["Prob.", 1, "Mean probability of the segmenter"]].filter(Boolean);
  return make("thead", {}, make("tr", {}, columns.map(([words, right, title]) => make("th", { scope: "col", class: right ? "number" : null, title, text: words })), editing && make("th", { scope: "col" }, make("span", { class: "unseen", text: "Delete" }))));
}
