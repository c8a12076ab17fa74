/**
 * The command that a `missing-invalidation` finding asks for, with the words of each entry that a driver may change: it
 * is one that the IOMMU takes, and given right after the change, it is all that was owed.
 */
import { describe, expect, it } from "vitest";
import { decodeCommand, formatCommand } from "../walkers/commands/command.ts";
import type { IommuModel } from "../walkers/models.ts";
import { AMD } from "./support/advice-cases/amd-vi.ts";
import { A, type Case, type Cases } from "./support/advice-cases/case.ts";
import { RISCV } from "./support/advice-cases/riscv.ts";
import { ARM } from "./support/advice-cases/smmuv3.ts";
import { INTEL } from "./support/advice-cases/vtd.ts";
import { Scenario } from "./support/cache-scenario.ts";
import { words } from "./support/command-words.ts";

// A completion each: invalidation wait, CMD_SYNC, COMPLETION_WAIT, IOFENCE.C.
const COMPLETE: Readonly<Record<IommuModel, readonly bigint[]>> = {
  intel: [0x25n, 0n, 0n, 0n],
  "arm-smmuv3": [0x46n, 0n],
  amd: [1n << 60n, 0n],
  riscv: [2n, 0n],
};

const VENDORS: [IommuModel, Cases][] = [
  ["intel", INTEL],
  ["arm-smmuv3", ARM],
  ["amd", AMD],
  ["riscv", RISCV],
];

/** Uses all, changes what the case changes, gives commands, and uses all again. */
async function run(make: () => Case, advice: readonly (readonly bigint[])[], model: IommuModel) {
  const { s, request, others = [], change, expected } = make();
  const all = [request, ...others];
  s.dma({ ...request, addr: A });
  for (const dma of all) s.dma(dma);
  change();
  for (const words of advice) s.cmd(...words).cmd(...COMPLETE[model]);
  const seqs = all.map((dma) => s.dma(dma));
  return { result: await s.run(), seqs, expected: [expected].flat() };
}

describe.each(VENDORS)("%s: the command that was owed", (model, cases) => {
  it.each(Object.entries(cases))("%s", async (_name, make) => {
    const { expected } = await run(make, [], model);
    const advice: bigint[][] = [];
    for (const text of expected) {
      const { result, seqs } = await run(make, advice, model);
      expect(seqs.map((seq) => result.verdict(seq))).toEqual(seqs.map(() => "hazard"));
      const [finding] = result.of("finding");
      expect(finding).toMatchObject({ rule: "missing-invalidation", command: text });
      expect(result.of("finding")).toHaveLength(1);
      const data = (finding!.data as string[]).map(BigInt);
      const command = decodeCommand(model, words(...data));
      expect(formatCommand(command)).toBe(text);
      expect(command.problems).toEqual([]);
      advice.push(data);
    }
    const { result, seqs } = await run(make, advice, model);
    expect(result.rules()).toEqual([]);
    expect(seqs.map((seq) => result.verdict(seq))).toEqual(seqs.map(() => ""));
  });
});

describe("an invalidation that nothing waits for", () => {
  // Everything: IOTLB global, CMD_TLBI_NSNH_ALL, INVALIDATE_IOMMU_ALL, IOTINVAL.VMA.
  it.each<[IommuModel, readonly bigint[], string]>([
    ["intel", [0x12n, 0n], "invalidation wait"],
    ["arm-smmuv3", [0x30n, 0n], "CMD_SYNC"],
    ["amd", [8n << 60n, 0n], "COMPLETION_WAIT"],
    ["riscv", [1n, 0n], "IOFENCE.C"],
  ])("%s: the finding names what was to follow", async (model, words, completion) => {
    const complete = COMPLETE[model].slice(0, 2);
    const s = new Scenario(model, {});
    s.cmd(...complete).cmd(...words);
    const issued = s.lines.length;
    const [finding, ...more] = (await s.cmd(...words).run()).of("finding");
    expect(finding).toMatchObject({ rule: "missing-completion", issued_line: issued });
    expect(finding!.message).toContain(
      `2 invalidations from line ${issued} on: expected a completion (${completion})`,
    );
    expect(more).toEqual([]);
    const waited = new Scenario(model, {});
    waited
      .cmd(...complete)
      .cmd(...words)
      .cmd(...words)
      .cmd(...complete);
    expect((await waited.run()).of("finding")).toEqual([]);
  });
});
