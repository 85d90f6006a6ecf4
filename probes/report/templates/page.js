"use strict";
// One crosshair for all panels of a run: the pointer or the arrow keys choose a step, and the
// legends show the values at that step.

// Formats a value in the same way as `number` and `percentage` in probes/charts/scale.py.
const format = (text, percent) => {
  if (text === "x") return "not finite";
  const value = Number(text) * (percent ? 100 : 1), size = Math.abs(value);
  const unit = percent ? " %" : "";
  if (value === 0 || (size >= 1e-3 && size < 1e6)) {
    return value.toLocaleString("en-US", { maximumSignificantDigits: percent ? 3 : 4 }) + unit;
  }
  return value.toExponential(3).replace(/\.?0*e\+?/, "e") + unit;
};

// The name of a legend entry. If its group has a heading, the name begins with the heading.
const nameOf = (item) => {
  let group = item;
  while (group && group.className !== "group") group = group.previousElementSibling;
  return (group ? group.textContent + "." : "") + item.querySelector("span").textContent;
};

for (const run of document.querySelectorAll(".run")) {
  const live = run.querySelector(".live");
  const charts = [...run.querySelectorAll("svg.chart")].map((svg) => {
    const [left, right, shift] = svg.dataset.x.split(" ").map(Number);
    const [first, last] = svg.dataset.n.split(" ").map(Number);
    const view = svg.closest(".view"), at = view.querySelector(".at");
    const title = svg.querySelector("title");
    // A <title> would appear as a tooltip next to the crosshair, so aria-label replaces it.
    svg.setAttribute("aria-label", title.textContent);
    svg.removeAttribute("aria-labelledby");
    title.remove();
    const series = [...svg.querySelectorAll("[data-v]")].map((group) => {
      const item = view.querySelector(".k" + /\bs(\d+)\b/.exec(group.getAttribute("class"))[1]);
      const out = item.querySelector("b");
      return { group, out, name: nameOf(item), end: out.textContent };
    });
    const cross = svg.querySelector(".cross"), percent = "p" in svg.dataset;
    const end = at.textContent;
    return { svg, left, right, shift, first, last, at, end, series, cross, percent };
  });
  // The value of a line at the measured step that is nearest to `step`.
  const nearest = (line, step) => {
    if (!line.steps) { // data-s holds the differences between the steps
      let sum = 0;
      line.steps = line.group.dataset.s.split(" ").map((delta) => (sum += Number(delta)));
      line.values = line.group.dataset.v.split(" ");
    }
    let low = 0, high = line.steps.length - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (line.steps[middle] < step) low = middle + 1;
      else high = middle;
    }
    if (low > 0 && step - line.steps[low - 1] < line.steps[low] - step) low -= 1;
    return line.values[low];
  };
  let chosen = null;
  const show = (step) => {
    chosen = step;
    for (const chart of charts) {
      const share = (step - chart.first) / (chart.last - chart.first);
      const place = chart.left + share * (chart.right - chart.left);
      chart.cross.setAttribute("transform", `translate(${place.toFixed(1)})`);
      chart.cross.classList.add("on");
      chart.at.textContent = "step " + step.toLocaleString("en-US");
      for (const line of chart.series) {
        line.out.textContent = format(nearest(line, step), chart.percent);
      }
    }
  };
  const hide = () => {
    chosen = null;
    for (const chart of charts) {
      chart.cross.classList.remove("on");
      chart.at.textContent = chart.end;
      for (const line of chart.series) line.out.textContent = line.end;
    }
  };
  for (const chart of charts) {
    const length = chart.last - chart.first;
    const bound = (step) => Math.max(chart.first, Math.min(chart.last, Math.round(step)));
    chart.svg.addEventListener("pointermove", (event) => {
      const box = chart.svg.getBoundingClientRect();
      const x = ((event.clientX - box.left) / box.width) * chart.svg.viewBox.baseVal.width;
      const share = (x - chart.shift - chart.left) / (chart.right - chart.left);
      show(bound(chart.first + share * length));
    });
    chart.svg.addEventListener("pointerleave", hide);
    chart.svg.addEventListener("blur", hide);
    chart.svg.addEventListener("keydown", (event) => {
      const stride = Math.max(1, Math.round(length / 200)) * (event.shiftKey ? 10 : 1);
      const from = chosen === null ? chart.last : chosen;
      const to = {
        ArrowLeft: from - stride, ArrowRight: from + stride, Home: chart.first, End: chart.last,
      }[event.key];
      if (event.key === "Escape") hide();
      if (to === undefined) return;
      event.preventDefault();
      show(bound(to));
      const values = chart.series.map((line) => line.name + " " + line.out.textContent);
      live.textContent = chart.at.textContent + ": " + values.join(", ");
    });
  }
}
