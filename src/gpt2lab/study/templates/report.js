"use strict";
for (const chart of document.querySelectorAll(".chart")) {
  const name = chart.dataset.name, picture = chart.querySelector("svg"), said = chart.querySelector("[aria-live]");
  const series = JSON.parse(chart.querySelector("script").textContent), hidden = new Set();
  const box = picture.viewBox.baseVal, figure = chart.closest("figure");
  const tip = document.createElement("div"), cursor = document.createElement("div");
  tip.className = "tip"; cursor.className = "cursor"; tip.hidden = cursor.hidden = true;
  chart.append(tip, cursor);
  const points = () => series.filter((one) => !hidden.has(one.group))
    .flatMap((one) => one.points.map(([x, y, label]) => ({ x, y, label: one.name + " · " + label })));
  let chosen = null;
  const show = (point, aloud) => {
    chosen = point;
    tip.hidden = cursor.hidden = !point;
    if (!point) return;
    const scale = picture.clientWidth / box.width, left = point.x * scale, top = point.y * scale;
    tip.textContent = point.label;
    cursor.style.left = tip.style.left = left + "px";
    cursor.style.top = tip.style.top = top + "px";
    const half = tip.offsetWidth / 2;
    tip.style.left = Math.max(half, Math.min(picture.clientWidth - half, left)) + "px";
    if (aloud) said.textContent = point.label;
  };
  chart.addEventListener("pointermove", (event) => {
    const frame = picture.getBoundingClientRect(), scale = frame.width / box.width;
    const x = (event.clientX - frame.left) / scale, y = (event.clientY - frame.top) / scale;
    let nearest = null, distance = 40 ** 2;
    for (const point of points()) {
      const apart = (point.x - x) ** 2 + (point.y - y) ** 2;
      if (apart < distance) { nearest = point; distance = apart; }
    }
    show(nearest, false);
  });
  chart.addEventListener("pointerleave", () => show(null, false));
  chart.addEventListener("blur", () => show(null, false));
  chart.addEventListener("keydown", (event) => {
    const all = points(), step = { ArrowRight: 1, ArrowLeft: -1, Home: -Infinity, End: Infinity }[event.key];
    if (event.key === "Escape") show(null, false);
    if (step === undefined || !all.length) return;
    event.preventDefault();
    const at = chosen ? all.findIndex((one) => one.label === chosen.label && one.x === chosen.x) : -1;
    show(all[Math.max(0, Math.min(all.length - 1, at + step))], true);
  });
  for (const button of figure.querySelectorAll(".legend button")) {
    button.addEventListener("click", () => {
      const group = Number(button.dataset.group), off = !hidden.has(group);
      if (off) hidden.add(group); else hidden.delete(group);
      button.setAttribute("aria-pressed", String(!off));
      for (const part of picture.querySelectorAll('[id^="' + name + "--series-" + group + '-"]')) part.style.display = off ? "none" : "";
      show(null, false);
    });
  }
}
const shading = document.getElementById("surprise");
if (shading) shading.addEventListener("click", () => {
  shading.setAttribute("aria-pressed", String(document.body.classList.toggle("surprise")));
});
const judging = document.getElementById("judge");
if (judging) {
  const rows = JSON.parse(document.getElementById("rating").textContent);
  judging.addEventListener("click", () => {
    const on = document.body.classList.toggle("judging");
    judging.setAttribute("aria-pressed", String(on));
    judging.textContent = on ? "Show whose text is whose" : "Judge them blindly";
  });
  document.getElementById("export").addEventListener("click", () => {
    const ratings = [];
    rows.forEach((row, number) => row.texts.forEach((text, place) => {
      const given = document.querySelector('input[name="rate-' + number + "-" + place + '"]:checked');
      if (given) ratings.push({ prompt: row.prompt, sample: row.sample, variant: text.variant, run: text.run, place: place, rating: Number(given.value) });
    }));
    const made = { study: document.title, scale: "1 poor to 5 good", shown: rows.reduce((sum, row) => sum + row.texts.length, 0), ratings: ratings };
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([JSON.stringify(made, null, 2)], { type: "application/json" }));
    link.download = "ratings.json";
    link.click();
    URL.revokeObjectURL(link.href);
    document.getElementById("exported").textContent = ratings.length + " ratings written to ratings.json";
  });
}
