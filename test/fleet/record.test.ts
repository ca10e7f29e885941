/** The record of a fleet as text: its format, versions and keys that a process does not know, and text that is no record. */
import * as fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { digestOf } from "../../src/core/state.ts";
import { policyHalf } from "../../src/core/types.ts";
import { decode, encode, type FleetRecord } from "../../src/fleet/record.ts";
import { sealsOf } from "../../src/fleet/seal.ts";
import { isRemintError, type RemintError } from "../../src/index.ts";
import { fakeGrant, manualClock } from "../../src/testing/index.ts";
import { rejectionOf } from "../core/cache-under-test.ts";
import { deferred } from "../grants/rotating-server.ts";
import { fleetUnderTest, TARGET } from "./fleet-under-test.ts";
import { immediateCrypto } from "./immediate-crypto.ts";
import { plainRecord, readRecord, shelfOf, writesTo, type Shelf } from "./records.ts";
import { countEvents, sessionFleet, type SessionFleet, type SessionProcess } from "./session-server.ts";

const DAY = 86_400_000;
const LIFE = 300_000;
const TTLS = { stateTtl: 90 * DAY, refusedTtl: 3_600_000, endedTtl: DAY };
/** The key of the record that the tests' sessions have. */
const KEY = "remint:{f401444994e8f6847ac3fff668c3f4986b681140}";
const SECRET = Uint8Array.from({ length: 32 }, (_, index) => index);
/** What names the only target of the tests' sessions. */
const ONLY = "fe44a8cccd89edae";

/**
 * Records of version 1, as the first release wrote them with {@link SECRET} under {@link KEY}. They are never changed: every
 * later version reads them.
 */
