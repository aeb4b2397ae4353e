/* Saliency maps that follow the trigger: those that were shown at a place are kept here. Maps of another place than the
 * pointer's are dimmed, and it is said which place they are of.
 */

const MOST = 24e6; // characters of HTML, of all maps that are kept: some hundred places of six attacks

/** What was shown, by what it is of and where; the oldest makes room. It outlives the component, not the page. */
class Kept {
  shown = new Map();
  size = 0;

  get(of, row, col) {
    return this.shown.get(`${of} ${row},${col}`);
  }

  put(of, row, col, html) {
    const name = `${of} ${row},${col}`;
    const known = this.shown.get(name);
    if (known?.html === html) return;
    this.drop(name);
    const node = document.createElement("div");
    node.innerHTML = html;
    this.shown.set(name, { html, node });
    this.size += html.length;
    while (this.size > MOST && this.shown.size > 1) this.drop(this.shown.keys().next().value);
  }

  drop(name) {
    this.size -= this.shown.get(name)?.html.length ?? 0;
    this.shown.delete(name);
  }
}

const keptMaps = (shared.maps ??= new Kept());

class LiveMaps {
  runs = 0;
  data = null;

  constructor(parent) {
    this.root = document.createElement("div");
    this.root.className = "ts-maps";
    this.root.innerHTML = `<div class="shown"></div><p class="where" role="status"></p>`;
    parent.appendChild(this.root);
    [this.shown, this.where] = this.root.children;
    this.follow = () => this.show();
    shared.addEventListener("move", this.follow);
    shared.answerers.add(this);
  }

  update({ data }) {
    this.data = data;
    keptMaps.put(data.of, ...data.place, data.html);
    this.show(data.place);
  }

  destroy() {
    shared.removeEventListener("move", this.follow);
    shared.answerers.delete(this);
    this.root.remove();
  }

  knows(row, col) {
    return keptMaps.get(this.data?.of, row, col) !== undefined;
  }

  /** The maps at the pointer; else those of `instead`, or what stands, marked as of another place. */
  show(instead = null) {
    if (!this.data) return;
    const { of, place } = this.data;
    const [row, col] = shared.place(...place);
    const at = this.knows(row, col) ? [row, col] : instead;
    const found = at && keptMaps.get(of, ...at);
    if (found) {
      if (this.shown.firstChild !== found.node) this.shown.replaceChildren(found.node);
      this.root.dataset.place = at;
    }
    const here = this.root.dataset.place === `${row},${col}`;
    this.root.dataset.waiting = !here;
    const [from, column] = (this.root.dataset.place ?? "").split(",");
    this.where.textContent = here
      ? `Trigger at row ${row}, column ${col}.`
      : `Computing row ${row}, column ${col}; shown: row ${from}, column ${column}.`;
  }
}

const mounted = new WeakMap();

/** Runs again at every change of the data or the theme; the maps are made once per place in the page. */
export default function (component) {
  const { parentElement } = component;
  let maps = mounted.get(parentElement);
  if (!maps) mounted.set(parentElement, (maps = new LiveMaps(parentElement)));
  const run = ++maps.runs;
  maps.update(component);
  return () => {
    if (run !== maps.runs) return;
    mounted.delete(parentElement);
    maps.destroy();
  };
}
