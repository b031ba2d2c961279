// Jobs on the page: filed, followed, fetched, cancelled, found again after a reload and by a link.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer, request } from "node:http";
import { test } from "node:test";
import { address, axe, newContext, open, shot } from "./browser.mjs";

const ENDLESS = { method: "heun", steps: 100000, max_nfe: 10000000 };
const json = async (path, init) => (await fetch(address + path, init)).json();
const post = body => json("/v1/jobs", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
const forget = async () => { // all that is there, so that no test sees another's
  for (let { jobs } = await json("/v1/jobs?limit=100"); jobs.length; { jobs } = await json("/v1/jobs?limit=100"))
    for (const job of jobs) await fetch(`${address}/v1/jobs/${job.id}`, { method: "DELETE" });
};
const row = (page, id) => page.locator("#job-" + id);
const state = (page, id, word) => page.locator(`#job-${id}[data-state=${word}]`).waitFor();
async function file(page, n) {
  await page.fill("#job_n", String(n));
  const answer = page.waitForResponse(r => r.url().endsWith("/v1/jobs") && r.request().method() === "POST");
  await page.click("#file-job");
  return (await answer).json();
}

test("a job is filed as the form stands, followed to its end and fetched", async () => {
  await forget();
  const page = await open({ at: "#jobs" });
  await page.click("#form summary >> nth=0");
  await page.selectOption("#method", "euler");
  await page.fill("#steps", "5");
  await page.fill("#seed", "18446744073709551615");
  await page.click("#chips [data-class='8']");
  await page.fill("#job_label", "for an evaluation");
  const job = await file(page, 70);
  assert.deepEqual([job.parameters.n, job.parameters.seed, job.parameters.class, job.parameters.solver.method, job.parameters.solver.steps, job.parameters.preview_every],
    [70, "18446744073709551615", 8, "euler", 5, undefined]);
  await page.waitForFunction(() => document.activeElement.id === "file-job");
  await state(page, job.id, "succeeded");
  assert.match(await row(page, job.id).textContent(), /^70 × Bag, seed 18446744073709551615, fashion10: for an evaluation70 of 70 in [0-9]+ (s|min)/);
  await page.waitForFunction(id => document.querySelector(`#job-${id} img`).src.startsWith("data:image/png"), job.id);
  const { images: [first] } = await json("/v1/images", { method: "POST", headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ seed: job.parameters.seed, class: 8, solver: { method: "euler", steps: 5 } }) });
  assert.equal(await row(page, job.id).locator("img").getAttribute("src"), "data:image/png;base64," + first.b64);
  for (const format of ["zip", "npz"]) {
    const saved = page.waitForEvent("download");
    await row(page, job.id).getByText(format, { exact: true }).click();
    const download = await saved;
    assert.equal(download.suggestedFilename(), `pfgm-job-${job.id.slice(0, 8)}.${format}`);
    const digest = bytes => createHash("sha256").update(bytes).digest("hex");
    assert.equal(digest(readFileSync(await download.path())), digest(Buffer.from(await (await fetch(`${address}/v1/jobs/${job.id}/archive?format=${format}`)).arrayBuffer())));
  }
  await page.reload();
  await state(page, job.id, "succeeded");
  assert.deepEqual(page.complaints, []);
});

test("a running job shows progress, and is cancelled and forgotten by the keyboard", async () => {
  await forget();
  const { id } = await post({ n: 20, solver: ENDLESS }), page = await open({ at: "#jobs" });
  await state(page, id, "running");
  const value = () => row(page, id).locator("progress").evaluate(p => p.value);
  await page.waitForFunction(i => document.querySelector(`#job-${i} progress`).value > 0, id);
  assert.ok(await value() < 1);
  await page.waitForFunction(i => /^0 of 20, [0-9.]+ per (hour|minute), about [0-9]/.test(document.querySelector(`#job-${i} small`).textContent), id);
  await row(page, id).getByRole("button", { name: "Cancel" }).focus();
  await page.keyboard.press("Enter");
  await state(page, id, "cancelled");
  await page.waitForFunction(() => document.activeElement.textContent === "Forget"); // the focus is not lost
  await page.keyboard.press("Enter");
  await row(page, id).waitFor({ state: "detached" });
  assert.equal(await page.evaluate(() => document.activeElement.id), "job_n");
  assert.equal((await fetch(`${address}/v1/jobs/${id}`)).status, 410);
  assert.deepEqual(page.complaints, []);
});

test("a job that waits says its place, and what has not changed costs few bytes", async () => {
  await forget();
  const names = [];
  for (let i = 0; i < 4; i++) names.push((await post({ n: 300, solver: ENDLESS })).id);
  const page = await open({ at: "#jobs" }), answers = [];
  page.on("response", r => r.url().includes("/v1/jobs/") && answers.push(r.status()));
  await page.getByText("queued, the next to be begun").first().waitFor();
  while (!answers.includes(304)) await page.waitForResponse(r => r.url().includes("/v1/jobs/"));
  for (const id of names) await fetch(`${address}/v1/jobs/${id}`, { method: "DELETE" });
  for (const id of names) await state(page, id, "cancelled");
  assert.deepEqual(page.complaints, []);
});

