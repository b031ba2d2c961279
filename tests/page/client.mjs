// clients/js against the daemon. ADDRESS as in page.mjs, CLIENTS the folder of clients.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { createServer } from "node:http";
import { test } from "node:test";

const { Client, PfgmdError } = await import(process.env.CLIENTS + "/js/index.js");
const client = new Client(process.env.ADDRESS);
const LONG = { method: "euler", steps: 100000, max_nfe: 10000000 };
const sha256 = bytes => createHash("sha256").update(bytes).digest("hex");
async function idle() {
  for (const end = Date.now() + 10000; !/pfgmd_slots_busy 0\n/.test(await (await fetch(process.env.ADDRESS + "/metrics")).text());)
    assert.ok(Date.now() < end, "slots stay busy");
}

test("images keep every digit of seed and index", async () => {
  const seed = 2n ** 64n - 1n, images = await client.images({ n: 2, seed, first_index: 2n ** 53n + 1n });
  assert.deepEqual(images.map(i => i.index), [2n ** 53n + 1n, 2n ** 53n + 2n]);
  for (const i of images) assert.equal(sha256(i.png), i.sha256);
  assert.deepEqual(await client.image(seed, 2n ** 53n + 2n), images[1].png);
});

test("files and arrays of every kind", async () => {
  for (const kind of ["npy", "npz", "zip", "tar"]) assert.ok((await client.file(kind, { n: 2, seed: 1 })).length > 100);
  assert.deepEqual([...(await client.file("png", { n: 2, seed: 1, grid: { columns: 2 } })).subarray(1, 4)], [80, 78, 71]);
  const { shape, data } = await client.array({ n: 2, seed: 1, dtype: "float32", layout: "chw" });
  assert.equal(shape.length, 4);
  assert.ok(data instanceof Float32Array && data.length === shape.reduce((a, b) => a * b));
  await assert.rejects(client.file("jpg"), TypeError);
});

test("events, and leaving them ends the work", async () => {
  const kinds = [];
  for await (const { kind } of client.events({ n: 2, seed: 3, preview_every: 5 })) kinds.push(kind);
  assert.equal(kinds[0], "queued");
  assert.equal(kinds.at(-1), "done");
  assert.ok(kinds.includes("preview") && kinds.filter(k => k === "image").length === 2);
  for await (const { kind } of client.events({ n: 2, solver: LONG })) if (kind === "started") break;
  await idle();
});

test("a signal cancels", async () => {
  const stop = new AbortController();
  const asked = client.images({ solver: LONG }, { signal: stop.signal });
  setTimeout(() => stop.abort(), 200);
  await assert.rejects(asked, { name: "AbortError" });
  await idle();
});

test("refusals say why", async () => {
  await assert.rejects(client.images({ n: 0 }), e => e instanceof PfgmdError && e.status === 422 && e.errors[0].pointer === "/n");
  await assert.rejects(client.model("other"), e => e.status === 404 && e.code === "not_found");
  await assert.rejects(async () => { for await (const _ of client.events({ solver: { method: "rk45", max_nfe: 8 } })); }, { code: "numerical_failure" });
  assert.equal(await new Client("http://127.0.0.1:9").live(), false);
  await assert.rejects(new Client("http://127.0.0.1:9").models(), e => e.status === 0);
});

test("a 503 is tried again after the time that it names", async () => {
  let asked = 0;
  const server = createServer((_, r) => asked++ ? r.end('{"data":[]}') : r.writeHead(503, { "Retry-After": "1" }).end('{"code":"queue_full"}'));
  await new Promise(r => server.listen(0, "127.0.0.1", r));
  const begun = Date.now();
  assert.deepEqual(await new Client("http://127.0.0.1:" + server.address().port).models(), []);
  assert.ok(Date.now() - begun >= 990 && asked === 2);
  server.close();
});

test("what the server tells", async () => {
  assert.ok(await client.live() && await client.ready());
  assert.equal((await client.models())[0].object, "model");
  assert.ok((await client.capabilities()).solvers.length > 3);
});
