/* The change since an earlier study of the same patient. */

import * as api from "../api.js";
import { attempt, make, show } from "../dom.js";
import { capital, day, ml, moment, percent, signed, stateWords, verdict } from "../format.js";

export class ComparisonPanel {
  constructor(id) {
    this.id = id;
    this.node = make("div");
    this.loaded = false;
  }

  /** Look for earlier studies; again with `anew`, as after a correction. */
  async load(anew = false) {
    if (this.loaded && !anew) return;
    this.loaded = true;
    show(this.node, make("p", { class: "muted", text: "Looking for other studies of this patient…" }));
    let others;
    try {
      others = await api.earlier(this.id);
    } catch (error) {
      show(this.node, make("p", { class: "notice error", text: error.message }));
      return;
    }
    if (!others.length) {
      show(this.node, make("p", { class: "empty", text: "No other study of this patient is in the worklist. Studies are matched by patient ID." }));
      return;
    }
    const table = make("div");
    const choice = make("select", { id: "earlier", on: { change: () => this.compare(choice.value, table) } }, others.map((job) => make("option", { value: job.id, text: words(job) })));
    show(this.node, make("div", { class: "field" }, make("label", { for: "earlier", text: "Compare with" }), choice), table);
    await this.compare(choice.value, table);
  }

  compare(other, table) {
    return attempt(async () => show(table, make("a", { class: "button small", href: `/study/${encodeURIComponent(other)}`, "data-route": true, text: "Open that study" }), change(await api.comparison(this.id, other))));
  }
}

function words(job) {
  const { study_date, verdict: found, description } = job.summary || {};
  return [study_date ? day(study_date) : `handed in ${moment(job.submitted_at)}`, found ? verdict(found).words : stateWords(job.state), description].filter(Boolean).join(" · ");
}

function change(told) {
  const rows = [told.total, ...told.lungs, ...told.zones, ...(told.lobes || [])];
  const withMl = rows.some((row) => row.change_ml !== null);
  const columns = ["Region", withMl ? "Then mL" : "Then", withMl ? "Now mL" : "Now", withMl && "Change mL", "Points"].filter(Boolean);
  const of = (region) => (withMl ? ml(region.lesion_volume_ml).replace(" mL", "") : percent(region.lesion_share));
  return [
    make("dl", { class: "facts" }, pair("Then", told.earlier), pair("Now", told.later), told.interval_days !== null && [make("dt", { text: "Apart" }), make("dd", { text: `${told.interval_days} days` })],
      make("dt", { text: "Severity" }), make("dd", { text: `${told.severity_earlier ?? "–"} → ${told.severity_later ?? "–"}${told.severity_change === null ? "" : ` (${told.severity_change > 0 ? "+" : ""}${told.severity_change})`}` })),
    make("table", { "aria-label": "Change by region" }, make("thead", {}, make("tr", {}, columns.map((text, k) => make("th", { scope: "col", class: k ? "number" : null, title: text === "Points" ? "Change of the share of the region with opacities, in percentage points" : null, text })))),
      make("tbody", {}, rows.map((row) => make("tr", {}, make("th", { scope: "row", text: capital(row.name) }), make("td", { class: "number", text: of(row.earlier) }), make("td", { class: "number", text: of(row.later) }),
        withMl && make("td", { class: `number ${tone(row.change_ml)}`, text: signed(row.change_ml) }), make("td", { class: `number ${tone(row.change_points)}`, text: signed(row.change_points) }))))),
    told.notices.length > 0 && make("ul", { class: "remarks" }, told.notices.map(({ text }) => make("li", { class: "notice", text }))),
  ];
}

const pair = (label, { study_date, verdict: found }) => [make("dt", { text: label }), make("dd", { text: `${study_date ? day(study_date) : "date not stated"}, ${verdict(found).words.toLowerCase()}` })];
const tone = (value) => (value > 0 ? "change-up" : value < 0 ? "change-down" : "");
