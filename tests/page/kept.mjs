// What the page makes again, keeps and takes: links, settings, the viewer, a visitor's own PNG, the form as code.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { address, ended, images, mock, newContext, open, sample, shot, walked } from "./browser.mjs";

test("a copied link gives the same bytes in a fresh browser and by a request", async () => {
  const page = await open({ permissions: ["clipboard-read", "clipboard-write"] });
  await page.click("#form summary >> nth=0");
  await page.selectOption("#method", "euler");
  await page.fill("#steps", "9");
  await page.fill("#seed", "18446744073709551615");
  await page.fill("#temperature", "0.9");
  await page.click("#chips [data-class='5']");
  await sample(page, 2);
  await page.click("#copy");
  await page.getByText("The link is copied").waitFor();
  const link = await page.evaluate(() => navigator.clipboard.readText());
  const its = p => p.locator("#now img").evaluateAll(all => all.map(i => i.src.split(",")[1]));
  const made = await its(page);
  const context = await newContext(), fresh = await context.newPage();
  await fresh.goto(link);
  await fresh.waitForFunction(() => run && !running);
  assert.deepEqual(await its(fresh), made);
  await context.close();
  const { images: asked } = await (await fetch(address + "/v1/images", { method: "POST", headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ n: 2, seed: "18446744073709551615", class: 5, temperature: 0.9, solver: { method: "euler", steps: 9 } }) })).json();
  assert.deepEqual(asked.map(i => i.b64), made);
  assert.deepEqual(page.complaints, []);
});

