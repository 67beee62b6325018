"use strict";
/* Layered drawing of a directed graph (Sugiyama, Tagawa and Toda, 1981), one level of groups at a time.

   layered(items, edges): items [{id, w, h}], edges [{from, to, outx, inx}] (ids, and where the edge leaves and enters,
   from the left border of its item). Sets x and y (upper left corner) of each item and returns {w, h, lines}: for each
   edge the points [[x, y], ...] that it passes. */

const GAP_X = 26, GAP_Y = 30, PORT_Y = 14, BEND = 12;

function layered(items, edges) {
  const byId = new Map(items.map(item => [item.id, item]));
  const rank = ranks(items, edges.map(edge => [edge.from, edge.to]));
  const rows = [];
  const put = (item, level) => { (rows[level] = rows[level] || []).push(item); item.up = []; item.down = []; };
  items.forEach(item => put(item, rank.get(item.id)));
  const chains = edges.map(edge => {
    const upward = rank.get(edge.from) > rank.get(edge.to);
    const [start, end, outx, inx] = upward ? [edge.to, edge.from, edge.inx, edge.outx]
      : [edge.from, edge.to, edge.outx, edge.inx];
    const chain = [byId.get(start)];
    for (let level = rank.get(start) + 1; level < rank.get(end); level++) {
      const bend = {w: BEND, h: 0, bend: true, level};
      put(bend, level);
      chain.push(bend);
    }
    chain.push(byId.get(end));
    const last = chain.length - 1;
    for (let i = 0; i < last; i++) {
      /* open groups stand in line with their middles: aligned at their ports, a chain of them would drift sideways */
      const leaves = i > 0 ? BEND / 2 : chain[0].inner ? chain[0].w / 2 : outx;
      const enters = i < last - 1 ? BEND / 2 : chain[last].inner ? chain[last].w / 2 : inx;
      chain[i].down.push({other: chain[i + 1], mine: leaves, theirs: enters});
      chain[i + 1].up.push({other: chain[i], mine: enters, theirs: leaves});
    }
    return {chain, upward, outx, inx};
  });
  for (let i = 0; i < rows.length; i++) rows[i] = rows[i] || [];
  order(rows);
  rows.forEach(row => { let x = 0; row.forEach(item => { item.x = x; x += item.w + GAP_X; }); });
  for (let turn = 0; turn < 25; turn++) {
    const down = turn % 2 === 0;
    (down ? rows : rows.slice().reverse()).forEach(row => settle(row, down));
  }
  let y = 0;
  const tops = rows.map(row => {
    const top = y, height = Math.max(0, ...row.map(item => item.h));
    /* an input stands right above what it feeds */
    row.forEach(item => { item.y = top + (height - item.h) / (item.up.length ? 2 : 1); });
    y += height + (height ? GAP_Y : PORT_Y);
    return [top, top + height];
  });
  const all = rows.flat(), left = Math.min(...all.map(item => item.x));
  all.forEach(item => { item.x -= left; });
  const lines = chains.map(({chain, upward, outx, inx}) => {
    const points = [];
    chain.forEach((item, i) => {
      if (item.bend) tops[item.level].forEach(side => points.push([item.x + BEND / 2, side]));
      else if (i === 0) points.push([item.x + outx, item.y + item.h]);
      else points.push([item.x + inx, item.y]);
    });
    return upward ? points.reverse() : points;
  });
  return {w: Math.max(...all.map(item => item.x + item.w)), h: Math.max(0, y - (rows.length &&
    tops[tops.length - 1][0] === tops[tops.length - 1][1] ? PORT_Y : GAP_Y)), lines};
}

/* Rows by longest path from the sources; edges that would close a circle are ignored. */
function ranks(items, links) {
  const ids = items.map(item => item.id), ports = new Set(items.filter(item => item.port).map(item => item.id));
  const out = new Map(ids.map(id => [id, []])), state = new Map(), forward = [];
  links.forEach(([from, to]) => out.get(from).push(to));
  const visit = id => {
    state.set(id, 1);
    out.get(id).forEach(next => {
      if (state.get(next) === 1) return;
      forward.push([id, next]);
      if (!state.has(next)) visit(next);
    });
    state.set(id, 2);
    sorted.unshift(id);
  };
  const sorted = [];
  ids.forEach(id => { if (!state.has(id)) visit(id); });
  const rank = new Map(ids.map(id => [id, 0])), after = new Map(ids.map(id => [id, []]));
  forward.forEach(([from, to]) => after.get(from).push(to));
  sorted.forEach(id => after.get(id).forEach(to => rank.set(to, Math.max(rank.get(to), rank.get(id) + 1))));
  /* a source that feeds only something far below moves down beside it: im_info beside the proposals */
  const fed = new Set(forward.map(([, to]) => to));
  ids.forEach(id => {
    if (!fed.has(id) && !ports.has(id) && after.get(id).length) {
      rank.set(id, Math.min(...after.get(id).map(to => rank.get(to))) - 1);
    }
  });
  const bottom = Math.max(0, ...ids.filter(id => !ports.has(id)).map(id => rank.get(id))) + 1;
  ports.forEach(id => { if (fed.has(id)) rank.set(id, bottom); });
  return rank;
}

/* Fewer crossings: each row sorted by the mean position of its neighbours, up and down. */
function order(rows) {
  const number = () => rows.forEach(row => row.forEach((item, i) => { item.at = i - (row.length - 1) / 2; }));
  number();
  for (let turn = 0; turn < 8; turn++) {
    const side = turn % 2 ? "down" : "up";
    (turn % 2 ? rows.slice().reverse() : rows).forEach(row => {
      row.forEach(item => {
        const near = item[side];
        item.want = near.length ? near.reduce((sum, link) => sum + link.other.at, 0) / near.length : item.at;
      });
      row.sort((a, b) => a.want - b.want);
      row.forEach((item, i) => { item.at = i - (row.length - 1) / 2; });
    });
  }
}

/* Move a row's items towards their neighbours as far as their order and gaps allow: least squares with pooling of
   adjacent violators. Bends weigh more, so that long edges run straight. */
function settle(row, down) {
  let offset = 0;
  const blocks = [];
  row.forEach(item => {
    const near = down ? item.up : item.down;
    const wish = near.length
      ? near.reduce((sum, link) => sum + link.other.x + link.theirs - link.mine, 0) / near.length : item.x;
    let block = {sum: (wish - offset) * (item.bend ? 4 : 1), weight: item.bend ? 4 : 1, items: [[item, offset]]};
    offset += item.w + GAP_X;
    while (blocks.length && blocks[blocks.length - 1].sum / blocks[blocks.length - 1].weight
           > block.sum / block.weight) {
      const before = blocks.pop();
      block = {sum: before.sum + block.sum, weight: before.weight + block.weight,
               items: before.items.concat(block.items)};
    }
    blocks.push(block);
  });
  blocks.forEach(block => block.items.forEach(([item, shift]) => { item.x = block.sum / block.weight + shift; }));
}
