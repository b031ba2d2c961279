// The page of a fresh daemon: every control, no error on the console, no finding of axe-core in either colour scheme, and a
// width of 360 pixels.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { createServer, request } from "node:http";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { address, axe, ended, images, mock, newContext, open, pixels, sample, shot, walked } from "./browser.mjs";
test("the first image is there within three seconds, and all others follow", async () => {
  const page = await open();
  await page.fill("#n", "4");
  const times = [];
  let limit = 3000; // or, on a slow machine, what its daemon alone takes for all of them, three times
  do { // again only where the machine was busy with something else
    const begun = Date.now();
    await page.click("#go");
    await images(page).first().waitFor();
    times.push(Date.now() - begun);
    await page.waitForFunction(() => !document.getElementById("go").disabled);
    const { timings } = await (await fetch(address + "/v1/images", { method: "POST", headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ n: 4 }) })).json();
    limit = Math.max(limit, 3 * timings.compute_ms);
  } while (times.at(-1) >= limit && times.length < 10);
  console.log(`first image after ${times.join(", ")} ms`);
  assert.ok(times.at(-1) < limit);
  await page.waitForFunction(() => document.querySelectorAll("#now li button:enabled").length === 4);
  assert.match(await page.textContent("#status"), /4 images in .* seed [0-9]+/);
  await shot(page, "sampled");
  assert.deepEqual(page.complaints, []);
});

test("a visitor sees a row of classes form from noise, which gives way to what is asked for", async () => {
  const context = await newContext(), page = await context.newPage();
  await page.addInitScript(() => { addEventListener("DOMContentLoaded", () => {
    new MutationObserver(() => { window.first ??= document.querySelector("#now img[src^='data:image/png']") && performance.now(); })
      .observe(document.getElementById("now"), { subtree: true, attributes: true, attributeFilter: ["src"] });
  }); });
  await page.goto(address + "/");
  await page.waitForFunction(() => run && !running);
  console.log(`the first preview ${(await page.evaluate(() => window.first)).toFixed(0)} ms after the page began to load`);
  const labels = await page.evaluate(() => models[document.getElementById("model").value].labels);
  assert.deepEqual(await page.locator("#now small").allTextContents(), labels);
  assert.ok((await page.locator("#chips img").evaluateAll(all => all.map(i => i.src))).every(src => src.startsWith("data:image/png")));
  assert.match(await page.textContent("#status"), /^10 images in .* seed [0-9]{1,9}$/);
  assert.ok(await page.locator("#now img").first().evaluate(i => i.width) >= 150);
  const endless = { method: "euler", steps: 100000, max_nfe: 10000000 }; // or it may be over before the button is pressed
  await page.route("**/v1/images", r => r.continue({ postData: JSON.stringify({ ...r.request().postDataJSON(), solver: endless }) }));
  await page.reload();
  await page.fill("#n", "2");
  await page.waitForFunction(() => running && run.greeting);
  await page.unroute("**/v1/images");
  await page.click("#go");
  await page.waitForFunction(() => run && !running && !run.greeting);
  assert.equal(await images(page).count(), 2);
  await context.close();
});

test("each class gives a sheet with a row for each, as the command line does", async () => {
  const page = await open();
  await page.fill("#n", "2");
  await page.fill("#seed", "42");
  await page.click("#each");
  await page.waitForFunction(() => run && !running && run.parts.length === 10);
  assert.equal(await images(page).count(), 20);
  const { images: [, one] } = await (await fetch(address + "/v1/images", { method: "POST", headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ n: 2, seed: 42, class: 3 }) })).json();
  assert.equal(await page.locator("#now img").nth(7).getAttribute("src"), "data:image/png;base64," + one.b64);
  assert.equal(await page.locator("#take").isVisible(), false); // no one file holds them
  await page.selectOption("#enlarge", "smooth");
  assert.equal(await page.locator("#now img").first().evaluate(i => getComputedStyle(i).imageRendering), "auto");
  await shot(page, "sheet");
  assert.deepEqual(page.complaints, []);
});

test("previews show the path to an image", async () => {
  const page = await open();
  await page.evaluate(() => { window.seen = 0; handlers.preview = (old => (d, part) => { window.seen++; old(d, part); })(handlers.preview); });
  await page.click("#form summary >> nth=0");
  await page.fill("#preview_every", "1");
  await sample(page, 2);
  assert.ok(await page.evaluate(() => window.seen) > 5);
  assert.deepEqual(page.complaints, []);
});

