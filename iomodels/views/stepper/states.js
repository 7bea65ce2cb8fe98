// From a recording to what there is to see: a whole state for each step, and the order of moments.
// Nothing here knows of a page.

const ADDED_UP = new Set(["actors", "sockets"]); // by key; the other parts are replaced whole

/** One state per step. A state is never changed: what a step leaves alone it shares with the one
 * before, so that 500 of them cost little, and "is it the same?" is "===". */
function statesOf(recording) {
  const start = { actors: {}, sockets: {}, fds: [], queue: null, watch: null, counters: {} };
  let state = { ...start, since: {}, windows: {}, waits: {}, line: null, runner: null };
  return recording.steps.map((step, i) => {
    const next = { ...state };
    for (const [part, value] of Object.entries(step.changed ?? {}))
      next[part] = ADDED_UP.has(part) ? merged(state[part], value ?? {}) : value;
    next.since = since(state, next, i);
    next.line = step.via ?? step.line ?? state.line;
    next.helper = step.via ? step.line : step.line ? null : state.helper;
    next.runner = step.line ? step.actor : state.runner; // whose line it is
    next.waits = waits(recording, state, next, i);
    const window = windowOf(step, state, next);
    if (window) next.windows = { ...state.windows, [step.actor]: window };
    return (state = next);
  });
}

function merged(before, changes) {
  const after = { ...before, ...changes };
  for (const key in changes) if (changes[key] === null) delete after[key];
  return after;
}

/** What lies in the window of the step's actor, if that has changed: what it has just read; or the
 * same as before, but `old`, once it has gone on to something else than answering it. */
function windowOf(step, before, after) {
  const { call, kind } = step;
  if (!call) return null;
  if (call.data && isRead(call) && kind !== "sleep")
    return { data: call.data, bytes: bytesOf(call), client: clientOf(step, before, after) };
  const was = before.windows[step.actor];
  return was && !was.old && !isWrite(call) ? { ...was, old: true } : null;
}

/** By actor, the step since which it has been doing what it does. */
function since(before, after, i) {
  if (after.actors === before.actors) return before.since;
  const result = {};
  for (const [id, actor] of Object.entries(after.actors)) {
    const was = before.actors[id];
    const goesOn = was?.state === actor.state && was?.in === actor.in;
    result[id] = actor.since ?? (goesOn ? before.since[id] : i);
  }
  return result;
}

/** By client, the step since which it waits for the server: it knocks, it stands in the accept
 * queue, or it has sent bytes that nobody has read; or io_uring has accepted it or received its
 * bytes, and the server has not yet taken note. */
function waits(recording, before, after, i) {
  const result = {};
  const fds = fdsOf(after.watch?.done ?? []);
  const done = (after.fds ?? []).filter(({ fd }) => fds.includes(fd)).map(({ client }) => client);
  for (const { id, kind } of recording.actors) {
    const state = after.actors[id]?.state;
    if (kind !== "client" || !state || state === "none" || state === "left" || state === "ended")
      continue;
    const socket = after.sockets[id];
    if (
      state === "knocking" ||
      state === "waiting" ||
      after.queue?.waiting?.includes(id) ||
      socket?.in_bytes > 0 ||
      done.includes(id)
    )
      result[id] = before.waits[id] ?? i;
  }
  return result;
}

/** The connections that results of io_uring are news of: "accept(3) = 5" is of 5, and so is
 * "recv(5) = 2". */
function fdsOf(results) {
  const found = (text) => /^accept.* = (\d+)/.exec(text) ?? /^recv\((\d+)\) = [1-9]/.exec(text);
  return results.map((text) => Number(found(text)?.[1]));
}

const isRead = (call) => /^(read|recv)/.test(call.name);
const isWrite = (call) => /^(write|send)/.test(call.name);

/** How many bytes a read or a write has moved; its `data` holds the first of them. */
const bytesOf = (call) => parseInt(call.result, 10);

/** The client at the other end of the fd that a call names first, if it is one. */
function clientOf(step, ...states) {
  const fd = Number(/^\D*(\d+)/.exec(step.call?.args ?? "")?.[1] ?? NaN);
  for (const state of states.reverse()) {
    const pid = state.actors[step.actor]?.pid ?? 0; // the same number means another thing elsewhere
    const found = (state.fds ?? []).find((one) => one.fd === fd && (one.pid ?? 0) === pid);
    if (found?.client) return found.client;
  }
  return null;
}

/** The moments of one or more recordings of one scenario: for each, which step of each recording.
 *
 * The n-th act of the clients is the same moment in all of them. Between two acts a server takes
 * as many steps as it needs, and the quicker one waits for the next act. */
function momentsOf(recordings) {
  const acts = recordings.map(stretches);
  const numbers = [...new Set(acts.flatMap((its) => [...its.keys()]))].sort((a, b) => a - b);
  const at = recordings.map(() => 0);
  const moments = [];
  for (const number of numbers) {
    const spans = acts.map((its) => its.get(number) ?? []);
    for (let k = 0; k < Math.max(...spans.map((span) => span.length)); k++) {
      spans.forEach((span, r) => (at[r] = span[k] ?? at[r]));
      moments.push([...at]);
    }
  }
  return moments;
}

/** By the number of an act, the steps from it to the next; -1 is before the first. */
function stretches({ steps }) {
  const result = new Map([[-1, []]]);
  let number = -1;
  steps.forEach((step, i) => {
    if (step.kind === "act") number = step.act ?? number + 1;
    if (!result.has(number)) result.set(number, []);
    result.get(number).push(i);
  });
  return result;
}

/** Bytes as one shows them, cell by cell: an escape such as \x81 is one byte. */
const cellsOf = (text) => text.match(/\\x[0-9a-fA-F]{2}|\\[^x]|[^]/gu) ?? [];

const plural = (many, one) => `${many.toLocaleString("en")} ${one}${many === 1 ? "" : "s"}`;
