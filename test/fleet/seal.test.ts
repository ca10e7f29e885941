/** The encryption of records (S6): format, damaged texts, keys, and which options are refused. */
import { Buffer } from "node:buffer";
import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from "node:crypto";
import { inspect } from "node:util";
import { runInNewContext } from "node:vm";
import * as fc from "fast-check";
import { afterEach, describe, expect, test, vi } from "vitest";
import { sealsOf, type EncryptionKey, type Seal } from "../../src/fleet/seal.ts";

/** The bytes 0 to 31, so that expected values can be computed with any other implementation. */
const KEY = Uint8Array.from({ length: 32 }, (_, index) => index);
const RECORD = { token: "secret-token", until: 4_102_444_800_000, state: { refresh_token: "rt-1" } };

const sealOf = (key: EncryptionKey): Seal => sealsOf(key)[0]!;
const derived = (info: string, length = 32): Buffer =>
  Buffer.from(hkdfSync("sha256", KEY, "remint/fleet/1", info, length));

afterEach(() => vi.restoreAllMocks());

describe("S6: a sealed record", () => {
  test("S6: opens with its own key and context; with another key or context it does not", async () => {
    const seal = sealOf(KEY);
    const text = await seal.seal(RECORD, "T|key");
    expect(await seal.open(text, "T|key")).toEqual(RECORD);
    expect(await sealOf(Buffer.from(KEY).toString("base64")).open(text, "T|key")).toEqual(RECORD);
    expect(await seal.open(text, "R|key")).toBeUndefined();
    expect(await seal.open(text, "")).toBeUndefined();
    expect(await sealOf(randomBytes(32)).open(text, "T|key")).toBeUndefined();
  });

  test("S6: is base64url of iv, AES-256-GCM ciphertext and tag, under a key from HKDF, with the context as AAD", async () => {
    const bytes = Buffer.from(await sealOf(KEY).seal(RECORD, "T|schlüssel"), "base64url");
    const decipher = createDecipheriv("aes-256-gcm", derived("aes"), bytes.subarray(0, 12));
    decipher.setAAD(Buffer.from("T|schlüssel", "utf8"));
    decipher.setAuthTag(bytes.subarray(-16));
    const json = Buffer.concat([decipher.update(bytes.subarray(12, -16)), decipher.final()]).toString("utf8");
    expect(JSON.parse(json)).toEqual(RECORD);
  });

  test("S6: opens what another implementation sealed", async () => {
    expect(await sealOf(KEY).open(sealedByNode(JSON.stringify(RECORD)), "T|key")).toEqual(RECORD);
  });

  test.each(["[1,2]", "null", '"text"', "7", "{", ""])("S6: is a JSON object; %j does not open", async (json) => {
    expect(await sealOf(KEY).open(sealedByNode(json), "T|key")).toBeUndefined();
    expect(await sealsOf("none")[0]!.open(Buffer.from(json).toString("base64url"), "T|key")).toBeUndefined();
  });

  test("S6: the same record sealed 50 times: 50 different texts, and none contains the token", async () => {
    const seal = sealOf(KEY);
    const texts = await Promise.all(Array.from({ length: 50 }, async () => seal.seal(RECORD, "T|key")));
    expect(new Set(texts.map((text) => text.slice(0, 16))).size).toBe(50); // the iv
    for (const text of texts) {
      expect(text).toMatch(/^[\w-]+$/);
      expect(Buffer.from(text, "base64url").includes("secret-token")).toBe(false);
    }
  });

  test("S6: any JSON object comes back unchanged", async () => {
    const seal = sealOf(KEY);
    const value = { größe: "ä€😀\ud800\u0000\u2028", nested: [{ a: null }] };
    expect(await seal.open(await seal.seal(value, "T|key"), "T|key")).toEqual(value);
    const text = fc.string({ unit: "binary", maxLength: 40 });
    const object = fc.dictionary(text, fc.jsonValue(), { noNullPrototype: true });
    await fc.assert(
      fc.asyncProperty(object, text, async (record, context) => {
        const opened = await seal.open(await seal.seal(record, context), context);
        expect(opened).toEqual(JSON.parse(JSON.stringify(record)));
      }),
    );
  });

  test("S6: a record of 1 MB comes back unchanged", async () => {
    const large = { token: "x".repeat(1_000_000) };
    expect(await sealOf(KEY).open(await sealOf(KEY).seal(large, ""), "")).toEqual(large);
  });

  test("S6: two random contexts: it opens only if they are equal", async () => {
    const seal = sealOf(KEY);
    await fc.assert(
      fc.asyncProperty(fc.string(), fc.string(), async (one, other) => {
        const text = await seal.seal(RECORD, one);
        expect((await seal.open(text, other)) !== undefined).toBe(one === other);
      }),
    );
  });
});

