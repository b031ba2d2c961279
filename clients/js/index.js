// Client of pfgmd; the contract is the server's /openapi.json. See README.md.

const TYPES = { json: "application/json", png: "image/png", npy: "application/x-npy", npz: "application/x-npz",
  zip: "application/zip", tar: "application/x-tar", events: "text/event-stream" };

/** A refusal or a failure: status (0: no answer), code, detail, errors. */
export class PfgmdError extends Error {
  constructor(status, problem = {}) {
    super(problem.detail ?? `the server answered ${status}`);
    this.name = "PfgmdError";
    this.status = status;
    this.code = problem.code ?? "";
    this.detail = this.message;
    this.errors = problem.errors ?? [];
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
    const words = new URLSearchParams(Object.entries(query).map(([k, v]) => [k, v === null ? "null" : String(v)]));
    const answer = await this.#ask(`/v1/images/${seed}/${index}${words.size ? "?" + words : ""}`, { headers: { Accept: TYPES.png } }, options);
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

  async models(options) { return (await (await this.#ask("/v1/models", {}, options)).json()).data; }
  async model(name, options) { return (await this.#ask("/v1/models/" + encodeURIComponent(name), {}, options)).json(); }
  async capabilities(options) { return (await this.#ask("/v1/capabilities", {}, options)).json(); }
  live(options) { return this.#healthy("/livez", options); }
  ready(options) { return this.#healthy("/readyz", options); }

  async #healthy(path, options) {
    try { return (await fetch(this.#address + path, { signal: options?.signal })).ok; } catch { return false; }
  }

  #post(kind, fields, options) {
    return this.#ask("/v1/images", { method: "POST", body: bodyOf(fields),
      headers: { "Content-Type": "application/json", Accept: TYPES[kind] } }, options);
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
