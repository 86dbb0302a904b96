/* The worklist: studies, how far they are and what came of them. */

import * as api from "./api.js";
import { openDeleted } from "./deleted.js";
import { attempt, confirmed, make, show, toast } from "./dom.js";
import { follow } from "./events.js";
import { age, capital, day, ended, hasResult, label, moment, number, percent, person, probability, stateWords, verdict } from "./format.js";
import { shortcuts } from "./shortcuts.js";
import { uploadArea } from "./uploads.js";

const PAGE = 100;
const STATES = ["", "queued", "running", "done", "not_assessable", "failed", "cancelled"];
const COLUMNS = [
  { words: "Patient and study", key: (job) => (person(job.summary?.patient?.name) || job.name).toLowerCase() },
  { words: "Result", key: (job) => `${job.summary?.verdict || "~"}${job.state}` },
  { words: "Probability", key: (job) => job.summary?.probability ?? -1, kind: "number" },
  { words: "Opacities", key: (job) => job.summary?.lesion_share_of_lung ?? -1, kind: "number" },
  { words: "Severity", key: (job) => job.summary?.severity ?? -1, kind: "number" },
  { words: "Handed in", key: (job) => job.submitted_at },
  { words: "Review", key: (job) => job.signed || "", kind: "wide-only" },
];

export function openWorklist(main, { go }) {
  document.title = "Worklist – JCS workstation";
  const list = new Worklist(go);
  show(main, list.node);
  list.load();
  return list.leave();
}

class Worklist {
  constructor(go) {
    this.go = go;
    this.jobs = new Map();
    this.total = 0;
    this.offset = 0;
    this.state = "";
    this.order = { column: 5, down: true };
    this.current = null;
    this.rows = make("tbody");
    this.empty = make("p", { class: "empty" });
    this.pager = make("div", { class: "pager" });
    this.search = make("input", { type: "search", "aria-label": "Search patient, study or file name", placeholder: "Search (/)", on: { input: () => this.render() } });
    this.filter = make("select", { "aria-label": "State", on: { change: () => this.choose(this.filter.value) } },
      STATES.map((state) => make("option", { value: state, text: state ? stateWords(state) : "All states" })));
    // What an event tells is newer than an answer to a question that was asked before it.
    this.events = 0;
    this.toldAt = new Map();
    this.uploads = uploadArea((id) => attempt(() => this.read(() => api.job(id))));
    this.heads = make("tr");
    this.node = make("div", { class: "worklist" }, this.uploads.area, this.uploads.list,
      make("div", { class: "filters" }, make("h1", { text: "Worklist" }), this.filter,
        make("button", { text: "Deleted studies…", "aria-haspopup": "dialog", on: { click: () => attempt(() => openDeleted((job) => this.take(job))) } }), this.search),
      make("div", { class: "list" }, make("table", { "aria-label": "Studies" }, make("thead", {}, this.heads), this.rows), this.empty), this.pager);
    this.renderHeads();
  }

  /** Begin to follow; the function that is returned ends it. */
  leave() {
    const forget = [
      follow((kind, job) => this.told(kind, job)),
      shortcuts("Worklist", [
        { keys: ["ArrowDown", "j"], words: "next study", run: () => this.step(1) },
        { keys: ["ArrowUp", "k"], words: "study before", run: () => this.step(-1) },
        { keys: ["Enter"], words: "open the study", run: () => this.current && this.open(this.current) },
        { keys: ["/"], words: "search", run: () => this.search.focus() },
        { keys: ["u"], words: "choose files to hand in", run: () => this.uploads.choose() },
      ]),
      () => this.uploads.close(),
    ];
    const clock = setInterval(() => this.render(), 30000);
    const leave = () => { clearInterval(clock); forget.forEach((each) => each()); };
    leave.asked = () => this.mayLeave();
    return leave;
  }

  async mayLeave() {
    if (!this.uploads.busy()) return true;
    const yes = await confirmed("Uploads are on their way", "They end when you leave the worklist.", "Stop them");
    if (yes) this.uploads.stop();
    return yes;
  }