test("the same seed gives the same image, from the form and from the gallery", async () => {
  const page = await open();
  const greeted = await images(page).count();
  await page.fill("#seed", "18446744073709551615");
  await sample(page, 2);
  const first = await page.locator("#now img").nth(1).getAttribute("src");
  await sample(page, 2);
  assert.equal(await page.locator("#now img").nth(1).getAttribute("src"), first);
  assert.equal(await page.locator("#past li").count(), greeted + 2);
  await page.locator("#past li button").nth(1).click();
  await page.click("#big-again");
  await page.getByText("the same bytes, made anew").waitFor();
  assert.equal(await page.locator("#big-image").getAttribute("src"), first);
  await shot(page, "enlarged");
  await page.keyboard.press("Escape");
  assert.equal(await page.locator("#big").isVisible(), false);
  assert.deepEqual(page.complaints, []);
});

test("every parameter reaches the server", async () => {
  const page = await open();
  await page.click("#form summary >> nth=0");
  await page.selectOption("#method", "euler");
  for (const [id, value] of [["steps", "7"], ["t_max", "15"], ["t_min", "0.01"], ["temperature", "0.9"], ["first_index", "9007199254740993"],
    ["preview_every", "3"], ["seed", "7"], ["n", "3"],
    ["churn", "2"], ["churn_noise", "1.01"], ["churn_t_max", "10"], ["churn_t_min", "0.1"],
    ["guidance", "1.5"], ["guidance_t_max", "9"], ["guidance_t_min", "0.2"]]) await page.fill("#" + id, value);
  await page.selectOption("#schedule", "rho");
  const request = page.waitForRequest(r => r.method() === "POST");
  await page.click("#go");
  const body = JSON.parse((await request).postData());
  assert.deepEqual({ ...body, model: undefined }, { model: undefined, n: 3, seed: "7", first_index: "9007199254740993", temperature: 0.9,
    preview_every: 3, solver: { method: "euler", schedule: "rho", steps: 7, t_max: 15, t_min: 0.01,
      churn: 2, churn_noise: 1.01, churn_t_max: 10, churn_t_min: 0.1, guidance: 1.5, guidance_t_max: 9, guidance_t_min: 0.2 } });
  await images(page).nth(2).waitFor();
  assert.match(await page.locator("#now img").nth(2).getAttribute("alt"), /, seed 7, index 9007199254740995$/);
  await page.selectOption("#method", "rk45");
  assert.equal(await page.locator("#steps").isVisible(), false);
  assert.equal(await page.locator("#rtol").isVisible(), true);
  assert.equal(await page.locator("#churn").isVisible(), false);
  await page.selectOption("#method", ""); // the model's own, which takes neither
  assert.deepEqual([await page.locator("#rtol").isVisible(), await page.locator("#churn").isVisible(), await page.locator("#steps").isVisible()], [false, false, true]);
  assert.deepEqual(page.complaints, []);
});

test("without JavaScript there is a picture, and the line that makes one", async () => {
  const context = await newContext({ javaScriptEnabled: false, viewport: { width: 1280, height: 800 } }), page = await context.newPage(), complaints = [];
  page.on("console", m => m.type() === "error" && complaints.push(m.text()));
  const picture = page.waitForResponse(r => r.url() === address + "/v1/images/7/0");
  await page.goto(address + "/");
  assert.deepEqual([(await picture).status(), (await picture).headers()["content-type"]], [200, "image/png"]);
  assert.match(await page.locator("noscript code").innerText(), /^curl /);
  assert.equal(await page.locator("#form").isVisible(), false); // it could do nothing
  await shot(page, "noscript");
  assert.deepEqual(complaints, []);
  await context.close();
});

test("the form as code is a click away in either view", async () => {
  const page = await open({ at: "#field=shell" });
  await page.click("#to-code");
  await page.waitForFunction(() => document.activeElement.id === "code-kind" && document.getElementById("code").textContent.startsWith("curl"));
  assert.equal(await page.locator("#field").isVisible(), false);
  assert.deepEqual(page.complaints, []);
});

