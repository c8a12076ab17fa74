/** Requests of devices with ATS: those that ask for a translation, and those that have been translated. */
import { describe, expect, it } from "vitest";
import { RecordFilter } from "../pipeline/filter/record-filter.ts";
import { RecordPicker } from "../pipeline/filter/record-picker.ts";
import { explainRecord, replay } from "../pipeline/library/index.ts";
import { Radix, Scenario, VTD_SECOND, X86_64 } from "./support/cache-scenario.ts";
import { compare } from "./support/diff-streams.ts";
import { cdWords, steWords } from "./support/smmuv3-machine.ts";

const A = 0x1000_0000n;
const B = 0x1000_1000n;
const PAGE = 0x8000_0000n;

interface Asked {
  readonly addr?: bigint;
  readonly access?: "r" | "w";
  readonly pasid?: number;
  readonly priv?: boolean;
}

/** Asks one request of each address type. @returns what they come to, by address type */
async function answers(s: Scenario, dev: string, asked: Asked = {}) {
  const { addr = A, ...rest } = asked;
  const types = ["untranslated", "translation-request", "translated"] as const;
  for (const at of types)
    s.add({ type: "dma", iommu: "unit", dev, addr: `0x${addr.toString(16)}`, ...rest, at });
  const outcomes = (await s.run()).of("outcome");
  return Object.fromEntries(types.map((at, i) => [at, outcomes[i]!]));
}

const code = (n: number) => `0x${n.toString(16)}`;
const PASSES = { result: "ok", pa: "0x10000000", passthrough: true };

