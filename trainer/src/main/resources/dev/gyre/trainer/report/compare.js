'use strict';
main.style.maxWidth = '1560px';
document.head.append($('style', {}, '@page { size: landscape }'));
const norm = s => s.replace('||Q||', '‖Q‖');
const rows = DATA.rows, cols = DATA.columns.map(c => ({ ...c, title: norm(c.title) })), methods = [...new Set(rows.map(r => r.method))], bases = [...new Set(rows.map(r => r.base))];
const many = (n, word) => `${n} ${word}${n === 1 ? '' : 's'}`;
const shapes = ['circle', 'rect', 'triangle', 'rectRot', 'star', 'cross'], shape = b => shapes[bases.indexOf(b) % shapes.length];
// A colour is a method's where method and base name a run; else a run's; and where runs are more than colours that can be
// told apart, a shade of its method's, then a hollow dot and a dashed line in that shade.
const SHADES = 5, group = r => rows.filter(o => o.method === r.method && o.base === r.base), named = rows.every(r => group(r).length === 1), single = !named && rows.length <= 8;
const mix = (from, to, share) => '#' + [1, 3, 5].map(i => Math.round(parseInt(from.slice(i, i + 2), 16) * (1 - share) + parseInt(to.slice(i, i + 2), 16) * share).toString(16).padStart(2, '0')).join('');
const wide6 = c => c.length === 4 ? '#' + [...c.slice(1)].map(x => x + x).join('') : c;
rows.forEach((r, i) => {
  const hues = palette(), hue = hues[(single ? i : methods.indexOf(r.method)) % hues.length], g = group(r), k = g.indexOf(r), n = Math.min(SHADES, g.length), t = n < 2 || named || single ? 0 : -.5 + 1.1 * (k % n) / (n - 1);
  r.colour = t < 0 ? mix(hue, wide6(css('ink')), -t) : mix(hue, wide6(css('card')), t);
  r.hollow = !named && !single && Math.floor(k / n) % 2 === 1;
  r.dash = r.hollow ? [1, 3] : [[], [6, 3], [2, 3], [8, 3, 2, 3]][bases.indexOf(r.base) % 4];
});
main.append($('h1', {}, DATA.name), $('div', { className: 'sub' }, `${many(rows.length, 'run')} · ${many(methods.length, 'method')} · base held as ${bases.join(', ')}`));
const missing = Object.entries(DATA.missing);
if (missing.length) main.append($('div', { className: 'warnings' }, $('b', {}, 'Not in the table'), $('ul', {}, ...missing.map(([n, w]) => $('li', {}, `${n}: ${w}`)))));

section('Side by side', 'A click on a heading sorts. Green is the best of its column. Accuracy and losses are on held-out data; "forgotten" is how much the loss on the base data rose; step time is the median of the second half of a run.' + (rows.some(r => r.settings) ? ' Settings are the keys in which runs differ.' : ''));
{
  const t = $('table', { className: 'side' }), box = $('div', { className: 'panel scroll' }, t);
  const all = $('input', { type: 'checkbox' }); let by = -1, up = true;
  if (cols.some(c => c.detail) || rows.some(r => r.settings.length >= 90)) main.append($('div', { className: 'row' }, $('label', {}, all, ' every column')));
  main.append(box);
  if (DATA.note) main.append($('p', { className: 'note' }, norm(DATA.note)));
  const draw = () => { const shown = cols.map((c, i) => i).filter(i => all.checked || !cols[i].detail), order = [...rows];
    if (by >= 0) order.sort((a, b) => { const x = a.values[by], y = b.values[by]; return x == null ? 1 : y == null ? -1 : up ? x - y : y - x; });
    const heads = shown.map(i => { const h = $('th', { className: 's', title: 'sort' }, cols[i].title + (i === by ? up ? ' ▲' : ' ▼' : ''));
      h.onclick = () => { up = by === i ? !up : cols[i].better !== 'MORE'; by = i; draw(); }; return h; });
    t.replaceChildren($('thead', {}, $('tr', {}, $('th', {}, 'run'), $('th', { className: 'l' }, 'method'), $('th', { className: 'l' }, 'base'), ...(rows.some(r => r.settings) ? [$('th', { className: 'l' }, 'settings')] : []), ...heads)),
      $('tbody', {}, ...order.map(r => $('tr', {}, $('td', {}, $('span', { style: `color:${r.colour}` }, r.hollow ? '○ ' : '● '), r.name), $('td', { className: 'l' }, r.label), $('td', { className: 'l' }, r.base), ...(rows.some(o => o.settings) ? [$('td', { className: 'l set', title: r.settings }, all.checked || r.settings.length < 90 ? r.settings : r.settings.slice(0, 80) + ' …')] : []),
        ...shown.map(i => $('td', { className: r.bad[i] ? 'bad' : r.best[i] ? 'best' : '' }, r.cells[i])))))); };
  all.onchange = draw; draw();
}