test("what was made comes as a file", async () => {
  const page = await open();
  await sample(page, 2);
  for (const [format, magic] of [["npz", "PK"], ["npy", "\x93NUMPY"], ["tar", ""], ["zip", "PK"]]) {
    await page.selectOption("#format", format);
    const saved = page.waitForEvent("download");
    await page.click("#download");
    const file = await saved;
    assert.match(file.suggestedFilename(), new RegExp(`^pfgm-[0-9]+[.]${format}$`));
    const bytes = readFileSync(await file.path(), "latin1");
    assert.ok(format === "tar" ? bytes.length % 512 === 0 && bytes.includes("ustar") : bytes.startsWith(magic), format);
  }
  assert.deepEqual(page.complaints, []);
});

test("a slider leads from one seed to another, by the keyboard alone", async () => {
  const page = await open();
  await page.click("#chips [data-class='7']"); // of any two seeds
  await page.focus("#a_seed");
  await page.keyboard.type("18446744073709551615");
  await page.keyboard.press("Tab");
  await page.keyboard.type("3");
  await page.keyboard.press("Tab");
  await page.keyboard.type("8");
  await page.fill("#frames", "5");
  await page.keyboard.press("Enter");
  await walked(page, 5);
  await page.focus("#slider");
  const seen = [await page.getAttribute("#way-image", "src")];
  for (let k = 1; k < 5; k++) {
    await page.keyboard.press("ArrowRight");
    seen.push(await page.getAttribute("#way-image", "src"));
    assert.equal(await page.getAttribute("#slider", "aria-valuetext"), `image ${k + 1} of 5`);
  }
  assert.equal(new Set(seen).size, 5);
  await page.keyboard.press("Home");
  assert.equal(await page.getAttribute("#way-image", "src"), seen[0]);
  assert.equal(await page.getAttribute("#way-image", "alt"), "Image 1 of 5 on the path");
  await page.keyboard.press("End");
  await page.locator("#strip button").nth(2).click();
  assert.equal(await page.getAttribute("#way-image", "src"), seen[2]);
  assert.deepEqual(await page.locator("#strip img").evaluateAll(all => all.map(i => i.src)), seen);
  assert.deepEqual([await page.getAttribute("#a_face", "src"), await page.getAttribute("#b_face", "src")], [seen[0], seen[4]]);
  await page.evaluate(() => { window.shownFrames = []; const inner = look; window.look = look = () => { inner(); window.shownFrames.push(Number(document.getElementById("slider").value)); }; });
  await page.focus("#play");
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => window.shownFrames.length >= 8);
  await page.keyboard.press("Enter");
  assert.deepEqual((await page.evaluate(() => window.shownFrames)).slice(0, 8), [3, 4, 3, 2, 1, 0, 1, 2]);
  assert.equal(await page.getAttribute("#play", "aria-pressed"), "false");
  const saved = page.waitForEvent("download");
  await page.click("#film");
  assert.ok(readFileSync(await (await saved).path(), "latin1").includes("acTL"));
  await shot(page, "way");
  assert.deepEqual(page.complaints, []);
});

test("the ends come out of the gallery", async () => {
  const page = await open();
  await page.fill("#seed", "7");
  await sample(page, 2);
  for (const [k, button] of [[0, "#big-a"], [1, "#big-b"]]) {
    await images(page).nth(k).click();
    await page.click(button);
    assert.equal(await page.locator("#big").isVisible(), false);
  }
  assert.deepEqual([await page.inputValue("#a_seed"), await page.inputValue("#b_seed"), await page.inputValue("#b_index")], ["7", "7", "1"]);
  await page.fill("#frames", "3");
  await page.click("#walk");
  await walked(page, 3);
  const way = await page.evaluate(() => way.map(f => "data:image/png;base64," + f));
  for (const [k, end] of [[0, 0], [1, 2]]) { // up by one solver and down by another
    const chosen = await pixels(page, await page.locator("#now img").nth(k).getAttribute("src")), got = await pixels(page, way[end]);
    const apart = got.reduce((sum, v, i) => sum + Math.abs(v - chosen[i]), 0) / got.length;
    console.log(`end ${k} is ${apart.toFixed(2)} levels from the image that was chosen`);
    assert.ok(apart < 4);
  }
  await shot(page, "gallery-way");
  assert.deepEqual(page.complaints, []);
});

