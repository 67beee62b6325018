"use strict";
const DATA = JSON.parse(document.getElementById("data").textContent);
const $ = id => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";
const PAD = 18, HEAD = 24;

/* ---- the tree of groups ---- */
const ROOT = {id: "", children: [], leaves: []};
const GROUPS = new Map([["", ROOT]]), NODES = new Map();
DATA.nodes.forEach(node => {
  let parent = ROOT;
  node.path.forEach((name, depth) => {
    const id = node.path.slice(0, depth + 1).join("/");
    if (!GROUPS.has(id)) {
      const group = {id, name: DATA.titles[name] || name, parent, children: [], leaves: [], group: true};
      GROUPS.set(id, group);
      parent.children.push(group);
    }
    parent = GROUPS.get(id);
    parent.leaves.push(node);
  });
  node.parent = parent;
  node.chain = node.path.map((_, depth) => node.path.slice(0, depth + 1).join("/")).concat([node.id]);
  parent.children.push(node);
  NODES.set(node.id, node);
});
const EDGES = DATA.nodes.flatMap(node => node.in.map(from => [NODES.get(from), node]));
const open = new Set(DATA.open.filter(id => GROUPS.has(id)));
let picked = null, found = new Set();

/* ---- words ---- */
const count = n => n == null ? "?" : n >= 1e6 ? (n / 1e6).toFixed(3) + " M" : n.toLocaleString("en");
const macs = n => n == null ? "?" : n >= 1e9 ? (n / 1e9).toFixed(2) + " G" : n >= 1e6 ? (n / 1e6).toFixed(1) + " M"
  : n ? n.toLocaleString("en") : "";
const sum = (list, key) => list.reduce((total, item) => total + (item[key] || 0), 0);
const shape = s => s ? s.join("\u2009\u00d7\u2009") || "scalar" : "?";
const esc = text => String(text).replace(/[&<>"]/g, c => ({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;"}[c]));

function words(item) {
  if (!item.group) return [item.name, item.text, shape(item.shapes[0])];
  const blocks = item.children.filter(child => child.group).length;
  const inside = blocks > 1 ? `${blocks} ${item.id.includes("/") ? "blocks" : "groups"}`
    : `${item.leaves.length} operator${item.leaves.length > 1 ? "s" : ""}`;
  const params = sum(item.leaves, "params"), work = sum(item.leaves, "macs");
  const last = item.leaves[item.leaves.length - 1];
  return [item.name, [inside, params ? count(params) + " params" : "", work ? macs(work) : ""].filter(Boolean)
    .join(" \u00b7 "), shape(last.shapes[0])];
}

const ruler = document.createElement("canvas").getContext("2d");
function width(text, font) {
  ruler.font = font + ' "Inter", "Segoe UI", "Helvetica Neue", "DejaVu Sans", Arial, sans-serif';
  return ruler.measureText(text).width;
}

/* ---- layout: every open group is laid out by itself and is one box for what is around it ---- */

/* What stands for a node in the drawing: itself, or the outermost closed group around it. */
const shown = node => node.chain.find(id => !open.has(id));

function place(group) {
  const depth = group === ROOT ? 0 : group.id.split("/").length;
  const items = group.children.map(child => {
    if (child.group && open.has(child.id)) {
      const inner = place(child), title = width(heading(child), "600 11px") * 1.12 + 30;
      const w = Math.max(inner.w + 2 * PAD, title), left = (w - inner.w) / 2;
      return {id: child.id, child, inner, left, w, h: inner.h + PAD + HEAD};
    }
    const [name, text, size] = words(child);
    const wide = Math.max(width(name, "650 12px") + (child.group ? 24 : 0), width(text, "11px"), width(size, "11px"));
    return {id: child.id, child, w: Math.max(70, Math.ceil(wide) + 34), h: text ? 56 : 41};
  });
  const byId = new Map(items.map(item => [item.id, item]));
  /* lines cross a group's border at ports, one for each node that they come from */
  const port = id => {
    if (!byId.has(id)) {
      byId.set(id, {id, port: true, w: 2, h: 0});
      items.push(byId.get(id));
    }
    return id;
  };
  const edges = new Map();
  EDGES.forEach(([source, target]) => {
    const inside = node => group === ROOT || node.chain[depth - 1] === group.id;
    const a = inside(source), b = inside(target);
    if (!a && !b) return;
    const origin = shown(source);
    const from = a ? source.chain[depth] : port("in " + origin), to = b ? target.chain[depth] : port("out " + origin);
    if (from === to) return;
    const [start, end] = [byId.get(from), byId.get(to)];
    const leave = start.inner ? start.left + start.inner.ports.get("out " + origin) : start.w / 2;
    const enter = end.inner ? end.left + end.inner.ports.get("in " + origin) : end.w / 2;
    edges.set([from, to, Math.round(leave), Math.round(enter)].join("|"), {from, to, outx: leave, inx: enter});
  });
  const links = [...edges.values()], drawn = layered(items, links);
  const ports = new Map(items.filter(item => item.port).map(item => [item.id, item.x + 1]));
  return {group, items, w: drawn.w, h: drawn.h, lines: drawn.lines, links, ports};
}

