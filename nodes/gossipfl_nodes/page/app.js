// The page: asks what is known of the mesh once a second, and shows it. Every other module is a part of it: `api` asks,
// `mesh` understands, `draw/`, `tables` and `panels` show.

import * as api from "./api.js";
import { Chart } from "./draw/chart.js";
import { Graph } from "./draw/graph.js";
import { clock, duration, number, short, size } from "./format.js";
import { averaged, Histories, mean, merged, metricOf, understand } from "./mesh.js";
import * as panels from "./panels.js";
import { Table } from "./tables.js";

const EVERY = 1000; // milliseconds from one answer to the next question
const METRIC = 3; // the column of the devices' table
const STALE = 8; // publish intervals behind, at which a node is as stale as can be shown

const find = (id) => document.getElementById(id);
const page = { told: null, mesh: null, histories: new Histories(), chosen: null, by: null, answered: null };

// --- what is shown

const graph = new Graph(document.querySelector(".stage"), choose);
const when = (time, last) => (last - time < 1 ? "now" : `−${duration(last - time)}`);
const charts = {
  metric: new Chart(find("curves"), { title: "accuracy", format: number, when, range: [0, 1] }),
  loss: new Chart(find("curves"), { title: "training loss", format: number, when, range: [0, null] }),
  sent: new Chart(find("curves"), { title: "sent a second", format: size, tick: size, when, range: [0, null] }),
  spread: new Chart(find("curves"), { title: "best minus worst", format: number, when, range: [0, null] }),
};
const devices = new Table(
  find("devices").querySelector("table"),
  [
    { name: "device", of: ({ name, id }) => (name ? Number(name) : id), show: (row) => panels.label(row) },
    { name: "id", of: ({ id }) => short(id) },
    { name: "state", of: ({ status }) => (status ? (status.paused ? "paused" : status.state) : "down") },
    { name: "metric", of: ({ metric }) => metric, show: ({ metric }) => number(metric) },
    { name: "behind", of: ({ staleness }) => staleness, show: ({ staleness }) => number(staleness, 1) },
    ...["peers", "merges"].map((name) => ({ name, of: ({ status }) => status?.[name] ?? null, show: ({ status }) => number(status?.[name]) })),
    ...[["sent", "bytes_sent"], ["received", "bytes_received"]].map(([name, key]) => ({ name, of: ({ status }) => status?.[key] ?? null, show: ({ status }) => size(status?.[key]) })),
    { name: "uptime", of: ({ status }) => status?.uptime ?? null, show: ({ status }) => duration(status?.uptime) },
  ],
  choose,
);
const peers = new Table(find("peers").querySelector("table"), [
  { name: "peer", of: ({ name, id }) => (name ? Number(name) : id), show: (row) => panels.label(row) },
  { name: "linked", of: ({ live }) => live, show: ({ live }) => (live ? "yes" : "no") },
  { name: "latency", of: ({ latency }) => latency, show: ({ latency }) => duration(latency) },
  { name: "behind", of: ({ staleness }) => staleness, show: ({ staleness }) => number(staleness, 1) },
  { name: "merges", of: ({ merges }) => merges, show: ({ merges }) => number(merges) },
  { name: "last merge", of: ({ merged: seconds }) => (seconds === null ? null : -seconds), show: ({ merged: seconds }) => duration(seconds) },
  { name: "refused", of: ({ refused }) => refused, show: ({ refused }) => number(refused) },
  { name: "sent", of: ({ bytes_sent: bytes }) => bytes, show: ({ bytes_sent: bytes }) => size(bytes) },
  { name: "received", of: ({ bytes_received: bytes }) => bytes, show: ({ bytes_received: bytes }) => size(bytes) },
  { name: "address", of: ({ addresses }) => addresses[0] ?? "–" },
]);

function choose(id) {
  page.chosen = id === page.chosen ? null : id;
  graph.choose(page.chosen);
  if (page.mesh) show();
}

function show() {
  const { mesh } = page;
  const whole = mesh.me === null;
  const focus = mesh.devices.find(({ id }) => id === page.chosen) ?? (whole ? null : mesh.devices[0]);
  showHead(mesh);
  showGraph(mesh);
  showFacts(mesh, focus);
  showCurves(mesh);
  find("devices").hidden = !whole;
  devices.rename(METRIC, mesh.metric);
  if (whole) devices.show(mesh.nodes.filter(({ told }) => told).map((node) => ({ ...node, away: !node.up, metric: metricOf(node.status, mesh.metric) })), page.chosen);
  find("peers").hidden = !focus?.status;
  if (!focus) return;
  const names = new Map(mesh.nodes.map(({ id, name }) => [id, name]));
  find("peers-title").textContent = whole ? `Peers of ${panels.label(focus)}` : "Peers";
  peers.show(focus.peers.map((row) => ({ ...row, name: names.get(row.id), away: !row.live })), page.chosen);
}