test("two seeds are their images, of one class, or the page says what to do", async () => {
  const page = await open();
  const drawn = (await (await fetch(address + "/v1/images", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ n: 12, seed: 42 }) })).json()).images;
  const same = drawn.findIndex((i, k) => k > 0 && i.class === drawn[0].class), other = drawn.findIndex(i => i.class !== drawn[0].class);
  for (const [id, value] of [["a_seed", "42"], ["b_seed", "42"], ["b_index", String(other)], ["frames", "3"]]) await page.fill("#" + id, value);
  await page.click("#walk");
  await page.locator("#way-status.bad").waitFor();
  assert.match(await page.textContent("#way-status"), /^Class: the ends are of two classes, .* name one/);
  await shot(page, "two-classes");
  await page.fill("#b_index", String(same));
  await page.click("#walk");
  await walked(page, 3);
  for (const [frame, k] of [[0, 0], [2, same]])
    assert.deepEqual(await pixels(page, await page.evaluate(f => "data:image/png;base64," + way[f], frame)),
      await pixels(page, "data:image/png;base64," + drawn[k].b64));
  assert.equal(page.complaints.filter(c => !c.includes("422")).length, 0);
});

test("a path can be cancelled, and mistakes are reported", async () => {
  const page = await open();
  await page.click("#chips [data-class='7']");
  await page.fill("#a_seed", "1");
  await page.fill("#b_seed", "2");
  await page.evaluate(() => { const inner = wayOrder; window.wayOrder = wayOrder = () => Object.assign(inner(), { solver: { method: "euler", steps: 100000, max_nfe: 10000000 } }); });
  await page.click("#walk");
  await page.waitForFunction(() => document.getElementById("way-status").textContent.startsWith("0 of"));
  await page.click("#way-cancel");
  await page.waitForFunction(() => document.getElementById("way-status").textContent === "cancelled");
  await page.waitForFunction(async () => /pfgmd_slots_busy 0\n/.test(await (await fetch("/metrics")).text()));
  assert.deepEqual(page.complaints, []);
  await page.fill("#b_seed", "99999999999999999999");
  await page.click("#walk");
  await page.locator("#way-status.bad").waitFor();
  assert.match(await page.textContent("#way-status"), /18446744073709551615/);
  assert.equal(page.complaints.filter(c => !c.includes("422")).length, 0);
});

test("a mistake is reported in words", async () => {
  const page = await open();
  await page.click("#form summary >> nth=0");
  await page.fill("#t_max", "0.0001");
  await page.click("#go");
  await page.locator("#status.bad").waitFor();
  assert.match(await page.textContent("#status"), /^t from: .*"t to"/);
  assert.equal(await page.evaluate(() => document.activeElement.id), "t_max");
  assert.equal(await page.locator("#copy").isVisible() || await page.locator("#runs a").count() > 0, false); // nothing to make again
  await shot(page, "mistake");
  assert.equal(page.complaints.filter(c => !c.includes("422")).length, 0);
});

test("a mistake costs nobody the images that stand there", async () => {
  const page = await open();
  await sample(page, 2);
  const before = await page.locator("#now img").evaluateAll(all => all.map(i => i.src));
  await page.click("#form summary >> nth=0");
  await page.fill("#t_max", "0.0001");
  await page.click("#go");
  await page.locator("#status.bad").waitFor();
  assert.deepEqual(await page.locator("#now img").evaluateAll(all => all.map(i => i.src)), before);
  assert.deepEqual([await page.locator("#now-empty").isVisible(), await page.locator("#copy").isVisible(), await page.locator("#past li").count()], [false, true, 0]);
  await page.fill("#t_max", "");
  for (const seed of ["18446744073709551616", "-1"]) { // the page says so itself, in words
    await page.fill("#seed", seed);
    await page.click("#go");
    await page.getByText("Seed: must be a whole number from 0 to 18446744073709551615").waitFor();
    assert.equal(await page.evaluate(() => document.activeElement.id), "seed");
    await page.fill("#seed", "");
    await page.evaluate(() => say(""));
  }
  await sample(page, 1);
  assert.equal(page.complaints.filter(c => !c.includes("422")).length, 0);
});