describe("SMMUv3: IHI 0070, 3.9.1", () => {
  const CR0 = { SMMUEN: 1n, EVENTQEN: 4n, ATSCHK: 16n };
  /** A nested stream: stage 1 leads A to IPA B, and stage 2 that to a page; B itself to another one. */
  function smmu({ cr0 = 0x15n, cr2 = 8n, eats = 1, config = 7, ats = true, idr3 = 0n, dss = -1 } = {}) {
    const s = new Scenario("arm-smmuv3", {
      idr0: ats ? 0x0d4c_141bn : 0x0d4c_101bn,
      idr3,
      cr0,
      cr2,
      strtab_base: 0x1_0000n,
      strtab_base_cfg: 8n,
    });
    const tables = (leaf: bigint, levels: number) =>
      new Radix(s, {
        levels,
        bits: 9,
        pageBits: 12,
        table: (next) => next | 3n,
        leaf: (pa) => pa | leaf,
      });
    const [first, second] = [tables(0xc43n, 4), tables(0x4c3n, 3)];
    first.map(A, B);
    second.map(B, PAGE).map(A, PAGE + 0x5000n);
    const cd = s.allocate(64n);
    // The stage 1 tables and the CD lie where stage 2 leads one to one.
    for (let at = 0x100_0000n; at < 0x102_0000n; at += 0x1000n) second.map(at, at);
    s.put(
      cd,
      ...cdWords({ V: 1, AA64: 1, A: 1, R: 1, IPS: 5, EPD1: 1, T0SZ: 16, ASID: 5, TTB0: first.root }),
    );
    const stage2 = {
      S2AA64: 1,
      S2T0SZ: 25,
      S2SL0: 1,
      S2TG: 0,
      S2PS: 5,
      S2TTB: second.root,
      S2R: 1,
      S2VMID: 3,
    };
    const substreams = dss < 0 ? {} : { S1CDMax: 1, S1DSS: dss };
    const stage1 = { S1ContextPtr: cd, EATS: eats, ...substreams };
    s.put(0x1_0040n, ...steWords({ V: 1, Config: config, ...stage1, ...stage2 }));
    return s;
  }

  it("full ATS: a translation request is translated, what was translated passes", async () => {
    const found = await answers(smmu(), "sid:1");
    expect(found.untranslated).toMatchObject({ result: "ok", pa: "0x80000000" });
    expect(found["translation-request"]).toMatchObject({
      result: "ok",
      pa: "0x80000000",
      at: "translation-request",
    });
    expect(found.translated).toMatchObject(PASSES);
  });

  it("EATS=0 or a bypassing stream: F_BAD_ATS_TREQ, and F_TRANSL_FORBIDDEN with ATSCHK", async () => {
    for (const s of [smmu({ eats: 0 }), smmu({ config: 4 })]) {
      const found = await answers(s, "sid:1");
      expect(found["translation-request"]).toMatchObject({ code: code(5), name: "F_BAD_ATS_TREQ" });
      expect(found.translated).toMatchObject({ code: code(7), name: "F_TRANSL_FORBIDDEN" });
      expect(found.translated).not.toHaveProperty("recorded");
    }
  });

  it("without ATSCHK, what was translated passes whatever the STE says", async () => {
    for (const s of [smmu({ eats: 0, cr0: CR0.SMMUEN | CR0.EVENTQEN }), smmu({ eats: 2, cr0: 5n })]) {
      const found = await answers(s, "sid:1");
      expect(found["translation-request"]).toMatchObject({ code: code(5) });
      expect(found.translated).toMatchObject(PASSES);
    }
    // There is no STE at all behind this one.
    const none = await answers(smmu({ cr0: 5n }), "sid:0x100");
    expect(none.translated).toMatchObject(PASSES);
  });

  it("an SMMU that is off refuses both, and passes all else", async () => {
    const found = await answers(smmu({ cr0: 0x14n }), "sid:1");
    expect(found.untranslated).toMatchObject(PASSES);
    expect(found["translation-request"]).toMatchObject({ code: code(5) });
    expect(found.translated).toMatchObject({ code: code(7) });
  });

  it("split-stage ATS: the completion gives the IPA, which stage 2 translates", async () => {
    const found = await answers(smmu({ eats: 2 }), "sid:1");
    expect(found["translation-request"]).toMatchObject({ result: "ok", pa: "0x10001000" });
    const ipa = await answers(smmu({ eats: 2 }), "sid:1", { addr: B });
    expect(ipa.translated).toMatchObject({ result: "ok", pa: "0x80000000", page: 4096, domain: 3 });
    const gone = await answers(smmu({ eats: 2 }), "sid:1", { addr: 0x2000_0000n });
    expect(gone.translated).toMatchObject({ result: "fault", code: code(0x10), stage: 2 });
    expect(gone.translated).not.toHaveProperty("recorded");
  });

  it("split-stage ATS that skips stage 1: the completion gives the address back (13.6.5)", async () => {
    const found = await answers(smmu({ eats: 2, dss: 1 }), "sid:1");
    expect(found["translation-request"]).toMatchObject({ result: "ok", pa: "0x10000000" });
    expect(found.untranslated).toMatchObject({ result: "ok", pa: "0x80005000" });
    expect(found.translated).toMatchObject({ result: "ok", pa: "0x80005000" });
  });

  it("IDR3.PASIDTT: what was translated may be of a substream that is not to be used (3.9.1.3)", async () => {
    for (const [idr3, result] of [
      [0n, { result: "ok" }],
      [1n << 16n, { name: "F_STREAM_DISABLED" }],
    ] as const) {
      const found = await answers(smmu({ idr3, dss: 0 }), "sid:1");
      expect(found.translated).toMatchObject(result);
    }
    const wide = await answers(smmu({ idr3: 1n << 16n, dss: 2 }), "sid:1", { pasid: 2 });
    expect(wide.translated).toMatchObject({ name: "C_BAD_SUBSTREAMID" });
  });

  it("faults of translation are told in the completion alone; configuration errors by REC_CFG_ATS", async () => {
    const unmapped = await answers(smmu(), "sid:1", { addr: 0x2000_0000n });
    expect(unmapped.untranslated).not.toHaveProperty("recorded");
    expect(unmapped["translation-request"]).toMatchObject({ code: code(0x10), recorded: false });
    for (const [cr2, recorded] of [
      [8n, undefined],
      [0n, false],
    ] as const) {
      const bad = await answers(smmu({ cr2 }), "sid:2");
      expect(bad.untranslated).not.toHaveProperty("recorded");
      expect(bad["translation-request"]).toMatchObject({ name: "C_BAD_STE" });
      expect(bad["translation-request"]!.recorded).toBe(recorded);
      expect(bad.translated!.recorded).toBe(recorded);
    }
  });

  it("STE.Config 0 refuses in silence; IDR0.ATS=0 knows no ATS", async () => {
    const silent = await answers(smmu({ config: 0 }), "sid:1");
    for (const at of ["translation-request", "translated"])
      expect(silent[at]).toMatchObject({ result: "fault", recorded: false });
    const none = await answers(smmu({ ats: false }), "sid:1");
    expect(none.translated).toMatchObject({ code: code(7) });
  });
});

