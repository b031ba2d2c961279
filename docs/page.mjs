// The picture of the page in README.md: node docs/page.mjs OUT.png, with PFGMD, MODEL and CHROMIUM (paths) and MODULES, a folder
// with playwright-core such as page-modules of the build, from the environment. Images are always those of one seed.
import { spawn } from "node:child_process";
import { createRequire } from "node:module";

const { PFGMD, MODEL, MODULES, CHROMIUM } = process.env, SEED = 613290375;
const { chromium } = createRequire(MODULES + "/")("playwright-core");
const daemon = spawn(PFGMD, ["--model", MODEL, "--listen", "127.0.0.1:0"], { stdio: ["ignore", "ignore", "pipe"] });
const ended = new Promise(done => daemon.on("exit", done));
const browser = await chromium.launch({ executablePath: CHROMIUM, args: ["--no-sandbox", "--disable-gpu"] });
try {
  const address = await new Promise((found, failed) => {
    let text = "";
    daemon.on("exit", () => failed(new Error(text)));
    daemon.stderr.on("data", d => {
      text += d;
      if (/ info ready/.test(text)) found("http://" + /listening on ([0-9.:]+)/.exec(text)[1]);
    });
  });
  const page = await browser.newPage({ viewport: { width: 1280, height: 985 }, colorScheme: "light" });
  await page.addInitScript(seed => { crypto.getRandomValues = a => a.fill(seed); }, SEED);
  await page.goto(address);
  await page.waitForFunction(() => run && !running && document.getElementById("figures").textContent.endsWith("made 10"), null, { timeout: 120000 });
  await page.screenshot({ path: process.argv[2] });
} finally {
  await browser.close();
  daemon.kill("SIGTERM");
  await ended;
}
