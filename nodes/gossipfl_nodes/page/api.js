// The control API of whoever has served this page: what is asked, with the token if there is one. Draws nothing.
//
// A token comes in the address behind #, which browsers never send; it is kept for this tab, and taken out of the
// address, so that no bookmark and no screenshot has it.

const KEPT = "gossipfl.token";

if (location.hash.length > 1) {
  sessionStorage.setItem(KEPT, location.hash.slice(1));
  history.replaceState(null, "", location.pathname);
}

export const token = () => sessionStorage.getItem(KEPT) ?? "";

export function setToken(text) {
  sessionStorage.setItem(KEPT, text.trim());
}

export class Refused extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

async function ask(path, options = {}) {
  const headers = { ...options.headers };
  if (token()) headers.Authorization = `Bearer ${token()}`;
  const answer = await fetch(path, { ...options, headers, cache: "no-store" });
  if (!answer.ok) {
    const problem = await answer.json().catch(() => ({}));
    throw new Refused(answer.status, problem.detail ?? answer.statusText);
  }
  return answer;
}

export const get = async (path) => (await ask(path, { signal: AbortSignal.timeout(10_000) })).json();

export const post = async (path) => (await ask(path, { method: "POST" })).json();

// Calls `take` with each event, until `signal` is aborted; goes on after the last one when the connection breaks.
// EventSource can't bring a token, so its part of the protocol is done here (WHATWG HTML, §9.2: id and data).
export async function follow(path, take, signal) {
  let last = null;
  while (!signal.aborted) {
    try {
      const answer = await ask(path, { signal, headers: last === null ? {} : { "Last-Event-ID": last } });
      let rest = "";
      for await (const text of pieces(answer.body)) {
        const blocks = (rest + text).split("\n\n");
        rest = blocks.pop();
        for (const block of blocks) {
          for (const line of block.split("\n")) {
            if (line.startsWith("id: ")) last = line.slice(4);
            if (line.startsWith("data: ")) take(JSON.parse(line.slice(6)));
          }
        }
      }
    } catch (error) {
      if (error.status === 401) return;
    }
    await new Promise((resolve) => setTimeout(resolve, 2000));
  }
}

async function* pieces(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    yield value;
  }
}