const VERSION_1 = {
  T: [
    "1TBTdH8Kse.73mgIbfXrTR4GgM2rZ_IvDu66U7-dUX5w7X4_nEuTETrzSi89_2waoyAIf16Vg497wiwT-i6XN559PghttqLYh54jrGYgJZ1EcE5T",
    "Vl8P8n9FtGtiNHIDAHfWKycYNEcbXGNva3oAbhwJ-Wi3xqEmGpo3WJEMZ8JLKAoki_N5Yckxklc56g-7CEjMgxrF91a4BAb6jLTY-R6EVVdzbEUL",
    "OK_0hHIht37LceAgcONull9-kRHu7Kd5FtCs2_6M11aZjz7Hd2ETyOsMhti502LwiA9uqlGiV3QX8Uab5GeoWJRHZqZY4UZ0Tz7_qeuhrEBd6Tlj",
    "-XnhGzm_nycvCRdjIzuofy-OCMCk10CSL8q2tuBegAKy6p0A24DRBC35A9d4vGgQFPCfrqBRiBtaYVgwlYsRe87UouU2gswgR4bUJI3k-FbAv1f3",
    "w-ntZ6OqBhHSp1eGsrOJ9CvjtQvUTQM2vghZVCCSCJncWQo8WETTNAmqEvwhBGEMeg3VkOZmyZS_kd0j3TEaCP9ewEJP0TpodqZ45R7hlzajDdMX",
    "QaWqhyW9umgU7hyLnGnxYv0EWXLGKfMDcGBMV930rONuym5roSQbTQ5UHawBlnhuy-2AvZsl484ia_4TAm07UVynxPDLOEGXvAJ1hRMqBAuvZtGt",
    "dtu0WLn2rnDKc_oqUx23B_eScFlbvkhOEYKTVkDyW9GlvlnNCt7dNOOqHzTdatJm6xvTzhcm41k7Ig_5cSF3Uk6QNXJJ_cYk7Rji93mXAaiONPsY",
    "Jx6N4Gn-3LkosPDvPqDPQNLabN5ccNKOz-K9jbTb9devn0xfH8rka49n35Ea2oJp2M19IQYkefuPJWs9Tdjxd9M9JHiwjkfYGqI5vOONi7ROBEMb",
    "_1MZBigniI4QFsQCjrggePT",
  ].join(""),
  L: [
    "1LBTdH8Kse.HjQ9ZxxACMgDL1Cq6TwusQlvSnHWybzpXbZMoptqjoSazJvWI94OcXEfLL3KuYtSHP_G0op_MaInXK3vL_8jXdg1VsBzB4C-hliC0",
    "jXDpbsMqQZhJHpeW5C_y4pFiIcxk1tTssWmUuDL6D4IHzm5UGyv5hfhSvazWmgBWa--wnWLho_oYAgOBRQDKfPr876wWIWeUzejMwjJHoilHFQIa",
    "6IWBLNTw3GeF_U5DiDN98yVKr9nlJ8yBAcQS5F_xCaenLTQCF6aCpwU_WHBF50WmEi4YlQTZr6ppKzShbyVFMtYZUTtcyE1CQx089SAxhSkGlfm9",
    "ceavigxMrv7soOHO5ud7V_YjHFX41NqfTZotfrOuOQH3zGauYiOi-7x33-E32HA5QC6zVc5QI5l7DtvT8RKhoHHcHNFYHfU7AyWvp77wfGHnzinN",
    "BeZJe9Q496--DZV-g-BO2CEuLh_05AbojkUDX36Qz6nI6G2bhklX98XlwCvYyc_g5eFUcCpCfXI9sPby6XFSw73j1IGdVxOda53JtFQt7X-nZgPT",
    "etecqVRAKCEr9mqqJ5OBV-uK5zH00DeoVUSAfrZqJH3I02nIwF7BWy0yUatFfqJed1ilG4gTRDHzGWh4MDCVSObQICquvSRsW-itIz7xFSjEhle6",
    "qrwjNqTD6A1aSWWbFeBqWQIoalTD4HLdIsqkXJTqShqYPnn-dwAQA4ofpA9xuv8udOudUeDPpx9sgxmjOMp06NKDJ1ra_b5GHl_I5CJ5pLgdzo4F",
    "XYp3Lf6Fyf-QImTqcglHwmmdXYtpTsLs8KM694OENxffghR3dZvQ7gvh74HlGD3WPffSePXcurHobfW5WcdyJAN1WGiRTnv4pSzI6ajo_vvJScd2",
    "r9LKhMPFW_iyUsbUiL1f5qtVhQ04rD1PIpokuf5H8SLWrBWOzm2I6b0CAA82w",
  ].join(""),
  R: [
    "1RBTdH8Kse.sV5k9oZ11mtdrpM-Pa2Dvmcri1wPCra6Nu3HOoUgNbUZa4cY5ZjNhwwRxgpakpCIfeqXRUh6fdvXWaY95F_ug9l4yLk4eYBw3aHKM",
    "peW5pCMcCxLW7AcZKj_xFyXmlmnLj6Ay1tJ71hcPFXgpGEDIs3YDyXjXy-kfF7-WOM4jN0Mcjkr-Hk1rwOo5bdOCe_psjvst3bMxiaY59SM4p8DP",
    "kS1FhBvzVVFitQk4RNABQwqRFQuVGWuCQJeFwD487hODuTALDWPO30mfvJJutkmDkOXfd0y_H0DYC74gBsuuOlEaajZc48UYUSShKJKGMgP58xBp",
    "UprW1GupY6eM2vKecZyxdc646rImV_F5UqA3wTxbgPQo50TRl_LxDOlB3HzhIX1BV3MYiAF_a8t-YZv81i0VP_e0YG6LCZNQKf8XLAoJ9a5D7LFA",
    "daSu9EUXEroSUI704q2tJep_YCv4fU8tr2uNdoGCV0Co8xCKajls_mCRpHi2mpUyeqLVjwpqUJbLYMV_6e4t6jJ4O2azy9AH2K458-vI97CTRgtL",
    "is2zfEFDY5zkKqI0JhKjNleYH0i4PQH8wsLW5_V3Bsa7CUCHdvW4Nbb9DdxXNz7uMvdaZ5_ARj1glcG",
  ].join(""),
  E: [
    "1EBTdH8Kse.I-hhB9fouaNrFJ0vj3Hzi2Ui8jywwm1-fKS9uqG6mmoNJ0TcL7LMHg74wApHkupFdmDuKcv2nKV5Zmpl2AwApFTjGJdh6uc7vVUsz",
    "_bvbhVpXpTlTq3iRSdK9cDJ2RqAKMjVGmEReKAdEMAEcoqNDMbrQ9bDf8OjEFbOYnKO32bv_ov8ye0Z6EQa6RHoDjR1AI6XzwT0CCqm0x8FMlc2y",
    "sS-FwMCtfqRG46thCdarww1IYCchWMKGGUMNrVUvwX-j13JCviqn5HNUCxOwqGQKSK2LaT0xeV7mj-syK2_4GoL1MVUH3ZMNlpvK7yiU6xocXxtz",
    "I1p4p4aXynsmLOyGA",
  ].join(""),
};

/** A record of a version 2 that does not exist yet, with the same key and with members that version 1 does not know. */
const VERSION_2 = [
  "2TBTdH8Kse.qaUHa9A-uqPjELsIU-Fp64YTMvcE64oDTT_7WKhYMVB6msA_zbIgKZpelPoVTZyIDRhCWx9Zq9bt6B2yzYN6KYjNZTA6_EZ9oxSi5",
  "0Zd_zpMYp80T0UhpFIMtfVgrSosNKg2ctU6xnCCPUFaP3b1_v2UAp3U0UD3p_g9",
].join("");

