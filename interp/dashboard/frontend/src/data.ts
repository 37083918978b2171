// The report and its chunks: base64 or bytes in, typed arrays out, each decoded once and only when a view asks for it.
import { createContext } from "preact";
import { useContext, useEffect, useState } from "preact/hooks";
import { type ChunkInfo, type Index, type NumberArray } from "./types";

/** What anywidget hands to a front-end module, and what the static page imitates. */
export interface Model {
  get(name: string): unknown;
  set(name: string, value: unknown): void;
  save_changes(): void;
  on(event: string, callback: () => void): void;
  off(event: string, callback?: () => void): void;
  send?(content: unknown): void;
}

let halves: Float32Array | null = null;

/** The value of each of the 65,536 IEEE half-precision patterns. */
function halfTable(): Float32Array {
  if (halves) return halves;
  halves = new Float32Array(65536);
  for (let bits = 0; bits < 65536; bits++) {
    const exponent = (bits >> 10) & 31;
    const fraction = bits & 1023;
    const size =
      exponent === 31 ? (fraction ? NaN : Infinity) : exponent ? 2 ** (exponent - 25) * (1024 + fraction) : 2 ** -24 * fraction;
    halves[bits] = bits & 32768 ? -size : size;
  }
  return halves;
}

function decodeHalves(bytes: ArrayBuffer): Float32Array {
  const table = halfTable();
  const patterns = new Uint16Array(bytes);
  const values = new Float32Array(patterns.length);
  for (let i = 0; i < patterns.length; i++) values[i] = table[patterns[i]];
  return values;
}

function fromBase64(text: string): Uint8Array<ArrayBuffer> {
  const binary = atob(text.trim());
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
  return bytes;
}

async function gunzip(bytes: Uint8Array<ArrayBuffer>): Promise<ArrayBuffer> {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).arrayBuffer();
}

function typed(bytes: ArrayBuffer, info: ChunkInfo): unknown {
  switch (info.dtype) {
    case "u1":
      return new Uint8Array(bytes);
    case "u2":
      return new Uint16Array(bytes);
    case "u4":
      return new Uint32Array(bytes);
    case "i4":
      return new Int32Array(bytes);
    case "f2":
      return decodeHalves(bytes);
    case "f4":
      return new Float32Array(bytes);
    case "json":
      return JSON.parse(new TextDecoder().decode(bytes));
    default:
      throw new Error(`A part of this report has the type "${String(info.dtype)}", which this page cannot read.`);
  }
}

export class Report {
  readonly index: Index;
  /** Bytes of the decoded chunks. */
  bytesUsed = 0;
  private readonly decoded = new Map<string, unknown>();
  private readonly pending = new Map<string, Promise<unknown>>();

  /** `isStatic`: the page is a file of its own, not a widget in a notebook. */
  constructor(
    readonly model: Model,
    readonly isStatic = false,
  ) {
    this.index = model.get("index") as Index;
  }

  array(name: string): Promise<NumberArray> {
    return this.chunk(name) as Promise<NumberArray>;
  }

  json<T>(name: string): Promise<T> {
    return this.chunk(name) as Promise<T>;
  }

  /** A chunk that has been decoded already, else undefined. */
  ready(name: string): unknown {
    return this.decoded.get(name);
  }

  private chunk(name: string): Promise<unknown> {
    let promise = this.pending.get(name);
    if (!promise) {
      promise = this.load(name);
      this.pending.set(name, promise);
    }
    return promise;
  }

  private async load(name: string): Promise<unknown> {
    const info = this.index.chunks[name];
    const source = this.source(name);
    if (!info || source == null) throw new Error(`The part "${name}" of this report is missing. Make the report again.`);
    let bytes: ArrayBuffer;
    try {
      bytes = await gunzip(typeof source === "string" ? fromBase64(source) : viewBytes(source));
    } catch {
      throw new Error(`The part "${name}" of this report is damaged. Make the report again.`);
    }
    const value = typed(bytes, info);
    this.bytesUsed += bytes.byteLength;
    this.decoded.set(name, value);
    return value;
  }

  private source(name: string): string | ArrayBufferView | undefined {
    const all = this.model.get("chunks") as Record<string, string | ArrayBufferView> | undefined;
    return all?.[name] ?? (this.model.get(`chunk:${name}`) as string | ArrayBufferView | undefined);
  }
}

function viewBytes(view: ArrayBufferView): Uint8Array<ArrayBuffer> {
  return new Uint8Array(view.buffer as ArrayBuffer, view.byteOffset, view.byteLength);
}

export const ReportContext = createContext<Report>(null as unknown as Report);

export const useReport = (): Report => useContext(ReportContext);

/** Chunks by key: undefined while one is loading; a name of null gives null. A failure is thrown to the view's boundary. */
export function useChunks<K extends string>(names: Record<K, string | null | undefined>): Record<K, NumberArray> | undefined {
  const report = useReport();
  const keys = Object.keys(names) as K[];
  const wanted = keys.map((key) => names[key]).filter((name): name is string => name != null);
  const [, redraw] = useState(0);
  const [failure, setFailure] = useState<Error | null>(null);
  const missing = wanted.filter((name) => report.ready(name) === undefined);
  useEffect(() => {
    if (!missing.length) return;
    let current = true;
    Promise.all(missing.map((name) => report.array(name))).then(
      () => current && redraw((n) => n + 1),
      (error: Error) => current && setFailure(error),
    );
    return () => {
      current = false;
    };
  }, [report, missing.join("\n")]);
  if (failure) throw failure;
  if (missing.length) return undefined;
  const out = {} as Record<K, NumberArray>;
  for (const key of keys) out[key] = (names[key] == null ? null : report.ready(names[key])) as NumberArray;
  return out;
}

/** A numeric chunk: undefined while loading, or where there is no name. */
export function useArray(name: string | null | undefined): NumberArray | undefined {
  return useChunks({ it: name })?.it ?? undefined;
}

/** A JSON chunk: undefined while loading, or where there is no name. */
export function useJson<T>(name: string | null | undefined): T | undefined {
  return (useChunks({ it: name })?.it ?? undefined) as T | undefined;
}
