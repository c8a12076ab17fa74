/** Several SMMUv3s of one QEMU, whose events name none of them: whose each line is. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { attach } from "../cli/record/attach.ts";
import { Ending } from "../cli/record/ending.ts";
import { writeTrace } from "../cli/record/trace.ts";
import { TraceFolder } from "../cli/record/trace-folder.ts";
import { stateOf } from "../parsers/caps/host.ts";
import { QEMU_IOMMUS } from "../parsers/logs/qemu-iommus.ts";
import { QEMU_REGION_WRITES } from "../parsers/logs/qemu-smmuv3-units.ts";
import { LOG_FORMATS } from "../parsers/logs/registry.ts";
import { FakeQemu } from "./support/fake-qemu.ts";
import { importLog } from "./support/logs.ts";

const space = (devfn: number, index: number) => `smmuv3-iommu-memory-region-${devfn}-${index}`;
const BASES = { a: 0xc000000, b: 0xc020000 };
const TABLES = { a: 0x1000000n, b: 0x1100000n };
type Id = keyof typeof BASES;
/** 00:05.0 and 00:06.0 are behind the first; 40:05.0 and 40:06.0 behind the second. */
const SPACES = { a: [space(40, 0), space(48, 2)], b: [space(40, 1), space(48, 3)] };

const HOSTS = (["a", "b"] as const).map((id) => ({
  ...{ id, model: "arm-smmuv3" as const, source: "", notes: [], exact: true },
  state: stateOf({ strtab_base: TABLES[id], strtab_base_cfg: 16n, cr0: 1n, cmdq_base: 0n }),
  place: { first: BigInt(BASES[id]), last: BigInt(BASES[id] + 0x1ffff), spaces: SPACES[id] },
}));

const hex = (n: number | bigint) => `0x${n.toString(16)}`;
const stored = (id: Id, offset: number, value: number) => [
  `memory_region_ops_write cpu 0 mr 0x55 addr ${hex(BASES[id] + offset)} value ${hex(value)} size 4 name 'arm-smmuv3'`,
  `smmuv3_write_mmio addr: ${hex(offset)} val:${hex(value)} size: 0x4(0)`,
];
const ofOther = "memory_region_ops_write cpu 0 mr 0x66 addr 0x9000000 value 0x41 size 2 name 'pl011'";
const missed = (sid: number) =>
  `smmuv3_config_cache_miss Config cache MISS for sid=${hex(sid)} (hits=0, misses=1, hit rate=0)`;
const hit = (sid: number) =>
  `smmuv3_config_cache_hit Config cache HIT for sid=${hex(sid)} (hits=1, misses=1, hit rate=50)`;
const bypass = (name: string, sid: number) =>
  `smmuv3_translate_bypass ${name} sid=${hex(sid)} STE bypass iova:0x5000 is_write=0`;
const entry = (id: Id, sid: number) => [
  `smmuv3_find_ste sid=${hex(sid)} features:0x0, sid_split:0x0`,
  `smmuv3_get_ste STE addr: ${hex(TABLES[id] + BigInt(64 * sid))}`,
];
const fault = (sid: number) => `smmuv3_record_event SMMU_EVT_C_BAD_STE sid=${hex(sid)}`;
const command = (name: string) => [
  "smmuv3_cmdq_consume prod=1 cons=0 prod.wrap=0 cons.wrap=0",
  `smmuv3_cmdq_opcode <--- SMMU_CMD_${name}`,
  "smmuv3_cmdq_consume_out prod:1, cons:1, prod_wrap:0, cons_wrap:0 ",
];

function imported(...lines: string[]) {
  const formats = [...LOG_FORMATS.filter(({ model }) => model === "arm-smmuv3"), QEMU_REGION_WRITES];
  const { texts, report } = importLog(`${lines.join("\n")}\n`, { hosts: HOSTS, formats });
  const records = texts.map((text) => JSON.parse(text));
  const of = (type: string) =>
    records
      .filter((each) => each.type === type)
      .map(({ iommu, dev, name, cmd, op }) => [iommu, dev ?? name ?? cmd ?? op]);
  return { of, records, lost: [...report.lost].map(([what, { count }]) => [what, count]), report };
}