async function read(text: string, { ttl = 90 * DAY, key = KEY } = {}): ReturnType<typeof decode> {
  const clock = manualClock();
  return decode(key, sealsOf(SECRET), { value: text, version: "1", ttl }, { clock, readAt: clock.monotonic() });
}

describe("the text of a record", () => {
  test("S6: in clear are the version, the phase and the id of the key, and nothing else", async () => {
    const fleet = sessionFleet(0);
    const shelf = shelfOf(fleet);
    const { cache } = fleet.join({ fleet: { encryptionKey: SECRET } });
    await cache.get();
    const { value } = (await shelf.entry())!;
    expect(value).toMatch(/^1T[\w-]{8}\.[\w-]{100,}$/);
    expect(value.slice(2, 10)).toBe(await sealsOf(SECRET)[0]!.id());
    expect([...shelf.keys]).toEqual([KEY]);
  });

  test.each(["T", "L", "R", "E"] as const)(
    "C14: a record in phase %s that is written and read is the same",
    async (phase) => {
      const clock = manualClock();
      const now = clock.monotonic();
      const failure = { code: "ERR_TOKEN_NETWORK", message: "no answer", retryable: true } as const;
      const record: FleetRecord = {
        phase,
        session: { generation: 5, id: "one" },
        state: { any: ["json", 1, null] },
        used: ["a", "b"],
        rotated: 12,
        ...(phase === "R" && { refused: { digest: "c", failure } }),
        leaseUntil: phase === "L" ? now + 5000 : -Infinity,
        ...(phase === "L" && { holder: "me" }),
        tokens: {
          one: {
            token: {
              response: { access_token: "at", scope: "s" },
              lifetime: { ms: 1000, stated: true },
              mintedAt: now - 10,
              until: now + 990,
              renews: true,
              quietUntil: now + 20,
            },
            mints: 3,
            strikes: 2,
            fails: 0,
            failedAt: -Infinity,
            pauseUntil: -Infinity,
            unknown: { more: 1 },
          },
          two: { mints: 0, strikes: 0, fails: 1, failure, failedAt: now - 5, pauseUntil: now + 30 },
        },
        failed: ["p1"],
        unknown: { later: { any: true }, __proto__: null },
      };
      const [seal] = sealsOf(SECRET);
      const { text, ttl } = await encode("k", seal!, record, { clock, ttls: TTLS });
      const entry = { value: text, version: "v", ttl };
      const seen = await decode("k", [seal!], entry, { clock, readAt: now });
      expect(seen).toEqual({ kind: "record", version: "v", writtenAt: now, record });
      // Times count from the write, by what the store says.
      const later = await decode("k", [seal!], { ...entry, ttl: ttl - 7 }, { clock, readAt: now + 100 });
      expect(later).toMatchObject({
        writtenAt: now + 93,
        record: { tokens: { two: { failedAt: now + 88, pauseUntil: now + 123 } } },
      });
    },
  );

  test("S6: under another key, with another phase or another key id in clear, the text is no record", async () => {
    const { T } = VERSION_1;
    expect(await read(T)).toMatchObject({ kind: "record" });
    expect(await read(T, { key: KEY.replace("remint", "another") })).toMatchObject({ kind: "rubbish" });
    for (const phase of ["L", "R", "E"])
      expect(await read(`1${phase}${T.slice(2)}`)).toMatchObject({ kind: "rubbish" });
    expect(await read(`1TAAAAAAAA${T.slice(10)}`)).toMatchObject({ kind: "unreadable" });
  });
});

describe("the count of rotations in a record", () => {
  test("C14: it begins at 0 with a record that is begun anew and with a sign-in, and grows with each rotation", async () => {
    const fleet = sessionFleet(1);
    const writes = writesTo(fleet);
    const [{ cache }] = fleet.processes as [SessionProcess];
    for (let rotation = 1; rotation <= 3; rotation++) {
      await fleet.during(cache.get());
      await fleet.clock.advance(LIFE);
    }
    expect(writes.map(({ phase, rotated }) => `${phase}${rotated}`)).toEqual(["L0", "T1", "L1", "T2", "L2", "T3"]);
    await fleet.during(cache.signIn(fleet.server.signInResponse()));
    expect(writes.at(-1)).toMatchObject({ phase: "T", state: "rt-2-0", rotated: 0 });
  });

  test("C14: a release that does not count has written the record in between: it has none any more, and no process takes the later record for an old one", async () => {
    const fleet = sessionFleet(1);
    const shelf = shelfOf(fleet);
    const { clock, server, join, during } = fleet;
    const [{ cache }] = fleet.processes as [SessionProcess];
    for (let rotation = 1; rotation <= 3; rotation++) {
      await during(cache.get());
      await clock.advance(LIFE);
    }
    const { rotated, key: _key, version: _version, phase, keyId: _id, only: _only, ...body } = (await shelf.record())!;
    expect(rotated).toBe(3);
    await shelf.put(plainRecord(phase, body), body.ttl);
    await clock.advance(LIFE);
    // A process that has just started counts nothing. If it began at 0, the first one would not believe it.
    const fresh = join();
    expect((await during(fresh.cache.get())).value).toBe("at-1-4");
    await clock.advance(LIFE);
    expect((await during(cache.get())).value).toBe("at-1-5");
    await clock.advance(LIFE);
    expect((await during(fresh.cache.get())).value).toBe("at-1-6");
    expect((await shelf.record())!.rotated).toBeUndefined();
    expect(server.reused).toEqual([]);
  });
});