test("the link is that of the images that are shown, also where the address is the field's, a job's or of a run that failed", async () => {
  const page = await open({ at: "#jobs", permissions: ["clipboard-read", "clipboard-write"] }), hash = () => page.evaluate(() => location.hash);
  const copied = async button => {
    await page.evaluate(() => navigator.clipboard.writeText(""));
    await page.click(button);
    return page.evaluate(async () => { let text; do text = await navigator.clipboard.readText(); while (!text); return new URL(text).hash; });
  };
  let settle, asked = 0;
  await mock(page, { until: new Promise(done => { settle = done; }) });
  page.on("request", r => { if (r.method() === "POST") asked++; });
  await page.fill("#seed", "4711");
  await page.click("#go");
  await page.click("#to-field");
  await page.locator("#field-canvas").waitFor();
  settle();
  await ended(page);
  assert.match(await hash(), /^#field=masses/);
  await page.click("#field-add");
  await page.waitForFunction(() => location.hash.includes("masses="));
  assert.equal(await copied("#field-copy"), await hash());
  await page.click("#to-sample");
  const link = await hash();
  assert.match(link, /seed=4711/);
  assert.equal(await copied("#copy"), link);
  await page.evaluate(() => { location.hash = "#job=a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"; });
  assert.equal(await copied("#copy"), link);
  await page.click("#to-sample");
  assert.equal(asked, 1); // its images stand there still
  await page.unroute("**/v1/images");
  await page.route("**/v1/images", r => r.fulfill({ status: 503, json: { detail: "The queue is full." } }));
  await page.evaluate(() => { location.hash = location.hash.replace("4711", "4712"); });
  await page.getByText("The queue is full.").waitFor();
  assert.equal(await copied("#copy"), link);
});

test("a link that cannot be followed says why, and no other images are made", async () => {
  const page = await open({ at: "#model=none&seed=1", greets: true });
  const said = text => page.locator("#status.bad", { hasText: text }).waitFor();
  await said('The link names the model "none", which this server does not have.');
  assert.equal(await page.evaluate(() => run), null);
  for (const [fields, text] of [["first_index=1.5", "First index: must be a whole number"], ["temperature=abc", 'Temperature: the link says "abc"'],
    ["method=none", 'Solver: the link says "none"'], ["class=10", 'Class: the link says "10"']]) {
    await page.evaluate(f => { say(""); location.hash = "#model=fashion10&seed=1&" + f; }, fields);
    await said(text);
  }
  assert.equal(await page.evaluate(() => run), null);
  await mock(page);
  await page.evaluate(() => { location.hash = "#model=fashion10&seed=1"; });
  await ended(page);
  assert.equal(await images(page).count(), 1);
  assert.deepEqual(page.complaints, []);
});

test("after a reload of the model a link names the file that made its images", async () => {
  const page = await open(), { data: [model] } = await (await fetch(address + "/v1/models")).json();
  await page.evaluate(name => { models[name].sha256 = "0".repeat(64); }, model.name); // as it was read before
  await sample(page, 1);
  assert.equal(new URLSearchParams((await page.evaluate(() => location.hash)).slice(1)).get("sha256"), model.sha256.slice(0, 12));
});

test("settings, theme and earlier runs survive a reload", async () => {
  const page = await open({ greets: true });
  await page.fill("#seed", "4711");
  await sample(page, 1);
  const made = await page.locator("#now img").first().getAttribute("src");
  await page.fill("#seed", "4712");
  await sample(page, 3);
  await page.selectOption("#theme", "dark");
  await page.selectOption("#enlarge", "smooth");
  await page.goto(address + "/");
  await page.waitForFunction(() => run && !running);
  assert.equal(await page.inputValue("#n"), "3");
  assert.equal(await page.inputValue("#seed"), "");
  assert.deepEqual(await page.evaluate(() => ({ ...document.documentElement.dataset })), { theme: "dark", enlarge: "smooth" });
  assert.deepEqual((await page.locator("#runs a").allTextContents()).map(s => s.split(",")[1]), [" seed 4712", " seed 4711"]);
  await page.locator("#runs a").nth(1).click();
  await page.waitForFunction(() => !running && document.querySelectorAll("#now li").length === 1);
  assert.equal(await page.locator("#now img").first().getAttribute("src"), made);
  await shot(page, "runs");
  assert.deepEqual(page.complaints, []);
});

test("the viewer goes from image to image, scrubs, compares and gives its settings back", async () => {
  const page = await open();
  await page.fill("#seed", "5");
  await sample(page, 2);
  const sources = await page.locator("#now img").evaluateAll(all => all.map(i => i.src)), showing = () => page.locator("#big-image").getAttribute("src");
  const asked = [];
  page.on("request", r => r.method() === "POST" && asked.push(r.url()));
  await images(page).first().click();
  await page.keyboard.press("ArrowRight");
  assert.equal(await showing(), sources[1]);
  await page.click("#big-before");
  assert.equal(await showing(), sources[0]);
  assert.equal(await page.locator("#big-before").isDisabled(), true);
  await page.focus("#moment");
  await page.keyboard.press("Home");
  assert.notEqual(await showing(), sources[0]);
  await page.keyboard.press("End");
  assert.equal(await showing(), sources[0]);
  assert.deepEqual(asked, []);
  await page.focus("#nfe");
  await page.keyboard.press("Home");
  await page.getByText("1 evaluation by multistep3").waitFor();
  assert.notEqual(await showing(), sources[0]);
  assert.equal(asked.length, 1);
  await page.keyboard.press("End");
  await page.getByText("40 evaluations by multistep3").waitFor();
  const many = await showing();
  await page.evaluate(() => { shown.facts.body.solver = { guidance: 2 }; }); // as of an image that was made with it
  await page.keyboard.press("ArrowLeft");
  await page.getByText("78 evaluations by multistep3").waitFor();
  assert.notEqual(await showing(), many);
  await page.evaluate(() => { delete shown.facts.body.solver; });
  await page.click("#big-use");
  assert.deepEqual([await page.inputValue("#seed"), await page.inputValue("#n")], ["5", "1"]);
  await page.click("#go");
  await page.waitForFunction(() => run && !running && document.querySelectorAll("#now li").length === 1);
  assert.equal(await page.locator("#now img").first().getAttribute("src"), sources[0]);
  assert.deepEqual(page.complaints, []);
});

test("the states on the path to an image are bounded, and older images give theirs up", async () => {
  const page = await open({ at: "#jobs" }), most = async button => {
    await button.click();
    const shown = await page.locator("#moment").isVisible(), max = Number(await page.getAttribute("#moment", "max"));
    await page.click("#big-close");
    return shown ? max : 0;
  };
  assert.deepEqual(await page.evaluate(() => { const t = tile(""); for (let i = 0; i < 200; i++) addState(t, i); return t.states; }), Array.from({ length: 50 }, (_, i) => 4 * i));
  await mock(page, { states: 70 });
  await page.fill("#n", "20");
  for (const seed of ["1", "2", "3", "4"]) {
    await page.fill("#seed", seed);
    await page.click("#go");
    await page.waitForFunction(s => run && !running && run.facts.seed === s, seed);
  }
  const earlier = page.locator("#past button");
  assert.equal(await earlier.count(), 60);
  assert.deepEqual([await most(images(page).first()), await most(earlier.first()), await most(earlier.last())], [35, 35, 0]);
  assert.deepEqual(page.complaints, []);
});

test("ends by two solvers go as images, and a chip shows no image of another model", async () => {
  const page = await open({ at: "#jobs" });
  let settle;
  await mock(page, { until: new Promise(done => { settle = done; }) });
  await page.click("#form summary >> nth=0");
  await page.fill("#steps", "5");
  await page.fill("#n", "1");
  await page.click("#go");
  await page.evaluate(() => { // a second model with classes
    models.other = { ...models.fashion10, name: "other" };
    $("model").append(new Option("other"));
  });
  await page.selectOption("#model", "other");
  settle();
  await ended(page);
  assert.equal(await page.locator("#chips img[src^='data:image/png']").count(), 0);
  await page.selectOption("#model", "fashion10");
  await page.route("**/v1/interpolate", r => r.fulfill({ status: 503, json: {} }));
  for (const [steps, kind] of [["6", "image"], ["5", "seed"]]) { // each as a second end
    await page.fill("#steps", steps);
    await page.click("#go");
    await page.waitForFunction(s => run && !running && run.facts.body.solver.steps === s, Number(steps));
    await page.locator("#past button").last().click();
    await page.click("#big-a");
    await images(page).first().click();
    await page.click("#big-b");
    const request = page.waitForRequest("**/v1/interpolate");
    await page.click("#walk");
    assert.deepEqual((await request).postDataJSON().between.map(end => kind in end), [true, true]);
    await page.locator("#way-status.bad").waitFor();
  }
});

test("a PNG of ours fills the form, and another is measured and may be an end of a path", async () => {
  const page = await open();
  const made = async more => (await (await fetch(address + "/v1/images", { method: "POST", headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ seed: 77, first_index: 3, class: 8, temperature: 0.95, solver: { method: "euler", steps: 12 }, ...more }) })).json()).images[0].b64;
  const ours = await made({}), bare = await made({ embed_metadata: false });
  await page.setInputFiles("#file", { name: "ours.png", mimeType: "image/png", buffer: Buffer.from(ours, "base64") });
  await page.getByText("The form holds what this image was made with").waitFor();
  await page.click("#go");
  await page.waitForFunction(() => run && !running && !run.greeting);
  assert.equal(await page.locator("#now img").first().getAttribute("src"), "data:image/png;base64," + ours);
  await page.setInputFiles("#file", { name: "bare.png", mimeType: "image/png", buffer: Buffer.from(bare, "base64") });
  await page.locator("#big-facts").getByText("Bits per dimension").waitFor();
  assert.match(await page.textContent("#status"), /^bare[.]png: -?[0-9.]+ bits per dimension$/);
  await page.click("#big-a");
  await page.fill("#b_seed", "2");
  await page.fill("#frames", "2");
  const request = page.waitForRequest(r => r.url().endsWith("/v1/interpolate"));
  await page.click("#walk");
  assert.deepEqual(JSON.parse((await request).postData()).between[0], { image: bare });
  await walked(page, 2);
  const { images: [edited] } = await (await fetch(address + "/v1/edit", { method: "POST", headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ image: ours, seed: 1, strength: 0.2, embed_metadata: true, solver: { method: "euler", steps: 2 } }) })).json();
  const sheet = Buffer.from(await (await fetch(address + "/v1/images", { method: "POST", headers: { "Content-Type": "application/json", Accept: "image/png" },
    body: JSON.stringify({ seed: 1, n: 2, grid: {}, solver: { method: "euler", steps: 2 } }) })).arrayBuffer()).toString("base64");
  await page.route("**/v1/likelihood", r => r.fulfill({ json: { images: [{ bits_per_dimension: 1 }] } }));
  for (const [name, b64] of [["edited.png", edited.b64], ["sheet.png", sheet]]) { // no seed alone makes these again
    assert.match(Buffer.from(b64, "base64").toString("latin1"), /tEXtpfgm/);
    await page.setInputFiles("#file", { name, mimeType: "image/png", buffer: Buffer.from(b64, "base64") });
    await page.getByText(name + ": 1.000 bits per dimension").waitFor();
    await page.click("#big-close");
  }
  const capped = await made({ n: 1, solver: { method: "multistep3", steps: 6, order_cap: 2 } });
  await page.setInputFiles("#file", { name: "capped.png", mimeType: "image/png", buffer: Buffer.from(capped, "base64") });
  await page.getByText("except order_cap: Sample makes another image").waitFor();
  for (const [buffer, said] of [[Buffer.from("GIF89a"), "not a whole PNG"], [Buffer.from(ours, "base64").subarray(0, 60), "not a whole PNG"]]) {
    await page.setInputFiles("#file", { name: "other.png", mimeType: "image/png", buffer });
    await page.getByText(said).waitFor();
  }
  assert.deepEqual(page.complaints, []);
});

