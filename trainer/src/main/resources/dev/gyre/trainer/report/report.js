'use strict';
const R = DATA.results, S = DATA.steps, last = Math.max(1, ...S.step, 1);

main.append($('h1', {}, DATA.name), $('div', { className: 'sub' }, DATA.summary));
if (DATA.warnings.length) main.append($('div', { className: 'warnings' }, $('b', {}, DATA.warnings.length === 1 ? 'Worth a look' : DATA.warnings.length + ' things worth a look'),
  $('ul', {}, ...DATA.warnings.map(w => $('li', {}, w)))));
if (R) {
  const cards = $('div', { className: 'cards' }); main.append(cards);
  const card = (k, v, n, cls = '') => cards.append($('div', { className: 'card' }, $('div', { className: 'k' }, k), $('div', { className: 'v ' + cls }, v), $('div', { className: 'n' }, n)));
  const b = R.before, a = R.after, better = (x, y) => x > y ? 'good' : x < y ? 'bad' : '';
  if (a.exact != null) card('exact answers', percent(a.exact), `before ${percent(b.exact)} · ${a.answered} tasks`, better(a.exact, b.exact));
  if (a.tokens != null) card('right tokens', percent(a.tokens), `before ${percent(b.tokens)}`, better(a.tokens, b.tokens));
  if (a.loss != null) card('validation loss', fixed(a.loss, 4), `before ${fixed(b.loss, 4)} · perplexity ${fixed(Math.exp(a.loss), 3)}`, better(b.loss, a.loss));
  if (a.forgetting != null) card('loss on base data', fixed(a.forgetting, 4), `before ${fixed(b.forgetting, 4)}${a.kept == null ? '' : ` · exact ${percent(b.kept)} → ${percent(a.kept)}`}`, DATA.forgot ? 'bad' : b.forgetting - a.forgetting > .05 ? 'good' : '');
  card('trained', count(R.trained), `${(100 * R.trained / R.parameters).toFixed(2)} % of ${count(R.parameters)}`);
  card('step', R.step_seconds < 1 ? fixed(1e3 * R.step_seconds, 0) + ' ms' : fixed(R.step_seconds, 2) + ' s', `median · ${count(R.tokens_per_second)} tokens/s`);
  card('memory', bytes(R.memory.planned), 'planned' + (R.memory.process ? ` · process ${bytes(R.memory.process)}` : ''));
  card('file', bytes(R.result_bytes), 'the result');
  if (R.rotation) card('rotation', fixed(R.rotation.angle, 1) + '°', `largest · ‖RᵀR−I‖ ${R.rotation.defect.toExponential(0)}`);
}

if (S.step.length) {
  section('Curves', 'Loss is the mean over the trained tokens of a step. The line under the cursor is the same step in every curve.');
  const g = $('div', { className: 'grid' }); main.append(g);
  curves(panel(g, true), 'Loss', losses(points(S.step, S.loss), DATA.valid), { last, log: true });
  curves(panel(g), 'Gradient norm, before clipping', [{ data: points(S.step, S.grad_norm), borderColor: css('d') }], { last, log: true });
  curves(panel(g), 'Learning rate', [{ data: points(S.step, S.lr), borderColor: css('c') }], { last, scale: { beginAtZero: true } });
  curves(panel(g), 'Tokens per second, padding included', [{ data: points(S.step, S.tokens_per_second), borderColor: css('b') }], { last, scale: { beginAtZero: true } });
  if (DATA.rotations.length) curves(panel(g), 'Largest rotation, degrees', [{ data: DATA.rotations.map(r => ({ x: r.step, y: Math.max(...Object.values(r.modules).map(m => m[1])) })), borderColor: css('a'), pointRadius: 2 }], { last, scale: { beginAtZero: true } });
}

if (DATA.rotations.length) {
  section('Rotation by layer', 'Every adapted weight: the largest angle of its rotation, and how far the rotation is from orthogonal.');
  const host = $('div', { className: 'grid' }), step = $('span'), slide = $('input', { type: 'range', min: 0, max: DATA.rotations.length - 1, value: DATA.rotations.length - 1, style: 'width:min(420px,60vw)' });
  slide.setAttribute('aria-label', 'step');
  main.append($('div', { className: 'row' }, slide, step, $('span', { className: 'hint' }, 'the slider shows earlier steps')), host);
  const most = i => Math.max(...DATA.rotations.flatMap(r => Object.values(r.modules).map(v => v[i])));
  const of = (r, i) => Object.fromEntries(Object.entries(r.modules).map(([n, v]) => [n, v[i]]));
  const draw = () => { const r = DATA.rotations[+slide.value]; step.textContent = 'step ' + r.step;
    host.replaceChildren(heat('Angle, degrees', of(r, 1), most(1), x => x.toFixed(1)), heat('Orthogonality error ‖RᵀR−I‖', of(r, 2), Math.max(1e-3, most(2)), x => x === 0 ? '0' : x.toExponential(0))); };
  slide.addEventListener('input', draw); draw();
}

