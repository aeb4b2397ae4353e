/* The pattern painter: one element per cell, so that a screen reader finds a grid, and the theme colours it.
 *
 * Geometry, for anyone who wants to point at a cell: cell (row, col) begins, in CSS pixels from the top left of the
 * grid's bounding box, at x = left + col * cell and y = top + row * cell, and is one cell wide and high, its line on
 * the right and at the bottom included. The three numbers are data attributes of the grid (data-left, data-top,
 * data-cell), and so are the pattern (data-pattern) and data-painting; each cell has data-row, data-col, data-state.
 */

const MAX_SIDE = 150; // CSS pixels, the longer side of the grid
const MAX_CELL = 48;
const FINE_CELL = 12; // cells below this size have no room for a double line
const DIM = 64; // lit cells darker than this carry a dot, or they could be taken for black ones
const NOTE_TIME = 2500; // ms
const NOTE = "One cell has to stay.";

const CLEAR = ".";
const NAMES = { 0: "black", 1: "non-black", [CLEAR]: "clear" };
const NEXT = { 0: "1", 1: CLEAR, [CLEAR]: "0" };

const within = (value, length) => Math.min(Math.max(value, 0), length - 1);

class Painter {
  runs = 0;
  wire = new Wire();
  data = null;
  pattern = "";
  cells = [];
  cursor = 0; // index of the cell that the keys act on
  brush = null; // state that the pointer paints; null while it is up
  last = null; // where the pointer was, in cells
  noteTimer = 0;

  constructor(parent) {
    this.root = document.createElement("div");
    this.root.className = "painter";
    this.root.innerHTML = `
      <div class="grid" role="grid" aria-describedby="keys"></div>
      <div class="foot">
        <div class="legend" aria-hidden="true">
          <span><i class="cell" data-state="0"></i>black</span>
          <span><i class="cell" data-state="1"></i>non-black</span>
          <span><i class="cell" data-state="."></i>clear</span></div>
        <div class="note" aria-hidden="true">${NOTE}</div></div>
      <div class="keys" id="keys">Arrow keys move over the cells. Space takes a cell from black to non-black to clear;
        0, 1 and full stop set it at once.</div>
      <div class="status" role="status" aria-live="polite"></div>`;
    parent.appendChild(this.root);
    this.grid = this.root.querySelector(".grid");
    this.status = this.root.querySelector(".status");

    const on = (name, handler) => this.grid.addEventListener(name, handler.bind(this));
    on("pointerdown", this.press);
    on("pointermove", this.drag);
    on("pointerup", this.release);
    on("pointercancel", this.release);
    on("lostpointercapture", this.release);
    on("keydown", this.keyDown);
    on("focusout", (event) => this.grid.contains(event.relatedTarget) || this.showRing(true));
    on("focusin", (event) => this.cells.includes(event.target) && this.setCursor(this.cells.indexOf(event.target)));
    this.resize = new ResizeObserver(() => this.layout());
    this.resize.observe(this.root);
  }

  update({ data, setTriggerValue }) {
    const resized = data.height !== this.data?.height || data.width !== this.data?.width;
    this.data = data;
    if (resized) {
      this.brush = null;
      this.wire.waiting = null; // a pattern of the old size
      this.build();
    }
    this.wire.send = (message) => setTriggerValue("paint", message);
    this.wire.acknowledge(data.ack);
    this.grid.setAttribute("aria-label", data.label);
    this.root.style.setProperty("--lit", `rgb(${data.value}, ${data.value}, ${data.value})`);
    // The single line between fine cells must be told from black, from the checks and from the lit cells.
    this.root.style.setProperty("--fine-line", Math.abs(data.value - 128) < 48 ? "#c8c8c8" : "#808080");
    this.root.dataset.dim = data.value < DIM;
    if (resized) this.setPattern(data.pattern);
    else this.adopt();
    this.layout();
  }

  /** Take over Python's pattern, unless we know something newer than Python does. */
  adopt() {
    if (this.brush === null && this.wire.idle) this.setPattern(this.data.pattern);
  }