test("what any button sends is checked as what Sample sends", async () => {
  const page = await open({ at: "#jobs" }), asked = [];
  const said = async (button, text, id) => {
    await page.evaluate(() => say(""));
    await page.click(button);
    await page.locator("#status.bad", { hasText: text }).waitFor();
    assert.equal(await page.evaluate(() => document.activeElement.id), id);
  };
  await mock(page);
  await page.click("#go");
  await ended(page);
  page.on("request", r => r.method() === "POST" && asked.push(r.url()));
  await page.click("#form summary >> nth=0");
  for (const index of ["1.5", "abc"]) {
    await page.fill("#first_index", index);
    await said("#each", "First index: must be a whole number", "first_index");
  }
  await page.fill("#first_index", "");
  for (const id of ["temperature", "guidance"]) { // what is no number has no value
    await page.focus("#" + id);
    await page.keyboard.type("1e");
    await said("#file-job", id === "temperature" ? "Temperature: " : "Guidance: ", id);
    if (id === "temperature") await page.keyboard.press("Backspace");
  }
  await page.fill("#a_seed", "1");
  await page.fill("#b_seed", "2");
  await said("#walk", "Guidance: ", "guidance");
  await images(page).first().click();
  await said("#big-vary", "Guidance: ", "guidance");
  assert.deepEqual(asked, []);
  await page.fill("#guidance", "");
  await page.click("#each"); // and the page is not stuck
  await page.waitForFunction(() => run && !running && run.parts.length === 10);
  assert.deepEqual(page.complaints, []);
});