/* ---- drawing ---- */
function make(tag, attributes, parent) {
  const element = document.createElementNS(SVG, tag);
  Object.entries(attributes).forEach(([key, value]) => element.setAttribute(key, value));
  if (parent) parent.appendChild(element);
  return element;
}

let boxes = new Map(), extent = {w: 0, h: 0};
function draw() {
  const world = $("world");
  world.textContent = "";
  boxes = new Map();
  const plan = place(ROOT);
  extent = plan;
  const layers = ["back", "lines", "front"].map(() => make("g", {}, world));
  const defs = make("defs", {}, world);
  const arrow = make("marker", {id: "arrow", viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 8, markerHeight: 8,
                                markerUnits: "userSpaceOnUse",
                                orient: "auto"}, defs);
  make("path", {d: "M0,0.8 L8,4 L0,7.2 z"}, arrow);
  paint(plan, 0, 0, layers);
  mark();
}

const heading = group => "\u2212  " + words(group).slice(0, 2).join("  \u00b7  ");

function paint(plan, x, y, layers) {
  const [back, lines, front] = layers;
  plan.items.filter(item => !item.port).forEach(item => {
    const left = x + item.x, top = y + item.y;
    if (!item.inner) return paintBox(item, left, top, front);
    const box = make("g", {class: "open"}, back);
    make("rect", {class: "body", x: left, y: top, width: item.w, height: item.h, rx: 10}, box);
    const head = make("g", {class: "head"}, front);
    make("rect", {x: left, y: top, width: item.w, height: HEAD, fill: "transparent"}, head);
    make("text", {x: left + 12, y: top + 16}, head).textContent = heading(item.child);
    head.addEventListener("click", () => { if (!moved) fold(item.child, left, top); });
    boxes.set(item.id, {box, x: left, y: top, w: item.w, h: item.h});
    paint(item.inner, left + item.left, top + HEAD, layers);
  });
  plan.lines.forEach((points, i) => {
    const {from, to} = plan.links[i], ends = points.map(([px, py]) => [x + px, y + py]);
    const outwards = to.startsWith("out "), last = ends[ends.length - 1];
    if (from.startsWith("in ")) ends.unshift([ends[0][0], ends[0][1] - HEAD]);
    if (outwards) ends.push([last[0], last[1] + PAD]);
    const path = make("path", {class: "edge", d: curve(ends)}, lines);
    path.dataset.from = from.replace(/^in /, "");
    path.dataset.to = to;
    if (!outwards && !open.has(to)) path.setAttribute("marker-end", "url(#arrow)");
  });
}

function curve(points) {
  let text = `M${points[0]}`;
  for (let i = 1; i < points.length; i++) {
    const [ax, ay] = points[i - 1], [bx, by] = points[i];
    const middle = (ay + by) / 2;
    text += Math.abs(ax - bx) < 0.5 ? `L${bx},${by}` : `C${ax},${middle} ${bx},${middle} ${bx},${by}`;
  }
  return text;
}

