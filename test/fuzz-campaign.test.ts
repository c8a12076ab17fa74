import { describe, expect, it } from "vitest";
import type { Mistakes } from "../pipeline/device/device.ts";
import { HABIT_NAMES, type HabitName, habitsOf } from "../pipeline/device/habits.ts";
import { compareDevices } from "../pipeline/fuzz/against.ts";
import { type CampaignOptions, type Finding, fuzz, newWorldMaker } from "../pipeline/fuzz/campaign.ts";
import { ExpectedDepartures, NOTHING_EXPECTED } from "../pipeline/fuzz/expected-departures.ts";
import { judgeWorld } from "../pipeline/fuzz/judge.ts";
import { LocalDevice } from "../pipeline/fuzz/local-device.ts";
import { DeviceFailure } from "../pipeline/fuzz/port.ts";
import { RequestWalks } from "../pipeline/fuzz/request-walks.ts";
import { NO_LIMITS, type WorldRecord } from "../walkers/fuzz/world.ts";
import { IOMMU_MODELS, type IommuModel } from "../walkers/models.ts";
import { VENDORS } from "../walkers/registry.ts";

const NO_MISTAKES: Mistakes = { bugs: [], habits: new Set() };

/** Mistakes of each sort, that a few worlds show: of reserved bits, fields, capabilities, codes, order, caches. */
const PLANTED = {
  intel: ["root-reserved", "rid-pasid", "translations-kept"],
  "arm-smmuv3": [
    "default-substream",
    "top-byte",
    "stage-1-alone",
    "page-invalidation-first",
    "hit-in-other-domain",
  ],
  amd: ["suppress-all", "large-page-as-small"],
  riscv: ["user-pages", "misconfigured-as-invalid", "contexts-kept"],
} as const satisfies Record<IommuModel, readonly string[]>;

async function mistake(model: IommuModel, name: string): Promise<Mistakes> {
  const bugs = (await VENDORS[model].fuzzing()).bugs.filter((bug) => bug.name === name);
  const habits = new Set(HABIT_NAMES.filter((habit): habit is HabitName => habit === name));
  expect(bugs.length + habits.size).toBe(1);
  return { bugs, habits };
}

async function campaign(model: IommuModel, mistakes: Mistakes, options: Partial<CampaignOptions>) {
  const found: Finding[] = [];
  const report = await fuzz(new LocalDevice(model, mistakes), {
    seed: 3,
    worlds: 30,
    goesOn: () => true,
    isKnown: () => false,
    shrinks: false,
    onFinding: (finding) => void found.push(finding),
    onFailure: (failure) => {
      throw failure;
    },
    ...options,
  });
  return { report, found };
}

describe.each(IOMMU_MODELS)("%s", (model) => {
  it("finds nothing wrong with a device that makes no mistakes, and reaches much", async () => {
    const { report } = await campaign(model, NO_MISTAKES, {});
    expect(report.findings).toEqual([]);
    expect(report.requests).toBeGreaterThan(800);
    const faults = report.coverage.reached().find(({ kind }) => kind === "fault")!;
    expect(faults.reached / faults.of!).toBeGreaterThan(0.3);
  });

  it.each(PLANTED[model])("finds %s", async (name) => {
    const first: Finding[] = [];
    const { report } = await campaign(model, await mistake(model, name), {
      worlds: 200,
      goesOn: () => first.length === 0,
      onFinding: (finding) => void first.push(finding),
    });
    expect(report.worlds).toBeLessThan(200);
  });

  it("each mistake has a name of its own, a source and something that it changes", async () => {
    const fuzzing = await VENDORS[model].fuzzing();
    const { bugs, immune = {} } = fuzzing;
    const names = [...bugs.map(({ name }) => name), ...habitsOf(fuzzing)];
    expect(new Set(names).size).toBe(names.length);
    expect(HABIT_NAMES).toEqual(expect.arrayContaining(Object.keys(immune)));
    expect(names.length).toBeGreaterThanOrEqual(40);
    for (const { source, misreads, registers, reports, late, contexts, cacheKey, walker } of bugs) {
      expect(source).not.toBe("");
      const changes = [misreads, registers, reports, late, contexts, cacheKey, walker];
      expect(changes.some((change) => change !== undefined)).toBe(true);
    }
  });
});

