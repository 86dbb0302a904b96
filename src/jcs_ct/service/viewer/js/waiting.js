/* A study that has no result (yet): how far it is, or why there is none. */

import * as api from "./api.js";
import { attempt, make, show } from "./dom.js";
import { follow } from "./events.js";
import { capital, ended, hasResult, stateWords } from "./format.js";

export function waitForResult(main, job, { go, id }) {
  const place = make("div", { class: "worklist" });
  show(main, place);
  const render = (now) => {
    const known = now.stage_total > 0;
    show(place, make("h1", { text: now.name }),
      make("p", { role: "status", text: ended(now) ? `${stateWords(now.state)}. ${now.reason || ""}` : now.state === "running" ? `${capital(now.stage || "starting")} ${known ? `${now.stage_done} of ${now.stage_total}` : ""}` : "Waiting for its turn." }),
      now.state === "running" && make("progress", { max: known ? now.stage_total : 1, value: known ? now.stage_done : undefined, "aria-label": "Progress" }),
      make("p", {}, make("a", { class: "button", href: "/", "data-route": true, text: "‹ Worklist" }), " ",
        !ended(now) && make("button", { text: "Cancel", on: { click: () => attempt(async () => render((await api.cancelJob(id)) || (await api.job(id)))) } })));
  };
  render(job);
  return follow(async (kind, told) => {
    if (kind === "connected") told = await api.job(id);
    if (told?.id !== id || kind === "removed") return;
    if (hasResult(told)) go(`/study/${encodeURIComponent(id)}`, { replace: true });
    else render(told);
  });
}