describe("events of several SMMUs", () => {
  test("are the one's whose registers the store before was to", () => {
    const { of, lost, report } = imported(
      ...stored("b", 0x20, 0),
      ofOther,
      ...stored("a", 0x98, 1),
      ...command("TLBI_NSNH_ALL"),
      ...stored("b", 0x98, 1),
      ...command("SYNC"),
      // The alias of page 1.
      ...stored("b", 0x10044, 0x100),
    );
    expect(of("cmd").map(([iommu]) => iommu)).toEqual(["a", "b"]);
    expect(of("reg")).toEqual([["b", "gbpa"]]);
    expect(lost).toEqual([]);
    expect(report.ignored.sorted()).toContainEqual(["memory_region_ops_write of another device", 1]);
  });

  test("are the one's to which the address space belongs that the translation ends with, from its beginning on", () => {
    const { of, records, lost } = imported(
      ...[missed(0x28), ...entry("a", 0x28), bypass(space(40, 0), 0x28)],
      ...[missed(0x4028), ...entry("b", 0x4028), bypass(space(40, 1), 0x4028)],
      ...[hit(0x28), bypass(space(40, 0), 0x28)],
      ...[hit(0x4030), bypass(space(48, 3), 0x4030)],
    );
    expect(of("dma")).toEqual([
      ["a", "sid:0x28"],
      ["b", "sid:0x4028"],
      ["a", "sid:0x28"],
    ]);
    // Of the last stream no entry was ever read: its tables are not known.
    expect(lost).toEqual([["tables-unknown", 1]]);
    const entries = records.filter(({ type }) => type === "mem").map(({ addr }) => addr);
    expect(entries).toEqual([0x1000000 + 64 * 0x28, 0x1100000 + 64 * 0x4028].map(hex));
  });

  test("of a fault are the one's whose stream it is known to be, or whose stream table was read", () => {
    const two = (id: Id, sid: number) =>
      `smmuv3_find_ste_2lvl strtab_base:${hex(TABLES[id] | (1n << 62n))} l1ptr:${hex(TABLES[id])} l1_off:0x0, l2ptr:0x1200000 l2_off:${hex(sid)} max_l2_ste:255`;
    const { of, lost } = imported(
      ...[missed(0x4028), ...entry("b", 0x4028), fault(0x4028)],
      ...[missed(0x30), `smmuv3_find_ste sid=0x30 features:0x1, sid_split:0x8`, two("a", 0x30), fault(0x30)],
      ...[hit(0x4028), fault(0x4028)],
      // Nothing says whose this is.
      ...[hit(0x31), fault(0x31)],
    );
    expect(of("fault")).toEqual([
      ["b", "sid:0x4028"],
      ["a", "sid:0x30"],
      ["b", "sid:0x4028"],
    ]);
    expect(lost).toEqual([["smmu", 2]]);
  });

  test("that nothing tells apart are left out, and a stream that moves is said", () => {
    const { of, lost } = imported(
      ...command("SYNC"),
      ...stored("a", 0x20, 0),
      ...[missed(0x28), ...entry("a", 0x28), bypass(space(40, 0), 0x28)],
      ...[missed(0x28), ...entry("b", 0x28), bypass(space(40, 1), 0x28)],
      ...[hit(0x28), bypass("another-7", 0x28)],
    );
    expect(of("dma")).toEqual([["a", "sid:0x28"]]);
    expect(Object.fromEntries(lost)).toMatchObject({ smmu: 4, stream: 1 });
  });
});

test("a machine with several is attached to, and has each one's registers, tables and requests", async () => {
  const folder = mkdtempSync(join(tmpdir(), "smmus-"));
  const socket = join(folder, "qmp");
  const region = (id: Id, device: string) =>
    `    00000000${BASES[id].toString(16).padStart(8, "0")}-00000000${(BASES[id] + 0x1ffff).toString(16).padStart(8, "0")} (prio 0, i/o): arm-smmuv3 owner:{dev ${device}}\r\n`;
  const spaces = (id: Id, device: string) =>
    SPACES[id]
      .map(
        (name) =>
          `  ${"0".repeat(16)}-${"f".repeat(16)} (prio 0, container): ${name} owner:{dev ${device}}\r\n`,
      )
      .join("");
  const path = "path=/machine/peripheral-anon/device[0]";
  const registers: Record<string, bigint> = {};
  const kind = QEMU_IOMMUS.find(({ model }) => model === "arm-smmuv3")!;
  for (const id of ["a", "b"] as const)
    for (const { name, offset } of kind.registers)
      registers[hex(BASES[id] + offset)] =
        {
          strtab_base: TABLES[id],
          strtab_base_cfg: 8n,
          cr0: 1n,
          idr0: 0x42c1a9an,
          idr1: 0x4e78010n,
          idr5: 0x74n,
        }[name] ?? 0n;
  /** STE: V, Config 100 bypasses (IHI 0070, 5.2). */
  const table = Buffer.alloc(4096);
  table.writeBigUInt64LE(9n, 64 * 0x28);
  const fake = await FakeQemu.open(socket, {
    regions: region("a", "id=first") + region("b", path) + spaces("a", "id=first") + spaces("b", path),
    registers,
    pages: new Map([[0x1000, table]]),
    events: new Map([
      ["smmuv3_translate_bypass", false],
      ["smmu_get_pte", true],
      ["memory_region_ops_write", false],
    ]),
    log: [ofOther, bypass(space(40, 0), 0x28), bypass(space(40, 1), 0x28), ""].join("\n"),
  });
  try {
    const said: string[] = [];
    const target = new TraceFolder(join(folder, "rec"));
    const recording = await attach(socket, target, new Ending(30), (text) => said.push(text));
    expect(said[0]).toMatch(/first \(arm-smmuv3, \d+ pages of tables\), smmuv3@c020000 \(arm-smmuv3, /);
    expect(fake.asked).toContain("trace-event-set-state memory_region_ops_write");
    expect(fake.machine.events.get("memory_region_ops_write")).toBe(false);
    await writeTrace(target, recording);
    const trace = readFileSync(target.trace, "utf8")
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line));
    const of = (type: string) => trace.filter((each) => each.type === type);
    expect(of("dma").map(({ iommu, dev }) => [iommu, dev])).toEqual([
      ["first", "sid:0x28"],
      ["smmuv3@c020000", "sid:0x28"],
    ]);
    expect(of("iommu").map(({ id, regs }) => [id, regs.strtab_base])).toEqual([
      ["first", "0x1000000"],
      ["smmuv3@c020000", "0x1100000"],
    ]);
  } finally {
    await fake.close();
    rmSync(folder, { recursive: true, force: true });
  }
});
