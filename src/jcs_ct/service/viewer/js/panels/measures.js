/* Measures: lungs, zones, lobes, aeration, severity. */

import { draw, make, show } from "../dom.js";
import { capital, ml, percent, UNKNOWN } from "../format.js";

const BANDS = [["hyperinflated", "below −900 HU: hyperinflated"], ["normally_aerated", "−900 to −501: normally aerated"], ["poorly_aerated", "−500 to −101: ground glass"], ["non_aerated", "−100 to 100: consolidation"], ["denser", "above 100: denser"]];

export function measuresPanel(node, result) {
  const { measures } = result;
  const known = measures.lesion_volume_ml !== null;
  show(node,
    make("dl", { class: "facts" }, facts([
      ["Opacities", known ? ml(measures.lesion_volume_ml) : whyNot(result)], ["Lung", known ? ml(measures.lung_volume_ml) : null],
      ["Share of lung", percent(measures.lesion_share_of_lung)],
      ["Consolidation, of opacities", measures.consolidation_share == null ? null : percent(measures.consolidation_share)], ["Number", measures.lesion_count]])),
    severity(measures.severity),
    bands(measures.hu_bands),
    regions("Lungs", measures.lungs, known), regions("Zones", measures.zones, known), regions("Lobes", measures.lobes, known));
}

function whyNot({ verdict, input }) {
  if (verdict === "not_assessable") return "not measured";
  return input.spacing_mm === null ? "no mL: the input has no spacing" : "no mL: the input does not tell what a slice stands for";
}

export const facts = (rows) => rows.filter(([, value]) => value !== null && value !== undefined && value !== "").map(([label, value]) => [make("dt", { text: label }), make("dd", { text: value })]);

function regions(title, rows, known) {
  if (!rows?.length) return null;
  const columns = ["Region", known && "Lung mL", known && "Opacities mL", "Share", "Count"].filter(Boolean);
  return [make("h2", { text: title }), make("table", { "aria-label": title },
    make("thead", {}, make("tr", {}, columns.map((words, k) => make("th", { scope: "col", class: k ? "number" : null, text: words })))),
    make("tbody", {}, rows.map((row) => make("tr", {}, make("th", { scope: "row", text: capital(row.name) }),
      known && make("td", { class: "number", text: ml(row.lung_volume_ml).replace(" mL", "") }), known && make("td", { class: "number", text: ml(row.lesion_volume_ml).replace(" mL", "") }),
      make("td", { class: "number", text: percent(row.lesion_share) }), make("td", { class: "number", text: row.lesion_count })))))];
}

function severity(score) {
  if (!score) return null;
  const note = score.basis === "lobes" ? "By the lobes that were given." : "A zonal approximation: lobes are not known.";
  return [make("h2", { text: `CT severity score ${score.total ?? UNKNOWN} / 25` }),
    make("p", { class: "muted", text: `${note} 0 to 5 for each of five regions (Pan et al., Radiology 2020;295:715).` }),
    make("table", { "aria-label": "Severity by region" }, make("tbody", {}, score.regions.map((region) => make("tr", {}, make("th", { scope: "row", text: capital(region.name) }), make("td", { class: "number", text: percent(region.share) }), make("td", { class: "number", text: `${region.score ?? UNKNOWN} / 5` }))))),
    score.mirrored_total !== null && score.mirrored_total !== undefined && score.mirrored_total !== score.total && make("p", { class: "muted", text: `If the pictures show the patient mirrored: ${score.mirrored_total}.` })];
}

function bands(shares) {
  if (!shares) return null;
  let left = 0;
  const parts = BANDS.map(([name], k) => {
    const rect = draw("rect", { class: `aer-${k}`, x: left, y: 0, width: 400 * shares[name], height: 16 });
    left += 400 * shares[name];
    return rect;
  });
  return [make("h2", { text: "Aeration of the opacities" }),
    make("div", { class: "bands" }, draw("svg", { viewBox: "0 0 400 16", preserveAspectRatio: "none", "aria-hidden": "true" }, parts)),
    make("table", { "aria-label": "Aeration" }, make("tbody", {}, BANDS.map(([name, words], k) => make("tr", {},
      make("th", { scope: "row" }, draw("svg", { width: 11, height: 11, "aria-hidden": "true" }, draw("rect", { class: `aer-${k}`, width: 11, height: 11 })), ` ${words}`), make("td", { class: "number", text: percent(shares[name]) })))))];
}
