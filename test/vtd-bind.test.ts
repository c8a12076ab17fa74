import { describe, expect, it } from "vitest";
import { TRANSLATED } from "../walkers/request.ts";
import type { VtdBinding } from "../walkers/vtd/binding.ts";
import { VtdDevice } from "../walkers/vtd/context.ts";
import type { PasidTableConfig } from "../walkers/walker.ts";
import {
  chain,
  DIRECTORY,
  FIRST,
  FS,
  IOVA,
  LEAF,
  NEST,
  OPEN,
  PASIDS,
  PASS,
  pasidEntry,
  SECOND,
  SS,
  scalableMachine,
  VtdMachine,
} from "./support/vtd-machine.ts";

function boundMachine(entry: bigint[]) {
  return new VtdMachine()
    .put(DIRECTORY, PASIDS | 1n)
    .put(PASIDS, ...entry)
    .put(PASIDS + 0xc0n, ...entry);
}

describe("a bound scalable-mode PASID table", () => {
  it("is walked from its directory, whatever the registers say", () => {
    const m = boundMachine(pasidEntry(FIRST)).set({ rtaddr: 0xc00n, gsts: 0n });
    chain(m, FS, 4, IOVA, OPEN, LEAF);
    const binding = m.bind();
    expect(m.ask(IOVA, { binding, pasid: 3, access: "w" })).toMatchObject({
      result: "ok",
      model: "intel",
      pa: 0x55_5890n,
      domain: 9,
      reads: 6,
    });
    expect(m.ask(IOVA, { binding, pasid: 4 })).toMatchObject({ name: "SPT.2", entry: PASIDS + 0x100n });
    expect(m.ask(IOVA, { binding, pasid: 64 })).toMatchObject({ name: "SPD.2", entry: DIRECTORY + 8n });
  });

  it("is another device than the one that the registers lead to, however often either has been asked", () => {
    const m = scalableMachine(pasidEntry(PASS));
    const [directory, pasids] = [0x40_0000n, 0x40_1000n];
    m.put(directory, pasids | 1n).put(pasids + 64n, ...pasidEntry(FIRST));
    chain(m, FS, 4, IOVA, OPEN, LEAF);
    const binding = m.bind({ base: directory });
    const asked = [{}, {}, {}, { binding }, { binding }, { binding }, {}, { binding }];
    expect(asked.map((by) => m.ask(IOVA, { ...by, pasid: 1 }).pa)).toEqual(
      asked.map((by) => ("binding" in by ? 0x55_5890n : IOVA)),
    );
  });

  it("lets pass what has been translated, with a PASID or without: its host has seen to ATS", () => {
    const m = boundMachine(pasidEntry(FIRST));
    const binding = m.bind();
    for (const asked of [{}, { pasid: 3 }])
      expect(m.ask(IOVA, { binding, at: TRANSLATED, ...asked })).toMatchObject({ result: "ok", pa: IOVA });
  });

  it("uses rid_pasid for requests without PASID, and lets requests with PASID use it too", () => {
    const m = boundMachine(pasidEntry(PASS));
    expect(m.ask(IOVA, { binding: m.bind() })).toMatchObject({ result: "ok" });
    m.put(PASIDS, 0n);
    expect(m.ask(IOVA, { binding: m.bind() })).toMatchObject({ name: "SPT.2", entry: PASIDS });
    const binding = m.bind({ intel: { rid_pasid: 3 } });
    expect(m.ask(IOVA, { binding })).toMatchObject({ result: "ok" });
    expect(m.ask(IOVA, { binding, pasid: 3 })).toMatchObject({ result: "ok" });
  });

  it.each([0, 6, 8, 13, 19])("pasid_bits %i bounds the PASID", (pasidBits) => {
    const m = boundMachine(pasidEntry(PASS));
    m.memory.ram(DIRECTORY, 0x2_0000n);
    const binding = m.bind({ pasidBits });
    const limit = 2 ** pasidBits;
    expect(m.ask(IOVA, { binding, pasid: limit })).toMatchObject({
      name: "SCT.7",
      reason: "PASID_INVALID",
      reads: 0,
    });
    expect(m.ask(IOVA, { binding, pasid: limit - 1 }).name).not.toBe("SCT.7");
  });

  it("takes all 20 bits where nothing bounds them", () => {
    const m = boundMachine(pasidEntry(PASS));
    m.memory.ram(DIRECTORY, 0x2_0000n);
    expect(m.ask(IOVA, { binding: m.bind(), pasid: 0xf_ffff })).toMatchObject({
      name: "SPD.2",
      entry: DIRECTORY + 0x1_fff8n,
    });
  });

  it("the interrupt address range is what it is for every device", () => {
    const m = boundMachine(pasidEntry(PASS));
    const binding = m.bind();
    expect(m.ask(0xfee0_0000n, { binding, access: "w" })).toMatchObject({ result: "msi" });
    expect(m.ask(0xfee0_0000n, { binding })).toMatchObject({ name: "29h" });
    expect(m.ask(0xfee0_0000n, { binding, pasid: 3, access: "w" })).toMatchObject({ name: "SGN.8.1" });
  });

  it("its second stage and nested entries use their own tables", () => {
    const m = boundMachine(pasidEntry(SECOND));
    chain(m, SS, 4, IOVA, 3n, 0x66_6003n);
    expect(m.ask(IOVA, { binding: m.bind() })).toMatchObject({ result: "ok", pa: 0x66_6890n });
    m.put(PASIDS, ...pasidEntry(NEST))
      .put(SS, (SS + 0x1000n) | 3n)
      .put(SS + 0x1000n, 0x83n);
    chain(m, FS, 4, IOVA, OPEN, LEAF);
    m.engine.drop();
    expect(m.ask(IOVA, { binding: m.bind() })).toMatchObject({ result: "ok", pa: 0x55_5890n });
  });
});