describe("RISC-V: Process to translate an IOVA, steps 2, 7 to 9", () => {
  /** tc in a base-format device context: V, EN_ATS 1, T2GPA 3. Sv39x4 second stage that leads A to a page. */
  function riscv({ tc = 3n, ddtpMode = 2n, leaf = 0xdfn } = {}) {
    const s = new Scenario("riscv", {
      capabilities: 0x1f2_c7fe_4e10n & ~(1n << 22n),
      fctl: 0n,
      ddtp: ((0x10_0000n >> 12n) << 10n) | ddtpMode,
    });
    const second = new Radix(s, {
      levels: 3,
      bits: 9,
      pageBits: 12,
      topBits: 2,
      table: (next) => ((next >> 12n) << 10n) | 1n,
      leaf: (pa) => ((pa >> 12n) << 10n) | leaf,
    });
    second.map(A, PAGE);
    s.put(0x10_0020n, tc, (8n << 60n) | (7n << 44n) | (second.root >> 12n), 0n, 0n);
    return s;
  }

  it("EN_ATS=0 or a bare IOMMU: cause 260", async () => {
    for (const s of [riscv({ tc: 1n }), riscv({ ddtpMode: 1n })]) {
      const found = await answers(s, "did:1");
      expect(found.untranslated).toMatchObject({ result: "ok" });
      for (const at of ["translation-request", "translated"])
        expect(found[at]).toMatchObject({ result: "fault", code: code(260) });
      expect(found["translation-request"]).not.toHaveProperty("recorded");
    }
  });

  it("EN_ATS: what was translated is done; with T2GPA it has a guest physical address", async () => {
    const done = await answers(riscv(), "did:1");
    expect(done["translation-request"]).toMatchObject({ result: "ok", pa: "0x80000000", perm: "rwx" });
    expect(done.translated).toMatchObject(PASSES);
    const gpa = await answers(riscv({ tc: 11n }), "did:1");
    expect(gpa.translated).toMatchObject({ result: "ok", pa: "0x80000000", domain: 7 });
    // The device is told the address that it is to come with, and the rights of both stages.
    expect(gpa["translation-request"]).toMatchObject({ result: "ok", pa: "0x10000000", perm: "rwx" });
    const unmapped = await answers(riscv({ tc: 11n }), "did:1", { addr: B, access: "w" });
    expect(unmapped.translated).toMatchObject({ code: code(23), stage: 2 });
    expect(unmapped["translation-request"]).toMatchObject({ stage: 2, recorded: false });
  });

  it("a translation request gets what rights there are; none is refused without a record", async () => {
    const readOnly = await answers(riscv({ leaf: 0xd3n }), "did:1", { access: "w" });
    expect(readOnly.untranslated).toMatchObject({ code: code(23) });
    expect(readOnly["translation-request"]).toMatchObject({ result: "ok", perm: "r--" });
    const executeOnly = await answers(riscv({ leaf: 0xd9n }), "did:1", { access: "w" });
    expect(executeOnly["translation-request"]).toMatchObject({ code: code(21), recorded: false });
  });
});