if (DATA.energy.length) {
  section('Hyperspherical energy', 'Mean of 1 / distance between the directions of two neurons of a weight, before, and its change after merging the adapter. Orthogonal fine-tuning keeps it.');
  const g = $('div', { className: 'grid' }), e = f => Object.fromEntries(DATA.energy.map(x => [x.weight, f(x)])), change = e(x => 100 * (x.after / x.before - 1)); main.append(g);
  g.append(heat('Before', e(x => x.before), Math.max(...DATA.energy.map(x => x.before)) * 2, x => x.toFixed(3)),
    heat('Change, %', change, Math.max(...Object.values(change).map(Math.abs)), x => Math.abs(x) < .01 ? x.toExponential(0) : x.toFixed(2)));
}

if (DATA.timings.length) {
  section('Where the time goes', 'Operations of one training step on the finished model, measured one by one, each at its fastest of three. The rest of a step is what happens between them.');
  const p = $('div', { className: 'panel wide' }), all = DATA.timings.reduce((s, t) => s + t.seconds, 0); main.append(p);
  const box = chart(p, { type: 'bar', data: { labels: DATA.timings.map(t => t.kind), datasets: [{ data: DATA.timings.map(t => 100 * t.seconds / all), backgroundColor: css('a'), borderRadius: 3, maxBarThickness: 18 }] },
    options: { indexAxis: 'y', plugins: { tooltip: { callbacks: { label: t => { const k = DATA.timings[t.dataIndex]; return ` ${t.parsed.x.toFixed(1)} % · ${(1e3 * k.seconds).toFixed(2)} ms in ${k.calls} calls` + (k.gflops ? ` · ${k.gflops.toFixed(1)} GFLOP/s` : ''); } } } },
      scales: { x: { title: { display: true, text: '% of ' + (1e3 * all).toFixed(1) + ' ms' }, grid: { color: css('line') } }, y: { grid: { display: false }, ticks: { autoSkip: false } } } } });
  box.canvas.parentNode.style.height = 60 + 24 * DATA.timings.length + 'px';
}

if (DATA.data) {
  const d = DATA.data;
  section('Data', `${count(d.examples)} examples, ${count(d.tokens)} tokens, ${percent(d.targets / d.tokens)} of them trained · ${count(d.truncated)} truncated · ${count(d.dropped)} dropped.`);
  const p = $('div', { className: 'panel' }); main.append(p); p.append($('h3', {}, 'Tokens in an example'));
  chart(p, { type: 'bar', data: { labels: d.histogram.map(h => h[0] === h[1] ? h[0] : h[0] + '–' + h[1]), datasets: [{ data: d.histogram.map(h => h[2]), backgroundColor: css('c'), borderRadius: 2, categoryPercentage: .96, barPercentage: .96 }] },
    options: { scales: { x: { grid: { display: false }, title: { display: true, text: 'tokens' } }, y: { grid: { color: css('line') }, title: { display: true, text: 'examples' } } } } });
  main.append($('p', { style: 'margin-top:14px' }, 'Examples as the model sees them; what is marked counts in the loss:'));
  for (const e of d.shown) main.append($('div', { className: 'tok' }, ...e.map(t => $(t[1] ? 'b' : 'i', {}, t[0]))));
}

if (DATA.answered.length) {
  const A = DATA.answered;
  section('Answers during training', 'Held-out tasks, answered greedily after an evaluation; how many were right stands beside the step.');
  main.append(answers(A));
}

if (DATA.samples.length) {
  section('Answers before and after', 'Held-out tasks, answered greedily.');
  main.append($('div', { className: 'panel' }, table(['task', 'expected', 'base model', 'result'], DATA.samples.map(s => [$('td', { className: 't' }, s.prompt), $('td', { className: 't' }, s.expected ?? ''), ok(s, s.before), ok(s, s.after)]), 'left')));
}

if (DATA.merge) {
  section('Merge check');
  const m = DATA.merge;
  main.append(m.relative === undefined
    ? $('p', {}, `Left out: the merged weights in F32 would take ${bytes(m.bytes)}, more than the training took. gyre merge RUN --out DIR --verify looks.`)
    : $('p', {}, `Merged into the base weights (F32), the model's logits on random tokens differ from those of base and adapter by at most ${m.relative.toExponential(1)} of the largest logit: `,
      $('b', { className: m.relative <= 1e-4 ? 'good' : 'bad' }, m.relative <= 1e-4 ? 'the same model.' : 'more than rounding.')));
}
section('Configuration and origin');
main.append($('details', {}, $('summary', {}, 'run.yaml, resolved'), $('pre', {}, DATA.config)), $('details', {}, $('summary', {}, 'provenance.json'), $('pre', {}, DATA.provenance)));
