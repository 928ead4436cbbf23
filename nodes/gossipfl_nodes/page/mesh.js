// What is known of the mesh, from what devices tell: nodes, links, and their course over time. Pure: it knows neither the
// page nor the network.

const MOST = 600; // samples of a curve
const ALL = 40_000; // samples of all curves together, about
const SPAN = 2; // seconds that a rate is taken over, at least: frames come in bursts

// The nodes and links that `told`, an answer to /v1/mesh, speaks of. A node has
//   id, name, up, me, status (null if it isn't a device that tells of itself, or is down), staleness, metrics;
// a link has the ids a and b of its ends, and `merged`: seconds since the last merge over it, either way.
export function understand(told) {
  const nodes = new Map();
  const links = new Map();
  const about = new Map(); // id → rows of others about it
  for (const { id, name, status } of told.devices) {
    nodes.set(id, {
      id,
      name,
      up: status !== null,
      me: id === told.me,
      told: true,
      status,
      metrics: status?.metrics ?? {},
    });
  }
  for (const { id, status, peers } of told.devices) {
    if (status === null) continue;
    for (const row of peers) {
      if (!nodes.has(row.id)) {
        nodes.set(row.id, { id: row.id, name: "", up: row.live, me: false, told: false, status: null, metrics: {} });
      }
      if (!row.live) continue;
      if (!about.has(row.id)) about.set(row.id, []);
      about.get(row.id).push(row);
      if (!nodes.get(row.id).up) continue; // it has not been noticed yet that this one is gone
      const key = id < row.id ? `${id} ${row.id}` : `${row.id} ${id}`;
      const link = links.get(key) ?? { a: id, b: row.id, merged: Infinity };
      link.merged = Math.min(link.merged, row.merged ?? Infinity);
      links.set(key, link);
    }
  }
  for (const node of nodes.values()) {
    const known = (about.get(node.id) ?? []).map((row) => row.staleness).filter((value) => value !== null);
    node.staleness = mean(known);
  }
  return { ...told, nodes: [...nodes.values()], links: [...links.values()], metric: mainMetric(told.devices) };
}

// The merges that came in between two answers: [from, to] for each pair that has more than before.
export function merged(before, now) {
  const counts = new Map();
  for (const { id, peers } of before.devices) for (const row of peers) counts.set(`${row.id} ${id}`, row.merges);
  const found = [];
  for (const { id, status, peers } of now.devices) {
    if (status === null) continue;
    for (const row of peers) if (row.merges > (counts.get(`${row.id} ${id}`) ?? row.merges)) found.push([row.id, id]);
  }
  return found;
}

export function mean(values) {
  return values.length ? values.reduce((sum, value) => sum + value, 0) / values.length : null;
}

export const metricOf = (status, metric) => status?.metrics[metric] ?? null;

// What a model is judged by: accuracy, or else the first metric of the task.
function mainMetric(devices) {
  const names = new Set(devices.flatMap(({ status }) => Object.keys(status?.metrics ?? {})));
  return names.has("accuracy") ? "accuracy" : ([...names][0] ?? "accuracy");
}

// Curves of all devices: for each id, samples {time, and values by their place in a status}, the last of which is how it
// is now. As on the device, there are half as many from when they have become too many.
export class Histories {
  constructor() {
    this.of = new Map();
    this.every = new Map(); // by id: seconds between two samples that are kept
  }

  // Takes an answer to /v1/history, between what is older (of an earlier life) and what has come in since.
  begin(told) {
    for (const [id, { time, values }] of Object.entries(told)) {
      const own = this.of.get(id) ?? [];
      const found = time.map((moment, i) => {
        const sample = { time: moment };
        for (const [name, column] of Object.entries(values)) sample[name] = column[i];
        return sample;
      });
      const older = own.filter((sample) => sample.time < time[0]);
      const newer = own.filter((sample) => sample.time > time.at(-1));
      if (time.length) this.of.set(id, [...older, ...found, ...newer]);
    }
  }

  // Takes an answer to /v1/mesh.
  add(told) {
    for (const { id, status } of told.devices) {
      if (status === null) continue;
      const { loss, bytes_sent, bytes_received, metrics } = status;
      const sample = { time: told.time, loss, bytes_sent, bytes_received };
      for (const [name, value] of Object.entries(metrics)) sample[`metrics.${name}`] = value;
      const samples = this.of.get(id) ?? [];
      const [before, last] = samples.slice(-2);
      if (last && last.time - before.time < (this.every.get(id) ?? 0)) samples.pop();
      samples.push(sample);
      this.of.set(id, samples);
      if (samples.length <= Math.min(MOST, ALL / told.devices.length)) continue;
      const kept = samples.filter((_, i) => i % 2 === 0);
      this.of.set(id, kept);
      this.every.set(id, (0.9 * (kept.at(-1).time - kept[0].time)) / kept.length);
    }
  }

  // [time, value] of one value of one device.
  curve(id, name) {
    return (this.of.get(id) ?? []).map((sample) => [sample.time, sample[name] ?? null]);
  }

  // As `curve`, by the second, of what only grows; a restart, after which it begins anew, is a gap.
  rate(id, name) {
    const found = [];
    let [before, last] = [-Infinity, null];
    for (const [time, value] of this.curve(id, name)) {
      if (value === null || time - before < SPAN) continue;
      if (last !== null) found.push([time, value >= last ? (value - last) / (time - before) : null]);
      [before, last] = [time, value];
    }
    return found;
  }
}

// The mean of `curves` at each of `steps` moments, each curve taken between its points, where these are not far apart.
export function averaged(curves, fold = mean, steps = 120) {
  const times = curves.flatMap((curve) => (curve.length ? [curve[0][0], curve.at(-1)[0]] : []));
  if (!times.length) return [];
  const [first, last] = [Math.min(...times), Math.max(...times)];
  const far = Math.max(3, (last - first) / 40);
  const places = curves.map(() => 0);
  const found = [];
  for (let step = 0; step <= steps; step++) {
    const time = first + ((last - first) * step) / steps;
    const values = [];
    curves.forEach((curve, i) => {
      while (places[i] + 1 < curve.length && curve[places[i] + 1][0] <= time) places[i]++;
      const [before, after] = [curve[places[i]], curve[places[i] + 1] ?? curve[places[i]]];
      if (!before || before[0] > time || Math.max(after[0], time) - before[0] > far) return;
      if (before[1] === null || after[1] === null) return;
      const part = after[0] > before[0] ? (time - before[0]) / (after[0] - before[0]) : 0;
      values.push(before[1] + part * (after[1] - before[1]));
    });
    found.push([time, values.length ? fold(values) : null]);
  }
  return found;
}
