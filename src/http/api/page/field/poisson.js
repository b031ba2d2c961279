/* The Poisson field of weighted points in the plane: the sums of src/field for d = 2, in the browser. Nothing here knows of the page,
   and a test holds its numbers to those of the C code. Sources are { x, y, w }: arrays of numbers, w > 0. */
const poisson = (() => {
const LEAST = 2.2250738585072014e-308; /* a squared distance never is less: a point right on a source has a power of it */
const square = (x, y) => Math.max(x * x + y * y, LEAST);

/* The field over its constant and the total weight, [F_x, F_y] in the plane alone or, at a height t, [F_x, F_y, F_t]. */
function force(s, x, y, t = null) {
  let fx = 0, fy = 0, whole = 0, sum = 0;
  for (let i = 0; i < s.x.length; i++) {
    const dx = s.x[i] - x, dy = s.y[i] - y, q = t === null ? square(dx, dy) : Math.max(dx * dx + dy * dy + t * t, LEAST);
    const w = s.w[i] / (t === null ? q : q * Math.sqrt(q));
    fx += w * dx; fy += w * dy; sum += w; whole += s.w[i];
  }
  return t === null ? [fx / whole, fy / whole] : [fx / whole, fy / whole, -t * sum / whole];
}
/* The data prediction: the mean of the sources by weight over (distance in three dimensions)³. The nearest has the power 1, so
   nothing overflows. Into out[0], out[1]. */
let squares = new Float64Array(64); /* of the distances, from the first pass to the second */
function prediction(s, x, y, t, out) {
  const n = s.x.length, tt = t * t;
  let least = Infinity;
  if (squares.length < n) squares = new Float64Array(2 * n);
  for (let i = 0; i < n; i++) {
    const dx = s.x[i] - x, dy = s.y[i] - y, q = Math.max(dx * dx + dy * dy + tt, LEAST);
    squares[i] = q;
    if (q < least) least = q;
  }
  let mx = 0, my = 0, sum = 0;
  for (let i = 0; i < n; i++) {
    const r = least / squares[i], w = s.w[i] * r * Math.sqrt(r);
    mx += w * s.x[i]; my += w * s.y[i]; sum += w;
  }
  out[0] = mx / sum; out[1] = my / sum;
}

/* ---- the flow dx/d ln t = x − x̂, by Dormand and Prince's pair of orders 5 and 4 with a step of its own choosing ---- */
const A = [[], [1 / 5], [3 / 40, 9 / 40], [44 / 45, -56 / 15, 32 / 9], [19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729],
  [9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656], [35 / 384, 0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84]];
const C = [0, 1 / 5, 3 / 10, 4 / 5, 8 / 9, 1, 1];
const E = [71 / 57600, 0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40];
/* The line through (x, y) on the plane t = from to the plane t = to, which may lie below or above. What comes back are the accepted
   steps: ln t, the point and its slope by ln t. */
function line(s, x, y, from, to, tolerance = 1e-9) {
  const steps = { u: [], x: [], y: [], vx: [], vy: [] }, kx = new Float64Array(7), ky = new Float64Array(7), p = [0, 0];
  const end = Math.log(to), sign = Math.sign(end - Math.log(from)) || 1;
  let u = Math.log(from), h = 0.2 * sign;
  const slope = (at, px, py, k) => { prediction(s, px, py, Math.exp(at), p); kx[k] = px - p[0]; ky[k] = py - p[1]; };
  const keep = () => { steps.u.push(u); steps.x.push(x); steps.y.push(y); steps.vx.push(kx[0]); steps.vy.push(ky[0]); };
  slope(u, x, y, 0);
  keep();
  while (sign * (end - u) > 1e-12) {
    if (sign * (u + h - end) > 0) h = end - u;
    let nx = x, ny = y, ex = h * E[0] * kx[0], ey = h * E[0] * ky[0];
    for (let k = 1; k < 7; k++) {
      nx = x; ny = y;
      for (let j = 0; j < k; j++) { nx += h * A[k][j] * kx[j]; ny += h * A[k][j] * ky[j]; }
      slope(u + C[k] * h, nx, ny, k);
      ex += h * E[k] * kx[k]; ey += h * E[k] * ky[k];
    }
    const error = Math.hypot(ex, ey) / (tolerance * (1 + Math.hypot(nx, ny)));
    if (error <= 1) {
      u += h; x = nx; y = ny; kx[0] = kx[6]; ky[0] = ky[6];
      keep();
    }
    h *= Math.min(4, Math.max(0.2, 0.9 * Math.max(error, 1e-9) ** -0.2));
  }
  return steps;
}
/* Where a line that comes down is at height t, into out: between two steps by the cubic that has both points and slopes, below the
   last step straight on to the prediction. */
function along(l, t, out) {
  const last = l.u.length - 1;
  if (t <= 0 || Math.log(t) <= l.u[last]) {
    const left = t <= 0 ? 0 : t / Math.exp(l.u[last]);
    out[0] = l.x[last] - l.vx[last] * (1 - left); out[1] = l.y[last] - l.vy[last] * (1 - left);
    return;
  }
  const u = Math.min(Math.log(t), l.u[0]);
  let low = 0, high = last;
  while (high - low > 1) { const middle = (low + high) >> 1; if (l.u[middle] >= u) low = middle; else high = middle; }
  const h = l.u[high] - l.u[low], a = (u - l.u[low]) / h, b = 1 - a;
  const h00 = (1 + 2 * a) * b * b, h10 = a * b * b * h, h01 = a * a * (3 - 2 * a), h11 = -a * a * b * h;
  out[0] = h00 * l.x[low] + h10 * l.vx[low] + h01 * l.x[high] + h11 * l.vx[high];
  out[1] = h00 * l.y[low] + h10 * l.vy[low] + h01 * l.y[high] + h11 * l.vy[high];
}

/* ---- afar ---- */
function centre(s) {
  let x = 0, y = 0, whole = 0, reach = 0;
  for (let i = 0; i < s.x.length; i++) { x += s.w[i] * s.x[i]; y += s.w[i] * s.y[i]; whole += s.w[i]; }
  x /= whole; y /= whole;
  for (let i = 0; i < s.x.length; i++) reach = Math.max(reach, Math.hypot(s.x[i] - x, s.y[i] - y));
  return { x, y, reach };
}
/* By how much of it the field differs, at most, from a single mass's on the circle of this radius about the centre of mass. */
function deviation(s, c, radius) {
  let most = 0;
  for (let k = 0; k < 72; k++) {
    const ux = Math.cos(k * Math.PI / 36), uy = Math.sin(k * Math.PI / 36), f = force(s, c.x + radius * ux, c.y + radius * uy);
    most = Math.max(most, Math.hypot(radius * f[0] + ux, radius * f[1] + uy));
  }
  return most;
}
/* The radius from which on it differs by less than `level`; 0 where there is one mass only. */
function farFrom(s, c, level) {
  if (c.reach < 1e-9) return 0;
  let low = Math.log(c.reach), high = low + 12;
  for (let i = 0; i < 40; i++) { const middle = (low + high) / 2; if (deviation(s, c, Math.exp(middle)) > level) low = middle; else high = middle; }
  return Math.exp(high);
}

/* ---- the prior ---- */
/* Numbers in [0, 1) from a seed, the same in every browser (Steele's and Vigna's mixing of 32 bits). */
function random(seed) {
  let a = seed >>> 0;
  return () => {
    a = (a + 0x9e3779b9) >>> 0;
    let z = a;
    z = Math.imul(z ^ (z >>> 16), 0x21f0aaad); z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
    return ((z ^ (z >>> 15)) >>> 0) / 4294967296;
  };
}
/* Directions even on the upper half of the unit sphere: by Archimedes their heights are even. Each is [x, y, height > 0]. */
function directions(n, seed) {
  const draw = random(seed);
  return Array.from({ length: n }, () => {
    const h = 1 - draw(), r = Math.sqrt(1 - h * h), angle = 2 * Math.PI * draw();
    return [r * Math.cos(angle), r * Math.sin(angle), h];
  });
}
/* A direction from the centre of the sphere meets the plane t = T here: the prior's start. */
const start = ([x, y, h], T) => [T * x / h, T * y / h];
const density = (r, T) => T / (2 * Math.PI * (r * r + T * T) ** 1.5);
/* The sources' own density on the plane t: Cauchy's about each of them. */
function mixture(s, x, y, t) {
  let sum = 0, whole = 0;
  for (let i = 0; i < s.x.length; i++) { sum += s.w[i] * density(Math.hypot(x - s.x[i], y - s.y[i]), t); whole += s.w[i]; }
  return sum / whole;
}
/* What share of the prior's starts on each of the planes `heights` (rising) ends on each source, from `n` lines that go up from every
   source evenly in all directions. On a plane these lines have the density of `mixture`; counted by how much more of the prior there
   is where they cross, they are the prior's. Calls back per source, so that work may be shared out over frames. */
function sharesOf(s, c, i, heights, n) {
  const own = new Float64Array(heights.length), p = [0, 0], golden = Math.PI * (3 - Math.sqrt(5));
  let near = c.reach || 1;
  for (let j = 0; j < s.x.length; j++) if (j !== i) near = Math.min(near, Math.hypot(s.x[i] - s.x[j], s.y[i] - s.y[j]));
  near *= 0.02;
  for (let k = 0; k < n; k++) {
    const h = (k + 0.5) / n, r = Math.sqrt(1 - h * h);
    const up = line(s, s.x[i] + near * r * Math.cos(k * golden), s.y[i] + near * r * Math.sin(k * golden), near * h, heights[heights.length - 1], 1e-4);
    for (const its of Object.values(up)) its.reverse(); /* as if it came down */
    heights.forEach((T, j) => {
      along(up, T, p);
      own[j] += density(Math.hypot(p[0] - c.x, p[1] - c.y), T) / mixture(s, p[0], p[1], T) / n;
    });
  }
  let whole = 0;
  for (const w of s.w) whole += w;
  return own.map(ratio => ratio * s.w[i] / whole);
}

/* ---- masses spread evenly over discs, in the plane: outside as a point, inside growing with the distance (Newton). Into out. ---- */
function discForce(s, radius, x, y, out) {
  let fx = 0, fy = 0, whole = 0;
  for (let i = 0; i < s.x.length; i++) {
    const dx = s.x[i] - x, dy = s.y[i] - y, w = s.w[i] / Math.max(dx * dx + dy * dy, radius * radius);
    fx += w * dx; fy += w * dy; whole += s.w[i];
  }
  out[0] = fx / whole; out[1] = fy / whole;
}
/* Each mass as n points, even over its disc. */
function spread(s, radius, n) {
  if (!(radius > 0)) return { ...s, of: s.x.map((_, i) => i) };
  const all = { x: [], y: [], w: [], of: [] }, golden = Math.PI * (3 - Math.sqrt(5));
  s.x.forEach((x, i) => {
    for (let k = 0; k < n; k++) {
      const r = radius * Math.sqrt((k + 0.5) / n);
      all.x.push(x + r * Math.cos(k * golden)); all.y.push(s.y[i] + r * Math.sin(k * golden)); all.w.push(s.w[i] / n); all.of.push(i);
    }
  });
  return all;
}
function nearest(s, x, y) {
  let best = 0, least = Infinity;
  for (let i = 0; i < s.x.length; i++) { const q = square(s.x[i] - x, s.y[i] - y); if (q < least) { least = q; best = i; } }
  return best;
}
return { force, prediction, line, along, centre, deviation, farFrom, random, directions, start, density, mixture, sharesOf, discForce, spread, nearest };
})();