  async load() {
    await attempt(async () => {
      const asked = this.events;
      const told = await api.jobs({ state: this.state, limit: PAGE, offset: this.offset });
      const found = told.jobs.filter((job) => !this.toldSince(job.id, asked));
      const newer = [...this.jobs.values()].filter((job) => this.toldSince(job.id, asked));
      this.jobs = new Map([...found, ...newer].map((job) => [job.id, job]));
      this.total = told.total;
      this.render();
    });
  }

  choose(state) {
    this.state = state;
    this.offset = 0;
    this.load();
  }

  toldSince(id, asked) { return (this.toldAt.get(id) || 0) > asked; }

  /** Ask for a job, and show it unless an event has told of it meanwhile. */
  async read(ask) {
    const asked = this.events;
    const job = await ask();
    if (!this.toldSince(job.id, asked)) this.take(job);
  }

  told(kind, job) {
    if (job) this.toldAt.set(job.id, ++this.events);
    if (kind === "connected") this.load();
    else if (kind === "removed") { this.jobs.delete(job.id); this.render(); }
    else this.take(job);
  }

  take(job) {
    if (this.state && job.state !== this.state) this.jobs.delete(job.id);
    else if (this.jobs.has(job.id) || this.offset === 0) this.jobs.set(job.id, job);
    this.render();
  }

  shown() {
    const words = this.search.value.trim().toLowerCase();
    const { key } = COLUMNS[this.order.column];
    const found = [...this.jobs.values()].filter((job) => !words || searchable(job).includes(words));
    const sign = this.order.down ? -1 : 1;
    return found.sort((a, b) => { const [x, y] = [key(a), key(b)]; return x < y ? -sign : x > y ? sign : 0; });
  }

  render() {
    const focused = document.activeElement?.closest?.("tr")?.dataset.id;
    const where = document.activeElement?.dataset?.tool;
    const jobs = this.shown();
    if (!jobs.some((job) => job.id === this.current)) this.current = null;
    show(this.rows, jobs.map((job) => this.row(job)));
    this.empty.hidden = jobs.length > 0;
    this.empty.textContent = this.jobs.size ? "No study matches the search." : "No studies yet. Drop a zip, a folder or files above.";
    this.renderPager();
    if (focused && where) this.rows.querySelector(`tr[data-id="${CSS.escape(focused)}"] [data-tool="${where}"]`)?.focus();
  }

  renderHeads() {
    show(this.heads, COLUMNS.map((column, k) => {
      const order = this.order.column === k ? (this.order.down ? "descending" : "ascending") : "none";
      const sign = order === "none" ? "" : this.order.down ? " ▾" : " ▴";
      return make("th", { scope: "col", class: column.kind, "aria-sort": order },
        make("button", { text: column.words + sign, on: { click: () => this.sort(k) } }));
    }), make("th", { scope: "col" }, make("span", { class: "unseen", text: "Actions" })));
  }

  sort(column) {
    this.order = { column, down: this.order.column === column ? !this.order.down : column > 1 };
    this.renderHeads();
    this.heads.children[column].firstChild.focus();
    this.render();
  }

  row(job) {
    const summary = job.summary || {};
    const open = (event) => { if (!event.target.closest("a, button")) this.open(job.id); };
    return make("tr", { data: { id: job.id }, class: job.id === this.current ? "current" : null, on: { click: open } },
      make("td", { class: "study" }, title(job)),
      make("td", { class: "state" }, stateCell(job), hasResult(job) && make("div", { class: "narrow-only" }, signature(job))),
      make("td", { class: "number", text: probability(summary.probability) }),
      make("td", { class: "number" }, opacities(summary)),
      make("td", { class: "number", text: summary.severity === null || summary.severity === undefined ? "–" : `${summary.severity} / 25` }),
      make("td", { class: "age", title: moment(job.submitted_at) }, age(job.submitted_at), job.owner === "pacs" && make("small", { text: "from the PACS" })),
      make("td", { class: "wide-only" }, signature(job)),
      make("td", { class: "row-tools" }, this.tool(job)));
  }

  tool(job) {
    const name = label(job);
    if (!ended(job)) return make("button", { class: "small", data: { tool: "cancel" }, "aria-label": `Cancel ${name}`, text: "Cancel", on: { click: () => attempt(() => this.read(async () => (await api.cancelJob(job.id)) || (await api.job(job.id)))) } });
    return make("button", { class: "small quiet", data: { tool: "delete" }, "aria-label": `Delete ${name}`, text: "Delete", on: { click: () => this.remove(job) } });
  }

