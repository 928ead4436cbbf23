// The mesh on two canvases: nodes and links on one, which is drawn anew only when they have changed; above it, dots that
// travel along a link when a model was merged. Draws what it is given and tells which node was chosen; knows nothing of
// devices.

import { Layout } from "./layout.js";

const TRAVEL = 900; // milliseconds of a dot
const DOTS = 300; // at a time; more can't be told apart
const LABELLED = 40; // nodes up to which each has its label
const SHADES = 24; // of the ramp: nodes of one shade are drawn in one go
const RAMP = [
  [201, 85, 47],
  [217, 169, 63],
  [31, 143, 130],
]; // bad, middling, good
const TANGLED = 200; // milliseconds for finding places before a mesh is shown at all
const STEPS = 6; // of a frame, for the same; or half of the time where drawing takes long
const MOST_STEPS = 50;
const STRENGTHS = [0.16, 0.3, 0.6]; // of links: long ago, lately, just now
const still = matchMedia("(prefers-reduced-motion: reduce)");

export class Graph {
  // `stage` has the canvases, the tip and the buttons; `choose` is called with the id of a node, or null.
  constructor(stage, choose) {
    [this.canvas, this.above] = stage.querySelectorAll("canvas");
    this.tip = stage.querySelector(".tip");
    this.context = this.canvas.getContext("2d");
    this.changed = true;
    this.drawn = performance.now();
    this.layout = new Layout();
    this.nodes = [];
    this.at = new Map();
    this.strengths = STRENGTHS.map(() => []);
    this.dots = [];
    this.chosen = null;
    this.hovered = -1;
    this.zoom = 1;
    this.pan = [0, 0];
    this.fit = null;
    this.#listen(stage, choose);
    new ResizeObserver(() => this.#resize()).observe(this.canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.recolour());
    this.recolour();
  }

  // `nodes`: id, me, up, shade (0 to 1, or null), text inside, label below, tip; `links`: a, b, age in seconds.
  show(nodes, links) {
    this.nodes = nodes;
    this.at = this.layout.update(nodes, links);
    this.strengths = STRENGTHS.map(() => []);
    links.forEach(({ age }, i) => this.strengths[age < 2 ? 2 : age < 15 ? 1 : 0].push(this.layout.ends[i]));
    this.layout.settle(still.matches ? Infinity : this.layout.heat === 1 ? TANGLED : 0); // not a tangle to begin with
    this.#wake();
  }

  // Let a dot travel for each of `pairs`, [from, to].
  travel(pairs) {
    if (still.matches) return;
    const now = performance.now();
    for (const [from, to] of pairs.slice(0, DOTS - this.dots.length)) {
      const ends = [this.at.get(from), this.at.get(to)];
      if (!ends.includes(undefined)) this.dots.push({ ids: [from, to], begun: now + Math.random() * TRAVEL });
    }
    this.#wake(false);
  }

  choose(id) {
    this.chosen = id;
    this.#wake();
  }

  recolour() {
    const style = getComputedStyle(document.documentElement);
    this.colour = Object.fromEntries(
      ["ink", "soft", "line", "card", "accent"].map((name) => [name, style.getPropertyValue(`--${name}`)]),
    );
    this.#wake();
  }

  #resize() {
    const ratio = Math.min(devicePixelRatio, 2);
    this.width = this.canvas.clientWidth;
    this.height = this.canvas.clientHeight;
    for (const canvas of [this.canvas, this.above]) {
      canvas.width = Math.round(this.width * ratio);
      canvas.height = Math.round(this.height * ratio);
      canvas.getContext("2d").scale(ratio, ratio);
    }
    this.fit = null;
    this.#aim();
    this.#draw();
  }

