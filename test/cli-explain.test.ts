import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Ajv2020 } from "ajv/dist/2020.js";
import { describe, expect, test } from "vitest";
import { replay } from "../pipeline/library/index.ts";
import { AMD_VI_FAULTS } from "../walkers/amd-vi/index.ts";
import { FAULT_REASONS } from "../walkers/fault.ts";
import { RISCV_FAULTS } from "../walkers/riscv/index.ts";
import { SMMUV3_FAULTS } from "../walkers/smmuv3/index.ts";
import { VTD_FAULTS } from "../walkers/vtd/index.ts";
import { cli, FIXTURE, ROOT, records } from "./support/cli.ts";

describe.concurrent("explain", () => {
  test("a code, decimal or hex, and a name mean the same", async ({ expect }) => {
    const byHex = await cli(["explain", "arm", "0x10"]);
    expect(byHex).toMatchObject({ status: 0, stderr: "" });
    await expect(byHex.stdout).toMatchFileSnapshot(join(ROOT, "test/fixtures/explain-f-translation.txt"));
    expect((await cli(["explain", "smmuv3", "16"])).stdout).toBe(byHex.stdout);
    expect((await cli(["explain", "ARM-SMMUv3", "f_translation"])).stdout).toBe(byHex.stdout);
  });

  test("every vendor's every fault, with its reason and sentence", async () => {
    const tables = { vtd: VTD_FAULTS, arm: SMMUV3_FAULTS, amd: AMD_VI_FAULTS, riscv: RISCV_FAULTS };
    for (const [vendor, faults] of Object.entries(tables)) {
      const listed = records((await cli(["explain", vendor, "--json"])).stdout);
      expect(listed.length).toBe(faults.length);
      for (const { name, reason_text, text, source } of listed) {
        expect(faults.map((fault) => fault.name)).toContain(name);
        expect(Object.values(FAULT_REASONS)).toContain(reason_text);
        expect(text.length > 0 && source.length > 0).toBe(true);
      }
    }
  });

  test("likely causes are those that the record leaves possible", async () => {
    const causes = async (vendor: string, ...words: string[]) =>
      records((await cli(["explain", vendor, "--json", "--record", ...words])).stdout)
        .at(-1)!
        .causes.join("\n");
    // AMD INVALID_DEVICE_REQUEST, TYPE 5 and 3; IO_PAGE_FAULT with PR, RW and PE.
    const blocked = await causes("amd", "0x8a00000000000001", "0xfdf8000020");
    expect(blocked).toMatch(/^an interrupt of a device whose entry has IntCtl=0[^\n]*$/);
    expect(await causes("amd", "0x8600000000000001", "0xfd00000020")).toMatch(
      /HyperTransport.*stray pointer/,
    );
    expect(await causes("amd", "0x2070001200000500", "0xff6101b0")).toMatch(/^PE=1[^\n]*$/);
    // SMMUv3 F_PERMISSION of stage 2, class IN: a write, a read.
    const permission = (word: string) => causes("arm", "0x0000000500000013", word, "0x40000", "0x40000");
    expect(await permission("0x0000028000000000")).toBe("a write to a read-only mapping");
    expect(await permission("0x0000028800000000")).toBe("a read of a write-only mapping (S2AP)");
    expect(await causes("arm", "0x0000010000000007", "0", "0", "0")).toMatch(/ATS/);
  });

  test("what has no code is known by its name, and is no meaning of an empty record", async () => {
    const none = SMMUV3_FAULTS.filter(({ code }) => code === 0);
    expect(none.map(({ name }) => name)).toContain("GBPA.ABORT");
    const listed = records((await cli(["explain", "arm", "--json"])).stdout);
    expect(listed.filter((record) => record.code === undefined).length).toBe(none.length);
    expect((await cli(["explain", "arm", "gbpa.abort"])).stdout).toMatch(/^Arm SMMUv3 GBPA\.ABORT\n/);
    expect(await cli(["explain", "arm", "0"])).toMatchObject({ status: 2, stdout: "" });
    const empty = await cli(["explain", "arm", "--event", "0", "0", "0", "0"]);
    expect(empty.stdout).toContain("Arm SMMUv3: no fault has the code 0x0\n");
  });

  test("conditions that share a code are all shown", async () => {
    const listed = records((await cli(["explain", "intel", "--json"])).stdout);
    const shared = listed.filter((a) => listed.filter((b) => b.code === a.code).length > 1);
    const code = shared[0]?.code ?? listed[0].code;
    const shown = records((await cli(["explain", "intel", code, "--json"])).stdout);
    expect(shown.map((r) => r.name).sort()).toEqual(
      listed
        .filter((r) => r.code === code)
        .map((r) => r.name)
        .sort(),
    );
  });

  test.each([
    [["arn"], "did you mean arm?"],
    [["amd", "0x77"], "0x1 0x2 0x3 0x4 0x5 0x6 0x7 0x8 0x9 0xa 0xb 0xd 0xe"],
    [["arm", "F_TRANSLATON"], "did you mean F_TRANSLATION?"],
    [["vtd", "--record", "0x1", "0x2", "0x3"], "expected 2 64-bit words or 32 hex digits"],
    [["riscv", "--record", "zz"], "expected 4 64-bit words"],
    [["vtd", "--entry", "table"], "expected the name of one structure"],
    [["vtd", "--entry", "PASID directory", "--words", "1", "2"], "expected 1 64-bit word"],
    [["vtd", "--words", "1"], "expected with --entry"],
    [["vtd", "0x1", "--structures"], "found several"],
  ])("%j: exit 2 and %s", async (args, message) => {
    const ran = await cli(["explain", ...args]);
    expect(ran).toMatchObject({ status: 2, stdout: "" });
    expect(ran.stderr).toContain(message);
  });

  test("the first words of a structure: what is missing is said, and not shown as zero", async () => {
    const entry = ["explain", "vtd", "--entry", "VT-d scalable-mode PASID table entry"];
    // VT-d 5.10, 9.6: P, PGTT 001b (bits 8:6); DID 3 (bits 79:64).
    const ran = await cli([...entry, "--words", "0x41", "0x3"]);
    expect(ran.status).toBe(0);
    expect(ran.stdout).toMatch(/PGTT +8:6 +1/);
    expect(ran.stdout).toMatch(/DID +79:64 +3/);
    expect(ran.stdout).toMatch(/not given: words 3 to 8 \(bits 511:128\), with .*FSPTPTR/);
    expect(ran.stdout.split("not given")[0]).not.toContain("FSPTPTR");
    const json = JSON.parse((await cli([...entry, "--words", "0x41", "--json"])).stdout);
    expect(json).toMatchObject({ words: ["0x41"], missing_bits: "511:64" });
    expect(json.fields).not.toHaveProperty("DID");
    const many = await cli([...entry, "--words", ..."1 2 3 4 5 6 7 8 9".split(" ")]);
    expect([many.status, many.stderr]).toEqual([2, expect.stringContaining("expected 1 to 8 64-bit words")]);
  });

  test("a structure's raw words, and its declaration", async () => {
    const entry = ["explain", "vtd", "--entry", "scalable-mode pasid table entry"];
    const [decoded] = records(
      (await cli([...entry, "--words", ..."0x49 0x3 0x1072000 0 0 0 0 0".split(" "), "--json"])).stdout,
    );
    expect(decoded.fields).toMatchObject({
      P: { value: "0x1" },
      AW: { value: "0x2" },
      PGTT: { value: "0x1", name: "first stage" },
      DID: { value: "0x3" },
      FSPTPTR: { address: "0x1072000" },
    });
    expect((await cli(entry)).stdout).toMatch(/PGTT\s+8:6\s+Translation type\n\s+1: first stage\n/);
  });

  test("set reserved bits are named", async () => {
    const words = ["--words", "0xfff0000000000001"];
    const ran = await cli(["explain", "riscv", "--entry", "Non-leaf DDT entry", ...words]);
    expect(ran.stdout).toContain("reserved bits set: 63:54");
  });
});