describe("S6: a damaged or foreign text", () => {
  test("S6: any single bit flipped: it does not open", async () => {
    const seal = sealOf(KEY);
    const text = await seal.seal({ t: "abcd" }, "T|key");
    expect(text).toHaveLength(54); // 40 bytes: the last character has unused bits
    for (let index = 0; index < text.length; index++) {
      for (let bit = 0; bit < 8; bit++) {
        const flipped = String.fromCharCode(text.charCodeAt(index) ^ (1 << bit));
        const damaged = text.slice(0, index) + flipped + text.slice(index + 1);
        expect(await seal.open(damaged, "T|key"), `bit ${bit} of character ${index}`).toBeUndefined();
      }
    }
  });

  test("S6: cut at any place, lengthened, padded or with white space: it does not open", async () => {
    const seal = sealOf(KEY);
    const text = await seal.seal({ t: "abc" }, "T|key");
    for (let length = 0; length < text.length; length++) {
      expect(await seal.open(text.slice(0, length), "T|key")).toBeUndefined();
      expect(await seal.open(text.slice(length + 1), "T|key")).toBeUndefined();
    }
    for (const other of [`${text}A`, `${text}AAAA`, `${text}=`, `${text}\n`, ` ${text}`]) {
      expect(await seal.open(other, "T|key")).toBeUndefined();
    }
  });

  test.each(["", "A", "{}", "OK", "AAAA", "A".repeat(16), "A".repeat(40), "-_-_", "ÄÖÜ", "\u0000\u00ff", "%7B%7D"])(
    "S6: %j does not open, and does not throw",
    async (garbage) => {
      expect(await sealOf(KEY).open(garbage, "T|key")).toBeUndefined();
      expect(await sealsOf("none")[0]!.open(garbage, "T|key")).toBeUndefined();
    },
  );

  test("S6: bytes that are not UTF-8 do not open", async () => {
    const bytes = Buffer.from([...Buffer.from('{"t":"'), 0xff, ...Buffer.from('"}')]);
    expect(await sealsOf("none")[0]!.open(bytes.toString("base64url"), "T|key")).toBeUndefined();
  });

  test("S6: random texts do not open, and do not throw", async () => {
    const seal = sealOf(KEY);
    const bytes = fc.uint8Array({ maxLength: 200 }).map((array) => Buffer.from(array).toString("base64url"));
    await fc.assert(
      fc.asyncProperty(fc.oneof(bytes, fc.string({ unit: "binary" })), async (text) => {
        expect(await seal.open(text, "T|key")).toBeUndefined();
        await sealsOf("none")[0]!.open(text, "T|key");
      }),
      { numRuns: 500 },
    );
  });
});

