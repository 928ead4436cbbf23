// The columns of the tables: of the devices of a mesh, and of what one device knows of its peers.

import { duration, number, short, size } from "./format.js";
import { label } from "./panels.js";

// A column of what a row has by `key`, as text by `show`.
const plain = (name, key, show) => ({ name, of: (row) => row[key], show: (row) => show(row[key]) });

// A column of what a device says of itself, if it does.
const said = (name, key, show) => ({
  name,
  of: ({ status }) => status?.[key] ?? null,
  show: ({ status }) => show(status?.[key]),
});

// By number where devices have one, or else by id.
const order = ({ name, id }) => (name ? Number(name) : id);

export const METRIC = 3;

export const DEVICES = [
  { name: "device", of: order, show: label },
  { name: "id", of: ({ id }) => short(id) },
  { name: "state", of: ({ status }) => (status ? (status.paused ? "paused" : status.state) : "down") },
  plain("accuracy", "metric", number),
  plain("behind", "staleness", (value) => number(value, 1)),
  said("peers", "peers", number),
  said("merges", "merges", number),
  said("sent", "bytes_sent", size),
  said("received", "bytes_received", size),
  said("uptime", "uptime", duration),
];

export const PEERS = [
  { name: "peer", of: order, show: label },
  { name: "linked", of: ({ live }) => live, show: ({ live }) => (live ? "yes" : "no") },
  plain("latency", "latency", duration),
  plain("behind", "staleness", (value) => number(value, 1)),
  plain("merges", "merges", number),
  plain("since the last", "merged", duration),
  plain("refused", "refused", number),
  plain("sent", "bytes_sent", size),
  plain("received", "bytes_received", size),
  { name: "address", of: ({ addresses }) => addresses[0] ?? "–" },
];
