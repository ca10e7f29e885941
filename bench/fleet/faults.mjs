// Scenarios in which Redis fails, or holds data that the fleet did not write. Callers notice nothing, and the fleet
// recovers by itself.
import { unnoticed } from "./rows.mjs";

export const scenarios = ({ FAULTS, FOREIGN, plant }) => [
  ...FAULTS.map((fault) => ({
    title: `Redis: ${fault.name}`,
    does: "the token is revoked meanwhile, and again when Redis is back",
    run: (stage) => faulty(stage, fault),
  })),
  {
    title: "Redis: data of another kind",
    does: "a list lies at the fleet's key",
    run: (stage) => faulty(stage, list),
  },
  {
    title: "Redis: foreign records",
    does: FOREIGN.map(({ name }) => name).join(", "),
    rounds: 1,
    run: async (stage) => {
      const rounds = [];
      for (const record of FOREIGN) rounds.push(await foreign(stage, await plant(stage, record)));
      return rounds;
    },
  },
];

const list = {
  async begin(stage) {
    this.key = await stage.key();
    await stage.redis.command("DEL", this.key);
    await stage.redis.command("RPUSH", this.key, "kept");
  },
  async end({ redis }) {
    this.kept = (await redis.command("LPOP", this.key)) === "kept";
  },
};

async function faulty(stage, fault) {
  await stage.open();
  stage.endpoint.delay = 250;
  await stage.share();
  await fault.begin(stage);
  const degraded = await stage.revocation();
  await fault.end(stage);
  const after = await stage.recovery();
  const claims = {
    "no error": [degraded, ...after].every(unnoticed),
    "at most 1 mint per process": degraded.mostByOne <= 1,
    "then 1 per fleet": after.at(-1).mints === 1,
    ...(fault.kept !== undefined && { "data kept": fault.kept }),
  };
  return { ...degraded, claims, note: after.length > 1 ? `${after.length} revocations until then` : undefined };
}

async function foreign(stage, key) {
  stage.endpoint.delay = 250;
  const outcome = await stage.revocation();
  const record = String(await stage.redis.command("GET", key));
  const claims = { "1 mint": outcome.mints === 1, "no error": unnoticed(outcome), replaced: record.startsWith("1T") };
  return { ...outcome, claims };
}