describe("a record of version 1", () => {
  const session = { generation: 1_700_000_000_000, id: "1kq3x7" };
  const used = [digestOf("rt-1-0"), digestOf("rt-1-1")];
  const later = { later: [1, { of: "record" }] };

  test("C14: at rest: its session, state, digests, tokens, failures and unknown members are read", async () => {
    const seen = await read(VERSION_1.T);
    const now = manualClock().monotonic();
    expect(seen).toEqual({
      kind: "record",
      version: "1",
      writtenAt: now,
      record: {
        phase: "T",
        session,
        state: "rt-1-2",
        used,
        leaseUntil: -Infinity,
        failed: ["one"],
        unknown: later,
        tokens: {
          [ONLY]: {
            token: {
              response: { access_token: "at-1-2", token_type: "Bearer", scope: "orders" },
              lifetime: { ms: LIFE, stated: true },
              mintedAt: now - 1000,
              until: now + 299_000,
              renews: true,
              quietUntil: now + 1000,
            },
            mints: 2,
            strikes: 1,
            fails: 0,
            failedAt: -Infinity,
            pauseUntil: -Infinity,
            unknown: { later: { of: "target" } },
          },
          billing: {
            mints: 1,
            strikes: 0,
            fails: 2,
            failure: { code: "ERR_TOKEN_NETWORK", message: "no answer", retryable: true, hint: "no route" },
            failedAt: -Infinity,
            pauseUntil: now + 2000,
          },
        },
      },
    });
  });

  test("C14: leased, refused and ended: what is in these phases alone is read", async () => {
    const now = manualClock().monotonic();
    expect(await read(VERSION_1.L)).toMatchObject({
      record: { phase: "L", session, state: "rt-1-2", leaseUntil: now + 10_000, holder: "two" },
    });
    const failure = {
      code: "ERR_TOKEN_ENDPOINT",
      status: 400,
      error: "invalid_grant",
      terminal: true,
      retryable: false,
    };
    expect(await read(VERSION_1.R, { ttl: 3_600_000 })).toMatchObject({
      record: { phase: "R", session, refused: { digest: digestOf("rt-1-2"), failure } },
    });
    const ended = await read(VERSION_1.E, { ttl: DAY });
    expect(ended).toMatchObject({ record: { phase: "E", session, used, tokens: {} } });
    expect((ended as { record: FleetRecord }).record.state).toBeUndefined();
  });
});

/** A fleet whose record is a text of before, whose session has rotated twice. */
async function meeting(text: string, ttl: number): Promise<SessionFleet & { a: SessionProcess; shelf: Shelf }> {
  const fleet = sessionFleet(0, { fleet: { encryptionKey: SECRET } });
  const { server, clock, during, join } = fleet;
  server.present("rt-1-0");
  server.present("rt-1-1");
  server.presented.length = 0;
  const shelf = shelfOf(fleet);
  const probe = join();
  // The first process shows which key is used.
  probe.store.fault = async (swap) => (void (await fleet.store.swap(KEY, undefined, text, ttl)), swap());
  await rejectionOf(during(probe.cache.get()).then(() => Promise.reject(new Error("served"))));
  probe.store.fault = undefined;
  await clock.advance(0);
  return { ...fleet, a: join(), shelf };
}

