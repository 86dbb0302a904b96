/* The line above a study: who, what was found, what can be done. */

import { make, show } from "./dom.js";
import { day, moment, person, verdict } from "./format.js";

export class StudyHead {
  constructor(page) {
    this.page = page;
    this.working = false;
    this.node = make("header", { class: "study-head" });
    this.edit = make("button", { id: "edit", "aria-keyshortcuts": "e", on: { click: () => page.toggleEditing() } });
    this.sign = make("button", { id: "sign", "aria-keyshortcuts": "o", text: "Sign off…", on: { click: () => page.sign() } });
  }

  busy(on) {
    this.working = on;
    this.sign.disabled = on;
    this.sign.textContent = on ? "Signing…" : "Sign off…";
  }

  render() {
    const { page } = this;
    const { patient, study_date, description } = page.job.summary || {};
    const known = page.result.input.attributes || {};
    const name = person(patient?.name || known.PatientName) || patient?.id || known.PatientID || page.job.name;
    const date = study_date || known.StudyDate;
    const facts = [patient?.id || known.PatientID, date && day(date), person(description || known.StudyDescription)].filter((fact) => fact && fact !== name);
    document.title = `${name} – JCS workstation`;
    this.edit.textContent = page.editor ? "Correcting" : "Correct";
    this.edit.setAttribute("aria-pressed", String(Boolean(page.editor)));
    this.edit.disabled = !page.editable || !page.labels;
    this.sign.disabled = this.working || !page.latest || !page.job.can_edit;
    const found = verdict(page.result.verdict);
    show(this.node,
      make("a", { class: "button", href: "/", "data-route": true, "aria-keyshortcuts": "w", text: "‹ Worklist" }),
      make("div", { class: "patient" }, make("h1", { text: name }), make("small", { text: facts.join(" · ") })),
      make("span", { class: `badge ${found.kind}`, id: "verdict" }, make("span", { "aria-hidden": "true", text: found.sign }), found.words),
      signature(page),
      !page.latest && make("span", { class: "badge doubt", text: `Older state, number ${page.revision}` }),
      make("div", { class: "head-tools" }, this.edit, this.sign, make("button", { id: "download", text: "Download", on: { click: () => page.side.tabs.go("files") } })));
  }
}

function signature({ result }) {
  const { review } = result;
  if (!review) return make("span", { class: "badge plain", id: "signature", text: result.provenance.outlines ? "corrected, not signed" : "not signed" });
  const accepted = review.judgement === "accepted";
  const words = `${accepted ? "✓ Accepted" : "✕ Rejected"} by ${review.reviewer}, ${moment(review.at)}`;
  return make("span", { class: `badge ${accepted ? "negative" : "positive"}`, id: "signature", title: review.comment || null, text: words });
}