function showHead(mesh) {
  const status = mesh.devices.find(({ status }) => status)?.status;
  if (!status) return;
  const task = status.task.split("/").at(-1);
  find("about").textContent = `${mesh.me === null ? `${mesh.devices.length} devices` : short(mesh.me)} in mesh “${status.mesh}”, learning ${task} over ${status.topology}`;
  document.title = `${mesh.me === null ? status.mesh : short(mesh.me)} · gossipfl`;
  find("orders").hidden = !(mesh.me && api.token());
  find("pause").textContent = status.paused ? "Resume training" : "Pause training";
}

// By what nodes are coloured: [name of the low end, of the high end, node → 0 to 1].
function colouring(mesh) {
  const staleness = ["stale", "fresh", ({ staleness: behind }) => (behind === null ? null : 1 - Math.max(0, Math.min(1, behind / STALE)))];
  const values = mesh.nodes.map(({ status }) => metricOf(status, mesh.metric)).filter((value) => value !== null);
  const [low, high] = mesh.metric === "accuracy" ? [0, 1] : [Math.max(...values), Math.min(...values)];
  const metric = [number(low, 2), number(high, 2), ({ status }) => {
    const value = metricOf(status, mesh.metric);
    return value === null ? null : low === high ? 1 : (value - low) / (high - low);
  }];
  return { staleness, ...(mesh.me === null ? { [mesh.metric]: metric } : {}) };
}

function showGraph(mesh) {
  const ways = colouring(mesh);
  const names = Object.keys(ways).reverse();
  const select = find("by");
  if (select.options.length !== names.length) select.replaceChildren(...names.map((name) => new Option(name)));
  select.disabled = names.length === 1;
  if (!names.includes(page.by)) page.by = names[0];
  const [low, high, shade] = ways[page.by];
  find("low").textContent = low;
  find("high").textContent = high;
  const up = mesh.nodes.filter((node) => node.up).length;
  find("links").textContent = mesh.me === null ? `${up} up, ${number(mesh.links.length)} links` : `${up - 1} linked, ${mesh.nodes.length - 1} known`;
  const value = (node) => (page.by === "staleness" ? number(node.staleness, 1) : number(metricOf(node.status, mesh.metric)));
  graph.show(
    mesh.nodes.map((node) => ({
      id: node.id,
      me: node.me,
      up: node.up,
      shade: node.me ? null : shade(node),
      text: node.name,
      label: node.me ? "this device" : !node.name ? short(node.id) : node.up ? value(node) : "down",
      tip: tip(node, mesh),
    })),
    mesh.links.map(({ a, b, merged: age }) => ({ a, b, age })),
  );
  const canvas = document.querySelector("canvas");
  canvas.setAttribute("aria-label", `The mesh: ${find("links").textContent}. The tables below say the same.`);
}

function tip(node, mesh) {
  const lines = [node.name ? `node ${node.name} · ${short(node.id)}` : node.id.slice(-16)];
  if (!node.up) return [...lines, node.told ? "down" : "known, not linked"].join("\n");
  if (node.status) lines.push(`${mesh.metric} ${number(metricOf(node.status, mesh.metric))}`);
  if (node.staleness !== null) lines.push(`${number(node.staleness, 1)} publish intervals behind`);
  return lines.join("\n");
}

function showFacts(mesh, focus) {
  const status = focus?.status;
  const node = mesh.nodes.find(({ id }) => id === focus?.id);
  find("facts-title").textContent = mesh.me !== null ? "This device" : focus ? `Device: ${panels.label(node)}` : "All devices";
  find("back").hidden = !(mesh.me === null && focus);
  panels.showFigures(find("figures"), status ? panels.figuresOfDevice(status, mesh.metric, mesh.time) : focus ? [["state", "down"]] : panels.figuresOfMesh(mesh));
  panels.showHealth(find("health"), status ? panels.healthOfDevice(status, focus.peers) : focus ? [["wrong", "It does not answer."]] : panels.healthOfMesh(mesh));
}

