"use strict";

// Numbers as readers write them: thousands set apart, four digits where there are more.
const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
function show(number) {
  if (number === null || number === undefined) return "–";
  if (Number.isInteger(number) && Math.abs(number) < 1e6) return whole.format(number);
  const size = Math.abs(number);
  const text = Number(number.toPrecision(4));
  return size !== 0 && (size < 1e-4 || size >= 1e6) ? text.toExponential() : String(text);
}

function span(seconds) {
  const units = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  const first = units.findIndex(([length]) => seconds >= length);
  if (first < 0) return `${Number(seconds.toFixed(1))} s`;
  const [length, unit] = units[first];
  const large = Math.floor(seconds / length);
  if (unit === "s") return `${large} s`;
  const [small, smaller] = units[first + 1];
  const rest = Math.floor((seconds - large * length) / small);
  return `${large} ${unit}${rest > 0 ? ` ${rest} ${smaller}` : ""}`;
}

// Makes an element with attributes; texts are texts, never markup.
function make(name, attributes = {}, ...children) {
  const isDrawn = ["svg", "line", "path", "circle", "text"].includes(name);
  const element = isDrawn ? document.createElementNS("http://www.w3.org/2000/svg", name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

// Ticks of an axis: values with their labels.
function linearTicks(low, high, count) {
  const rough = (high - low) / count, decade = 10 ** Math.floor(Math.log10(rough));
  const step = decade * [1, 2, 5, 10].find((factor) => factor * decade >= rough * 0.999);
  const decimals = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  const ticks = [];
  for (let at = Math.ceil(low / step - 1e-9); at <= high / step + 1e-9 && ticks.length < 50; at += 1) {
    const value = at * step || 0, largest = Math.max(Math.abs(low), Math.abs(high));
    const isPlain = largest < 1e6 && decimals < 6;
    ticks.push([value, isPlain ? value.toLocaleString("en", { minimumFractionDigits: decimals, maximumFractionDigits:
      decimals }) : show(value)]);
  }
  return ticks;
}

function logTicks(low, high) {
  const decades = Math.log10(high / low), digits = decades > 3 ? [1] : decades > 1 ? [1, 3] : [1, 2, 5];
  const every = Math.max(1, Math.ceil(decades / 6)), ticks = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power += every) {
    for (const digit of digits) {
      const value = digit * 10 ** power;
      if (value >= low * 0.999 && value <= high * 1.001) ticks.push([value, show(value)]);
    }
  }
  return ticks.length > 1 ? ticks : linearTicks(low, high, 4);
}

// Ticks at round times.
function timeTicks(low, high, count) {
  const lengths = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400];
  const rough = (high - low) / count, step = lengths.find((length) => length >= rough * 0.7);
  if (rough < 0.5 || step === undefined) {
    const unit = rough < 0.5 ? 1 : 86400;
    return linearTicks(low / unit, high / unit, count).map(([value]) => [value * unit, span(value * unit)]);
  }
  const ticks = [];
  for (let at = Math.ceil(low / step); at * step <= high; at += 1) ticks.push([at * step, span(at * step)]);
  return ticks;
}

// A curve with a read-out. `settings` has isLogarithmic, isByTime and smoothing; `onMove` gets the step under the
// pointer, or null where there is none, and all charts of the page show their value there.
class Chart {
  constructor(curve, settings, onMove) {
    Object.assign(this, { curve, settings, onMove, cursor: null });
    this.reading = make("span", { class: "reading" });
    this.live = make("span", { class: "unseen", "aria-live": "polite" });
    this.svg = make("svg", { tabindex: "0", role: "img", "aria-label": this.summary() });
    this.element = make("figure", { class: "card" },
      make("div", { class: "bar" }, make("h3", {}, curve.name), this.reading), this.svg, this.live);
    if (curve.strange.count > 0) {
      const { count, steps, words } = curve.strange;
      const rows = count === 1 ? "1 row is not finite" : `${whole.format(count)} rows are not finite`;
      this.element.append(make("p", { class: "note bad" },
        `▲ ${rows}; the first is ${words[0]} at step ${whole.format(steps[0])}`));
    }
    this.svg.addEventListener("pointermove", (event) => this.point(event));
    this.svg.addEventListener("pointerdown", (event) => this.point(event));
    this.svg.addEventListener("pointerleave", () => this.onMove(null));
    this.svg.addEventListener("blur", () => this.onMove(null));
    this.svg.addEventListener("keydown", (event) => this.key(event));
    new ResizeObserver(() => this.draw()).observe(this.svg);
    this.read(null);
  }

