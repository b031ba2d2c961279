// The daemon's page in Debian's Chromium, for the tests of it. Screenshots go to SHOTS if set. ADDRESS is the daemon's,
// CHROMIUM the browser's path, MODULES a folder with playwright-core and axe-core.
import { createRequire } from "node:module";
import { before, after, afterEach } from "node:test";

const require = createRequire(process.env.MODULES + "/");
const { chromium } = require("playwright-core");
export const axe = require.resolve("axe-core/axe.min.js");
export const address = process.env.ADDRESS;
let browser;

/* Whatever is waited for in it may take long: the machine is busy with other things. */
export async function newContext(options) {
  const context = await browser.newContext(options);
  context.setDefaultTimeout(300000);
  return context;
}

/* `at`: a fragment of the address, such as one that leads to jobs. `greets`: the page makes its first row by itself, which
   else it is kept from as by a browser that saves data: it takes seconds. */
export async function open({ at = "", greets = false, ...options } = {}) {
  const context = await newContext({ viewport: { width: 1200, height: 900 }, bypassCSP: false, ...options });
  const page = await context.newPage();
  if (!greets) await page.addInitScript(() => Object.defineProperty(Navigator.prototype, "connection", { get: () => ({ saveData: true }) }));
  page.complaints = [];
  page.on("console", m => m.type() === "error" && page.complaints.push(m.text()));
  page.on("pageerror", e => page.complaints.push(String(e)));
  page.on("request", r => r.url().startsWith(address) || /^(data|blob):/.test(r.url()) || page.complaints.push("asked " + r.url()));
  await page.goto(address + "/" + at);
  await page.waitForFunction(() => document.getElementById("state").textContent === "ready" &&
    document.getElementById("model").options.length > 0);
  if (greets && !at) await page.waitForFunction(() => run && !running);
  return page;
}
export const shot = async (page, name) => process.env.SHOTS && page.screenshot({ path: `${process.env.SHOTS}/${name}.png`, fullPage: true });
export const images = page => page.locator("#now li button:enabled");
export async function sample(page, n) {
  await page.fill("#n", String(n));
  const past = await page.locator("#past li").count() + await page.locator("#now li").count();
  await page.click("#go");
  await page.waitForFunction(k => document.querySelectorAll("#past li").length === k, past);
  await page.waitForFunction(k => document.querySelectorAll("#now li button:enabled").length === k, n);
  await page.waitForFunction(() => !document.getElementById("go").disabled);
}
export const walked = (page, n) => page.waitForFunction(k => document.getElementById("way-status").textContent.startsWith(`${k} images in`), n);

/* The page's v1/images without the server's work: each image is a grey pixel, after so many `states`, once `until` is settled. */
const PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNoAAAAggCBd81ytgAAAABJRU5ErkJggg==";
export const mock = (page, { states = 0, until } = {}) => page.route("**/v1/images", async route => {
  const { model, seed, n, first_index = 0, class: label = 0, solver = {} } = route.request().postDataJSON(), times = (k, of) => Array.from({ length: k }, (_, i) => of(i));
  const event = (name, data) => `event: ${name}\ndata: ${JSON.stringify(data)}\n\n`, its = i => ({ index: String(BigInt(first_index) + BigInt(i)), b64: PIXEL });
  await until;
  await route.fulfill({ contentType: "text/event-stream", body: event("queued", { n, seed, model: { name: model, sha256: "" }, parameters: { solver: { method: "euler", ...solver } } }) +
    times(n, i => times(states, () => event("preview", its(i))).join("") + event("image", { ...its(i), class: label, nfe: 1, sha256: "" })).join("") + event("done", {}) });
});
export const ended = page => page.waitForFunction(() => run && !running);

/* An image's pixels. */
export const pixels = (page, src) => page.evaluate(async s => {
  const img = new Image();
  img.src = s;
  await img.decode();
  const c = document.createElement("canvas");
  c.width = img.width; c.height = img.height;
  const g = c.getContext("2d");
  g.drawImage(img, 0, 0);
  return [...g.getImageData(0, 0, c.width, c.height).data];
}, src);

before(async () => {
  browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: ["--no-sandbox", "--disable-gpu",
    "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"] });
});
/* A page that stays open goes on asking for the figures and takes processor time from the tests that follow. */
afterEach(async () => { for (const context of browser.contexts()) await context.close(); });
after(() => browser.close());