  destroy() {
    clearTimeout(this.wire.timer);
    clearTimeout(this.noteTimer);
    this.resize.disconnect();
    this.root.remove();
  }

  // ---- drawing

  build() {
    const { height, width } = this.data;
    const focused = this.grid.contains(this.grid.getRootNode().activeElement);
    const make = (role) => {
      const element = document.createElement("div");
      element.setAttribute("role", role);
      element.className = role === "row" ? "row" : "cell";
      return element;
    };
    this.cells = [];
    const rows = Array.from({ length: height }, (_, row) => {
      const line = make("row");
      for (let col = 0; col < width; col++) {
        const cell = make("gridcell");
        Object.assign(cell.dataset, { row, col });
        cell.tabIndex = -1;
        this.cells.push(cell);
        line.append(cell);
      }
      return line;
    });
    this.grid.replaceChildren(...rows);
    this.grid.dataset.painting = false;
    this.setCursor(Math.min(this.cursor, this.cells.length - 1), focused);
  }

  layout() {
    const padding = 2 * parseFloat(getComputedStyle(this.root).paddingLeft);
    const room = Math.min(this.root.clientWidth - padding, MAX_SIDE);
    if (!this.data || room <= 0) return;
    const { height, width } = this.data;
    const ratio = window.devicePixelRatio || 1;
    // Lines and cells are whole device pixels, or some would look thicker than others.
    const line = Math.max(1, Math.round(ratio)) / ratio;
    const fit = Math.min((room - line) / Math.max(height, width), MAX_CELL);
    const cell = Math.max(2 * line, Math.floor(fit * ratio) / ratio);
    this.cell = cell;
    this.line = line;
    this.grid.style.gridTemplate = `repeat(${height}, ${cell - line}px) / repeat(${width}, ${cell - line}px)`;
    this.root.style.setProperty("--line", `${line}px`);
    this.root.style.setProperty("--check", `${Math.min(12, Math.max(2, 2 * Math.round(cell / 8)))}px`);
    this.root.dataset.fine = cell < FINE_CELL;
    Object.assign(this.grid.dataset, { left: line, top: line, cell });
  }

  describe(index) {
    const { height, width } = this.data;
    const row = Math.floor(index / width) + 1;
    // From 1, as screen readers count the rows of a grid.
    return `row ${row} of ${height}, column ${(index % width) + 1} of ${width}: ${NAMES[this.pattern[index]]}`;
  }

  setPattern(pattern) {
    this.pattern = pattern;
    this.grid.dataset.pattern = pattern;
    this.cells.forEach((cell, index) => {
      if (cell.dataset.state === pattern[index]) return;
      cell.dataset.state = pattern[index];
      cell.setAttribute("aria-label", this.describe(index));
    });
  }

  setCursor(index, focus = false) {
    if (this.cells[this.cursor]) this.cells[this.cursor].tabIndex = -1;
    this.cursor = index;
    this.cells[index].tabIndex = 0;
    if (focus) this.cells[index].focus({ preventScroll: true });
  }

  /** No ring where the pointer paints: to :focus-visible, a focus set by a script looks like one set by a key. */
  showRing(show) {
    this.grid.dataset.ring = show;
  }

  refuse() {
    this.status.textContent = NOTE;
    this.root.dataset.refused = true;
    clearTimeout(this.noteTimer);
    this.noteTimer = setTimeout(() => {
      this.root.dataset.refused = false;
      if (this.status.textContent === NOTE) this.status.textContent = ""; // to be read again the next time
    }, NOTE_TIME);
  }

  // ---- painting

  /** True for the only cell that is not clear. */
  isLast(index) {
    return [...this.pattern].every((state, other) => (state === CLEAR) === (other !== index));
  }

  /** The state after the cell's present one; the last cell goes without being clear, not to be stuck when lit. */
  next(index) {
    const state = NEXT[this.pattern[index]];
    return state === CLEAR && this.isLast(index) ? NEXT[CLEAR] : state;
  }

