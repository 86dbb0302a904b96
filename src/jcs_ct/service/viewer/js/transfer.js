/* Uploads: many small files as one form, a large single file in parts that go on after an interruption (tus 1.0). */

import { address, ApiError, guard, request } from "./api.js";

const LARGE = 24 * 2 ** 20;
const PART = 8 * 2 ** 20;
const TRIES = 6;
const TUS = { "Tus-Resumable": "1.0.0" };

/**
 * Send a study.
 * @param {{name: string, files: Array}} study
 * @param {(share: number) => void} onProgress
 * @returns {Promise<string>} the job's id
 */
export function send(study, onProgress, signal) {
  const [first] = study.files;
  return study.files.length === 1 && first.file.size > LARGE ? sendInParts(first.file, onProgress, signal) : sendForm(study, onProgress, signal);
}

function sendForm(study, onProgress, signal) {
  const form = new FormData();
  for (const { file, path } of study.files) form.append("files", file, path);
  // fetch() tells nothing of an upload's progress.
  return new Promise((resolve, reject) => {
    const sender = new XMLHttpRequest();
    sender.open("POST", address("/jobs"));
    for (const [name, value] of Object.entries(guard())) sender.setRequestHeader(name, value);
    sender.setRequestHeader("Accept", "application/json");
    sender.upload.addEventListener("progress", (event) => event.lengthComputable && onProgress(event.loaded / event.total));
    sender.addEventListener("load", () => {
      const told = parse(sender.responseText);
      if (sender.status < 300 && told?.id) resolve(told.id);
      else reject(new ApiError(sender.status, told?.detail || `The upload was refused (${sender.status}).`));
    });
    sender.addEventListener("error", () => reject(new ApiError(0, "The upload was interrupted: send the files again.")));
    sender.addEventListener("abort", () => reject(new DOMException("cancelled", "AbortError")));
    signal.addEventListener("abort", () => sender.abort());
    sender.send(form);
  });
}

function parse(text) {
  try { return JSON.parse(text); } catch { return null; }
}

const encoded = (text) => btoa(String.fromCharCode(...new TextEncoder().encode(text)));

async function sendInParts(file, onProgress, signal) {
  const metadata = `filename ${encoded(file.name)}`;
  const created = await request("POST", "/uploads", { headers: { ...TUS, "Upload-Length": String(file.size), "Upload-Metadata": metadata }, signal });
  const place = new URL(created.headers.get("Location"), location.href).pathname;
  signal.addEventListener("abort", () => request("DELETE", place, { headers: TUS }).catch(() => {}));
  let offset = 0;
  let failures = 0;
  for (;;) {
    try {
      const response = await request("PATCH", place, {
        body: file.slice(offset, offset + PART),
        headers: { ...TUS, "Content-Type": "application/offset+octet-stream", "Upload-Offset": String(offset) },
        signal,
      });
      offset = Number(response.headers.get("Upload-Offset"));
      failures = 0;
      onProgress(offset / file.size);
      const id = response.headers.get("Jcs-Job");
      if (id) return id;
      if (offset >= file.size) throw new ApiError(500, "The upload is complete, but no study came of it.");
    } catch (error) {
      if (!worthRetrying(error) || ++failures > TRIES) throw error;
      await pause(500 * 2 ** failures);
      const state = await standing(place, signal, offset);
      if (state.job) return state.job;
      offset = state.offset;
    }
  }
}

const worthRetrying = (error) => error instanceof ApiError && (error.status === 0 || error.status === 409 || error.status >= 502);
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** How much the service has; what was known before where it does not answer yet. */
async function standing(place, signal, offset) {
  try {
    const response = await request("HEAD", place, { headers: TUS, signal });
    return { offset: Number(response.headers.get("Upload-Offset")), job: response.headers.get("Jcs-Job") };
  } catch (error) {
    if (error.status === 0) return { offset, job: null };
    throw error;
  }
}
