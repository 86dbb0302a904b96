/* Requests to the service. Errors carry the `detail` that the service wrote for people (RFC 9457). */

const BASE = "/api/v1";
let csrf = null;
let onUnauthenticated = () => {};

export class ApiError extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

/** What to do where the session has ended. */
export function whenLoggedOut(action) { onUnauthenticated = action; }

export const address = (path) => `${BASE}${path}`;

/** Headers that a request which changes something needs. */
export const guard = () => (csrf ? { "X-CSRF-Token": csrf } : {});

async function problem(response) {
  let detail = `${response.status} ${response.statusText}`.trim();
  try {
    const told = await response.json();
    if (typeof told.detail === "string") detail = told.detail;
  } catch { /* no JSON: the status says it */ }
  if (response.status === 401 && !response.url.endsWith("/session")) onUnauthenticated();
  return new ApiError(response.status, detail);
}

export async function request(method, path, { json, body, headers = {}, signal } = {}) {
  const settings = { method, headers: { Accept: "application/json", ...headers }, credentials: "same-origin", signal };
  if (method !== "GET") Object.assign(settings.headers, guard());
  if (json !== undefined) {
    settings.headers["Content-Type"] = "application/json";
    settings.body = JSON.stringify(json);
  } else if (body !== undefined) settings.body = body;
  let response;
  try {
    response = await fetch(path.startsWith("/api/") ? path : address(path), settings);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, "The service does not answer: is it still running?");
  }
  if (!response.ok) throw await problem(response);
  return response;
}

const parsed = async (response) => ((await response).status === 204 ? null : (await response).json());
const get = (path, signal) => parsed(request("GET", path, { signal }));

export async function session() {
  return remember(await get("/session"));
}

export async function logIn(user, password) {
  return remember(await parsed(request("POST", "/session", { json: { user, password } })));
}

export async function logOut() {
  await request("DELETE", "/session");
  csrf = null;
}

export const account = () => get("/account");
export const changePassword = (old, next) => request("POST", "/account/password", { json: { old, new: next } });
export const endSessions = (password, session) => request("POST", "/account/sessions/end", { json: { password, session } });
export const revokeToken = (id) => request("DELETE", `/account/tokens/${encodeURIComponent(id)}`);

function remember(told) {
  csrf = told.csrf;
  return told;
}

export const jobs = ({ state = "", limit = 100, offset = 0 } = {}) => {
  const query = new URLSearchParams({ limit, offset });
  if (state) query.set("state", state);
  return get(`/jobs?${query}`);
};
const of = (id) => `/jobs/${encodeURIComponent(id)}`;
const at = (revision) => (revision === undefined || revision === null ? "" : `?revision=${revision}`);
export const job = (id) => get(of(id));
export const cancelJob = (id) => parsed(request("POST", `${of(id)}/cancel`));
export const removedJobs = () => get("/jobs/removed");
export const restoreJob = (id) => parsed(request("POST", `${of(id)}/restore`));
export const removeJob = (id) => request("DELETE", of(id));
export const result = (id, revision) => get(`${of(id)}/result${at(revision)}`);
export const revisions = async (id) => { const told = await get(`${of(id)}/revisions`); return told.revisions || told; };
export const files = async (id) => { const told = await get(`${of(id)}/files`); return told.files || told; };
export const fileAddress = (id, name) => address(`${of(id)}/files/${name.split("/").map(encodeURIComponent).join("/")}`);
export const archiveAddress = (id) => address(`${of(id)}/archive.zip`);
export const view = (id, revision, signal) => get(`${of(id)}/view${at(revision)}`, signal);
export const earlier = async (id) => { const told = await get(`${of(id)}/earlier`); return told.jobs || told; };
export const comparison = (id, other) => get(`${of(id)}/comparison?earlier=${encodeURIComponent(other)}`);
export const signOff = (id, parent, judgement, comment) => parsed(request("POST", `${of(id)}/sign-off`, { json: { judgement, comment, parent } }));
export const saveOutlines = (id, parent, body) =>
  parsed(request("PUT", `${of(id)}/outlines?parent=${parent}`, { body, headers: { "Content-Type": "application/gzip" } }));

/**
 * The bytes behind an address, unpacked where they are gzip.
 * @param {(share: number|null) => void} onProgress share of what is to come, null where its size is not known
 */
export async function fetchUnpacked(path, onProgress, signal) {
  const response = await request("GET", path, { signal, headers: { Accept: "*/*" } });
  const total = Number(response.headers.get("Content-Length")) || 0;
  let loaded = 0;
  const counter = new TransformStream({
    transform(chunk, controller) {
      loaded += chunk.byteLength;
      onProgress(total ? loaded / total : null);
      controller.enqueue(chunk);
    },
  });
  const packed = await new Response(response.body.pipeThrough(counter)).blob();
  const head = new Uint8Array(await packed.slice(0, 2).arrayBuffer());
  if (head[0] !== 0x1f || head[1] !== 0x8b) return packed.arrayBuffer();
  return new Response(packed.stream().pipeThrough(new DecompressionStream("gzip"))).arrayBuffer();
}

export async function gzip(data) {
  return new Response(new Blob([data]).stream().pipeThrough(new CompressionStream("gzip"))).blob();
}
