/* Ten test images with the trigger on them and what the model says about each, following the trigger.
 *
 * The browser stamps the trigger; the predicted classes come from the table of the look, from what the server has
 * predicted there before, or, where neither has the place, from the server a moment later: until then they are dimmed.
 */

class Strip {
  runs = 0;
  wire = new Wire();
  data = null;
  tiles = null; // the images without the trigger, ImageData each
  tilesKey = null;

  constructor(parent) {
    this.root = document.createElement("div");
    this.root.className = "ts-pictures";
    this.root.innerHTML = `
      <div class="ts-strip"></div>
      <div class="under"><button type="button" class="back" aria-label="Ten images before">&#8249;</button>
        <span class="which"></span>
        <button type="button" class="on" aria-label="The next ten images">&#8250;</button>
        <span class="lacks"></span></div>`;
    parent.appendChild(this.root);
    this.strip = this.root.querySelector(".ts-strip");
    this.root.querySelector(".back").addEventListener("click", () => this.pick(this.data.start - this.data.step));
    this.root.querySelector(".on").addEventListener("click", () => this.pick(this.data.start + this.data.step));
    this.follow = () => this.show();
    shared.addEventListener("move", this.follow);
    shared.answerers.add(this);
  }

  update({ data, setTriggerValue }) {
    this.data = data;
    this.wire.send = (message) => setTriggerValue("image", message);
    this.wire.acknowledge(data.ack);
    this.pattern = bytesOf(data.pattern);
    this.recent = data.recent && { rows: data.rows, cols: data.cols, classes: bytesOf(data.recent) };
    this.loadTiles();
    this.build();
    this.show();
  }

  destroy() {
    shared.removeEventListener("move", this.follow);
    shared.answerers.delete(this);
    clearTimeout(this.wire.timer);
    this.root.remove();
  }

  pick(index) {
    if (index >= 0 && index < this.data.last) this.wire.post({ index });
  }

  loadTiles() {
    const { sprite, height, width, truths } = this.data;
    const key = `${sprite} ${height} ${width} ${truths.length}`;
    if (key === this.tilesKey) return;
    this.tilesKey = key;
    const cut = (fill) => {
      if (this.tilesKey !== key) return; // another ten were asked for meanwhile
      const canvas = Object.assign(document.createElement("canvas"), { height, width: width * truths.length });
      const context = canvas.getContext("2d", { willReadFrequently: true });
      fill(context, canvas);
      this.tiles = truths.map((_, index) => context.getImageData(index * width, 0, width, height));
      this.show();
    };
    const blank = (context, canvas) => {
      context.fillStyle = "#8d9196";
      context.fillRect(0, 0, canvas.width, canvas.height);
    };
    if (!sprite) return cut(blank);
    const image = new Image();
    image.src = sprite.startsWith("data:") ? sprite : new URL(`.${sprite}`, document.baseURI);
    image.decode().then(
      () => cut((context) => context.drawImage(image, 0, 0)),
      () => cut(blank),
    );
  }

  /** The figures, as many as there are images. */
  build() {
    const { truths, classes, selected, start, last, lacks, height, width } = this.data;
    const key = JSON.stringify([truths, classes, selected, height, width]);
    if (key !== this.builtKey) {
      this.builtKey = key;
      this.strip.replaceChildren(
        ...truths.map((truth, index) => {
          const figure = document.createElement("figure");
          figure.innerHTML = `<canvas role="img" tabindex="0"></canvas><div class="said"></div><div class="truth"></div>`;
          const canvas = Object.assign(figure.querySelector("canvas"), { height, width });
          if (width > 96) canvas.style.imageRendering = "auto"; // shown smaller than it is: left-out pixels would flicker
          figure.querySelector(".truth").textContent = `is ${classes[truth]}`;
          figure.classList.toggle("selected", index === selected);
          const choose = () => this.pick(this.data.start + index);
          canvas.addEventListener("click", choose);
          canvas.addEventListener("keydown", (event) => {
            if (event.key !== "Enter" && event.key !== " ") return;
            event.preventDefault();
            choose();
          });
          canvas.title = "Show this image large";
          return figure;
        }),
      );
    }
    const { step } = this.data;
    const end = Math.min(start + truths.length, last);
    this.root.querySelector(".which").textContent = `images ${start + 1} to ${end} of ${last}`;
    this.root.querySelector(".back").disabled = start < step;
    this.root.querySelector(".on").disabled = start + step >= last;
    this.root.querySelector(".lacks").textContent = lacks;
  }