section('What a gain costs', 'The line joins the runs that no other run beats in both numbers (the Pareto front); they carry their names.');
{
  const has = k => cols.some(c => c.key === k), gain = has('exact') ? 'exact' : has('loss') ? 'loss' : 'step_seconds', g = $('div', { className: 'grid' }); main.append(g);
  const names = { id: 'names', afterDatasetsDraw(c) { const d = c.data.datasets.at(-1); if (!d) return; const m = c.getDatasetMeta(c.data.datasets.length - 1), k = c.ctx, a = c.chartArea, taken = []; k.save(); k.fillStyle = css('ink'); k.font = '11px ' + Chart.defaults.font.family;
    d.data.forEach((p, i) => { k.fillStyle = mix(p.row.colour, wide6(css('ink')), .4); const { x, y } = m.data[i], w = k.measureText(p.name).width, left = x + 9 + w < a.right ? x + 9 : x - 9 - w;
      const at = [y - 9, y + 17, y - 21, y + 29].find(t => t > a.top + 8 && t < a.bottom - 2 && !taken.some(o => Math.abs(o[1] - t) < 12 && left < o[2] && o[0] < left + w)); // where there is room
      if (at == null) return; taken.push([left, at, left + w]); k.fillText(p.name, left, at); }); k.restore(); } };
  const pareto = (across, upward) => {
    const options = key => cols.map((c, k) => $('option', { value: k, selected: c.key === key }, c.title)), x = $('select', {}, ...options(across)), y = $('select', {}, ...options(upward));
    const p = $('div', { className: 'panel' }, $('div', { className: 'row' }, $('label', {}, 'up ', y), $('label', {}, 'across ', x))); g.append(p);
    const c = chart(p, { type: 'scatter', plugins: [names], data: { datasets: [] }, options: { layout: { padding: { top: 8, right: 16 } }, plugins: { legend: { position: 'bottom', labels: { usePointStyle: true, boxHeight: 6, boxWidth: 6, filter: l => l.text } }, tooltip: { callbacks: { label: t => t.raw.name ? ` ${t.raw.name}: ${t.raw.cx}, ${t.raw.cy}` : '' } } },
      scales: { x: { title: { display: true }, grid: { color: css('line') }, grace: '4%' }, y: { title: { display: true }, grid: { color: css('line') }, grace: '6%' } } } });
    p.querySelector('.chart').style.height = 400 + (named ? 0 : 5 * rows.length) + 'px';
    const draw = () => { const i = +x.value, j = +y.value, ps = rows.map(r => ({ x: r.values[i], y: r.values[j], name: r.name, row: r, cx: r.cells[i], cy: r.cells[j] })).filter(q => q.x != null && q.y != null);
      const sx = cols[i].better === 'MORE' ? -1 : 1, sy = cols[j].better === 'MORE' ? -1 : 1;
      const front = ps.filter(q => !ps.some(o => sx * o.x <= sx * q.x && sy * o.y <= sy * q.y && (o.x !== q.x || o.y !== q.y))).sort((a, b) => a.x - b.x);
      const span = ps.map(q => q.x), log = Math.min(...span) > 0 && Math.max(...span) / Math.min(...span) > 20;
      // runs that are equal in a number: an axis from 0, or one of all shares, shows that it is one number and how large
      const range = (vs, title) => { const low = Math.min(...vs), high = Math.max(...vs), share = title.endsWith('%');
        return low < high ? { max: share && high > 90 ? 100 : undefined } : share ? { min: 0, max: 100 } : high > 0 ? { min: 0, suggestedMax: 1.25 * high } : low < 0 ? { suggestedMin: 1.25 * low, max: 0 } : { min: 0, max: 1 }; }, free = { min: undefined, max: undefined, suggestedMin: undefined, suggestedMax: undefined };
      const dots = named ? methods.map(m => [m, ps.filter(q => q.row.method === m)]) : ps.map(q => [q.name, [q]]);
      c.data.datasets = dots.filter(d => d[1].length).map(([label, data]) => ({ label, data, backgroundColor: data[0].row.hollow ? css('card') : data[0].row.colour, borderColor: data[0].row.colour, borderWidth: 2, pointRadius: 5.5, pointHoverRadius: 8, pointStyle: ctx => shape((ctx.raw ?? data[0]).row.base), clip: false }));
      c.data.datasets.push({ label: '', type: 'line', data: front, borderColor: css('dim'), borderDash: [5, 4], borderWidth: 1.4, pointRadius: 0, pointHitRadius: 0, fill: false });
      Object.assign(c.options.scales.x, { type: log ? 'logarithmic' : 'linear', ...free, ...log ? { min: Math.min(...span) / 1.15, max: Math.max(...span) * 1.15 } : range(span, cols[i].title), ticks: { autoSkip: !log, callback: v => !log || [1, 2, 5].includes(lead(v)) ? sig(v) : '' } }); c.options.scales.x.title.text = cols[i].title; c.options.scales.y.title.text = cols[j].title;
      c.options.scales.y.ticks = { callback: v => sig(v) };
      Object.assign(c.options.scales.y, free, range(ps.map(q => q.y), cols[j].title)); c.update(); };
    x.onchange = y.onchange = draw; draw(); };
  // what a method costs in size, and what it costs in what the model knew; where nothing was measured on old data, in time
  pareto('trained', gain); pareto(has('forgotten') ? 'forgotten' : 'step_seconds', gain);
  if (bases.length > 1) main.append($('p', { style: 'margin-top:8px' }, 'Shapes: ' + bases.map(b => ({ circle: '●', rect: '■', triangle: '▲', rectRot: '◆', star: '✳', cross: '✚' })[shape(b)] + ' ' + b).join(' · ')));
}

