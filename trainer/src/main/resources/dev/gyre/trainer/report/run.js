'use strict';
// What the report and the live page of a run share.
const panel = (grid, wide) => { const p = $('div', { className: 'panel' + (wide ? ' wide' : '') }); grid.append(p); return p; };
const table = (head, rows, cls = '') => $('div', { className: 'scroll' }, $('table', { className: cls }, $('thead', {}, $('tr', {}, ...head.map(h => $('th', {}, h)))),
  $('tbody', {}, ...rows.map(r => $('tr', {}, ...r.map(c => c instanceof Node ? c : $('td', {}, c)))))));

const place = name => { const m = name.match(/layers\.(\d+)\.(?:self_attn\.|mlp\.)?(.+?)(?:\.weight)?$/); return m ? [+m[1], m[2]] : [-1, name]; };
// modules down, layers across; `most` is what the full colour stands for
function heat(title, values, most, show) {
  const cells = Object.entries(values).map(([n, v]) => [...place(n), v]), names = [...new Set(cells.map(c => c[1]))], layers = [...new Set(cells.map(c => c[0]))].sort((x, y) => x - y);
  const body = names.map(r => $('tr', {}, $('th', {}, r), ...layers.map(c => { const x = cells.find(k => k[0] === c && k[1] === r); if (!x) return $('td');
    const s = most > 0 ? Math.min(1, Math.abs(x[2]) / most) : 0; return $('td', { title: `layer ${c}, ${r}: ${x[2]}`, style: `background:color-mix(in oklab, ${css('a')} ${Math.round(6 + 84 * s)}%, ${css('card')});color:${s > .75 ? css('bg') : css('ink')}` }, show(x[2])); })));
  return $('div', { className: 'panel' + (layers.length > 8 ? ' wide' : '') }, $('h3', {}, title), $('div', { className: 'scroll' }, $('table', { className: 'heat' },
    $('thead', {}, $('tr', {}, $('th', {}, 'layer'), ...layers.map(c => $('th', {}, c < 0 ? '' : c)))), $('tbody', {}, ...body))));
}

const ok = (s, x) => $('td', { className: 't ' + (s.expected == null ? '' : x === s.expected ? 'good' : 'bad') }, x);
// tasks down, evaluations across
function answers(A) {
  return $('div', { className: 'panel' }, table(['task', 'expected', ...A.map(a => `step ${a.step} · ${a.right}/${a.samples.length}`)], A.at(-1).samples.slice(0, 12).map(s =>
    [$('td', { className: 't' }, s.prompt), $('td', { className: 't' }, s.expected), ...A.map(a => { const x = a.samples.find(o => o.prompt === s.prompt); return x ? ok(x, x.answer) : $('td', {}, '-'); })]), 'left'));
}

// losses of the steps, thin, and their mean, then the validation sets
function losses(raw, valid) {
  return [{ label: 'loss', data: raw, borderWidth: 1, borderColor: css('a') + '66', backgroundColor: css('a') + '66' },
    { label: 'smoothed', data: smoothed(raw), borderColor: css('a'), backgroundColor: css('a'), borderWidth: 2.2 },
    ...valid.map((v, i) => ({ label: v.name, data: points(v.step, v.loss), borderColor: palette()[i + 1], backgroundColor: palette()[i + 1], borderWidth: 2, pointRadius: 3 }))];
}
const smoothed = raw => smooth(raw, Math.min(.9, 1 - 8 / Math.max(16, raw.length) - .15));
