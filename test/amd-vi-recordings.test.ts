import { describe, expect, it } from "vitest";
import { type Answer, replayAmd } from "./support/amd-recording.ts";

const sample = (name: string) => replayAmd(new URL(`../samples/amd/${name}`, import.meta.url));

/** What was observed and what the walker says, where they differ. */
function differences(answers: readonly Answer[], pageOnly = false): string[] {
  return answers.flatMap(({ seq, seen, observed }) => {
    const inPage = pageOnly && seen.page ? seen.page - 1n : 0n;
    const ours = text(
      seen.result,
      observed.pa && seen.pa! & ~inPage,
      observed.code && seen.code,
      observed.reason && seen.reason,
    );
    const theirs = text(
      observed.result,
      observed.pa && BigInt(observed.pa) & ~inPage,
      observed.code && Number(observed.code),
      observed.reason,
    );
    return ours === theirs ? [] : [`${seq}: ${ours}, observed ${theirs}`];
  });
}

function text(
  result: string,
  pa: bigint | string | undefined,
  code: number | string | undefined,
  reason?: string,
): string {
  return [result, pa, code, reason].filter((part) => part !== undefined).join(" ");
}

describe("QEMU 11.1, v1 tables", () => {
  const answers = sample("amd-11.1-v1-s1.ndjson.gz");

  it("agrees wherever QEMU follows the specification", () => {
    const followed = answers.filter(({ deviation }) => deviation === undefined);
    expect(followed).toHaveLength(936);
    expect(differences(followed)).toEqual([]);
    const codes = new Set(followed.map(({ seen }) => seen.code ?? seen.result));
    expect([...codes].map(String).sort()).toEqual(["1", "2", "4", "msi", "ok"]);
  });

  it("gives what the specification asks for where QEMU does not", () => {
    const departed = answers.filter(({ deviation }) => deviation !== undefined);
    expect(departed).toHaveLength(213);
    for (const { deviation, seen } of departed) {
      const [, result, code] = /specification (\w+)(?::(\w+))?/.exec(deviation!)!;
      expect(`${seen.result} ${seen.code}`, deviation).toBe(`${result} ${code}`);
    }
  });

  it("QEMU's flags: I, and the access in GN and NX", () => {
    const flags = new Map<string, Set<string>>();
    for (const { access, observed } of answers)
      if (observed.code === "0x2") flags.set(access, (flags.get(access) ?? new Set()).add(observed.flags!));
    expect(flags).toEqual(
      new Map([
        ["r", new Set(["0x9"])],
        ["w", new Set(["0xa"])],
      ]),
    );
    // By the specification I says that it was an interrupt, and RW what it was.
    for (const { access, seen } of answers)
      if (seen.code === 0x2) expect(seen.flags! & 0x02f).toBe(access === "w" ? 0x020 : 0);
  });
});

it("guest CR3 tables of two levels, flat and nested: no difference", () => {
  const answers = sample("amd-gcr3-l2-s1.ndjson.gz");
  expect(answers).toHaveLength(1000);
  expect(differences(answers)).toEqual([]);
  const reasons = new Set(answers.map(({ seen }) => `${seen.reason} ${seen.stage}`));
  for (const reason of [
    "PERMISSION 1",
    "PERMISSION 2",
    "PTE_FETCH 1",
    "PTE_FETCH 2",
    "PASID_FETCH 0",
    "BAD_PTE 1",
    "OOR_ADDRESS 1",
  ])
    expect(reasons).toContain(reason);
});

it("Linux 6.12, v1 tables with 64 KiB pages: no difference", () => {
  const answers = sample("linux-amd-q11-k6.12-strict.ndjson");
  expect(answers).toHaveLength(555);
  expect(differences(answers, true)).toEqual([]);
  const pages = new Set(answers.map(({ seen }) => seen.page));
  for (const page of [0x1000n, 0x1_0000n]) expect(pages).toContain(page);
});