test("cancel stops the work", async () => {
  const page = await open();
  await page.click("#form summary >> nth=0");
  await page.selectOption("#method", "euler");
  await page.fill("#steps", "100000");
  await page.evaluate(() => { const inner = order; window.order = order = () => Object.assign(inner(), { solver: { method: "euler", steps: 100000, max_nfe: 10000000 } }); });
  await page.click("#go");
  await page.waitForFunction(() => document.getElementById("status").textContent.startsWith("0 of"));
  await page.click("#cancel");
  await page.getByText("cancelled").waitFor();
  await page.waitForFunction(async () => /pfgmd_slots_busy 0\n/.test(await (await fetch("/metrics")).text()));
  assert.deepEqual(page.complaints, []);
});

test("the keyboard alone is enough", async () => {
  const page = await open();
  await page.focus("#n");
  await page.keyboard.press("Control+A");
  await page.keyboard.type("1");
  await page.keyboard.press("Enter");
  await images(page).first().waitFor();
  await page.focus("#now button");
  await page.keyboard.press("Enter");
  assert.equal(await page.locator("#big").isVisible(), true);
});

test("a control that is disabled or removed leaves the focus to another", async () => {
  const page = await open({ at: "#jobs" }), focus = id => page.waitForFunction(i => document.activeElement.id === i, id);
  const press = async id => { await page.focus(id); await page.keyboard.press("Enter"); };
  await page.route("**/v1/images", () => {}); // which has no answer
  await press("#go");
  await press("#cancel");
  await focus("go");
  await page.unroute("**/v1/images");
  await mock(page);
  for (const seed of ["1", "2"]) {
    await page.fill("#seed", seed);
    await press("#go");
    await page.waitForFunction(s => run && !running && run.facts.seed === s, seed);
    await focus("go");
  }
  await press("#runs li:last-child a");
  await page.waitForFunction(() => !running && run.facts.seed === "1" && document.activeElement.matches("#runs a") && document.activeElement.hash === location.hash);
  await press("#forget");
  await focus("version");
  await press("#past li:last-child button");
  for (const id of ["big-before", "big-again"]) { await press("#" + id); await page.keyboard.press("ArrowRight"); await page.keyboard.press("ArrowRight"); await focus(id); }
  assert.match(await page.textContent("#big-title[aria-live=polite]"), /, 24 of 24$/);
  assert.equal(await page.locator("[role=status] #figures").count(), 0); // they change each second
});

test("a model of the plane shows points and their paths", async () => {
  for (const colorScheme of ["light", "dark"]) {
    const page = await open({ colorScheme });
    await page.selectOption("#model", "plane");
    assert.equal(await page.locator("#now-box").isVisible(), false);
    assert.equal(await page.inputValue("#n"), "64");
    await page.fill("#seed", "7");
    await page.click("#go");
    await page.getByText("64 points, seed 7").waitFor();
    const [states, spread] = await page.evaluate(() => [drawn.length, Math.max(...drawn[drawn.length - 1].map(Math.abs))]);
    assert.equal(states, 17);
    assert.ok(spread > 0.5 && spread < 2, String(spread)); // on the ring that the model was made of
    await shot(page, "plane-" + colorScheme);
    assert.deepEqual(page.complaints, []);
  }
});

test("the browser shows a field that is wrong, also where it lies folded away", async () => {
  const page = await open();
  await page.click("#form summary >> nth=0");
  await page.fill("#temperature", "99");
  await page.evaluate(() => { document.querySelector("details").open = false; });
  await page.click("#go");
  await page.locator("#status.bad").waitFor();
  assert.match(await page.textContent("#status"), /^Temperature: /);
  assert.equal(await page.locator("#temperature").isVisible(), true);
  await page.fill("#temperature", "");
  await page.selectOption("#method", "rk45");
  await page.fill("#rtol", "-1"); // and what does not belong to the method is not in the way
  await page.selectOption("#method", "euler");
  await sample(page, 1);
  assert.deepEqual(page.complaints, []);
});

