'use strict';
// The page of a run that goes on: DATA is the run when the page was made, the server tells what happens after.
const W = DATA.watch, S = DATA.steps, MOST = 3000;
let state = W.state, recent = [];

const badge = $('span', { className: 'badge', role: 'status' }), stop = $('button', { type: 'button', id: 'stop' }, 'Stop and save'), said = $('div', { className: 'sub', id: 'said' });
main.append($('div', { className: 'row' }, $('h1', {}, DATA.name), badge, stop), $('div', { className: 'sub' }, DATA.summary), said);
const cards = $('div', { className: 'cards' }); main.append(cards);
const card = k => { const v = $('div', { className: 'v' }, '-'), n = $('div', { className: 'n' }); cards.append($('div', { className: 'card' }, $('div', { className: 'k' }, k), v, n));
  return (value, note = '') => { v.textContent = value; n.textContent = note; }; };
const show = { step: card('step'), loss: card('loss'), valid: card('validation loss'), left: card('remaining'), speed: card('tokens per second'), memory: card('memory'), orth: card('orthogonality error') };

section('Curves', 'Loss is the mean over the trained tokens of a step. The line under the cursor is the same step in every curve.');
const grid = $('div', { className: 'grid' }); main.append(grid);
const span = () => Math.max(1, ...S.step.slice(-1)), raw = () => points(S.step, S.loss), axes = [];
const live = (title, sets, y, wide) => { const o = { last: span(), ...y }, c = curves(panel(grid, wide), title, sets, o); axes.push(() => { o.last = span(); c.fit(); }); return c; };
const lossChart = live('Loss', losses(raw(), DATA.valid), { log: true }, true);
const normChart = live('Gradient norm, before clipping', [{ data: points(S.step, S.grad_norm), borderColor: css('d') }], { log: true });
const rateChart = live('Learning rate', [{ data: points(S.step, S.lr), borderColor: css('c') }], { scale: { beginAtZero: true } });
const speedChart = live('Tokens per second, padding included', [{ data: points(S.step, S.tokens_per_second), borderColor: css('b') }], { scale: { beginAtZero: true } });
const most = (r, i) => Math.max(...Object.values(r.modules).map(m => m[i]));
const turns = i => DATA.rotations.map(r => ({ x: r.step, y: most(r, i) }));
let angleChart = null, orthChart = null;

const rotationHost = $('div'), answerHost = $('div'); main.append(rotationHost, answerHost);
main.append($('footer', {}, 'This page is served by Gyre on this machine and needs no network.'));

const time = s => !isFinite(s) ? '-' : s < 90 ? Math.round(s) + ' s' : s < 5400 ? Math.round(s / 60) + ' min' : (s / 3600).toFixed(1) + ' h';
const steps = () => W.steps ?? (W.epochs && W.epoch > 0 ? Math.ceil(span() * W.epochs / W.epoch) : null);

function numbers() {
  const n = S.step.length, all = steps(), last = n ? S.step[n - 1] : 0;
  show.step(count(last), all == null ? '' : 'of ' + (W.steps == null ? 'about ' : '') + count(all));
  if (n) show.loss(fixed(S.loss[n - 1], 4), 'gradient norm ' + sig(S.grad_norm[n - 1]) + ' · learning rate ' + sig(S.lr[n - 1]));
  const v = DATA.valid[0];
  if (v && v.loss.length) { const best = Math.min(...v.loss); show.valid(fixed(v.loss.at(-1), 4), `best ${fixed(best, 4)} at step ${v.step[v.loss.indexOf(best)]}`); }
  const each = recent.reduce((s, x) => s + x, 0) / recent.length;
  show.left(state === 'training' && all != null && recent.length ? time(each * (all - last)) : '-', recent.length ? (each < 1 ? fixed(1e3 * each, 0) + ' ms' : fixed(each, 2) + ' s') + ' a step' : '');
  if (n) show.speed(count(S.tokens_per_second[n - 1]), 'padding included');
  if (W.memory) show.memory(bytes(W.memory), 'of the process');
  const r = DATA.rotations.at(-1);
  if (r) show.orth(most(r, 2).toExponential(1), `largest angle ${most(r, 1).toFixed(1)}° at step ${r.step}`);
}

const WORDS = { training: 'training', stopping: 'stopping: the step is finished, then saved', measuring: 'measuring the result', finished: 'finished', stopped: 'stopped', lost: 'no connection' };
function status(next, text) {
  state = next;
  badge.textContent = WORDS[state] ?? state; badge.className = 'badge ' + state;
  stop.hidden = !['training', 'stopping'].includes(state); stop.disabled = state !== 'training';
  if (text != null) said.textContent = text;
}

