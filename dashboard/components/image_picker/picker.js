/* Thumbnails of ten test images, of which one is picked. */

class Picker {
  runs = 0;
  wire = new Wire();
  data = null;
  picked = null; // what was picked here, until Python says the same

  constructor(parent) {
    this.root = document.createElement("div");
    this.root.className = "ts-picker";
    this.root.innerHTML = `
      <div class="head"><span class="label"></span>
        <button type="button" class="back" aria-label="Previous ten images">&#8249;</button>
        <span class="which"></span>
        <button type="button" class="on" aria-label="Next ten images">&#8250;</button></div>
      <div class="images" role="radiogroup"></div>`;
    parent.appendChild(this.root);
    this.images = this.root.querySelector(".images");
    this.root.querySelector(".back").addEventListener("click", () => this.turn(-1));
    this.root.querySelector(".on").addEventListener("click", () => this.turn(1));
    this.images.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 }[event.key];
      if (!step) return;
      event.preventDefault();
      this.pick(this.selected + step);
    });
  }

  get selected() {
    return this.picked ?? this.data.selected;
  }

  update({ data, setTriggerValue }) {
    this.data = data;
    this.wire.send = (message) => setTriggerValue("image", message);
    this.wire.acknowledge(data.ack);
    if (this.wire.idle) this.picked = null;
    this.show();
  }

  destroy() {
    clearTimeout(this.wire.timer);
    this.root.remove();
  }

  turn(by) {
    const { start, step, last } = this.data;
    this.pick(Math.min(Math.max(start + by * step, 0), last - 1));
  }

  pick(index) {
    if (index < 0 || index >= this.data.last || index === this.selected) return;
    this.picked = index;
    this.wire.post({ index });
    this.show();
  }

  show() {
    const { label, sprite, names, start, step, last } = this.data;
    const key = JSON.stringify([sprite, names, start]);
    if (key !== this.key) {
      this.key = key;
      const url = sprite.startsWith("data:") ? sprite : new URL(`.${sprite}`, document.baseURI).href;
      const focused = this.images.contains(this.root.getRootNode().activeElement);
      this.images.replaceChildren(
        ...names.map((name, index) => {
          const button = Object.assign(document.createElement("button"), { type: "button", title: name });
          button.setAttribute("role", "radio");
          button.setAttribute("aria-label", `Image ${start + index + 1}: ${name}`);
          button.style.backgroundImage = `url("${url}")`;
          button.style.backgroundSize = `${100 * names.length}% 100%`;
          button.style.backgroundPosition = `${names.length > 1 ? (100 * index) / (names.length - 1) : 0}% 0`;
          button.addEventListener("click", () => this.pick(start + index));
          return button;
        }),
      );
      this.refocus = focused;
    }
    [...this.images.children].forEach((button, index) => {
      const chosen = start + index === this.selected;
      button.setAttribute("aria-checked", chosen);
      button.tabIndex = chosen ? 0 : -1;
      if (chosen && (this.refocus || this.images.contains(this.root.getRootNode().activeElement))) button.focus();
    });
    this.refocus = false;
    this.images.setAttribute("aria-label", label);
    this.root.querySelector(".label").textContent = label;
    const name = names[this.selected - start];
    this.root.querySelector(".which").textContent =
      `${this.selected + 1} of ${last}` + (name === undefined ? "" : `, true class: ${name}`);
    this.root.querySelector(".back").disabled = start === 0;
    this.root.querySelector(".on").disabled = start + step >= last;
  }
}

const pickers = new WeakMap();

/** Runs again at every change of the data or the theme; the picker is made once per place in the page. */
export default function (component) {
  const { parentElement } = component;
  let picker = pickers.get(parentElement);
  if (!picker) pickers.set(parentElement, (picker = new Picker(parentElement)));
  const run = ++picker.runs;
  picker.update(component);
  return () => {
    if (run !== picker.runs) return;
    pickers.delete(parentElement);
    picker.destroy();
  };
}