test("opening an image asks the server nothing, and begins at its top", async () => {
  const page = await open({ viewport: { width: 360, height: 500 } });
  await sample(page, 1);
  const asked = [];
  page.on("request", r => r.method() === "POST" && asked.push(r.url()));
  await images(page).first().click();
  assert.equal(await page.evaluate(() => document.getElementById("big").scrollTop), 0);
  assert.equal(await page.evaluate(() => document.activeElement.id), "big-title");
  const box = await page.locator("#big-title").boundingBox();
  assert.ok(box.y >= 0 && box.y < 200, String(box.y));
  await page.evaluate(() => new Promise(done => requestAnimationFrame(() => setTimeout(done, 100))));
  assert.deepEqual(asked, []);
  await shot(page, "viewer");
  await page.click("#big-again");
  await page.getByText("the same bytes, made anew").waitFor();
  assert.equal(asked.length, 1);
  await page.keyboard.press("Escape");
  assert.equal(await page.locator("#big").isVisible(), false);
  assert.deepEqual(page.complaints, []);
});

test("a tuned schedule is offered to the method that it was found for", async () => {
  const page = await open(), offered = () => page.locator("#schedule option[value=tuned]").count();
  await page.click("#form summary >> nth=0");
  const { tuned: [way] } = (await (await fetch(address + "/v1/models")).json()).data[0];
  assert.equal(await offered(), 1);
  await page.selectOption("#schedule", "tuned");
  await page.selectOption("#method", "euler");
  assert.deepEqual([await offered(), await page.inputValue("#schedule")], [0, ""]);
  await page.selectOption("#method", way.method);
  assert.equal(await offered(), 1);
  assert.match(await page.textContent("#schedule option[value=tuned]"), new RegExp(`^tuned, .*\\b${way.steps}\\b.* steps$`));
  await page.selectOption("#model", "plane");
  assert.equal(await offered(), 0);
  assert.deepEqual(page.complaints, []);
});

test("a server that is gone is reported in words", async () => {
  const page = await open();
  await sample(page, 1);
  await page.route("**/v1/**", r => r.abort());
  for (const [button, status] of [["#go", "#status"], ["#walk", "#way-status"]]) {
    await page.fill("#a_seed", "1");
    await page.fill("#b_seed", "2");
    await page.click(button);
    await page.locator(status + ".bad").waitFor();
    assert.match(await page.textContent(status), /^The server does not answer/);
  }
  await page.unroute("**/v1/**");
  await page.route("**/v1/images", r => r.fulfill({ contentType: "text/event-stream", body: "id: 1\nevent: started\ndata: {}\n\n" }));
  await page.click("#go");
  await page.getByText("The connection to the server broke off").waitFor();
  await page.route("**/v1/images", r => r.fulfill({ status: 502, contentType: "text/html", body: "<h1>Bad gateway</h1>" }));
  await page.click("#go");
  await page.getByText("The server answered 502").waitFor();
  await shot(page, "gone");
});

test("the figures of the server are small and do not lag", async () => {
  const page = await open(), sizes = [];
  page.on("response", async r => r.url().includes("/metrics") && sizes.push((await r.body()).length));
  const made = () => page.evaluate(() => Number(/made ([0-9]+)/.exec(document.getElementById("figures").textContent)?.[1]));
  // What it made when it greeted is in its figures at the next look.
  const metrics = await (await fetch(address + "/metrics")).text();
  const counts = [...metrics.matchAll(/^pfgmd_images_total[{][^}]*outcome="ok"[^}]*[}] ([0-9]+)$/gm)];
  const before = counts.reduce((sum, m) => sum + Number(m[1]), 0);
  await page.waitForFunction(n => document.getElementById("figures").textContent.endsWith(`made ${n}`), before);
  const begun = Date.now();
  await sample(page, 3);
  await page.waitForFunction(n => document.getElementById("figures").textContent.endsWith(`made ${n}`), before + 3);
  const took = Date.now() - begun;
  while (!sizes.length) await page.waitForResponse(r => r.url().includes("/metrics"));
  console.log(`figures within ${took} ms of the button, ${Math.max(...sizes)} bytes each`);
  assert.ok(Math.max(...sizes) < 2000);
  await page.evaluate(() => { window.asked = 0; const inner = window.fetch; window.fetch = (...a) => { window.asked++; return inner(...a); }; });
  await page.fill("#n", "1"); // one that is cancelled is not made
  await page.evaluate(() => { const inner = order; window.order = order = () => Object.assign(inner(), { solver: { method: "euler", steps: 100000, max_nfe: 10000000 } }); });
  await page.click("#go");
  await page.getByText(/slots 1 of/).waitFor();
  await page.click("#cancel");
  await page.getByText(/slots 0 of/).waitFor();
  assert.equal(await made(), before + 3);
  assert.deepEqual(page.complaints, []);
});

