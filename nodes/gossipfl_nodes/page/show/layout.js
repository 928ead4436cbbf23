// Where nodes stand: springs along links, repulsion between what is near, a pull to the middle (Fruchterman and
// Reingold, 1991; cooling as in d3-force). Repulsion is looked for in a grid of cells, so that a thousand nodes take
// milliseconds. Nothing here is random: the same mesh looks the same.

const NEAR = 3; // cells' width, in lengths of a link: beyond, nobody is pushed
const COOLING = 0.975;
const COLD = 0.004;
const GOLDEN = Math.PI * (3 - Math.sqrt(5));

export class Layout {
  constructor() {
    this.ids = [];
    this.x = this.y = this.vx = this.vy = new Float64Array(0);
    this.ends = []; // of links, as places in `ids`
    this.wires = new Set();
    this.heat = 0;
  }

  // Take in `nodes` (id, me) and `links` (a, b); who was there stays there.
  update(nodes, links) {
    const before = new Map(this.ids.map((id, i) => [id, i]));
    const same = nodes.length === this.ids.length && nodes.every(({ id }) => before.has(id));
    const old = { x: this.x, y: this.y };
    this.ids = nodes.map(({ id }) => id);
    const at = new Map(this.ids.map((id, i) => [id, i]));
    const ends = links.map(({ a, b }) => [at.get(a), at.get(b)]);
    for (const name of ["x", "y", "vx", "vy"]) this[name] = new Float64Array(nodes.length);
    nodes.forEach(({ id }, i) => {
      const was = before.get(id);
      const away = Math.sqrt(i + 0.5) * 0.9;
      this.x[i] = was === undefined ? away * Math.cos(i * GOLDEN) : old.x[was];
      this.y[i] = was === undefined ? away * Math.sin(i * GOLDEN) : old.y[was];
    });
    const wires = new Set(links.map(({ a, b }) => `${a} ${b}`));
    const moved = !same || wires.size !== this.wires.size || [...wires].some((wire) => !this.wires.has(wire));
    Object.assign(this, { ends, wires });
    this.degree = new Float64Array(nodes.length);
    for (const [a, b] of ends) {
      this.degree[a]++;
      this.degree[b]++;
    }
    this.fixed = nodes.findIndex(({ me }) => me);
    if (moved) this.heat = Math.max(this.heat, before.size ? 0.3 : 1);
    return at;
  }

  get cold() {
    return this.heat < COLD;
  }

  // Let nodes find their places, for some milliseconds or until they have.
  settle(milliseconds) {
    const begun = performance.now();
    while (!this.cold && performance.now() - begun < milliseconds) this.step();
  }

  step() {
    const { x, y, vx, vy, heat } = this;
    this.#push();
    for (const [a, b] of this.ends) {
      const dx = x[b] - x[a];
      const dy = y[b] - y[a];
      const distance = Math.hypot(dx, dy) || 1e-6;
      const force = (heat * 0.9 * (distance - 1)) / distance / Math.min(this.degree[a], this.degree[b]);
      const share = this.degree[b] / (this.degree[a] + this.degree[b]);
      vx[a] += dx * force * share;
      vy[a] += dy * force * share;
      vx[b] -= dx * force * (1 - share);
      vy[b] -= dy * force * (1 - share);
    }
    for (let i = 0; i < x.length; i++) {
      const pull = heat * (this.degree[i] ? 0.02 : 0.05);
      vx[i] = 0.6 * (vx[i] - pull * x[i]);
      vy[i] = 0.6 * (vy[i] - pull * y[i]);
      if (i === this.fixed) {
        x[i] = y[i] = 0;
        continue;
      }
      x[i] += vx[i];
      y[i] += vy[i];
    }
    this.heat *= COOLING;
  }

  #push() {
    const { x, y, vx, vy, heat } = this;
    const cells = new Map();
    const cell = (value) => Math.floor(value / NEAR);
    for (let i = 0; i < x.length; i++) {
      const key = cell(x[i]) * 65536 + cell(y[i]);
      if (!cells.has(key)) cells.set(key, []);
      cells.get(key).push(i);
    }
    for (const [key, members] of cells) {
      for (const other of [key, key + 1, key + 65535, key + 65536, key + 65537]) {
        const others = cells.get(other);
        if (!others) continue;
        for (let m = 0; m < members.length; m++) {
          const i = members[m];
          for (let o = other === key ? m + 1 : 0; o < others.length; o++) {
            const j = others[o];
            const dx = x[j] - x[i] || 1e-3 * (j - i);
            const dy = y[j] - y[i];
            const square = dx * dx + dy * dy;
            if (square > NEAR * NEAR) continue;
            const force = (heat * 0.35) / Math.max(square, 0.05);
            vx[i] -= dx * force;
            vy[i] -= dy * force;
            vx[j] += dx * force;
            vy[j] += dy * force;
          }
        }
      }
    }
  }
}