describe("S6: keys and ids", () => {
  test("S6: each key has its own id of 8 characters", async () => {
    const id = await sealOf(KEY).id();
    expect(id).toBe(derived("kid", 6).toString("base64url"));
    expect(id).toMatch(/^[\w-]{8}$/);
    const ids = await Promise.all(Array.from({ length: 100 }, async () => sealOf(randomBytes(32)).id()));
    expect(new Set([id, ...ids]).size).toBe(101);
  });

  test("S6: a list of two keys: one seal per key, in that order", async () => {
    const old = randomBytes(32);
    const text = await sealOf(old).seal(RECORD, "T|key");
    const [first, second, ...more] = sealsOf([KEY, old]);
    expect(more).toEqual([]);
    expect([await first!.id(), await second!.id()]).toEqual([await sealOf(KEY).id(), await sealOf(old).id()]);
    expect(await first!.open(text, "T|key")).toBeUndefined();
    expect(await second!.open(text, "T|key")).toEqual(RECORD);
  });

  test("S6: the key is imported at the first use, once; after a failed import it is imported again", async () => {
    const importKey = vi.spyOn(globalThis.crypto.subtle, "importKey");
    importKey.mockRejectedValueOnce(new Error("not now"));
    const seal = sealOf(KEY);
    expect(importKey).not.toHaveBeenCalled();
    await expect(seal.open("AAAA", "T|key")).rejects.toThrow("not now"); // the failure is not about the record
    const text = await seal.seal(RECORD, "T|key");
    await Promise.all([seal.open(text, "T|key"), seal.id(), seal.seal({}, "")]);
    expect(await seal.open(text, "T|key")).toEqual(RECORD);
    expect(importKey).toHaveBeenCalledTimes(2);
  });

  test("S5, S6: the imported keys cannot be exported, and the printed seal shows nothing of the key", async () => {
    const { subtle } = globalThis.crypto;
    const [importKey, deriveKey] = [vi.spyOn(subtle, "importKey"), vi.spyOn(subtle, "deriveKey")];
    const text = Buffer.from(KEY).toString("base64");
    const seal = sealOf(text);
    const views = (): string => {
      const hidden = inspect(seal, { showHidden: true, depth: 9, getters: true });
      return hidden + JSON.stringify(seal) + JSON.stringify({ ...seal });
    };
    const before = views();
    await seal.seal(RECORD, "T|key");
    for (const view of [before, views()]) {
      for (const part of [
        text.slice(0, 8),
        "0, 1, 2",
        "00 01 02",
        "Uint8Array",
        derived("aes").toString("hex"),
        "[1",
      ]) {
        expect(view).not.toContain(part);
      }
    }
    const keys = [...importKey.mock.results, ...deriveKey.mock.results].map(({ value }) => value as Promise<CryptoKey>);
    expect((await Promise.all(keys)).map((key) => key.extractable)).toEqual([false, false]);
  });

  test("S6: the caller changes the bytes later: the seal keeps the old key, and the bytes stay the caller's", async () => {
    const bytes = Uint8Array.from(KEY);
    const seal = sealOf(bytes);
    bytes.fill(7);
    expect(await seal.id()).toBe(await sealOf(KEY).id());
    expect(bytes).toEqual(new Uint8Array(32).fill(7));
  });
});

