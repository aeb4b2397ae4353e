/* The draggable trigger.
 *
 * Geometry, for anyone who wants to point at a pixel: image pixel (row, col) covers, in CSS pixels from the top left of
 * the canvas' bounding box, x = plotLeft + col * cellWidth and y = plotTop + row * cellHeight, one cell wide and high.
 * The four numbers are data attributes of the canvas (data-plot-left, ...), and so are the trigger's place (data-row,
 * data-col: bottom-right pixel of its box) and data-dragging.
 */

const MARGIN = 6; // CSS pixels around the image, so that the outline of a trigger in the corner is seen whole
const MAX_WIDTH = 640;
const LABEL = "trained here";
const HINT = "drag me";
const TRIED = "trigger-was-dragged"; // kept by the browser: whoever has dragged it once needs no hint
const REACH = 14; // CSS pixels around the trigger in which a finger still takes hold of it

const clamp = (value, [low, high]) => Math.min(Math.max(value, low), high);

function remembered() {
  try {
    return localStorage.getItem(TRIED) !== null;
  } catch {
    return true; // a browser that keeps nothing would show the hint for ever
  }
}

function remember() {
  try {
    localStorage.setItem(TRIED, "1");
  } catch {
    // Then it is only for this page.
  }
}

class Pad {
  runs = 0;
  wire = new Wire();
  data = null;
  row = 0;
  col = 0;
  grip = null; // where in its box the trigger is held, in image pixels; null when it is not held
  moved = false; // since the pointer or the key went down
  frame = 0;
  image = null; // RGBA of the image without the trigger
  imageKey = null;
  pattern = null;
  patternKey = null;

  constructor(parent) {
    this.root = document.createElement("div");
    this.root.className = "pad";
    this.root.innerHTML = `
      <canvas tabindex="0" role="application" aria-roledescription="draggable trigger" aria-describedby="keys"></canvas>
      <div class="caption"><span class="place"></span>
        <button class="home" type="button" title="Home key">Back to trained place</button></div>
      <div class="keys" id="keys">Arrow keys move the trigger by one pixel, with Shift by four.
        Home moves it back to the trained place.</div>
      <div class="status" role="status" aria-live="polite"></div>`;
    parent.appendChild(this.root);
    this.canvas = this.root.querySelector("canvas");
    this.place = this.root.querySelector(".place");
    this.home = this.root.querySelector(".home");
    this.status = this.root.querySelector(".status");
    this.pixels = document.createElement("canvas"); // one canvas pixel per image pixel, enlarged when drawn

    const on = (name, handler) => this.canvas.addEventListener(name, handler.bind(this));
    // Only the trigger itself keeps a finger from scrolling the page. A listener of touches is passive by default.
    this.canvas.addEventListener("touchstart", (event) => this.isAt(event.touches[0]) && event.preventDefault(), {
      passive: false,
    });
    on("click", this.tap);
    on("pointerdown", this.press);
    on("pointermove", this.drag);
    on("pointerup", this.release);
    on("pointercancel", this.release);
    on("lostpointercapture", this.release);
    on("keydown", this.keyDown);
    on("keyup", this.settle);
    on("blur", this.settle);
    this.home.addEventListener("click", () => {
      this.goHome();
      this.settle();
    });
    this.resize = new ResizeObserver(() => this.draw()); // at once: a frame later the old size would flash
    this.resize.observe(this.root);
    this.hint = !remembered();
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
    return this.grip !== null || this.moved || !this.wire.idle;
  }

