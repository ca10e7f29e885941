/**
 * Bodies of axios requests: the copies that make a request what it was when the call was made (Q14), forms that are sent
 * again from their buffer (Q6), and what axios makes of a body before an adapter gets it.
 *
 * Not here: which bodies can be sent only once (`adapters/body.ts`).
 *
 * @module
 */
import type { AxiosCallConfig } from "./call.ts";

/** The content type that axios gives to a POST, PUT or PATCH without one. */
export const FORM_TYPE = "application/x-www-form-urlencoded";

/**
 * Returns a copy of a body that its owner may add to, and every other body as it is. So are the bytes of a buffer: axios
 * itself hands them to Node, which sends them later.
 */
export function copyOfBody(data: object): unknown {
  if (tagOf(data) === "FormData" && "entries" in data) return copyOfForm(data as FormData);
  return copyOfParams(data);
}

/** Does the same for the `params` of a request. axios itself copies plain objects and arrays. */
export function copyOfParams(params: unknown): unknown {
  return tagOf(params) === "URLSearchParams" ? new URLSearchParams(String(params)) : params;
}

function copyOfForm(form: FormData): FormData {
  const copy = new (form.constructor as typeof FormData)();
  for (const [name, value] of form.entries()) copy.append(name, value as string);
  return copy;
}

/** Not `instanceof`: packages and test environments have classes of their own. */
function tagOf(value: unknown): string | undefined {
  return (value as { [Symbol.toStringTag]?: string } | null | undefined)?.[Symbol.toStringTag];
}

/** The members that are needed of the `form-data` package. */
interface FormDataPackage {
  /** What the form consists of: texts, buffers, streams, and functions in between. A send takes them out. */
  readonly _streams: readonly unknown[];
  getBuffer(): Uint8Array;
  getHeaders(): Record<string, string>;
}

/** A form of the `form-data` package, which axios also makes of objects. Its parts, as they were when the call was made. */
export class KeptForm {
  readonly #form: FormDataPackage;
  readonly #parts: readonly unknown[];

  private constructor(form: FormDataPackage) {
    this.#form = form;
    this.#parts = [...form._streams];
  }

  /** Returns `undefined` for any other body. */
  static of(data: object): KeptForm | undefined {
    const { _streams: parts, getBuffer } = data as Partial<FormDataPackage>;
    return Array.isArray(parts) && typeof getBuffer === "function" ? new KeptForm(data as FormDataPackage) : undefined;
  }

  /** Whether the form has been sent, or its owner has added to it. */
  get isChanged(): boolean {
    return this.#form._streams.length !== this.#parts.length;
  }

  /** The whole form as bytes; `undefined` when there is a stream in it. */
  get buffer(): Uint8Array | undefined {
    try {
      return (Object.create(this.#form, { _streams: { value: this.#parts } }) as FormDataPackage).getBuffer();
    } catch {
      return undefined;
    }
  }

  /** The headers of the form: its content type, with the boundary. */
  get headers(): Record<string, string> {
    return this.#form.getHeaders();
  }
}

/** Does with a body what axios does with `data`: calls the request's own `transformRequest`. */
export function transformed(config: AxiosCallConfig, body: unknown): unknown {
  const headers = config.headers as { normalize?(): unknown };
  let data = body;
  for (const transform of [config.transformRequest].flat() as unknown[]) {
    if (typeof transform === "function") data = transform.call(config, data, headers) as unknown;
    headers.normalize?.();
  }
  return data;
}

/** Ends a web stream that was not sent, as fetch does. axios leaves a Node stream to its owner, and so does this. */
export function cancelStream(data: unknown, reason: unknown): void {
  if (isWebStream(data) && !data.locked) data.cancel(reason).catch(() => {});
}

export function isWebStream(value: unknown): value is ReadableStream<Uint8Array> {
  return typeof (value as { getReader?: unknown } | null | undefined)?.getReader === "function";
}