  summary() {
    const { name, count, last, low, high } = this.curve;
    return `${name}: ${whole.format(count)} values from ${show(low)} to ${show(high)}, the last ${show(last)}. ` +
      "Arrow keys read single values.";
  }

  // The points to draw in the units of the axes; null breaks the line.
  across(curve) { return this.settings.isByTime ? curve.seconds : curve.steps; }

  canShow(value) { return value !== null && (!this.settings.isLogarithmic || value > 0); }

  draw() {
    const { curve, settings } = this, box = this.svg.getBoundingClientRect();
    if (box.width < 20) return;
    const values = curve.values.filter((value) => this.canShow(value)), x = this.across(curve);
    let low = Math.min(...values), high = Math.max(...values);
    if (values.length === 0) [low, high] = settings.isLogarithmic ? [0.1, 1] : [0, 1];
    if (settings.isLogarithmic) {
      const margin = high > low * 1.001 ? (high / low) ** 0.05 : 2;
      [low, high] = [low / margin, high * margin];
    } else {
      const margin = high > low ? (high - low) * 0.05 : Math.abs(high) * 0.1 || 1;
      [low, high] = [low - margin, high + margin];
    }
    const ticks = settings.isLogarithmic ? logTicks(low, high) : linearTicks(low, high, 4);
    const left = 12 + 6.6 * Math.max(...ticks.map(([, label]) => label.length), 1);
    let first = Math.min(...x), last = Math.max(...x);
    if (first === last) [first, last] = [first - 1, last + 1];
    const frame = { left, right: box.width - 8, top: 6, bottom: box.height - 22 };
    const part = (value) => settings.isLogarithmic ? Math.log(value / low) / Math.log(high / low)
      : (value - low) / (high - low);
    this.toX = (value) => frame.left + (value - first) / (last - first) * (frame.right - frame.left);
    this.toY = (value) => frame.bottom - part(value) * (frame.bottom - frame.top);
    this.frame = frame;

    this.svg.replaceChildren();
    this.drawAxes(ticks, first, last);
    const isSmooth = settings.smoothing > 0;
    this.drawCurve(x, curve.values, isSmooth ? "curve faint" : "curve");
    if (isSmooth) {
      const [smoothX, smoothY] = this.smoothed(first, last);
      this.drawCurve(smoothX, smoothY, "curve");
    }
    for (const at of settings.isByTime ? curve.strange.seconds : curve.strange.steps) {
      const base = this.toX(at);
      this.svg.append(make("path", { class: "strange",
        d: `M${base - 4} ${frame.bottom}h8l-4 -8z` }));
    }
    this.cursorLine = make("line", { class: "cursor", y1: frame.top, y2: frame.bottom, visibility: "hidden" });
    this.dot = make("circle", { class: "dot", r: 3.5, visibility: "hidden" });
    this.svg.append(this.cursorLine, this.dot);
    this.read(this.cursor);
  }

  drawAxes(ticks, first, last) {
    const { frame } = this;
    for (const [value, label] of ticks) {
      const y = this.toY(value);
      this.svg.append(make("line", { class: "grid", x1: frame.left, x2: frame.right, y1: y, y2: y }),
        make("text", { x: frame.left - 6, y: y + 4, "text-anchor": "end" }, label));
    }
    const ticksAcross = this.settings.isByTime ? timeTicks : linearTicks;
    for (const [value, label] of ticksAcross(first, last, Math.max(2, Math.floor((frame.right - frame.left) / 90)))) {
      const x = this.toX(value);
      if (value < first || x > frame.right + 1) continue;
      const anchor = x > frame.right - 14 ? "end" : "middle";
      this.svg.append(make("line", { class: "axis", x1: x, x2: x, y1: frame.bottom, y2: frame.bottom + 4 }),
        make("text", { x, y: frame.bottom + 17, "text-anchor": anchor }, label));
    }
    this.svg.append(make("line", { class: "axis", x1: frame.left, x2: frame.right, y1: frame.bottom,
      y2: frame.bottom }));
  }