  update({ data, setTriggerValue }) {
    const first = this.data === null;
    this.data = data;
    this.wire.send = (message) => setTriggerValue("move", message);
    this.wire.acknowledge(data.ack);
    this.canvas.setAttribute("aria-label", data.label);
    this.loadPattern();
    this.loadImage();
    // While we know something newer than Python does, our place stands.
    const adopt = first || !shared.ahead;
    this.setPlace(adopt ? data.row : this.row, adopt ? data.col : this.col);
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

  // ---- pixels

  loadPattern() {
    const { pattern } = this.data;
    if (pattern === this.patternKey) return;
    this.patternKey = pattern;
    this.pattern = bytesOf(pattern);
  }

  loadImage() {
    const { image, height, width } = this.data;
    const key = `${height} ${width} ${image}`;
    if (key === this.imageKey) return;
    this.imageKey = key;
    const show = (fill) => {
      if (this.imageKey !== key) return; // decoding took longer than the next image
      const canvas = Object.assign(document.createElement("canvas"), { height, width });
      const context = canvas.getContext("2d", { willReadFrequently: true });
      context.imageSmoothingEnabled = false;
      fill(context);
      this.image = context.getImageData(0, 0, width, height);
      this.schedule();
    };
    const placeholder = (context) => {
      for (let row = 0; row < height; row++)
        for (let col = 0; col < width; col++) {
          context.fillStyle = ((row >> 2) + (col >> 2)) % 2 ? "#8d9196" : "#989ca1";
          context.fillRect(col, row, 1, 1);
        }
    };
    if (!image) return show(placeholder);
    const element = new Image();
    element.src = image;
    element.decode().then(
      () => show((context) => context.drawImage(element, 0, 0, width, height)),
      () => show(placeholder),
    );
  }

  blend() {
    const { height, width, boxHeight, boxWidth } = this.data;
    const out = new ImageData(new Uint8ClampedArray(this.image.data), width, height);
    stampOn(out, this.pattern, boxHeight, boxWidth, this.row, this.col);
    if (this.pixels.width !== width || this.pixels.height !== height) Object.assign(this.pixels, { height, width });
    this.pixels.getContext("2d").putImageData(out, 0, 0);
  }

  // ---- drawing

  schedule() {
    this.frame ||= requestAnimationFrame(() => {
      this.frame = 0;
      this.draw();
    });
  }

  draw() {
    const { height, width } = this.data ?? {};
    const room = Math.min(this.root.clientWidth, MAX_WIDTH) - 2 * MARGIN;
    if (!this.image || room <= 0 || this.image.width !== width || this.image.height !== height) return;
    const ratio = window.devicePixelRatio || 1;
    // A whole number of device pixels per image pixel keeps all of them the same size; of a large image it would waste
    // the room.
    const fit = (room * ratio) / Math.max(height, width);
    const cell = fit >= 4 ? Math.floor(fit) : fit;
    const margin = Math.round(MARGIN * ratio);
    const size = { width: Math.round(cell * width) + 2 * margin, height: Math.round(cell * height) + 2 * margin };
    if (this.canvas.width !== size.width || this.canvas.height !== size.height) Object.assign(this.canvas, size);
    this.canvas.style.width = `${size.width / ratio}px`;
    this.canvas.style.height = `${size.height / ratio}px`;
    this.cell = cell / ratio;
    this.margin = margin / ratio;
    Object.assign(this.canvas.dataset, {
      plotLeft: this.margin,
      plotTop: this.margin,
      cellWidth: this.cell,
      cellHeight: this.cell,
    });

    this.blend();
    const context = this.canvas.getContext("2d");
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, size.width, size.height);
    context.translate(margin, margin);
    context.imageSmoothingEnabled = false;
    context.drawImage(this.pixels, 0, 0, cell * width, cell * height);
    if (this.grip && cell >= 5 * ratio) this.drawGrid(context, cell);
    if (this.data.trained) this.drawTrained(context, cell, ratio);
    this.drawBox(context, cell, ratio);
    if (this.hint) this.drawLabel(context, HINT, "#c22525", this.boxOf(this.row, this.col, cell, 3 * ratio), cell, ratio);
  }

  drawGrid(context, cell) {
    const { height, width } = this.data;
    context.beginPath();
    for (let row = 1; row < height; row++) {
      context.moveTo(0, row * cell + 0.5);
      context.lineTo(width * cell, row * cell + 0.5);
    }
    for (let col = 1; col < width; col++) {
      context.moveTo(col * cell + 0.5, 0);
      context.lineTo(col * cell + 0.5, height * cell);
    }
    context.strokeStyle = "rgba(128, 128, 128, 0.4)";
    context.lineWidth = 1;
    context.stroke();
  }

  /** The box whose bottom-right pixel is (row, col), grown by `grow`: lines lie around the pixels, not on them. */
  boxOf(row, col, cell, grow) {
    const { boxHeight, boxWidth } = this.data;
    return [
      (col - boxWidth + 1) * cell - grow,
      (row - boxHeight + 1) * cell - grow,
      boxWidth * cell + 2 * grow,
      boxHeight * cell + 2 * grow,
    ];
  }

