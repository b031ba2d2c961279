// Client of pfgmd; the contract is the server's /openapi.json. See README.md.

const TYPES = { json: "application/json", png: "image/png", npy: "application/x-npy", npz: "application/x-npz",
  zip: "application/zip", tar: "application/x-tar", events: "text/event-stream" };

/** A refusal or a failure: status (0: no answer), code, detail, errors, retryAfter (seconds), limit, available. */
export class PfgmdError extends Error {
  constructor(status, problem = {}) {
    super(problem.detail ?? `the server answered ${status}`);
    this.name = "PfgmdError";
    this.status = status;
    this.code = problem.code ?? "";
    this.detail = this.message;
    this.errors = problem.errors ?? [];
    this.retryAfter = problem.retry_after_s;
    this.limit = problem.limit;
    this.available = problem.available;
    this.instance = problem.instance;
  }
}

/* Integers that a number of JavaScript may not hold exactly keep their digits. */
const parse = text => JSON.parse(text.replace(/"(index|first_index)":([0-9]+)/g, '"$1":"$2"'));

function bodyOf(fields) {
  const body = {};
  for (const [key, value] of Object.entries(fields))
    if (value !== undefined) body[key] = key === "seed" || key === "first_index" ? String(value) : value;
  return JSON.stringify(body);
}

const jsonOf = (fields, kind) => ({ method: "POST", body: bodyOf(fields),
  headers: { "Content-Type": "application/json", Accept: TYPES[kind] } });

function bytesOf(base64) {
  return Uint8Array.from(atob(base64), c => c.charCodeAt(0));
}

function base64Of(bytes) {
  let text = "";
  for (let i = 0; i < bytes.length; i += 32768) text += String.fromCharCode(...bytes.subarray(i, i + 32768));
  return btoa(text);
}

/* One file or several, each bytes or what encode gave. */
const filesOf = data => (data instanceof Uint8Array || data.npy ? [data] : [...data]).map(f => base64Of(f.npy ?? f));

/* An end of an interpolation: { seed, index }, a PNG, an NPY, or what encode gave. */
function endOf(end) {
  if (end instanceof Uint8Array) return { [end[0] === 0x89 ? "image" : "latent"]: base64Of(end) };
  if (end.npy) return { latent: base64Of(end.npy) };
  return { seed: String(end.seed), index: String(end.index ?? 0) };
}

/* The NPY file of an array of uint8, float32 or float64. */
function npyOf({ shape, data }) {
  const type = { Uint8Array: "|u1", Uint8ClampedArray: "|u1", Float32Array: "<f4", Float64Array: "<f8" }[data.constructor.name];
  if (!type) throw new TypeError("the data must be Uint8Array, Float32Array or Float64Array");
  let header = `{'descr': '${type}', 'fortran_order': False, 'shape': (${shape.map(n => n + ",").join(" ")}), }`;
  header = header.padEnd(Math.ceil((header.length + 11) / 64) * 64 - 11) + "\n";
  const file = new Uint8Array(10 + header.length + data.byteLength), view = new DataView(file.buffer);
  file.set([0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 1, 0]);
  view.setUint16(8, header.length, true);
  file.set(new TextEncoder().encode(header), 10);
  file.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), 10 + header.length);
  return file;
}

/* Blanks as %20: a "+" is a blank in forms only. */
const queryOf = query => {
  const words = Object.entries(query).filter(([, v]) => v !== undefined).map(word => word.map(w => encodeURIComponent(String(w))).join("="));
  return words.length ? "?" + words.join("&") : "";
};

function imageOf(data, answer) {
  return { index: BigInt(data.index), seed: BigInt(answer.seed), png: bytesOf(data.b64), sha256: data.sha256, nfe: data.nfe,
    class: data.class, url: data.url, warnings: answer.warnings };
}

const jobPath = (id, more = "") => `/v1/jobs/${encodeURIComponent(id)}${more}`;

/* As it was when it was asked for. */
function jobOf(answer) {
  const data = typeof answer === "string" ? parse(answer) : answer;
  return { id: data.id, state: data.state, ended: ["succeeded", "failed", "cancelled"].includes(data.state),
    imagesDone: data.progress.images_done, imagesTotal: data.progress.images_total, data };
}

/* Of version 4. Pages that are not secure contexts have no crypto.randomUUID. */
async function uuid() {
  const source = globalThis.crypto ?? (await import("node:crypto")).webcrypto; // Node 18 has no global one
  const b = source.getRandomValues(new Uint8Array(16));
  b[6] = b[6] & 0x0f | 0x40;
  b[8] = b[8] & 0x3f | 0x80;
  return [...b].map((v, i) => ([4, 6, 8, 10].includes(i) ? "-" : "") + v.toString(16).padStart(2, "0")).join("");
}