it("makes the same worlds of the same seed, and others of another", async () => {
  const worlds = async (seed: number) => {
    const { maker, coverage } = await newWorldMaker("riscv", NO_LIMITS, seed);
    return Array.from({ length: 6 }, () => {
      const world = maker.next();
      judgeWorld(world.records, coverage);
      if (coverage.takeNews().length > 0) maker.keep(world);
      return JSON.stringify(world.records);
    });
  };
  const [one, again, other] = [await worlds(1), await worlds(1), await worlds(2)];
  expect(again).toEqual(one);
  expect(other).not.toEqual(one);
  expect(new Set(one).size).toBe(6);
});

it("asks for no PASID below the smallest one that a device can have, and for those above and for none", async () => {
  const { maker } = await newWorldMaker("riscv", { ...NO_LIMITS, leastPasid: 1 }, 1);
  const asked = Array.from({ length: 60 }, () => maker.next().records)
    .flat()
    .filter(({ type }) => type === "dma");
  const pasids = asked.map(({ pasid }) => pasid as number | undefined);
  expect(pasids).not.toContain(0);
  expect(pasids).toContain(1);
  expect(pasids).toContain(undefined);
});

it("shrinks what it finds to a few lines that still show it, and names the field", async () => {
  const { found } = await campaign("intel", await mistake("intel", "one-pasid-code"), {
    worlds: 60,
    shrinks: true,
    goesOn: () => true,
  });
  const [first] = found;
  expect(first!.signature).toMatchObject({ expected: "SPT.2 (0x59)", observed: "0x51" });
  expect(first!.signature.where).toMatch(/^VT-d scalable-mode PASID/);
  // Memory, IOMMU, root, context, directory and the request itself.
  expect(first!.records.length).toBeLessThanOrEqual(7);
  expect(first!.records.filter(({ type }) => type === "dma")).toHaveLength(1);
  expect(judgeWorld(first!.records)).toHaveLength(1);
});

it("counts what is known, and does not shrink it", async () => {
  const { report } = await campaign("intel", await mistake("intel", "one-pasid-code"), {
    worlds: 60,
    shrinks: true,
    isKnown: (signature) => signature.includes("SPT.2"),
  });
  const [first] = report.findings;
  expect(first).toMatchObject({ known: true, runs: 0 });
  expect(first!.requests).toBeGreaterThan(0);
});