test("the form as code runs as it stands", async () => {
  const page = await open();
  await page.click("#code-box summary");
  await page.fill("#seed", "42");
  await page.fill("#n", "1");
  await page.click("#chips [data-class='2']");
  const folder = mkdtempSync(join(tmpdir(), "code-")), ran = async (program, text) => new Promise((done, failed) => {
    const child = spawn(program, [], { cwd: folder, stdio: ["pipe", "ignore", "inherit"] });
    child.on("exit", status => status === 0 ? done() : failed(new Error(`${program} ended with ${status}`)));
    child.stdin.end(text);
  });
  try {
    const { images: [one] } = await (await fetch(address + "/v1/images", { method: "POST", headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ seed: 42, class: 2 }) })).json();
    for (const [kind, program, file] of [["curl", "sh", "image.png"], ["Python", "python3", "0.png"]]) {
      await page.selectOption("#code-kind", kind);
      await page.waitForFunction(k => document.getElementById("code").textContent.startsWith(k === "curl" ? "curl" : "import"), kind);
      await ran(program, await page.textContent("#code"));
      assert.equal(readFileSync(join(folder, file), "base64"), one.b64);
    }
  } finally { rmSync(folder, { recursive: true }); }
  await page.selectOption("#code-kind", "JavaScript");
  await page.waitForFunction(() => document.getElementById("code").textContent.startsWith("const answer"));
  const sources = await (new (async () => {}).constructor(await page.textContent("#code") + "return sources;"))();
  assert.deepEqual(sources, await page.evaluate(async () => [(await (await post("v1/images", { seed: 42, class: 2 })).json()).images[0]].map(i => "data:image/png;base64," + i.b64)));
  await page.selectOption("#code-kind", "OpenAI");
  await page.getByText("prompt=\"Pullover\"").waitFor();
  await page.locator("#version", { hasText: /^pfgmd [0-9]/ }).waitFor();
  await shot(page, "code");
  assert.deepEqual(page.complaints, []);
});
