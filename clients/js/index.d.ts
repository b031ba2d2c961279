/** A class by its name or number; null: an unlabelled image; absent: drawn by seed and index. */
export type Class = string | number | null;
export type Integer = bigint | number | string;

export interface Solver {
  method?: string; steps?: number; schedule?: "log" | "power" | "rho" | "tuned"; rtol?: number; atol?: number;
  t_max?: number; t_min?: number; max_nfe?: number;
  churn?: number; churn_t_min?: number; churn_t_max?: number; churn_noise?: number; order_cap?: number;
  guidance?: number; guidance_t_min?: number; guidance_t_max?: number;
}
/** The fields of POST /v1/images. */
export interface Fields {
  model?: string; n?: number; seed?: Integer; first_index?: Integer; solver?: Solver; class?: Class; temperature?: number;
  grid?: { columns?: number; scale?: number }; dtype?: "uint8" | "float32"; layout?: "hwc" | "chw"; preview_every?: number;
  timeout_s?: number; priority?: "interactive" | "batch"; label?: string; embed_metadata?: boolean;
}
export interface Image {
  index: bigint; seed: bigint; png: Uint8Array; sha256: string; nfe: number; class?: number | null; url?: string;
  /** What is wrong with the solver that was asked for, such as so few steps that it returns noise. */
  warnings?: string[];
}
export interface Event {
  kind: "queued" | "started" | "progress" | "preview" | "image" | "done" | "cancelled"; data: any;
}
/** Work that a server keeps, as it was when it was asked for. */
export interface Job {
  id: string; state: "queued" | "running" | "cancelling" | "succeeded" | "failed" | "cancelled"; ended: boolean;
  imagesDone: number; imagesTotal: number; data: any;
}
export interface JobEvent {
  kind: "queued" | "started" | "progress" | "preview" | "image" | "done" | "failed" | "cancelled"; data: any;
  /** By which a reader goes on. */
  id?: number;
}
export interface Options { signal?: AbortSignal }

/** The fields of POST /v1/encode. */
export type EncodeFields = Pick<Fields, "model" | "first_index" | "solver" | "class" | "timeout_s" | "priority" | "label">;
/** Of POST /v1/decode. */
export type DecodeFields = EncodeFields & Pick<Fields, "seed" | "grid" | "embed_metadata" | "preview_every">;
/** Of POST /v1/interpolate. */
export type InterpolateFields = DecodeFields & { frames?: number };
/** Of POST /v1/edit. mask: a PNG, light where the image is kept. */
export type EditFields = DecodeFields & Pick<Fields, "n" | "temperature"> & { strength?: number; mask?: Uint8Array };
/** Of POST /v1/likelihood. probes: 0 is the exact trace. */
export type LikelihoodFields = EncodeFields & { seed?: Integer; probes?: number; constant?: "exact" | "reference" };
/** npy: an NPY file, float32 [1,C,H,W]. */
export interface Latent { index: bigint; npy: Uint8Array; nfe: number }
export interface Likelihood { index: bigint; bitsPerDimension: number; logLikelihood: number; nfe: number; seed: bigint }
/** A seed's image, a PNG, an NPY of one latent, or what encode gave. */
export type End = { seed: Integer; index?: Integer } | Uint8Array | Latent;
export interface NpyArray { shape: number[]; data: Uint8Array | Uint8ClampedArray | Float32Array | Float64Array }

/** What the server calls a refusal or a failure; "": there was no answer, or none of its own. */
export type Code = ""
  | "bad_request" | "malformed_json" | "unauthenticated" | "forbidden" | "not_found" | "method_not_allowed"
  | "not_acceptable" | "request_timeout" | "content_too_large" | "unsupported_media_type" | "expectation_failed"
  | "misdirected_request" | "invalid_parameter" | "quota_exceeded" | "head_too_large" | "internal" | "numerical_failure" | "not_implemented"
  | "queue_full" | "loading" | "draining" | "deadline_exceeded" | "idempotency_conflict" | "gone" | "precondition_failed" | "jobs_off" | "store_full";
export interface FieldError {
  /** An RFC 6901 pointer into the fields. */
  pointer: string; detail: string;
}

