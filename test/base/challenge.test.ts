import { describe, expect, it } from "vitest";
import { challengeVerdict, parseChallenges, type Challenge } from "../../src/base/challenge.ts";

describe("parseChallenges", () => {
  const cases: [name: string, header: string, expected: Challenge[]][] = [
    ["an empty header has no challenge", "", []],
    ["a scheme alone", "Bearer", [{ scheme: "bearer", parameters: {} }]],
    [
      "the example of RFC 6750 section 3",
      'Bearer realm="example",\r\n error="invalid_token",\r\n error_description="The access token expired"',
      [
        {
          scheme: "bearer",
          parameters: { realm: "example", error: "invalid_token", error_description: "The access token expired" },
        },
      ],
    ],
    [
      "the example of RFC 9110 section 11.6.1: two challenges, escapes and a comma in quotes",
      'Basic realm="simple", Newauth realm="apps", type=1, title="Login to \\"apps\\", please"',
      [
        { scheme: "basic", parameters: { realm: "simple" } },
        { scheme: "newauth", parameters: { realm: "apps", type: "1", title: 'Login to "apps", please' } },
      ],
    ],
    [
      "scheme and names in any case, values kept as they are",
      'BEARER ERROR="Invalid_Token"',
      [{ scheme: "bearer", parameters: { error: "Invalid_Token" } }],
    ],
    [
      "several header lines joined by a comma, one with a token68",
      'Negotiate YIIJ+/x==, Bearer error="invalid_token", NTLM',
      [
        { scheme: "negotiate", parameters: {} },
        { scheme: "bearer", parameters: { error: "invalid_token" } },
        { scheme: "ntlm", parameters: {} },
      ],
    ],
    [
      "blanks around =",
      'Bearer error = "x" , scope\t=\ta',
      [{ scheme: "bearer", parameters: { error: "x", scope: "a" } }],
    ],
    ["empty list elements", ', ,Bearer ,, error="x",', [{ scheme: "bearer", parameters: { error: "x" } }]],
    [
      "no comma between two challenges",
      'Basic realm="a" Bearer error=b',
      [
        { scheme: "basic", parameters: { realm: "a" } },
        { scheme: "bearer", parameters: { error: "b" } },
      ],
    ],
    [
      "a repeated parameter: the first one counts",
      "Bearer error=a, error=b",
      [{ scheme: "bearer", parameters: { error: "a" } }],
    ],
    [
      "a challenge inside a quoted value is text",
      'Basic realm="x, Bearer error=\\"invalid_token\\""',
      [{ scheme: "basic", parameters: { realm: 'x, Bearer error="invalid_token"' } }],
    ],
    [
      "a quoted value without its closing quote",
      'Bearer error="invalid',
      [{ scheme: "bearer", parameters: { error: "invalid" } }],
    ],
    ["a backslash at the very end", 'Bearer error="a\\', [{ scheme: "bearer", parameters: { error: "a" } }]],
    ["a parameter without a scheme is ignored", 'error="x"', []],
    [
      "names of members of Object.prototype are ordinary parameters",
      'Bearer constructor="a", __proto__=b',
      [
        {
          scheme: "bearer",
          parameters: Object.fromEntries([
            ["constructor", "a"],
            ["__proto__", "b"],
          ]),
        },
      ],
    ],
    ["an empty plain value", "Basic realm=", [{ scheme: "basic", parameters: {} }]],
    ["nothing but garbage", '"" {} ;;\u0000 (é)', []],
  ];
  it.each(cases)("%s", (_name, header, expected) => {
    const challenges = parseChallenges(header);
    expect(challenges.map(({ scheme, parameters }) => ({ scheme, entries: Object.entries(parameters) }))).toEqual(
      expected.map(({ scheme, parameters }) => ({ scheme, entries: Object.entries(parameters) })),
    );
  });

  it("reads only the first 8 KiB", () => {
    expect(
      parseChallenges(`Bearer a="${"x".repeat(8192)}", error="insufficient_scope"`)[0]?.parameters,
    ).not.toHaveProperty("error");
  });

  it("takes linear time for hostile input", () => {
    const hostile = ["a", " ", "=", "a ", "a=", 'a="', '"', "\\", ",", "a\t", '="\\', "a b=", "a =", "/", "a/= "];
    const start = performance.now();
    for (const piece of hostile) {
      for (const prefix of ["", "Bearer ", 'Bearer error="', "a "]) {
        for (const suffix of ["", "\u0000", '"', "= x"])
          parseChallenges(prefix + piece.repeat(8192 / piece.length) + suffix);
      }
    }
    // 240 headers of 8 KiB take a few hundredths of a second; one quadratic case alone takes longer than the limit.
    expect(performance.now() - start).toBeLessThan(2000);
  });
});

describe("challengeVerdict", () => {
  const cases: [verdict: "renew" | "keep" | "unproved", header: string | null][] = [
    ["keep", 'Bearer error="insufficient_scope", scope="orders:write"'],
    ["keep", "bearer realm=x, error=insufficient_scope"],
    ["keep", 'Bearer error="insufficient_user_authentication", acr_values="mfa"'],
    ["keep", 'Basic realm="x", Bearer error="insufficient_scope"'],
    ["keep", 'Bearer realm="x", Bearer error="insufficient_scope"'],
    ["renew", 'Bearer error="invalid_token", Bearer error="insufficient_scope"'],
    ["renew", 'Bearer error="insufficient_scope", Bearer error="invalid_token"'],
    ["renew", 'Bearer error="invalid_token"'],
    ["renew", "Bearer"],
    ["renew", 'Basic realm="gateway"'],
    ["renew", 'Basic error="insufficient_scope"'],
    ["renew", 'Bearer realm="error=insufficient_scope"'],
    ["keep", 'DPoP error="insufficient_scope", algs="ES256"'],
    ["keep", 'Bearer, DPoP error="insufficient_scope"'],
    ["renew", 'DPoP error="invalid_token", algs="ES256"'],
    ["renew", 'DPoP algs="ES256 PS256"'],
    ["renew", 'Bearer error="insufficient_scope", DPoP error="invalid_token"'],
    ["renew", 'Bearer error="use_dpop_nonce"'],
    ["renew", 'Bearer error="invalid_token", DPoP algs="ES256"'],
    ["unproved", 'DPoP error="use_dpop_nonce", error_description="Resource server requires nonce in DPoP proof"'],
    ["unproved", "Bearer, dpop error=use_dpop_nonce"],
    ["unproved", 'Bearer error="invalid_token", DPoP error="use_dpop_nonce"'],
    ["unproved", 'DPoP error="invalid_dpop_proof"'],
    ["renew", "nonsense ==="],
    ["renew", ""],
    ["renew", null],
  ];
  it.each(cases)("Q4: the verdict is %s for %s", (verdict, header) => {
    expect(challengeVerdict(header)).toBe(verdict);
  });
});
