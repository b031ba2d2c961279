/* The field view's painters of the steps that lie in the plane. Each is given a pen: { g: the canvas's context, w, h: its size,
   colours }, and keeps what is costly until the scene changes. */
const flat = (() => {
const HALF = 2.3; /* of the plane that is shown, to the nearer edge */
const TURN = 2 * Math.PI;
/* From the plane to the canvas and back. */
function viewOf({ w, h }, zoom = 1) {
  const s = Math.min(w, h) / 2 / HALF / zoom;
  return { s, to: (x, y) => [w / 2 + s * x, h / 2 - s * y], from: (px, py) => [(px - w / 2) / s, (h / 2 - py) / s] };
}
/* Remembers what `make` made for as long as the key is the same. */
function kept(make) {
  let key = null, value;
  return (its, ...rest) => { if (its !== key) { value = make(...rest); key = its; } return value; };
}
const keyOf = (...parts) => JSON.stringify(parts);

/* ---- lines of force ---- */
/* By steps along the field's direction, short near a mass; `sign` 1 goes with the pull. */
function trace(s, x, y, sign, reach, near) {
  const points = [[x, y]];
  for (let k = 0; k < 700; k++) {
    const i = poisson.nearest(s, x, y), least = Math.hypot(s.x[i] - x, s.y[i] - y);
    if (Math.max(Math.abs(x), Math.abs(y)) > reach || (sign > 0 && least < near)) break;
    const h = sign * Math.max(0.008, 0.07 * least), along = (px, py, d) => { const f = poisson.force(s, px, py), n = Math.hypot(...f) || 1; return [px + d * f[0] / n, py + d * f[1] / n]; };
    const [mx, my] = along(x, y, h / 2), f = poisson.force(s, mx, my), n = Math.hypot(...f);
    if (!(n > 1e-6)) break; /* between the masses, where they cancel */
    x += h * f[0] / n; y += h * f[1] / n;
    points.push([x, y]);
  }
  return points;
}
/* From each mass as many as its weight says. */
const linesOut = kept((s, reach) => {
  const whole = s.w.reduce((a, b) => a + b, 0), c = poisson.centre(s), count = Math.min(112, 40 + 18 * s.x.length);
  return s.x.flatMap((x, i) => {
    const n = Math.max(4, Math.round(count * s.w[i] / whole)), first = Math.atan2(s.y[i] - c.y, x - c.x) + Math.PI / n;
    return Array.from({ length: n }, (_, k) => ({ of: i, points: trace(s, x + 0.03 * Math.cos(first + k * TURN / n), s.y[i] + 0.03 * Math.sin(first + k * TURN / n), -1, reach, 0) }));
  });
});
const AFAR = 75;
/* From afar inwards, even in angle; each belongs to the mass on which it ends. */
const linesIn = kept((s, c) => Array.from({ length: 72 }, (_, k) => {
  const angle = (k + 0.5) * TURN / 72, points = trace(s, c.x + AFAR * Math.cos(angle), c.y + AFAR * Math.sin(angle), 1, 2 * AFAR, 0.02);
  return { of: poisson.nearest(s, ...points[points.length - 1]), points };
}));
/* Three paths for each mass: a colour is set three times, and sparks do not run abreast. */
const LANES_OF = 3;
const pathsOf = kept((lines, view, n) => {
  const paths = Array.from({ length: n * LANES_OF }, () => new Path2D());
  for (const [i, { of, points }] of lines.entries()) points.forEach((p, k) => paths[of * LANES_OF + i * 2 % LANES_OF][k ? "lineTo" : "moveTo"](...view.to(...p)));
  return paths;
});
function chevron(g, [x, y], [fx, fy], size) {
  const n = Math.hypot(fx, fy) || 1, ux = fx / n, uy = fy / n;
  g.moveTo(x - size * (ux - 0.6 * uy), y - size * (uy + 0.6 * ux));
  g.lineTo(x, y);
  g.lineTo(x - size * (ux + 0.6 * uy), y - size * (uy - 0.6 * ux));
}
function strokeLines({ g, colours }, paths, lines, view, arrowAt, sign) {
  g.lineWidth = 1.4; g.lineJoin = g.lineCap = "round";
  g.globalAlpha = 0.6;
  paths.forEach((path, i) => { g.strokeStyle = colours.masses[Math.floor(i / LANES_OF)]; g.stroke(path); });
  g.globalAlpha = 0.85; g.lineWidth = 1.6;
  for (const [i, { of, points }] of lines.entries()) {
    const k = i % 2 ? -1 : arrowAt(points); /* a head on every other line, or they would be a fence */
    if (k < 1 || k >= points.length) continue;
    const a = view.to(...points[k - 1]), b = view.to(...points[k]);
    g.strokeStyle = colours.masses[of];
    g.beginPath(); chevron(g, b, [sign * (b[0] - a[0]), sign * (b[1] - a[1])], 5); g.stroke();
  }
  g.globalAlpha = 1;
}
const SPARK_GAP = 84;
/* Sparks that run along the lines to the masses. */
function strokeSparks({ g, colours }, paths, time, sign) {
  g.lineWidth = 3.4; g.lineCap = "round"; g.globalAlpha = 0.9;
  g.setLineDash([0.1, SPARK_GAP]);
  paths.forEach((path, i) => { g.lineDashOffset = sign * time * 42 + i * SPARK_GAP * 0.382; g.strokeStyle = colours.masses[Math.floor(i / LANES_OF)]; g.stroke(path); });
  g.setLineDash([]); g.globalAlpha = 1;
}

/* ---- marks ---- */
const sizeOf = w => 7 + 5 * Math.sqrt(w);
function mass({ g, colours }, x, y, i, w, picked) {
  const r = sizeOf(w);
  g.beginPath(); g.arc(x, y, r + 2, 0, TURN); g.fillStyle = colours.paper; g.fill();
  g.beginPath(); g.arc(x, y, r, 0, TURN); g.fillStyle = colours.masses[i]; g.fill();
  if (picked) { g.beginPath(); g.arc(x, y, r + 4, 0, TURN); g.lineWidth = 2; g.strokeStyle = colours.ink; g.stroke(); }
  g.fillStyle = colours.paper; g.font = `600 ${Math.round(r * 0.95)}px system-ui, sans-serif`; g.textAlign = "center"; g.textBaseline = "middle";
  g.fillText(String(i + 1), x, y + 0.5);
}
const masses = (pen, view) => scene.now.masses.forEach((m, i) => mass(pen, ...view.to(m.x, m.y), i, m.w, i === scene.now.picked));
function label({ g, colours }, text, x, y, align = "center") {
  g.font = "13px system-ui, sans-serif"; g.textAlign = align; g.textBaseline = "middle";
  const width = g.measureText(text).width + 10, left = { center: x - width / 2, left: x - 5, right: x - width + 5 }[align];
  g.fillStyle = colours.paper; g.globalAlpha = 0.85; g.fillRect(left, y - 10, width, 20); g.globalAlpha = 1;
  g.fillStyle = colours.ink; g.fillText(text, x, y);
}
/* The size of a point that moves: smaller on a small stage. */
const dotOf = ({ w, h }) => Math.min(2.5, Math.max(1.3, Math.min(w, h) / 240));
function circle({ g }, x, y, r) { g.beginPath(); g.arc(x, y, r, 0, TURN); }

/* ---- the steps ---- */
const reachOf = ({ w, h }) => 1.02 * HALF * Math.max(w, h) / Math.min(w, h);
function paintMasses(pen, time) {
  const s = scene.sources(), view = viewOf(pen), key = keyOf(s, pen.w, pen.h), lines = linesOut(key, s, reachOf(pen)), paths = pathsOf(key, lines, view, s.x.length);
  strokeLines(pen, paths, lines, view, (points => points.findIndex(p => Math.hypot(p[0] - points[0][0], p[1] - points[0][1]) > 0.62)), -1);
  if (time !== null) strokeSparks(pen, paths, time, 1);
  masses(pen, view);
}
function paintAfar(pen, time) {
  const { g, colours } = pen, s = scene.sources(), c = poisson.centre(s), view = viewOf(pen, scene.now.zoom), lines = linesIn(keyOf(s), s, c);
  const paths = pathsOf(keyOf(s, pen.w, pen.h, scene.now.zoom), lines, view, s.x.length), [cx, cy] = view.to(c.x, c.y);
  g.strokeStyle = colours.ink; g.globalAlpha = 0.22; g.lineWidth = 1;
  g.beginPath();
  for (const { points: [p] } of lines) { const to = view.to(...p), d = Math.hypot(to[0] - cx, to[1] - cy); g.moveTo(to[0], to[1]); g.lineTo(cx + (to[0] - cx) / d * 26, cy + (to[1] - cy) / d * 26); }
  g.stroke(); g.globalAlpha = 0.8; g.beginPath();
  for (const [dx, dy] of [[5, 0], [0, 5]]) { g.moveTo(cx - dx, cy - dy); g.lineTo(cx + dx, cy + dy); } /* the centre of mass */
  g.stroke(); g.globalAlpha = 1;
  const middle = Math.min(pen.w, pen.h) * 0.36 / view.s;
  strokeLines(pen, paths, lines, view, points => points.findIndex(p => Math.hypot(p[0] - c.x, p[1] - c.y) < middle), 1);
  if (time !== null) strokeSparks(pen, paths, time, -1);
  for (const [level, text] of [[0.1, "10 %"], [0.01, "1 %"]]) {
    const r = view.s * farOf(level);
    if (!(r > 0)) continue;
    g.strokeStyle = colours.ink; g.lineWidth = level < 0.05 ? 2.2 : 1.4; g.globalAlpha = 0.8;
    circle(pen, cx, cy, r); g.stroke();
    if (r < Math.hypot(pen.w, pen.h) / 2) label(pen, text, cx, Math.max(14, cy - r));
  }
  scene.now.masses.forEach((m, i) => { /* small from afar */
    const [x, y] = view.to(m.x, m.y), r = sizeOf(m.w) / Math.max(1, scene.now.zoom ** 0.75);
    if (scene.now.zoom < 1.3) { mass(pen, x, y, i, m.w, false); return; }
    circle(pen, x, y, r + 1); g.fillStyle = colours.paper; g.fill();
    circle(pen, x, y, r); g.fillStyle = colours.masses[i]; g.fill();
  });
}
const far = kept(s => { const c = poisson.centre(s); return new Map([0.1, 0.01].map(level => [level, poisson.farFrom(s, c, level)])); });
const farOf = level => { const s = scene.sources(); return far(keyOf(s), s).get(level); };

const ring = kept(n => ({ x: Array.from({ length: n }, (_, k) => Math.cos(k * TURN / n)), y: Array.from({ length: n }, (_, k) => Math.sin(k * TURN / n)), w: Array(n).fill(1) }));
const shell = () => ring(scene.now.shell, scene.now.shell);
function arrow({ g }, x, y, fx, fy, length) {
  const n = Math.hypot(fx, fy) || 1, ux = fx / n, uy = -fy / n, tipX = x + length * ux / 2, tipY = y + length * uy / 2;
  g.beginPath(); g.moveTo(x - length * ux / 2, y - length * uy / 2); g.lineTo(tipX, tipY); chevron(g, [tipX, tipY], [ux, uy], Math.min(6, length * 0.3)); g.stroke();
}
function paintShell(pen) {
  const { g, colours } = pen, s = shell(), view = viewOf(pen), gap = 0.23, { px, py } = scene.now;
  circle(pen, ...view.to(0, 0), view.s); g.fillStyle = colours.accent; g.globalAlpha = 0.05; g.fill(); g.globalAlpha = 1;
  const columns = Math.floor(HALF * pen.w / Math.min(pen.w, pen.h) / gap), rows = Math.floor(HALF * pen.h / Math.min(pen.w, pen.h) / gap);
  g.lineCap = "round"; g.lineWidth = 1.5; g.strokeStyle = colours.accent; g.fillStyle = colours.soft;
  for (let i = -columns; i <= columns; i++) for (let k = -rows; k <= rows; k++) {
    const x = gap * i, y = gap * k, [cx, cy] = view.to(x, y);
    if (Math.abs(Math.hypot(x, y) - 1) < 0.07) continue; /* right at the shell the nearest mass is all */
    const f = poisson.force(s, x, y), strength = Math.hypot(...f);
    g.globalAlpha = Math.min(1, 0.25 + strength);
    if (strength < 0.02) { circle(pen, cx, cy, 1.2); g.fill(); } else arrow(pen, cx, cy, ...f, view.s * gap * 0.9 * Math.min(1, strength + 0.08));
  }
  g.globalAlpha = 1; g.fillStyle = colours.ink;
  s.x.forEach((x, i) => { circle(pen, ...view.to(x, s.y[i]), s.x.length > 60 ? 2.6 : 4.5); g.fill(); });
  const f = poisson.force(s, px, py), [x, y] = view.to(px, py), strength = Math.hypot(...f);
  circle(pen, x, y, 10); g.fillStyle = colours.paper; g.fill(); g.lineWidth = 3; g.strokeStyle = colours.masses[1]; g.stroke();
  if (strength > 0.004) {
    const length = view.s * 0.75 * Math.min(1.4, strength), ux = f[0] / strength, uy = f[1] / strength;
    arrow(pen, x + (11 + length / 2) * ux, y - (11 + length / 2) * uy, ...f, length);
  }
}
/* The probe's force over what it is just outside the shell, at a tenth of its radius. */
const probed = () => Math.hypot(...poisson.force(shell(), scene.now.px, scene.now.py)) * 1.1;

/* ---- collapse ---- */
const WALKERS = 300, FRAMES = 300, DATA = 24; /* data of each disc */
/* All walkers at all frames, [frame][x, y of each]. Their speed is the root of the field's strength, so that they come to a stop. */
const walks = kept((s, radius, seed) => {
  const f = [0, 0], pace = (x, y) => { poisson.discForce(s, disc, x, y, f); const root = Math.sqrt(Math.sqrt(f[0] * f[0] + f[1] * f[1])) || 1; f[0] /= root; f[1] /= root; };
  const draw = poisson.random(seed), at = new Float64Array(2 * WALKERS), frames = [], dt = 0.024, disc = Math.max(radius, 0.03);
  for (let i = 0; i < WALKERS; i++) {
    const angle = TURN * draw(), r = Math.sqrt(1.75 ** 2 + (2.25 ** 2 - 1.75 ** 2) * draw());
    at[2 * i] = r * Math.cos(angle); at[2 * i + 1] = r * Math.sin(angle);
  }
  for (let k = 0; k < FRAMES; k++) {
    frames.push(Float32Array.from(at));
    for (let i = 0; i < WALKERS; i++) {
      const x = at[2 * i], y = at[2 * i + 1];
      pace(x, y);
      pace(x + dt / 2 * f[0], y + dt / 2 * f[1]);
      at[2 * i] = x + dt * f[0]; at[2 * i + 1] = y + dt * f[1];
    }
  }
  return frames;
});
const walkers = () => { const s = scene.sources(), { spread, seed } = scene.now; return walks(keyOf(s, spread, seed), s, spread, seed); };
const data = kept((s, radius) => poisson.spread(s, radius, DATA));
const dataNow = () => { const s = scene.sources(); return data(keyOf(s, scene.now.spread), s, scene.now.spread); };
/* On how many spots they ended, how many data they are nearest to and close by, and how many have stopped. */
const ended = kept((frames, d, radius) => {
  const last = frames[FRAMES - 1], spots = [], reached = new Set(), close = radius > 0 ? radius / Math.sqrt(DATA) : 0.06;
  for (let i = 0; i < WALKERS; i++) {
    const x = last[2 * i], y = last[2 * i + 1], k = poisson.nearest(d, x, y);
    const spot = spots.find(its => Math.hypot(its.x - x, its.y - y) < 0.06);
    if (spot) spot.n++; else spots.push({ x, y, n: 1 });
    if (Math.hypot(d.x[k] - x, d.y[k] - y) < close) reached.add(k);
  }
  return { spots, reached: reached.size, data: d.x.length };
});
const outcome = () => ended(keyOf(scene.sources(), scene.now.spread, scene.now.seed), walkers(), dataNow(), scene.now.spread);
const TRAIL = 40;
function paintCollapse(pen) {
  const { g, colours } = pen, view = viewOf(pen), frames = walkers(), d = dataNow(), frame = Math.round(scene.now.at * (FRAMES - 1));
  const s = scene.sources();
  s.x.forEach((x, i) => { circle(pen, ...view.to(x, s.y[i]), view.s * Math.max(scene.now.spread, 0.03)); g.fillStyle = colours.masses[i]; g.globalAlpha = 0.12; g.fill(); });
  g.globalAlpha = 0.75;
  d.x.forEach((x, i) => { circle(pen, ...view.to(x, d.y[i]), 2.2); g.fillStyle = colours.masses[d.of[i]]; g.fill(); });
  g.strokeStyle = colours.ink; g.lineWidth = 1;
  for (const [first, alpha] of [[0, 0.09], [Math.max(0, frame - TRAIL), 0.2]]) { /* all of the path, and its last part */
    g.globalAlpha = alpha; g.beginPath();
    for (let i = 0; i < WALKERS; i++) for (let k = first; k <= frame; k += 4) g[k === first ? "moveTo" : "lineTo"](...view.to(frames[k][2 * i], frames[k][2 * i + 1]));
    g.stroke();
  }
  const dot = dotOf(pen);
  g.globalAlpha = 0.9; g.fillStyle = colours.ink;
  g.beginPath();
  for (let i = 0; i < WALKERS; i++) {
    const [x, y] = view.to(frames[frame][2 * i], frames[frame][2 * i + 1]);
    g.moveTo(x + dot, y); g.arc(x, y, dot, 0, TURN);
  }
  g.fill();
  g.globalAlpha = 1;
  if (frame < FRAMES - 1) return;
  for (const { x, y, n } of outcome().spots) { /* how many stand there, one upon the other */
    const [cx, cy] = view.to(x, y), r = 5 + 0.9 * Math.sqrt(n);
    circle(pen, cx, cy, r); g.strokeStyle = colours.paper; g.lineWidth = 5; g.stroke(); g.strokeStyle = colours.ink; g.lineWidth = 2.5; g.stroke();
    if (n > 4) label(pen, String(n), cx, cy - r - 14);
  }
}
return { viewOf, kept, keyOf, label, circle, dotOf, sizeOf, mass, farOf, probed, outcome, dataNow, DATA, paintMasses, paintAfar, paintShell, paintCollapse };
})();
