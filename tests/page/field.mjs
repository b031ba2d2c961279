// The page's second view, the field: its sums against the C code's, what hands and keys do, and its links.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import { axe, open, shot } from "./browser.mjs";

const STEPS = ["masses", "afar", "shell", "collapse", "lift", "fall"];
const said = (page, pattern) => page.waitForFunction(p => new RegExp(p).test(document.getElementById("field-said").textContent), pattern);
const address = (page, part) => page.waitForFunction(p => location.hash.includes(p), part);
/* The lines and the error of the shares are worked out over some frames. */
const fallen = page => page.waitForFunction(() => document.getElementById("field-error").textContent.startsWith("Largest"));
const shares = page => page.$$eval("#field-shares small", all => all.map(s => s.textContent.match(/[0-9.]+/g).map(Number)));

test("the page's field, flow and prior are the C code's", async () => {
  const page = await open({ at: "#field=masses", reducedMotion: "reduce" }), numbers = execFileSync(process.env.FIELD_NUMBERS, { encoding: "utf8", maxBuffer: 1 << 24 });
  const apart = await page.evaluate(text => {
    const { T, end, places, weights, rows } = JSON.parse(text), most = { plane: 0, lifted: 0, prediction: 0, flow: 0, density: 0 }, p = [0, 0];
    const s = { x: places.filter((_, i) => i % 2 === 0), y: places.filter((_, i) => i % 2), w: weights };
    const off = (a, b) => Math.hypot(...a.map((v, i) => v - b[i])), size = b => Math.hypot(...b);
    const note = (what, v) => { if (!(v <= most[what])) most[what] = v; }; /* NaN too */
    for (const { x: [x, y], t: [t], plane, lifted, prediction, start, density, end: [ex, ey] } of rows) {
      note("plane", off(poisson.force(s, x, y), plane) / size(plane));
      note("lifted", off(poisson.force(s, x, y, t), lifted) / size(lifted));
      poisson.prediction(s, x, y, t, p);
      note("prediction", off(p, prediction));
      poisson.along(poisson.line(s, ...start, T, end), end, p);
      note("flow", off(p, [ex, ey]));
      note("density", Math.abs(poisson.density(size(start), T) / density[0] - 1));
    }
    return { n: rows.length, most };
  }, numbers);
  console.log(`${apart.n} points, at most apart: ${Object.entries(apart.most).map(([k, v]) => `${k} ${v.toExponential(1)}`).join(", ")}`);
  assert.equal(apart.n, 1000);
  for (const [what, v] of Object.entries(apart.most)) assert.ok(v < 1e-6, `${what}: ${v}`);

  /* Starts have the prior's radii (Kolmogorov and Smirnov, p > 0.001), and the shares of lines that go up are those of lines that fall. */
  const { far, shares: [up, down] } = await page.evaluate(() => {
    const n = 4000, T = 3, dirs = poisson.directions(n, 7), radii = dirs.map(d => Math.hypot(...poisson.start(d, T))).sort((a, b) => a - b), p = [0, 0];
    const s = { x: [-1, 0.8, 1.1], y: [0.7, 1, -0.8], w: [1, 2, 3] }, c = poisson.centre(s), counts = [0, 0, 0];
    for (const d of dirs) { const [x, y] = poisson.start(d, T); poisson.along(poisson.line(s, c.x + x, c.y + y, T, 1e-9, 1e-5), 0, p); counts[poisson.nearest(s, ...p)]++; }
    return { far: Math.max(...radii.map((r, i) => Math.abs(1 - T / Math.hypot(r, T) - (i + 0.5) / n))), shares: [s.x.map((_, i) => poisson.sharesOf(s, c, i, [T, 2 * T], 100)[0]), counts.map(k => k / n)] };
  });
  assert.ok(far < 1.95 / Math.sqrt(4000), String(far));
  up.forEach((share, i) => assert.ok(Math.abs(share - down[i]) < 4 * Math.sqrt(share * (1 - share) / 4000), `${up} and ${down}`));
  assert.deepEqual(page.complaints, []);
});

test("masses are dragged, weighed, added and removed, by pointer and by keys, and the address follows", async () => {
  const page = await open({ at: "#field=masses", reducedMotion: "reduce" }), masses = () => page.evaluate(() => scene.now.masses.map(m => [m.x, m.y, m.w]));
  assert.equal(await page.title(), "The field · pfgmd");
  assert.equal(await page.locator("#form").isVisible(), false);
  const [first] = await masses(), handle = page.locator("#field-handles button").first(), box = await handle.boundingBox();
  await page.mouse.move(box.x + box.width / 2, box.y + box.height / 2);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width / 2 + 60, box.y + box.height / 2 + 30, { steps: 4 });
  await page.mouse.up();
  const [moved] = await masses();
  assert.ok(moved[0] > first[0] + 0.2 && moved[1] < first[1] - 0.1, String(moved));
  for (const key of ["ArrowLeft", "ArrowUp", "+", "+"]) await page.keyboard.press(key);
  const [nudged] = await masses();
  assert.ok(Math.abs(nudged[0] - moved[0] + 0.08) < 1e-9 && Math.abs(nudged[1] - moved[1] - 0.08) < 1e-9 && nudged[2] > 1.15);
  assert.match(await handle.getAttribute("aria-label"), /^Mass 1, weight 1.21, at/);
  await page.keyboard.press("Delete");
  assert.equal((await masses()).length, 3);
  await page.dblclick("#field-canvas", { position: { x: 200, y: 60 } });
  assert.equal((await masses()).length, 4);
  for (let k = 0; k < 5; k++) await page.click("#field-add");
  assert.match(await page.textContent("#field-said"), /room for 8/);
  await page.waitForFunction(() => scene.now.masses.length === 8 && location.hash === scene.address()); // it follows a little later
  const kept = await masses();
  await page.reload();
  await page.waitForFunction(() => scene.now.masses.length === 8);
  (await masses()).forEach((m, i) => m.forEach((v, j) => assert.ok(Math.abs(v - kept[i][j]) <= 0.00501)));

  /* What is no number, or far away, is not taken over. */
  await page.evaluate(() => { location.hash = "#field=nonsense&masses=1,2;x,y,z;1e99,0,-3&T=1e9&at=NaN&shell=2.5&seed=-1"; });
  await page.waitForFunction(() => scene.now.masses.length === 1);
  assert.deepEqual(await page.evaluate(() => [scene.now.step, scene.now.masses, scene.now.T, scene.now.at, scene.now.shell, scene.now.seed]), ["masses", [{ x: 2.1, y: 0, w: 0.2 }], 40, 1, 3, 0]);
  assert.deepEqual(page.complaints, []);
});