describe("VT-d: 7.1.3, LCT.5, SCT.5, SCT.10, SGN.4.1, SGN.8.3", () => {
  const ECAP = 0xf0_0f4an;
  /** TT in bits 3:2 of a legacy context entry (9.3). */
  function legacy(tt: bigint) {
    const s = new Scenario("intel", { rtaddr: 0x10_0000n, ecap: ECAP | 4n });
    const table = new Radix(s, VTD_SECOND);
    table.map(A, PAGE);
    s.put(0x10_0000n, 0x10_1001n).put(0x10_1180n, table.root | (tt << 2n) | 1n, (9n << 8n) | 2n);
    return s;
  }

  it("legacy mode: only TT=01b lets them in", async () => {
    const on = await answers(legacy(1n), "00:03.0");
    expect(on["translation-request"]).toMatchObject({ result: "ok", pa: "0x80000000", domain: 9 });
    expect(on.translated).toMatchObject(PASSES);
    for (const tt of [0n, 2n]) {
      const off = await answers(legacy(tt), "00:03.0");
      for (const at of ["translation-request", "translated"])
        expect(off[at]).toMatchObject({ code: code(0xd), name: "LCT.5", entry_addr: "0x101180" });
    }
  });

  it("a page that is not mapped is told in the completion alone", async () => {
    const found = await answers(legacy(1n), "00:03.0", { addr: B });
    expect(found.untranslated).toMatchObject({ code: code(6) });
    expect(found.untranslated).not.toHaveProperty("recorded");
    expect(found["translation-request"]).toMatchObject({ code: code(6), recorded: false });
  });

  // Table 30: what its column for translation requests calls Success is no fault (7.1.2), whatever the reason is.
  it.each([
    { name: "SPT.2", recorded: false, entry: [0x40n], pte: 0n },
    { name: "SPT.3", recorded: undefined, entry: [0x41n, 1n << 16n], pte: 0n },
    { name: "SFS.3", recorded: false, entry: [0x41n], pte: (1n << 51n) | 0x67n },
    { name: "SGN.1", recorded: false, entry: [0x41n], pte: 0n, addr: 1n << 50n },
    { name: "SGN.5", recorded: false, entry: [0x89n], pte: 0n, addr: 1n << 50n },
    { name: "SSS.3", recorded: undefined, entry: [0x89n], pte: (1n << 51n) | 3n },
    { name: "SGN.4.2", recorded: false, entry: [0x101n], pte: 0n, addr: 1n << 60n },
  ])("$name, told by the completion alone: $recorded", async ({ name, recorded, entry, pte, addr = A }) => {
    const first = (entry[0]! & 0x40n) !== 0n;
    const s = new Scenario("intel", { rtaddr: 0x10_0400n }, { output_bits: 46 });
    const table = new Radix(s, first ? X86_64 : VTD_SECOND);
    s.put(table.entry(A), pte);
    s.put(0x10_0000n, 0x10_1001n).put(0x10_1300n, 0x10_2005n, 0n, 0n, 0n).put(0x10_2000n, 0x10_3001n);
    const words = first
      ? [entry[0]!, entry[1] ?? 0n, table.root]
      : [entry[0]! | table.root, entry[1] ?? 0n, 0n];
    s.put(0x10_3000n, ...words, 0n, 0n, 0n, 0n, 0n);
    const found = await answers(s, "00:03.0", { addr });
    expect(found.untranslated).toMatchObject({ name });
    expect(found.untranslated!.recorded).toBeUndefined();
    expect(found["translation-request"]).toMatchObject({ name });
    expect(found["translation-request"]!.recorded).toBe(recorded);
  });

  it("what was translated is no interrupt, and lies within the host address width", async () => {
    const found = await answers(legacy(1n), "00:03.0", { addr: 0xfee0_0000n, access: "w" });
    expect(found.untranslated).toMatchObject({ result: "msi" });
    expect(found.translated).toMatchObject({ code: code(0xe) });
    const wide = await answers(legacy(1n), "00:03.0", { addr: 1n << 60n });
    expect(wide.translated).toMatchObject({ code: code(4), name: "LGN.1.2" });
  });

  /** DTE is bit 2 of a scalable-mode context entry, PASIDE bit 3, EPTR bit 6 (9.4). */
  function scalable(flags: bigint) {
    const s = new Scenario("intel", { rtaddr: 0x10_0400n });
    const table = new Radix(s, X86_64);
    table.map(A, PAGE);
    const [directory, entries] = [s.allocate(), s.allocate()];
    s.put(0x10_0000n, 0x10_1001n).put(0x10_1300n, directory | flags | 1n, 0n);
    s.put(directory, entries | 1n).put(entries, 0x41n, 1n, table.root | 1n);
    s.put(entries + 64n, 0x41n, 1n, table.root | 1n);
    return s;
  }

  it("scalable mode: DTE, and EPTR for a PASID", async () => {
    expect((await answers(scalable(4n), "00:03.0")).translated).toMatchObject(PASSES);
    const off = await answers(scalable(8n), "00:03.0", { pasid: 1 });
    for (const at of ["translation-request", "translated"])
      expect(off[at]).toMatchObject({ code: code(0x44) });
    const pasid = await answers(scalable(12n), "00:03.0", { pasid: 1 });
    expect(pasid["translation-request"]).toMatchObject({ result: "ok", pa: "0x80000000" });
    expect(pasid.translated).toMatchObject({ code: code(0x49), name: "SCT.10" });
    expect((await answers(scalable(0x4cn), "00:03.0", { pasid: 1 })).translated).toMatchObject(PASSES);
  });
});