  /** Predicted class of one of the images at a place, or null where that is not known here. */
  said(index, row, col) {
    const { file, start, truths, place, said } = this.data;
    if (said && row === place[0] && col === place[1]) return said[index];
    const table = file && shared.table(file, this.follow);
    if (table?.classes && start + index < table.size) {
      const at = indexIn(table, row, col);
      return at < 0 ? null : table.classes[at * table.size + start + index];
    }
    const at = this.recent ? indexIn(this.recent, row, col) : -1;
    if (at < 0) return null;
    const found = this.recent.classes[at * truths.length + index];
    return found === 255 ? null : found;
  }

  knows(row, col) {
    const { fixed, measurable, truths } = this.data;
    if (!measurable) return true; // nobody else knows more
    return !fixed && truths.every((_, index) => this.said(index, row, col) !== null);
  }

  stamp(pixels, row, col) {
    const { boxHeight, boxWidth, at } = this.data;
    if (!at) return stampOn(pixels, this.pattern, boxHeight, boxWidth, row, col);
    // The place stands; opacity (percent) and pixel value are what varies, of the trigger in full.
    const varied = this.pattern.map((number, index) => {
      if (index % 4 === 3) return number && Math.round((255 * row) / 100);
      return number && col;
    });
    return stampOn(pixels, varied, boxHeight, boxWidth, ...at);
  }

  show() {
    if (!this.data || !this.tiles || this.tiles.length !== this.strip.children.length) return;
    const { fixed, place, height, width, classes, truths, target, targetName } = this.data;
    const [row, col] = shared.place(...place);
    let [hits, known] = [0, true];
    this.tiles.forEach((tile, index) => {
      const figure = this.strip.children[index];
      const pixels = new ImageData(new Uint8ClampedArray(tile.data), width, height);
      // Behind a defense the pictures are as the model got them, of the place that Python knows.
      if (!fixed) this.stamp(pixels, row, col);
      figure.querySelector("canvas").getContext("2d").putImageData(pixels, 0, 0);
      const stale = fixed && (row !== place[0] || col !== place[1]);
      const answer = stale ? null : this.said(index, row, col);
      const said = figure.querySelector(".said");
      figure.dataset.waiting = answer === null;
      if (answer === null) {
        known = false;
        if (!said.textContent) said.textContent = "\u2026";
        return;
      }
      const hit = answer === target;
      hits += hit;
      figure.classList.toggle("hit", hit);
      figure.classList.toggle("miss", !hit);
      said.textContent = classes[answer];
      figure
        .querySelector("canvas")
        .setAttribute("aria-label", `${classes[truths[index]]} predicted as ${classes[answer]}`);
    });
    if (!known) return;
    this.strip.dataset.place = `${row},${col}`;
    this.strip.setAttribute("aria-label", `${hits} of ${truths.length} shown images predicted as ${targetName}`);
  }
}

const strips = new WeakMap();

/** Runs again at every change of the data or the theme; the strip is made once per place in the page. */
export default function (component) {
  const { parentElement } = component;
  let strip = strips.get(parentElement);
  if (!strip) strips.set(parentElement, (strip = new Strip(parentElement)));
  const run = ++strip.runs;
  strip.update(component);
  return () => {
    if (run !== strip.runs) return;
    strips.delete(parentElement);
    strip.destroy();
  };
}
