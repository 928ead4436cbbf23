// All that is on the page, kept up with what is known of the mesh: the graph, a device or the whole in figures, curves,
// tables. One device may be chosen, in the graph or in a table; then all of them tell of it. Asks nobody.

import { averaged, metricOf } from "../mesh.js";
import { Chart } from "./chart.js";
import { DEVICES, METRIC, PEERS } from "./columns.js";
import { duration, number, short, size } from "./format.js";
import { Graph } from "./graph.js";
import * as panels from "./panels.js";
import { Table } from "./tables.js";

const STALE = 8; // publish intervals behind, at which a node is as stale as can be shown
const EACH = 40; // devices that have a curve each; of more, there are the least and the greatest

const nextFrame = () => new Promise(requestAnimationFrame);
const find = (id) => document.getElementById(id);
const when = (time, last) => (last - time < 1 ? "now" : `−${duration(last - time)}`);

export class View {
  constructor() {
    this.chosen = null;
    this.by = null;
    const choose = (id) => this.choose(id);
    this.graph = new Graph(document.querySelector(".stage"), choose);
    this.devices = new Table(find("devices").querySelector("table"), DEVICES, choose);
    this.peers = new Table(find("peers").querySelector("table"), PEERS);
    const chart = (title, format, more = {}) => new Chart(find("curves"), { title, format, when, ...more });
    this.charts = {
      metric: chart("accuracy", number, { range: [0, 1] }),
      loss: chart("training loss", number, { range: [0, null] }),
      sent: chart("sent a second", size, { tick: size, range: [0, null] }),
      spread: chart("best minus worst", number, { range: [0, null] }),
    };
    find("back").addEventListener("click", () => this.choose(this.chosen));
    find("by").addEventListener("change", (event) => {
      this.by = event.target.value;
      this.#showGraph();
    });
  }

  // Tell of the device `id`, or, if it was chosen already, of none.
  choose(id) {
    this.chosen = id === this.chosen ? null : id;
    this.graph.choose(this.chosen);
    if (this.mesh) this.show(this.mesh, this.histories);
  }

  // `mesh` as `understand` makes it, `histories` of its devices. What takes long has frames of its own.
  async show(mesh, histories) {
    Object.assign(this, { mesh, histories, whole: mesh.me === null });
    this.focus = mesh.devices.find(({ id }) => id === this.chosen) ?? (this.whole ? null : mesh.devices[0]);
    this.#showHead();
    this.#showGraph();
    this.#showFacts();
    await nextFrame();
    this.#showTables();
    for (const showCurve of this.#curves()) {
      await nextFrame();
      showCurve();
    }
  }