  // Draw at the next frame: all of it if something has `changed`, or else the dots; and go on while something moves.
  #wake(changed = true) {
    this.changed ||= changed;
    this.waking ??= requestAnimationFrame((now) => {
      const moving = !this.layout.cold;
      this.layout.settle(Math.max(STEPS, Math.min(MOST_STEPS, (now - this.drawn) / 2)));
      this.drawn = now;
      const there = this.#aim();
      if (this.changed || moving || !there) this.#draw();
      this.#drawDots(now);
      this.waking = null;
      this.changed = false;
      if (moving || !there) this.#wake();
      else if (this.dots.length) this.#wake(false);
    });
  }

  // Move what is shown towards all nodes; true when it is there.
  #aim() {
    if (!this.width) return true;
    const { x, y } = this.layout;
    let [left, right, top, bottom] = [-1, 1, -1, 1];
    for (let i = 0; i < x.length; i++) {
      left = Math.min(left, x[i]);
      right = Math.max(right, x[i]);
      top = Math.min(top, y[i]);
      bottom = Math.max(bottom, y[i]);
    }
    const wanted = {
      x: (left + right) / 2,
      y: (top + bottom) / 2,
      scale: Math.min((this.width - 110) / (right - left), (this.height - 90) / (bottom - top), 150),
    };
    const fit = this.fit ?? wanted;
    const part = this.fit && !still.matches ? 0.15 : 1;
    this.fit = Object.fromEntries(Object.keys(wanted).map((key) => [key, fit[key] + part * (wanted[key] - fit[key])]));
    return (
      Math.abs(wanted.scale / this.fit.scale - 1) < 1e-3 &&
      Math.hypot(wanted.x - this.fit.x, wanted.y - this.fit.y) < 1e-2
    );
  }

  #place(i) {
    const scale = this.fit.scale * this.zoom;
    return [
      this.width / 2 + this.pan[0] + (this.layout.x[i] - this.fit.x) * scale,
      this.height / 2 + this.pan[1] + (this.layout.y[i] - this.fit.y) * scale,
    ];
  }

  get radius() {
    const room = Math.sqrt((this.width * this.height) / Math.max(1, this.nodes.length));
    return Math.max(2.5, Math.min(17, room * 0.16)) * Math.sqrt(Math.max(0.6, Math.min(this.zoom, 4)));
  }

  #draw() {
    const { context, colour, nodes } = this;
    if (!this.width || !this.fit) return;
    context.clearRect(0, 0, this.width, this.height);
    this.places = nodes.map((_, i) => this.#place(i));
    this.#drawLinks();
    const radius = this.radius;
    const shades = new Map();
    nodes.forEach((node, i) => {
      const shade = !node.up ? "away" : node.shade === null ? "none" : Math.round(node.shade * (SHADES - 1));
      if (!shades.has(shade)) shades.set(shade, []);
      shades.get(shade).push(i);
    });
    for (const [shade, members] of shades) {
      context.beginPath();
      for (const i of members) {
        const [x, y] = this.places[i];
        context.moveTo(x + radius, y);
        context.arc(x, y, radius, 0, 2 * Math.PI);
      }
      context.fillStyle = shade === "away" ? colour.card : shade === "none" ? colour.soft : ramp(shade / (SHADES - 1));
      context.fill();
      context.setLineDash(shade === "away" ? [3, 3] : []);
      context.strokeStyle = shade === "away" ? colour.soft : colour.card;
      context.lineWidth = Math.min(2, radius / 5);
      context.stroke();
    }
    context.setLineDash([]);
    this.#drawMarks(radius);
    this.#drawTexts(radius);
  }

  #drawLinks() {
    const { context, colour } = this;
    const crowd = Math.min(1, Math.sqrt(120 / Math.max(1, this.layout.ends.length)));
    const chosen = this.at.get(this.chosen);
    this.strengths.forEach((ends, i) => {
      context.beginPath();
      for (const [a, b] of ends) {
        context.moveTo(...this.places[a]);
        context.lineTo(...this.places[b]);
      }
      context.globalAlpha = Math.max(0.06, STRENGTHS[i] * crowd) * (chosen === undefined ? 1 : 0.45);
      context.strokeStyle = colour.soft;
      context.lineWidth = 1; // for which there is a faster way to draw
      context.stroke();
    });
    context.globalAlpha = 1;
    if (chosen === undefined) return;
    context.beginPath();
    for (const [a, b] of this.layout.ends) {
      if (a !== chosen && b !== chosen) continue;
      context.moveTo(...this.places[a]);
      context.lineTo(...this.places[b]);
    }
    context.strokeStyle = colour.accent;
    context.lineWidth = 1.4;
    context.stroke();
  }

  #drawDots(now) {
    const context = this.above.getContext("2d");
    context.clearRect(0, 0, this.width, this.height);
    this.dots = this.dots.filter(({ begun }) => now - begun < TRAVEL);
    context.fillStyle = this.colour.accent;
    context.beginPath();
    for (const { ids, begun } of this.dots) {
      const [from, to] = ids.map((id) => this.places[this.at.get(id)]);
      if (now < begun || !from || !to) continue;
      const part = (now - begun) / TRAVEL;
      const away = this.radius / Math.max(1, Math.hypot(to[0] - from[0], to[1] - from[1]));
      const eased = away + (1 - 2 * away) * part * part * (3 - 2 * part);
      const [x, y] = [from[0] + (to[0] - from[0]) * eased, from[1] + (to[1] - from[1]) * eased];
      context.moveTo(x + 2.6, y);
      context.arc(x, y, 2.6, 0, 2 * Math.PI);
    }
    context.fill();
  }

  #drawMarks(radius) {
    const { context, colour } = this;
    this.nodes.forEach((node, i) => {
      if (!node.me && node.id !== this.chosen && i !== this.hovered) return;
      context.beginPath();
      context.arc(...this.places[i], radius + 4, 0, 2 * Math.PI);
      context.strokeStyle = node.id === this.chosen ? colour.accent : colour.ink;
      context.lineWidth = node.id === this.chosen ? 2.5 : 1.4;
      context.stroke();
    });
  }

  #drawTexts(radius) {
    const { context, colour, nodes } = this;
    const inView = nodes.length / this.zoom ** 2;
    if (inView > LABELLED) return;
    context.textAlign = "center";
    nodes.forEach((node, i) => {
      const [x, y] = this.places[i];
      if (node.text && radius >= 9) {
        context.font = `600 ${Math.round(radius * 0.85)}px system-ui, sans-serif`;
        context.textBaseline = "middle";
        context.fillStyle = !node.up ? colour.soft : node.shade === null ? colour.card : letters(node.shade);
        context.fillText(node.text, x, y + 0.5);
      }
      context.font = "12px system-ui, sans-serif";
      context.textBaseline = "top";
      context.fillStyle = node.up ? colour.ink : colour.soft;
      context.lineWidth = 3;
      context.strokeStyle = colour.card;
      context.strokeText(node.label, x, y + radius + 5);
      context.fillText(node.label, x, y + radius + 5);
    });
  }

  // --- the pointer

  #listen(stage, choose) {
    const { canvas } = this;
    let held = null;
    canvas.addEventListener("pointerdown", (event) => {
      held = { x: event.clientX, y: event.clientY, pan: [...this.pan], moved: false };
      if (event.pointerType === "mouse") canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (held && event.pointerType === "mouse") {
        const by = [event.clientX - held.x, event.clientY - held.y];
        held.moved ||= Math.hypot(...by) > 4;
        if (held.moved) this.pan = [held.pan[0] + by[0], held.pan[1] + by[1]];
        this.#wake();
      }
      this.#hover(held?.moved ? -1 : this.#find(event));
    });
    canvas.addEventListener("pointerup", (event) => {
      if (held && !held.moved) choose(this.nodes[this.#find(event)]?.id ?? null);
      held = null;
    });
    canvas.addEventListener("pointercancel", () => (held = null));
    canvas.addEventListener("pointerleave", () => this.#hover(-1));
    canvas.addEventListener(
      "wheel",
      (event) => {
        if (!event.ctrlKey && !event.metaKey) return; // the page scrolls; a pinch comes with ctrl
        event.preventDefault();
        this.#scale(Math.exp(-event.deltaY / 200));
      },
      { passive: false },
    );
    for (const button of stage.querySelectorAll("[data-zoom]")) {
      button.addEventListener("click", () => this.#scale(Number(button.dataset.zoom)));
    }
  }

  #scale(by) {
    const zoom = by ? Math.max(0.5, Math.min(20, this.zoom * by)) : 1;
    this.pan = by ? this.pan.map((value) => (value * zoom) / this.zoom) : [0, 0];
    this.zoom = zoom;
    this.#wake();
  }

  #find(event) {
    const box = this.canvas.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    let [found, nearest] = [-1, Math.max(this.radius + 4, 14)];
    (this.places ?? []).forEach(([left, top], i) => {
      const distance = Math.hypot(left - x, top - y);
      if (distance < nearest) [found, nearest] = [i, distance];
    });
    return found;
  }

  #hover(i) {
    if (i !== this.hovered) this.#wake();
    this.hovered = i;
    this.canvas.style.cursor = i < 0 ? "default" : "pointer";
    this.tip.hidden = i < 0;
    if (i < 0) return;
    this.tip.textContent = this.nodes[i].tip;
    const [x, y] = this.places[i];
    const left = Math.min(x + this.radius + 8, this.width - this.tip.offsetWidth - 4);
    const top = Math.max(0, Math.min(y - 10, this.height - this.tip.offsetHeight));
    this.tip.style.transform = `translate(${Math.round(left)}px, ${Math.round(top)}px)`;
  }
}

function mix(part) {
  const place = part * (RAMP.length - 1);
  const i = Math.min(Math.floor(place), RAMP.length - 2);
  return RAMP[i].map((value, channel) => Math.round(value + (place - i) * (RAMP[i + 1][channel] - value)));
}

const ramp = (part) => `rgb(${mix(part).join(" ")})`;

// White or black, whichever is easier to read on that shade.
function letters(part) {
  const [red, green, blue] = mix(part);
  return 0.299 * red + 0.587 * green + 0.114 * blue > 135 ? "#14171a" : "#fff";
}