  drawTrained(context, cell, ratio) {
    const [row, col] = this.data.trained;
    const box = this.boxOf(row, col, cell, ratio);
    context.lineWidth = 2 * ratio;
    context.strokeStyle = "rgba(0, 0, 0, 0.75)";
    context.strokeRect(...box);
    context.setLineDash([4 * ratio, 3 * ratio]);
    context.strokeStyle = "#fff";
    context.strokeRect(...box);
    context.setLineDash([]);

    if (!this.hint || !this.nearHome()) this.drawLabel(context, LABEL, "rgba(0, 0, 0, 0.7)", box, cell, ratio);
  }

  /** A label above a box, or below where there is no room, or inside where the box is the whole image. */
  drawLabel(context, text, ground, box, cell, ratio) {
    context.font = `${14 * ratio}px ${getComputedStyle(this.root).fontFamily}`;
    const [padding, high] = [5 * ratio, 20 * ratio];
    const wide = context.measureText(text).width + 2 * padding;
    const right = this.data.width * cell;
    const bottom = this.data.height * cell;
    const [x, y, w, h] = box;
    const gap = 4 * ratio;
    const above = y - high - gap;
    const below = y + h + gap;
    const labelTop = above >= 0 ? above : below + high <= bottom ? below : gap;
    const labelLeft = Math.min(Math.max(x + w / 2 - wide / 2, 0), right - wide);
    context.fillStyle = ground;
    context.beginPath();
    context.roundRect(labelLeft, labelTop, wide, high, 3 * ratio);
    context.fill();
    context.fillStyle = "#fff";
    context.textBaseline = "middle";
    context.fillText(text, labelLeft + padding, labelTop + high / 2 + 0.5 * ratio);
  }

  /** Red like the minimum covering box in the paper's Figure 3, between black and white lines to stand out anywhere. */
  drawBox(context, cell, ratio) {
    context.lineJoin = "round";
    for (const [lineWidth, colour] of [
      [6, "rgba(0, 0, 0, 0.55)"],
      [4.5, "#fff"],
      [2, "#e02f2f"],
    ]) {
      context.lineWidth = lineWidth * ratio;
      context.strokeStyle = colour;
      context.strokeRect(...this.boxOf(this.row, this.col, cell, 2.25 * ratio));
    }
    context.lineJoin = "miter";
  }

  // ---- moving

  /** True when the place changed. */
  setPlace(row, col) {
    row = clamp(row, this.data.rows);
    col = clamp(col, this.data.cols);
    const changed = row !== this.row || col !== this.col;
    this.row = row;
    this.col = col;
    Object.assign(this.canvas.dataset, { row, col, dragging: this.grip !== null });
    const text = this.describe();
    if (this.place.textContent !== text.join("")) {
      const away = document.createElement("small");
      away.textContent = text[1];
      this.place.replaceChildren(text[0], away);
    }
    this.home.hidden = !this.data.trained || this.atHome();
    return changed;
  }

  atHome() {
    const { trained } = this.data;
    return trained !== null && trained[0] === this.row && trained[1] === this.col;
  }

  /** Whether the trigger is so near its trained place that two labels would lie on each other. */
  nearHome() {
    const { trained, boxHeight, boxWidth } = this.data;
    if (trained === null) return false;
    return Math.abs(trained[0] - this.row) < boxHeight + 4 && Math.abs(trained[1] - this.col) < boxWidth + 12;
  }

  describe() {
    const place = `row ${this.row}, column ${this.col}`;
    if (!this.data.trained) return [place, ""];
    if (this.atHome()) return [place, " \u00b7 the trained place"];
    const [down, right] = [this.row - this.data.trained[0], this.col - this.data.trained[1]];
    const parts = [];
    if (down) parts.push(`${Math.abs(down)} ${down < 0 ? "up" : "down"}`);
    if (right) parts.push(`${Math.abs(right)} ${right < 0 ? "left" : "right"}`);
    return [place, ` \u00b7 ${parts.join(", ")}`];
  }

