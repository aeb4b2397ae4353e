/* Back, one mark per step, forward. What was asked for is shown at once; Python's answer then confirms it.
 *
 * A message names the step to be at, and every step whose answer was asked for since Python last said which are shown:
 * messages that follow each other faster than the script runs are merged on the way, and only the last one arrives.
 */

const FORWARD = ["ArrowRight", "PageDown"];
const BACK = ["ArrowLeft", "PageUp"];
// Whatever uses these keys itself, in Streamlit and in the canvas components.
const USES_KEYS =
  'input, textarea, select, canvas, [contenteditable="true"], [role="slider"], [role="radio"], [role="option"], ' +
  '[role="listbox"], [role="combobox"], [role="application"], [role="tab"], [role="menuitem"]';

class Bar {
  wire = new Wire();
  runs = 0;
  data = null;
  step = 0;
  asked = new Set(); // steps whose answer was asked for, and which Python has not said to show yet

  constructor(parent) {
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
    if (this.data?.taught !== data.taught) {
      this.asked.clear(); // another lesson or model: its answers are not these
      this.wire.waiting = null;
    }
    this.data = data;
    for (const step of data.answered) this.asked.delete(step);
    this.wire.send = (message) => setTriggerValue("go", message);
    this.wire.acknowledge(data.ack);
    if (this.wire.idle) this.step = data.step;
    this.draw();
  }

  destroy() {
    clearTimeout(this.wire.timer);
    window.removeEventListener("keydown", this.onKey);
    this.root.remove();
  }

  isAnswered(step) {
    return this.asked.has(step) || this.data.answered.includes(step);
  }

  draw() {
    const { step } = this;
    const { titles } = this.data;
    const answered = this.isAnswered(step);
    if (this.marks.children.length !== titles.length) {
      this.marks.replaceChildren(
        ...titles.map((_, index) => {
          const item = document.createElement("li");
          const mark = document.createElement("button");
          mark.type = "button";
          mark.addEventListener("click", () => this.go(index));
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
  go(step) {
    this.step = step;
    this.draw();
    this.wire.post({ step, answered: [...this.asked] });
  }

  goForward() {
    if (!this.isAnswered(this.step)) {
      this.asked.add(this.step);
      this.go(this.step);
    } else if (this.step < this.data.titles.length - 1) this.go(this.step + 1);
  }

  goBack() {
    if (this.step > 0) this.go(this.step - 1);
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
