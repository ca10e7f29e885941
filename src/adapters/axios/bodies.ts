/**
 * Bodies that only axios sends: forms of the `form-data` package, which are sent again from their buffer (Q6), and what axios
 * makes of a body before an adapter gets it.
 *
 * Not here: what holds for the bodies of every client (`adapters/body.ts`).
 *
 * @module
 */
/** The content type that axios gives to a POST, PUT or PATCH without one. */
export const FORM_TYPE = "application/x-www-form-urlencoded";

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
    // oxlint-disable-next-line no-underscore-dangle -- the names are those of another package
    this.#parts = [...form._streams];
  }

  /** Returns `undefined` for any other body. */
  static of(data: object): KeptForm | undefined {
    const { _streams: parts, getBuffer } = data as Partial<FormDataPackage>;
    return Array.isArray(parts) && typeof getBuffer === "function" ? new KeptForm(data as FormDataPackage) : undefined;
  }

  /** Whether the form has been sent, or its owner has added to it. */
  get isChanged(): boolean {
    // oxlint-disable-next-line no-underscore-dangle -- the names are those of another package
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

/** The members of a config that axios makes a body with. */
interface BodyConfig {
  readonly headers: object;
  readonly transformRequest?: unknown;
}

/** Does with a body what axios does with `data`: calls the request's own `transformRequest`. */
export function transformed(config: BodyConfig, body: unknown): unknown {
  const headers = config.headers as { normalize?(): unknown };
  const transforms: readonly unknown[] = [config.transformRequest].flat();
  let data = body;
  for (const transform of transforms) {
    if (typeof transform === "function") data = transform.call(config, data, headers) as unknown;
    headers.normalize?.();
  }
  return data;
}