describe("a process that meets a record of version 1", () => {
  beforeEach(immediateCrypto);
  afterEach(() => void vi.restoreAllMocks());

  test("C14: at rest: the token is used, the state is presented at its expiry, and what is not known is carried on", async () => {
    const { clock, server, a, during, shelf } = await meeting(VERSION_1.T, 90 * DAY);
    expect((await during(a.cache.get())).value).toBe("at-1-2");
    await clock.advance(LIFE);
    expect((await during(a.cache.get())).value).toBe("at-1-3");
    expect(server.presented).toEqual(["rt-1-2"]);
    const { value, ttl, version } = (await shelf.entry())!;
    const seen = await decode(KEY, sealsOf(SECRET), { value, ttl, version }, { clock, readAt: clock.monotonic() });
    expect(seen).toMatchObject({
      record: {
        session: { generation: 1_700_000_000_000, id: "1kq3x7" },
        state: "rt-1-3",
        used: [digestOf("rt-1-0"), digestOf("rt-1-1"), digestOf("rt-1-2")],
        unknown: { later: [1, { of: "record" }] },
        tokens: { [ONLY]: { mints: 3, unknown: { later: { of: "target" } } }, billing: { fails: 2 } },
      },
    });
  });

  test("C14: leased: the process waits for the lease, then presents the state", async () => {
    const { server, a, during } = await meeting(VERSION_1.L, 90 * DAY);
    // The token of the record serves until it expires.
    expect((await during(a.cache.get())).value).toBe("at-1-2");
    expect(server.presented).toEqual([]);
  });

  test("C16: refused and ended: nothing is presented", async () => {
    const refused = await meeting(VERSION_1.R, 3_600_000);
    expect(await rejectionOf(refused.during(refused.a.cache.get()))).toMatchObject({ error: "invalid_grant" });
    const ended = await meeting(VERSION_1.E, DAY);
    expect(await rejectionOf(ended.during(ended.a.cache.get()))).toMatchObject({ code: "ERR_SESSION", status: 401 });
    expect([...refused.server.presented, ...ended.server.presented]).toEqual([]);
  });
});

/** Puts members that this version does not know into a record, and into what it says of its only target. */
function withUnknown(text: string, unknown: object): string {
  const { key: _key, version: _version, phase, keyId: _id, only, ...body } = readRecord(text);
  const [name] = Object.keys(body.tokens) as [string];
  return plainRecord(phase, { ...unknown, ...body, tokens: { [name]: { ...unknown, ...only } } });
}

describe("members that this version does not know", () => {
  test("C14: are carried on by a claim, a heartbeat, a publish, a failure, a refusal, a sign-in and a sign-out", async () => {
    const fleet = sessionFleet(1);
    const { clock, server, processes, during } = fleet;
    const shelf = shelfOf(fleet);
    const writes = writesTo(fleet);
    const [a] = processes as [SessionProcess];
    await during(a.cache.get());
    const unknown = { later: { any: ["json", null] }, alsoLater: 0 };
    await shelf.put(withUnknown((await shelf.entry())!.value, unknown));
    writes.length = 0;
    await clock.advance(LIFE);
    const gate = deferred();
    a.grant.beforeSending = () => gate.promise;
    const got = a.cache.get();
    await clock.advance(4000);
    gate.resolve();
    await during(got);
    await clock.advance(LIFE);
    a.grant.beforeSending = () => Promise.reject(Object.assign(new Error("down"), { status: 503 }));
    await rejectionOf(during(a.cache.get()));
    a.grant.beforeSending = undefined;
    await clock.advance(5000);
    server.end();
    await rejectionOf(during(a.cache.get()));
    expect(writes.map(({ phase }) => phase).join("")).toBe("LLTLTLR");
    for (const record of writes) {
      expect(record).toMatchObject(unknown);
      expect(record.only).toMatchObject(unknown);
    }
    writes.length = 0;
    // The targets of a session go with it.
    await during(a.cache.signIn(server.signInResponse()));
    await during(a.cache.signOut({ revoke: false }));
    expect(writes.map(({ phase }) => phase).join("")).toBe("TE");
    for (const record of writes) expect(record).toMatchObject(unknown);
  });

  test("C14: with the names of members of every object, they are data and nothing else", async () => {
    const fleet = sessionFleet(1);
    const { clock, processes, during } = fleet;
    const shelf = shelfOf(fleet);
    const [a] = processes as [SessionProcess];
    await during(a.cache.get());
    const unknown = JSON.parse('{"__proto__":{"state":"rt-9-9"},"constructor":1,"toString":null}') as object;
    await shelf.put(withUnknown((await shelf.entry())!.value, unknown));
    await clock.advance(LIFE);
    expect((await during(a.cache.get())).value).toBe("at-1-2");
    const record = JSON.stringify(await shelf.record());
    expect(record.split(JSON.stringify(unknown).slice(1, -1))).toHaveLength(4);
  });
});

