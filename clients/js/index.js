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

const queryOf = query => {
  const words = new URLSearchParams(Object.entries(query).map(([k, v]) => [k, v === null ? "null" : String(v)]));
  return words.size ? "?" + words : "";
};

function imageOf(data, seed) {
  return { index: BigInt(data.index), seed: BigInt(seed), png: bytesOf(data.b64), sha256: data.sha256, nfe: data.nfe,
    class: data.class, url: data.url };
}

const wait = (ms, signal) => new Promise((resolve, reject) => {
  const timer = setTimeout(resolve, ms);
  signal?.addEventListener("abort", () => { clearTimeout(timer); reject(signal.reason); }, { once: true });
});

/* The array of an NPY file of ours: version 1, C order, uint8 or float32. */
function arrayOf(buffer) {
  const view = new DataView(buffer), length = view.getUint16(8, true);
  const header = new TextDecoder("latin1").decode(new Uint8Array(buffer, 10, length));
  const shape = /'shape': \(([^)]*)\)/.exec(header)[1].split(",").filter(s => s.trim()).map(Number);
  const bytes = buffer.slice(10 + length);
  return { shape, data: header.includes("'<f4'") ? new Float32Array(bytes) : new Uint8Array(bytes) };
}

export class Client {
  #address; #key; #retries;

  constructor(address = "http://127.0.0.1:8080", { key, retries = 3 } = {}) {
    this.#address = new URL(address).href.replace(/\/$/, "");
    this.#key = key;
    this.#retries = retries;
  }

  async images(fields = {}, options) {
    const answer = parse(await (await this.#post("json", fields, options)).text());
    return answer.images.map(i => imageOf(i, answer.seed));
  }

  async image(seed, index = 0, query = {}, options) {
    const answer = await this.#ask(`/v1/images/${seed}/${index}${queryOf(query)}`, { headers: { Accept: TYPES.png } }, options);
    return new Uint8Array(await answer.arrayBuffer());
  }

  async array(fields = {}, options) {
    return arrayOf(await (await this.#post("npy", fields, options)).arrayBuffer());
  }

  async file(kind, fields = {}, options) {
    if (!(kind in TYPES) || kind === "json" || kind === "events") throw new TypeError(`"${kind}" is not png, npy, npz, zip or tar`);
    return new Uint8Array(await (await this.#post(kind, fields, options)).arrayBuffer());
  }

  async *events(fields = {}, options = {}) {
    const stop = new AbortController();
    const signal = options.signal ? AbortSignal.any([options.signal, stop.signal]) : stop.signal;
    const answer = await this.#post("events", fields, { signal });
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    try {
      for (let text = "";;) {
        const { done, value } = await reader.read();
        if (done) throw new PfgmdError(0, { detail: "the stream of events broke off" });
        text += value;
        for (let end; (end = text.indexOf("\n\n")) >= 0; text = text.slice(end + 2)) {
          const kind = /^event: (.*)$/m.exec(text.slice(0, end))?.[1];
          if (!kind) continue;
          const data = parse(/^data: (.*)$/m.exec(text.slice(0, end))[1]);
          if (kind === "failed") throw new PfgmdError(data.status ?? 500, data);
          yield { kind, data };
          if (kind === "done" || kind === "cancelled") return;
        }
      }
    } finally {
      reader.cancel().catch(() => {}); // nobody listens any more: its end tells nobody anything
      stop.abort();
    }
  }

  async encode(images, fields = {}, options) {
    const answer = await this.#flow("encode", { ...fields, images: filesOf(images) }, options);
    return answer.images.map(i => ({ index: BigInt(i.index), npy: bytesOf(i.latent), nfe: i.nfe }));
  }

  async decode(latents, fields = {}, options) {
    const answer = await this.#flow("decode", { ...fields, latents: filesOf(latents) }, options);
    return answer.images.map(i => imageOf(i, answer.seed));
  }

  async interpolate(a, b, fields = {}, options) {
    const answer = await this.#flow("interpolate", { ...fields, between: [endOf(a), endOf(b)] }, options);
    return answer.images.map(i => imageOf(i, answer.seed));
  }

  async likelihood(images, fields = {}, options) {
    const answer = await this.#flow("likelihood", { ...fields, images: filesOf(images) }, options);
    return answer.images.map(i => ({ index: BigInt(i.index), bitsPerDimension: i.bits_per_dimension,
      logLikelihood: i.log_likelihood, nfe: i.nfe, seed: BigInt(answer.seed) }));
  }

  encodeArray(images, query, options) { return this.#arrays("encode", images, query, options); }
  decodeArray(latents, query, options) { return this.#arrays("decode", latents, query, options); }

  async models(options) { return (await (await this.#ask("/v1/models", {}, options)).json()).data; }
  async model(name, options) { return (await this.#ask("/v1/models/" + encodeURIComponent(name), {}, options)).json(); }
  async capabilities(options) { return (await this.#ask("/v1/capabilities", {}, options)).json(); }
  live(options) { return this.#healthy("/livez", options); }
  ready(options) { return this.#healthy("/readyz", options); }

  async #healthy(path, options) {
    try { return (await fetch(this.#address + path, { signal: options?.signal })).ok; } catch { return false; }
  }

  #post(kind, fields, options, path = "/v1/images") {
    return this.#ask(path, { method: "POST", body: bodyOf(fields),
      headers: { "Content-Type": "application/json", Accept: TYPES[kind] } }, options);
  }

  async #flow(task, fields, options) { return parse(await (await this.#post("json", fields, options, "/v1/" + task)).text()); }

  async #arrays(task, array, query = {}, options) {
    return arrayOf(await (await this.#ask(`/v1/${task}${queryOf(query)}`, { method: "POST", body: npyOf(array),
      headers: { "Content-Type": TYPES.npy, Accept: TYPES.npy } }, options)).arrayBuffer());
  }

  /* An answer that is good; refusals that may pass are tried again. */
  async #ask(path, init, { signal } = {}) {
    const headers = { ...init.headers, ...(this.#key ? { Authorization: "Bearer " + this.#key } : {}) };
    for (let attempt = 0;; attempt++) {
      let answer;
      try {
        answer = await fetch(this.#address + path, { ...init, headers, signal });
      } catch (e) {
        if (signal?.aborted) throw e;
        throw new PfgmdError(0, { detail: `${this.#address} does not answer: ${e.message}` });
      }
      if (answer.ok) return answer;
      const after = Number(answer.headers.get("Retry-After") ?? NaN);
      const problem = await answer.json().catch(() => ({}));
      if (![429, 503].includes(answer.status) || attempt >= this.#retries || !(after >= 0)) throw new PfgmdError(answer.status, problem);
      await wait(Math.min(after, 60) * 1000, signal);
    }
  }
}