  #showHead() {
    const { devices, me } = this.mesh;
    const status = devices.find((device) => device.status)?.status;
    if (!status) return;
    const who = this.whole ? `${devices.length} devices` : short(me);
    const task = status.task.split("/").at(-1);
    find("about").textContent = `${who} in mesh “${status.mesh}”, learning ${task} over ${status.topology}`;
    document.title = `${this.whole ? status.mesh : short(me)} · gossipfl`;
  }

  // By what nodes are coloured: [name of the low end, of the high end, node → 0 to 1, or null].
  #colourings() {
    const { nodes, metric } = this.mesh;
    const fresh = ({ staleness }) => (staleness === null ? null : 1 - Math.max(0, Math.min(1, staleness / STALE)));
    const found = { staleness: ["stale", "fresh", fresh] };
    if (!this.whole) return found; // a device knows no other's metrics
    const values = nodes.map(({ status }) => metricOf(status, metric)).filter((value) => value !== null);
    const [low, high] = metric === "accuracy" ? [0, 1] : [Math.max(...values), Math.min(...values)];
    const good = ({ status }) => {
      const value = metricOf(status, metric);
      return value === null ? null : low === high ? 1 : (value - low) / (high - low);
    };
    return { [metric]: [number(low, 2), number(high, 2), good], ...found };
  }

  #showGraph() {
    const { nodes, links, metric } = this.mesh;
    const ways = this.#colourings();
    const names = Object.keys(ways);
    const select = find("by");
    if (select.options.length !== names.length) select.replaceChildren(...names.map((name) => new Option(name)));
    select.disabled = names.length === 1;
    if (!names.includes(this.by)) this.by = names[0];
    const [low, high, shade] = ways[this.by];
    find("low").textContent = low;
    find("high").textContent = high;
    const up = nodes.filter((node) => node.up).length;
    const counted = this.whole
      ? `${number(up)} up, ${number(links.length)} links`
      : `${up - 1} linked, ${nodes.length - 1} known`;
    find("links").textContent = counted;
    const value = (node) =>
      this.by === "staleness" ? number(node.staleness, 1) : number(metricOf(node.status, metric));
    this.graph.show(
      nodes.map((node) => ({
        id: node.id,
        me: node.me,
        up: node.up,
        shade: node.me ? null : shade(node),
        text: node.name,
        label: node.me ? "this device" : !node.name ? short(node.id) : node.up ? value(node) : "down",
        tip: panels.tip(node, metric),
      })),
      links.map(({ a, b, merged }) => ({ a, b, age: merged })),
    );
    this.graph.canvas.setAttribute("aria-label", `The mesh: ${counted}. The tables below say the same.`);
  }

  #showFacts() {
    const { mesh, focus } = this;
    const [figures, health] = panels.facts(mesh, focus);
    const device = this.whole && focus ? `Device: ${panels.label(focus)}` : "All devices";
    find("facts-title").textContent = this.whole ? device : "This device";
    find("back").hidden = !(this.whole && focus);
    panels.showFigures(find("figures"), figures);
    panels.showHealth(find("health"), health);
  }

  // What shows each chart.
  #curves() {
    const { histories, charts } = this;
    const { devices, metric } = this.mesh;
    const all = (curve) => devices.map(({ id }) => curve(id));
    const metrics = all((id) => histories.curve(id, `metrics.${metric}`));
    const spread = (values) => (values.length > 1 ? Math.max(...values) - Math.min(...values) : null);
    if (metric !== "accuracy") charts.metric.range = [null, null];
    charts.metric.rename(metric);
    charts.sent.rename(devices.length > 1 ? "sent a second, each" : "sent a second");
    return [
      () => charts.metric.show(this.#lines(metrics)),
      () => charts.loss.show(this.#lines(all((id) => histories.curve(id, "loss")))),
      () => charts.sent.show(this.#lines(all((id) => histories.rate(id, "bytes_sent")))),
      () => charts.spread.show([{ name: " ", kind: "bold", points: averaged(metrics, spread) }]),
    ];
  }

  // What a chart shows of the devices' curves: each, the chosen one's, and their mean.
  #lines(curves) {
    if (curves.length === 1) return [{ name: " ", kind: "bold", points: curves[0] }];
    const drawn =
      curves.length <= EACH ? curves : [Math.min, Math.max].map((end) => averaged(curves, (all) => end(...all)));
    const each = drawn.map((points) => ({ name: "", kind: "", points }));
    const chosen = this.mesh.devices.findIndex(({ id }) => id === this.chosen);
    const mean = { name: "mean", kind: "bold", points: averaged(curves) };
    if (chosen < 0) return [...each, mean];
    return [...each, { name: panels.label(this.mesh.devices[chosen]), kind: "second", points: curves[chosen] }, mean];
  }

  #showTables() {
    const { nodes, metric } = this.mesh;
    find("devices").hidden = !this.whole;
    if (this.whole) {
      const rows = nodes.filter(({ told }) => told);
      this.devices.rename(METRIC, metric);
      this.devices.show(
        rows.map((node) => ({ ...node, away: !node.up, metric: metricOf(node.status, metric) })),
        this.chosen,
      );
    }
    find("peers").hidden = !this.focus?.status;
    if (!this.focus) return;
    const names = new Map(nodes.map(({ id, name }) => [id, name]));
    find("peers-title").textContent = this.whole ? `Peers of ${panels.label(this.focus)}` : "Peers";
    this.peers.show(
      this.focus.peers.map((row) => ({ ...row, name: names.get(row.id), away: !row.live })),
      this.chosen,
    );
  }
}