describe("what is known of a device", () => {
  it.each(["root-reserved", "controls-ignored"])("its mistake %s explains what it does", async (name) => {
    const mistakes = await mistake("intel", name);
    const expected = { codeAliases: new Map(), bugs: mistakes.bugs };
    const { report } = await campaign("intel", mistakes, { worlds: 60, expected });
    expect(report.findings.map(({ signature }) => signature.text)).toEqual([]);
    expect(report.excused).toBeGreaterThan(0);
  });

  it("another mistake is found beside one that is known", async () => {
    const [known, other] = [
      await mistake("intel", "controls-ignored"),
      await mistake("intel", "root-reserved"),
    ];
    const both = { ...known, bugs: [...known.bugs, ...other.bugs] };
    const expected = { codeAliases: new Map(), bugs: known.bugs };
    const { report } = await campaign("intel", both, { worlds: 60, expected });
    expect(report.findings.map(({ signature }) => signature.expected)).toContainEqual(
      expect.stringMatching(/^[LS]RT\.3 /),
    );
  });

  it("a code that it gives for another is that", async () => {
    const expected = { codeAliases: new Map([[0x59, new Set([0x51])]]), bugs: [] };
    const { report } = await campaign("intel", await mistake("intel", "one-pasid-code"), {
      worlds: 60,
      expected,
    });
    expect(report.findings).toEqual([]);
  });

  it("what stands where it has no memory is not known", async () => {
    const { maker } = await newWorldMaker("intel", NO_LIMITS, 1);
    const { world } = maker.next();
    const records: WorldRecord[] = [
      { type: "ram", addr: "0x0", size: "0x100000" },
      { type: "mem", addr: "0x1000", data: "0100c0fe000000000000000000000000" },
      { type: "iommu", id: "iommu0", model: "intel", regs: { rtaddr: "0x1000" } },
      {
        type: "dma",
        iommu: "iommu0",
        dev: "00:03.0",
        addr: "0x0",
        observed: { result: "fault", code: "0x2" },
      },
    ];
    const departures = (base: bigint) =>
      new ExpectedDepartures(NOTHING_EXPECTED, { ...NO_LIMITS, foreign: [{ base, bytes: 4096n }] }).judge(
        records,
        world,
      );
    expect(departures(0xfec0_0000n)).toEqual([]);
    expect(departures(0xfec0_1000n)).toMatchObject([{ outcome: { name: "LCT.1" } }]);
  });

  it("what stands there is not known to a device that makes a known mistake either", async () => {
    const { bugs } = await mistake("intel", "root-reserved");
    const layout = (await VENDORS.intel.fuzzing()).structures.find(({ name }) => name === "VT-d root entry")!;
    const places = {
      entryAt: (at: bigint) => (at === 0x1000n ? { layout, littleEndian: true, uses: [] } : undefined),
    };
    const answered = (code: string): WorldRecord[] => [
      { type: "ram", addr: "0x0", size: "0x100000" },
      // Bit 1 is reserved, and the context table has no memory.
      { type: "mem", addr: "0x1000", data: "0300c0fe000000000000000000000000" },
      { type: "iommu", id: "iommu0", model: "intel", regs: { rtaddr: "0x1000" } },
      { type: "dma", iommu: "iommu0", dev: "00:03.0", addr: "0x0", observed: { result: "fault", code } },
    ];
    const departures = (base: bigint) =>
      new ExpectedDepartures(
        { ...NOTHING_EXPECTED, bugs },
        { ...NO_LIMITS, foreign: [{ base, bytes: 4096n }] },
      ).judge(answered("0x2"), places);
    expect(departures(0xfec0_0000n)).toEqual([]);
    expect(departures(0xfec0_1000n)).toMatchObject([{ outcome: { name: "LRT.3" } }]);
  });

  it("its commands have no larger operands than it takes", async () => {
    const name = "PASID-based-IOTLB invalidate";
    const limits = { ...NO_LIMITS, commands: { [name]: { AM: 3 } } };
    const { maker } = await newWorldMaker("intel", limits, 1);
    const masks = Array.from({ length: 60 }, () => maker.next().records)
      .flat()
      .filter(({ type, data }) => type === "cmd" && (BigInt((data as string[])[0]!) & 0xfn) === 6n)
      .map(({ data }) => Number(BigInt((data as string[])[1]!) & 0x3fn));
    expect(Math.max(...masks)).toBe(3);
  });
});

it("what a cache has kept is told from a field that is ignored", async () => {
  const texts: string[] = [];
  const options = {
    ...{ worlds: 200, shrinks: true },
    goesOn: () => !texts.some((text) => text.includes("stale-after-invalidation")),
    onFinding: ({ signature }: Finding) => void texts.push(signature.text),
  };
  await campaign("intel", await mistake("intel", "translations-kept"), options);
  expect(texts.at(-1)).toMatch(/^after .*: stale-after-invalidation: /);
  const ignored = await campaign("intel", await mistake("intel", "root-reserved"), {
    ...{ worlds: 20, shrinks: true },
  });
  for (const { signature } of ignored.found) expect(signature.text).toMatch(/ mismatch: /);
});