describe("a bound table over a second stage of its own", () => {
  const stage2 = { format: "vtd-ss", rootHi: 0, rootLo: Number(SS), levels: 3, domain: 42 };

  /** The second stage moves the first GiB up by 1 GiB. */
  function overMachine(entry: bigint[]) {
    const m = new VtdMachine().put(SS, 0x4000_0083n, 0x8000_0083n);
    const moved = 0x4000_0000n;
    m.put(moved + DIRECTORY, PASIDS | 1n).put(moved + PASIDS, ...entry);
    let table = FS;
    for (let level = 4; level > 1; level--) {
      m.put(moved + table + (((IOVA >> BigInt(3 + 9 * level)) & 0x1ffn) << 3n), (table + 0x1000n) | OPEN);
      table += 0x1000n;
    }
    return m.put(moved + table + (((IOVA >> 12n) & 0x1ffn) << 3n), 0x4000_5067n);
  }

  it("goes through it with everything: directory, entry, first stage, page", () => {
    const m = overMachine(pasidEntry(FIRST));
    expect(m.ask(IOVA, { binding: m.bind({ stage2 }) })).toMatchObject({
      result: "ok",
      pa: 0x8000_5890n,
      page: 4096,
      domain: 9,
      reads: 2 + 2 + 4 * 2 + 1,
    });
    m.put(SS, 0n);
    expect(m.ask(IOVA, { binding: m.bind({ stage2 }) })).toMatchObject({
      name: "SSS.2",
      reason: "PASID_FETCH",
      stage: 2,
      faultAddr: DIRECTORY,
    });
  });

  it("pass-through comes out at the second stage", () => {
    const m = overMachine(pasidEntry(PASS));
    expect(m.ask(0x1234n, { binding: m.bind({ stage2 }) })).toMatchObject({ result: "ok", pa: 0x4000_1234n });
  });

  it.each([SECOND, NEST])("an entry that wants a second stage itself (%s) is refused", (type) => {
    const m = overMachine(pasidEntry(type));
    expect(m.ask(IOVA, { binding: m.bind({ stage2 }) })).toMatchObject({ name: "SPT.4.2" });
  });

  it("an extended-mode table too; requests without PASID use the second stage alone", () => {
    const m = overMachine([]).put(0x4000_0000n + PASIDS + 40n, FS | 1n);
    const binding = m.bind({ model: "intel-ecs", base: PASIDS, stage2 });
    expect(m.ask(IOVA, { binding, pasid: 5 })).toMatchObject({
      pa: 0x8000_5890n,
      model: "intel-ecs",
      domain: 42,
    });
    expect(m.ask(0x1234n, { binding })).toMatchObject({ pa: 0x4000_1234n, domain: 42, perm: "rw-" });
    expect(m.ask(1n << 40n, { binding })).toMatchObject({ name: "LGN.1.1" });
  });
});