let drawn = 0, due = false;
function draw() {
  due = false; drawn = Date.now();
  lossChart.data.datasets = losses(raw(), DATA.valid).map((s, i) => ({ clip: 6, pointRadius: 0, pointHitRadius: 0, ...s }));
  lossChart.options.plugins.legend.display = true;
  normChart.data.datasets[0].data = points(S.step, S.grad_norm); rateChart.data.datasets[0].data = points(S.step, S.lr); speedChart.data.datasets[0].data = points(S.step, S.tokens_per_second);
  if (DATA.rotations.length) {
    orthChart ??= live('Orthogonality error ‖RᵀR−I‖, largest', [{ data: [], borderColor: css('a'), pointRadius: 2 }], { log: true, scale: { beginAtZero: true } });
    angleChart ??= live('Largest rotation, degrees', [{ data: [], borderColor: css('a'), pointRadius: 2 }], { scale: { beginAtZero: true } });
    orthChart.data.datasets[0].data = turns(2); angleChart.data.datasets[0].data = turns(1);
    const r = DATA.rotations.at(-1), of = i => Object.fromEntries(Object.entries(r.modules).map(([n, v]) => [n, v[i]]));
    rotationHost.replaceChildren($('h2', {}, 'Rotation by layer'), $('p', {}, `Every adapted weight after step ${r.step}: the largest angle of its rotation, and how far the rotation is from orthogonal.`),
      $('div', { className: 'grid' }, heat('Angle, degrees', of(1), most(r, 1), x => x.toFixed(1)), heat('Orthogonality error ‖RᵀR−I‖', of(2), Math.max(1e-3, most(r, 2)), x => x === 0 ? '0' : x.toExponential(0))));
  }
  if (DATA.answered.length) {
    const A = DATA.answered.length > 6 ? [DATA.answered[0], ...DATA.answered.slice(-5)] : DATA.answered;
    answerHost.replaceChildren($('h2', {}, 'Answers during training'), $('p', {}, 'Held-out tasks, answered greedily after an evaluation; how many were right stands beside the step.'), answers(A));
  }
  axes.forEach(f => f());
  numbers();
}
// many steps a second are drawn together
function redraw() { if (due) return; due = true; setTimeout(draw, Math.max(0, 500 - (Date.now() - drawn))); }

function curve(name) { let v = DATA.valid.find(x => x.name === name); if (!v) DATA.valid.push(v = { name, step: [], loss: [] }); return v; }
function take(o) {
  if ('loss' in o) {
    S.step.push(o.step); S.loss.push(+o.loss); S.grad_norm.push(+o.grad_norm); S.lr.push(+o.lr); S.tokens_per_second.push(o.seconds > 0 ? o.tokens / o.seconds : 0);
    recent.push(o.seconds); if (recent.length > 50) recent.shift();
    if (o.process) W.memory = o.process;
    W.epoch = o.epoch;
    if (S.step.length > MOST) for (const k of Object.keys(S)) S[k] = S[k].map((x, i, all) => k === 'step' || i === 0 ? x : (x + all[i - 1]) / 2).filter((_, i) => i % 2);
  } else if ('valid_loss' in o) {
    const add = (v, x) => { v.step.push(o.step); v.loss.push(+x); };
    add(curve('validation'), o.valid_loss); Object.entries(o.also_valid ?? {}).forEach(([n, x]) => add(curve(n), x));
  } else if ('samples' in o) DATA.answered.push(o);
  else if ('modules' in o) { DATA.rotations.push({ step: o.step, modules: o.modules }); if (DATA.rotations.length > 500) DATA.rotations.splice(1, 1); }
}

stop.onclick = async () => {
  stop.disabled = true;
  try {
    const r = await fetch('stop', { method: 'POST', headers: { 'X-Gyre-Token': W.token } });
    if (r.ok) status('stopping'); else { said.textContent = await r.text(); stop.disabled = false; }
  } catch { status('lost', 'Gyre does not answer; Ctrl-C where the run was started stops it.'); }
};

status(W.state, W.text); recent = W.recent; draw();
const events = new EventSource('events?from=' + W.offset + '&run=' + encodeURIComponent(W.run));
let ended = false;
events.addEventListener('lines', e => { JSON.parse(e.data).forEach(take); redraw(); });
events.addEventListener('state', e => { const s = JSON.parse(e.data); ended = s.last; if (s.memory) W.memory = s.memory; if (!(state === 'stopping' && s.state === 'training')) status(s.state, s.text); redraw(); if (ended) events.close(); });
events.addEventListener('again', () => location.reload());
events.onerror = () => { if (!ended) status('lost', 'The connection to Gyre is gone; it is tried again.'); };
events.onopen = () => { if (state === 'lost') status('training', ''); };