describe("the reasons of a code", () => {
  const tables = { intel: VTD_FAULTS, arm: SMMUV3_FAULTS, amd: AMD_VI_FAULTS, riscv: RISCV_FAULTS };

  test.each(Object.entries(tables))(
    "of %s are all that a replay of its samples gives",
    async (vendor, faults) => {
      const folder = join(ROOT, "samples", vendor);
      const seen = new Set<string>();
      for (const file of readdirSync(folder).filter((name) =>
        /^[^.]+(\.\d[^.]*)*\.ndjson(\.gz)?$/.test(name),
      ))
        for await (const record of replay(join(folder, file), { only: ["faults"], findings: false }))
          if (record.type === "outcome") seen.add(`${record.name} ${record.reason}`);
      expect(seen.size).toBeGreaterThan(5);
      const known = faults.flatMap(({ name, reason, others = [] }) =>
        [reason, ...others].map((each) => `${name} ${each}`),
      );
      expect([...seen].filter((pair) => !known.includes(pair))).toEqual([]);
    },
  );
});

/** Raw fault records: words with the bits at the places that the specifications (and Linux's masks) give them. */
describe.concurrent("explain --record", () => {
  const decode = async (vendor: string, ...words: string[]) => {
    const ran = await cli(["explain", vendor, "--json", "--record", ...words]);
    expect(ran).toMatchObject({ status: 0, stderr: "" });
    return records(ran.stdout);
  };
  const values = (record: { fields: Record<string, { value: string }> }) =>
    Object.fromEntries(Object.entries(record.fields).map(([name, field]) => [name, Number(field.value)]));

  test("SMMUv3: as QEMU's smmuv3 wrote it for a write by stream 0x80, its bytes in order", async () => {
    const bytes = "13000000800000000000000000020000003a98c7feffff270000000000000000";
    const [event, fault] = await decode("arm", bytes);
    expect(event).toMatchObject({
      code: "0x13",
      words: ["0x8000000013", "0x20000000000", "0x27fffffec7983a00", "0x0"],
    });
    expect(values(event)).toMatchObject({ STREAMID: 0x80, SSV: 0, CLASS: 2, RNW: 0, S2: 0 });
    expect(event.fields.INPUTADDR.value).toBe("0x27fffffec7983a00");
    expect(fault.name).toBe("F_PERMISSION");
  });

  test("SMMUv3: every field of a stalled stage 2 translation event", async () => {
    const word0 = 0x10n | (1n << 11n) | (0x12345n << 12n) | (0x900n << 32n);
    const word1 = 0xbeefn | (1n << 31n) | (1n << 33n) | (1n << 35n) | (1n << 39n) | (1n << 40n) | (1n << 44n);
    const [event] = await decode(
      "smmu",
      ...[word0, word1, 0x7fff_0000_1234n, 0x4567_8000n].map((w) => `0x${w.toString(16)}`),
    );
    expect(values(event)).toEqual({
      ...{ EVENT: 0x10, SSV: 1, SUBSTREAMID: 0x12345, STREAMID: 0x900 },
      ...{ PNU: 1, IND: 0, RNW: 1, S2: 1, CLASS: 1, STAG: 0xbeef, STALL: 1, TTRNW: 1 },
      ...{ INPUTADDR: 0x7fff_0000_1234, IPA: 0x4567_8000 / 4096 },
    });
    expect(event.fields.IPA.address).toBe("0x45678000");
  });

  test("SMMUv3: the fetch address of F_STE_FETCH", async () => {
    const [event, fault] = await decode("arm", "0x4200000003", "0x10007", "0x0", "0x80001040");
    expect(event.fields).toMatchObject({ STREAMID: { value: "0x42" }, FETCHADDR: { address: "0x80001040" } });
    expect(values(event)).toMatchObject({ REASON: 7, GPCF: 1 });
    expect(fault.name).toBe("F_STE_FETCH");
  });

  test("SMMUv3: C_BAD_SUBSTREAMID has a SubstreamID, and no bit that says so", async () => {
    const [event] = await decode("arm", "0x1d00005008", "0x0", "0x0", "0x0");
    expect(values(event)).toEqual({ EVENT: 8, SUBSTREAMID: 5, STREAMID: 0x1d });
  });

  test("VT-d: a read with PASID 5 from 00:03.0, reason 0x71", async () => {
    const high = (1n << 63n) | (1n << 62n) | (5n << 40n) | (0x71n << 32n) | (1n << 31n) | (1n << 29n) | 0x18n;
    const [record, fault] = await decode("vtd", "0x7f0000002000", `0x${high.toString(16)}`);
    expect(values(record)).toMatchObject({ SID: 0x18, PRIV: 1, EXE: 0, PP: 1, FR: 0x71, PN: 5, AT: 0, F: 1 });
    expect(record.fields).toMatchObject({
      FI: { address: "0x7f0000002000" },
      SID: { value: "0x18", name: "00:03.0" },
      T: { name: "read" },
    });
    expect(fault.name).toBe("SFS.2");
    // The same as one 128-bit number.
    const whole = `0x${((high << 64n) | 0x7f0000002000n).toString(16)}`;
    expect((await decode("vtd", whole))[0]).toEqual(record);
  });

  test("AMD-Vi: IO_PAGE_FAULT as Linux prints it: flags in bits 59:48", async () => {
    const low = (2n << 60n) | (0x30n << 48n) | (0x1fn << 32n) | 0x0018n;
    const [event, fault] = await decode("amd", `0x${low.toString(16)}`, "0xdeadb000");
    expect(values(event)).toMatchObject({
      DEVICEID: 0x18,
      PASID_LO: 0x1f,
      PR: 1,
      RW: 1,
      PE: 0,
      EVENTCODE: 2,
    });
    expect(event.fields.ADDRESS.value).toBe("0xdeadb000");
    expect(event.fields.DEVICEID.name).toBe("00:03.0");
    expect(fault.name).toBe("IO_PAGE_FAULT");
  });

  test.each([
    [0x20, ["PTE_FETCH", "PASID_INVALID", "BAD_DEVICE_CONTEXT", "SOURCEID_INVALID"]],
    [0x70, ["PERMISSION"]],
    [0x90, ["BAD_PTE"]],
    [0x10, ["BAD_PTE", "OOR_ADDRESS"]],
  ] as const)("AMD-Vi: flags %i of an IO_PAGE_FAULT say why", async (flags, reasons) => {
    const low = (2n << 60n) | (BigInt(flags) << 48n) | 0x18n;
    const [, fault] = await decode("amd", `0x${low.toString(16)}`, "0x1000");
    expect([fault.reason, ...(fault.other_reasons ?? [])]).toEqual(reasons);
  });

  test("AMD-Vi: an event that is not a request's", async () => {
    const ran = await cli(["explain", "amd", "--record", "0x6000000000000000", "0x0"]);
    expect(ran.stdout).toContain("6 (COMMAND_HARDWARE_ERROR)");
    expect(ran.stdout).toContain("The command buffer could not be read.");
    const unknown = await cli(["explain", "amd", "--record", "0xc000000000000000", "0"]);
    expect(unknown.stdout).toContain("no fault has the code 0xc");
  });

  test("RISC-V: a guest page fault of a write with process_id", async () => {
    const header = 23n | (0x77n << 12n) | (1n << 32n) | (3n << 34n) | (0xabcdefn << 40n);
    const [record, fault] = await decode("riscv", `0x${header.toString(16)}`, "0x0", "0x1000", "0x80000001");
    expect(values(record)).toEqual({
      ...{ CAUSE: 23, PID: 0x77, PV: 1, PRIV: 0, TTYP: 3, DID: 0xabcdef },
      ...{ iotval: 0x1000, iotval2: 0x80000001 },
    });
    expect(record.fields.TTYP.name).toBe("untranslated write/AMO");
    expect(fault.name).toBe("Write/AMO guest-page fault");
  });
});