  paint(index, state) {
    if (this.pattern[index] === state) return;
    if (state === CLEAR && this.isLast(index)) return this.refuse();
    this.setPattern(this.pattern.slice(0, index) + state + this.pattern.slice(index + 1));
    this.wire.post({ pattern: this.pattern });
  }

  cycle(index) {
    const state = this.next(index);
    if (NEXT[this.pattern[index]] !== state) this.refuse();
    this.paint(index, state);
    return state;
  }

  /** Pointer position in cells, fractional. */
  locate(event) {
    const bounds = this.grid.getBoundingClientRect();
    return {
      x: (event.clientX - bounds.left - this.line) / this.cell,
      y: (event.clientY - bounds.top - this.line) / this.cell,
    };
  }

  /** Index of the cell at a position, or -1 beside the grid. */
  cellAt({ x, y }) {
    const { height, width } = this.data;
    return x >= 0 && x < width && y >= 0 && y < height ? Math.floor(y) * width + Math.floor(x) : -1;
  }

  press(event) {
    if (!event.isPrimary || event.button !== 0 || !this.cell) return;
    const point = this.locate(event);
    const index = this.cellAt(point);
    if (index < 0) return;
    event.preventDefault();
    this.grid.setPointerCapture(event.pointerId);
    this.showRing(false);
    this.setCursor(index, true);
    this.last = point;
    this.brush = this.cycle(index);
    this.grid.dataset.painting = true;
  }

  drag(event) {
    if (this.brush === null || !event.isPrimary) return;
    const [from, to] = [this.last, this.locate(event)];
    this.last = to;
    // A fast pointer reports only some of the cells it passes over.
    const steps = Math.max(1, Math.ceil(4 * Math.max(Math.abs(to.x - from.x), Math.abs(to.y - from.y))));
    for (let step = 1; step <= steps; step++) {
      const share = step / steps;
      const index = this.cellAt({ x: from.x + share * (to.x - from.x), y: from.y + share * (to.y - from.y) });
      if (index < 0) continue;
      this.paint(index, this.brush);
      if (index !== this.cursor) this.setCursor(index, true);
    }
  }

  release(event) {
    if (this.brush === null || !event.isPrimary) return;
    this.brush = null;
    this.grid.dataset.painting = false;
    this.adopt(); // what Python set meanwhile
  }

  keyDown(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || this.brush !== null) return;
    this.showRing(true);
    const { height, width } = this.data;
    const step = event.shiftKey ? 4 : 1;
    const row = Math.floor(this.cursor / width);
    const col = this.cursor % width;
    const [down, right] =
      {
        ArrowUp: [-step, 0],
        ArrowDown: [step, 0],
        ArrowLeft: [0, -step],
        ArrowRight: [0, step],
        Home: [0, -width],
        End: [0, width],
      }[event.key] ?? [];
    if (down !== undefined) this.setCursor(within(row + down, height) * width + within(col + right, width), true);
    else if (event.key === " " || event.key === "Enter") {
      if (!event.repeat) this.say(() => this.cycle(this.cursor));
    } else if (Object.hasOwn(NAMES, event.key)) this.say(() => this.paint(this.cursor, event.key));
    else return;
    event.preventDefault(); // the page must not scroll
  }

  /** Read the cell aloud: the changed label of a focused element is not. */
  say(change) {
    const before = this.pattern;
    change();
    if (this.pattern !== before) this.status.textContent = this.describe(this.cursor);
  }
}

const painters = new WeakMap();

/** Runs again at every change of the data or the theme; the painter is made once per place in the page. */
export default function (component) {
  const { parentElement } = component;
  let painter = painters.get(parentElement);
  if (!painter) painters.set(parentElement, (painter = new Painter(parentElement)));
  const run = ++painter.runs;
  painter.update(component);
  // Streamlit also cleans up after a run that a newer one has overtaken; only the newest may take the painter away.
  return () => {
    if (run !== painter.runs) return;
    painters.delete(parentElement);
    painter.destroy();
  };
}