describe("a bound extended-mode PASID table", () => {
  it("is a flat table of 2^pasid_bits entries", () => {
    const m = new VtdMachine().put(PASIDS + 8n * 0x1234n, FS | 0x801n);
    chain(m, FS, 4, IOVA, OPEN, LEAF);
    const binding = m.bind({ model: "intel-ecs", base: PASIDS, pasidBits: 13 });
    expect(m.ask(IOVA, { binding, pasid: 0x1234 })).toMatchObject({
      result: "ok",
      model: "intel-ecs",
      pa: 0x55_5890n,
      perm: "rwx",
      reads: 5,
    });
    expect(m.ask(IOVA, { binding, pasid: 0x1234, priv: true, access: "x" })).toMatchObject({ result: "ok" });
    expect(m.ask(IOVA, { binding, pasid: 0x1235 })).toMatchObject({ name: "SPT.2" });
    expect(m.ask(IOVA, { binding, pasid: 0x2000 })).toMatchObject({ name: "SCT.7" });
    expect(m.ask(IOVA, { binding })).toMatchObject({ result: "ok", pa: IOVA, passthrough: true });
  });
});

it.each(["intel", "intel-ecs"] as const)("a context that is used again keeps nothing: %s", (model) => {
  const binding = new VtdMachine().bind({ model }) as VtdBinding;
  const fresh = new VtdDevice();
  binding.fill(fresh);
  const used = new VtdDevice();
  for (const field of Object.keys(used)) Object.assign(used, { [field]: 99 });
  binding.fill(used);
  // Without an entry, where it stands and what it says mean nothing.
  const noEntry = { entryOffset: 0, entryHi: 0, entryLo: 0 };
  expect({ ...used, ...noEntry }).toEqual({ ...fresh, ...noEntry });
});

describe("bindings that cannot be", () => {
  const config: PasidTableConfig = { model: "intel", baseHi: 0, baseLo: 0x1000 };
  it.each([
    ["model", { model: "amd" }, "not amd"],
    ["alignment", { baseLo: 0x1040 }, "aligned to 4 KiB"],
    ["pasid_bits", { pasidBits: 21 }, "must be 0 to 20, not 21"],
    ["rid_pasid", { pasidBits: 4, intel: { rid_pasid: 16 } }, "rid_pasid 16 is beyond the 4 bits"],
    ["format", { stage2: { format: "amdv1", rootHi: 0, rootLo: 0 } }, "must be vtd-ss, not amdv1"],
    ["root", { stage2: { format: "vtd-ss", rootHi: 0, rootLo: 8 } }, "aligned to 4 KiB"],
    ["levels", { stage2: { format: "vtd-ss", rootHi: 0, rootLo: 0, levels: 6 } }, "3 to 5 levels, not 6"],
  ])("%s", (_what, change, sentence) => {
    expect(new VtdMachine().walker.bind({ ...config, ...change } as PasidTableConfig)).toContain(sentence);
  });
});