describe("S6: encryptionKey", () => {
  test("S6: accepts 32 bytes, and base64 or base64url of them, with or without padding", async () => {
    const random = Buffer.concat([Buffer.from([0xfb, 0xff, 0xfe]), randomBytes(29)]); // "+//+" and "-__-"
    const padded = random.toString("base64");
    const foreign = runInNewContext("Uint8Array.from(bytes)", { bytes: [...random] }) as Uint8Array;
    const inside = new Uint8Array([1, ...random, 1]).subarray(1, 33);
    const forms = [
      random,
      foreign,
      inside,
      padded,
      padded.replace("=", ""),
      random.toString("base64url"),
      `${padded}\n`,
    ];
    const ids = await Promise.all(forms.map(async (form) => sealOf(form).id()));
    expect(new Set(ids)).toEqual(new Set([await sealOf(new Uint8Array(random)).id()]));
  });

  const thirtyOne = Buffer.alloc(31, 1);
  const wrong: readonly (readonly [name: string, key: unknown, found: string])[] = [
    ["31 bytes", new Uint8Array(31), "31 bytes"],
    ["33 bytes", new Uint8Array(33), "33 bytes"],
    ["no bytes", new Uint8Array(0), "0 bytes"],
    ["base64 of 31 bytes", thirtyOne.toString("base64"), "base64 of 31 bytes"],
    ["base64 of 33 bytes", Buffer.alloc(33, 1).toString("base64"), "base64 of 33 bytes"],
    ["a password", "correct horse battery staple", "a string that is not base64"],
    ["base64 that ends in the middle", "AAAAA", "a string that is not base64"],
    ["hexadecimal", Buffer.from(KEY).toString("hex"), "hexadecimal"],
    ["an empty string", "", "an empty string"],
    ["spaces", "  ", "an empty string"],
    ["null", null, "null"],
    ["a number", 32, "a number"],
    ["an object", { key: "x" }, "an object"],
    ["an ArrayBuffer", new ArrayBuffer(32), "an ArrayBuffer"],
    ["another typed array", new Uint16Array(32), "a Uint16Array"],
    ["a false Uint8Array", { [Symbol.toStringTag]: "Uint8Array", length: 32 }, "a Uint8Array"],
    ["an empty list", [], "an empty array"],
    ["NONE", "NONE", "base64 of 3 bytes"],
  ];
  test.each(wrong)("S6: %s is refused", (_, key, found) => {
    const error = refusal(key);
    expect(error).toBeInstanceOf(TypeError);
    expect(error.message).toBe(
      `"encryptionKey" must be 32 random bytes, as a Uint8Array or in base64 (openssl rand -base64 32), got ${found}`,
    );
  });

  test("S6: a wrong or repeated key in a list is refused, and the message names its index", () => {
    const text = Buffer.from(KEY).toString("base64url");
    expect(refusal([KEY, "none"]).message).toMatch(/^"encryptionKey\[1\]" .*got "none", which stands alone/);
    expect(refusal([KEY, undefined]).message).toMatch(/^"encryptionKey\[1\]" .*got undefined$/);
    expect(refusal([[KEY]]).message).toMatch(/^"encryptionKey\[0\]" .*got an array$/);
    expect(refusal([randomBytes(32), KEY, text]).message).toMatch(
      /^"encryptionKey\[2\]" .*openssl rand -base64 32.*got the same key as "encryptionKey\[1\]"$/,
    );
  });

  test("S6: undefined is refused, and the message says how to make a key and how to store unencrypted", () => {
    const { message } = refusal(undefined);
    for (const part of [`"encryptionKey" is required`, "openssl rand -base64 32", `"none" stores tokens unencrypted`]) {
      expect(message).toContain(part);
    }
  });

  test("S5, S6: random texts as keys: no message contains the key", () => {
    fc.assert(
      fc.property(fc.string({ minLength: 8 }), (key) => {
        fc.pre(key.trim().length >= 8 && !refusal(null).message.includes(key.trim()));
        expect(refusal(key).message).not.toContain(key.trim());
      }),
    );
  });

  test(`S6: "none" stores readable JSON under the id "plain", without a context`, async () => {
    const seals = sealsOf("none");
    const [seal] = seals;
    expect(seals).toHaveLength(1);
    expect(await seal!.id()).toBe("plain");
    const text = await seal!.seal({ ...RECORD, name: "ä" }, "T|key");
    expect(JSON.parse(Buffer.from(text, "base64url").toString("utf8"))).toEqual({ ...RECORD, name: "ä" });
    expect(await seal!.open(text, "anywhere")).toEqual({ ...RECORD, name: "ä" });
    expect(await seal!.open(await sealOf(KEY).seal(RECORD, "T|key"), "T|key")).toBeUndefined();
    expect(await sealOf(KEY).open(text, "T|key")).toBeUndefined();
  });
});

/** Returns what `sealsOf` throws. */
function refusal(key: unknown): Error {
  try {
    sealsOf(key as EncryptionKey);
  } catch (error) {
    return error as Error;
  }
  throw new Error("was accepted");
}

/** Seals a text for the context `T|key` with Node's own crypto, without our code. */
function sealedByNode(json: string): string {
  const iv = randomBytes(12);
  const cipher = createCipheriv("aes-256-gcm", derived("aes"), iv);
  cipher.setAAD(Buffer.from("T|key"));
  const body = Buffer.concat([cipher.update(json, "utf8"), cipher.final()]);
  return Buffer.concat([iv, body, cipher.getAuthTag()]).toString("base64url");
}