test("each step says what is to be seen: one mass from afar, nothing in a shell, collapse, and shares as the weights", async () => {
  const page = await open({ at: "#field=masses", reducedMotion: "reduce" });
  await page.click("#field-next");
  await said(page, "^The farthest mass is 1.6 from the centre, the inner circle 2.4, the outer circle 5.1.$");
  await page.click("#field-next");
  await said(page, "none .less than 0.01 %.");
  await page.focus("#field-handles button");
  for (let k = 0; k < 12; k++) await page.keyboard.press("ArrowRight");
  await said(page, "probe: [6-9][0-9] %"); // outside
  await page.click("#field-next");
  await said(page, "^300 points ended on 4 spots. They reached 3 of 96 data.$");
  await page.click("#field-next");
  assert.match(await page.evaluate(() => location.hash), /^#field=lift/);
  await page.click("#field-next");
  await fallen(page);
  for (const [weight, share] of await shares(page)) assert.ok(Math.abs(weight - share) < 400 * Math.sqrt(weight / 100 * (1 - weight / 100) / 300), `${weight} and ${share}`);
  const [, reached, data] = (await page.textContent("#field-drawn")).match(/reached ([0-9]+) of ([0-9]+) data/).map(Number);
  assert.ok(reached > 0.75 * data, `${reached} of ${data}`);
  const errors = await page.evaluate(() => [1, 2, 4, 10, 20].map(T => solid.errorAt(solid.curve.largest, T)));
  for (let k = 1; k < 5; k++) assert.ok(errors[k] < 0.5 * errors[k - 1], String(errors)); // by the square of T
  await page.focus("#field-canvas");
  await page.keyboard.press("ArrowLeft");
  await address(page, "yaw=");
  assert.deepEqual(page.complaints, []);
});

test("a link shows the same picture, and nothing moves once the other view is shown", async () => {
  const pictures = [], link = "#field=fall&masses=-1,0.5,1;1,0,2&T=6&at=0.7&seed=5";
  for (let k = 0; k < 2; k++) {
    const page = await open({ at: link, greets: true });
    await fallen(page);
    await page.waitForFunction(() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(true)))));
    pictures.push(await page.evaluate(() => document.getElementById("field-canvas").toDataURL()));
    if (k === 0) { await page.context().close(); continue; }
    await page.click("#field-before");
    await page.evaluate(() => { window.frames_ = 0; const inner = requestAnimationFrame; window.requestAnimationFrame = f => { window.frames_++; return inner(f); }; window.native = inner; });
    await page.click("#field-play"); // it has begun by itself: this is a pause
    await page.click("#field-play");
    await page.waitForFunction(() => window.frames_ > 3);
    await page.click("#to-sample");
    await page.waitForFunction(() => run && !running); // it greets now
    const before = await page.evaluate(() => window.frames_);
    await page.evaluate(() => new Promise(done => native(() => native(() => native(done)))));
    assert.equal(await page.evaluate(() => window.frames_), before);
    const made = await page.locator("#now img").first().getAttribute("src");
    await page.click("#to-field");
    await page.locator("#field-canvas").waitFor();
    await page.click("#to-sample");
    assert.equal(await page.locator("#now img").first().getAttribute("src"), made); // and is not made again
    assert.deepEqual(page.complaints, []);
  }
  assert.ok(pictures[0].length > 20000);
  assert.equal(pictures[0], pictures[1]);
});

test("axe-core finds nothing in the field view, in both schemes, and a telephone's width holds it", async () => {
  for (const [colorScheme, width, steps] of [["light", 360, STEPS], ["dark", 1280, ["fall"]]]) {
    const page = await open({ at: "#field=masses", colorScheme, reducedMotion: "reduce", bypassCSP: true, viewport: { width, height: 740 } });
    await page.addScriptTag({ path: axe });
    for (const step of steps) {
      await page.evaluate(s => { location.hash = "#field=" + s; }, step);
      await page.waitForFunction(s => document.querySelector("#field-steps [aria-current]").dataset.step === s, step);
      if (step === "fall") await fallen(page);
      assert.ok(await page.evaluate(() => document.documentElement.scrollWidth) <= width, step);
      if (step === "afar" || step === "lift") continue; /* they have no control that the others have not */
      const found = (await page.evaluate(() => axe.run({ include: [["header"], ["#field"]] }))).violations.filter(v => v.impact);
      assert.deepEqual(found.map(v => `${step}: ${v.id}: ` + v.nodes.map(n => n.target).join(" ")), []);
      await shot(page, `field-${step}-${colorScheme}`);
    }
    assert.deepEqual(page.complaints, []);
  }
});