describe.concurrent("schema and rules", () => {
  test("what a replay reads and writes obeys the printed schemas", async () => {
    const input = JSON.parse((await cli(["schema"])).stdout);
    const output = JSON.parse((await cli(["schema", "output"])).stdout);
    const options = { allowUnionTypes: true, strictTypes: false, strictRequired: false };
    const isInput = new Ajv2020(options).compile(input);
    const isOutput = new Ajv2020(options).compile(output);
    for (const record of records(readFileSync(FIXTURE, "utf8"))) {
      isInput(record);
      expect(isInput.errors).toBeNull();
    }
    for (const record of records((await cli([FIXTURE, FIXTURE])).stdout)) {
      isOutput(record);
      expect(isOutput.errors).toBeNull();
    }
    expect(isInput({ type: "dma", dev: "00:03.0" })).toBe(false);
    expect(isOutput({ type: "mark", line: 0, label: "" })).toBe(false);
    expect(await cli(["schema", "sideways"])).toMatchObject({
      status: 2,
      stderr: expect.stringContaining('pasid-replay: side: expected one of input, output, found "sideways"'),
    });
  });

  test("rules: id, severity and sentence of each", async () => {
    const rules = records((await cli(["rules", "--json"])).stdout);
    expect(rules.length).toBeGreaterThan(0);
    const text = (await cli(["rules"])).stdout;
    for (const rule of rules) expect(text).toContain(`${rule.id} (${rule.severity})\n`);
  });
});
