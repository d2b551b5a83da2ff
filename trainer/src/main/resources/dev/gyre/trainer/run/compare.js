'use strict';
main.style.maxWidth = '1560px';
document.head.append($('style', {}, '@page { size: landscape }'));
const rows = DATA.rows, cols = DATA.columns.map(c => ({ ...c, title: c.title.replace("||R'R-I||", '‖RᵀR−I‖').replace('||Q||', '‖Q‖') })), colour = Object.fromEntries([...new Set(rows.map(r => r.method))].map((m, i) => [m, palette()[i % palette().length]]));
const shapes = ['circle', 'rect', 'triangle', 'rectRot', 'star', 'cross'], bases = [...new Set(rows.map(r => r.base))];
const shape = b => shapes[bases.indexOf(b) % shapes.length];
main.append($('h1', {}, DATA.name), $('div', { className: 'sub' }, `${rows.length} runs · ${Object.keys(colour).length} methods · base held as ${bases.join(', ')}`));
const missing = Object.entries(DATA.missing);
if (missing.length) main.append($('div', { className: 'warnings' }, $('b', {}, 'Not in the table'), $('ul', {}, ...missing.map(([n, w]) => $('li', {}, `${n}: ${w}`)))));

section('Side by side', 'A click on a heading sorts. Green is the best of its column. Accuracy and losses are on held-out data; "forgotten" is how much the loss on the base data rose; step time is the median of the second half of a run.');
{
  const t = $('table', { className: 'side' }), box = $('div', { className: 'panel scroll' }, t);
  const all = $('input', { type: 'checkbox' }); let by = -1, up = true;
  if (cols.some(c => c.detail)) main.append($('div', { className: 'row' }, $('label', {}, all, ' every column')));
  main.append(box);
  const draw = () => { const shown = cols.map((c, i) => i).filter(i => all.checked || !cols[i].detail), order = [...rows];
    if (by >= 0) order.sort((a, b) => { const x = a.values[by], y = b.values[by]; return x == null ? 1 : y == null ? -1 : up ? x - y : y - x; });
    const heads = shown.map(i => { const h = $('th', { className: 's', title: 'sort' }, cols[i].title + (i === by ? up ? ' ▲' : ' ▼' : ''));
      h.onclick = () => { up = by === i ? !up : cols[i].better !== 'MORE'; by = i; draw(); }; return h; });
    t.replaceChildren($('thead', {}, $('tr', {}, $('th', {}, 'run'), $('th', { className: 'l' }, 'method'), $('th', { className: 'l' }, 'base'), ...heads)),
      $('tbody', {}, ...order.map(r => $('tr', {}, $('td', {}, $('span', { style: `color:${colour[r.method]}` }, '● '), r.name), $('td', { className: 'l' }, r.label), $('td', { className: 'l' }, r.base),
        ...shown.map(i => $('td', { className: r.best[i] ? 'best' : '' }, r.cells[i])))))); };
  all.onchange = draw; draw();
}

