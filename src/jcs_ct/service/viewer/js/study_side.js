/* Beside the images: what to know at a glance, and panels with the rest. */

import { make, show } from "./dom.js";
import { ml, number, percent, probability, UNKNOWN } from "./format.js";
import { warningsOf } from "./notices.js";
import { ComparisonPanel } from "./panels/comparison.js";
import { decisionPanel } from "./panels/decision.js";
import { FilesPanel } from "./panels/files.js";
import { LesionsPanel } from "./panels/lesions.js";
import { measuresPanel } from "./panels/measures.js";
import { Tabs } from "./tabs.js";

export class StudySide {
  constructor(page) {
    this.page = page;
    this.glance = make("dl", { class: "glance" });
    this.lesions = new LesionsPanel({ choose: (id) => page.choose(id), erase: (id) => page.editor?.erase(id) });
    this.measures = make("div");
    this.decision = make("div");
    this.comparison = new ComparisonPanel(page.id);
    this.files = new FilesPanel(page.id);
    const remove = make("p", {}, make("button", { class: "danger", text: "Delete this study…", on: { click: () => page.remove() } }));
    this.tabs = new Tabs("Findings", [
      { id: "lesions", words: "Opacities", node: this.lesions.node },
      { id: "measures", words: "Measures", node: this.measures },
      { id: "decision", words: "Decision", node: this.decision },
      { id: "compare", words: "Compare", node: this.comparison.node, open: () => this.comparison.load() },
      { id: "files", words: "Files", node: make("div", {}, this.files.node, make("h2", { text: "Remove" }), remove), open: () => this.files.load() },
    ]);
    this.node = make("aside", { class: "side", "aria-label": "Findings" }, this.glance, this.tabs.list, this.tabs.panels);
  }

  /** What was read from the service before is of an earlier state. */
  renew() {
    this.files.loaded = this.comparison.loaded = false;
    if (this.tabs.current === "files") this.files.load();
    if (this.tabs.current === "compare") this.comparison.load();
  }

  render() {
    const { result, labels, revisions } = this.page;
    this.renderGlance(result);
    this.lesions.render(result, labels);
    measuresPanel(this.measures, result);
    decisionPanel(this.decision, result, revisions);
    const warnings = warningsOf(result).length;
    this.tabs.name("decision", warnings ? `Decision (${warnings} ⚠)` : "Decision");
  }

  renderGlance({ rule, measures, probability: p, review }) {
    const { severity } = measures;
    const cells = [
      ["Probability", probability(p), "of positive"],
      ["Infected slices", rule ? String(rule.infected_slices) : UNKNOWN, rule ? `${number(rule.threshold, 4)} needed` : ""],
      ["Lung affected", percent(measures.lesion_share_of_lung), measures.lesion_volume_ml === null ? "mL not known" : ml(measures.lesion_volume_ml)],
      ["CT severity", severity?.total === null || severity?.total === undefined ? UNKNOWN : `${severity.total} / 25`, severity?.basis === "lobes" ? "by lobes" : severity ? "by zones" : ""],
    ];
    show(this.glance, cells.map(([label, figure, remark]) => make("div", {}, make("dt", { text: label }), make("dd", {}, figure, make("small", { text: remark })))));
    if (review?.comment) this.glance.title = review.comment;
    else this.glance.removeAttribute("title");
  }
}
