"use strict";
(() => {
  const SVG = "http://www.w3.org/2000/svg";
  const DAY = 86400000;
  const data = JSON.parse(document.getElementById("schedule").textContent);
  const chart = document.getElementById("gantt");
  const note = document.getElementById("gantt-note");
  const sections = [...document.querySelectorAll("main > details")];
  let all = false;

  const day = (text) => Date.parse(text + "T00:00:00Z") / DAY;
  const words = (number) => new Date(number * DAY).toLocaleDateString("en-GB", { day: "numeric", month: "short", year: "numeric", timeZone: "UTC" });

  function add(parent, name, attributes, text) {
    const element = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    if (text !== undefined) element.textContent = text;
    parent.append(element);
    return element;
  }

  function rows() {
    return data.phases.flatMap((phase, colour) => {
      const tasks = phase.tasks.map((task) => ({ ...task, colour, from: day(task.start), to: day(task.end) + 1 }));
      const whole = { name: phase.name, colour, from: tasks[0].from, to: tasks[tasks.length - 1].to, head: true };
      return all ? [whole, ...tasks] : [whole];
    });
  }

  function fit(text, pixels) {
    const most = Math.max(4, Math.floor(pixels / 6.6));
    return text.length > most ? text.slice(0, most - 1).trimEnd() + "…" : text;
  }

  function ticks(from, to, pixels) {
    const found = [];
    const first = new Date(from * DAY);
    const step = Math.max(1, Math.ceil(((to - from) / 30) * 76 / pixels));
    if (to - from < 90) {
      for (let at = from; at < to; at += 7 * Math.ceil(((to - from) / 7) * 60 / pixels)) found.push([at, new Date(at * DAY).toLocaleDateString("en-GB", { day: "numeric", month: "short", timeZone: "UTC" })]);
      return found;
    }
    let year = 0;
    for (let month = 1; ; month += step) {
      const at = Date.UTC(first.getUTCFullYear(), first.getUTCMonth() + month, 1);
      if (at / DAY >= to) return found;
      const date = new Date(at);
      const name = date.toLocaleDateString("en-GB", { month: "short", timeZone: "UTC" });
      found.push([at / DAY, date.getUTCFullYear() === year ? name : name + " " + date.getUTCFullYear()]);
      year = date.getUTCFullYear();
    }
  }

  function describe(row) {
    const days = row.to - row.from;
    const more = row.head ? "" : ` · ${row.owner}${row.after ? ` · after ${row.after}` : ""}`;
    return `${row.id ? row.id + " " : ""}${row.name}: ${words(row.from)} to ${words(row.to - 1)}, ${days} ${days === 1 ? "day" : "days"}${more}`;
  }

  function draw() {
    const width = Math.max(280, chart.parentElement.clientWidth);
    const left = Math.min(300, width * 0.36);
    const shown = rows();
    const height = 30 + shown.length * 26;
    const from = day(data.start);
    const to = day(data.end) + 1;
    const x = (at) => left + ((at - from) / (to - from)) * (width - left - 4);
    chart.replaceChildren();
    chart.setAttribute("viewBox", `0 0 ${width} ${height}`);
    chart.setAttribute("height", height);
    for (const [at, name] of ticks(from, to, width - left)) {
      add(chart, "line", { class: "rule", x1: x(at), x2: x(at), y1: 22, y2: height });
      add(chart, "text", { class: "tick", x: x(at) + 3, y: 14 }, name);
    }
    shown.forEach((row, number) => {
      const top = 28 + number * 26;
      const group = add(chart, "g", { class: "task", tabindex: 0, role: "img", "aria-label": describe(row) });
      add(group, "title", {}, row.name);
      const indent = row.head ? 0 : 12;
      add(group, "text", { class: "label", x: indent, y: top + 15, "font-weight": row.head ? 600 : 400 }, fit(row.name, left - indent - 8));
      add(group, "rect", {
        x: x(row.from), y: top + (row.head && all ? 7 : 4), height: row.head && all ? 8 : 15, rx: 3,
        width: Math.max(2, x(row.to) - x(row.from) - 1), fill: `var(--bar-${row.colour % 6})`,
      });
      for (const event of ["mouseenter", "focus", "click"]) group.addEventListener(event, () => { note.textContent = describe(row); });
    });
  }

  for (const button of document.querySelectorAll("button[data-rows]")) {
    button.addEventListener("click", () => {
      all = button.dataset.rows === "tasks";
      for (const other of document.querySelectorAll("button[data-rows]")) other.setAttribute("aria-pressed", other === button);
      draw();
    });
  }
  document.getElementById("open").addEventListener("click", () => sections.forEach((section) => { section.open = true; }));
  document.getElementById("close").addEventListener("click", () => sections.forEach((section) => { section.open = false; }));
  document.getElementById("theme").addEventListener("click", () => {
    const root = document.documentElement;
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
  });
  addEventListener("beforeprint", () => sections.forEach((section) => { section.open = true; }));
  for (const hidden of document.querySelectorAll("[data-needs-script]")) hidden.hidden = false;
  chart.closest("details").addEventListener("toggle", draw);
  addEventListener("resize", draw);
  draw();
})();
