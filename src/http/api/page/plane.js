/* Vectors of two numbers: points in the plane, and their paths there. */
const PATHS = 64, STOPS = 16;
let drawn = [];
async function vectors(body) {
  const answer = await post("v1/images", Object.assign({ dtype: "float32", format: "npy" }, body), "application/x-npy", running.signal);
  const data = await whole(answer, "arrayBuffer"), head = new DataView(data);
  return { seed: answer.headers.get("X-Pfgm-Seed"), values: new Float32Array(data.slice(10 + head.getUint16(8, true))) };
}
/* What the flow gives when it is stopped at t, for ever smaller t: by the seed rule the same points each time. */
async function scatter(body, m) {
  delete body.preview_every;
  const solver = body.solver || {}, from = (solver.t_max ?? m.default_solver.t_max) * .9, to = solver.t_min ?? m.default_solver.t_min;
  const all = await vectors(body), stops = [];
  if (isPlane(m)) {
    draw(drawn = [all.values]);
    for (let i = 0; i < STOPS; i++) {
      stops.push((await vectors({ ...body, seed: all.seed, n: Math.min(body.n, PATHS), solver: { ...solver, t_min: from * (to / from) ** (i / STOPS) } })).values);
      $("progress").value = (i + 1) / STOPS;
    }
    await play([...stops, all.values]);
  }
  $("progress").value = 1;
  run.facts.seed = all.seed;
  say(`${body.n} ${isPlane(m) ? "points" : "vectors"}, seed ${all.seed}`);
}
async function play(stops) {
  const frames = matchMedia("(prefers-reduced-motion: reduce)").matches ? [stops.length] : stops.map((_, i) => i + 1);
  for (const k of frames) {
    draw(drawn = stops.slice(0, k), stops);
    await new Promise(done => setTimeout(done, 60));
  }
}
/* The last of `states` as points, the ways through all of them as lines; to the scale of `whole`. */
function draw(states, whole = states) {
  const c = $("plane"), g = c.getContext("2d"), style = getComputedStyle(document.documentElement);
  const last = states[states.length - 1] || [], half = c.width / 2;
  const reach = 1.1 * whole.reduce((most, s) => s.reduce((a, b) => Math.max(a, Math.abs(b)), most), 1e-9);
  const x = v => half * (1 + v / reach), y = v => half * (1 - v / reach);
  g.clearRect(0, 0, c.width, c.height);
  g.lineWidth = 1.5; g.strokeStyle = style.getPropertyValue("--line");
  g.beginPath(); g.moveTo(half, 0); g.lineTo(half, c.height); g.moveTo(0, half); g.lineTo(c.width, half); g.stroke();
  g.strokeStyle = style.getPropertyValue("--soft"); g.globalAlpha = .45;
  const ways = states.reduce((least, s) => Math.min(least, s.length), Infinity);
  for (let i = 0; i + 1 < ways; i += 2) {
    g.beginPath();
    for (const s of states) g.lineTo(x(s[i]), y(s[i + 1]));
    g.stroke();
  }
  g.fillStyle = style.getPropertyValue("--accent"); g.globalAlpha = .8;
  for (let i = 0; i + 1 < last.length; i += 2) {
    g.beginPath(); g.arc(x(last[i]), y(last[i + 1]), 7, 0, 7); g.fill();
  }
  g.globalAlpha = 1;
}
