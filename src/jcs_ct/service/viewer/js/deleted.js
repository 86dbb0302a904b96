/* The dialog of deleted studies, which can be restored for some days. */

import * as api from "./api.js";
import { ask, make, show } from "./dom.js";
import { capital, label, moment, stateWords } from "./format.js";

/** @param {(job: Object) => void} onRestored told of each study that is back */
export async function openDeleted(onRestored) {
  let { jobs } = await api.removedJobs();
  const said = make("p", { class: "notice", role: "alert", hidden: true });
  const say = (words, fine) => {
    said.hidden = false;
    said.className = fine ? "notice fine" : "notice error";
    said.textContent = words;
  };
  const place = make("div");
  const end = make("button", { text: "Close" });
  const render = () => show(place, jobs.length ? table(jobs, restore) : make("p", { class: "empty", text: "No study can be restored." }));
  const restore = async (job) => {
    try {
      onRestored(await api.restoreJob(job.id));
      jobs = jobs.filter((each) => each.id !== job.id);
      render();
      say(`${label(job)} is back in the worklist.`, true);
      (place.querySelector("button") || end).focus();
    } catch (error) {
      say(capital(error.message), false);
    }
  };
  render();
  await ask("Deleted studies", (close) => {
    end.addEventListener("click", () => close());
    return [make("p", { class: "muted", text: "A deleted study can be restored for some days. After that it is gone for good." }), said, place, make("div", { class: "actions" }, end)];
  }, true);
}

function table(jobs, restore) {
  const head = ["Study", "State", "Handed in"].map((words) => make("th", { scope: "col", text: words }));
  return make("table", { "aria-label": "Deleted studies" },
    make("thead", {}, make("tr", {}, head, make("th", { scope: "col" }, make("span", { class: "unseen", text: "Actions" })))),
    make("tbody", {}, jobs.map((job) => make("tr", { data: { id: job.id } },
      make("td", { text: label(job) }), make("td", { text: stateWords(job.state) }), make("td", { text: moment(job.submitted_at) }),
      make("td", { class: "number" }, make("button", { class: "small", "aria-label": `Restore ${label(job)}`, text: "Restore", on: { click: () => restore(job) } }))))));
}