describe("AMD-Vi: 48882, 2.2.2 and 2.5.9", () => {
  const RIGHTS = 3n << 61n;
  /** I is bit 96 of a device table entry. */
  function amd(valid: bigint, iotlb: bigint) {
    const s = new Scenario("amd", { dev_tab_base: 0x10_0001n });
    const table = new Radix(s, {
      levels: 4,
      bits: 9,
      pageBits: 12,
      table: (next, level) => next | (BigInt(level - 1) << 9n) | 1n | RIGHTS,
      leaf: (pa) => pa | 1n | RIGHTS,
    });
    table.map(A, PAGE);
    s.put(0x10_0020n, (valid * 3n) | (4n << 9n) | table.root | RIGHTS, 7n | (iotlb << 32n), 0n, 0n);
    return s;
  }

  it("V and I let them in", async () => {
    const on = await answers(amd(1n, 1n), "devid:1");
    expect(on["translation-request"]).toMatchObject({ result: "ok", pa: "0x80000000" });
    expect(on.translated).toMatchObject(PASSES);
    for (const s of [amd(1n, 0n), amd(0n, 1n)]) {
      const off = await answers(s, "devid:1");
      expect(off.translated).toMatchObject({ name: "INVALID_DEVICE_REQUEST" });
      expect(off.translated).not.toHaveProperty("recorded");
      expect(off["translation-request"]).toMatchObject({ result: "fault", recorded: false });
    }
  });
});

describe("the answer to a request of one address type", () => {
  it("is none to those of another, however often they come", async () => {
    const s = new Scenario("intel", { rtaddr: 0x10_0000n });
    const table = new Radix(s, VTD_SECOND);
    table.map(A, PAGE);
    s.put(0x10_0000n, 0x10_1001n).put(0x10_1180n, table.root | 5n, (9n << 8n) | 2n);
    const expected: string[] = [];
    for (let i = 0; i < 8; i++) {
      const at = i % 2 === 0 ? "untranslated" : "translated";
      const more = i < 2 ? {} : { observed: { result: "ok", pa: i % 2 === 0 ? "0x80000000" : "0x10000000" } };
      s.add({
        type: "dma",
        iommu: "unit",
        dev: "00:03.0",
        addr: "0x10000000",
        ...(i === 4 ? {} : { at }),
        ...more,
      });
      expected.push(i % 2 === 0 ? "0x80000000" : "0x10000000");
    }
    const run = await s.run();
    expect(run.of("outcome").map(({ pa }) => pa)).toEqual(expected);
    expect(run.summary.verdicts).toEqual({ match: 6 });
  });

  it("may come from an old context, which owes an invalidation", async () => {
    const s = new Scenario("intel", { rtaddr: 0x10_0000n });
    const table = new Radix(s, VTD_SECOND);
    const context = (tt: bigint) => s.put(0x10_1180n, table.root | (tt << 2n) | 1n, (9n << 8n) | 2n);
    const ask = (observed: object) =>
      s.add({ type: "dma", iommu: "unit", dev: "00:03.0", addr: "0x10000000", at: "translated", observed });
    s.put(0x10_0000n, 0x10_1001n);
    context(0n);
    ask({ result: "fault", code: "0xd" });
    context(1n);
    ask({ result: "fault", code: "0xd" });
    ask({ result: "ok", pa: "0x10000000" });
    const run = await s.run();
    expect(run.of("outcome").map(({ verdict }) => verdict)).toEqual(["match", "stale", "match"]);
    expect(run.rules()).toEqual(["missing-invalidation"]);
  });
});

