"use strict";
// What the script adds to a page that is complete without it: values under the pointer and by keys, zoom, the
// dialog of a gallery, sorting. Other scripts of the page use galaxy.enhance(element) for markup that they
// insert, and galaxy.replace(id, html) to exchange a chart.
const galaxy = (() => {
  const root = document.documentElement;
  const tip = document.getElementById("tip"), live = document.getElementById("live");
  const states = new WeakMap(); // of each figure with points: the part of x that is shown, the current point

  // The tooltip and the live region.

  function showTip(text, x, y) {
    tip.textContent = text;
    tip.hidden = false;
    const box = tip.getBoundingClientRect();
    const left = x + 14 + box.width > innerWidth ? x - box.width - 14 : x + 14;
    tip.style.left = Math.max(4, left) + "px";
    tip.style.top = Math.max(4, Math.min(innerHeight - box.height - 4, y - box.height / 2)) + "px";
  }
  function hideTip() { tip.hidden = true; }
  function announce(text) { live.textContent = text; }

  function svg(name, attributes, parent) {
    const e = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [k, v] of Object.entries(attributes)) e.setAttribute(k, v);
    if (parent) parent.append(e);
    return e;
  }

  // Axes. ticks and texts give the same as the functions of package chart.

  const isLog = (axis) => axis.log;
  const forward = (axis, v) => isLog(axis) ? Math.log10(v) : v;
  const back = (axis, v) => isLog(axis) ? Math.pow(10, v) : v;
  const drawable = (axis, v) => v !== null && (!isLog(axis) || v >= 1e-100);

  function niceStep(rough) {
    const power = Math.pow(10, Math.floor(Math.log10(rough)));
    const f = rough / power;
    return power * (f < 1.4 ? 1 : f < 3.2 ? 2 : f < 7 ? 5 : 10);
  }
  function logTicks(lo, hi, count) {
    let first = Math.ceil(Math.log10(lo) - 1e-9);
    const last = Math.floor(Math.log10(hi) + 1e-9), t = [];
    const every = Math.max(1, Math.ceil((last - first + 1) / (count + 2)));
    let factors = [1];
    if (last - first < 2) { factors = [1, 2, 5]; first--; }
    for (let p = first; p <= last; p += every) for (const f of factors) {
      const v = f * Math.pow(10, p);
      if (v >= lo * (1 - 1e-9) && v <= hi * (1 + 1e-9)) t.push(v);
    }
    return t;
  }
  function ticks(axis, lo, hi, count) {
    if (isLog(axis)) {
      const t = logTicks(lo, hi, count);
      if (t.length > 1) return t;
    }
    let step = niceStep((hi - lo) / Math.max(1, count));
    if (axis.whole) step = Math.max(1, step);
    const t = [];
    for (let i = Math.ceil(lo / step - 1e-9); i * step <= hi + 1e-9 * step && t.length <= 2 * count + 2; i++) t.push(i * step);
    return t;
  }
  function grouped(s) {
    const [whole, rest] = s.split(".");
    if (whole.replace("-", "").length < 5) return s;
    return whole.replace(/\B(?=(\d{3})+$)/g, ",") + (rest ? "." + rest : "");
  }
  function decimal(v, decimals) {
    let s = v.toFixed(Math.min(decimals, 20));
    if (s.includes(".")) s = s.replace(/\.?0+$/, "");
    return grouped(s === "-0" ? "0" : s);
  }
  function short(v) { // as %.4g
    const [digits, exponent] = v.toPrecision(4).split("e");
    const m = digits.includes(".") ? digits.replace(/\.?0+$/, "") : digits;
    return exponent === undefined ? m : m + "e" + exponent[0] + exponent.slice(1).padStart(2, "0");
  }
  function text(axis, v) {
    if (v === null) return "–";
    if (axis.percent) return decimal(v * 100, 1) + " %";
    const size = Math.abs(v);
    if (Number.isInteger(v) && size < 1e9) return grouped(v.toFixed(0));
    if (size >= 1e6 || size < 1e-3) return short(v);
    return decimal(v, Math.max(0, 3 - Math.floor(Math.log10(size))));
  }
  function texts(axis, t) {
    return t.map((v) => {
      if (isLog(axis) && !axis.percent && (v >= 1e6 || v < 1e-3)) return short(v);
      if (isLog(axis) || t.length < 2) return text(axis, v);
      let step = t[1] - t[0], unit = "";
      if (axis.percent) { v *= 100; step *= 100; unit = " %"; }
      if (Math.max(Math.abs(t[0]), Math.abs(t[t.length - 1])) >= 1e7 || step < 1e-5) return short(Math.abs(v) < step / 2 ? 0 : v) + unit;
      return decimal(v, Math.max(0, -Math.floor(Math.log10(step) + 1e-9))) + unit;
    });
  }

  // Lines: drawing a part of x again.

  const place = (axis, view, from, to, v) => from + (forward(axis, v) - view[0]) / (view[1] - view[0]) * (to - from);
  const px = (s, v) => place(s.data.x, s.x, s.data.frame[0], s.data.frame[2], v);
  const py = (s, v) => place(s.data.y, s.y, s.data.frame[3], s.data.frame[1], v);
  const round = (v) => Math.round(v * 10) / 10;

  function visibleY(s) { // the part of y that the visible points take, with a margin
    let lo = Infinity, hi = -Infinity;
    for (const { x, y } of s.data.series) for (let i = 0; i < x.length; i++) {
      if (!drawable(s.data.x, x[i]) || !drawable(s.data.y, y[i])) continue;
      const at = forward(s.data.x, x[i]);
      if (at < s.x[0] || at > s.x[1]) continue;
      lo = Math.min(lo, forward(s.data.y, y[i]));
      hi = Math.max(hi, forward(s.data.y, y[i]));
    }
    if (!(hi > lo)) return s.y;
    return [lo - 0.05 * (hi - lo), hi + 0.05 * (hi - lo)];
  }

  function path(s, series) {
    let d = "", run = 0, last = "";
    for (let i = 0; i <= series.x.length; i++) {
      if (i === series.x.length || !drawable(s.data.x, series.x[i]) || !drawable(s.data.y, series.y[i])) {
        if (run === 1) d += "L" + last;
        run = 0;
        continue;
      }
      last = round(px(s, series.x[i])) + " " + round(py(s, series.y[i]));
      d += (run++ ? "L" : "M") + last;
    }
    return d;
  }

  function draw(s) {
    const [left, top, right, bottom] = s.data.frame, { figure } = s;
    figure.querySelectorAll(".series > g").forEach((g, i) => {
      g.querySelector(".curve").setAttribute("d", path(s, s.data.series[i]));
      // The points' intervals are not among the data: they show in the whole chart only.
      for (const w of g.querySelectorAll(".whisker")) w.style.display = s.zoomed ? "none" : "";
    });
    const marks = figure.querySelectorAll(".events > *");
    s.data.events.forEach((e, i) => {
      const at = round(px(s, e.x));
      marks[2 * i].setAttribute("d", `M${at} ${top}L${at} ${bottom}`);
      marks[2 * i + 1].setAttribute("x", at);
    });
    const gx = figure.querySelector(".axis-x"), gy = figure.querySelector(".axis-y");
    gx.replaceChildren();
    gy.replaceChildren();
    let tx = ticks(s.data.x, back(s.data.x, s.x[0]), back(s.data.x, s.x[1]), 5);
    for (let n = 4; n > 0 && texts(s.data.x, tx).join("").length * 8 + tx.length * 8 > right - left; n--) {
      tx = ticks(s.data.x, back(s.data.x, s.x[0]), back(s.data.x, s.x[1]), n);
    }
    texts(s.data.x, tx).forEach((t, i) => {
      const at = round(px(s, tx[i])), half = t.length * 4;
      svg("path", { d: `M${at} ${top}L${at} ${bottom}`, class: "gridline" }, gx);
      svg("text", { x: Math.min(at, 420 - half), y: bottom + 17, "text-anchor": "middle", class: "tick" }, gx).textContent = t;
    });
    const ty = ticks(s.data.y, back(s.data.y, s.y[0]), back(s.data.y, s.y[1]), 5);
    texts(s.data.y, ty).forEach((t, i) => {
      const at = round(py(s, ty[i]));
      svg("path", { d: `M${left} ${at}L${right} ${at}`, class: "gridline" }, gy);
      svg("text", { x: left - 6, y: at + 5, "text-anchor": "end", class: "tick" }, gy).textContent = t;
    });
    s.reset.disabled = !s.zoomed;
  }

  // zoom shows the part of x from a to b (on a logarithmic axis, of its logarithm).
  function zoom(s, a, b) {
    const span = s.whole.x[1] - s.whole.x[0];
    let size = Math.min(b - a, span);
    if (!(size > span * 1e-4)) return;
    a = Math.max(s.whole.x[0], Math.min(a, s.whole.x[1] - size));
    s.zoomed = size < span * 0.9999;
    s.x = s.zoomed ? [a, a + size] : s.whole.x;
    s.y = s.zoomed ? visibleY(s) : s.whole.y;
    draw(s);
    hideCursor(s);
  }
  function zoomBy(s, factor, center) {
    const c = center === undefined ? (s.x[0] + s.x[1]) / 2 : center;
    zoom(s, c - (c - s.x[0]) * factor, c + (s.x[1] - c) * factor);
    const axis = s.data.x;
    announce(`${axis.label} ${text(axis, back(axis, s.x[0]))} to ${text(axis, back(axis, s.x[1]))}`);
  }

  // Lines: values.

  function hideCursor(s) {
    s.cursor.replaceChildren();
    hideTip();
  }
  function visible(s, series, i) {
    if (i < 0 || i >= series.x.length || !drawable(s.data.x, series.x[i]) || !drawable(s.data.y, series.y[i])) return false;
    const at = forward(s.data.x, series.x[i]), slack = 1e-9 * (s.x[1] - s.x[0]);
    return at >= s.x[0] - slack && at <= s.x[1] + slack;
  }
  function nearest(s, series, v) { // index of the visible point nearest to v in x, or -1
    let best = -1, distance = Infinity;
    for (let i = 0; i < series.x.length; i++) {
      if (!visible(s, series, i)) continue;
      const d = Math.abs(forward(s.data.x, series.x[i]) - v);
      if (d < distance) { best = i; distance = d; }
    }
    return best;
  }
  function pointText(s, k, i) {
    const series = s.data.series[k];
    return `${series.name}: ${text(s.data.y, series.y[i])}`;
  }
  // show marks a point and tells the values of all series there.
  function show(s, k, i, aloud) {
    const { data, cursor } = s, series = data.series[k];
    s.series = k;
    s.point = i;
    const x = series.x[i], at = round(px(s, x));
    cursor.replaceChildren();
    svg("path", { d: `M${at} ${data.frame[1]}L${at} ${data.frame[3]}`, class: "cursor" }, cursor);
    svg("circle", { cx: at, cy: round(py(s, series.y[i])), r: 5, class: "cursor-dot" }, cursor);
    const rows = [`${data.x.label} ${text(data.x, x)}`, pointText(s, k, i)];
    data.series.forEach((other, j) => {
      const n = j === k ? -1 : nearest(s, other, forward(data.x, x));
      if (n < 0) return;
      const distance = Math.abs(px(s, other.x[n]) - at);
      if (other.x[n] === x) rows.push(pointText(s, j, n));
      else if (distance < 8) rows.push(`${pointText(s, j, n)} (at ${text(data.x, other.x[n])})`);
    });
    for (const e of data.events) if (Math.abs(px(s, e.x) - at) < 5) rows.push(e.text);
    const box = s.svg.getBoundingClientRect(), unit = box.width / s.svg.viewBox.baseVal.width;
    showTip(rows.join("\n"), box.left + at * unit, box.top + py(s, series.y[i]) * unit);
    if (aloud) announce(rows.slice(0, 2).join(", "));
  }
  function step(s, by) {
    const series = s.data.series[s.series];
    let i = s.point === undefined ? (by > 0 ? -1 : series.x.length) : s.point;
    do i += by; while (i >= 0 && i < series.x.length && !visible(s, series, i));
    if (visible(s, series, i)) show(s, s.series, i, true);
  }
  function changeSeries(s, by) {
    const from = s.data.series[s.series], at = from.x[s.point === undefined ? 0 : s.point];
    for (let n = 1; n <= s.data.series.length; n++) {
      const k = (s.series + by * n + n * s.data.series.length) % s.data.series.length;
      const i = nearest(s, s.data.series[k], at === null || at === undefined ? s.x[0] : forward(s.data.x, at));
      if (i >= 0) return show(s, k, i, true);
    }
  }

  function lineKeys(s, event) {
    const act = {
      ArrowRight: () => step(s, 1), ArrowLeft: () => step(s, -1), ArrowUp: () => changeSeries(s, -1), ArrowDown: () => changeSeries(s, 1),
      Home: () => { s.point = undefined; step(s, 1); }, End: () => { s.point = undefined; step(s, -1); },
      "+": () => zoomBy(s, 0.5, center(s)), "=": () => zoomBy(s, 0.5, center(s)), "-": () => zoomBy(s, 2, center(s)),
      0: () => zoomBy(s, 1e9), Escape: () => { hideCursor(s); zoomBy(s, 1e9); },
    }[event.key];
    if (!act || event.ctrlKey || event.altKey || event.metaKey) return;
    if (event.key === "Escape" && !s.zoomed && tip.hidden) return; // it closes a dialog around the chart
    event.preventDefault();
    act();
  }
  const center = (s) => s.point === undefined ? undefined : forward(s.data.x, s.data.series[s.series].x[s.point]);

  function enhanceLines(figure, old) {
    const source = figure.querySelector("script.points");
    if (!source) return;
    const drawing = figure.querySelector(":scope > svg"), data = JSON.parse(source.textContent);
    const whole = { x: [data.x.lo, data.x.hi].map((v) => forward(data.x, v)), y: [data.y.lo, data.y.hi].map((v) => forward(data.y, v)) };
    const s = { figure, svg: drawing, data, whole, x: whole.x, y: whole.y, zoomed: false, series: 0, point: undefined };
    states.set(figure, s);
    s.cursor = svg("g", { class: "cursors" }, drawing);
    const value = (event) => { // the value of x under the pointer
      const box = drawing.getBoundingClientRect(), unit = box.width / drawing.viewBox.baseVal.width;
      const f = ((event.clientX - box.left) / unit - data.frame[0]) / (data.frame[2] - data.frame[0]);
      return s.x[0] + Math.max(0, Math.min(1, f)) * (s.x[1] - s.x[0]);
    };
    const point = (event) => {
      const box = drawing.getBoundingClientRect(), unit = box.width / drawing.viewBox.baseVal.width;
      const v = value(event), y = (event.clientY - box.top) / unit;
      let best = null;
      data.series.forEach((series, k) => {
        const i = nearest(s, series, v);
        if (i < 0) return;
        const d = Math.hypot(px(s, series.x[i]) - place(data.x, s.x, data.frame[0], data.frame[2], back(data.x, v)), 0.3 * (py(s, series.y[i]) - y));
        if (!best || d < best.d) best = { k, i, d };
      });
      if (best) show(s, best.k, best.i, false);
    };
    let from = null, selection = null;
    const release = () => { if (selection) selection.remove(); from = selection = null; };
    drawing.addEventListener("pointerdown", (e) => { if (e.button === 0 && e.pointerType !== "touch") from = value(e); });
    drawing.addEventListener("pointermove", (e) => {
      if (from === null) return point(e);
      const to = value(e), a = place(data.x, s.x, data.frame[0], data.frame[2], back(data.x, Math.min(from, to)));
      const b = place(data.x, s.x, data.frame[0], data.frame[2], back(data.x, Math.max(from, to)));
      if (!selection) { selection = svg("rect", { class: "selection", y: data.frame[1], height: data.frame[3] - data.frame[1] }, drawing); drawing.setPointerCapture(e.pointerId); }
      selection.setAttribute("x", a);
      selection.setAttribute("width", b - a);
      hideCursor(s);
    });
    drawing.addEventListener("pointerup", (e) => {
      const to = value(e), start = from, selected = selection;
      release();
      if (selected && Math.abs(to - start) > 0.01 * (s.x[1] - s.x[0])) zoom(s, Math.min(start, to), Math.max(start, to));
      else point(e);
    });
    drawing.addEventListener("pointercancel", release);
    drawing.addEventListener("pointerleave", () => { if (from === null && document.activeElement !== drawing) hideCursor(s); });
    drawing.addEventListener("dblclick", () => zoomBy(s, 1e9));
    // The wheel scrolls the page, as everywhere, unless the chart has the focus.
    drawing.addEventListener("wheel", (e) => {
      if (document.activeElement !== drawing) return;
      e.preventDefault();
      zoomBy(s, e.deltaY < 0 ? 0.8 : 1.25, value(e));
    }, { passive: false });
    drawing.addEventListener("keydown", (e) => lineKeys(s, e));
    drawing.addEventListener("blur", () => hideCursor(s));
    addZoomButtons(s);
    if (old && old.zoomed) {
      zoom(s, ...old.x);
    }
  }

  function addZoomButtons(s) {
    const bar = document.createElement("div"), title = s.figure.querySelector(".title").textContent;
    bar.className = "zoom";
    const button = (label, name, act) => {
      const b = document.createElement("button");
      b.type = "button";
      b.textContent = label;
      b.setAttribute("aria-label", `${name}: ${title}`);
      b.addEventListener("click", act);
      bar.append(b);
      return b;
    };
    button("+", "Zoom in", () => zoomBy(s, 0.5, center(s)));
    button("−", "Zoom out", () => zoomBy(s, 2, center(s)));
    s.reset = button("Reset", "Reset the zoom", () => zoomBy(s, 1e9));
    s.reset.disabled = true;
    s.figure.querySelector(":scope > svg").after(bar);
  }

  // Charts of other kinds: each element with data-tip has its value in it.

  function enhanceTips(drawing) {
    const items = [...drawing.querySelectorAll("[data-tip]")];
    let current = -1;
    const choose = (i) => {
      if (items[current]) items[current].classList.remove("current");
      current = i;
      if (!items[i]) return hideTip();
      items[i].classList.add("current");
      items[i].scrollIntoView({ block: "nearest", inline: "nearest", behavior: "instant" });
      const box = items[i].getBoundingClientRect();
      showTip(items[i].dataset.tip, box.right, box.top + box.height / 2);
      announce(items[i].dataset.tip);
    };
    drawing.addEventListener("pointermove", (e) => {
      const item = e.target.closest("[data-tip]");
      if (item) showTip(item.dataset.tip, e.clientX, e.clientY); else hideTip();
    });
    drawing.addEventListener("pointerleave", hideTip);
    drawing.addEventListener("blur", () => choose(-1));
    // The rows of a matrix are as long as it has classes.
    const row = drawing.closest(".matrix") ? Math.round(Math.sqrt(items.length)) : 1;
    drawing.addEventListener("keydown", (e) => {
      const to = { ArrowRight: current + 1, ArrowLeft: current - 1, ArrowDown: current + row, ArrowUp: current - row, Home: 0, End: items.length - 1, Escape: -1 }[e.key];
      if (to === undefined || e.key === "Escape" && current < 0 || e.ctrlKey || e.altKey || e.metaKey || !items.length) return;
      e.preventDefault();
      if (e.key === "Escape") return choose(-1);
      choose(current < 0 && e.key.startsWith("Arrow") ? 0 : Math.max(0, Math.min(items.length - 1, to)));
    });
  }

  function enhanceFigure(figure, old) {
    const drawing = figure.querySelector(":scope > svg, :scope > .scroll > svg");
    if (!drawing) return;
    // The title element would also show as the browser's own tooltip.
    drawing.setAttribute("aria-label", [...drawing.querySelectorAll("title, desc")].map((e) => e.textContent).join(". "));
    drawing.removeAttribute("aria-labelledby");
    for (const title of drawing.querySelectorAll("title")) title.remove();
    drawing.setAttribute("tabindex", "0");
    enhanceTips(drawing);
    enhanceLines(figure, old);
  }

  // Tables.

  function enhanceTable(table) {
    const heads = table.querySelectorAll("thead th");
    if (table.tBodies[0].rows.length < 2) return;
    heads.forEach((th, column) => {
      if (!th.textContent.trim()) return;
      const button = document.createElement("button");
      button.type = "button";
      button.append(...th.childNodes);
      th.append(button);
      button.addEventListener("click", () => {
        const up = th.getAttribute("aria-sort") !== "ascending";
        heads.forEach((h) => h.removeAttribute("aria-sort"));
        th.setAttribute("aria-sort", up ? "ascending" : "descending");
        const key = (row) => (row.cells[column] ? row.cells[column].textContent : "").trim();
        const number = (t) => parseFloat(t.replace(/,/g, ""));
        const rows = [...table.tBodies[0].rows];
        rows.sort((a, b) => {
          const s = key(a), t = key(b), x = number(s), y = number(t);
          // Cells without a number stay last, whatever the direction.
          if (th.classList.contains("number") && (isNaN(x) || isNaN(y))) return isNaN(x) - isNaN(y);
          return (up ? 1 : -1) * (isNaN(x) || isNaN(y) ? s.localeCompare(t) : x - y);
        });
        table.tBodies[0].append(...rows);
        announce(`sorted by ${button.textContent}, ${up ? "ascending" : "descending"}`);
      });
    });
  }

  // Galleries: the details of one item move into a dialog and back.

  let dialog, shown = null;
  function makeDialog() {
    dialog = document.createElement("dialog");
    dialog.innerHTML = '<div class="bar"><h2 id="dialog-title"></h2><button type="button" data-by="-1">Previous</button><button type="button" data-by="1">Next</button><button type="button" data-close>Close</button></div><div class="place"></div>';
    dialog.setAttribute("aria-labelledby", "dialog-title");
    document.body.append(dialog);
    dialog.addEventListener("click", (e) => {
      const by = e.target.dataset.by;
      if (by) turn(Number(by));
      else if (e.target === dialog || "close" in e.target.dataset) dialog.close();
    });
    dialog.addEventListener("keydown", (e) => {
      if (e.target.closest("svg, input, select, textarea")) return;
      const by = { ArrowLeft: -1, ArrowRight: 1 }[e.key];
      if (by) { e.preventDefault(); turn(by); }
    });
    dialog.addEventListener("close", () => {
      const item = shown;
      hideTip();
      putBack();
      document.body.append(tip, live);
      if (item) item.querySelector(".picture-button").focus();
    });
  }
  function putBack() {
    if (shown) shown.querySelector("details").append(dialog.querySelector(".detail"));
    shown = null;
  }
  function open(item) {
    if (!dialog) makeDialog();
    putBack();
    shown = item;
    dialog.querySelector("h2").textContent = item.dataset.title;
    dialog.querySelector(".place").append(item.querySelector(".detail"));
    const items = siblings(item);
    dialog.querySelector("[data-by='-1']").disabled = items[0] === item;
    dialog.querySelector("[data-by='1']").disabled = items[items.length - 1] === item;
    hideTip();
    dialog.append(tip, live); // what is outside of a modal dialog is neither seen nor read
    if (!dialog.open) dialog.showModal();
    dialog.scrollTop = 0;
  }
  const siblings = (item) => [...item.parentElement.children].filter((li) => li.querySelector("details"));
  function turn(by) {
    const items = siblings(shown), next = items[items.indexOf(shown) + by];
    if (!next) return;
    open(next);
    announce(next.dataset.title);
    const focused = dialog.querySelector(":focus");
    if (!focused || focused.disabled) dialog.querySelector("[data-close]").focus();
  }
  function enhanceItem(item) {
    const picture = item.querySelector(".picture"), details = item.querySelector("details");
    if (!details || !picture) return;
    const button = document.createElement("button");
    button.type = "button";
    button.className = "picture-button";
    button.setAttribute("aria-haspopup", "dialog");
    picture.replaceWith(button);
    button.append(picture);
    button.addEventListener("click", () => open(item));
    details.querySelector("summary").addEventListener("click", (e) => { e.preventDefault(); open(item); });
  }
  // openTarget opens the dialog of the item that a link such as #galaxy-7 goes to, and tells whether there is one.
  function openTarget(hash) {
    const item = hash.length > 1 && document.getElementById(hash.slice(1));
    if (!item || !item.matches(".gallery > li") || !(item === shown || item.querySelector("details .detail"))) return false;
    if (item !== shown) open(item);
    return true;
  }

  // What other scripts use.

  // enhance adds all of this to what is in an element.
  function enhance(element) {
    element.querySelectorAll(".chart").forEach((f) => enhanceFigure(f));
    element.querySelectorAll("table.sortable").forEach(enhanceTable);
    element.querySelectorAll(".gallery > li").forEach(enhanceItem);
  }
  // replace exchanges the chart with that ID for a newer one, as package chart writes it. Zoom, focus and open
  // tables stay.
  function replace(id, html) {
    const old = document.getElementById(id), template = document.createElement("template");
    template.innerHTML = html;
    const fresh = template.content.firstElementChild;
    if (!old || !fresh) return;
    const state = states.get(old), focused = old.contains(document.activeElement) ? document.activeElement : null;
    const opened = old.querySelector("details.numbers").open;
    if (focused) hideTip();
    old.replaceWith(fresh);
    enhanceFigure(fresh, state);
    fresh.querySelectorAll("table.sortable").forEach(enhanceTable);
    fresh.querySelector("details.numbers").open = opened;
    if (!focused) return;
    const label = focused.getAttribute("aria-label");
    const again = focused.matches("svg") ? fresh.querySelector("svg[tabindex]") : [...fresh.querySelectorAll("button, summary")].find((e) => e.getAttribute("aria-label") === label);
    if (again) again.focus({ preventScroll: true });
  }

  root.classList.add("has-script");
  enhance(document);
  openTarget(location.hash);
  addEventListener("hashchange", () => openTarget(location.hash));
  addEventListener("click", (e) => { // also for the link that was used last, which changes no hash
    const link = e.target.closest('a[href^="#"]');
    if (link && openTarget(link.getAttribute("href"))) e.preventDefault();
  });
  addEventListener("keydown", (e) => { if (e.key === "Escape") hideTip(); });
  return { enhance, replace };
})();