const wait = (ms, signal) => new Promise((resolve, reject) => {
  signal?.throwIfAborted(); // an executor that throws rejects; no event comes of a signal that was aborted before
  const end = () => { clearTimeout(timer); reject(signal.reason); };
  const timer = setTimeout(() => { signal?.removeEventListener("abort", end); resolve(); }, ms);
  signal?.addEventListener("abort", end, { once: true });
});

/* The whole of an answer, by one of its methods. */
async function read(answer, how, signal) {
  try {
    return await answer[how]();
  } catch (e) {
    signal?.throwIfAborted();
    throw new PfgmdError(0, { detail: `the answer broke off: ${e.message}` });
  }
}

/* The array of an NPY file of ours: version 1, C order, uint8 or float32. */
function arrayOf(buffer) {
  const view = new DataView(buffer), length = view.getUint16(8, true);
  const header = new TextDecoder("latin1").decode(new Uint8Array(buffer, 10, length));
  const shape = /'shape': \(([^)]*)\)/.exec(header)[1].split(",").filter(s => s.trim()).map(Number);
  const bytes = buffer.slice(10 + length);
  return { shape, data: header.includes("'<f4'") ? new Float32Array(bytes) : new Uint8Array(bytes) };
}

export class Client {
  #address; #key; #retries; #patience;

  /* retries: how often a 429, 503 or 507 is tried again; patience: the seconds, from the first failure on, that one call
   * may wait between its tries. */
  constructor(address = "http://127.0.0.1:8080", { key, retries = 3, patience = 60 } = {}) {
    const { origin, pathname } = new URL(address);
    this.#address = origin + pathname.replace(/\/+$/, ""); // the path that the server stands below is kept
    this.#key = key;
    this.#retries = retries;
    this.#patience = patience;
  }

