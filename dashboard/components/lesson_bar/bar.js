/* Back, one mark per step, forward. What was asked for is shown at once; Python's answer then confirms it. */

const FORWARD = ["ArrowRight", "PageDown"];
const BACK = ["ArrowLeft", "PageUp"];
// Whatever uses these keys itself, in Streamlit and in the canvas components.
const USES_KEYS =
  'input, textarea, select, canvas, [contenteditable="true"], [role="slider"], [role="radio"], [role="option"], ' +
  '[role="listbox"], [role="combobox"], [role="application"], [role="tab"], [role="menuitem"]';

class Bar {
  constructor(parent) {
    this.runs = 0;
    this.data = null;
    this.root = document.createElement("nav");
    this.root.className = "bar";
    this.root.setAttribute("aria-label", "Steps of the lesson");
    this.root.innerHTML = `
      <button type="button" class="back" title="Left arrow key">\u25c0<span> Back</span></button>
      <ol></ol>
      <button type="button" class="forward" title="Right arrow key"><span></span> \u25b6</button>`;
    parent.appendChild(this.root);
    this.marks = this.root.querySelector("ol");
    this.back = this.root.querySelector(".back");
    this.forward = this.root.querySelector(".forward");
    this.back.addEventListener("click", () => this.goBack());
    this.forward.addEventListener("click", () => this.goForward());
    this.onKey = (event) => this.keyDown(event);
    window.addEventListener("keydown", this.onKey);
  }

  update({ data, setTriggerValue }) {
    this.send = (message) => setTriggerValue("go", message);
    this.data = data;
    this.draw();
  }

  destroy() {
    window.removeEventListener("keydown", this.onKey);
    this.root.remove();
  }

  draw() {
    const { titles, step, answered } = this.data;
    if (this.marks.children.length !== titles.length) {
      this.marks.replaceChildren(
        ...titles.map((_, index) => {
          const item = document.createElement("li");
          const mark = document.createElement("button");
          mark.type = "button";
          mark.addEventListener("click", () => this.go(index, false));
          item.appendChild(mark);
          return item;
        }),
      );
    }
    titles.forEach((title, index) => {
      const mark = this.marks.children[index].firstChild;
      mark.textContent = index + 1;
      mark.title = title;
      mark.setAttribute("aria-label", `Step ${index + 1} of ${titles.length}: ${title}`);
      mark.className = index < step ? "done" : index === step ? "now" : "";
      if (index === step) mark.setAttribute("aria-current", "step");
      else mark.removeAttribute("aria-current");
    });
    this.back.disabled = step === 0;
    this.forward.disabled = answered && step === titles.length - 1;
    this.forward.querySelector("span").textContent = answered ? "Next" : "Answer";
    Object.assign(this.root.dataset, { step: step + 1, answered });
  }

  /** The message names where to be, not how far to go: sent twice, it leads to the same place. */
  go(step, answered) {
    this.data = { ...this.data, step, answered };
    this.draw();
    this.send({ step, answered });
  }

  goForward() {
    const { titles, step, answered } = this.data;
    if (!answered) this.go(step, true);
    else if (step < titles.length - 1) this.go(step + 1, false);
  }

  goBack() {
    if (this.data.step > 0) this.go(this.data.step - 1, false);
  }

  keyDown(event) {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return;
    const [forward, back] = [FORWARD.includes(event.key), BACK.includes(event.key)];
    if (!forward && !back) return;
    if (event.composedPath().some((node) => node instanceof Element && node.matches(USES_KEYS))) return;
    event.preventDefault();
    if (forward) this.goForward();
    else this.goBack();
  }
}

const bars = new WeakMap();

/** Runs again at every change of the data or the theme; the bar is made once per place in the page. */
export default function (component) {
  const { parentElement } = component;
  let bar = bars.get(parentElement);
  if (!bar) bars.set(parentElement, (bar = new Bar(parentElement)));
  const run = ++bar.runs;
  bar.update(component);
  // Streamlit also cleans up after a run that a newer one has overtaken; only the newest may take the bar away.
  return () => {
    if (run !== bar.runs) return;
    bars.delete(parentElement);
    bar.destroy();
  };
}
