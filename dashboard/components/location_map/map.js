/* The location map: a canvas heatmap of the attack success rate over all places of the trigger.
 *
 * Geometry, for anyone who wants to point at a cell: the cell of rows[i], cols[j] covers, in CSS pixels from the top
 * left of the canvas' bounding box, x = plotLeft + j * cellWidth and y = plotTop + i * cellHeight, one cell wide and
 * high. The four numbers are data attributes of the canvas (data-plot-left, ...), and so are the current place
 * (data-row, data-col) and the number of measured places (data-measured).
 */

const MAX_WIDTH = 760; // CSS pixels
const PICTURE_WIDTH = 520; // of the downloaded picture
const PICTURE_TEXT = 1.25; // its text is larger, to be read in a column of a paper
const PAPER = { text: "#1a1a1a", background: "#ffffff", font: "Arial, Helvetica, sans-serif" };
const MAX_PLOT_HEIGHT = 620;
const MIN_PLOT_HEIGHT = 240; // however low the window is, at the usual text size; larger text takes from it
const BESIDE = 345; // height at the usual text size of what is above and below the plot on a page that is to fit into the window
const MAX_CELL = 40;
const UNMEASURED = [128, 128, 128, 70]; // gray, which is no colour of the scale; light on dark ground, dark on light

// Viridis: perceptually uniform, readable in print and with colour blindness. Equidistant anchors, linear between.
const ANCHORS = ["#440154", "#472d7b", "#3b528b", "#2c728e", "#21918c", "#28ae80", "#5ec962", "#addc30", "#fde725"];
const RGB = ANCHORS.map((hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16)));
const COLOURS = Array.from({ length: 256 }, (_, index) => {
  const position = (index / 255) * (RGB.length - 1);
  const below = Math.min(Math.floor(position), RGB.length - 2);
  return RGB[below].map((value, c) => Math.round(value + (position - below) * (RGB[below + 1][c] - value)));
});

/** Fractional index of a coordinate on an ascending axis; between two entries it lies between. */
function indexOn(axis, value) {
  if (value <= axis[0]) return 0;
  const above = axis.findIndex((entry) => entry >= value);
  if (above < 0) return axis.length - 1;
  return above - (axis[above] - value) / (axis[above] - axis[above - 1]);
}

/** Values of an axis to write beside it, at least `space` pixels apart: round ones, else every so many. */
function ticksOn(axis, cell, space) {
  const most = Math.max(1, Math.floor((axis.length * cell) / space));
  const range = axis[axis.length - 1] - axis[0];
  const every = Math.ceil(axis.length / most);
  for (let scale = 1; ; scale *= 10)
    for (const step of [scale, 2 * scale, 5 * scale]) {
      if (range / step > most) continue;
      const round = axis.filter((value) => value % step === 0);
      // A coarse axis such as 3, 7, 11, ... may hold next to no round number.
      return 2 * round.length > range / step ? round : axis.filter((_, index) => index % every === 0);
    }
}

class LocationMap {
  runs = 0;
  wire = new Wire();
  data = null;
  row = 0;
  col = 0;
  dragging = false;
  untold = false; // picked, and not told to Python yet
  cursor = null; // [i, j] of the cell that the tooltip speaks of
  frame = 0;
  scale = 1; // of text, against the usual size

  get points() {
    return 14 * this.scale;
  }