test("a link leads to a job, also to one that is not on the list", async () => {
  await forget();
  const old = (await post({ n: 1, seed: 4711, solver: { method: "euler", steps: 2 } })).id;
  for (let i = 0; i < 21; i++) await post({ n: 1, seed: i, solver: { method: "euler", steps: 2 } });
  const page = await open({ at: "#jobs" });
  await page.locator("#jobs li").nth(19).waitFor();
  assert.equal(await page.locator("#jobs li").count(), 20);
  await page.focus("#jobs-more");
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => document.querySelectorAll("#jobs li").length === 22);
  assert.equal(await page.locator("#jobs-more").isVisible(), false);
  assert.equal(await page.evaluate(() => document.activeElement === document.querySelectorAll("#jobs a[href^='#job=']")[20]), true);
  await page.goto(`${address}/?x#job=${old}`);
  await row(page, old).waitFor();
  await page.waitForFunction(id => document.activeElement.hash === "#job=" + id, old);
  await page.goto(`${address}/?y#job=a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11`);
  await page.getByText("The link names a job that this server does not keep").waitFor();
  await forget();
});

test("what a job cannot be is said in words", async () => {
  const page = await open({ at: "#jobs" });
  await page.fill("#job_n", "2000000");
  await page.click("#file-job");
  assert.match(await page.textContent("#jobs-status"), /^Images: .*1000000/);
  await page.click("#form summary >> nth=0");
  await page.selectOption("#method", "euler");
  await page.evaluate(() => { document.getElementById("steps").value = "1000000"; });
  await page.fill("#job_n", "5");
  await page.click("#file-job");
  await page.locator("#jobs-status.bad").waitFor();
  assert.match(await page.textContent("#jobs-status"), /^Steps: /);
  assert.equal(await page.evaluate(() => document.activeElement.id), "steps");
  await page.route("**/v1/jobs*", r => r.abort());
  await page.fill("#steps", "5");
  await page.click("#file-job");
  await page.getByText("The server does not answer").waitFor();
});

test("axe-core finds nothing in jobs, in both schemes, and no width from 360 to 1,920 pixels overflows", async () => {
  await forget();
  const done = (await post({ n: 20, seed: 1, label: "a label", solver: { method: "euler", steps: 2 } })).id;
  const failed = (await post({ n: 3, seed: 2, solver: { method: "rk45", max_nfe: 10 } })).id, page = await open({ at: "#jobs", bypassCSP: true });
  await state(page, done, "succeeded");
  await state(page, failed, "failed");
  assert.match(await row(page, failed).textContent(), /failed, 0 of 3: image [0-2]: /);
  const { id } = await post({ n: 50000, seed: "18446744073709551615", class: 3, solver: ENDLESS });
  await post({ n: 1000000, seed: 4, solver: ENDLESS });
  await page.evaluate(() => { listed = 0; watchJobs(); });
  await state(page, id, "running");
  await page.addScriptTag({ path: axe });
  process.kill(+process.env.DAEMON, "SIGSTOP"); // the page shows running jobs, which leave the browser no processor else
  try {
    for (const [name, colorScheme, width] of [["light", "light", 1200], ["dark", "dark", 1200], ["narrow", "light", 360], ["wide", "dark", 1920]]) {
      await page.emulateMedia({ colorScheme });
      await page.setViewportSize({ width, height: 1000 });
      const found = (await page.evaluate(() => axe.run())).violations.filter(v => v.impact);
      assert.deepEqual(found.map(v => v.id + ": " + v.nodes.map(n => n.target).join(" ")), []);
      assert.ok(await page.evaluate(() => document.documentElement.scrollWidth) <= width);
      await shot(page, "jobs-" + name);
    }
  } finally { process.kill(+process.env.DAEMON, "SIGCONT"); }
  assert.deepEqual(page.complaints, []);
  await page.close();
  await forget();
});

test("behind a proxy's prefix an archive is where its link says, and a large picture is shown", async () => {
  await forget();
  const { id } = await post({ n: 2, solver: { method: "euler", steps: 3 } }), at = new URL(address);
  const proxy = createServer((asked, answer) => asked.pipe(request({ host: at.hostname, port: at.port, method: asked.method, path: asked.url.replace(/^\/p(?=\/)/, ""),
    headers: { ...asked.headers, "x-forwarded-prefix": "/p" } }, got => { answer.writeHead(asked.url.startsWith("/p/") ? got.statusCode : 404, got.headers); got.pipe(answer); })));
  await new Promise(done => proxy.listen(0, "127.0.0.1", done));
  const front = `http://127.0.0.1:${proxy.address().port}/p/`;
  try {
    const page = await (await newContext()).newPage(), large = Buffer.alloc(200000, 7);
    await page.route("**/images/0", route => route.fulfill({ contentType: "image/png", body: large }));
    await page.goto(front + "#jobs");
    await state(page, id, "succeeded");
    assert.equal(await row(page, id).getByText("zip", { exact: true }).getAttribute("href"), `${front}v1/jobs/${id}/archive?format=zip`);
    await page.waitForFunction(([i, want]) => document.querySelector(`#job-${i} img`).src === "data:image/png;base64," + want, [id, large.toString("base64")]);
  } finally { proxy.closeAllConnections(); proxy.close(); }
});
