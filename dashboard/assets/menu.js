// Closes the menu of a narrow screen once a page was chosen in it: it would cover that page.
if (!window.triggerMenuCloses) {
  window.triggerMenuCloses = true;
  document.addEventListener("click", (event) => {
    if (window.innerWidth > 768 || !event.target.closest('[data-testid="stSidebarNavLink"]')) return;
    setTimeout(() => {
      const button = document.querySelector('[data-testid="stSidebarCollapseButton"] button');
      if (button?.getAttribute("aria-expanded") === "true") button.click();
    }, 100);
  });
}
