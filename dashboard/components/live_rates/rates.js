/* Success rates that follow the trigger: as Python drew them, and at a place it has not heard of yet, from the counts
 * that are in the browser. A rate that is known neither here nor there is dimmed until Python answers.
 */

/** Tenths of a percent as Python writes them: a tie goes to the even digit. */
function percent(hits, total) {
  const tenths = (1000 * hits) / total;
  const near = Math.round(tenths);
  return ((Math.abs(tenths - near) === 0.5 && near % 2 ? near - 1 : near) / 10).toFixed(1);
}

class Rates {
  runs = 0;
  data = null;
  drawn = null; // the HTML that stands, null once it was changed

  constructor(parent) {
    this.root = document.createElement("div");
    this.root.className = "ts-live";
    parent.appendChild(this.root);
    this.follow = () => this.show();
    shared.addEventListener("move", this.follow);
    shared.answerers.add(this);
    // Streamlit's sliders tell Python when they are let go; what they are at meanwhile is written on their handles.
    this.observer = new MutationObserver((changes) => {
      if (changes.some(({ target }) => this.data?.sliders?.some((key) => target.closest(`.st-key-${key}`)))) this.slide();
    });
    this.observer.observe(document.body, { subtree: true, attributes: true, attributeFilter: ["aria-valuetext"] });
    shared.movers.add(this);
  }

  /** Whether a slider is held at another value than the one that Python knows. */
  get ahead() {
    const held = this.held();
    return held !== null && String(held) !== String(this.data.place);
  }

  /** What the two sliders are at, or null where there are none. */
  held() {
    if (!this.data?.sliders) return null;
    const inputs = this.data.sliders.map((key) => document.querySelector(`.st-key-${key} input[type=range]`));
    return inputs.every(Boolean) ? inputs.map((input) => Number(input.getAttribute("aria-valuetext"))) : null;
  }

  slide() {
    const held = this.held();
    if (held) shared.move(...held, this);
  }

  update({ data }) {
    this.data = data;
    if (data.sliders && this.held()) [shared.row, shared.col] = this.held();
    this.live = data.models.map(({ live }) => live && unpack(live));
    for (const { file } of data.models) if (file) shared.table(file, this.follow);
    this.show();
  }

  destroy() {
    shared.removeEventListener("move", this.follow);
    shared.answerers.delete(this);
    shared.movers.delete(this);
    this.observer.disconnect();
    this.root.remove();
  }

  /** Counts of a model at a place, from whichever table has more images, or null. */
  at(index, row, col) {
    const { file } = this.data.models[index];
    let best = null;
    for (const table of [file && shared.table(file, this.follow), this.live[index]]) {
      if (!table) continue;
      if (this.data.sliders && !(table.rows.includes(row) && table.cols.includes(col))) continue;
      const at = indexIn(table, row, col);
      if (at < 0) continue;
      const [hits, total, low, high] = [table.hits[at], table.total[at], table.low[at], table.high[at]];
      if (total > (best?.total ?? 0)) best = { hits, total, low, high, stored: table !== this.live[index] };
    }
    return best;
  }

  knows(row, col) {
    return this.data.models.every(({ measurable }, index) => !measurable || this.at(index, row, col) !== null);
  }

  show() {
    const { html, place, models } = this.data;
    const [row, col] = shared.place(...place);
    if (this.drawn !== html) {
      this.root.innerHTML = html;
      this.drawn = html;
    }
    const rates = this.root.querySelector(".ts-rates");
    rates.dataset.waiting = false;
    rates.dataset.ahead = Boolean(this.data.sliders) && !(row === place[0] && col === place[1]);
    this.answer(row, col);
    if (row === place[0] && col === place[1]) return;
    this.drawn = null;
    models.forEach(({ measurable, colour }, index) => {
      const bar = rates.querySelectorAll(".ts-rate")[index];
      const found = this.at(index, row, col);
      if (found) this.write(bar, found, colour);
      else if (measurable) this.wait(bar);
      if (!found && measurable) rates.dataset.waiting = true;
    });
    // The numbers belong to the place they were last known at.
    if (rates.dataset.waiting === "false") rates.dataset.place = `${row},${col}`;
  }

  /** The page's sentence, which belongs to the place of the trigger as the numbers do. */
  answer(row, col) {
    const line = document.querySelector(".ts-answer");
    const { place } = this.data;
    const [answer] = this.data.answer ?? [];
    if (!answer || !line) return;
    const { trained, target, control } = answer;
    const here = this.at(0, row, col) ?? (row === place[0] && col === place[1] ? answer.here : null);
    const moved = Math.max(Math.abs(row - trained[0]), Math.abs(col - trained[1]));
    const by = `Moved by ${moved} pixel${moved === 1 ? "" : "s"}`;
    const share = here && `${percent(here.hits, here.total)}%`;
    const home = moved ? this.at(0, ...trained) : null;
    const instead = home ? ` instead of ${percent(home.hits, home.total)}%` : "";
    let text;
    if (!here || !here.total) text = moved ? `${by}: how often the backdoor fires there is not known yet.` : "";
    else if (control) text = `This model has no backdoor: it takes ${share} of the images with the trigger for “${target}”.`;
    else if (moved) text = `${by}, the backdoor fires on ${share}${instead} of the images.`;
    else text = `At its trained place the trigger fires the backdoor on ${share} of the images: drag it away.`;
    if (line.textContent !== text) line.textContent = text;
  }

  write(bar, { hits, total, low, high, stored }, colour) {
    const share = percent(hits, total);
    Object.assign(bar.dataset, { hits, total, waiting: false });
    bar.querySelector(".value").textContent = `${share} %`;
    bar.querySelector(".bar").innerHTML = `<div class="fill" style="width:${share}%;background:${colour}"></div>
      <div class="range" style="left:${low / 10}%;width:${(high - low) / 10}%"></div>`;
    const interval = `95% interval ${(low / 10).toFixed(1)} to ${(high / 10).toFixed(1)} %`;
    bar.querySelector(".note").textContent = `${stored ? "stored: " : ""}${interval}, ${hits} of ${total} images`;
  }

  wait(bar) {
    bar.dataset.waiting = true;
    bar.querySelector(".note").textContent = this.data.sliders
      ? "not measured yet; the number is that of the last value"
      : "measuring this place; the number is that of the last one";
  }
}

const kept = new WeakMap();

/** Runs again at every change of the data or the theme; the rates are made once per place in the page. */
export default function (component) {
  const { parentElement } = component;
  let rates = kept.get(parentElement);
  if (!rates) kept.set(parentElement, (rates = new Rates(parentElement)));
  const run = ++rates.runs;
  rates.update(component);
  return () => {
    if (run !== rates.runs) return;
    kept.delete(parentElement);
    rates.destroy();
  };
}