function paintBox(item, x, y, world) {
  const child = item.child, [name, text, size] = words(child);
  const deform = child.group ? child.leaves.some(leaf => leaf.deformable) : child.deformable;
  const kind = ["box", child.input ? "input" : "", deform ? "deform" : ""].join(" ");
  const box = make("g", {class: kind}, world);
  if (child.group) [6, 3].forEach(d => make("rect", {class: "stack", x: x + d, y: y + d, width: item.w, height: item.h,
                                                     rx: 8}, box));
  make("rect", {class: "body", x, y, width: item.w, height: item.h, rx: 8}, box);
  const parts = child.group ? new Set(child.leaves.filter(leaf => leaf.params).map(leaf => leaf.part))
    : new Set([child.part]);
  if (!child.input) [...parts].forEach((part, i) => make("rect", {
    x: x + 7, y: y + 9 + i * (item.h - 18) / parts.size, width: 4, height: (item.h - 18) / parts.size - 1, rx: 2,
    style: `fill: var(--${part})`}, box));
  const line = (cls, dy, words_) => { make("text", {class: cls, x: x + 18, y: y + dy}, box).textContent = words_; };
  line("name", 18, name);
  if (text) line("what", 33, text);
  line("size", text ? 47 : 33, size);
  if (child.group) make("text", {class: "sign", x: x + item.w - 19, y: y + 19}, box).textContent = "+";
  box.addEventListener("click", () => {
    if (moved) return;
    if (child.group) fold(child, x, y); else pick(child);
  });
  boxes.set(item.id, {box, x, y, w: item.w, h: item.h});
}

/* Open or close a group; its upper left corner stays where it is on the screen. */
function fold(group, x, y) {
  const [sx, sy] = [x * view.k + view.x, y * view.k + view.y];
  if (open.has(group.id)) open.delete(group.id); else open.add(group.id);
  draw();
  const box = boxes.get(group.id);
  view.x = sx - box.x * view.k;
  view.y = sy - box.y * view.k;
  move();
}

/* ---- moving about ---- */
const view = {x: 0, y: 0, k: 1};
const graph = $("graph");
function move() { $("world").setAttribute("transform", `translate(${view.x},${view.y}) scale(${view.k})`); }
function fit() {
  const area = graph.getBoundingClientRect(), margin = 24;
  const whole = Math.min((area.width - 2 * margin) / extent.w, (area.height - 2 * margin) / extent.h);
  view.k = Math.max(Math.min(whole, 1.1), 0.04);
  view.x = (area.width - extent.w * view.k) / 2;
  view.y = Math.max(margin, (area.height - extent.h * view.k) / 2);
  move();
}
/* At first: as wide as the page, from the top, letters large enough to read. */
function begin() {
  fit();
  const area = graph.getBoundingClientRect();
  if (view.k < 0.72) {
    view.k = Math.min(Math.max((area.width - 48) / extent.w, 0.72), 1);
    const first = boxes.get(DATA.nodes[0].id), wide = extent.w * view.k > area.width;
    const centre = wide && first ? first.x + first.w / 2 : extent.w / 2;
    view.x = area.width / 2 - centre * view.k;
    view.y = 16;
    move();
  }
}
function zoom(factor, cx, cy) {
  const k = Math.min(Math.max(view.k * factor, 0.04), 4);
  view.x = cx - (cx - view.x) * k / view.k;
  view.y = cy - (cy - view.y) * k / view.k;
  view.k = k;
  move();
}
graph.addEventListener("wheel", event => {
  event.preventDefault();
  const area = graph.getBoundingClientRect();
  if (event.ctrlKey || event.metaKey) {
    zoom(Math.exp(-event.deltaY / 200), event.clientX - area.left, event.clientY - area.top);
  } else {
    view.x -= event.deltaX;
    view.y -= event.deltaY;
    move();
  }
}, {passive: false});
let grip = null, moved = false;
graph.addEventListener("pointerdown", event => {
  grip = [event.clientX, event.clientY, view.x, view.y];
  moved = false;
});
window.addEventListener("pointermove", event => {
  if (!grip) return;
  const dx = event.clientX - grip[0], dy = event.clientY - grip[1];
  if (Math.abs(dx) + Math.abs(dy) > 4) { moved = true; graph.classList.add("drag"); }
  if (moved) { view.x = grip[2] + dx; view.y = grip[3] + dy; move(); }
});
window.addEventListener("pointerup", () => { grip = null; graph.classList.remove("drag"); });
const middle = () => { const area = graph.getBoundingClientRect(); return [area.width / 2, area.height / 2]; };
$("in").onclick = () => zoom(1.25, ...middle());
$("out").onclick = () => zoom(0.8, ...middle());
$("fit").onclick = fit;
$("expand").onclick = () => { GROUPS.forEach((group, id) => id && open.add(id)); draw(); begin(); };
$("collapse").onclick = () => { open.clear(); draw(); begin(); };