describe("requests of one address are told apart by their type", () => {
  const dma = (at: string | undefined, pa: string) =>
    JSON.stringify({ type: "dma", dev: "00:03.0", addr: "0x1000", at, observed: { result: "ok", pa } });
  const outcome = (at: string | undefined, pa: string) =>
    JSON.stringify({ type: "outcome", line: 1, dev: "00:03.0", addr: "0x1000", at, result: "ok", pa });
  const text = (...lines: readonly string[]) => lines.map((line) => `${line}\n`).join("");

  it.each([
    ["traces", dma],
    ["outcomes", outcome],
  ])("diff of %s: translations that one of them has asked for in addition", async (_what, record) => {
    const plain = [record(undefined, "0x5000"), record("untranslated", "0x5000")];
    const asked = record("translation-request", "0x7000");
    const { records, result } = await compare(text(...plain), text(plain[0]!, asked, plain[1]!));
    expect(result.counts.same).toBe(2);
    expect(records).toMatchObject([{ class: "only-in-b", at: "translation-request", line_b: 2 }]);
    const translated = await compare(
      text(record("translated", "0x1000")),
      text(record("translated", "0x2000")),
    );
    expect(translated.records).toMatchObject([{ class: "address", at: "translated" }]);
  });

  it("filters: requests, what is said of them, and records of a log", async () => {
    const s = new Scenario("intel", { rtaddr: 0x10_0000n });
    const table = new Radix(s, VTD_SECOND);
    table.map(A, PAGE);
    s.put(0x10_0000n, 0x10_1001n).put(0x10_1180n, table.root | 5n, (9n << 8n) | 2n);
    const ask = (fields: object) =>
      s.add({ type: "dma", iommu: "unit", dev: "00:03.0", addr: "0x10000000", ...fields });
    ask({ at: "translated" });
    ask({ at: "translation-request" });
    ask({});
    table.map(A, B);
    ask({ at: "translation-request", observed: { result: "ok", pa: "0x80000000" } });
    const input = Buffer.from(text(...s.lines));
    const left = async (at: string) => {
      const found: string[] = [];
      for await (const r of replay(input, { filter: { addressType: at } })) {
        if (r.type === "outcome") found.push(r.at ?? "");
        if (r.type === "finding") found.push(r.rule);
      }
      return found;
    };
    const asked = "translation-request";
    expect(await left("translated")).toEqual(["translated"]);
    expect(await left("untranslated")).toEqual([""]);
    expect((await left(asked)).sort()).toEqual([
      "missing-device-tlb-invalidation",
      "missing-invalidation",
      asked,
      asked,
    ]);
    await expect(left("translate")).rejects.toThrow(
      /--address-type: expected untranslated, .* found "translate"/,
    );
    const picker = new RecordPicker(new RecordFilter({ addressType: "untranslated" }));
    const wants = (record: object, type: string) => picker.wants(1, type, JSON.stringify(record));
    expect(wants({ type: "dma", dev: "sid:1", addr: "0x0" }, "dma")).toBe(true);
    expect(wants({ type: "dma", dev: "sid:1", addr: "0x0", at: asked }, "dma")).toBe(false);
    expect(wants({ type: "fault", dev: "sid:1" }, "fault")).toBe(false);
  });
});

describe("likely causes go by the address type that a fault record has", () => {
  const causes = (model: "riscv", ...words: bigint[]) =>
    explainRecord(model, words).faults.flatMap((fault) => fault.causes);
  /** Cause 21 or 260; TTYP at bits 39:34. */
  const record = (cause: bigint, type: bigint) => causes("riscv", cause | (type << 34n), 0n, 0x1000n, 0n);

  it("RISC-V: TTYP", () => {
    expect(record(21n, 6n)).toContainEqual(expect.stringContaining("the device has kept a translation"));
    expect(record(21n, 2n)).not.toContainEqual(expect.stringContaining("translated request"));
    expect(record(260n, 8n)).toContainEqual(expect.stringContaining("tc.EN_ATS is 0"));
    expect(record(260n, 3n)).not.toContainEqual(expect.stringContaining("tc.EN_ATS"));
  });
});
