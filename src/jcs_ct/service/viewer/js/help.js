/* The overlay of keyboard shortcuts. */

import { ask, make } from "./dom.js";
import { enable, enabled, groups } from "./shortcuts.js";

const SHOWN = { ArrowUp: "↑", ArrowDown: "↓", ArrowLeft: "←", ArrowRight: "→", PageUp: "Page ↑", PageDown: "Page ↓" };

export function openHelp() {
  if (document.querySelector("dialog[open]")) return;
  const toggle = make("input", { type: "checkbox", checked: enabled(), on: { change: (event) => enable(event.target.checked) } });
  ask("Keyboard and mouse", (close) => [
    make("label", { class: "check" }, toggle, "Use shortcuts of a single key"),
    make("div", { class: "keys" }, groups().map(section), mouse()),
    make("div", { class: "actions" }, make("button", { class: "primary", text: "Close", on: { click: () => close() } })),
  ], true);
}

function section({ title, table }) {
  return make("section", {}, make("h3", { text: title }), make("dl", {}, table.map((entry) => [
    make("dt", {}, entry.keys.map((key, k) => [k ? " " : "", make("kbd", { text: shown(key) })])),
    make("dd", { text: entry.words }),
  ])));
}

const shown = (key) => (key === "+" ? key : key.split("+").map((part) => SHOWN[part] || part).join(" + "));

function mouse() {
  const rows = [
    ["Click, drag", "cross-hair (paint while editing)"], ["Wheel", "slices of the pane"], ["Ctrl + wheel, pinch", "zoom"],
    ["Right drag", "window: width across, level up and down"], ["Shift + drag, middle drag, two fingers", "move the picture"], ["Double click", "one pane or all"],
  ];
  return make("section", {}, make("h3", { text: "Mouse and touch in the panes" }),
    make("dl", {}, rows.map(([what, does]) => [make("dt", { text: what }), make("dd", { text: does })])));
}
