/* Numbers, dates and words as reports write them. What is not known is a dash, never a zero. */

export const UNKNOWN = "–";

export function number(value, digits = 3) {
  if (value === null || value === undefined || !Number.isFinite(value)) return UNKNOWN;
  if (value !== 0 && Math.abs(value) >= 10 ** digits) return Math.round(value).toLocaleString("en-GB").replaceAll(",", "\u202f");
  return String(Number(value.toPrecision(digits)));
}

export const ml = (value) => (value === null || value === undefined ? UNKNOWN : `${fixed(value)} mL`);
export const percent = (share) => (share === null || share === undefined ? UNKNOWN : `${fixed(100 * share)} %`);
export const probability = (value) => (value === null || value === undefined ? UNKNOWN : value.toFixed(2));
export const hu = (value) => (value === null || value === undefined ? UNKNOWN : minus(Math.round(value)));
export const minus = (value) => String(value).replace("-", "−");

/** One decimal below 100, none above; a trace is told as one. */
function fixed(exact) {
  // What was summed up in another order must not read otherwise.
  const value = Number(exact.toPrecision(9));
  if (value !== 0 && Math.abs(value) < 0.05) return value < 0 ? ">−0.1" : "<0.1";
  return minus(Math.abs(value) < 100 ? value.toFixed(1) : number(value, 3));
}

export function signed(value, unit = "") {
  if (value === null || value === undefined) return UNKNOWN;
  const text = fixed(Math.abs(value));
  const sign = text.startsWith("<") || value === 0 ? "" : value > 0 ? "+" : "−";
  return `${sign}${text}${unit}`;
}

/** A DICOM date (eight digits) or an ISO date as year-month-day. */
export function day(text) {
  if (!text) return UNKNOWN;
  return /^\d{8}$/.test(text) ? `${text.slice(0, 4)}-${text.slice(4, 6)}-${text.slice(6)}` : text;
}

/** What a study is called: its patient, else its file. */
export const label = (job) => person(job.summary?.patient?.name) || job.summary?.patient?.id || job.name;

/** A DICOM person name for reading: carets separate its parts. */
export const person = (name) => (name || "").replaceAll("^", " ").trim();

export function age(iso, now = Date.now()) {
  const seconds = Math.max(0, (now - Date.parse(iso)) / 1000);
  if (!Number.isFinite(seconds)) return UNKNOWN;
  if (seconds < 60) return "just now";
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86400)} d ago`;
}

export const moment = (iso) => (iso ? new Date(iso).toLocaleString("sv-SE", { dateStyle: "short", timeStyle: "short" }) : UNKNOWN);

export function bytes(size) {
  for (const [unit, scale] of [["GB", 1e9], ["MB", 1e6], ["kB", 1e3]]) if (size >= scale) return `${(size / scale).toFixed(size < 10 * scale ? 1 : 0)} ${unit}`;
  return `${size} B`;
}

const VERDICTS = {
  positive: ["positive", "▲", "Positive"],
  negative: ["negative", "▽", "Negative"],
  not_assessable: ["doubt", "◇", "Not assessable"],
  not_assessed: ["doubt", "◇", "Not assessed"],
};

/** Class, sign and words of a verdict: never told by colour alone. */
export function verdict(value) {
  const [kind, sign, words] = VERDICTS[value] || ["plain", "", value || UNKNOWN];
  return { kind, sign, words };
}

const STATES = {
  queued: "Waiting", running: "Running", done: "Done", not_assessable: "Not assessable", failed: "Failed", cancelled: "Cancelled",
};
export const stateWords = (state) => STATES[state] || state;
export const hasResult = (job) => job.state === "done" || job.state === "not_assessable";
export const ended = (job) => job.state !== "queued" && job.state !== "running";
export const capital = (text) => (text ? text[0].toUpperCase() + text.slice(1) : text);
