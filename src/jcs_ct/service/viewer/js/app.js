/* The page: who is logged in, and which of the two views is shown. */

import { openAccount } from "./account.js";
import * as api from "./api.js";
import { announce, attempt, clearAround, make, show, toast } from "./dom.js";
import { disconnect } from "./events.js";
import { openHelp } from "./help.js";
import { logInForm } from "./login.js";
import { listen, shortcuts } from "./shortcuts.js";
import { openWorklist } from "./worklist.js";

const main = document.getElementById("main");
let session = null;
let leave = () => true;
let openings = 0;
let shown = location.href;

/** Go to an address of this page; a view may object, as when edits are not saved. */
export async function go(path, { replace = false } = {}) {
  if (!(await leave.asked?.() ?? true)) return;
  history[replace ? "replaceState" : "pushState"](null, "", path);
  await open();
}

async function open() {
  leave();
  leave = () => true;
  const opening = ++openings;
  shown = location.href;
  const study = location.pathname.match(/^\/study\/([^/]+)\/?$/);
  if (!study) {
    leave = openWorklist(main, { session, go });
    focusHeading();
    return;
  }
  show(main, make("p", { class: "empty", text: "Opening the study…" }));
  // NiiVue is 3 MB: it is loaded when a study is first opened.
  const { openStudy } = await import("./study.js");
  const revision = new URLSearchParams(location.search).get("revision");
  const opened = await openStudy(main, { session, go, id: decodeURIComponent(study[1]), revision: revision === null ? null : Number(revision), current: () => opening === openings });
  if (opening !== openings) opened?.();
  else if (opened) {
    leave = opened;
    focusHeading();
  }
}

function focusHeading() {
  main.focus({ preventScroll: true });
  announce(document.title);
}

/** What was shown goes first, whether or not the service can be reached. */
function askForLogIn(words = null) {
  if (!words && main.querySelector("form.login")) return; // several requests learn of one end
  disconnect();
  clearAround();
  session = null;
  leave();
  leave = () => true;
  showTools();
  logInForm(main, async (told) => {
    session = told;
    await start();
  });
  if (words) toast(words, true);
}

function showTools() {
  const known = session && (session.authentication === "none" || session.user);
  const who = !known ? null : session.authentication === "none"
    ? make("span", { class: "who", title: "No users are set up, so the service answers this machine only. Anybody who uses it can read and sign.", text: "No login: this machine only" })
    : make("span", { class: "who", text: session.user });
  const out = known && session.authentication === "password" && make("button", { class: "small", text: "Log out", on: { click: () => attempt(logOut) } });
  const account = known && session.authentication === "password" && make("button", { class: "small", "aria-haspopup": "dialog", text: "Account", on: { click: () => attempt(() => openAccount(askForLogIn)) } });
  const help = make("button", { class: "small", "aria-keyshortcuts": "?", text: "Help", on: { click: openHelp } });
  show(document.getElementById("top-tools"), who, account, out, help);
}

async function logOut() {
  if (!(await leave.asked?.() ?? true)) return;
  const failure = await api.logOut().then(() => null, (error) => error);
  askForLogIn();
  if (failure && failure.status !== 401) toast(`Your session may go on: ${failure.message}`);
}

async function start() {
  showTools();
  await open();
}

async function boot() {
  listen();
  shortcuts("Everywhere", [
    { keys: ["?"], words: "this help", run: openHelp },
    { keys: ["w"], words: "worklist", run: () => go("/") },
  ]);
  api.whenLoggedOut(() => askForLogIn());
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("a[data-route]");
    if (!link || event.button || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    go(link.getAttribute("href"));
  });
  window.addEventListener("popstate", async () => {
    // The address has changed by now: whoever stays gets theirs back.
    if (await leave.asked?.() ?? true) await open();
    else history.pushState(null, "", shown);
  });
  try {
    session = await api.session();
  } catch (error) {
    if (error.status !== 401) {
      show(main, make("p", { class: "notice error", text: error.message }));
      return;
    }
  }
  if (!session || (session.authentication === "password" && !session.user)) askForLogIn();
  else await start();
}

boot();
