/* Where studies are handed in: dropping, choosing, and what is on its way. */

import { announce, attempt, make, show, toast } from "./dom.js";
import { asStudies, chosenFiles, droppedFiles } from "./drop.js";
import { bytes } from "./format.js";
import { send } from "./transfer.js";

/** @param {(id: string) => void} onJob told of each study that has arrived */
export function uploadArea(onJob) {
  const list = make("ul", { class: "transfers", "aria-label": "Uploads" });
  const sending = new Set();
  const take = (found) => {
    const studies = asStudies(found);
    if (!studies.length) toast("There was no file in what was given.");
    for (const study of studies) start(study, list, sending, onJob);
  };
  const files = picker({ multiple: true, "aria-label": "Files to hand in" }, take);
  const folder = picker({ multiple: true, webkitdirectory: true, "aria-label": "Folder to hand in" }, take);
  const area = make("section", { class: "drop", "aria-label": "Hand in a study" },
    make("p", {}, make("strong", { text: "Drop a study here" }), " – a zip, a folder or files: DICOM, NIfTI or pictures. Each zip, NIfTI file or folder is one study."),
    make("div", { class: "choices" }, files, folder,
      make("button", { id: "choose-files", class: "primary", "aria-keyshortcuts": "u", text: "Choose files…", on: { click: () => files.click() } }),
      make("button", { text: "Choose a folder…", on: { click: () => folder.click() } })));
  const forget = dropping(area, take);
  const guardLeaving = (event) => { if (sending.size) event.preventDefault(); };
  window.addEventListener("beforeunload", guardLeaving);
  const close = () => {
    forget();
    window.removeEventListener("beforeunload", guardLeaving);
  };
  return { area, list, close, choose: () => files.click(), busy: () => sending.size > 0, stop: () => sending.forEach((each) => each.abort()) };
}

function picker(settings, take) {
  const input = make("input", { type: "file", class: "unseen", tabindex: "-1", ...settings });
  input.addEventListener("change", () => {
    const found = chosenFiles(input);
    input.value = "";
    take(found);
  });
  return input;
}

/** The whole window takes drops: a file that misses the area must not replace the page. */
function dropping(area, take) {
  let depth = 0;
  const carries = (event) => [...(event.dataTransfer?.types || [])].includes("Files");
  const handlers = {
    dragenter: (event) => { if (carries(event)) { event.preventDefault(); depth++; area.classList.add("over"); } },
    dragover: (event) => { if (carries(event)) event.preventDefault(); },
    dragleave: () => { if (--depth <= 0) { depth = 0; area.classList.remove("over"); } },
    drop: (event) => {
      if (!carries(event)) return;
      event.preventDefault();
      depth = 0;
      area.classList.remove("over");
      attempt(async () => take(await droppedFiles(event.dataTransfer)));
    },
  };
  for (const [name, handler] of Object.entries(handlers)) window.addEventListener(name, handler);
  return () => { for (const [name, handler] of Object.entries(handlers)) window.removeEventListener(name, handler); };
}

async function start(study, list, sending, onJob) {
  const stop = new AbortController();
  const size = study.files.reduce((sum, { file }) => sum + file.size, 0);
  const bar = make("progress", { max: 1, value: 0, "aria-label": `Upload of ${study.name}` });
  const words = make("span", { class: "muted", text: "0 %" });
  const cancel = make("button", { class: "small", "aria-label": `Cancel the upload of ${study.name}`, text: "Cancel", on: { click: () => stop.abort() } });
  const count = study.files.length === 1 ? "" : `, ${study.files.length} files`;
  const row = make("li", {}, make("span", { class: "name", title: study.name, text: `${study.name} (${bytes(size)}${count})` }), bar, words, cancel);
  list.append(row);
  sending.add(stop);
  try {
    const id = await send(study, (share) => {
      bar.value = share;
      words.textContent = share >= 1 ? "being checked…" : `${Math.floor(100 * share)} %`;
    }, stop.signal);
    row.remove();
    announce(`${study.name} has arrived.`);
    onJob(id);
  } catch (error) {
    if (error.name === "AbortError") row.remove();
    else failed(row, study, error, () => start(study, list, sending, onJob));
  } finally {
    sending.delete(stop);
  }
}

function failed(row, study, error, again) {
  const close = make("button", { class: "small", text: "Close", on: { click: () => row.remove() } });
  const retry = make("button", { class: "small", text: "Try again", on: { click: () => { row.remove(); again(); } } });
  show(row, make("span", { class: "name", title: study.name, text: study.name }), make("span", { role: "alert", class: "change-up", text: error.message }), retry, close);
}
