/* Keyboard shortcuts. Single letters can be switched off (WCAG 2.1.4): they would get in the way of speech input. */

const STORED = "jcs-shortcuts";
let tables = [];

/**
 * Add shortcuts; the function that is returned takes them away again.
 * @param {string} title of the group in the help
 * @param {Array<{keys: string[], words: string, run: (event: KeyboardEvent) => void, when?: () => boolean, always?: boolean}>} table
 */
export function shortcuts(title, table) {
  const entry = { title, table };
  tables.push(entry);
  return () => { tables = tables.filter((each) => each !== entry); };
}

export const groups = () => tables;
export const enabled = () => localStorage.getItem(STORED) !== "off";
export const enable = (on) => localStorage.setItem(STORED, on ? "on" : "off");

/** How a key press is written in the tables. */
export function keyName(event) {
  const name = event.key === " " ? "Space" : event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const parts = [];
  if (event.ctrlKey || event.metaKey) parts.push("Ctrl");
  if (event.altKey) parts.push("Alt");
  if (event.shiftKey && (event.key.length > 1 || /[a-z]/i.test(event.key))) parts.push("Shift");
  return [...parts, name].join("+");
}

function typing(event) {
  const node = event.target;
  if (node.closest?.("dialog")) return true;
  if (node.matches?.("textarea, select, [contenteditable]")) return true;
  return node.matches?.("input") && !["checkbox", "radio", "button"].includes(node.type);
}

// What a control itself does with a key goes before a shortcut.
const OWN = { Enter: "a, button, summary, input", Space: "button, summary, input", ArrowUp: "[role=slider], [role=tab], select", ArrowDown: "[role=slider], [role=tab], select", ArrowLeft: "[role=slider], [role=tab]", ArrowRight: "[role=slider], [role=tab]", PageUp: "[role=slider], .panel", PageDown: "[role=slider], .panel", Home: "[role=slider], [role=tab]", End: "[role=slider], [role=tab]" };

export function listen() {
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || typing(event)) return;
    const name = keyName(event);
    if (OWN[name] && event.target.closest?.(OWN[name])) return;
    for (const { table } of [...tables].reverse()) {
      for (const entry of table) {
        if (!entry.keys.includes(name) || (entry.when && !entry.when())) continue;
        if (!entry.always && name.length === 1 && !enabled()) continue;
        event.preventDefault();
        entry.run(event);
        return;
      }
    }
  });
}
