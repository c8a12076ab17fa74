import { expect, test } from "vitest";
import { cli } from "./support/cli.ts";

test("a VT-d descriptor is printed in the specification's words, with what it covers", async () => {
  const ran = await cli(["decode", "vtd", "0x50022", "0"]);
  expect(ran.status).toBe(0);
  expect(ran.stdout).toMatch(/^IOTLB invalidate: domain-selective, DID 5 {2}\[VT-d 5\.10, 6\.5\.2\.3\]\n/);
  expect(ran.stdout).toContain("DID   31:16     5");
  expect(ran.stdout).toContain("Does not cover: Context entries, PASID entries");
});

test("as JSON, an SMMUv3 command has its fields and what it completes", async () => {
  const ran = await cli(["decode", "arm", "0x0005000600000012", "0x7f001001", "--json"]);
  const record = JSON.parse(ran.stdout);
  expect(record).toMatchObject({
    type: "command",
    model: "arm-smmuv3",
    name: "CMD_TLBI_NH_VA",
    completion: false,
  });
  expect(record.fields).toMatchObject({ VMID: "0x6", ASID: "0x5", ADDR: "0x7f001", LEAF: "0x1" });
  expect(JSON.parse((await cli(["decode", "arm", "0x46", "0", "--json"])).stdout).completion).toBe(true);
});

test("a command that the IOMMU refuses is found wrong: exit status 1", async () => {
  // VT-d 6.5.2.3: granularity 0 is reserved.
  const ran = await cli(["decode", "intel", "0x2", "0"]);
  expect(ran.status).toBe(1);
  expect(ran.stdout).toContain("illegal: G (bits 5:4)");
});

test("a command with too few words is named by its opcode, and shows the fields that are there", async () => {
  // VT-d 6.5.2.3: type 2, granularity 10b (bits 5:4), DID 5 (bits 31:16).
  const vtd = await cli(["decode", "vtd", "0x50022"]);
  expect(vtd.status).toBe(1);
  expect(vtd.stdout).toMatch(/^IOTLB invalidate/);
  expect(vtd.stdout).toContain("DID");
  expect(vtd.stdout).not.toContain("ADDR");
  expect(vtd.stdout).toContain("illegal: expected 2 or 4 words, found 1");
  for (const [vendor, word, name] of [
    ["arm", "0x12", "CMD_TLBI_NH_VA"],
    ["amd", "0x3000000000000000", "INVALIDATE_IOMMU_PAGES"],
    ["riscv", "0x1", "IOTINVAL"],
  ] as const) {
    const ran = await cli(["decode", vendor, word]);
    expect([ran.status, ran.stdout]).toEqual([1, expect.stringContaining(name)]);
    expect(ran.stdout).toContain("illegal: expected 2 words, found 1");
  }
  const unknown = await cli(["decode", "arm", "0xff"]);
  expect(unknown.stdout).toMatch(/^unknown command, opcode 0xff/);
});

test("words that are none, and too many of them, are said to be", async () => {
  const bad = await cli(["decode", "amd", "zzz", "0"]);
  expect(bad.status).toBe(2);
  expect(bad.stderr).toContain('found "zzz"');
  const many = await cli(["decode", "riscv", "1", "2", "3"]);
  expect(many.stdout).toContain("expected 2 words, found 3");
  const none = await cli(["decode", "riscv", "0", "0"]);
  expect(none).toMatchObject({
    status: 1,
    stdout: expect.stringContaining("illegal: OPCODE: expected a defined"),
  });
});

test("what is written to a register: an invalidation that it asks for, or its fields", async () => {
  const contexts = await cli(["decode", "vtd", "--register", "ccmd", "0xe000000000100005"]);
  expect(contexts.stdout).toMatch(/^CCMD_REG: device-selective, DID 5, SID 0x10, FM 0 /);
  expect(contexts.stdout).toContain("Does not cover: Translations");
  const page = await cli(["decode", "vtd", "--register", "IOTLB_REG", "0xb000000500000000", "0x10041"]);
  expect(page.stdout).toMatch(/^IOTLB_REG: page-selective, DID 5, addr 0x10000, AM 1, IH 1 /);
  const status = await cli(["decode", "vtd", "--register", "gcmd", "0xc4000000"]);
  expect(status.stdout).toMatch(/SRTP +30 +1/);
  const unknown = await cli(["decode", "vtd", "--register", "bogus", "0"]);
  expect(unknown.status).toBe(2);
  expect(unknown.stderr).toContain("--register: expected the name of a register (");
});