  constructor(parent) {
    this.root = document.createElement("div");
    this.root.className = "map";
    this.root.innerHTML = `
      <div class="head"><span class="title"></span>
        <button class="png" type="button" title="Download the map as a PNG picture">
          <svg width="12" height="12" viewBox="0 0 12 12" fill="none" stroke="currentColor" stroke-width="1.5"
            aria-hidden="true"><path d="M6 1v7M3 5l3 3 3-3M1 11h10"/></svg>PNG</button></div>
      <canvas tabindex="0" role="application" aria-roledescription="heatmap" aria-describedby="keys"></canvas>
      <div class="tip" hidden></div>
      <div class="keys" id="keys">Arrow keys move over the map by one place, with Shift by four. Enter puts the trigger
        there. Home goes to the trained place.</div>
      <div class="status" role="status" aria-live="polite"></div>`;
    parent.appendChild(this.root);
    this.canvas = this.root.querySelector("canvas");
    this.tip = this.root.querySelector(".tip");
    this.status = this.root.querySelector(".status");
    this.heat = document.createElement("canvas"); // one pixel per cell, enlarged when drawn

    const on = (name, handler) => this.canvas.addEventListener(name, handler.bind(this));
    on("pointerdown", this.press);
    on("pointermove", this.hover);
    on("pointerup", this.release);
    on("pointercancel", this.release);
    on("lostpointercapture", this.release);
    on("pointerleave", () => this.dragging || this.point(null));
    on("click", this.tap);
    on("keydown", this.keyDown);
    on("focus", () => this.canvas.matches(":focus-visible") && this.point(this.currentCell(), true));
    on("blur", () => this.point(null));
    this.root.querySelector(".png").addEventListener("click", () => this.download());
    this.resize = new ResizeObserver(() => this.draw()); // at once: a frame later the old size would flash
    this.resize.observe(this.root);
    this.follow = ({ detail }) => {
      if (detail === this || !this.data) return;
      this.setPlace(shared.row, shared.col);
      this.schedule();
    };
    shared.addEventListener("move", this.follow);
    shared.movers.add(this);
  }

  /** Whether the place here is newer than the one that Python knows. */
  get ahead() {
    return this.dragging || this.untold || !this.wire.idle;
  }

  update({ data, setTriggerValue }) {
    const first = this.data === null;
    const axes = String([data.rows, data.cols]);
    if (axes !== this.axes) this.cursor = null; // it points at a cell, by number
    this.axes = axes;
    this.data = data;
    this.wire.send = (message) => setTriggerValue("pick", message);
    this.wire.acknowledge(data.ack);
    // While we know something newer than Python does, our place stands.
    if (first || !shared.ahead) this.setPlace(data.row, data.col);
    else if (shared.row !== null) this.setPlace(shared.row, shared.col);
    this.paintHeat();
    this.measured = data.total.reduce((count, total) => count + (total > 0), 0);
    this.complete = this.measured === data.total.length;
    this.root.querySelector(".title").textContent = data.title;
    this.canvas.setAttribute("aria-label", `${data.title}: map of the attack success rate`);
    this.canvas.dataset.measured = this.measured;
    this.showTip();
    this.schedule();
  }

  destroy() {
    cancelAnimationFrame(this.frame);
    clearTimeout(this.wire.timer);
    this.resize.disconnect();
    shared.removeEventListener("move", this.follow);
    shared.movers.delete(this);
    this.root.remove();
  }

  // ---- drawing

  schedule() {
    this.frame ||= requestAnimationFrame(() => {
      this.frame = 0;
      this.draw();
    });
  }

  paintHeat() {
    const { rows, cols, hits, total } = this.data;
    const pixels = new ImageData(cols.length, rows.length);
    total.forEach((count, index) => {
      const colour = count ? [...COLOURS[Math.round((255 * hits[index]) / count)], 255] : UNMEASURED;
      pixels.data.set(colour, 4 * index);
    });
    Object.assign(this.heat, { width: cols.length, height: rows.length });
    this.heat.getContext("2d").putImageData(pixels, 0, 0);
  }

  theme() {
    const style = getComputedStyle(this.root);
    const read = (name, fallback) => style.getPropertyValue(name).trim() || fallback;
    return {
      font: style.fontFamily,
      text: read("--st-text-color", "#222"),
      background: read("--st-background-color", "#fff"),
      primary: read("--st-primary-color", "#2f6f9f"),
    };
  }

