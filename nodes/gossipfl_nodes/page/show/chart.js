// A chart: curves over time as SVG, with what they say under the pointer. Draws points, wherever they come from.

const SVG = "http://www.w3.org/2000/svg";
const [LEFT, RIGHT, TOP, BOTTOM] = [40, 6, 8, 18];

function element(name, attributes, ...children) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

export class Chart {
  // `format` writes a value, `tick` one beside the ordinate, `when` a time on the abscissa, given (time, last time);
  // `range` fixes an end of the ordinate that isn't null.
  constructor(parent, { title, format, tick = (value) => String(value), when, range = [null, null] }) {
    Object.assign(this, { format, tick, when, range });
    this.said = document.createElement("output");
    this.svg = element("svg", { role: "img" });
    const caption = document.createElement("figcaption");
    this.name = document.createElement("span");
    caption.append(this.name, this.said);
    this.rename(title);
    const figure = document.createElement("figure");
    figure.append(caption, this.svg);
    parent.append(figure);
    this.figure = figure;
    this.lines = [];
    this.svg.addEventListener("pointermove", (event) => this.#point(event));
    this.svg.addEventListener("pointerleave", () => this.#point(null));
    new ResizeObserver(([{ contentRect }]) => {
      [this.width, this.height] = [contentRect.width, contentRect.height];
      this.draw();
    }).observe(this.svg);
  }

  rename(title) {
    this.title = title;
    this.name.textContent = title[0].toUpperCase() + title.slice(1);
  }

  // `lines`: name, kind ("", "bold" or "second"), points [time, value or null]. The bold one is the one that is told.
  show(lines) {
    this.lines = lines;
    this.draw();
  }

  draw() {
    const { width, height } = this; // asking the page each time would have it laid out each time
    const points = this.lines.flatMap((line) => line.points).filter(([, value]) => value !== null);
    this.figure.hidden = !points.length;
    if (!points.length || !width) return;
    const bounds = this.#bounds(points);
    const x = (time) => LEFT + ((time - bounds.first) / (bounds.last - bounds.first)) * (width - LEFT - RIGHT);
    const y = (value) =>
      height - BOTTOM - ((value - bounds.low) / (bounds.high - bounds.low)) * (height - TOP - BOTTOM);
    Object.assign(this, { x, bounds });
    const drawn = [];
    for (const value of ticks(bounds.low, bounds.high)) {
      drawn.push(element("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: y(value), y2: y(value) }));
      drawn.push(element("text", { x: LEFT - 6, y: y(value) + 4, "text-anchor": "end" }, this.tick(value)));
    }
    for (const [part, anchor] of [
      [0, "start"],
      [0.5, "middle"],
      [1, "end"],
    ]) {
      const time = bounds.first + part * (bounds.last - bounds.first);
      drawn.push(element("text", { x: x(time), y: height - 3, "text-anchor": anchor }, this.when(time, bounds.last)));
    }
    for (const { points: course, kind } of [...this.lines].sort((one, other) => one.kind.length - other.kind.length)) {
      drawn.push(element("path", { class: `curve ${kind}`, d: path(course, x, y) }));
    }
    this.cursor = element("line", { class: "cursor", y1: TOP, y2: height - BOTTOM, visibility: "hidden" });
    this.svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    this.svg.replaceChildren(...drawn, this.cursor);
    this.#tell(this.pointed);
  }

  #bounds(points) {
    let [first, last, low, high] = [Infinity, -Infinity, Infinity, -Infinity];
    for (const [time, value] of points) {
      first = Math.min(first, time);
      last = Math.max(last, time);
      low = Math.min(low, value);
      high = Math.max(high, value);
    }
    low = this.range[0] ?? low;
    high = this.range[1] ?? high;
    if (high <= low) high = low + (Math.abs(low) || 1);
    const step = stepOf(low, high);
    if (this.range[1] === null) high = Math.ceil(high / step - 1e-9) * step;
    if (this.range[0] === null) low = Math.floor(low / step + 1e-9) * step;
    return { first, last: Math.max(last, first + 1), low, high };
  }

  #point(event) {
    if (!this.x) return;
    const { first, last } = this.bounds;
    const box = this.svg.getBoundingClientRect();
    const part = event ? (event.clientX - box.left - LEFT) / (box.width - LEFT - RIGHT) : null;
    this.pointed = part === null ? undefined : first + Math.max(0, Math.min(1, part)) * (last - first);
    this.#tell(this.pointed);
  }

  // Say what the named curves are at `time`, or at the end.
  #tell(time) {
    const told = this.lines
      .filter(({ name, kind }) => name && kind)
      .map(({ name, points }) => {
        const known = points.filter(([, value]) => value !== null);
        const point = time === undefined ? known.at(-1) : nearest(known, time);
        return point ? `${name} ${this.format(point[1])}` : "";
      });
    const when = time === undefined ? "" : `${this.when(time, this.bounds.last)}: `;
    this.said.textContent = when + told.filter(Boolean).join(", ");
    this.svg.setAttribute("aria-label", `${this.title}: ${this.said.textContent}`);
    this.cursor.setAttribute("visibility", time === undefined ? "hidden" : "visible");
    if (time !== undefined) for (const end of ["x1", "x2"]) this.cursor.setAttribute(end, this.x(time));
  }
}

function nearest(points, time) {
  let found = points[0];
  for (const point of points) if (Math.abs(point[0] - time) < Math.abs(found[0] - time)) found = point;
  return found;
}

function path(points, x, y) {
  let text = "";
  let drawing = false;
  for (const [time, value] of points) {
    // h0, so that a point alone is one
    if (value !== null)
      text += `${drawing ? "L" : "M"}${x(time).toFixed(1)} ${y(value).toFixed(1)}${drawing ? "" : "h0"}`;
    drawing = value !== null;
  }
  return text;
}

// A round number, which goes three to five times into what lies between `low` and `high`.
function stepOf(low, high) {
  const rough = (high - low) / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  return [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((value) => value >= rough * (1 - 1e-9));
}

function ticks(low, high) {
  const step = stepOf(low, high);
  const found = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i++)
    found.push(Number((i * step).toPrecision(12)));
  return found;
}