/* ---- one node ---- */
function pick(node) {
  picked = node;
  mark();
  detail();
}
function reveal(node) {
  node.chain.slice(0, -1).forEach(id => open.add(id));
  draw();
  pick(node);
  const box = boxes.get(node.id), [cx, cy] = middle();
  view.k = Math.max(view.k, 0.85);
  view.x = cx - (box.x + box.w / 2) * view.k;
  view.y = cy - (box.y + box.h / 2) * view.k;
  move();
}
function mark() {
  boxes.forEach(({box}, id) => {
    box.classList.toggle("picked", picked !== null && picked.id === id);
    const group = GROUPS.get(id), inside = group && !open.has(id) ? group.leaves : [];
    box.classList.toggle("found", found.has(id) || inside.some(leaf => found.has(leaf.id)));
  });
  document.querySelectorAll(".edge").forEach(edge => edge.classList.toggle(
    "lit", picked !== null && (edge.dataset.from === picked.id || edge.dataset.to === picked.id)));
  document.querySelectorAll("#sampling article").forEach(card => card.classList.toggle(
    "picked", picked !== null && card.id === "sampling-" + picked.name));
  document.querySelectorAll("#table tr[data-id]").forEach(row => row.classList.toggle(
    "picked", picked !== null && row.dataset.id === picked.id));
}
function detail() {
  const node = picked, row = (name, value) => value ? `<dt>${name}</dt><dd>${value}</dd>` : "";
  const link = other => `<a data-go="${esc(other.id)}">${esc(other.name)}</a> <small>${shape(other.shapes[0])}</small>`;
  const after = EDGES.filter(([from]) => from === node).map(([, to]) => to);
  const before = [...new Set(node.in)].map(id => NODES.get(id));
  $("detail").innerHTML = `<h3>${esc(node.name)}</h3><p class="what">${esc(node.text || "input")}
    ${node.deformable ? '<span class="badge">deformable</span>' : ""}</p><dl>
    ${row("output", node.shapes.map(shape).join("<br>"))}
    ${row("part", node.input ? "" : {offset: "offsets"}[node.part] || node.part)}
    ${row("parameters", node.params ? node.params.toLocaleString("en") : "")}
    ${row("multiply-adds", node.macs ? node.macs.toLocaleString("en") : "")}
    ${row("sees", node.sees ? esc(node.sees) + (/\d$/.test(node.sees) ? " pixels" : "") : "")}
    ${row("stride", node.stride ? esc(node.stride) + " pixels" : "")}
    ${node.sampling ? row("samples", `<a data-sampling="${esc(node.id)}">equation and picture</a>`) : ""}
    ${node.sampling ? offsetRows(node, row, link) : ""}
    ${row("from", before.map(link).join("<br>"))}${row("to", [...new Set(after)].map(link).join("<br>"))}</dl>
    ${Object.keys(node.attrs).length ? "<h2>Attributes</h2><dl>" + Object.entries(node.attrs).map(([key, value]) =>
      row(esc(key), esc(value))).join("") + "</dl>" : ""}
    ${node.parameters.length ? "<h2>Tensors</h2>" + node.parameters.map(tensor).join("") : ""}`;
  follow($("detail"));
}
function offsetRows(node, row, link) {
  const {offsets, predictor} = node.sampling;
  const found = [...new Set([offsets, predictor])].filter(id => id != null && NODES.has(String(id)));
  return row("offsets", found.map(id => link(NODES.get(String(id)))).join(", by "))
    + (node.measured ? row("measured", `<a data-measured="${esc(node.id)}">where it looks on images</a>`) : "");
}
/* Give the links within an element their work. */
function follow(element) {
  element.querySelectorAll("[data-go]").forEach(a => { a.onclick = () => goto(NODES.get(a.dataset.go)); });
  element.querySelectorAll("[data-sampling]").forEach(a => {
    a.onclick = () => { picked = NODES.get(a.dataset.sampling); show("sampling"); };
  });
  element.querySelectorAll("[data-measured]").forEach(a => { a.href = NODES.get(a.dataset.measured).measured; });
}
function goto(node) {
  if ($("graph").style.display === "none") { picked = node; show("graph"); } else reveal(node);
}
function tensor(p) {
  const extra = [shape(p.shape), p.lr_mult ? `learning rate x ${esc(p.lr_mult)}` : "", p.owned ? "" : "shared"];
  const s = p.statistics, bad = s && (s.nan || s.infinite);
  const values = s && s.low != null ? `min ${s.low.toPrecision(4)} &middot; max ${s.high.toPrecision(4)} &middot; mean
    ${s.mean.toPrecision(3)} &middot; std ${s.std.toPrecision(3)}` : "";
  return `<div class="tensor">${esc(p.name)}<div>${extra.filter(Boolean).join(" &middot; ")}</div>
    ${values ? `<div>${values}</div>` : ""}${bad ? `<div class="warn">${s.nan} NaN, ${s.infinite} infinite</div>` : ""}
    </div>`;
}