it("says where two devices differ, and which of them is right", async () => {
  const mistaken = new LocalDevice("amd", await mistake("amd", "suppress-all"));
  const options = { seed: 3, worlds: 40, goesOn: () => true, onFinding: () => {} };
  const { found } = await compareDevices(new LocalDevice("amd", NO_MISTAKES), mistaken, options);
  expect(found.length).toBeGreaterThan(0);
  expect(found[0]).toMatchObject({ right: "first", pair: expect.stringContaining("recorded by the second") });
  expect(found[0]!.records[0].length).toBeLessThanOrEqual(6);
});

/** A device that asserts where a request meets a device table entry of six levels. */
class Asserting extends LocalDevice {
  override async run(records: readonly WorldRecord[]) {
    const walks = new RequestWalks((line, record) => {
      for (const { layout, bytes, littleEndian } of walks.entriesOf(record)) {
        if (layout.name !== "Device table entry") continue;
        const mode = layout.extract("MODE", new DataView(bytes.buffer), 0, littleEndian);
        if (Number(mode) === 6) throw new DeviceFailure("died", `0x7f00${line}: assertion failed`);
      }
    });
    walks.run(records);
    return super.run(records);
  }
}

/** Nothing is known, all is made small, and nobody is told. */
const OPTIONS: CampaignOptions = {
  seed: 3,
  worlds: 60,
  goesOn: () => true,
  isKnown: () => false,
  shrinks: true,
  onFinding: () => {},
  onFailure: () => {},
};

describe("a device that dies of a field's value", () => {
  it("is a finding of few lines with that field; the other worlds are asked all the same", async () => {
    const kept: number[] = [];
    const onFailure: CampaignOptions["onFailure"] = (_failure, { number }) => void kept.push(number);
    const report = await fuzz(new Asserting("amd", NO_MISTAKES), { ...OPTIONS, onFailure });
    const [first, ...others] = report.findings;
    expect(others).toEqual([]);
    expect(first!.signature).toMatchObject({
      where: "Device table entry.MODE",
      text: expect.stringMatching(/^Device table entry\.MODE: died: #: assertion failed$/),
    });
    expect(first!.records.length).toBeLessThanOrEqual(4);
    expect(kept).toEqual([first!.world]);
    expect(report.worlds + report.failures).toBe(60);
    expect(report.failures).toBe(first!.requests);
    expect(report.failures).toBeGreaterThan(1);
    expect(report.gaveUp).toBeNull();
  });

  it("may be known", async () => {
    const isKnown = (signature: string) => signature.includes("assertion failed");
    const onFailure: CampaignOptions["onFailure"] = () => expect.unreachable("it is known");
    const report = await fuzz(new Asserting("amd", NO_MISTAKES), { ...OPTIONS, isKnown, onFailure });
    expect(report.findings).toMatchObject([{ known: true, runs: 0 }]);
  });

  it("differs from one that lives", async () => {
    const [one, other] = [new Asserting("amd", NO_MISTAKES), new LocalDevice("amd", NO_MISTAKES)];
    const { found, worlds } = await compareDevices(one, other, { ...OPTIONS, onFinding: () => {} });
    expect(worlds).toBe(60);
    expect(found).toMatchObject([{ right: "second", pair: expect.stringMatching(/^died: .* → an answer$/) }]);
  });
});

it("a device that fails at every world is given up, with what was found until then", async () => {
  class Dead extends LocalDevice {
    override async run(): Promise<never> {
      throw new DeviceFailure("died", "no tables");
    }
  }
  const dead = await fuzz(new Dead("amd", NO_MISTAKES), OPTIONS);
  expect(dead).toMatchObject({ failures: 5, worlds: 0, gaveUp: { message: "no tables" } });
});
