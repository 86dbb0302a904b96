/* Tabs as the ARIA practices describe them: one stop for Tab, arrow keys between them. */

import { make } from "./dom.js";

export class Tabs {
  /** @param {Array<{id: string, words: string, node: HTMLElement, open?: () => void}>} tabs */
  constructor(label, tabs) {
    this.tabs = tabs;
    this.buttons = tabs.map(({ id, words }) => make("button", { role: "tab", id: `tab-${id}`, "aria-controls": `panel-${id}`, text: words, on: { click: () => this.open(id) } }));
    this.list = make("div", { class: "tabs", role: "tablist", "aria-label": label, on: { keydown: (event) => this.pressed(event) } }, this.buttons);
    this.panels = tabs.map(({ id, node }) => make("div", { class: "panel", role: "tabpanel", id: `panel-${id}`, "aria-labelledby": `tab-${id}`, tabindex: "0" }, node));
    this.open(tabs[0].id);
  }

  open(id) {
    this.current = id;
    this.tabs.forEach((tab, k) => {
      const on = tab.id === id;
      this.buttons[k].setAttribute("aria-selected", String(on));
      this.buttons[k].tabIndex = on ? 0 : -1;
      this.panels[k].hidden = !on;
      if (on) tab.open?.();
    });
  }

  /** Open a tab and bring the user there. */
  go(id) {
    this.open(id);
    const button = this.buttons[this.tabs.findIndex((tab) => tab.id === id)];
    button.focus({ preventScroll: true });
    this.list.scrollIntoView({ block: "nearest" });
  }

  name(id, words) { this.buttons[this.tabs.findIndex((tab) => tab.id === id)].textContent = words; }

  pressed(event) {
    const at = this.tabs.findIndex((tab) => tab.id === this.current);
    const count = this.tabs.length;
    const to = { ArrowRight: (at + 1) % count, ArrowLeft: (at + count - 1) % count, Home: 0, End: count - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    this.open(this.tabs[to].id);
    this.buttons[to].focus();
  }
}
