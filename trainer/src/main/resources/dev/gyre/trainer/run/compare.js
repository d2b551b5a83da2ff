'use strict';
main.style.maxWidth = '1560px';
const rows = DATA.rows, cols = DATA.columns, colour = Object.fromEntries([...new Set(rows.map(r => r.method))].map((m, i) => [m, palette()[i % palette().length]]));
const shapes = ['circle', 'rect', 'triangle', 'rectRot', 'star', 'cross'], bases = [...new Set(rows.map(r => r.base))];
const shape = b => shapes[bases.indexOf(b) % shapes.length];
main.append($('h1', {}, DATA.name), $('div', { className: 'sub' }, `${rows.length} runs · ${Object.keys(colour).length} methods · base held as ${bases.join(', ')}`));
const missing = Object.entries(DATA.missing);
if (missing.length) main.append($('div', { className: 'warnings' }, $('b', {}, 'Not in the table'), $('ul', {}, ...missing.map(([n, w]) => $('li', {}, `${n}: ${w}`)))));

section('Side by side', 'A click on a heading sorts. Green is the best of its column. Accuracy and losses are on held-out data; "forgotten" is how much the loss on the base data rose; step time is the median of the second half of a run.');
{
  const t = $('table'), body = $('tbody'), box = $('div', { className: 'panel scroll' }, t); main.append(box);
  let by = -1, up = true;
  const draw = () => { const order = [...rows]; if (by >= 0) order.sort((a, b) => { const x = a.values[by], y = b.values[by]; return x == null ? 1 : y == null ? -1 : up ? x - y : y - x; });
    body.replaceChildren(...order.map(r => $('tr', {}, $('td', {}, $('span', { style: `color:${colour[r.method]}` }, '● '), r.name), $('td', { className: 'l' }, r.label), $('td', { className: 'l' }, r.base),
      ...cols.map((c, i) => $('td', { className: r.best[i] ? 'best' : '' }, r.cells[i]))))); };
  t.append($('thead', {}, $('tr', {}, $('th', {}, 'run'), $('th', { className: 'l' }, 'method'), $('th', { className: 'l' }, 'base'), ...cols.map((c, i) => { const h = $('th', { className: 's', title: 'sort' }, c.title);
    h.onclick = () => { up = by === i ? !up : c.better !== 'MORE'; by = i; draw(); }; return h; }))), body); draw();
}

section('What a gain costs', 'The line joins the runs that no other run beats in both numbers (the Pareto front).');
{
  const options = i => cols.map((c, k) => $('option', { value: k, selected: k === i }, c.title)), at = k => Math.max(0, cols.findIndex(c => c.key === k));
  const has = k => cols.some(c => c.key === k), x = $('select', {}, ...options(at('trained'))), y = $('select', {}, ...options(at(has('forgotten') ? 'forgotten' : has('exact') ? 'exact' : 'loss')));
  const p = $('div', { className: 'panel wide' }); main.append($('div', { className: 'row' }, $('label', {}, 'across ', x), $('label', {}, 'up ', y)), p);
  const c = chart(p, { type: 'scatter', data: { datasets: [] }, options: { layout: { padding: { top: 8, right: 16 } }, plugins: { legend: { position: 'right', labels: { usePointStyle: true, boxWidth: 10, filter: l => l.text } }, tooltip: { callbacks: { label: t => t.raw.name ? ` ${t.raw.name}: ${t.raw.cx}, ${t.raw.cy}` : '' } } },
    scales: { x: { title: { display: true }, grid: { color: css('line') } }, y: { title: { display: true }, grid: { color: css('line') } } } } });
  p.querySelector('.chart').style.height = '430px';
  const draw = () => { const i = +x.value, j = +y.value, ps = rows.map(r => ({ x: r.values[i], y: r.values[j], name: r.name, method: r.method, base: r.base, cx: r.cells[i], cy: r.cells[j] })).filter(q => q.x != null && q.y != null);
    const sx = cols[i].better === 'MORE' ? -1 : 1, sy = cols[j].better === 'MORE' ? -1 : 1;
    const front = ps.filter(q => !ps.some(o => sx * o.x <= sx * q.x && sy * o.y <= sy * q.y && (o.x !== q.x || o.y !== q.y))).sort((a, b) => a.x - b.x);
    const span = ps.map(q => q.x), log = Math.min(...span) > 0 && Math.max(...span) / Math.min(...span) > 20;
    c.data.datasets = Object.keys(colour).map(m => ({ label: m, data: ps.filter(q => q.method === m), backgroundColor: colour[m], borderColor: colour[m], pointRadius: 6, pointHoverRadius: 8, pointStyle: ctx => ctx.raw ? shape(ctx.raw.base) : 'circle' }));
    c.data.datasets.push({ label: '', type: 'line', data: front, borderColor: css('dim'), borderDash: [5, 4], borderWidth: 1.4, pointRadius: 0, pointHitRadius: 0, fill: false });
    Object.assign(c.options.scales.x, { type: log ? 'logarithmic' : 'linear', ticks: { autoSkip: !log, callback: v => !log || [1, 2, 5].includes(Math.round(v / 10 ** Math.floor(Math.log10(v) + 1e-9))) ? v.toLocaleString('en-US') : '' } }); c.options.scales.x.title.text = cols[i].title; c.options.scales.y.title.text = cols[j].title; c.update(); };
  x.onchange = y.onchange = draw; draw();
  if (bases.length > 1) main.append($('p', { style: 'margin-top:8px' }, 'Shapes: ' + bases.map(b => ({ circle: '●', rect: '■', triangle: '▲', rectRot: '◆', star: '✳', cross: '✚' })[shape(b)] + ' ' + b).join(' · ')));
}

if (rows.some(r => r.valid.step.length)) {
  section('Validation loss', 'Against the step, and against the time that the steps took.');
  const g = $('div', { className: 'grid' }); main.append(g);
  const sets = key => rows.filter(r => r.valid.step.length).map(r => ({ label: r.name, data: points(r.valid[key], r.valid.loss), borderColor: colour[r.method], backgroundColor: colour[r.method], borderDash: [[], [6, 3], [2, 3], [8, 3, 2, 3]][bases.indexOf(r.base) % 4], pointRadius: 2 }));
  for (const [key, title] of [['step', 'by step'], ['seconds', 'by training time']]) { const p = $('div', { className: 'panel' }); g.append(p);
    const c = curves(p, title, sets(key), { scale: { type: 'logarithmic' } }); c.options.scales.x.title.text = key === 'step' ? 'step' : 'seconds'; c.options.follow = false;
    c.options.plugins.legend = { position: 'bottom', labels: { boxWidth: 14, font: { size: 11 } } }; p.querySelector('.chart').style.height = 260 + 9 * rows.length + 'px';
    c.options.plugins.tooltip.callbacks.title = t => c.options.scales.x.title.text + ' ' + sig(t[0].parsed.x); c.update(); }
}

section('For a paper');
for (const [title, text] of [['Markdown', DATA.markdown], ['CSV', DATA.csv], ['LaTeX (booktabs)', DATA.latex]]) main.append($('details', {}, $('summary', {}, title), $('pre', {}, text)));
