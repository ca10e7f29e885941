// What the outcomes of the rig are called in the tables of `npm run peers` and of docs/numbers.md, and whether remint's own rows are
// what that page says.

/** The tables, and the columns of each. A column that is not `held` may differ from one run to the next. */
export const TABLES = [
  {
    title: "Tokens",
    columns: [
      { head: "cold: token requests, 401s to callers", held: true, cell: cold },
      { head: "revoked: token requests, 401s to callers", held: true, cell: revoked },
      { head: "late 401s: token requests", held: true, cell: late },
      { head: "endpoint down: token requests of 100 callers", held: true, cell: down },
      { head: "late 401, endpoint down: its caller, the good token", held: true, cell: kept },
    ],
  },
  {
    title: "Requests",
    columns: [
      { head: "second send of JSON, Buffer, stream", held: true, cell: bodies },
      { head: "a caller who aborts, the others", held: true, cell: aborts },
      { head: "to another host", held: true, cell: host },
      { head: "in printed errors", held: true, cell: printed },
      { head: "time beside the bare client", held: false, cell: overhead },
    ],
  },
];

/** Returns the cells of a peer by the head of their column. `outcomes.overhead` may be missing. */
export function cellsOf(claims, outcomes) {
  const columns = TABLES.flatMap((table) => table.columns);
  return Object.fromEntries(columns.map(({ head, cell }) => [head, cell(outcomes, (claim) => claims.includes(claim))]));
}

/** Returns the tables as Markdown, for rows of `{ name, cells }`. */
export function markdown(rows) {
  return TABLES.map(({ title, columns }) => {
    const heads = columns.map(({ head }) => head);
    const lines = rows.map(({ name, cells }) => [name, ...heads.map((head) => cells[head])]);
    const table = [["package", ...heads], ["---", ...heads.map(() => "---")], ...lines];
    return `### ${title}\n\n${table.map((line) => `| ${line.join(" | ")} |`).join("\n")}\n`;
  }).join("\n");
}

/** Returns a line for every cell of the rows that is not what the page says. */
export function differences(rows, page) {
  const said = [...page.matchAll(/^\|(.*)\|$/gm)].map(([, line]) => line.split("|").map((cell) => cell.trim()));
  const wrong = [];
  for (const { name, cells } of rows) {
    for (const { title, columns } of TABLES) {
      // The head of the page's table says in which column a cell stands.
      const head = said.find((line) => line.includes(columns[0].head)) ?? [];
      const row = said.slice(said.indexOf(head)).find((line) => line[0] === name) ?? [];
      for (const column of columns.filter(({ held }) => held)) {
        const expected = row[head.indexOf(column.head)];
        if (expected === cells[column.head]) continue;
        const found = expected === undefined ? "nothing" : `"${expected}"`;
        wrong.push(
          `${title}, ${name}, ${column.head}: docs/numbers.md says ${found}, and this run "${cells[column.head]}"`,
        );
      }
    }
  }
  return wrong;
}

/** A cell of what the package does not claim is marked. */
const unless = (claimed, text) => (claimed ? text : `not claimed: ${text}`);
const number = (value) => value.toLocaleString("en");

function answers({ tokenRequests, unauthorized, ok, pending, callers }) {
  const failed = callers - ok - unauthorized - pending;
  return [
    `${number(tokenRequests)}, ${number(unauthorized)}`,
    ...(failed > 0 ? [`${number(failed)} other errors`] : []),
    ...(pending > 0 ? [`${number(pending)} without an answer`] : []),
  ].join(", ");
}

function cold({ cold: outcome }, claims) {
  return unless(claims("sharing"), answers(outcome));
}

function revoked({ revoked: outcome }, claims) {
  return claims("renewal") ? answers(outcome) : "not claimed";
}

function late({ late: outcome }, claims) {
  if (!claims("renewal")) return "not claimed";
  const { tokenRequests, ok, callers } = outcome;
  return ok === callers ? number(tokenRequests) : `${number(tokenRequests)}, ${callers - ok} callers fail`;
}

function down({ down: { tokenRequests, unauthorized, pending } }, claims) {
  const more = [
    ...(unauthorized > 0 ? [`${number(unauthorized)} callers get 401`] : []),
    ...(pending > 0 ? [`${number(pending)} still wait after 10 s`] : []),
  ];
  const text = [number(tokenRequests), ...more].join(", ");
  return unless(claims("sharing"), text);
}

function kept({ kept: { late: status, next } }, claims) {
  if (!claims("renewal")) return "not claimed";
  return `${status === 200 ? "answered" : "fails"}, token ${next === 200 ? "kept" : "lost"}`;
}

function bodies({ json, buffer, stream }, claims) {
  return claims("renewal") ? [json, buffer, stream].map(body).join(", ") : "not claimed";
}

function body({ second, status }) {
  if (second !== "nothing") return status === 200 || second === "same" ? second : `${second} (${status})`;
  return status === 401 ? "not sent (401)" : "not sent (error)";
}

function aborts({ aborted, notAborted }, claims) {
  const harmed = aborted.failed - notAborted.failed;
  const others = harmed > 0 ? `${harmed} of 2 fail` : "unharmed";
  return unless(claims("aborts"), `${aborted.left ? "leaves" : "waits"}, ${others}`);
}

function host({ host: { token, arrived } }, claims) {
  return unless(claims("hosts"), token ? "token" : arrived === 1 ? "no token" : "not sent");
}

function printed({ printed: errors }, claims) {
  const found = Object.values(errors).filter((error) => error !== undefined);
  const names = { token: "token", secret: "client secret", refreshToken: "refresh token" };
  const seen = Object.keys(names).filter((what) => found.some((error) => error[what]));
  return unless(claims("redaction"), seen.length === 0 ? "nothing" : seen.map((what) => names[what]).join(" and "));
}

function overhead({ overhead: ratio }) {
  if (ratio === undefined) return "not measured";
  return `${ratio.median.toFixed(2)} (${ratio.low.toFixed(2)}..${ratio.high.toFixed(2)})`;
}