describe.each([
  ["of a newer version", VERSION_2, /newer version.*update this process/],
  ["of a newer version without encryption", plainRecord("T", { ttl: DAY, targets: [], state: {} }, 2), /newer version/],
  ["of version 9999 in an unknown phase", `9999Zplain.${"A".repeat(40)}`, /newer version/],
  ["of a key that the process does not have", VERSION_1.T, /key that this process does not have.*"encryptionKey": \[/],
])("a record %s", (_, text, cure) => {
  /** A fleet whose only record is that text. Process `a` was served before. */
  async function planted(): Promise<SessionFleet & { a: SessionProcess; b: SessionProcess; shelf: Shelf }> {
    const fleet = sessionFleet(2);
    const shelf = shelfOf(fleet);
    const [a, b] = fleet.processes as [SessionProcess, SessionProcess];
    await fleet.during(a.cache.get());
    await shelf.put(text);
    return { ...fleet, a, b, shelf };
  }

  test("C14: a refresh token: ERR_STORE, whose hint names the cure; nothing is sent, and the record stays", async () => {
    const { clock, server, a, b, during, shelf } = await planted();
    const cold = (await rejectionOf(during(b.cache.get()))) as RemintError;
    expect(cold).toMatchObject({ code: "ERR_STORE", retryable: true, status: 503 });
    expect(cold.hint).toMatch(cure);
    // A valid token is served until it expires.
    expect((await a.cache.get()).value).toBe("at-1-1");
    await clock.advance(LIFE - 50_000);
    expect(a.cache.peek()?.value).toBe("at-1-1");
    await clock.advance(LIFE);
    expect(await rejectionOf(during(a.cache.get()))).toMatchObject({ code: "ERR_STORE" });
    expect(server.presented).toEqual(["rt-1-0"]);
    expect((await shelf.entry())!.value).toBe(text);
  });

  test("C14: the record before comes back: the session goes on", async () => {
    const fleet = sessionFleet(1);
    const shelf = shelfOf(fleet);
    const [a] = fleet.processes as [SessionProcess];
    await fleet.during(a.cache.get());
    const { value } = (await shelf.entry())!;
    await shelf.put(text);
    await fleet.clock.advance(LIFE);
    await rejectionOf(fleet.during(a.cache.get()));
    await shelf.put(value);
    await fleet.clock.advance(20_000);
    expect((await fleet.during(a.cache.get())).value).toBe("at-1-2");
  });

  test("C14: a grant that can be repeated: each process mints for itself, and the record stays", async () => {
    const grant = fakeGrant({ key: "orders" });
    const { processes, clock, store } = fleetUnderTest({ size: 2, grant });
    const shelf = shelfOf({ store });
    const first = processes[0]!.cache.get();
    await clock.advance(100);
    await first;
    await shelf.put(text);
    await clock.advance(3_600_000);
    const both = Promise.all(processes.map(({ cache }) => cache.get()));
    await clock.advance(1000);
    expect((await both).map(({ value }) => value).toSorted()).toEqual(["fake-2", "fake-3"]);
    expect((await shelf.entry())!.value).toBe(text);
    for (const process of processes) expect(countEvents(process, "mint-failed")).toBe(0);
  });

  test("C14: it takes the place of the lease during a mint: the callers are served, and the record stays", async () => {
    const { clock, server, a, during, shelf, join } = await planted();
    await shelf.clear();
    const c = join({ source: server.live()! });
    const gate = deferred();
    c.grant.beforeAnswering = () => gate.promise;
    const got = c.cache.get();
    await clock.advance(100);
    await shelf.put(text);
    gate.resolve();
    expect((await during(got)).value).toBe("at-1-2");
    await clock.advance(60_000);
    expect((await shelf.entry())!.value).toBe(text);
    // The process goes on to try, and says so when it leaves.
    expect(await during(c.cache.close({ within: 1000 }))).toMatchObject({ unsaved: true });
    expect(a.cache.peek()?.value).toBe("at-1-1");
  });

  test("C16: a sign-in replaces it", async () => {
    const { clock, server, a, b, during, shelf } = await planted();
    await during(a.cache.signIn(server.signInResponse()));
    expect(await shelf.record()).toMatchObject({ version: 1, phase: "T", state: "rt-2-0" });
    expect((await during(b.cache.get())).value).toBe("at-2-0");
    await clock.advance(LIFE);
    expect((await during(b.cache.get())).value).toBe("at-2-1");
  });

  test("C16: a sign-out replaces it", async () => {
    const { a, b, during, server, shelf } = await planted();
    await during(a.cache.signOut());
    expect(await shelf.record()).toMatchObject({ version: 1, phase: "E", tokens: {} });
    expect(server.revoked).toEqual(["rt-1-1", "at-1-1"]);
    expect(await rejectionOf(during(b.cache.get()))).toMatchObject({ code: "ERR_SESSION", status: 401 });
  });
});

/** Every place in JSON data, as the names that lead to it. */
function placesIn(value: unknown, path: readonly string[] = []): (readonly string[])[] {
  const members = typeof value === "object" && value !== null ? Object.entries(value) : [];
  return [path, ...members.flatMap(([name, member]) => placesIn(member, [...path, name]))];
}

/** A copy with another value at a place. */
function put(value: unknown, [name, ...rest]: readonly string[], other: unknown): unknown {
  if (name === undefined) return other;
  const member = put((value as Record<string, unknown>)[name], rest, other);
  return Array.isArray(value)
    ? value.map((item: unknown, index) => (String(index) === name ? member : item))
    : { ...(value as object), [name]: member };
}

describe("text that is no record", () => {
  /** Two processes meet this text. @returns Their outcomes, and what became of the text. */
  async function meet(text: string, encryptionKey: Uint8Array | "none"): Promise<MetText> {
    const fleet = sessionFleet(2, { fleet: { encryptionKey } });
    const { server, store, processes, clock, during } = fleet;
    await store.swap(KEY, undefined, text, DAY);
    const outcomes = await during(Promise.allSettled(processes.map(({ cache }) => cache.get())));
    // What a callback of the library throws would end the process. Here it would end the test.
    await clock.advance(1000);
    const result = await store.swap(KEY, "?", undefined, 1);
    return { outcomes, presented: server.presented, stored: result.ok ? undefined : result.current?.value, fleet };
  }

  interface MetText {
    readonly outcomes: readonly PromiseSettledResult<{ readonly value: string }>[];
    readonly presented: readonly string[];
    readonly stored: string | undefined;
    readonly fleet: SessionFleet;
  }

  function valuesOf({ outcomes }: MetText): readonly string[] {
    return outcomes.map((outcome) => (outcome.status === "fulfilled" ? outcome.value.value : String(outcome.reason)));
  }

  const CLEAR = /^([1-9]\d{0,3})([A-Z])([\w-]{1,16})\.[\w-]+$/;
  const someText = fc.string({ unit: "binary", maxLength: 12 });
  const mutation = fc.record({
    act: fc.constantFrom("replace" as const, "insert" as const, "delete" as const, "cut" as const),
    // Half of all mutations are where the text is in clear.
    at: fc.oneof(fc.nat({ max: 11 }), fc.nat({ max: 2000 })),
    by: fc.oneof(someText, fc.constantFrom("0", "1", "A", "T", "L", "R", "E", ".", "-", "")),
  });

  describe("bytes", () => {
    beforeEach(immediateCrypto);
    afterEach(() => void vi.restoreAllMocks());

    test("S6: 1,000 mutations of an encrypted record: it is replaced by one mint, or it is of an unknown key or version", async () => {
      const id = await sealsOf(SECRET)[0]!.id();
      await fc.assert(
        fc.asyncProperty(
          fc.constantFrom("T" as const, "L" as const, "R" as const, "E" as const),
          mutation,
          async (phase, how) => {
            const text = VERSION_1[phase];
            const at = Math.min(how.at, text.length - 1);
            const end = { replace: at + Math.max(1, how.by.length), insert: at, delete: at + 1, cut: text.length }[
              how.act
            ];
            const mutated =
              text.slice(0, at) + (how.act === "delete" || how.act === "cut" ? "" : how.by) + text.slice(end);
            if (mutated === text) return;
            const met = await meet(mutated, SECRET);
            const [, version = "0", letter = "", keyId] = CLEAR.exec(mutated) ?? [];
            const isOfOtherKey = Number(version) === 1 && "TLRE".includes(letter) && keyId !== id;
            const isUnknown = Number(version) > 1 || isOfOtherKey;
            if (isUnknown) {
              for (const outcome of met.outcomes) {
                expect(outcome).toMatchObject({ status: "rejected", reason: { code: "ERR_STORE" } });
              }
              expect(met.stored).toBe(mutated);
            } else {
              expect(valuesOf(met)).toEqual(["at-1-1", "at-1-1"]);
              expect(met.presented).toEqual(["rt-1-0"]);
              expect(met.stored).toMatch(/^1T/);
            }
          },
        ),
        { numRuns: 1000 },
      );
    }, 60_000);
  });

  const failure = { code: "ERR_TOKEN_NETWORK", message: "no answer", retryable: true, hint: "no route" };
  const refusal = {
    code: "ERR_TOKEN_ENDPOINT",
    message: "no",
    retryable: false,
    status: 400,
    error: "invalid_grant",
    terminal: true,
  };
  const body = {
    nonce: "n",
    ttl: DAY,
    at: 0,
    gen: 0,
    sid: "one",
    state: "rt-1-0",
    used: ["one", "two"],
    rotated: 2,
    tokens: {
      [ONLY]: {
        token: {
          response: { access_token: "at-stored", token_type: "Bearer", expires_in: 300, scope: "orders" },
          lifetime: { ms: LIFE, stated: true },
          age: 10,
          left: LIFE - 10,
          renews: false,
          quiet: 0,
        },
        mints: 1,
        strikes: 0,
        fails: 0,
      },
      other: { mints: 1, strikes: 1, fails: 1, failure, pause: 1000 },
    },
    failed: ["p1"],
  };
  const bodies = {
    T: body,
    L: { ...body, lease: 1000, holder: "another" },
    R: { ...body, tokens: {}, refused: { digest: "d", failure: refusal } },
    E: { ...body, tokens: {} },
    // The server has asked for the pause, so it holds for every process.
    "T after a failure": {
      ...body,
      tokens: {
        [ONLY]: {
          mints: 0,
          strikes: 0,
          fails: 1,
          failedAgo: 10,
          pause: 60_000,
          failure: { ...failure, retryAfter: 60_000 },
        },
      },
    },
  };
  const WRONG = [
    null,
    true,
    false,
    0,
    -1,
    1.5,
    "",
    "text",
    [],
    ["text"],
    [1],
    {},
    { length: 1 },
    { __proto__: null },
  ] as const;

  test.each(["T", "L", "R", "E", "T after a failure"] as const)(
    "S6: a value of another type at every place of a record in phase %s: one mint at most, and no error but those of the record",
    async (phase) => {
      const whole = bodies[phase];
      let count = 0;
      for (const place of placesIn(whole)) {
        for (const wrong of WRONG) {
          const what = `${place.join(".")} = ${JSON.stringify(wrong)}`;
          const met = await meet(plainRecord(phase.slice(0, 1), put(whole, place, wrong) as object), "none");
          count++;
          for (const outcome of met.outcomes) {
            if (outcome.status === "fulfilled") continue;
            // The record says so itself.
            const isOfRecord = phase !== "T" && phase !== "L" && isRemintError(outcome.reason);
            const { retryable, terminal, status, hint, message } = outcome.reason as RemintError;
            const types = [retryable, terminal, status, message, hint ?? ""].map((member) => typeof member);
            expect(`${what}: ${types.join()}`).toBe(`${what}: boolean,boolean,number,string,string`);
            expect(isOfRecord ? "of the record" : `${what}: ${String(outcome.reason)}`).toBe("of the record");
            // A text in place of a code is of the right type: a later version may have other codes.
            expect(["ERR_SESSION", "ERR_TOKEN_ENDPOINT", "ERR_TOKEN_NETWORK", "", "text"]).toContain(
              (outcome.reason as RemintError).code,
            );
          }
          expect(`${what}: ${met.presented.join()}`).toMatch(/: (rt-1-0)?$/);
          expect(`${what}: ${met.stored}`).toMatch(/: 1[TLRE]plain\./);
        }
      }
      expect(count).toBeGreaterThan(150);
    },
  );

  test("S6: records of wrong types in which nothing else is wrong: the state of the source is presented", async () => {
    for (const place of ["state", "used", "tokens", "gen", "sid", "failed", `tokens.${ONLY}.token.left`]) {
      const path = place.split(".");
      const met = await meet(plainRecord("T", put(body, path, [1]) as object), "none");
      expect(`${place}: ${valuesOf(met).join()}`).toBe(`${place}: at-1-1,at-1-1`);
      expect(met.presented).toEqual(["rt-1-0"]);
      expect(readRecord(met.stored!)).toMatchObject({ phase: "T", state: "rt-1-1" });
    }
  });

  test.each([
    ["an empty text", ""],
    ["a JSON text", "{}"],
    ["a record without its body", "1Tplain."],
    ["a version 0", `0Tplain.${"A".repeat(20)}`],
    ["a phase that version 1 does not have", plainRecord("X", body)],
    ["JSON that is no object", plainRecord("T", [1])],
    ["a text of a megabyte", `1Tplain.${"A".repeat(1_000_000)}`],
    ["control characters", "1Tplain.\u0000\u0001"],
  ])("S6: %s is replaced by one mint, at a cold start and at a renewal", async (_, text) => {
    const met = await meet(text, "none");
    expect(valuesOf(met)).toEqual(["at-1-1", "at-1-1"]);
    expect(met.presented).toEqual(["rt-1-0"]);
    const { fleet } = met;
    const shelf = shelfOf(fleet);
    const [a, b] = fleet.processes as [SessionProcess, SessionProcess];
    // A process uses the store, which shows the key.
    await fleet.during(fleet.join().cache.get());
    await shelf.put(text);
    const renewals = [a, b].map(({ cache }) => policyHalf(cache).rejected(cache.peek()!, TARGET)!.next());
    const renewed = await fleet.during(Promise.all(renewals));
    expect(renewed.map(({ token }) => token.value)).toEqual(["at-1-2", "at-1-2"]);
    expect(met.presented).toEqual(["rt-1-0", "rt-1-1"]);
    expect(await shelf.record()).toMatchObject({ phase: "T", state: "rt-1-2" });
  });
});