/* The daemon below a path of another server's, as proxies have it. */
test("the page below a path asks below that path", async () => {
  const seen = [], proxy = createServer((q, r) => {
    seen.push(q.url);
    if (!/^[/]one[/]two([/]|$)/.test(q.url)) { r.writeHead(404).end(); return; }
    const onward = request(address + (q.url.slice("/one/two".length) || "/"), { method: q.method, headers: { ...q.headers, host: new URL(address).host, origin: address } },
      a => { r.writeHead(a.statusCode, a.headers); a.pipe(r); });
    q.pipe(onward);
  });
  await new Promise(r => proxy.listen(0, "127.0.0.1", r));
  const there = "http://127.0.0.1:" + proxy.address().port;
  for (const path of ["/one/two/", "/one/two"]) {
    const context = await newContext(), page = await context.newPage();
    await page.goto(there + path);
    await page.waitForFunction(() => document.getElementById("state").textContent === "ready" && document.getElementById("model").options.length > 0);
    await page.fill("#n", "1");
    await page.click("#go");
    await page.waitForFunction(() => document.querySelectorAll("#now li button:enabled").length === 1);
    await context.close();
  }
  assert.deepEqual(seen.filter(p => !p.startsWith("/one/two")), []);
  proxy.closeAllConnections();
  proxy.close();
});

test("a key is asked for where one is needed", async () => {
  const folder = mkdtempSync(join(tmpdir(), "page-"));
  writeFileSync(join(folder, "keys"), `alice ${createHash("sha256").update("sesame").digest("hex")}\n`);
  const daemon = spawn(process.env.PFGMD, ["--model", process.env.MODEL, "--keys", join(folder, "keys"), "--listen", "127.0.0.1:0"],
    { stdio: ["ignore", "ignore", "pipe"] });
  try {
    const its = await new Promise((found, failed) => {
      let text = "";
      daemon.on("exit", () => failed(new Error(text)));
      daemon.stderr.on("data", d => {
        text += d;
        if (/ info ready/.test(text)) found("http://" + /listening on ([0-9.:]+)/.exec(text)[1]);
      });
    });
    const page = await (await newContext()).newPage();
    await page.goto(its + "/");
    await page.locator("#key-row").waitFor();
    await page.fill("#key", "wrong");
    await page.press("#key", "Tab");
    await page.getByText("the key is not known").waitFor();
    await page.fill("#key", "sesame");
    await page.press("#key", "Tab");
    await page.waitForFunction(() => document.getElementById("model").options.length > 0);
    await page.fill("#n", "2");
    await page.click("#go");
    await page.waitForFunction(() => document.querySelectorAll("#now li button:enabled").length === 2);
    await page.getByText("ready", { exact: true }).waitFor();
    await shot(page, "key");
  } finally {
    const ended = new Promise(done => daemon.removeAllListeners("exit").on("exit", done));
    daemon.kill("SIGTERM");
    await ended;
    rmSync(folder, { recursive: true });
  }
});

for (const colorScheme of ["light", "dark"])
  test(`axe-core finds nothing in the ${colorScheme} scheme`, async () => {
    const page = await open({ colorScheme, bypassCSP: true });
    await page.click("#form summary >> nth=0");
    await sample(page, 3);
    await page.click("#chips [data-class='7']");
    await page.fill("#a_seed", "1");
    await page.fill("#b_seed", "2");
    await page.fill("#frames", "3");
    await page.click("#walk");
    await walked(page, 3);
    await page.addScriptTag({ path: axe });
    const found = (await page.evaluate(() => axe.run())).violations.filter(v => v.impact);
    assert.deepEqual(found.map(v => v.id + ": " + v.nodes.map(n => n.target).join(" ")), []);
    await shot(page, colorScheme);
  });

test("a telephone's width holds it", async () => {
  const page = await open({ viewport: { width: 360, height: 740 } });
  await sample(page, 3);
  await page.click("#chips [data-class='7']");
  await page.fill("#a_seed", "1");
  await page.fill("#b_seed", "2");
  await page.click("#walk");
  await walked(page, 9);
  assert.ok(await page.evaluate(() => document.documentElement.scrollWidth) <= 360);
  await shot(page, "narrow");
  assert.deepEqual(page.complaints, []);
});
