/* What the components of a page share in the browser: where the trigger is, and what is known there. It is put in front
 * of the script of every component that shows or moves the trigger.
 *
 * Who moves the trigger says so here, and what shows numbers follows at once. Python is asked for what is not known, and
 * told where the trigger was let go.
 */

class Shared extends EventTarget {
  row = null;
  col = null;
  movers = new Set(); // what can move the trigger; `ahead` while Python has not heard of its latest place
  answerers = new Set(); // what shows something of a place; `knows(row, col)` if it needs nobody to show it
  files = new Map(); // by address: what was loaded, or a promise of it
  maps = null; // saliency maps that were shown, kept by `live_maps`

  get ahead() {
    return [...this.movers].some((mover) => mover.ahead);
  }

  knows(row, col) {
    return this.answerers.size > 0 && [...this.answerers].every((answerer) => answerer.knows(row, col));
  }

  move(row, col, by) {
    this.row = row;
    this.col = col;
    this.dispatchEvent(new CustomEvent("move", { detail: by }));
  }

  /** The place to show: the one under the finger, or the one that Python knows. */
  place(row, col) {
    return this.ahead && this.row !== null ? [this.row, this.col] : [row, col];
  }

  /** A table that Python has put beside the page, loaded once; `then` is called if it comes later than now. */
  table(address, then) {
    const found = this.files.get(address);
    if (found && !(found instanceof Promise)) return found;
    const loading = found ?? load(address);
    this.files.set(address, loading);
    loading.then(
      (table) => {
        this.files.set(address, table);
        then();
      },
      () => this.files.delete(address), // asked for again at the next update
    );
    return null;
  }
}

const shared = (window.triggerOnPage ??= new Shared());

function bytesOf(text) {
  return Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
}

/** Counts of every place, as `packed` in dashboard/server/places.py wrote them. */
function unpack(packed) {
  const table = { rows: packed.rows, cols: packed.cols, size: 0, classes: null };
  for (const name of ["hits", "total", "low", "high"]) table[name] = new Uint16Array(bytesOf(packed[name]).buffer);
  return table;
}

async function load(address) {
  const answer = await fetch(new URL(`.${address}`, document.baseURI));
  if (!answer.ok) throw new Error(`${address}: ${answer.status}`);
  const packed = await answer.json();
  const table = unpack(packed);
  if (packed.classes) {
    const inflated = new Blob([bytesOf(packed.classes)]).stream().pipeThrough(new DecompressionStream("deflate"));
    table.classes = new Uint8Array(await new Response(inflated).arrayBuffer());
    table.size = packed.size;
  }
  return table;
}

/** Index of a place in a table; beyond its borders the nearest that it has: boxes of other sizes reach other places.
 * It is -1 for a place between those of a table that has every so many.
 */
function indexIn(table, row, col) {
  const within = (axis, value) => axis.indexOf(Math.min(Math.max(value, axis[0]), axis[axis.length - 1]));
  const [i, j] = [within(table.rows, row), within(table.cols, col)];
  return i < 0 || j < 0 ? -1 : i * table.cols.length + j;
}

/** Eq. 1 in 8-bit numbers, in place. The canvas' own blending multiplies alpha in first and rounds dark colours away. */
function stampOn(pixels, pattern, boxHeight, boxWidth, row, col) {
  const { data, width, height } = pixels;
  const top = row - boxHeight + 1;
  const left = col - boxWidth + 1;
  for (let i = Math.max(0, -top); i < Math.min(boxHeight, height - top); i++)
    for (let j = Math.max(0, -left); j < Math.min(boxWidth, width - left); j++) {
      const from = 4 * (i * boxWidth + j);
      const to = 4 * ((top + i) * width + left + j);
      const alpha = pattern[from + 3] / 255;
      for (let c = 0; c < 3; c++) data[to + c] = (1 - alpha) * data[to + c] + alpha * pattern[from + c];
    }
}
