'use strict';
// What both pages share: colours of the theme, formats, a cursor that all curves follow.
const $ = (tag, attrs = {}, ...kids) => { const e = document.createElement(tag); for (const [k, v] of Object.entries(attrs)) k in e ? e[k] = v : e.setAttribute(k, v); e.append(...kids); return e; };
const css = name => getComputedStyle(document.documentElement).getPropertyValue('--' + name).trim();
const DATA = JSON.parse(document.getElementById('data').textContent);
const main = document.querySelector('main');
const fixed = (x, n) => x == null || !isFinite(x) ? '-' : x.toFixed(n);
const sig = x => x == null || !isFinite(x) ? '-' : x === 0 ? '0' : Math.abs(x) >= 1e7 || Math.abs(x) < 1e-3 ? x.toExponential(1) : Math.abs(x) >= 1000 ? (+x.toPrecision(5)).toLocaleString('en-US') : String(+x.toPrecision(4));
const percent = x => x == null ? '-' : (100 * x).toFixed(1) + ' %';
const count = n => Math.round(n).toLocaleString('en-US');
const bytes = n => n >= 1e9 ? (n / 1e9).toFixed(2) + ' GB' : n >= 1e6 ? (n / 1e6).toFixed(n >= 1e8 ? 0 : 1) + ' MB' : (n / 1e3).toFixed(1) + ' kB';
const section = (title, text) => { main.append($('h2', {}, title)); if (text) main.append($('p', {}, text)); };
const palette = () => ['a', 'b', 'c', 'd'].map(css).concat(['#c4a000', '#d6487e', '#2aa5b8', '#7d8b99', '#a5673f', '#5f6fd6', '#6fae3d']);
const charts = [];

// the line under the cursor, drawn in every curve at the same step
let cursor = null;
const crosshair = { id: 'crosshair', afterDraw(c) {
  if (cursor == null || !c.options.follow) return;
  const x = c.scales.x.getPixelForValue(cursor), a = c.chartArea;
  if (x < a.left || x > a.right) return;
  const g = c.ctx; g.save(); g.strokeStyle = css('dim'); g.globalAlpha = .6; g.beginPath(); g.moveTo(x, a.top); g.lineTo(x, a.bottom); g.stroke(); g.restore();
}, afterEvent(c, { event: e }) {
  if (!c.options.follow || e.type !== 'mousemove' && e.type !== 'mouseout') return;
  const a = c.chartArea, inside = e.type === 'mousemove' && e.x >= a.left && e.x <= a.right;
  cursor = inside ? c.scales.x.getValueForPixel(e.x) : null;
  for (const o of charts) if (o.options.follow) {
    if (o !== c) {
      const near = cursor == null ? [] : o.data.datasets.flatMap((d, i) => {
        if (!d.data.length || !o.isDatasetVisible(i)) return [];
        let k = 0; d.data.forEach((p, j) => { if (Math.abs(p.x - cursor) < Math.abs(d.data[k].x - cursor)) k = j; });
        return [{ datasetIndex: i, index: k }]; });
      o.setActiveElements(near);
      o.tooltip.setActiveElements(near, { x: 0, y: 0 });
    }
    o.draw();
  }
} };

function chart(panel, config) {
  const box = $('div', { className: 'chart' }), canvas = $('canvas'); box.append(canvas); panel.append(box);
  const o = config.options ??= {};
  Object.assign(o, { responsive: true, maintainAspectRatio: false, animation: false });
  o.plugins ??= {}; o.plugins.legend ??= { display: config.data.datasets.length > 1, labels: { boxWidth: 7, boxHeight: 7, usePointStyle: true } };
  const c = new Chart(canvas, config); charts.push(c); return c;
}

// `y.log`: the axis is logarithmic where the values span much, with a switch; { last, scale } are of the axes. `fit` of the
// chart draws it again when its data or `y.last` have changed
function curves(panel, title, sets, y = {}) {
  let low, high, pick = null;
  const measure = all => { const values = all.flatMap(s => s.data.map(p => p.y)).filter(v => v > 0); low = Math.min(...values); high = Math.max(...values); };
  const axis = log => ({ type: log ? 'logarithmic' : 'linear', min: log ? low / 1.1 : undefined, ticks: { callback: v => !log || high < 1000 * low && [2, 5].includes(lead(v)) || lead(v) === 1 ? sig(v) : '', maxTicksLimit: log ? undefined : 7, autoSkip: !log }, grid: { color: c => log && lead(c.tick?.value) !== 1 ? 'transparent' : css('line') }, ...y.scale });
  measure(sets);
  const wide = y.log && high > SPAN * low, head = $('div', { className: 'head' }, $('h3', {}, title));
  const choose = () => { if (pick || !y.log || !(low < high)) return;
    pick = $('select', {}, $('option', { value: 'linear' }, 'linear'), $('option', { value: 'log' }, 'logarithmic'));
    pick.value = high > SPAN * low ? 'log' : 'linear'; pick.setAttribute('aria-label', title + ', axis'); head.append(pick);
    pick.onchange = () => c.fit(); };
  panel.append(head);
  const c = chart(panel, { type: 'line', data: { datasets: sets.map((s, i) => ({ borderColor: palette()[i], backgroundColor: palette()[i], borderWidth: 1.6, clip: 6, pointRadius: 0, pointHitRadius: 0, ...s })) },
    options: { follow: true, parsing: false, interaction: { mode: 'nearest', axis: 'x', intersect: false },
      plugins: { tooltip: { callbacks: { title: t => 'step ' + t[0].parsed.x, label: t => ' ' + (t.dataset.label ?? '') + ' ' + sig(t.parsed.y) } } },
      scales: { x: { type: 'linear', title: { display: true, text: 'step' }, grid: { display: false }, min: 0, max: y.last, ticks: { maxTicksLimit: 9, precision: 0 } }, y: axis(wide) } } });
  c.fit = () => { measure(c.data.datasets); choose(); c.options.scales.x.max = y.last; c.options.scales.y = axis(pick != null && pick.value === 'log'); c.update(); };
  choose();
  return c;
}
const SPAN = 20; // more than this between the largest and the smallest value: a linear axis shows only the large ones
const lead = v => { const d = v / 10 ** Math.floor(Math.log10(v) + 1e-9), n = Math.round(d); return Math.abs(d - n) < 1e-6 ? n : 0; }; // 5 of 0.05, 0 of 0.15

const points = (xs, ys) => xs.map((x, i) => ({ x, y: ys[i] })).filter(p => p.y != null && isFinite(p.y));
function smooth(ps, share) { // exponential mean, corrected for its start
  let m = 0, w = 0; return ps.map(p => { m = share * m + (1 - share) * p.y; w = share * w + 1 - share; return { x: p.x, y: m / w }; }); }

function theme() {
  Chart.defaults.color = css('dim'); Chart.defaults.borderColor = css('line'); Chart.defaults.font.family = getComputedStyle(document.body).fontFamily; Chart.defaults.font.size = 12;
}
theme(); Chart.register(crosshair);
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => location.reload());
addEventListener('beforeprint', () => charts.forEach(c => c.resize()));