/* ---- search ---- */
const texts = DATA.nodes.map(node => [node, [node.name, node.op, node.text, node.part,
  node.deformable ? "deformable" : "", ...Object.entries(node.attrs).map(pair => pair.join("=")),
  ...node.parameters.map(p => p.name)].join("\n").toLowerCase()]);
function search() {
  const terms = $("query").value.toLowerCase().split(/\s+/).filter(Boolean);
  const hits = terms.length ? texts.filter(([, text]) => terms.every(term => text.includes(term))).map(([node]) => node)
    : [];
  const first = terms.join(" ");
  hits.sort((a, b) => b.name.toLowerCase().startsWith(first) - a.name.toLowerCase().startsWith(first));
  found = new Set(hits.map(node => node.id));
  $("hits").innerHTML = hits.slice(0, 60).map(node =>
    `<li data-go="${esc(node.id)}">${esc(node.name)}<small>${esc(node.text || "input")}</small></li>`).join("")
    + (hits.length > 60 ? `<li class="more">and ${hits.length - 60} more</li>` : "")
    + (terms.length && !hits.length ? '<li class="more">nothing found</li>' : "");
  $("hits").querySelectorAll("[data-go]").forEach(li => { li.onclick = () => reveal(NODES.get(li.dataset.go)); });
  mark();
  if (!$("table").hidden) table();
}
$("query").addEventListener("input", search);
$("query").addEventListener("keydown", event => {
  if (event.key === "Enter" && found.size) reveal(NODES.get($("hits").querySelector("[data-go]").dataset.go));
  if (event.key === "Escape") { $("query").value = ""; search(); $("query").blur(); }
});
window.addEventListener("keydown", event => {
  if (event.target.tagName === "INPUT" || event.ctrlKey || event.metaKey || event.altKey) return;
  const act = {"/": () => $("query").focus(), e: $("expand").onclick, c: $("collapse").onclick, f: fit,
               "+": $("in").onclick, "-": $("out").onclick}[event.key];
  if (act) { event.preventDefault(); act(); }
});

/* ---- the table ---- */
const COLUMNS = [["Layer", n => n.name], ["Operator", n => n.text], ["Output", n => shape(n.shapes[0])],
  ["Parameters", n => n.params, n => n.params ? n.params.toLocaleString("en") : ""], ["Multiply-adds", n => n.macs || 0,
  n => macs(n.macs)], ["Sees", n => parseFloat(n.sees) || 0, n => n.sees], ["Stride", n => parseFloat(n.stride) || 0,
  n => n.stride]];
