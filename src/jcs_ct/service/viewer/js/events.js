/* Changes of jobs as the service tells them (server-sent events). One connection for the whole page. */

import { account, address } from "./api.js";

const AGAIN_MS = 10000;
const listeners = new Set();
let source = null;

/** Be told of every change; the function that is returned ends it. */
export function follow(listener) {
  listeners.add(listener);
  if (!source) connect();
  return () => listeners.delete(listener);
}

export function disconnect() {
  source?.close();
  source = null;
}

function connect() {
  source = new EventSource(address("/events"));
  const tell = (kind) => (event) => {
    let data = null;
    try { data = JSON.parse(event.data); } catch { return; }
    for (const listener of [...listeners]) listener(kind, data);
  };
  source.addEventListener("message", tell("job"));
  source.addEventListener("job", tell("job"));
  source.addEventListener("removed", tell("removed"));
  source.addEventListener("error", (event) => { if (event.target.readyState === EventSource.CLOSED) refused(event.target); });
  // The browser connects again by itself, unless it is refused. What happened before, since the page was read or the connection broke, was not
  // told: it is read anew.
  source.addEventListener("open", () => { for (const listener of [...listeners]) listener("connected", null); });
}

/** Either the session has ended, of which the page is told when it asks for anything; or the service is busy. */
async function refused(old) {
  await account().catch(() => null);
  setTimeout(() => { if (source === old) connect(); }, AGAIN_MS);
}