function showCurves(mesh) {
  const { histories } = page;
  const ids = mesh.devices.map(({ id }) => id);
  const chosen = ids.includes(page.chosen) ? page.chosen : null;
  const lines = (curves) => {
    if (ids.length === 1) return [{ name: " ", kind: "bold", points: curves[0] }];
    const found = curves.map((points) => ({ name: "", kind: "", points }));
    if (chosen) found.push({ name: panels.label(mesh.devices.find(({ id }) => id === chosen)), kind: "second", points: curves[ids.indexOf(chosen)] });
    return [...found, { name: "mean", kind: "bold", points: averaged(curves) }];
  };
  const metrics = ids.map((id) => histories.curve(id, `metrics.${mesh.metric}`));
  if (mesh.metric !== "accuracy") Object.assign(charts.metric, { range: [null, null] });
  charts.metric.rename(mesh.metric);
  charts.metric.show(lines(metrics));
  charts.loss.show(lines(ids.map((id) => histories.curve(id, "loss"))));
  charts.sent.rename(ids.length > 1 ? "sent a second, each" : "sent a second");
  charts.sent.show(lines(ids.map((id) => histories.rate(id, "bytes_sent"))));
  const spread = (values) => (values.length > 1 ? Math.max(...values) - Math.min(...values) : null);
  charts.spread.show(ids.length > 1 ? [{ name: " ", kind: "bold", points: averaged(metrics, spread) }] : []);
}

function say(verdict, text) {
  const pill = find("state");
  pill.className = `pill ${verdict}`;
  if (pill.textContent !== text) pill.textContent = text;
}

// --- asking

let following = null;

async function look() {
  try {
    const told = await api.get("/v1/mesh");
    if (page.told) graph.travel(merged(page.told, told));
    page.told = told;
    page.answered = Date.now();
    page.histories.add(told);
    page.mesh = understand(told);
    show();
    const down = told.devices.filter(({ status }) => status === null).length;
    if (down) say("wrong", `${down} down`);
    else say("ok", "live");
    return true;
  } catch (error) {
    if (error.status === 401) return askForToken();
    if (!(error instanceof api.Refused || error instanceof TypeError || error.name === "TimeoutError")) throw error;
    const since = page.answered ? ` since ${clock(page.answered / 1000)}` : "";
    say("wrong", `no answer${since}`);
    return true;
  }
}

function askForToken() {
  document.body.classList.add("locked");
  say("hint", "needs a token");
  following?.abort();
  return false;
}

async function run() {
  document.body.classList.remove("locked");
  if (!(await look())) return;
  following = new AbortController();
  const { signal } = following;
  const nameOf = (id) => {
    const node = page.mesh?.nodes.find((one) => one.id === id);
    return node ? panels.label(node) : short(id);
  };
  api.get("/v1/history").then((told) => page.histories.begin(told), () => {});
  api.follow("/v1/events?last=200", (event) => panels.showEvent(find("events"), event, nameOf), signal);
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, EVERY));
    if (document.hidden) await new Promise((resolve) => document.addEventListener("visibilitychange", resolve, { once: true }));
    if (!(await look())) return;
  }
}

// --- what one can do

async function order(path, done) {
  try {
    done(await api.post(path));
  } catch (error) {
    say("wrong", error.message);
  }
}

find("pause").addEventListener("click", () => {
  const paused = page.mesh.devices[0].status?.paused;
  order(paused ? "/v1/resume" : "/v1/pause", look);
});
find("publish").addEventListener("click", () => {
  order("/v1/publish", ({ peers: count }) => say("ok", count ? `published to ${count}` : "published to nobody"));
});
find("back").addEventListener("click", () => choose(page.chosen));
find("by").addEventListener("change", (event) => {
  page.by = event.target.value;
  show();
});
find("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  api.setToken(find("token").value);
  run();
});

const SCHEME = "gossipfl.scheme";
function setScheme(scheme) {
  document.documentElement.dataset.scheme = scheme;
  graph.recolour();
}
find("scheme").addEventListener("click", () => {
  const dark = getComputedStyle(document.documentElement).colorScheme;
  const now = dark === "dark" || (dark !== "light" && matchMedia("(prefers-color-scheme: dark)").matches);
  localStorage.setItem(SCHEME, now ? "light" : "dark");
  setScheme(now ? "light" : "dark");
});
if (localStorage.getItem(SCHEME)) setScheme(localStorage.getItem(SCHEME));

run();
