/* The field view's painters of the steps with the added dimension: the data on the floor t = 0, the plane t = T above it, seen from
   far away (lines that are parallel stay parallel). */
const solid = (() => {
const TURN = 2 * Math.PI;
const STARTS = 300, END = 1e-9; /* lines are followed to this height: some come in along the floor */
const reachNow = () => { const c = poisson.centre(scene.sources()); return { ...c, reach: Math.max(0.3, c.reach + scene.now.spread) }; };
const topNow = () => scene.now.T * Math.max(0.3, poisson.centre(scene.sources()).reach);

/* `width`: what of the floor is to be seen to each side of the centre c. Looking straight down is the plane as the other steps have it;
   from the side there is room for more (`fit`), and the floor stands lower (`sink`), both as shares of the height. */
function cameraOf({ w, h }, c, width, { yaw, tilt }, { fit, sink }) {
  const a = yaw * Math.PI / 180, b = tilt * Math.PI / 180, ca = Math.cos(a), sa = Math.sin(a), sb = Math.sin(b), cb = Math.cos(b);
  const s = Math.min(w / 2, h * (0.5 + fit * cb)) / width, down = h * (0.5 + sink * cb);
  return { s,
    to: (x, y, t = 0) => { const dx = x - c.x, dy = y - c.y; return [w / 2 + s * (dx * ca + dy * sa), down - s * ((dy * ca - dx * sa) * sb + t * cb)]; },
    from: (px, py) => { const X = (px - w / 2) / s, Y = (down - py) / s / sb; return [c.x + X * ca - Y * sa, c.y + X * sa + Y * ca]; } };
}
function polygon(g, points) { points.forEach((p, k) => g[k ? "lineTo" : "moveTo"](...p)); }
/* A square sheet about the centre at height t, with a grid. */
function sheet({ g, colours }, camera, c, half, t, { gap, alpha, line }) {
  const corner = (x, y) => camera.to(c.x + x * half, c.y + y * half, t);
  g.beginPath(); polygon(g, [corner(-1, -1), corner(1, -1), corner(1, 1), corner(-1, 1)]); g.closePath();
  g.fillStyle = colours.accent; g.globalAlpha = alpha; g.fill();
  g.strokeStyle = colours.soft; g.lineWidth = 1; g.globalAlpha = line * 1.6; g.stroke();
  g.globalAlpha = line * 0.6; g.beginPath();
  for (let k = Math.ceil(-half / gap); k * gap <= half; k++) {
    g.moveTo(...camera.to(c.x + k * gap, c.y - half, t)); g.lineTo(...camera.to(c.x + k * gap, c.y + half, t));
    g.moveTo(...camera.to(c.x - half, c.y + k * gap, t)); g.lineTo(...camera.to(c.x + half, c.y + k * gap, t));
  }
  g.stroke(); g.globalAlpha = 1;
}
/* 1, 2 or 5 times a power of ten, some eight to a sheet. */
function gapOf(half) {
  const power = 10 ** Math.floor(Math.log10(half / 4)), left = half / 4 / power;
  return power * (left < 2 ? 1 : left < 5 ? 2 : 5);
}
/* The data on the floor, or the masses where they are points. */
function floor(pen, camera, dots, width) {
  const { g, colours } = pen, d = flat.dataNow();
  if (scene.now.spread > 0) {
    g.lineWidth = Math.min(1.3, dots / 2);
    d.x.forEach((x, i) => { flat.circle(pen, ...camera.to(x, d.y[i]), dots); g.strokeStyle = colours.masses[d.of[i]]; g.stroke(); });
    if (dots > 2) scene.now.masses.forEach((m, i) => { const [x, y] = camera.to(m.x, m.y); flat.label(pen, String(i + 1), x, y + camera.s * scene.now.spread * 0.75 + 16); });
  } else scene.now.masses.forEach((m, i) => {
    const [x, y] = camera.to(m.x, m.y);
    if (width < 5) flat.mass(pen, x, y, i, m.w, false);
    else { flat.circle(pen, x, y, Math.max(3, flat.sizeOf(m.w) * 4 / width)); g.fillStyle = colours.masses[i]; g.fill(); }
  });
}

/* ---- the half-sphere and its projection ---- */
const BEAMS = 84;
const dots = flat.kept(seed => poisson.directions(STARTS, seed));
const startsNow = () => dots(scene.now.seed, scene.now.seed);
/* From each mass some lines upwards, evenly in all directions, to the plane t = T. */
const rising = flat.kept((s, T) => {
  const whole = s.w.reduce((a, b) => a + b, 0), golden = Math.PI * (3 - Math.sqrt(5)), near = 0.02, p = [0, 0];
  return s.x.flatMap((x, i) => {
    const n = Math.max(5, Math.round(BEAMS * s.w[i] / whole));
    return Array.from({ length: n }, (_, k) => {
      const h = (k + 0.5) / n, r = Math.sqrt(1 - h * h), up = poisson.line(s, x + near * r * Math.cos(k * golden), s.y[i] + near * r * Math.sin(k * golden), near * h, T, 1e-4);
      const points = [[x, s.y[i], 0], ...up.u.map((u, j) => [up.x[j], up.y[j], Math.exp(u)])];
      return { of: i, points };
    });
  });
});
function paintLift(pen, turn) {
  const { g, colours } = pen, c = reachNow(), T = topNow(), half = 1.9 * T, out = scene.now.at, flatness = (turn.tilt - 26) / 64;
  const width = Math.max(flat.viewOf({ w: 2, h: 2 }).from(2, 0)[0], 0) * Math.max(0, flatness) + 2.6 * T * (1 - Math.max(0, flatness));
  const camera = cameraOf(pen, c, width, turn, { fit: 0.28, sink: 0.13 }), s = scene.sources(), ball = (x, y, h) => camera.to(c.x + T * x, c.y + T * y, T * h);
  sheet(pen, camera, c, half, 0, { gap: gapOf(half), alpha: 0.05, line: 0.3 });
  floor(pen, camera, Math.min(5, Math.max(1, 0.028 * camera.s)), width);
  g.lineWidth = 1.2; g.lineJoin = "round";
  for (const { of, points } of rising(flat.keyOf(s, T), s, T)) {
    g.strokeStyle = colours.masses[of]; g.globalAlpha = 0.45; g.beginPath();
    polygon(g, points.filter(p => Math.max(Math.abs(p[0] - c.x), Math.abs(p[1] - c.y)) < half).map(p => camera.to(...p)));
    g.stroke();
  }
  /* the half-sphere: circles of height and of direction */
  g.strokeStyle = colours.accent; g.lineWidth = 1.1; g.globalAlpha = 0.4; g.beginPath();
  const hoop = Array.from({ length: 73 }, (_, k) => [Math.cos(k * TURN / 72), Math.sin(k * TURN / 72)]);
  for (const h of [0, 0.25, 0.5, 0.75, 0.93]) { const r = Math.sqrt(1 - h * h); polygon(g, hoop.map(([x, y]) => ball(r * x, r * y, h))); }
  for (let k = 0; k < 6; k++) polygon(g, hoop.slice(0, 37).map(([x, y]) => ball(x * Math.cos(k * TURN / 12), x * Math.sin(k * TURN / 12), y)));
  g.stroke();
  sheet(pen, camera, c, half, T, { gap: gapOf(half), alpha: 0.07, line: 0.3 });
  if (turn.tilt < 80) {
    const [x, y] = camera.to(c.x + half, c.y - half, T), [fx, fy] = camera.to(c.x + half, c.y - half, 0);
    flat.label(pen, "t = T", Math.min(x + 8, pen.w - 42), y, "left"); flat.label(pen, "t = 0", Math.min(fx + 8, pen.w - 42), fy, "left");
  }
  profile(pen, camera, c, T, half, out);
  /* the dots on their way out of the sphere, each along its ray */
  const middle = camera.to(c.x, c.y, 0), outside = ([x, y, h], by) => Math.max(Math.abs(x), Math.abs(y)) * T * by > half && h * by > 0;
  const placed = startsNow().map(d => { const by = 1 + (1 / d[2] - 1) * out; return { d, by, at: ball(d[0] * by, d[1] * by, d[2] * by), gone: outside(d, by) }; });
  g.strokeStyle = colours.ink; g.globalAlpha = 0.1; g.lineWidth = 1; g.beginPath();
  for (const { at, gone } of placed.slice(0, 90)) if (!gone) { g.moveTo(...middle); g.lineTo(...at); }
  g.stroke();
  const dot = flat.dotOf(pen);
  g.fillStyle = colours.ink; g.globalAlpha = 0.9; g.beginPath();
  for (const { at: [x, y], gone } of placed) if (!gone) { g.moveTo(x + dot, y); g.arc(x, y, dot, 0, TURN); }
  g.fill(); g.globalAlpha = 1;
}
/* The prior's density along a line of the plane t = T, which rises as the dots arrive. */
function profile({ g, colours }, camera, c, T, half, out) {
  const high = 0.55 * T * Math.max(0, out * 1.6 - 0.6), turn = scene.now.yaw * Math.PI / 180;
  if (high <= 0) return;
  const along = Array.from({ length: 81 }, (_, k) => half * (k / 40 - 1)), place = (r, t) => camera.to(c.x + r * Math.cos(turn), c.y + r * Math.sin(turn), t);
  const curve = along.map(r => place(r, T + high * poisson.density(r, T) / poisson.density(0, T)));
  g.beginPath(); polygon(g, [place(-half, T), ...curve, place(half, T)]); g.closePath();
  g.fillStyle = colours.accent; g.globalAlpha = 0.16; g.fill();
  g.beginPath(); polygon(g, curve); g.strokeStyle = colours.accent; g.lineWidth = 2; g.globalAlpha = 1; g.stroke();
}

/* ---- the fall ---- */
/* From T at 0 to the floor at 1: by powers as long as t is large, evenly at the end. */
const heightAt = (at, T, reach) => at >= 1 ? 0 : reach * Math.sinh((1 - at) * Math.asinh(T / reach));
const fall = { key: "", lines: [], doing: null };
/* Works on the lines of the scene for some milliseconds. What is begun is brought to its end and shown, also when the scene goes on
   to change, so that the picture follows a hand. */
function work(ms) {
  if (!fall.doing) {
    const s = flat.dataNow(), c = poisson.centre(scene.sources()), T = topNow(), key = flat.keyOf(s.x, s.y, s.w, T, scene.now.seed);
    if (fall.key === key) return false;
    fall.doing = { key, s, c, T, all: startsNow(), lines: [] };
  }
  const until = performance.now() + ms, { key, s, c, T, all, lines } = fall.doing, p = [0, 0];
  while (lines.length < STARTS && performance.now() < until) {
    const [x, y] = poisson.start(all[lines.length], T), line = poisson.line(s, c.x + x, c.y + y, T, END, 1e-4);
    poisson.along(line, 0, p);
    const dot = poisson.nearest(s, ...p);
    lines.push({ line, dot, of: s.of[dot] });
  }
  if (lines.length === STARTS) Object.assign(fall, { key, lines, T, c, doing: null });
  return true;
}
/* How many of the points ended at each mass, and on how many of the data. */
function shares() {
  const counts = scene.now.masses.map(() => 0), reached = new Set();
  for (const { of, dot } of fall.lines) { counts[of] = (counts[of] || 0) + 1; reached.add(dot); }
  return { counts, reached: reached.size, data: flat.dataNow().x.length, all: fall.lines.length };
}
const FALLING = { fit: 0.12, sink: 0.27 };
function paintFall(pen, turn) {
  if (!fall.lines.length) return;
  const { g, colours } = pen, c = reachNow(), { T, lines } = fall, t = heightAt(scene.now.at, T, c.reach), p = [0, 0];
  const width = Math.max(1.3 * c.reach, 1.55 * t), camera = cameraOf(pen, c, width, turn, FALLING), half = width * 1.15, n = scene.now.masses.length;
  const inside = (x, y) => Math.max(Math.abs(x - c.x), Math.abs(y - c.y)) <= half;
  sheet(pen, camera, c, half, 0, { gap: gapOf(half), alpha: 0.05, line: 0.3 });
  floor(pen, camera, Math.min(5, Math.max(1.2, 0.028 * camera.s)), width);
  const dot = flat.dotOf(pen);
  /* what has been fallen through, where it is in the picture */
  const paths = Array.from({ length: n }, () => new Path2D()), points = Array.from({ length: n }, () => new Path2D()), top = Math.min(T, width * 1.2);
  for (const { line, of } of lines) {
    if (of >= n) continue;
    for (let k = 0, begun = false; k <= 26; k++) {
      const z = t + (top - t) * (1 - k / 26) ** 2;
      poisson.along(line, z, p);
      if (!inside(p[0], p[1])) { begun = false; continue; }
      paths[of][begun ? "lineTo" : "moveTo"](...camera.to(p[0], p[1], z)); begun = true;
    }
    poisson.along(line, t, p);
    if (!inside(p[0], p[1])) continue;
    const [x, y] = camera.to(p[0], p[1], t);
    points[of].moveTo(x + dot, y); points[of].arc(x, y, dot, 0, TURN);
  }
  g.lineWidth = 1; g.globalAlpha = 0.22;
  paths.forEach((path, i) => { g.strokeStyle = colours.masses[i]; g.stroke(path); });
  if (t > 0.02 * width) sheet(pen, camera, c, half, t, { gap: gapOf(half), alpha: 0.06, line: 0.22 });
  g.globalAlpha = 1; g.lineWidth = 0.8;
  points.forEach((path, i) => { g.fillStyle = colours.masses[i]; g.fill(path); g.strokeStyle = colours.paper; g.stroke(path); });
  const [x, y] = camera.to(c.x + half, c.y - half, t);
  flat.label(pen, `t = ${t > 0 ? Number(t.toPrecision(2)) : 0}`, Math.min(x, pen.w - 12), Math.min(Math.max(y, 16), pen.h - 12), "right");
}
const cameraNow = (pen, turn) => {
  const c = reachNow(), t = heightAt(scene.now.at, fall.T ?? topNow(), c.reach);
  return cameraOf(pen, c, Math.max(1.3 * c.reach, 1.55 * t), turn, FALLING);
};

/* ---- the error of the shares over T ---- */
const HEIGHTS = Array.from({ length: 19 }, (_, k) => 0.5 * 80 ** (k / 18)); /* in radii: 0.5 to 40 */
const curve = { key: "", rows: [], largest: [], rms: [], ready: false };
/* A source's share of it at a time, for some milliseconds. Returns whether there was something to do. */
function measure(ms) {
  const s = flat.dataNow(), c = poisson.centre(s), key = flat.keyOf(s.x, s.y, s.w);
  if (curve.key !== key) Object.assign(curve, { key, rows: [], ready: false });
  if (curve.ready) return false;
  const until = performance.now() + ms, unit = Math.max(0.3, poisson.centre(scene.sources()).reach), heights = HEIGHTS.map(T => T * unit);
  while (curve.rows.length < s.x.length && performance.now() < until)
    curve.rows.push(poisson.sharesOf(s, c, curve.rows.length, heights, s.x.length > MANY ? 5 : 60));
  if (curve.rows.length < s.x.length) return true;
  const w = scene.now.masses.map(m => m.w), whole = w.reduce((a, b) => a + b, 0);
  const errors = HEIGHTS.map((_, j) => w.map((v, i) => curve.rows.reduce((sum, row, k) => sum + (s.of[k] === i ? row[j] : 0), 0) - v / whole));
  Object.assign(curve, { ready: true, errors, largest: errors.map(e => Math.max(...e.map(Math.abs))), rms: errors.map(e => Math.hypot(...e) / Math.sqrt(e.length)) });
  return true;
}
const MANY = 16;
/* A row of `of` at T, between its heights. */
function errorAt(of, T) {
  const k = Math.min(HEIGHTS.length - 2, Math.max(0, Math.floor(18 * Math.log(T / 0.5) / Math.log(80)))), a = Math.log(T / HEIGHTS[k]) / Math.log(HEIGHTS[k + 1] / HEIGHTS[k]);
  const [low, high] = [of[k], of[k + 1]].map(v => Math.log(Math.max(v, 1e-6)));
  return Math.exp(low + (high - low) * a);
}
function paintCurve(pen) {
  const { g, w, h, colours } = pen, left = 46, right = 8, top = 10, bottom = 26;
  const X = T => left + (w - left - right) * Math.log(T / 0.5) / Math.log(80), Y = e => top + (h - top - bottom) * (Math.log10(0.3) - Math.log10(Math.max(e, 1e-5))) / (Math.log10(0.3) + 4);
  g.font = "11px system-ui, sans-serif"; g.fillStyle = colours.soft; g.strokeStyle = colours.line; g.lineWidth = 1;
  g.textBaseline = "middle"; g.textAlign = "right"; g.beginPath();
  for (const e of [1e-1, 1e-2, 1e-3, 1e-4]) { g.moveTo(left, Y(e)); g.lineTo(w - right, Y(e)); g.fillText(`${Number((100 * e).toPrecision(1))} %`, left - 6, Y(e)); }
  g.textAlign = "center";
  for (const T of [0.5, 1, 2, 5, 10, 20, 40]) { g.moveTo(X(T), top); g.lineTo(X(T), h - bottom); g.fillText(String(T), X(T), h - bottom + 12); }
  g.stroke();
  if (!curve.ready) return;
  g.save(); g.beginPath(); g.rect(left, top, w - left - right, h - top - bottom); g.clip();
  g.beginPath(); polygon(g, HEIGHTS.map((T, k) => [X(T), Y(curve.largest[k])])); g.strokeStyle = colours.accent; g.lineWidth = 2; g.stroke();
  g.restore();
  const T = scene.now.T, e = errorAt(curve.largest, T);
  g.beginPath(); g.arc(X(T), Math.min(Y(e), h - bottom), 5, 0, TURN); g.fillStyle = colours.masses[1]; g.fill(); g.strokeStyle = colours.paper; g.lineWidth = 1.5; g.stroke();
}
return { STARTS, paintLift, paintFall, paintCurve, cameraOf, cameraNow, work, measure, shares, curve, errorAt, fall };
})();