let sorting = null;
function table() {
  let rows = DATA.nodes.filter(node => !node.input && (!$("query").value.trim() || found.has(node.id)));
  if (sorting) {
    const value = COLUMNS[Math.abs(sorting) - 1][1];
    rows = rows.slice().sort((a, b) => (value(a) > value(b) ? 1 : value(a) < value(b) ? -1 : 0) * Math.sign(sorting));
  }
  $("table").innerHTML = "<table><thead><tr>" + COLUMNS.map(([name], i) => `<th class="${i > 2 ? "n" : ""}">${name}${
    Math.abs(sorting) === i + 1 ? (sorting > 0 ? " \u2191" : " \u2193") : ""}</th>`).join("") + "</tr></thead><tbody>"
    + rows.map(node => `<tr data-id="${esc(node.id)}">` + COLUMNS.map(([, value, show], i) => `<td class="${
      i > 2 ? "n" : ""}">${i ? "" : `<span class="dot ${node.part}"></span>`}${esc((show || value)(node))}${
      !i && node.deformable ? ' <span class="badge">deformable</span>' : ""}</td>`).join("") + "</tr>").join("")
    + "</tbody></table>";
  $("table").querySelectorAll("th").forEach((th, i) => {
    th.onclick = () => { sorting = sorting === -(i + 1) ? i + 1 : -(i + 1); table(); };
  });
  $("table").querySelectorAll("tr[data-id]").forEach(tr => { tr.onclick = () => pick(NODES.get(tr.dataset.id)); });
  mark();
}
const VIEWS = ["graph", "table", "sampling"];
function show(what) {
  $("table").hidden = what !== "table";
  $("sampling").hidden = what !== "sampling";
  graph.style.display = what === "graph" ? "" : "none";
  document.querySelector(".tools").style.visibility = what === "graph" ? "" : "hidden";
  VIEWS.forEach(view => $("tab-" + view).classList.toggle("on", what === view));
  if (what === "table") table();
  else if (what === "sampling") cards();
  else if (picked) reveal(picked);
}
VIEWS.forEach(view => { $("tab-" + view).onclick = () => show(view); });

/* ---- where deformable layers sample: a card for each ---- */
const SAMPLING = DATA.nodes.filter(node => node.sampling);
$("tab-sampling").hidden = !SAMPLING.length;
function cards() {
  const link = node => `<a data-go="${esc(node.id)}">${esc(node.name)}</a>`;
  const fact = (name, value) => value ? `<p><small>${name}</small> ${value}</p>` : "";
  $("sampling").innerHTML = SAMPLING.map(node => {
    const s = node.sampling;
    return `<article id="sampling-${esc(node.name)}"><div>${s.picture}</div><div><h3>${link(node)}
      <span class="badge">deformable</span></h3><p class="what">${esc(node.text)}</p>
      <p class="equation">${s.equation}</p><p><small>${esc(s.source)}</small></p>
      ${s.words.map(text => `<p>${esc(text)}</p>`).join("")}${offsetRows(node, fact, link)}</div></article>`;
  }).join("");
  follow($("sampling"));
  mark();
  const card = picked && document.getElementById("sampling-" + picked.name);
  if (card) card.scrollIntoView();
}

/* ---- totals ---- */
function totals() {
  $("title").textContent = DATA.title;
  $("subtitle").textContent = DATA.subtitle;
  const parts = ["backbone", "offset", "heads"], names = {backbone: "backbone", offset: "offsets", heads: "heads"};
  const bar = kind => `<div class="bar">` + parts.map(part =>
    `<i class="${part}" style="flex: ${DATA.totals[kind][part]}"></i>`).join("") + "</div>";
  const {params, macs: work} = DATA.totals;
  $("totals").innerHTML = `<div class="total"><span>parameters</span><b>${count(params.total)}</b></div>${bar("params")}
    <div class="total"><span>multiply-adds</span><b>${macs(work.total) || 0}</b></div>${bar("macs")}
    <table class="parts"><tr><th></th><th>parameters</th><th>multiply-adds</th></tr>` + parts.map(part =>
    `<tr><td><span class="dot ${part}"></span>${names[part]}</td><td>${params[part].toLocaleString("en")}</td>
    <td>${macs(work[part]) || 0}</td></tr>`).join("") + "</table>"
    + DATA.notes.map(note => `<p class="note">${esc(note)}</p>`).join("");
}

totals();
draw();
begin();
const wanted = new URLSearchParams(location.hash.slice(1));
if (wanted.has("q")) { $("query").value = wanted.get("q"); search(); }
if (wanted.has("node")) {
  const node = DATA.nodes.find(one => one.name === wanted.get("node"));
  if (node) reveal(node);
}
if (VIEWS.includes(wanted.get("view"))) show(wanted.get("view"));
if (wanted.get("view") === "all") $("expand").onclick();
