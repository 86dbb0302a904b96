/* The dialog of deleted studies, which can be restored for some days. */

import * as api from "./api.js";
import { actionButton, actionTable, ask, make, noticeLine, show } from "./dom.js";
import { capital, label, moment, stateWords } from "./format.js";

/** @param {(job: Object) => void} onRestored told of each study that is back */
export async function openDeleted(onRestored) {
  let { jobs } = await api.removedJobs();
  const { node: said, say } = noticeLine();
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
      say(capital(error.message));
    }
  };
  render();
  await ask("Deleted studies", (close) => {
    end.addEventListener("click", () => close());
    return [make("p", { class: "muted", text: "A deleted study can be restored for some days. After that it is gone for good." }), said, place, make("div", { class: "actions" }, end)];
  }, true);
}

function table(jobs, restore) {
  return actionTable("Deleted studies", ["Study", "State", "Handed in"],
    make("tbody", {}, jobs.map((job) => make("tr", { data: { id: job.id } },
      make("td", { text: label(job) }), make("td", { text: stateWords(job.state) }), make("td", { text: moment(job.submitted_at) }),
      make("td", { class: "number" }, actionButton("Restore", `Restore ${label(job)}`, () => restore(job)))))));
}
