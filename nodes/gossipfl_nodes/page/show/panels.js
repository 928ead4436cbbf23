// What is said in words and figures: of one device, of the whole mesh, and of what happens. Makes texts; asks nobody.

import { ago, clock, dash, duration, number, short, size } from "./format.js";
import { mean, metricOf } from "../mesh.js";

const EVENTS = 100; // kept in the list
const QUIET = new Set(["merged", "published", "saved"]); // all the time; the graph shows the merges

function figuresOfDevice(status, metric, now) {
  return [
    [metric, number(metricOf(status, metric))],
    ["state", status.paused ? "paused" : status.state],
    ["peers linked", number(status.peers)],
    ["mesh, estimated", `${number(status.mesh_size)} devices`],
    ["model's age", `${Math.round(status.age).toLocaleString("en")} steps`],
    ["training loss", number(status.loss)],
    ["merges", number(status.merges)],
    ["publishes", number(status.publishes)],
    ["longest without a merge", duration(status.longest_gap)],
    ["sent", size(status.bytes_sent)],
    ["received", size(status.bytes_received)],
    ["saved", status.saved_at === null ? dash : ago(Math.max(0, now - status.saved_at))],
    ["running for", duration(status.uptime)],
  ];
}

function figuresOfMesh(mesh) {
  const told = mesh.nodes.filter(({ told }) => told);
  const up = told.filter(({ status }) => status !== null).map(({ status }) => status);
  const values = up.map((status) => metricOf(status, mesh.metric)).filter((value) => value !== null);
  const worst = mesh.metric === "accuracy" ? Math.min : Math.max;
  const sum = (name) => up.reduce((total, status) => total + status[name], 0);
  return [
    [`mean ${mesh.metric}`, number(mean(values))],
    ["worst device", number(values.length ? worst(...values) : null)],
    ["devices up", `${up.length} of ${told.length}`],
    ["links", number(mesh.links.length)],
    ["merges", number(sum("merges"))],
    ["sent by each", size(up.length ? sum("bytes_sent") / up.length : null)],
    ["longest without a merge", duration(up.length ? Math.max(...up.map((status) => status.longest_gap)) : null)],
  ];
}

// [verdict, text]: what is well, what may be meant so, and what is wrong.
function healthOfDevice(status, peers) {
  const shunned = peers.filter(({ strikes }) => strikes > 0).length;
  const { budget } = status;
  return [
    status.state === "joining"
      ? ["hint", "It joins: it learns as soon as it has others' models."]
      : ["ok", "It learns."],
    ...(status.paused ? [["hint", "Local training rests, until it is resumed."]] : []),
    ...(status.failures
      ? [["wrong", `${status.failures} trainings failed, the last one: ${status.last_failure}`]]
      : []),
    status.save_error ? ["wrong", `It can't be saved: ${status.save_error}`] : ["ok", "What it learns is saved."],
    status.partition
      ? ["wrong", `The mesh looks split: ${status.missing} can't be reached any more.`]
      : status.peers
        ? ["ok", `${status.peers} ${status.peers === 1 ? "peer is" : "peers are"} linked.`]
        : ["hint", "Nobody is there: it learns alone."],
    ...(shunned ? [["hint", `${shunned} of its peers sent what was refused.`]] : []),
    ...(budget && budget.left < budget.limit / 20
      ? [["hint", `Its byte budget is nearly spent: ${size(budget.left)} left.`]]
      : []),
    ...(status.open ? [["hint", "The mesh is open: whoever reaches a device may join."]] : []),
  ];
}

function healthOfMesh(mesh) {
  const told = mesh.nodes.filter(({ told }) => told);
  const down = told.filter(({ up }) => !up);
  const joining = told.filter(({ status }) => status?.state === "joining");
  const split = told.filter(({ status }) => status?.partition);
  const failed = told.filter(({ status }) => status?.failures || status?.save_error);
  const names = (nodes) => nodes.map(label).join(", ");
  return [
    down.length ? ["wrong", `Down: ${names(down)}.`] : ["ok", "All devices are up."],
    joining.length ? ["hint", `Still joining: ${names(joining)}.`] : ["ok", "All that are up learn."],
    ...(split.length ? [["wrong", `To these the mesh looks split: ${names(split)}.`]] : []),
    ...(failed.length ? [["wrong", `Trainings or saves failed at ${names(failed)}.`]] : []),
  ];
}

export const label = ({ id, name }) => (name ? `node ${name}` : short(id));

// The figures and the health of the device `focus`, or of the whole mesh if that is null.
export function facts(mesh, focus) {
  if (!focus) return [figuresOfMesh(mesh), healthOfMesh(mesh)];
  const { status, peers } = focus;
  if (!status) return [[["state", "down"]], [["wrong", "It does not answer."]]];
  return [figuresOfDevice(status, mesh.metric, mesh.time), healthOfDevice(status, peers)];
}

// What is said of a node under the pointer.
export function tip(node, metric) {
  const lines = [node.name ? `node ${node.name} · ${short(node.id)}` : node.id.slice(-16)];
  if (!node.up) return [...lines, node.told ? "down" : "known, not linked"].join("\n");
  if (node.status) lines.push(`${metric} ${number(metricOf(node.status, metric))}`);
  if (node.staleness !== null) lines.push(`${number(node.staleness, 1)} publish intervals behind`);
  return lines.join("\n");
}

export function showFigures(list, figures) {
  while (list.children.length > figures.length) list.lastChild.remove();
  figures.forEach(([name, value], i) => {
    const box = list.children[i] ?? list.appendChild(document.createElement("div"));
    if (!box.children.length) box.append(document.createElement("dt"), document.createElement("dd"));
    box.firstChild.textContent = name;
    box.lastChild.textContent = value;
  });
}

export function showHealth(list, found) {
  list.replaceChildren(
    ...found.map(([verdict, text]) => {
      const item = document.createElement("li");
      item.className = verdict;
      item.textContent = text;
      return item;
    }),
  );
}

// One more event on top of `list`, newest first.
export function showEvent(list, event, nameOf) {
  const { time, event: kind, ...facts } = event;
  if (QUIET.has(kind)) return;
  const item = document.createElement("li");
  const moment = document.createElement("time");
  moment.textContent = time ? clock(time) : "";
  const what = document.createElement("span");
  what.textContent = kind;
  const more = document.createElement("span");
  more.textContent = Object.entries(facts)
    .map(([name, value]) => (name === "peer" ? nameOf(value) : `${name.replace("_", " ")} ${value}`))
    .join(", ");
  item.append(moment, what, more);
  list.prepend(item);
  while (list.children.length > EVENTS) list.lastChild.remove();
}
