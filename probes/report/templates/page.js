"use strict";
// One crosshair for all the panels of a run: pointer or arrow keys choose a step, the legends show the values there.
const write = (text, percent) => {
  if (text === "x") return "not finite";
  const value = Number(text) * (percent ? 100 : 1), size = Math.abs(value), unit = percent ? " %" : "";
  if (value === 0 || (size >= 1e-3 && size < 1e6)) {
    return value.toLocaleString("en-US", { maximumSignificantDigits: percent ? 3 : 4 }) + unit;
  }
  return value.toExponential(3).replace(/\.?0*e\+?/, "e") + unit;
};
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
    svg.setAttribute("aria-label", title.textContent); // the browser would show a <title> under the pointer
    svg.removeAttribute("aria-labelledby");
    title.remove();
    const series = [...svg.querySelectorAll("[data-v]")].map((group) => {
      const item = view.querySelector(".k" + /\bs(\d+)\b/.exec(group.getAttribute("class"))[1]);
      const out = item.querySelector("b");
      return { group, out, name: nameOf(item), end: out.textContent };
    });
    return { svg, left, right, shift, first, last, view, at, end: at.textContent, series, cross: svg.querySelector(".cross") };
  });
  const nearest = (one, step) => {
    if (!one.steps) {
      let sum = 0;
      one.steps = one.group.dataset.s.split(" ").map((delta) => (sum += Number(delta)));
      one.values = one.group.dataset.v.split(" ");
    }
    let low = 0, high = one.steps.length - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (one.steps[middle] < step) low = middle + 1;
      else high = middle;
    }
    if (low > 0 && step - one.steps[low - 1] < one.steps[low] - step) low -= 1;
    return one.values[low];
  };
  let chosen = null;
  const show = (step) => {
    chosen = step;
    for (const chart of charts) {
      const place = chart.left + ((step - chart.first) / (chart.last - chart.first)) * (chart.right - chart.left);
      chart.cross.setAttribute("transform", `translate(${place.toFixed(1)})`);
      chart.cross.classList.add("on");
      chart.at.textContent = "step " + step.toLocaleString("en-US");
      for (const one of chart.series) one.out.textContent = write(nearest(one, step), "p" in chart.svg.dataset);
    }
  };
  const hide = () => {
    chosen = null;
    for (const chart of charts) {
      chart.cross.classList.remove("on");
      chart.at.textContent = chart.end;
      for (const one of chart.series) one.out.textContent = one.end;
    }
  };
  for (const chart of charts) {
    const bound = (step) => Math.max(chart.first, Math.min(chart.last, Math.round(step)));
    chart.svg.addEventListener("pointermove", (event) => {
      const box = chart.svg.getBoundingClientRect();
      const place = ((event.clientX - box.left) / box.width) * chart.svg.viewBox.baseVal.width - chart.shift;
      show(bound(chart.first + ((place - chart.left) / (chart.right - chart.left)) * (chart.last - chart.first)));
    });
    chart.svg.addEventListener("pointerleave", hide);
    chart.svg.addEventListener("blur", hide);
    chart.svg.addEventListener("keydown", (event) => {
      const stride = Math.max(1, Math.round((chart.last - chart.first) / 200)) * (event.shiftKey ? 10 : 1);
      const from = chosen === null ? chart.last : chosen;
      const to = { ArrowLeft: from - stride, ArrowRight: from + stride, Home: chart.first, End: chart.last }[event.key];
      if (event.key === "Escape") hide();
      if (to === undefined) return;
      event.preventDefault();
      show(bound(to));
      live.textContent = chart.at.textContent + ": " + chart.series.map((one) => one.name + " " + one.out.textContent).join(", ");
    });
  }
}
