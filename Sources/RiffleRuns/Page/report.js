const data = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);

function showHeader() {
  byId("name").textContent = data.name;
  byId("state").textContent = data.state;
  byId("state").classList.add(data.state);
  if (data.message) {
    byId("message").textContent = data.message;
    byId("message").hidden = false;
  }
  const add = (term, ...parts) => byId("summary").append(make("div", {}, make("dt", {}, term), make("dd", {}, ...parts)));
  if (data.step !== null) {
    const text = data.steps === null ? whole.format(data.step)
      : `${whole.format(data.step)} of ${whole.format(data.steps)}`;
    const bar = data.steps > 0 ? [make("progress", { max: data.steps, value: Math.min(data.step, data.steps),
      "aria-label": "steps done" })] : [];
    add("Step", text, ...bar);
  }
  if (data.loss !== null) add("Loss", show(data.loss));
  add("Training time", span(data.seconds));
  if (data.step > 0 && data.seconds > 0) add("Per step", `${show(data.seconds / data.step * 1000)} ms`);
  if (data.time !== null) add("Last sign of life", `${span(Math.max(0, data.written - data.time))} before this page`);
  if (data.checkpoint) add("Checkpoint", data.checkpoint);
  byId("footer").textContent = `Written ${new Date(data.written * 1000).toLocaleString()} by riffle ${data.riffle} ` +
    `from ${data.folder}.`;
}

function showCurves() {
  if (data.curves.length === 0) return;
  byId("curves").hidden = false;
  const settings = { isLogarithmic: false, isByTime: false, smoothing: 0 };
  const charts = data.curves.map((curve) => new Chart(curve, settings, (step) => {
    for (const chart of charts) chart.read(step);
  }));
  byId("charts").append(...charts.map((chart) => chart.element));
  const drawAll = () => charts.forEach((chart) => chart.draw());
  byId("log").addEventListener("change", (event) => { settings.isLogarithmic = event.target.checked; drawAll(); });
  byId("by-time").addEventListener("change", (event) => { settings.isByTime = event.target.checked; drawAll(); });
  byId("smoothing").addEventListener("input", (event) => {
    settings.smoothing = Number(event.target.value);
    byId("smoothing-value").textContent = settings.smoothing === 0 ? "off" : `${settings.smoothing} %`;
    drawAll();
  });
  const thinned = data.curves.filter((curve) => curve.means);
  if (thinned.length === 0) return;
  byId("thinned").hidden = false;
  byId("thinned").textContent = `Curves of more than ${whole.format(data.most)} values are thinned for drawing: of all ` +
    `that fall into one of ${whole.format(data.columns)} columns, the smallest, the largest, the first and the last ` +
    "stay. Smoothing uses all of them. The whole log is in log.jsonl and metrics.csv.";
}

function pictureCard(picture) {
  const image = make("img", {}), slider = make("input", { type: "range", min: 0, max: picture.steps.length - 1, step: 1,
    "aria-label": `step of ${picture.name}` });
  const label = make("span", { class: "reading" });
  const back = make("button", { type: "button", "aria-label": "earlier picture" }, "‹");
  const forward = make("button", { type: "button", "aria-label": "later picture" }, "›");
  const set = (index) => {
    const step = whole.format(picture.steps[index]);
    slider.value = index;
    slider.setAttribute("aria-valuetext", `step ${step}`);
    image.src = picture.images[index];
    image.alt = `${picture.name} at step ${step}`;
    label.replaceChildren("step ", make("b", {}, step));
    back.disabled = index === 0;
    forward.disabled = index === picture.steps.length - 1;
  };
  // Small pictures are shown with pixels that can be seen.
  image.addEventListener("load", () => {
    const factor = Math.max(1, Math.floor(600 / Math.max(image.naturalWidth, image.naturalHeight)));
    image.style.width = `${factor * image.naturalWidth}px`;
  });
  slider.addEventListener("input", () => set(Number(slider.value)));
  back.addEventListener("click", () => set(Math.max(0, Number(slider.value) - 1)));
  forward.addEventListener("click", () => set(Math.min(picture.steps.length - 1, Number(slider.value) + 1)));
  set(picture.steps.length - 1);
  const card = make("figure", { class: "card" }, make("div", { class: "bar" }, make("h3", {}, picture.name), label),
    make("div", { class: "frame" }, image), make("div", { class: "steps" }, back, slider, forward));
  if (picture.steps.length === 1) card.lastChild.hidden = true;
  if (picture.total > picture.steps.length) {
    card.append(make("p", { class: "note" },
      `${picture.steps.length} of ${whole.format(picture.total)} pictures; the others are in the run's folder.`));
  }
  return card;
}

function showPictures() {
  if (data.pictures.length === 0) return;
  byId("samples").hidden = false;
  byId("pictures").append(...data.pictures.map(pictureCard));
}

function showTable(id, rows) {
  if (rows.length === 0) return;
  byId(id).hidden = false;
  byId(id).querySelector("tbody").append(...rows.map(([key, value]) =>
    make("tr", {}, make("th", { scope: "row" }, key), make("td", {}, value))));
}

showHeader();
showCurves();
showPictures();
showTable("config", data.config);
showTable("environment", data.environment);
if (data.script) {
  byId("script").hidden = false;
  byId("script").querySelector("pre").textContent = data.script;
}