  /** Where everything lies in a picture `width` wide whose plot starts `top` below its upper edge, in CSS pixels. */
  layout(width, top, ratio, height = MAX_PLOT_HEIGHT) {
    const { rows, cols } = this.data;
    const left = 54 * this.scale;
    const right = 70 * this.scale;
    const room = Math.min((width - left - right) / cols.length, height / rows.length, MAX_CELL);
    const fit = room * ratio;
    // A whole number of device pixels per cell keeps all cells the same size; for tiny ones it would waste the room.
    const cell = (fit >= 4 ? Math.floor(fit) : fit) / ratio;
    const plot = { left, top, cell, width: cell * cols.length, height: cell * rows.length };
    return { ...plot, total: { width, height: top + plot.height + 72 * this.scale } };
  }

  draw() {
    const width = Math.min(this.root.clientWidth, MAX_WIDTH);
    if (!this.data || width < 120) return;
    const ratio = window.devicePixelRatio || 1;
    this.scale = parseFloat(getComputedStyle(document.documentElement).fontSize) / 16;
    const beside = parseFloat(getComputedStyle(this.root).getPropertyValue("--beside-map")) || BESIDE;
    const lowest = MIN_PLOT_HEIGHT / Math.max(1, this.scale);
    const height = Math.max(lowest, Math.min(MAX_PLOT_HEIGHT, window.innerHeight - beside * this.scale));
    const layout = this.layout(width, 24 * this.scale, ratio, height);
    const size = { width: Math.round(width * ratio), height: Math.round(layout.total.height * ratio) };
    if (this.canvas.width !== size.width || this.canvas.height !== size.height) Object.assign(this.canvas, size);
    this.canvas.style.width = `${width}px`;
    this.canvas.style.height = `${layout.total.height}px`;
    this.shown = layout;
    Object.assign(this.canvas.dataset, {
      plotLeft: layout.left,
      plotTop: layout.top,
      cellWidth: layout.cell,
      cellHeight: layout.cell,
    });
    const context = this.canvas.getContext("2d");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, layout.total.height);
    this.drawMap(context, layout, this.theme());
    if (this.cursor) {
      const [i, j] = this.cursor;
      this.drawSquare(context, layout, i, j, [[1.5, "#fff"]], 0);
    }
    this.placeTip();
  }

  drawMap(context, layout, theme) {
    const { left, top, width, height } = layout;
    context.imageSmoothingEnabled = false;
    context.drawImage(this.heat, left, top, width, height);
    if (!this.complete) this.drawUnmeasured(context, layout, theme);
    context.globalAlpha = 0.45;
    context.strokeStyle = theme.text;
    context.lineWidth = 1;
    context.strokeRect(left - 0.5, top - 0.5, width + 1, height + 1);
    context.globalAlpha = 1;
    this.drawAxes(context, layout, theme);
    this.drawBar(context, layout, theme);

    context.save();
    context.beginPath();
    context.rect(left - 6, top - 6, width + 12, height + 12);
    context.clip();
    const { rows, cols, trained } = this.data;
    if (trained) this.drawTrainedMark(context, layout, indexOn(rows, trained[0]), indexOn(cols, trained[1]));
    this.drawCurrentMark(context, layout, indexOn(rows, this.row), indexOn(cols, this.col));
    context.restore();
    this.drawLegend(context, layout, theme);
  }

  /** Hatching over the cells that are not measured, and how far the sweep has come. */
  drawUnmeasured(context, { left, top, cell, width, height }, theme) {
    const { cols, total } = this.data;
    context.fillStyle = theme.text;
    context.font = `${this.points}px ${theme.font}`;
    context.textAlign = "left";
    context.textBaseline = "bottom";
    context.fillText(`${this.measured} of ${total.length} places measured`, left, top - 5);
    context.save();
    context.beginPath();
    total.forEach((count, index) => {
      const [i, j] = [Math.floor(index / cols.length), index % cols.length];
      if (!count) context.rect(left + j * cell, top + i * cell, cell, cell);
    });
    context.clip();
    context.beginPath();
    for (let start = -height; start < width; start += 6) {
      context.moveTo(left + start, top + height);
      context.lineTo(left + start + height, top);
    }
    context.globalAlpha = 0.22;
    context.strokeStyle = theme.text;
    context.lineWidth = 1;
    context.stroke();
    context.restore();
  }

  drawAxes(context, { left, top, cell, width, height }, theme) {
    const { rows, cols } = this.data;
    const label = (axis, room) => {
      const full = `${axis} of the trigger's bottom-right pixel`;
      return context.measureText(full).width <= room ? full : axis;
    };
    context.fillStyle = theme.text;
    context.font = `${this.points}px ${theme.font}`;
    context.textBaseline = "middle";
    context.textAlign = "right";
    for (const row of ticksOn(rows, cell, 34)) {
      const y = top + (rows.indexOf(row) + 0.5) * cell;
      context.fillRect(left - 5, y - 0.5, 4, 1);
      context.fillText(row, left - 8, y + 0.5);
    }
    context.textAlign = "center";
    context.textBaseline = "top";
    for (const col of ticksOn(cols, cell, 34)) {
      const x = left + (cols.indexOf(col) + 0.5) * cell;
      context.fillRect(x - 0.5, top + height + 1, 1, 4);
      context.fillText(col, x, top + height + 8);
    }
    context.font = `${this.points}px ${theme.font}`;
    context.fillText(label("column", width), left + width / 2, top + height + 27 * this.scale);
    context.save();
    context.translate(5, top + height / 2);
    context.rotate(-Math.PI / 2);
    context.fillText(label("row", height), 0, 0);
    context.restore();
  }

  drawBar(context, { left, top, width, height }, theme) {
    const x = left + width + 12;
    const gradient = context.createLinearGradient(0, top + height, 0, top);
    ANCHORS.forEach((colour, index) => gradient.addColorStop(index / (ANCHORS.length - 1), colour));
    context.fillStyle = gradient;
    context.fillRect(x, top, 11, height);
    context.globalAlpha = 0.45;
    context.strokeStyle = theme.text;
    context.lineWidth = 1;
    context.strokeRect(x - 0.5, top - 0.5, 12, height + 1);
    context.globalAlpha = 1;
    context.fillStyle = theme.text;
    context.font = `${this.points}px ${theme.font}`;
    context.textAlign = "left";
    context.textBaseline = "bottom";
    context.fillText("ASR", x - 1, top - 5);
    for (const [share, baseline] of [
      [0, "alphabetic"],
      [50, "middle"],
      [100, "top"],
    ]) {
      const y = top + height * (1 - share / 100);
      context.textBaseline = baseline;
      context.fillText(`${share} %`, x + 16, y);
    }
  }

  /** A square around cell (i, j), one line over the other. */
  drawSquare(context, { left, top, cell }, i, j, lines, grow, dash = []) {
    for (const [lineWidth, colour] of lines) {
      context.lineWidth = lineWidth;
      context.strokeStyle = colour;
      context.setLineDash(colour === "#fff" ? dash : []);
      context.strokeRect(left + j * cell - grow, top + i * cell - grow, cell + 2 * grow, cell + 2 * grow);
    }
    context.setLineDash([]);
  }

  // The marks of tiny cells are larger than the cell, to be seen.
  drawCurrentMark(context, layout, i, j) {
    const lines = [
      [5.5, "rgba(0, 0, 0, 0.55)"],
      [4, "#fff"],
      [2, "#e02f2f"],
    ];
    this.drawSquare(context, layout, i, j, lines, Math.max(2, 5 - layout.cell / 2));
  }

  drawTrainedMark(context, layout, i, j) {
    const lines = [
      [2, "#000"],
      [2, "#fff"],
    ];
    this.drawSquare(context, layout, i, j, lines, Math.max(1, 4.5 - layout.cell / 2), [3, 3]);
  }

  drawLegend(context, { left, top, height }, theme) {
    const y = top + height + 52 * this.scale;
    let x = left;
    context.font = `${this.points}px ${theme.font}`;
    context.textAlign = "left";
    context.textBaseline = "middle";
    const entry = (text, mark) => {
      mark({ left: x + 3, top: y, cell: 9 });
      context.fillStyle = theme.text;
      context.fillText(text, x + 19, y + 5);
      x += 19 + context.measureText(text).width + 14;
    };
    entry("current place", (box) => this.drawCurrentMark(context, box, 0, 0));
    if (this.data.trained) entry("trained place", (box) => this.drawTrainedMark(context, box, 0, 0));
    if (this.complete) return;
    entry("not measured yet", (box) => {
      context.save();
      context.beginPath();
      context.rect(box.left, box.top, box.cell, box.cell);
      context.clip();
      context.strokeStyle = theme.text;
      context.lineWidth = 1;
      context.globalAlpha = 0.6;
      context.strokeRect(box.left, box.top, box.cell, box.cell);
      for (const start of [-6, -1, 4]) {
        context.beginPath();
        context.moveTo(box.left + start, box.top + box.cell);
        context.lineTo(box.left + start + box.cell, box.top);
        context.stroke();
      }
      context.restore();
    });
  }

  // ---- the picture

  download() {
    this.scale = PICTURE_TEXT; // until it is drawn on the page again
    const theme = { ...this.theme(), ...PAPER }; // whatever theme the page has
    const scale = 3;
    const canvas = document.createElement("canvas");
    const context = canvas.getContext("2d");
    const titleFont = `600 18px ${theme.font}`;
    context.font = titleFont;
    const lines = [""];
    for (const word of this.data.title.split(/\s+/)) {
      const longer = `${lines.at(-1)} ${word}`.trim();
      if (context.measureText(longer).width <= PICTURE_WIDTH - 24) lines[lines.length - 1] = longer;
      else lines.push(word);
    }
    const layout = this.layout(PICTURE_WIDTH, 44 + 24 * lines.length, scale);
    Object.assign(canvas, { width: PICTURE_WIDTH * scale, height: Math.round(layout.total.height * scale) });
    context.scale(scale, scale);
    context.fillStyle = theme.background;
    context.fillRect(0, 0, PICTURE_WIDTH, layout.total.height);
    context.fillStyle = theme.text;
    context.font = titleFont;
    context.textBaseline = "top";
    lines.forEach((line, index) => context.fillText(line, 12, 12 + 24 * index));
    this.drawMap(context, layout, theme);
    canvas.toBlob((blob) => {
      const link = document.createElement("a");
      link.href = URL.createObjectURL(blob);
      link.download = `${this.data.filename}.png`;
      link.click();
      this.schedule();
      setTimeout(() => URL.revokeObjectURL(link.href), 10_000); // not before the browser has taken it
    }, "image/png");
  }

  // ---- pointing and picking

  setPlace(row, col) {
    this.row = row;
    this.col = col;
    Object.assign(this.canvas.dataset, { row, col });
  }

  currentCell() {
    const { rows, cols } = this.data;
    return [Math.round(indexOn(rows, this.row)), Math.round(indexOn(cols, this.col))];
  }

  /** Cell under the pointer, or null beside the plot; `nearest` takes the closest cell instead. */
  cellAt(event, nearest = false) {
    if (!this.shown) return null;
    const { rows, cols } = this.data;
    const bounds = this.canvas.getBoundingClientRect();
    const i = Math.floor((event.clientY - bounds.top - this.shown.top) / this.shown.cell);
    const j = Math.floor((event.clientX - bounds.left - this.shown.left) / this.shown.cell);
    const inside = i >= 0 && i < rows.length && j >= 0 && j < cols.length;
    if (!inside && !nearest) return null;
    return [Math.min(Math.max(i, 0), rows.length - 1), Math.min(Math.max(j, 0), cols.length - 1)];
  }

  describe([i, j]) {
    const { rows, cols, hits, total, low, high } = this.data;
    const at = i * cols.length + j;
    const place = `row ${rows[i]}, column ${cols[j]}`;
    if (!total[at]) return `${place}: not measured yet`;
    const asr = ((100 * hits[at]) / total[at]).toFixed(1);
    const interval = `${(low[at] / 10).toFixed(1)}\u2013${(high[at] / 10).toFixed(1)}`;
    return `${place}: ASR ${asr} % (${interval}, ${hits[at]} of ${total[at]})`;
  }

  point(cell, aloud = false) {
    if (String(cell) === String(this.cursor)) return;
    this.cursor = cell;
    this.canvas.dataset.over = cell !== null;
    this.showTip();
    if (cell && aloud) this.status.textContent = this.describe(cell);
    this.schedule();
  }

  showTip() {
    this.tip.hidden = !this.cursor;
    if (!this.cursor) return;
    this.tip.textContent = this.describe(this.cursor);
    this.placeTip();
  }

  /** Above the cell, or below it in the first rows; never beyond the sides. */
  placeTip() {
    if (!this.cursor || !this.shown) return;
    const { left, top, cell } = this.shown;
    const [i, j] = this.cursor;
    const x = left + (j + 0.5) * cell - this.tip.offsetWidth / 2;
    const upper = this.canvas.offsetTop + top + i * cell - this.tip.offsetHeight - 8;
    const lower = this.canvas.offsetTop + top + (i + 1) * cell + 8;
    this.tip.style.left = `${Math.max(0, Math.min(x, this.root.clientWidth - this.tip.offsetWidth))}px`;
    this.tip.style.top = `${upper >= 0 ? upper : lower}px`;
  }

  pick([i, j]) {
    const row = this.data.rows[i];
    const col = this.data.cols[j];
    if (row === this.row && col === this.col) return;
    this.setPlace(row, col);
    shared.move(row, col, this);
    // While it is dragged, Python is asked for what is not known here; where it ends, Python is told.
    this.untold = this.dragging && shared.knows(row, col);
    if (!this.untold) this.wire.post({ row, col });
    this.schedule();
  }

  press(event) {
    if (!event.isPrimary || event.button !== 0 || event.pointerType === "touch") return;
    const cell = this.cellAt(event);
    if (!cell) return;
    this.canvas.setPointerCapture(event.pointerId);
    this.dragging = true;
    this.point(cell);
    this.pick(cell);
  }

  hover(event) {
    if (event.pointerType === "touch") return;
    const cell = this.cellAt(event, this.dragging);
    this.point(cell);
    if (this.dragging) this.pick(cell);
  }

  release() {
    this.dragging = false;
    if (this.untold) this.wire.post({ row: this.row, col: this.col });
    this.untold = false;
  }

  /** A finger picks when it taps, not when it scrolls over the map. */
  tap(event) {
    if (event.pointerType !== "touch") return;
    const cell = this.cellAt(event);
    this.point(cell);
    if (cell) this.pick(cell);
  }

  keyDown(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const { rows, cols, trained } = this.data;
    const step = event.shiftKey ? 4 : 1;
    const [down, right] =
      { ArrowUp: [-step, 0], ArrowDown: [step, 0], ArrowLeft: [0, -step], ArrowRight: [0, step] }[event.key] ?? [];
    const [i, j] = this.cursor ?? this.currentCell();
    if (down !== undefined) {
      const within = (index, length) => Math.min(Math.max(index, 0), length - 1);
      this.point([within(i + down, rows.length), within(j + right, cols.length)], true);
    } else if (event.key === "Home" && trained) {
      this.point([Math.round(indexOn(rows, trained[0])), Math.round(indexOn(cols, trained[1]))], true);
    } else if (event.key === "Enter" || event.key === " ") {
      this.pick([i, j]);
    } else if (event.key === "Escape") {
      this.point(null);
    } else return;
    event.preventDefault(); // the page must not scroll
  }
}

const maps = new WeakMap();

/** Runs again at every change of the data or the theme; the map is made once per place in the page. */
export default function (component) {
  const { parentElement } = component;
  let map = maps.get(parentElement);
  if (!map) maps.set(parentElement, (map = new LocationMap(parentElement)));
  const run = ++map.runs;
  map.update(component);
  // Streamlit also cleans up after a run that a newer one has overtaken; only the newest may take the map away.
  return () => {
    if (run !== map.runs) return;
    maps.delete(parentElement);
    map.destroy();
  };
}