  move(row, col) {
    if (!this.setPlace(row, col)) return;
    this.moved = true;
    if (this.hint) remember();
    this.hint = false;
    shared.move(this.row, this.col, this);
    if (!shared.knows(this.row, this.col)) this.wire.post({ row: this.row, col: this.col, final: false });
    this.schedule();
  }

  /** The move is over: tell Python and the screen reader where it ended. */
  settle() {
    if (!this.moved || this.grip) return;
    this.moved = false;
    this.wire.post({ row: this.row, col: this.col, final: true });
    this.status.textContent = `Trigger at ${this.describe().join("")}`;
  }

  goHome() {
    if (this.data.trained) this.move(...this.data.trained);
  }

  /** Pointer position in image pixels, fractional. */
  locate(event) {
    const bounds = this.canvas.getBoundingClientRect();
    return {
      x: (event.clientX - bounds.left - this.margin) / this.cell,
      y: (event.clientY - bounds.top - this.margin) / this.cell,
    };
  }

  /** Whether a pointer is on the trigger, or as near as a finger can be meant for it. */
  isAt(pointer) {
    if (!this.cell) return false;
    const { boxHeight, boxWidth } = this.data;
    const { x, y } = this.locate(pointer);
    const reach = REACH / this.cell;
    const [down, right] = [y - (this.row - boxHeight + 1), x - (this.col - boxWidth + 1)];
    return down >= -reach && down < boxHeight + reach && right >= -reach && right < boxWidth + reach;
  }

  /** A finger that taps elsewhere puts the trigger there. */
  tap(event) {
    if (event.pointerType !== "touch" || !this.cell || this.isAt(event)) return;
    const { boxHeight, boxWidth } = this.data;
    const { x, y } = this.locate(event);
    this.move(Math.round(y - boxHeight / 2) + boxHeight - 1, Math.round(x - boxWidth / 2) + boxWidth - 1);
    this.settle();
  }

  press(event) {
    if (!event.isPrimary || event.button !== 0 || !this.cell) return;
    if (event.pointerType === "touch" && !this.isAt(event)) return; // it scrolls, or taps
    event.preventDefault();
    this.canvas.focus({ preventScroll: true });
    this.canvas.setPointerCapture(event.pointerId);
    const { boxHeight, boxWidth } = this.data;
    const { x, y } = this.locate(event);
    const held = { x: x - (this.col - boxWidth + 1), y: y - (this.row - boxHeight + 1) };
    const inside = held.x >= 0 && held.x < boxWidth && held.y >= 0 && held.y < boxHeight;
    // Held where it was touched; pressed elsewhere, its centre jumps under the pointer.
    this.grip = inside || event.pointerType === "touch" ? held : { x: boxWidth / 2, y: boxHeight / 2 };
    this.drag(event);
    this.setPlace(this.row, this.col);
    this.schedule(); // the grid appears
  }

  drag(event) {
    if (!this.grip || !event.isPrimary) return;
    const { boxHeight, boxWidth } = this.data;
    const { x, y } = this.locate(event);
    this.move(Math.round(y - this.grip.y) + boxHeight - 1, Math.round(x - this.grip.x) + boxWidth - 1);
  }

  release(event) {
    if (!this.grip || !event.isPrimary) return;
    this.grip = null;
    this.settle();
    this.setPlace(this.row, this.col);
    this.schedule();
  }

  keyDown(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || this.grip) return;
    const step = event.shiftKey ? 4 : 1;
    const [down, right] =
      { ArrowUp: [-step, 0], ArrowDown: [step, 0], ArrowLeft: [0, -step], ArrowRight: [0, step] }[event.key] ?? [];
    if (down !== undefined) this.move(this.row + down, this.col + right);
    else if (event.key === "Home") this.goHome();
    else return;
    event.preventDefault(); // the page must not scroll
  }
}

const pads = new WeakMap();

/** Runs again at every change of the data or the theme; the pad is made once per place in the page. */
export default function (component) {
  const { parentElement } = component;
  let pad = pads.get(parentElement);
  if (!pad) pads.set(parentElement, (pad = new Pad(parentElement)));
  const run = ++pad.runs;
  pad.update(component);
  // Streamlit also cleans up after a run that a newer one has overtaken; only the newest may take the pad away.
  return () => {
    if (run !== pad.runs) return;
    pads.delete(parentElement);
    pad.destroy();
  };
}