if (rows.some(r => r.valid.step.length)) {
  section('Validation loss', 'Against the step, and against the time that the steps took.');
  const g = $('div', { className: 'grid' }); main.append(g);
  const sets = key => rows.filter(r => r.valid.step.length).map(r => ({ label: r.name, data: points(r.valid[key], r.valid.loss), borderColor: r.colour, backgroundColor: r.hollow ? css('card') : r.colour, borderDash: r.dash, pointRadius: 2 }));
  for (const [key, title] of [['step', 'by step'], ['seconds', 'by training time']]) { const p = $('div', { className: 'panel' }); g.append(p);
    const c = curves(p, title, sets(key), { log: true }); c.options.scales.x.title.text = key === 'step' ? 'step' : 'seconds'; c.options.follow = false;
    c.options.plugins.legend = { position: 'bottom', labels: { usePointStyle: true, pointStyle: 'line', pointStyleWidth: 26, font: { size: 11 } } }; p.querySelector('.chart').style.height = 260 + 9 * rows.length + 'px';
    c.options.plugins.tooltip.callbacks.title = t => c.options.scales.x.title.text + ' ' + sig(t[0].parsed.x); c.update(); }
}

section('For a paper');
for (const [title, text] of [['Markdown', DATA.markdown], ['CSV', DATA.csv], ['LaTeX (booktabs)', DATA.latex]]) main.append($('details', {}, $('summary', {}, title), $('pre', {}, text)));
