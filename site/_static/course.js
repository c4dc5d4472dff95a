// What scrolls by itself can be reached by keyboard; called again when formulas have been set or a fold was opened.
function reachable() {
  const wide = "pre, div.math, .pst-scrollable-table-container, .hero, .cell_output, mjx-container";
  for (const part of document.querySelectorAll(`.bd-article :is(${wide})`)) {
    if (part.scrollWidth > part.clientWidth + 1) part.tabIndex = 0;
    else if (part.tabIndex === 0) part.removeAttribute("tabindex");
  }
}

addEventListener("load", reachable);
addEventListener("resize", reachable);
document.addEventListener("toggle", reachable, true);
window.MathJax?.startup?.promise?.then(reachable);
