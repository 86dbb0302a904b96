/* Elements without HTML: whatever comes from data becomes a text node, so nothing in it can be markup. */

const SVG = "http://www.w3.org/2000/svg";

/**
 * Make an element.
 * @param {string} tag
 * @param {Object} settings `class`, `text`, `data`, `on` (listeners by event) and attributes; null, undefined and false leave one out.
 * @param {...(Node|string|number|null|Array)} children
 */
export function make(tag, settings = {}, ...children) {
  return fill(document.createElement(tag), settings, children);
}

/** The same within a drawing. */
export function draw(tag, settings = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), settings, children);
}

function fill(node, settings, children) {
  for (const [name, value] of Object.entries(settings)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "class") node.setAttribute("class", value);
    else if (name === "text") node.textContent = String(value);
    else if (name === "data") Object.assign(node.dataset, value);
    else if (name === "on") for (const [event, listener] of Object.entries(value)) node.addEventListener(event, listener);
    else if (name in FIELDS) node[name] = value;
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  append(node, children);
  return node;
}

// What is a state of a control rather than an attribute.
const FIELDS = { value: 1, checked: 1, disabled: 1, hidden: 1, indeterminate: 1, open: 1 };

/** Append children, flattening lists and passing over what is empty. */
export function append(node, children) {
  for (const child of [children].flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    node.append(child instanceof Node ? child : String(child));
  }
  return node;
}

/** Replace all that a node holds. */
export function show(node, ...children) {
  node.replaceChildren();
  return append(node, children);
}

/** Tell something to those who do not see the page change. */
export function announce(text) {
  const region = document.getElementById("announce-polite");
  region.textContent = "";
  requestAnimationFrame(() => { region.textContent = text; });
}

/** Show a message that stays until it is closed or, where it is good news, some seconds. */
export function toast(text, fine = false) {
  const close = make("button", { class: "small quiet", "aria-label": "Close this message", text: "✕" });
  const node = make("div", { class: fine ? "toast fine" : "toast" }, make("span", { text }), close);
  close.addEventListener("click", () => node.remove());
  const place = document.getElementById("announce-alert");
  // The same again says nothing new, and good news settles what was wrong before.
  for (const old of [...place.children]) if (fine || old.firstChild.textContent === text) old.remove();
  place.append(node);
  if (fine) setTimeout(() => node.remove(), 6000);
}

/** Close dialogs and forget messages: they may tell of studies. */
export function clearAround() {
  for (const dialog of document.querySelectorAll("dialog[open]")) dialog.close();
  for (const id of ["announce-polite", "announce-alert"]) document.getElementById(id).replaceChildren();
}

/** Run what a user asked for, and say why where it fails. */
export async function attempt(action) {
  try {
    return await action();
  } catch (error) {
    if (error.name !== "AbortError") toast(error.message || String(error));
    return undefined;
  }
}

/**
 * Open a dialog; the promise is of what `close(value)` was given, or undefined where it was dismissed.
 * @param {string} title
 * @param {(close: (value: any) => void) => Array} content
 */
export function ask(title, content, wide = false) {
  return new Promise((resolve) => {
    const node = make("dialog", { class: wide ? "wide" : "", "aria-labelledby": "dialog-title" });
    let answer;
    const close = (value) => { answer = value; node.close(); };
    append(node, [make("h2", { id: "dialog-title", text: title }), content(close)]);
    node.addEventListener("close", () => { node.remove(); resolve(answer); });
    document.body.append(node);
    node.showModal();
  });
}

/** A message within a dialog: one behind an open dialog would not be read. */
export function noticeLine() {
  const node = make("p", { class: "notice", role: "alert", hidden: true });
  const say = (words, fine = false) => {
    node.hidden = false;
    node.className = fine ? "notice fine" : "notice error";
    node.textContent = words;
  };
  return { node, say };
}

/** A table whose last column holds buttons. */
export function actionTable(words, heads, rows) {
  return make("table", { "aria-label": words },
    make("thead", {}, make("tr", {}, heads.map((head) => make("th", { scope: "col", text: head })), make("th", { scope: "col" }, make("span", { class: "unseen", text: "Actions" })))), rows);
}

/** A button in the last cell of a row of an `actionTable`. */
export const actionButton = (text, label, click) => make("button", { class: "small", type: "button", "aria-label": label, text, on: { click } });

/** Ask for a yes before something that is not easily undone. */
export function confirmed(title, text, yes) {
  return ask(title, (close) => [
    make("p", { text }),
    make("div", { class: "actions" },
      make("button", { text: "Keep", on: { click: () => close(false) } }),
      make("button", { class: "danger", text: yes, on: { click: () => close(true) } })),
  ]);
}
