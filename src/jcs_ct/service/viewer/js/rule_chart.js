/* The patient rule over its thresholds: where the verdict would change. */

import { draw, make } from "./dom.js";
import { number } from "./format.js";

const [WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM] = [396, 168, 40, 10, 22, 34];

/** A drawing and, for all who do not see it, a table. */
export function ruleChart(rule, used) {
  const { curve } = rule;
  if (!curve.length) return null;
  return make("figure", { class: "curve" }, chart(rule, used),
    make("figcaption", { class: "muted", text: sentence(rule) }),
    make("details", {}, make("summary", { text: "The thresholds as a table" }), table(rule, used)));
}

/** In words, where the verdict turns. */
export function sentence({ curve }) {
  const positive = curve.filter((step) => step.positive).map((step) => step.paper_threshold);
  if (!positive.length) return "The verdict is negative at every threshold that was looked at.";
  if (positive.length === curve.length) return "The verdict is positive at every threshold that was looked at.";
  const negative = curve.filter((step) => !step.positive).map((step) => step.paper_threshold);
  return `Of the thresholds that were looked at, the verdict is positive up to ${Math.max(...positive)} and negative from ${Math.min(...negative)} of the paper's slices.`;
}

/** Where, between two steps, the threshold grows past the slices that were counted. */
function crossing(before, after, count) {
  const share = (count - before.threshold) / (after.threshold - before.threshold);
  return before.paper_threshold + share * (after.paper_threshold - before.paper_threshold);
}

function chart(rule, used) {
  const { curve, infected_slices: count } = rule;
  const [first, last] = [curve[0].paper_threshold, curve.at(-1).paper_threshold];
  const highest = Math.max(count, ...curve.map((step) => step.threshold)) * 1.08;
  const x = (paper) => LEFT + ((paper - first) / (last - first)) * (WIDTH - LEFT - RIGHT);
  const y = (slices) => HEIGHT - BOTTOM - (slices / highest) * (HEIGHT - TOP - BOTTOM);
  const turn = curve.findIndex((step) => !step.positive);
  const border = turn < 0 ? x(last) : turn === 0 ? x(first) : x(crossing(curve[turn - 1], curve[turn], count));
  const floor = HEIGHT - BOTTOM;
  const zones = [["positive", x(first), border], ["negative", border, x(last)]].filter(([, a, b]) => b - a > 1)
    .map(([kind, a, b]) => [draw("rect", { class: `zone-${kind}`, x: a, y: TOP, width: b - a, height: floor - TOP }), b - a > 52 && draw("text", { class: "strong", x: (a + b) / 2, y: TOP - 8, "text-anchor": "middle", text: kind })]);
  const ticks = curve.filter((step) => step.paper_threshold % 25 === 0 || step === curve[0]).map((step) => draw("text", { x: x(step.paper_threshold), y: floor + 14, "text-anchor": "middle", text: step.paper_threshold }));
  const levels = [0, highest / 2, highest / 1.08].map((value) => draw("text", { x: LEFT - 5, y: y(value) + 4, "text-anchor": "end", text: number(value, 2) }));
  return draw("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": `Infected slices (${count}) against the threshold of the rule. ${sentence(rule)}` },
    zones, ticks, levels,
    draw("line", { class: "axis", x1: LEFT, x2: WIDTH - RIGHT, y1: floor, y2: floor }), draw("line", { class: "axis", x1: LEFT, x2: LEFT, y1: TOP, y2: floor }),
    draw("polyline", { class: "own", points: curve.map((step) => `${x(step.paper_threshold)},${y(step.threshold)}`).join(" ") }),
    curve.map((step) => draw("circle", { class: step.positive ? "pos" : "neg", cx: x(step.paper_threshold), cy: y(step.threshold), r: step.paper_threshold === used ? 4.5 : 2.6 })),
    draw("line", { class: "count", x1: LEFT, x2: WIDTH - RIGHT, y1: y(count), y2: y(count) }),
    draw("text", { class: "strong", x: WIDTH - RIGHT - 2, y: y(count) - 5, "text-anchor": "end", text: `${count} infected` }),
    used && draw("line", { class: "used", x1: x(used), x2: x(used), y1: TOP, y2: floor }),
    draw("text", { x: LEFT, y: HEIGHT - 5, text: "threshold in the paper's slices; blue: in this study's" }));
}

function table(rule, used) {
  return make("table", {}, make("thead", {}, make("tr", {}, ["Paper's slices", "Slices of this study", "Verdict"].map((words) => make("th", { scope: "col", text: words })))),
    make("tbody", {}, rule.curve.map((step) => make("tr", {}, make("td", { text: step.paper_threshold + (step.paper_threshold === used ? " (used)" : "") }), make("td", { text: number(step.threshold, 4) }), make("td", { text: step.positive ? "positive" : "negative" })))));
}
