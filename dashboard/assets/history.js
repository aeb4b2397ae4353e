/* The browser's history: one entry for each change that the user makes, which Back and Forward show again.
 *
 * Python writes the selections into the address, and Streamlit makes an entry of every new address. Here those that the
 * user did not ask for replace the entry instead: the address that a page completes when it opens, and all but the first
 * of a drag. On the way back the address is marked, so that Python tells it from one that is only late. Until Python
 * answers to the mark, every address that it writes is of a page that the user has left, and is left aside.
 */
if (!window.triggerHistory) {
  window.triggerHistory = true;
  const PAUSE = 1000; // ms; keys that follow each other faster are one change
  const PATIENCE = 10_000; // ms; an answer that has not come by then was lost
  const push = history.pushState.bind(history);
  const replace = history.replaceState.bind(history);
  let asked = false; // whether the user has done something since the last entry
  let touched = false; // whether the user has done anything since the page was loaded
  let key = -Infinity; // when the last key was pressed
  let shown = location.pathname + location.search;
  let leaving = false; // whether the way back leads out of the application
  let mark = 0; // of the last address that the user went back or forward to
  let restoring = null; // that mark, until Python has answered to it

  // The address without a page leads on to one. It is passed on the way back, or the way back would end there.
  const opened = new URL(performance.getEntriesByType("navigation")[0]?.name ?? location.href).pathname;
  const passed = opened === location.pathname ? null : opened;
  // In a new tab there is nothing before it: all entries are of this document, of which there may be several already.
  const own = window.navigation?.entries().filter((entry) => entry.sameDocument).length ?? 2;
  const alone = history.length <= own;

  const act = () => {
    asked = touched = true;
  };
  addEventListener("pointerdown", act, true);
  addEventListener(
    "keydown",
    (event) => {
      if (!event.repeat && event.timeStamp - key > PAUSE) act();
      key = event.timeStamp;
    },
    true,
  );

  const parts = (url) => url.pathname + " " + [...url.searchParams].map(String).sort().join(" ");

  /* Whether an address that Streamlit writes is of what the user is looking at. */
  const counts = (to) => {
    if (leaving) return false;
    const answered = to.searchParams.get("answered");
    if (answered !== null) {
      if (answered === restoring) restoring = null;
      return false; // the address itself follows
    }
    const given = to.pathname !== location.pathname || Date.now() - mark > PATIENCE; // a page of the menu, or no answer
    if (asked && given) restoring = null;
    return restoring === null;
  };

  history.pushState = (state, unused, address) => {
    const to = new URL(address, location.href);
    if (!counts(to)) return;
    if (parts(to) === parts(new URL(location.href))) {
      replace(state, unused, address); // the same selections, in another order
    } else {
      const another = to.pathname !== location.pathname;
      (another ? touched : asked) ? push(state, unused, address) : replace(state, unused, address);
      asked = false;
    }
    shown = to.pathname + to.search;
  };
  history.replaceState = (state, unused, address) => {
    const to = new URL(address ?? location.href, location.href);
    if (!counts(to)) return;
    replace(state, unused, address);
    shown = to.pathname + to.search;
  };

  addEventListener("popstate", () => {
    asked = false;
    leaving = location.pathname === passed;
    if (leaving) return history.go(alone ? 1 : -1);
    if (shown === location.pathname + location.search) return; // another place of the same page, or marked below
    mark = Math.max(Date.now(), mark + 1);
    restoring = String(mark);
    const to = location.href;
    const marked = new URL(to);
    marked.searchParams.set("restored", restoring);
    replace(history.state, "", marked);
    shown = marked.pathname + marked.search;
    // Streamlit has been told before this, without the mark: once more. It keeps what it was told; the address need not.
    dispatchEvent(new PopStateEvent("popstate", { state: history.state }));
    replace(history.state, "", to);
    shown = location.pathname + location.search;
  });
}