section('What a gain costs', 'The line joins the runs that no other run beats in both numbers (the Pareto front); they carry their names.');
{
  const has = k => cols.some(c => c.key === k), gain = has('exact') ? 'exact' : has('loss') ? 'loss' : 'step_seconds', g = $('div', { className: 'grid' }); main.append(g);
  const names = { id: 'names', afterDatasetsDraw(c) { const d = c.data.datasets.at(-1); if (!d) return; const m = c.getDatasetMeta(c.data.datasets.length - 1), k = c.ctx, a = c.chartArea, taken = []; k.save(); k.fillStyle = css('ink'); k.font = '11px ' + Chart.defaults.font.family;
    d.data.forEach((p, i) => { const { x, y } = m.data[i], w = k.measureText(p.name).width, left = x + 9 + w < a.right ? x + 9 : x - 9 - w;
      const at = [y - 9, y + 17, y - 21, y + 29].find(t => t > a.top + 8 && t < a.bottom - 2 && !taken.some(o => Math.abs(o[1] - t) < 12 && left < o[2] && o[0] < left + w)); // where there is room
      if (at == null) return; taken.push([left, at, left + w]); k.fillText(p.name, left, at); }); k.restore(); } };
  const pareto = (across, upward) => {
    const options = key => cols.map((c, k) => $('option', { value: k, selected: c.key === key }, c.title)), x = $('select', {}, ...options(across)), y = $('select', {}, ...options(upward));
    const p = $('div', { className: 'panel' }, $('div', { className: 'row' }, $('label', {}, 'up ', y), $('label', {}, 'across ', x))); g.append(p);
    const c = chart(p, { type: 'scatter', plugins: [names], data: { datasets: [] }, options: { layout: { padding: { top: 8, right: 16 } }, plugins: { legend: { position: 'bottom', labels: { usePointStyle: true, boxHeight: 6, boxWidth: 6, filter: l => l.text } }, tooltip: { callbacks: { label: t => t.raw.name ? ` ${t.raw.name}: ${t.raw.cx}, ${t.raw.cy}` : '' } } },
      scales: { x: { title: { display: true }, grid: { color: css('line') }, grace: '4%' }, y: { title: { display: true }, grid: { color: css('line') }, grace: '6%' } } } });
    p.querySelector('.chart').style.height = '400px';
    const draw = () => { const i = +x.value, j = +y.value, ps = rows.map(r => ({ x: r.values[i], y: r.values[j], name: r.name, method: r.method, base: r.base, cx: r.cells[i], cy: r.cells[j] })).filter(q => q.x != null && q.y != null);
      const sx = cols[i].better === 'MORE' ? -1 : 1, sy = cols[j].better === 'MORE' ? -1 : 1;
      const front = ps.filter(q => !ps.some(o => sx * o.x <= sx * q.x && sy * o.y <= sy * q.y && (o.x !== q.x || o.y !== q.y))).sort((a, b) => a.x - b.x);
      const span = ps.map(q => q.x), log = Math.min(...span) > 0 && Math.max(...span) / Math.min(...span) > 20;
      c.data.datasets = Object.keys(colour).map(m => ({ label: m, data: ps.filter(q => q.method === m), backgroundColor: colour[m], borderColor: colour[m], pointRadius: 6, pointHoverRadius: 8, pointStyle: ctx => ctx.raw ? shape(ctx.raw.base) : 'circle', clip: 8 }));
      c.data.datasets.push({ label: '', type: 'line', data: front, borderColor: css('dim'), borderDash: [5, 4], borderWidth: 1.4, pointRadius: 0, pointHitRadius: 0, fill: false });
      Object.assign(c.options.scales.x, { type: log ? 'logarithmic' : 'linear', ticks: { autoSkip: !log, callback: v => !log || [1, 2, 5].includes(Math.round(v / 10 ** Math.floor(Math.log10(v) + 1e-9))) ? sig(v) : '' } }); c.options.scales.x.title.text = cols[i].title; c.options.scales.y.title.text = cols[j].title;
      c.options.scales.y.ticks = { callback: v => sig(v) };
      c.options.scales.y.max = cols[j].title.endsWith('%') && Math.max(...ps.map(q => q.y)) > 90 ? 100 : undefined; c.update(); }; // no share exceeds 100 %
    x.onchange = y.onchange = draw; draw(); };
  // what a method costs in size, and what it costs in what the model knew; where nothing was measured on old data, in time
  pareto('trained', gain); pareto(has('forgotten') ? 'forgotten' : 'step_seconds', gain);
  if (bases.length > 1) main.append($('p', { style: 'margin-top:8px' }, 'Shapes: ' + bases.map(b => ({ circle: '●', rect: '■', triangle: '▲', rectRot: '◆', star: '✳', cross: '✚' })[shape(b)] + ' ' + b).join(' · ')));
}

if (rows.some(r => r.valid.step.length)) {
  section('Validation loss', 'Against the step, and against the time that the steps took.');
  const g = $('div', { className: 'grid' }); main.append(g);
  const losses = rows.flatMap(r => r.valid.loss), wide = Math.max(...losses) > 5 * Math.min(...losses);
  const sets = key => rows.filter(r => r.valid.step.length).map(r => ({ label: r.name, data: points(r.valid[key], r.valid.loss), borderColor: colour[r.method], backgroundColor: colour[r.method], borderDash: [[], [6, 3], [2, 3], [8, 3, 2, 3]][bases.indexOf(r.base) % 4], pointRadius: 2 }));
  for (const [key, title] of [['step', 'by step'], ['seconds', 'by training time']]) { const p = $('div', { className: 'panel' }); g.append(p);
    const c = curves(p, title, sets(key), { scale: { type: wide ? 'logarithmic' : 'linear' } }); c.options.scales.x.title.text = key === 'step' ? 'step' : 'seconds'; c.options.follow = false;
    c.options.plugins.legend = { position: 'bottom', labels: { usePointStyle: true, pointStyle: 'line', pointStyleWidth: 26, font: { size: 11 } } }; p.querySelector('.chart').style.height = 260 + 9 * rows.length + 'px';
    c.options.plugins.tooltip.callbacks.title = t => c.options.scales.x.title.text + ' ' + sig(t[0].parsed.x); c.update(); }
}

section('For a paper');
for (const [title, text] of [['Markdown', DATA.markdown], ['CSV', DATA.csv], ['LaTeX (booktabs)', DATA.latex]]) main.append($('details', {}, $('summary', {}, title), $('pre', {}, text)));