  drawCurve(x, values, kind) {
    let path = "", isOpen = false;
    const shown = [];
    for (let index = 0; index < values.length; index += 1) {
      const value = values[index];
      if (!this.canShow(value)) { isOpen = false; continue; }
      const point = `${this.toX(x[index]).toFixed(1)} ${this.toY(value).toFixed(1)}`;
      path += `${isOpen ? "L" : "M"}${point}`;
      isOpen = true;
      shown.push(index);
    }
    this.svg.append(make("path", { class: kind, d: path }));
    if (shown.length > 30) return;
    for (const index of shown) {
      this.svg.append(make("circle", { class: "dot", r: 2.2, cx: this.toX(x[index]), cy: this.toY(values[index]) }));
    }
  }

  // Means over a window of the axis: of all rows, by the means of its columns where the curve is thinned.
  smoothed(first, last) {
    const means = this.curve.means ?? this.curve, x = this.across(means);
    const half = (last - first) * this.settings.smoothing / 200, result = [];
    let from = 0, to = 0, sum = 0, weight = 0;
    const count = (index) => means.values[index] === null ? 0 : means.weights?.[index] ?? 1;
    for (let index = 0; index < x.length; index += 1) {
      for (; to < x.length && x[to] <= x[index] + half; to += 1) {
        sum += count(to) * (means.values[to] ?? 0);
        weight += count(to);
      }
      for (; x[from] < x[index] - half; from += 1) {
        sum -= count(from) * (means.values[from] ?? 0);
        weight -= count(from);
      }
      result.push(weight > 0 ? sum / weight : null);
    }
    return [x, result];
  }

  // Where the reader points.
  point(event) {
    if (!this.toX) return;
    const box = this.svg.getBoundingClientRect(), at = event.clientX - box.left, x = this.across(this.curve);
    let best = 0;
    for (let index = 1; index < x.length; index += 1) {
      if (Math.abs(this.toX(x[index]) - at) < Math.abs(this.toX(x[best]) - at)) best = index;
    }
    this.onMove(this.curve.steps[best]);
  }

  key(event) {
    const last = this.curve.steps.length - 1, at = this.cursor === null ? last : this.nearest(this.cursor);
    const next = { ArrowLeft: at - 1, ArrowRight: this.cursor === null ? last : at + 1, Home: 0, End: last,
      PageUp: at + Math.ceil(last / 10), PageDown: at - Math.ceil(last / 10) }[event.key];
    if (event.key === "Escape") this.onMove(null);
    if (next === undefined) return;
    event.preventDefault();
    this.onMove(this.curve.steps[Math.min(last, Math.max(0, next))]);
    this.live.textContent = this.reading.textContent;
  }

  nearest(step) {
    const { steps } = this.curve;
    let best = 0;
    for (let index = 1; index < steps.length; index += 1) {
      if (Math.abs(steps[index] - step) < Math.abs(steps[best] - step)) best = index;
    }
    return best;
  }

  // Shows the value at a step, or the last and the smallest.
  read(step) {
    this.cursor = step;
    const { curve } = this;
    if (step === null || curve.steps.length === 0) {
      this.reading.replaceChildren("last ", make("b", {}, show(curve.last)), ` · least ${show(curve.low)}`,
        curve.lowStep === null ? "" : ` at ${whole.format(curve.lowStep)}`);
    } else {
      const index = this.nearest(step), value = curve.values[index], at = curve.steps[index];
      const strange = curve.strange.words[curve.strange.steps.indexOf(at)] ?? "not finite";
      this.reading.replaceChildren(`step ${whole.format(at)} · ${span(curve.seconds[index])} · `,
        make("b", {}, value === null ? strange : show(value)));
    }
    if (!this.dot) return;
    const index = step === null ? -1 : this.nearest(step), value = curve.values[index] ?? null;
    const x = index < 0 ? 0 : this.toX(this.across(curve)[index]);
    this.cursorLine.setAttribute("x1", x);
    this.cursorLine.setAttribute("x2", x);
    this.cursorLine.setAttribute("visibility", index < 0 ? "hidden" : "visible");
    this.dot.setAttribute("visibility", index >= 0 && this.canShow(value) ? "visible" : "hidden");
    if (index < 0 || !this.canShow(value)) return;
    this.dot.setAttribute("cx", x);
    this.dot.setAttribute("cy", this.toY(value));
  }
}
