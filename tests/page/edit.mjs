// Editing on the page: variations of an image of the gallery, and a part of it that is drawn over and made anew.
import assert from "node:assert/strict";
import { test } from "node:test";
import { ended, images, mock, open, pixels, sample, shot } from "./browser.mjs";

const edited = (page, n) => page.waitForFunction(k => document.querySelectorAll("#edited button").length === k && !document.getElementById("edit-go").disabled, n);

test("an image of the viewer is varied, and what is drawn over is made anew", async () => {
  const page = await open();
  await page.fill("#seed", "7");
  await sample(page, 1);
  const source = "data:image/png;base64," + await page.evaluate(() => { document.querySelector("#now button").click(); return shown.image.b64; });
  await page.click("#big-vary");
  await edited(page, 4);
  assert.match(await page.textContent("#edit-status"), /^4 images in .* seed [0-9]+$/);
  const original = await pixels(page, source);
  for (const src of await page.$$eval("#edited img", all => all.map(i => i.src))) assert.notDeepEqual(await pixels(page, src), original);
  await shot(page, "variations");

  const box = await page.locator("#edit-canvas").boundingBox();
  await page.mouse.move(box.x + box.width * 0.3, box.y + box.height * 0.2);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width * 0.7, box.y + box.height * 0.2, { steps: 8 });
  await page.mouse.up();
  assert.equal(await page.textContent("#edit-go"), "Make this part anew");
  await page.fill("#edit-n", "3");
  await page.click("#edit-go");
  await edited(page, 3);
  await page.waitForFunction(() => document.activeElement.id === "edit-go"); // the focus is not lost
  const drawn = await page.evaluate(() => [...editing.drawn]), sum = drawn.reduce((a, b) => a + b, 0);
  assert.ok(sum > 20 && sum < 500);
  for (const src of await page.$$eval("#edited img", all => all.map(i => i.src))) {
    const got = await pixels(page, src);
    got.forEach((v, i) => { if (!drawn[i >> 2]) assert.equal(v, original[i]); });
    assert.notDeepEqual(got, original);
  }
  await shot(page, "part-anew");
  await page.click("#edited button");
  assert.equal(await page.locator("#big-again").isVisible(), false); // no seed alone makes it again
  assert.match(await page.getAttribute("#big-link", "download"), /^edit-[0-9]+-0\.png$/);
  await page.click("#big-edit");
  assert.equal(await page.locator("#edited button").count(), 0);
  assert.deepEqual(page.complaints, []);
});

test("an edit is given up where another image is picked", async () => {
  const page = await open({ at: "#jobs" }), asked = [];
  await mock(page);
  await page.fill("#n", "2");
  await page.click("#go");
  await ended(page);
  let settle, first;
  const held = new Promise(done => { settle = done; }), vary = async k => {
    const request = page.waitForRequest("**/v1/edit");
    await images(page).nth(k).click();
    await page.click("#big-vary");
    return (await request).postDataJSON();
  };
  await page.route("**/v1/edit", async route => {
    const { seed, image, n } = route.request().postDataJSON(), one = asked.push(seed) === 1;
    const answer = async () => { if (one) await held; await route.fulfill({ json: { seed, images: Array(n).fill({ index: 0, b64: image, class: 0 }), timings: { compute_ms: 1 } } }).catch(() => {}); };
    const answered = answer();
    if (one) first = answered;
    await answered;
  });
  await vary(0);
  const { seed } = await vary(1);
  await edited(page, 4);
  settle();
  await first;
  assert.equal(asked.length, 2);
  assert.match(await page.textContent("#edit-status"), new RegExp(`^4 images in .* seed ${seed}$`));
  await page.evaluate(() => { editing.from = null; document.querySelector("#edited button").click(); }); // its facts are its own
  assert.match(await page.textContent("#big-facts"), /euler/);
  assert.deepEqual(page.complaints, []);
});

test("a part is drawn over by the keyboard alone, and mistakes are in words", async () => {
  const page = await open();
  await sample(page, 1);
  await images(page).first().click();
  await page.click("#big-edit");
  for (const key of ["ArrowUp", "ArrowUp", "Space", "ArrowLeft", "Space"]) await page.keyboard.press(key);
  assert.ok(await page.evaluate(() => editing.drawn.includes(1)));
  await page.click("#form summary >> nth=0");
  await page.selectOption("#method", "heun");
  await page.click("#edit-go");
  await page.waitForFunction(() => document.getElementById("edit-status").className === "bad");
  assert.match(await page.textContent("#edit-status"), /^Solver: heun takes more than one evaluation per step/);
  await page.click("#edit-clear");
  assert.equal(await page.evaluate(() => document.activeElement.id), "edit-canvas");
  assert.equal(await page.textContent("#edit-go"), "Make variations");
});
