/* Why the verdict is what it is: reasons, rule, warnings, and what made it. */

import { make, show } from "../dom.js";
import { day, moment, number, person, probability } from "../format.js";
import { warningsOf } from "../notices.js";
import { ruleChart } from "../rule_chart.js";
import { facts } from "./measures.js";

export function decisionPanel(node, result, revisions) {
  const { rule, provenance } = result;
  const decision = provenance.decision || provenance;
  const used = decision.settings?.rule?.paper_threshold ?? null;
  show(node,
    listed("Reasons", result.notices.filter(({ reason }) => reason), "notice plain"),
    listed("Warnings", warningsOf(result), "notice"),
    listed("Notes", result.notices.filter(({ reason, severity }) => !reason && severity === "info"), "notice plain"),
    rule && [make("h2", { text: "The rule" }), make("p", { text: rule.explanation.text }),
      make("dl", { class: "facts" }, facts([
        ["Infected slices", `${rule.infected_slices} of ${rule.assessed_slices} assessed`], ["Threshold", `${number(rule.threshold, 4)} slices`],
        ["Infected extent", rule.infected_extent_mm === null ? null : `${number(rule.infected_extent_mm)} mm`], ["Patient's probability", `${probability(result.probability)} (of the slice that decides; slices are calibrated, the patient is not)`]])),
      ruleChart(rule, used)],
    make("p", { class: "muted", text: "A positive verdict means opacities of the kind that COVID-19 makes, not a virus. Other pneumonias look alike." }),
    history(revisions),
    make("details", {}, make("summary", { text: "Input and versions" }), make("dl", { class: "facts" }, facts(made(result, decision)))));
}

const listed = (heading, notices, kind) => notices.length > 0 && [
  make("h2", { text: heading }), make("ul", { class: "remarks" }, notices.map(({ text }) => make("li", { class: kind, text })))];

const KINDS = { diagnosis: "Diagnosis", correction: "Corrected", sign_off: "Signed off" };

function history(revisions) {
  if (!revisions?.length) return null;
  return [make("h2", { text: "History" }), make("table", { "aria-label": "Revisions" }, make("tbody", {}, [...revisions].reverse().map((each) => make("tr", {},
    make("td", { text: each.number }), make("td", { text: KINDS[each.kind] || each.kind }), make("td", { text: [each.by, each.at && moment(each.at)].filter(Boolean).join(", ") }), make("td", { text: each.comment || "" })))))];
}

function made(result, decision) {
  const { input, provenance } = result;
  const known = input.attributes || {};
  return [
    ["Kind", input.kind], ["Values", input.intensity === "HU" ? "Hounsfield units" : "grey levels, window not known"],
    ["Slices", `${input.slices} of ${input.rows} × ${input.columns}`], ["Spacing", input.spacing_mm && `${input.spacing_mm.map((v) => number(v)).join(" × ")} mm`],
    ["Slice thickness", input.slice_thickness_mm && `${number(input.slice_thickness_mm)} mm`], ["Patient", person(known.PatientName)], ["Study date", known.StudyDate && day(known.StudyDate)],
    ["Study", known.StudyDescription], ["Series", known.SeriesDescription], ["Kernel", known.ConvolutionKernel], ["Scanner", [known.Manufacturer, known.ManufacturerModelName].filter(Boolean).join(" ")],
    ["Series UID", input.series_uid], ["Digest", input.digest], ["JCS", provenance.version],
    ...Object.entries(decision.weights).map(([model, weights]) => [model, `${weights.file ?? ""} ${(weights.sha256 ?? "").slice(0, 16)}`]),
    ["Outlines", provenance.outlines && "edited by a reader"], ["Computing", result.timing_s?.total && `${number(result.timing_s.total)} s`],
  ];
}
