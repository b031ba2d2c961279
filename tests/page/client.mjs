// clients/js against the daemon. ADDRESS as in page.mjs, CLIENTS the folder of clients.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { createServer } from "node:http";
import { createServer as createTcpServer } from "node:net";
import { test } from "node:test";

const { Client, PfgmdError } = await import(process.env.CLIENTS + "/js/index.js");
const client = new Client(process.env.ADDRESS);
const LONG = { method: "euler", steps: 100000, max_nfe: 10000000 };
const sha256 = bytes => createHash("sha256").update(bytes).digest("hex");
async function idle() {
  for (const end = Date.now() + 120000; !/pfgmd_slots_busy 0\n/.test(await (await fetch(process.env.ADDRESS + "/metrics")).text());)
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

test("latents there and back, between, and how likely", async () => {
  const solver = { method: "rk45", rtol: 1e-3, atol: 1e-3 };
  const images = await client.images({ n: 2, seed: 5, class: null });
  const latents = await client.encode(images.map(i => i.png), { first_index: 2n ** 63n, solver });
  assert.deepEqual(latents.map(z => z.index), [2n ** 63n, 2n ** 63n + 1n]);
  assert.deepEqual((await client.encode(images[1].png, { solver }))[0].npy, latents[1].npy);
  const [again, other] = await client.decode([latents[0], latents[1].npy]);
  assert.equal((await client.decode(latents[0]))[0].sha256, again.sha256);
  assert.notEqual(other.sha256, again.sha256);
  const way = await client.interpolate({ seed: 2n ** 64n - 1n, index: 3 }, latents[1], { frames: 3, class: null });
  assert.equal(way.length, 3);
  assert.equal((await client.interpolate(latents[0], latents[1].npy, { frames: 2 })).length, 2);
  const [whole] = await client.images({ seed: 5 });
  const [remade] = await client.edit(whole.png, { strength: 1, seed: 5, class: whole.class ?? undefined });
  assert.deepEqual(remade.png, whole.png);
  const edited = await client.edit({ seed: 5 }, { n: 2, strength: 0.25, seed: 2n ** 64n - 1n, mask: whole.png, solver: { steps: 3, method: "euler" } });
  assert.deepEqual(edited.map(i => i.seed), [2n ** 64n - 1n, 2n ** 64n - 1n]);
  const [told] = await client.likelihood(images[0].png, { seed: 2n ** 64n - 1n, solver: { rtol: 0.5, atol: 0.5 } });
  assert.equal(told.seed, 2n ** 64n - 1n);
  assert.ok(told.bitsPerDimension > 0 && told.bitsPerDimension < 12 && told.nfe > 6);
  const pixels = await client.array({ n: 2, seed: 5, class: null }), up = await client.encodeArray(pixels, { rtol: 1e-3, atol: 1e-3 });
  assert.deepEqual(up.shape, [2, pixels.shape[3], pixels.shape[1], pixels.shape[2]]);
  const down = await client.decodeArray(up), apart = down.data.map((v, i) => Math.abs(v - pixels.data[i]));
  assert.ok(apart.reduce((a, b) => a + b) / apart.length < 2);
  await assert.rejects(client.encodeArray({ shape: [1], data: [1] }), TypeError);
  await assert.rejects(client.encode(new Uint8Array([1])), e => e.errors[0].pointer === "/images/0" && e.code === "invalid_parameter");
  await assert.rejects(client.interpolate({ seed: 1 }, { seed: 2 }, { frames: 1e6 }), e => e.limit === 64);
  await assert.rejects(client.file("png", { n: 2 }), e => e.available.includes("application/zip") && e.status === 406);
});

test("a job from its filing to its end", async () => {
  const fields = { n: 3, seed: 2n ** 64n - 1n, solver: { method: "euler", steps: 3 } };
  const { id } = await client.submit(fields);
  assert.equal((await client.submit(fields, { id })).id, id);
  await assert.rejects(client.submit({ ...fields, label: "other" }, { id }), e => e.status === 409);
  const job = await client.wait(id);
  assert.deepEqual([job.state, job.ended, job.imagesDone, job.imagesTotal], ["succeeded", true, 3, 3]);
  const images = await client.images(fields);
  assert.deepEqual(await client.jobImage(id, 2), images[2].png);
  const ids = [];
  for await (const e of client.jobEvents(id)) if (e.kind !== "progress") ids.push(e.id);
  assert.deepEqual(ids, [1, 2, 3, 4, 5, 6]);
  const rest = [];
  for await (const e of client.jobEvents(id, { after: 4 })) rest.push(e.kind);
  assert.deepEqual(rest, ["image", "done"]);
  for await (const e of client.jobEvents(id, { after: 6 })) assert.fail(e.kind);
  for (const kind of ["zip", "tar", "npy", "npz"]) assert.ok((await client.archive(id, kind)).length > 100);
  await assert.rejects(client.archive(id, "png"), TypeError);
  const seen = [];
  for await (const j of client.jobs({ state: "succeeded" })) seen.push(j.id);
  assert.ok(seen.includes(id));
  assert.equal((await client.cancel(id)).state, "succeeded");
  await client.forget(id);
  await assert.rejects(client.job(id), e => e.status === 410);
  const long = await client.submit({ n: 2, solver: LONG });
  await assert.rejects(client.forget(long.id), TypeError);
  await client.cancel(long.id);
  assert.equal((await client.wait(long.id)).state, "cancelled");
});

test("the types name every code that the server has", async () => {
  const { readFileSync } = await import("node:fs");
  const types = readFileSync(process.env.CLIENTS + "/js/index.d.ts", "utf8");
  const codes = (await (await fetch(process.env.ADDRESS + "/openapi.json")).json()).components.schemas.Problem.properties.code.enum;
  for (const code of codes) assert.ok(types.includes(`| "${code}"`), code);
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
  const deaf = createTcpServer(socket => socket.destroy()); // ends every connection without a word
  await new Promise(r => deaf.listen(0, "127.0.0.1", r));
  const nobody = new Client("http://127.0.0.1:" + deaf.address().port);
  assert.equal(await nobody.live(), false);
  await assert.rejects(nobody.models(), e => e.status === 0);
  deaf.close();
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

test("a store that is away or full for a moment is waited for as long as patience lasts", async () => {
  for (const [status, code] of [[503, "jobs_off"], [507, "store_full"]]) {
    let asked = 0;
    const server = createServer((q, r) => {
      if (asked++ < 2) r.writeHead(status, { "Retry-After": "0" }).end(JSON.stringify({ code }));
      else r.writeHead(202).end('{"id":"x","state":"queued","progress":{"images_done":0,"images_total":1}}');
    });
    await new Promise(r => server.listen(0, "127.0.0.1", r));
    try {
      assert.equal((await new Client("http://127.0.0.1:" + server.address().port, { retries: 0 }).submit()).id, "x");
      assert.equal(asked, 3);
    } finally { server.closeAllConnections(); server.close(); }
    await served(async (address, seen) => { // where no time is named, there is none
      await assert.rejects(new Client(address).submit(), e => e.status === status && e.code === code);
      assert.equal(seen.length, 1);
    }, status, {}, JSON.stringify({ code }));
  }
});

/* A server that gives one answer to everything, and what it was asked. */
async function served(work, status, headers, body) {
  const seen = [], server = createServer((q, r) => { seen.push(q.url); r.writeHead(status, headers).end(body); });
  await new Promise(r => server.listen(0, "127.0.0.1", r));
  try { await work("http://127.0.0.1:" + server.address().port, seen); } finally { server.closeAllConnections(); server.close(); }
}

test("a wait beyond the patience is an error at once", async () => {
  for (const [after, options] of [["86399", {}], ["50", { patience: 49 }]])
    await served(async (address, seen) => {
      const begun = Date.now();
      await assert.rejects(new Client(address, options).models(), e => e.status === 429 && e.retryAfter === Number(after));
      assert.ok(Date.now() - begun < 40000 && seen.length === 1);
    }, 429, { "Retry-After": after }, '{"code":"quota_exceeded"}');
});

test("an aborted signal ends a wait", async () => {
  await served(async (address, seen) => {
    const begun = Date.now(), stop = new AbortController();
    const asked = new Client(address).models({ signal: stop.signal });
    asked.catch(() => {});
    while (!seen.length) await new Promise(r => setTimeout(r, 5));
    setTimeout(() => stop.abort(), 50);
    await assert.rejects(asked, { name: "AbortError" });
    const before = new Client(address, { retries: 1 }).models({ signal: AbortSignal.abort() });
    await assert.rejects(before, { name: "AbortError" });
    assert.ok(Date.now() - begun < 40000);
  }, 503, { "Retry-After": "50" }, "{}");
});

test("a signal that is aborted while a refusal is read ends the wait that follows", async () => {
  const stop = new AbortController(), inner = globalThis.fetch;
  globalThis.fetch = async () => { // an answer whose body is there: the signal alone says that nobody waits
    stop.abort();
    return new Response("{}", { status: 503, headers: { "Retry-After": "50" } });
  };
  const begun = Date.now();
  try { await assert.rejects(client.models({ signal: stop.signal }), { name: "AbortError" }); } finally { globalThis.fetch = inner; }
  assert.ok(Date.now() - begun < 40000);
});

test("a signal ends events", async () => {
  const stop = new AbortController();
  await assert.rejects(async () => {
    for await (const { kind } of client.events({ n: 2, solver: LONG }, { signal: stop.signal })) if (kind === "started") stop.abort();
  }, { name: "AbortError" });
  await idle();
  await assert.rejects(client.events({}, { signal: AbortSignal.abort() }).next(), { name: "AbortError" });
});

test("an answer that breaks off is an error of ours", async () => {
  const server = createTcpServer(socket => socket.on("error", () => {}).once("data", () =>
    socket.end("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")));
  await new Promise(r => server.listen(0, "127.0.0.1", r));
  const broken = new Client("http://127.0.0.1:" + server.address().port);
  for (const work of [() => broken.models(), () => broken.images(), () => broken.file("zip"), () => broken.events().next()])
    await assert.rejects(work, e => e instanceof PfgmdError && e.status === 0 && e.detail.includes("broke off"));
  server.close();
});

/* A server that gives each connection the next answer, in pieces with milliseconds between them, and how often it was
 * asked. */
async function paced(answers, work) {
  const count = { asked: 0 };
  const server = createTcpServer(socket => socket.on("error", () => {}).once("data", async () => {
    for (const piece of answers[Math.min(count.asked++, answers.length - 1)])
      if (typeof piece === "number") await new Promise(r => setTimeout(r, piece));
      else socket.write(piece);
    socket.end();
  }));
  await new Promise(r => server.listen(0, "127.0.0.1", r));
  try { return await work("http://127.0.0.1:" + server.address().port, count); } finally { server.close(); }
}
const answerOf = (body, head = "200 OK", length = body.length) =>
  `HTTP/1.1 ${head}\r\nConnection: close\r\nContent-Length: ${length}\r\n\r\n${body}`;
const jobIn = state => answerOf(`{"id":"x","state":"${state}","progress":{"images_done":0,"images_total":1}}`);
const CUT = answerOf('{"id"', "200 OK", 999);

test("a wait pauses while the server drains and answers at once", async () => {
  await paced([[jobIn("queued")], [jobIn("running")], [jobIn("succeeded")]], async (address, count) => {
    const begun = Date.now();
    assert.equal((await new Client(address).wait("x")).state, "succeeded");
    assert.equal(count.asked, 3);
    assert.ok(Date.now() - begun >= 1990);
  });
  await paced([[jobIn("running")]], async (address, count) => { // as it would be for long
    const stop = new AbortController(), asked = new Client(address).wait("x", { signal: stop.signal });
    asked.catch(() => {});
    while (!count.asked) await new Promise(r => setTimeout(r, 5));
    setTimeout(() => stop.abort(), 50);
    await assert.rejects(asked, { name: "AbortError" });
  });
});

test("an answer of a job that breaks off is asked for again", async () => {
  for (const work of [c => c.submit(), c => c.wait("x")])
    assert.equal((await paced([[CUT], [jobIn("succeeded")]], address => work(new Client(address)))).state, "succeeded");
  for (const work of [c => c.jobImage("x", 0), c => c.archive("x")])
    assert.equal((await paced([[CUT], [answerOf("full")]], address => work(new Client(address)))).length, 4);
});

test("patience begins with the first failure", async () => {
  const done = "id: 1\nevent: done\ndata: {}\n\n", kinds = [];
  const archive = address => new Client(address, { patience: 1 }).archive("x");
  assert.equal((await paced([[CUT, 1500], [answerOf("full")]], archive)).length, 4);
  await paced([["HTTP/1.1 200 OK\r\n\r\n", 1500], [answerOf(done)]], async address => {
    for await (const { kind } of new Client(address, { patience: 1 }).jobEvents("x")) kinds.push(kind);
  });
  assert.deepEqual(kinds, ["done"]);
  await paced([[CUT]], async (address, count) => { // and it ends
    const asked = new Client(address, { patience: 0.5 }).archive("x");
    await assert.rejects(asked, e => e.status === 0 && e.detail.includes("broke off"));
    assert.equal(count.asked, 2);
  });
});

test("patience bounds all waits of a call", async () => {
  const away = answerOf('{"code":"jobs_off"}', "503 x\r\nRetry-After: 1");
  for (const work of [c => c.submit(), c => c.jobEvents("x").next()])
    await paced([[away]], async (address, count) => {
      await assert.rejects(work(new Client(address, { patience: 2 })), e => e.status === 503 && e.retryAfter === 1);
      assert.equal(count.asked, 3);
    });
});

test("a query keeps blanks, and an address its path", async () => {
  for (const ending of ["", "/"])
    await served(async (address, seen) => {
      await new Client(address + "/one/two" + ending).image(7n, 0n, { class: "Ankle boot+", method: undefined });
      assert.deepEqual(seen, ["/one/two/v1/images/7/0?class=Ankle%20boot%2B"]);
    }, 200, {}, "PNG!");
  assert.deepEqual(await client.image(7n, 0n, { class: "Ankle boot" }), (await client.images({ seed: 7n, class: "Ankle boot" }))[0].png);
});

test("what the server says of itself", async () => {
  assert.ok(await client.live() && await client.ready());
  assert.equal((await client.models())[0].object, "model");
  assert.ok((await client.capabilities()).solvers.length > 3);
});
