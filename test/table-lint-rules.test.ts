import { describe, expect, test } from "vitest";
import { TABLE_RULES } from "../walkers/tables/table-rules.ts";
import { AMD } from "./support/table-cases/amd-vi.ts";
import type { Case } from "./support/table-cases/case.ts";
import { RISCV } from "./support/table-cases/riscv.ts";
import { ARM } from "./support/table-cases/smmuv3.ts";
import { VTD } from "./support/table-cases/vtd.ts";
import { lint } from "./support/table-lint.ts";

const CASES: readonly Case[] = [...VTD, ...ARM, ...AMD, ...RISCV];

describe("rules on tables", () => {
  test.each(CASES)("$rule: $name", ({ rule, bad, good, says }) => {
    const found = lint(bad);
    const finding = found.find((f) => f.rule.id === rule);
    expect(found.map((f) => `${f.rule.id} ${f.message}`).join("\n")).toContain(rule);
    expect(finding).toMatchObject(says);
    expect(lint(good).map((f) => f.message)).toEqual([]);
  });

  test("every rule that an entry breaks is found, in the specification's order", () => {
    // V, bit 12, EN_PRI without EN_ATS, DPE without PDTV; iohgatp.MODE 7; iosatp.MODE 9, which the IOMMU lacks.
    const context = [0x1205n, 7n << 60n, 0n, (9n << 60n) | 0x20n];
    const found = lint({
      model: "riscv",
      regs: { ddtp: 0x2002n },
      props: { msi_flat: 0, sv48: 0 },
      memory: { "0x8000": [], "0x8060": context, "0x20000": [] },
    });
    expect(found.map(({ rule, field, bits }) => `${rule.id} ${field ?? bits}`)).toEqual([
      "reserved-entry-bits 12",
      "conflicting-fields EN_PRI",
      "unsupported-encoding fsc_MODE",
      "conflicting-fields DPE",
      "illegal-encoding iohgatp_MODE",
    ]);
  });

  // What happens in time is tested with replays (table-lint-replay.test.ts).
  test("every rule has a case, or is about what happens in time", () => {
    const inTime = Object.values(TABLE_RULES).filter(({ source }) => source.includes("Updating in-memory"));
    inTime.push(TABLE_RULES["passed-while-replaced"]);
    expect(inTime).toHaveLength(7);
    const covered = new Set<string>([...CASES.map((c) => c.rule), ...inTime.map(({ id }) => id)]);
    expect([...covered].sort()).toEqual(Object.keys(TABLE_RULES).sort());
  });

  test("tables that lead to themselves come to an end", () => {
    const words = Array(512).fill(0x10001n);
    const bind = { model: "amd", base: 0x10000n, amd: { glx: 2 } } as const;
    const found = lint({ model: "amd", bind, memory: { "0x10000": words } });
    expect(found.map((f) => f.rule.id)).not.toContain("pointer-outside-memory");
    expect(found.length).toBeLessThan(10_000);
  });

  test("an all-zero table is nothing to speak of", () => {
    for (const { bad } of CASES) {
      const memory = Object.fromEntries(Object.keys(bad.memory).map((address) => [address, []]));
      expect(lint({ ...bad, memory }).filter((f) => f.rule.id !== "pointer-outside-memory")).toEqual([]);
    }
  });
});