  async images(fields = {}, options) {
    const answer = parse(await this.#post("json", "text", fields, options));
    return answer.images.map(i => imageOf(i, answer));
  }

  async image(seed, index = 0, query = {}, options) {
    return new Uint8Array(await this.#get(`/v1/images/${seed}/${index}${queryOf(query)}`, "arrayBuffer", options, TYPES.png));
  }

  async array(fields = {}, options) {
    return arrayOf(await this.#post("npy", "arrayBuffer", fields, options));
  }

  async file(kind, fields = {}, options) {
    if (!(kind in TYPES) || kind === "json" || kind === "events") throw new TypeError(`"${kind}" is not png, npy, npz, zip or tar`);
    return new Uint8Array(await this.#post(kind, "arrayBuffer", fields, options));
  }

  async *events(fields = {}, { signal } = {}) {
    for await (const { kind, data } of this.#events("/v1/images", jsonOf(fields, "events"), { signal })) {
      if (kind === "failed") throw new PfgmdError(data.status ?? 500, data);
      yield { kind, data };
      if (kind === "done" || kind === "cancelled") return;
    }
  }

  /* Files a job under a UUID that is drawn here: where an answer is lost, asking again files nothing twice. */
  async submit(fields = {}, { id, signal } = {}) {
    id ??= await uuid();
    const init = { ...jsonOf(fields, "json"), method: "PUT" };
    return jobOf(await this.#insist(options => this.#text(jobPath(id), init, options), signal));
  }

  async job(id, { signal } = {}) { return jobOf(await this.#text(jobPath(id), { headers: { Accept: TYPES.json } }, { signal })); }

  async *jobs({ state, signal } = {}) {
    for (let after; after !== null;) {
      const page = parse(await this.#text("/v1/jobs" + queryOf({ limit: 100, state, after }), { headers: { Accept: TYPES.json } }, { signal }));
      for (const data of page.jobs) yield jobOf(data);
      after = page.next;
    }
  }

  /* The job once it has ended, however; restarts of the server are waited for. */
  async wait(id, { signal } = {}) {
    const init = { headers: { Accept: TYPES.json, Prefer: "wait=20" } };
    for (;;) {
      let begun;
      const ask = options => { begun = Date.now(); return this.#text(jobPath(id), init, options); };
      const job = jobOf(await this.#insist(ask, signal));
      if (job.ended) return job;
      if (Date.now() - begun < 10000) await wait(1000, signal); // a server that is about to stop answers at once
    }
  }

  /* Events behind the one with the id `after`; where the connection is lost, on behind the last that came. */
  async *jobEvents(id, { after = 0, signal } = {}) {
    for (let pauses = this.#pauses(signal);;) {
      try {
        const init = { headers: { Accept: TYPES.events, ...(after ? { "Last-Event-ID": String(after) } : {}) } };
        for await (const event of this.#events(jobPath(id, "/events"), init, { signal, pauses })) {
          after = event.id ?? after;
          pauses = this.#pauses(signal);
          yield event;
          if (["done", "failed", "cancelled"].includes(event.kind)) return;
        }
        return; // everything was seen
      } catch (e) {
        await pauses.wait(e);
      }
    }
  }

  async jobImage(id, place, kind, { signal } = {}) {
    const ask = options => this.#get(jobPath(id, "/images/" + place), "arrayBuffer", options, TYPES[kind] ?? "*/*");
    return new Uint8Array(await this.#insist(ask, signal));
  }

  async archive(id, kind = "zip", { signal } = {}) {
    if (!["zip", "tar", "npy", "npz"].includes(kind)) throw new TypeError(`"${kind}" is not zip, tar, npy or npz`);
    const ask = options => this.#get(jobPath(id, "/archive"), "arrayBuffer", options, TYPES[kind]);
    return new Uint8Array(await this.#insist(ask, signal));
  }

  /* DELETE forgets a job that has ended, so it says with If-Match which state it means; 412: it is another one by now. */
  async #remove(id, ended, signal) {
    for (;;) {
      const seen = await this.#ask(jobPath(id), {}, { signal });
      const job = jobOf(await read(seen, "text", signal));
      if (job.ended !== ended) return { job, removed: false };
      const headers = { "If-Match": seen.headers.get("ETag") };
      try {
        const text = await this.#text(jobPath(id), { method: "DELETE", headers }, { signal });
        return { job: text ? jobOf(text) : job, removed: true };
      } catch (e) { if (e.status !== 412) throw e; }
    }
  }

  async cancel(id, { signal } = {}) { return (await this.#remove(id, false, signal)).job; }

  async forget(id, { signal } = {}) {
    if (!(await this.#remove(id, true, signal)).removed) throw new TypeError(`job ${id} has not ended: cancel it first, and wait`);
  }

  async #text(path, init, options) { return read(await this.#ask(path, init, options), "text", options?.signal); }

  /* Growing pauses between tries, in all no longer than patience, whose clock begins with the first failure: what went well
   * for long before that was no waiting. `wait` throws the error that makes no sense to try again; left() is in seconds. */
  #pauses(signal) {
    const patience = this.#patience;
    let end, next = 250;
    const begin = () => { end ??= Date.now() + patience * 1000; };
    const left = () => end === undefined ? patience : (end - Date.now()) / 1000;
    return { begin, left, async wait(e) {
      const timed = [503, 507].includes(e.status) && e.retryAfter !== undefined; // a store of jobs that is away or full
      const passes = e instanceof PfgmdError && (e.status === 0 || (e.status === 503 && e.code !== "jobs_off") || timed);
      const ms = Math.max(next, timed ? e.retryAfter * 1000 : 0);
      if (!passes || !(ms <= left() * 1000)) throw e;
      begin();
      await wait(ms, signal);
      next = Math.min(2 * next, 15000);
    } };
  }

  /* What `work` gives, which can be done twice, with the options that it gets. */
  async #insist(work, signal) {
    for (const pauses = this.#pauses(signal);;)
      try { return await work({ signal, pauses }); } catch (e) { await pauses.wait(e); }
  }

  /* The events of one connection, until it ends without an answer (204); an end before the caller leaves is an error. */
  async *#events(path, init, { signal, pauses } = {}) {
    signal?.throwIfAborted();
    const stop = new AbortController(), abort = () => stop.abort(signal.reason);
    signal?.addEventListener("abort", abort, { once: true });
    let reader;
    try {
      const answer = await this.#ask(path, init, { signal: stop.signal, pauses });
      if (answer.status === 204) return;
      reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      for (let text = "";;) {
        const { done, value } = await reader.read().catch(e => {
          signal?.throwIfAborted();
          throw new PfgmdError(0, { detail: `the stream of events broke off: ${e.message}` });
        });
        if (done) throw new PfgmdError(0, { detail: "the stream of events broke off" });
        text += value;
        for (let end; (end = text.indexOf("\n\n")) >= 0; text = text.slice(end + 2)) {
          const kind = /^event: (.*)$/m.exec(text.slice(0, end))?.[1];
          if (!kind) continue;
          const id = /^id: ([0-9]+)$/m.exec(text.slice(0, end))?.[1];
          yield { kind, data: parse(/^data: (.*)$/m.exec(text.slice(0, end))[1]), id: id && Number(id) };
        }
      }
    } finally {
      signal?.removeEventListener("abort", abort);
      reader?.cancel().catch(() => {}); // nobody listens any more: its end tells nobody anything
      stop.abort();
    }
  }

  async encode(images, fields = {}, options) {
    const answer = await this.#flow("encode", { ...fields, images: filesOf(images) }, options);
    return answer.images.map(i => ({ index: BigInt(i.index), npy: bytesOf(i.latent), nfe: i.nfe }));
  }

  async decode(latents, fields = {}, options) {
    const answer = await this.#flow("decode", { ...fields, latents: filesOf(latents) }, options);
    return answer.images.map(i => imageOf(i, answer));
  }

  async interpolate(a, b, fields = {}, options) {
    const answer = await this.#flow("interpolate", { ...fields, between: [endOf(a), endOf(b)] }, options);
    return answer.images.map(i => imageOf(i, answer));
  }

  async edit(image, { mask, ...fields } = {}, options) {
    const source = image instanceof Uint8Array ? base64Of(image)
      : { seed: String(image.seed), index: String(image.index ?? 0), class: image.class };
    const answer = await this.#flow("edit", { ...fields, image: source, mask: mask && base64Of(mask) }, options);
    return answer.images.map(i => imageOf(i, answer));
  }

  async likelihood(images, fields = {}, options) {
    const answer = await this.#flow("likelihood", { ...fields, images: filesOf(images) }, options);
    return answer.images.map(i => ({ index: BigInt(i.index), bitsPerDimension: i.bits_per_dimension,
      logLikelihood: i.log_likelihood, nfe: i.nfe, seed: BigInt(answer.seed) }));
  }

  encodeArray(images, query, options) { return this.#arrays("encode", images, query, options); }
  decodeArray(latents, query, options) { return this.#arrays("decode", latents, query, options); }

  async models(options) { return (await this.#get("/v1/models", "json", options)).data; }
  model(name, options) { return this.#get("/v1/models/" + encodeURIComponent(name), "json", options); }
  capabilities(options) { return this.#get("/v1/capabilities", "json", options); }
  live(options) { return this.#healthy("/livez", options); }
  ready(options) { return this.#healthy("/readyz", options); }

  async #healthy(path, options) {
    try { return (await fetch(this.#address + path, { signal: options?.signal })).ok; } catch { return false; }
  }

  async #get(path, how, options, type = TYPES.json) {
    return read(await this.#ask(path, { headers: { Accept: type } }, options), how, options?.signal);
  }

  async #post(kind, how, fields, options, path = "/v1/images") {
    return read(await this.#ask(path, jsonOf(fields, kind), options), how, options?.signal);
  }

  async #flow(task, fields, options) { return parse(await this.#post("json", "text", fields, options, "/v1/" + task)); }

  async #arrays(task, array, query = {}, options) {
    const answer = await this.#ask(`/v1/${task}${queryOf(query)}`, { method: "POST", body: npyOf(array),
      headers: { "Content-Type": TYPES.npy, Accept: TYPES.npy } }, options);
    return arrayOf(await read(answer, "arrayBuffer", options?.signal));
  }

  /* An answer that is good; refusals that may pass are tried again, as long as the caller's patience lasts. */
  async #ask(path, init, { signal, pauses = this.#pauses(signal) } = {}) {
    const headers = { ...init.headers, ...(this.#key ? { Authorization: "Bearer " + this.#key } : {}) };
    for (let attempt = 0, patience = pauses.left();; attempt++) {
      let answer;
      try {
        answer = await fetch(this.#address + path, { ...init, headers, signal });
      } catch (e) {
        signal?.throwIfAborted();
        throw new PfgmdError(0, { detail: `${this.#address} does not answer: ${e.message}` });
      }
      if (answer.ok) return answer;
      const named = answer.headers.get("Retry-After") ?? "", after = /^[0-9]{1,9}$/.test(named) ? Number(named) : undefined;
      const problem = await answer.json().catch(() => { // none of its own, or broken off: the status says it
        signal?.throwIfAborted();
        return {};
      });
      if (![429, 503, 507].includes(answer.status) || attempt >= this.#retries || !(after <= patience))
        throw new PfgmdError(answer.status, { ...problem, retry_after_s: after ?? problem?.retry_after_s });
      patience -= after;
      pauses.begin();
      await wait(after * 1000, signal);
    }
  }
}