  async remove(job) {
    if (!(await confirmed("Delete this study?", `${label(job)}: the images, all results, corrections and sign-offs are deleted. They can be restored for some days: see Deleted studies.`, "Delete"))) return;
    await attempt(async () => {
      await api.removeJob(job.id);
      this.jobs.delete(job.id);
      this.render();
      toast("The study was deleted.", true);
    });
  }

  open(id) {
    const job = this.jobs.get(id);
    if (job && hasResult(job)) this.go(`/study/${encodeURIComponent(id)}`);
  }

  step(by) {
    const ids = this.shown().map((job) => job.id);
    if (!ids.length) return;
    const at = ids.indexOf(this.current);
    this.current = ids[Math.min(ids.length - 1, Math.max(0, at < 0 ? 0 : at + by))];
    this.render();
    const row = this.rows.querySelector("tr.current");
    row.scrollIntoView({ block: "nearest" });
    (row.querySelector(".study a") || row.querySelector("button"))?.focus({ preventScroll: true });
  }

  renderPager() {
    const last = Math.min(this.total, this.offset + PAGE);
    this.pager.hidden = this.total <= PAGE;
    const turn = (by) => { this.offset = Math.max(0, this.offset + by); this.load(); };
    show(this.pager, make("span", { text: `${this.offset + 1} to ${last} of ${this.total}` }),
      make("button", { text: "Newer", disabled: this.offset === 0, on: { click: () => turn(-PAGE) } }),
      make("button", { text: "Older", disabled: last >= this.total, on: { click: () => turn(PAGE) } }));
  }
}

function searchable(job) {
  const { patient, study_date, description } = job.summary || {};
  return [job.name, patient?.name, patient?.id, study_date, day(study_date), description, job.summary?.verdict].filter(Boolean).join(" ").toLowerCase();
}

function title(job) {
  const { patient, study_date, description } = job.summary || {};
  const head = hasResult(job)
    ? make("a", { href: `/study/${encodeURIComponent(job.id)}`, "data-route": true, data: { tool: "open" }, text: label(job) })
    : make("strong", { text: label(job) });
  const facts = [patient?.id && patient.id !== label(job) ? patient.id : null, study_date && day(study_date), description && person(description)];
  const known = facts.filter(Boolean);
  return [head, make("small", { text: known.length ? known.join(" · ") : label(job) === job.name ? "" : job.name })];
}

function stateCell(job) {
  if (hasResult(job)) {
    const { kind, sign, words } = verdict(job.summary?.verdict);
    return [make("span", { class: `badge ${kind}` }, make("span", { "aria-hidden": "true", text: sign }), words),
      job.state === "not_assessable" && job.reason && make("small", { title: job.reason, text: job.reason }),
      job.summary?.doubts?.length > 0 && make("small", { title: "see the warnings of the result", text: `⚠ ${job.summary.doubts.join(", ")}` })];
  }
  if (job.state === "running") {
    const known = job.stage_total > 0;
    const words = known ? `${job.stage_done} of ${job.stage_total}` : "";
    return [`${capital(job.stage || "starting")} ${words}`,
      make("progress", { max: known ? job.stage_total : 1, value: known ? job.stage_done : undefined, "aria-label": `${job.stage || "starting"} ${words}` })];
  }
  if (job.state === "queued") return [make("span", { text: stateWords("queued") }), make("small", { text: job.reason || place(job.position) })];
  return [make("span", { class: `badge ${job.state === "failed" ? "positive" : "plain"}`, text: stateWords(job.state) }), job.reason && make("small", { title: job.reason, text: job.reason })];
}

const place = (position) => (position === null || position === undefined ? "" : position === 0 ? "next" : `${position} before it`);

function opacities(summary) {
  const volume = summary.lesion_volume_ml;
  return [percent(summary.lesion_share_of_lung), volume === null || volume === undefined ? "" : make("small", { class: "muted", text: ` ${number(volume)} mL` })];
}

export function signature(job) {
  if (job.signed === "accepted") return make("span", { class: "badge negative", text: "✓ Accepted" });
  if (job.signed === "rejected") return make("span", { class: "badge positive", text: "✕ Rejected" });
  return make("span", { class: "muted", text: hasResult(job) ? "not signed" : "" });
}
