// The page: asks once a second what is known of the mesh, and does what its buttons are for. `api` asks, `mesh`
// understands, and all that is in `show/` shows.

import * as api from "./api.js";
import { Histories, merged, understand } from "./mesh.js";
import { clock, short } from "./show/format.js";
import { label, showEvent } from "./show/panels.js";
import { View } from "./show/view.js";

const EVERY = 1000; // milliseconds from one answer to the next question
const HOLD = 4000; // milliseconds that is said what came of an order

const find = (id) => document.getElementById(id);
const view = new View();
const histories = new Histories();
let told = null; // the last answer

// Say how it is; what was `done` stays for a while.
let held = 0;
function say(verdict, text, done = false) {
  if (!done && Date.now() < held) return;
  held = done ? Date.now() + HOLD : 0;
  const pill = find("state");
  pill.className = `pill ${verdict}`;
  if (pill.textContent !== text) pill.textContent = text;
}

// --- asking

// One question; false if there is no use in asking again.
async function look() {
  const before = told;
  try {
    told = await api.get("/v1/mesh");
  } catch (error) {
    if (error.status !== 401) say("wrong", `no answer${before ? ` since ${clock(before.time)}` : ""}`);
    return error.status !== 401;
  }
  histories.add(told);
  view.show(understand(told), histories);
  if (before) view.graph.travel(merged(before, told));
  const down = told.devices.filter(({ status }) => status === null).length;
  say(down ? "wrong" : "ok", down ? `${down} down` : "live");
  const paused = told.devices[0]?.status?.paused;
  find("orders").hidden = !(told.me && api.token());
  find("pause").textContent = paused ? "Resume training" : "Pause training";
  return true;
}

const remember = () =>
  api.get("/v1/history").then(
    (found) => histories.begin(found),
    () => {},
  );

function note(event) {
  const node = (id) => view.mesh?.nodes.find((one) => one.id === id);
  showEvent(find("events"), event, (id) => (node(id) ? label(node(id)) : short(id)));
}

async function run() {
  const ending = new AbortController();
  for (let first = true; await look(); first = false) {
    if (first) {
      document.body.classList.remove("locked");
      remember();
      api.follow("/v1/events?last=200", note, ending.signal);
    }
    await new Promise((resolve) => setTimeout(resolve, EVERY));
    if (document.hidden) {
      await new Promise((resolve) => document.addEventListener("visibilitychange", resolve, { once: true }));
      remember();
    }
  }
  ending.abort();
  document.body.classList.add("locked");
  say("hint", "needs a token");
}

// --- what one can do

async function order(path, done) {
  try {
    say("ok", done(await api.post(path)), true);
  } catch (error) {
    say("wrong", error.message, true);
  }
  look();
}

find("pause").addEventListener("click", () => {
  if (told.devices[0].status.paused) order("/v1/resume", () => "training goes on");
  else order("/v1/pause", () => "training rests");
});
find("publish").addEventListener("click", () => {
  order("/v1/publish", ({ peers }) => (peers ? `published to ${peers}` : "published to nobody"));
});
find("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  api.setToken(find("token").value);
  run();
});

const SCHEME = "gossipfl.scheme";
function setScheme(scheme) {
  document.documentElement.dataset.scheme = scheme;
  view.graph.recolour();
}
find("scheme").addEventListener("click", () => {
  const { scheme } = document.documentElement.dataset;
  const dark = scheme ? scheme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  localStorage.setItem(SCHEME, dark ? "light" : "dark");
  setScheme(dark ? "light" : "dark");
});
if (localStorage.getItem(SCHEME)) setScheme(localStorage.getItem(SCHEME));

run();