export declare class PfgmdError extends Error {
  /** The answer's; 0: there was none. */
  readonly status: number;
  readonly code: Code; readonly detail: string; readonly errors: FieldError[];
  /** Seconds after which another try makes sense. */
  readonly retryAfter?: number;
  /** That was passed. */
  readonly limit?: number;
  /** Of a 406: the types that there are. */
  readonly available?: string[];
  readonly instance?: string;
}

export declare class Client {
  /** address: with a path where the server stands below one. retries: how often a 429, 503 or 507 is tried again (3).
   *  patience: the seconds, from the first failure on, that one call may wait between its tries (60); a longer Retry-After
   *  is the error at once. */
  constructor(address?: string, options?: { key?: string; retries?: number; patience?: number });
  images(fields?: Fields, options?: Options): Promise<Image[]>;
  /** The PNG of one image; the query takes model, method, steps, class … */
  image(seed: Integer, index?: Integer, query?: Record<string, string | number | boolean | null>, options?: Options): Promise<Uint8Array>;
  array(fields?: Fields, options?: Options): Promise<{ shape: number[]; data: Uint8Array | Float32Array }>;
  file(kind: "png" | "npy" | "npz" | "zip" | "tar", fields?: Fields, options?: Options): Promise<Uint8Array>;
  events(fields?: Fields, options?: Options): AsyncGenerator<Event, void, void>;
  /** Files a job of up to 1,000,000 images. id: a UUID, drawn if absent; the same id with the same fields is the same job. */
  submit(fields?: Fields, options?: Options & { id?: string }): Promise<Job>;
  job(id: string, options?: Options): Promise<Job>;
  /** Those of this key, the newest first. */
  jobs(options?: Options & { state?: Job["state"] }): AsyncGenerator<Job, void, void>;
  /** The job once it has ended, however; restarts of the server are waited for as long as patience lasts. */
  wait(id: string, options?: Options): Promise<Job>;
  /** Goes on behind the last event where the connection is lost. */
  jobEvents(id: string, options?: Options & { after?: number }): AsyncGenerator<JobEvent, void, void>;
  /** Image `place` of the job, from 0: a PNG, or what kind says. */
  jobImage(id: string, place: number, kind?: "png" | "npy", options?: Options): Promise<Uint8Array>;
  /** All images; while the job runs it waits for what is missing. What breaks off is fetched again from its beginning. */
  archive(id: string, kind?: "zip" | "tar" | "npy" | "npz", options?: Options): Promise<Uint8Array>;
  /** One that has ended stays as it is. */
  cancel(id: string, options?: Options): Promise<Job>;
  /** Deletes one that has ended, with its images. */
  forget(id: string, options?: Options): Promise<void>;
  /** Latents of PNGs, one or several. */
  encode(images: Uint8Array | Iterable<Uint8Array>, fields?: EncodeFields, options?: Options): Promise<Latent[]>;
  decode(latents: Uint8Array | Latent | Iterable<Uint8Array | Latent>, fields?: DecodeFields, options?: Options): Promise<Image[]>;
  /** Images along the great circle between the ends' latents, both ends among them. An end of a seed is that image, its
   *  class included: two of two classes need class. */
  interpolate(a: End, b: End, fields?: InterpolateFields, options?: Options): Promise<Image[]>;
  /** Variations of a PNG, or of a seed's image; without class that one draws its own. strength 0 leaves it as it is, and of
   *  1 nothing is left. */
  edit(image: Uint8Array | { seed: Integer; index?: Integer; class?: number | string | null }, fields?: EditFields, options?: Options): Promise<Image[]>;
  likelihood(images: Uint8Array | Iterable<Uint8Array>, fields?: LikelihoodFields, options?: Options): Promise<Likelihood[]>;
  /** uint8 [n,H,W,C] or [n,H,W], or floats [n,C,H,W] in data scale, to float32 [n,C,H,W]. */
  encodeArray(images: NpyArray, query?: Record<string, string | number | null>, options?: Options): Promise<{ shape: number[]; data: Float32Array }>;
  /** floats [n,C,H,W] to uint8 [n,H,W,C], or as dtype and layout say. */
  decodeArray(latents: NpyArray, query?: Record<string, string | number | null>, options?: Options): Promise<{ shape: number[]; data: Uint8Array | Float32Array }>;
  models(options?: Options): Promise<any[]>;
  model(name: string, options?: Options): Promise<any>;
  capabilities(options?: Options): Promise<any>;
  live(options?: Options): Promise<boolean>;
  ready(options?: Options): Promise<boolean>;
}
