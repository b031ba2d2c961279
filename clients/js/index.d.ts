/** A class by its name or number; null: an unlabelled image; absent: drawn by seed and index. */
export type Class = string | number | null;
export type Integer = bigint | number | string;

export interface Solver {
  method?: string; steps?: number; schedule?: "log" | "power" | "rho" | "tuned"; rtol?: number; atol?: number;
  t_max?: number; t_min?: number; max_nfe?: number;
}
/** The fields of POST /v1/images. */
export interface Fields {
  model?: string; n?: number; seed?: Integer; first_index?: Integer; solver?: Solver; class?: Class; temperature?: number;
  grid?: { columns?: number; scale?: number }; dtype?: "uint8" | "float32"; layout?: "hwc" | "chw"; preview_every?: number;
  timeout_s?: number; priority?: "interactive" | "batch"; label?: string; embed_metadata?: boolean;
}
export interface Image {
  index: bigint; seed: bigint; png: Uint8Array; sha256: string; nfe: number; class?: number | null; url?: string;
}
export interface Event {
  kind: "queued" | "started" | "progress" | "preview" | "image" | "done" | "cancelled"; data: any;
}
export interface Options { signal?: AbortSignal }

export declare class PfgmdError extends Error {
  readonly status: number; readonly code: string; readonly detail: string;
  readonly errors: { pointer: string; detail: string }[];
}

export declare class Client {
  constructor(address?: string, options?: { key?: string; retries?: number });
  images(fields?: Fields, options?: Options): Promise<Image[]>;
  /** The PNG of one image; the query takes model, method, steps, class … */
  image(seed: Integer, index?: Integer, query?: Record<string, string | number | boolean | null>, options?: Options): Promise<Uint8Array>;
  array(fields?: Fields, options?: Options): Promise<{ shape: number[]; data: Uint8Array | Float32Array }>;
  file(kind: "png" | "npy" | "npz" | "zip" | "tar", fields?: Fields, options?: Options): Promise<Uint8Array>;
  events(fields?: Fields, options?: Options): AsyncGenerator<Event, void, void>;
  models(options?: Options): Promise<any[]>;
  model(name: string, options?: Options): Promise<any>;
  capabilities(options?: Options): Promise<any>;
  live(options?: Options): Promise<boolean>;
  ready(options?: Options): Promise<boolean>;
}
