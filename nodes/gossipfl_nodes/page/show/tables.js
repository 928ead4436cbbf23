// A table that stays while its rows change: a row keeps its element, so that what one has focused or selected stays so.
// Knows no meaning of its columns.

const MOST = 200; // rows shown; sorted by what one looks for, the first ones are enough

export class Table {
  // `columns`: name, of (row → what to sort by), and optionally show (row → text).
  // `choose`, if given, is called with a row's id when its first cell is pressed.
  constructor(element, columns, choose = null) {
    this.columns = columns;
    this.choose = choose;
    this.rows = [];
    this.lines = new Map();
    this.sorted = { column: 0, down: false };
    this.heads = columns.map(({ name }, i) => {
      const head = document.createElement("th");
      head.scope = "col";
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = name;
      button.addEventListener("click", () => this.#sort(i));
      head.append(button);
      return head;
    });
    const head = element.createTHead().insertRow();
    head.append(...this.heads);
    this.body = element.createTBody();
    this.foot = element.createTFoot().insertRow().insertCell();
    this.foot.colSpan = columns.length;
    this.#mark();
  }

  rename(column, name) {
    this.heads[column].firstChild.textContent = name;
  }

  // `rows`: each with an id, whether it is `away`, and whatever the columns are made of.
  show(rows, chosen = null) {
    this.rows = rows;
    this.chosen = chosen;
    const { column, down } = this.sorted;
    const { of } = this.columns[column];
    const order = [...rows].sort((one, other) => (down ? -1 : 1) * compare(of(one), of(other)));
    const shown = order.slice(0, MOST);
    const lines = new Map();
    shown.forEach((row, i) => {
      const line = this.lines.get(row.id) ?? this.#line(row.id);
      this.columns.forEach(({ of: value, show = value }, place) => {
        const cell = line.cells[place];
        const target = place === 0 && this.choose ? cell.firstChild : cell;
        const text = String(show(row));
        if (target.textContent !== text) target.textContent = text;
      });
      line.className = `${row.away ? "away" : ""} ${row.id === chosen ? "on" : ""}`.trim();
      if (this.body.rows[i] !== line) this.body.insertBefore(line, this.body.rows[i] ?? null);
      lines.set(row.id, line);
    });
    for (const [id, line] of this.lines) if (!lines.has(id)) line.remove();
    this.lines = lines;
    this.foot.textContent = rows.length > MOST ? `and ${(rows.length - MOST).toLocaleString("en")} more` : "";
    this.foot.hidden = rows.length <= MOST;
  }

  #line(id) {
    const line = document.createElement("tr");
    this.columns.forEach(() => line.insertCell());
    if (this.choose) {
      const button = document.createElement("button");
      button.type = "button";
      button.addEventListener("click", () => this.choose(id));
      line.cells[0].append(button);
    }
    return line;
  }

  #sort(column) {
    this.sorted = { column, down: column === this.sorted.column ? !this.sorted.down : column > 0 };
    this.#mark();
    this.show(this.rows, this.chosen);
  }

  #mark() {
    this.heads.forEach((head, i) => {
      if (i !== this.sorted.column) head.removeAttribute("aria-sort");
      else head.setAttribute("aria-sort", this.sorted.down ? "descending" : "ascending");
    });
  }
}

// What is not known comes before everything that is.
function compare(one, other) {
  if (one === other) return 0;
  if (one === null || one === undefined) return -1;
  if (other === null || other === undefined) return 1;
  return one < other ? -1 : 1;
}
