/** Recording stores: which pages are followed, what the log gets, and what is made of it. */
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { Ending } from "../cli/record/ending.ts";
import { type FollowedMachine, TableFollower } from "../cli/record/follower.ts";
import { launch } from "../cli/record/launch.ts";
import { ASKED, LOGGED, PageMap } from "../cli/record/page-map.ts";
import { selfCheck, selfCheckText } from "../cli/record/self-check.ts";
import { StoreChannel } from "../cli/record/store-channel.ts";
import { writeTrace } from "../cli/record/trace.ts";
import { TraceFolder } from "../cli/record/trace-folder.ts";
import { KnownMemory } from "../parsers/logs/known-memory.ts";
import { QEMU_IOMMUS } from "../parsers/logs/qemu-iommus.ts";
import { ended, run, start } from "./support/cli.ts";
import { importLog, replayed } from "./support/logs.ts";

/** The plugin is built before anything is started. */
const hasCompiler = spawnSync("cc", ["--version"]).status === 0;

const HEADER_BYTES = 4096;
const DMAR = 0xfed90000n;

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "stores-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** 16 MiB of memory from 16 MiB on, and a VT-d. */
function guest() {
  const pages = new Map<number, Buffer>();
  const page = (frame: number) => {
    if (!pages.has(frame)) pages.set(frame, Buffer.alloc(4096));
    return pages.get(frame)!;
  };
  const isMemory = (frame: number) => frame >= 0x1000 && frame < 0x2000;
  const machine: FollowedMachine = {
    iommus: [{ kind: QEMU_IOMMUS[0]!, id: "dmar0", base: DMAR, config: null }],
    isMemory,
    pageNow: (frame) => (isMemory(frame) ? Buffer.from(page(frame)) : null),
  };
  const map = new PageMap(join(folder, "map"), 1n << 32n);
  const registers = new Map([
    ["cap", 0xd2008c22260206n],
    ["ecap", 0xf00f4an],
  ]);
  const follower = new TableFollower(machine, map, [{ id: "dmar0", model: "intel", registers }]);
  /** The guest stores a word; the plugin asks where it is to ask. @returns lines for the log */
  const store = (address: number, value: bigint) => {
    const frame = Math.floor(address / 4096);
    page(frame).writeBigUInt64LE(value, address % 4096);
    return (watched(frame) & ASKED) === 0
      ? []
      : lines(follower.stored({ address: BigInt(address), bytes: 8, value }));
  };
  const register = (offset: bigint, value: bigint, bytes = 8) =>
    lines(follower.stored({ address: DMAR + offset, bytes, value }));
  const close = () => {
    follower.end();
    map.close();
  };
  const watched = (frame: number) => readFileSync(map.path)[HEADER_BYTES + frame]!;
  return { follower, store, register, watched, close };
}

const lines = (text: string) => text.split("\n").slice(0, -1);
const zero = (...frames: number[]) => frames.map((frame) => `iotab_page 0x${frame.toString(16)}000 zero`);

describe("the tables of a guest", () => {
  test("are followed from the root on, entry by entry, before translation is enabled", () => {
    const { store, register, watched, close } = guest();
    expect(store(0x1000000, 0x1001001n)).toEqual([]);
    const root = register(0x20n, 0x1000000n);
    expect(root).toEqual([
      expect.stringMatching(/^iotab_page 0x1000000 01100001(?:00){4092}$/),
      ...zero(0x1001),
    ]);
    expect(watched(0x1000)).toBe(LOGGED | ASKED);
    // 00:05.0: the page tables are made before and after the context entry leads to them.
    expect(store(0x1002000, 0x1003003n)).toEqual([]);
    expect(store(0x1001288, 0x701n)).toEqual([]);
    expect(store(0x1001280, 0x1002001n)).toEqual([
      expect.stringMatching(/^iotab_page 0x1002000 0330/),
      ...zero(0x1003),
    ]);
    expect(store(0x1003008, 0x1004003n)).toEqual(zero(0x1004));
    // Leaf tables lead nowhere: nobody is asked.
    expect(watched(0x1004)).toBe(LOGGED);
    expect(store(0x1004000, 0x1010003n)).toEqual([]);
    expect(watched(0x1010)).toBe(0);
    // A superpage is no table.
    expect(store(0x1003010, 0x1200083n)).toEqual([]);
    expect(watched(0x1200)).toBe(0);
    close();
  });

  test("are let go when nothing leads to them any more, and taken up again with what they hold then", async () => {
    const { store, register, watched, close } = guest();
    store(0x1000000, 0x1001001n);
    store(0x1001288, 0x701n);
    store(0x1001280, 0x1002001n);
    register(0x20n, 0x1000000n);
    store(0x1002000, 0x1003003n);
    store(0x1003000, 0x1004003n);
    expect([0x1003, 0x1004].map(watched)).toEqual([LOGGED | ASKED, LOGGED]);
    store(0x1002000, 0n);
    await expect.poll(() => [0x1003, 0x1004].map(watched)).toEqual([0, 0]);
    expect(watched(0x1002)).toBe(LOGGED | ASKED);
    store(0x1004ff8, 0x1234n);
    expect(store(0x1002008, 0x1004003n)).toEqual([
      expect.stringMatching(/^iotab_page 0x1004000 0{8176}3412/),
    ]);
    close();
  });

  test("a queue is watched from the register on, written whole or in halves", () => {
    const { register, watched, close } = guest();
    expect(register(0x94n, 0n, 4)).toEqual([]);
    // QS 1: two pages.
    expect(register(0x90n, 0x1006001n, 4)).toEqual(zero(0x1006, 0x1007));
    expect([0x1006, 0x1007, 0x1008].map(watched)).toEqual([LOGGED, LOGGED, 0]);
    close();
  });
});

test("questions are answered one by one, however they arrive", async () => {
  const path = join(folder, "socket");
  const seen: bigint[] = [];
  const channel = await StoreChannel.open(path, ({ address, value }) => {
    seen.push(value);
    return address === 0x1000n ? "line\n" : "";
  });
  const socket = connect(path);
  const questions = Buffer.alloc(64);
  questions.writeBigUInt64LE(0x1000n, 0);
  questions.writeBigUInt64LE(5n, 16);
  questions.writeBigUInt64LE(6n, 48);
  const answers: Buffer[] = [];
  socket.on("data", (data) => answers.push(data));
  socket.write(questions.subarray(0, 40));
  await new Promise((resolve) => setTimeout(resolve, 5));
  socket.write(questions.subarray(40));
  await expect.poll(() => Buffer.concat(answers).toString("hex")).toBe("050000006c696e650a00000000");
  expect(seen).toEqual([5n, 6n]);
  socket.destroy();
  channel.close();
});

describe("the log", () => {
  const log = (...text: string[]) => importLog(`${text.join("\n")}\n`);
  const of = (texts: readonly string[], type: string) =>
    texts.map((text) => JSON.parse(text)).filter((r) => r.type === type);

  test("gives memory as it was, each store as one", () => {
    const { texts, report } = log(
      "iotab_begin 1",
      "iotab_page 0x1000000 zero",
      `iotab_page 0x1001000 ${"ab".repeat(4096)}`,
      "iotab_page 0x1001000 zero",
      "iotab_store 0x1000008 4 0x1234",
      "iotab_store 0x1000010 16 0x1 0x2",
      "iotab_store 0x1000008 4 0x1234",
      "iotab_page 0x1002000 abcd",
      "iotab_store 0x1000008",
    );
    expect(of(texts, "ram")).toEqual([{ type: "ram", addr: "0x1000000", size: "0x1000" }]);
    expect(of(texts, "mem").map(({ addr, data }) => [addr, data.slice(0, 32), data.length])).toEqual([
      ["0x1001000", "ab".repeat(16), 8192],
      ["0x1001000", "00".repeat(16), 8192],
      ["0x1000008", "34120000", 8],
      ["0x1000010", "01000000000000000200000000000000", 32],
      ["0x1000008", "34120000", 8],
    ]);
    expect(report.ignored.sorted()).toContainEqual(["iotab_page: torn, or of an unknown version", 1]);
    expect(report.ignored.sorted()).toContainEqual(["iotab_store: torn, or of an unknown version", 1]);
  });

  test("has VT-d commands as they stand in the queue, 256 bits wide, also those that QEMU has no event of", () => {
    const { texts, report } = log(
      "iotab_begin 1",
      "vtd_reg_write addr 0x94 size 0x4 value 0x0",
      "vtd_reg_write addr 0x90 size 0x4 value 0x1006800",
      "iotab_page 0x1006000 zero",
      "iotab_store 0x1006020 8 0x50017",
      "iotab_store 0x1006028 8 0x5",
      "iotab_store 0x1006030 8 0x77",
      "vtd_inv_qi_head read head 1",
      "vtd_inv_qi_head read head 2",
      "vtd_inv_desc invalidate desc type wait high 0x0 low 0x0",
    );
    expect(of(texts, "cmd").map(({ data }) => data)).toEqual([
      ["0x50017", "0x5", "0x77", "0x0"],
      ["0x0", "0x0", "0x0", "0x0"],
    ]);
    expect(report.lost.size).toBe(0);
  });

  test("has the range of an AMD command, and the operands of an SMMU's", () => {
    const amd = log(
      "iotab_begin 1",
      "iotab_page 0x1000000 zero",
      "iotab_store 0x1000010 16 0x3000000500000000 0x7f001001",
      "amdvi_command_exec command buffer head at 0x10 command buffer tail at 0x20 command buffer base at 0x1000000",
      "amdvi_pages_inval AMD-Vi pages for domain 0x5 invalidated",
    );
    expect(of(amd.texts, "cmd").map(({ data }) => data)).toEqual([["0x3000000500000000", "0x7f001001"]]);
    expect(of(amd.texts, "inv")).toEqual([]);
    const arm = log(
      "iotab_begin 1",
      "smmuv3_write_mmio addr: 0x90 val:0x4000000001000004 size: 0x8(0)",
      "iotab_page 0x1000000 zero",
      "iotab_store 0x1000020 8 0x5000600000012",
      "iotab_store 0x1000028 8 0x7f001001",
      "smmuv3_cmdq_consume prod=3 cons=2 prod.wrap=0 cons.wrap=0",
      "smmuv3_cmdq_opcode <--- SMMU_CMD_TLBI_NH_VA",
      "smmuv3_s1_range_inval vmid=6 asid=5 addr=0x7f001000 tg=0 num_pages=0x1 ttl=0 leaf=1",
    );
    expect(of(arm.texts, "cmd").map(({ data }) => data)).toEqual([["0x5000600000012", "0x7f001001"]]);
  });

  test("has the registers that QEMU tells nothing of", async () => {
    const { texts } = log(
      "iotab_begin 1",
      "riscv_iommu_dma (null): translate 0000:03.0 #0 RO 0x80001000 -> 0x80001000",
      "iotab_register riscv-iommu ddtp 0x1",
      "riscv_iommu_dma (null): translate 0000:03.0 #0 RO 0x80001000 -> 0x80001000",
    );
    expect(of(texts, "reg")).toEqual([{ type: "reg", iommu: "riscv-iommu", name: "ddtp", value: "0x1" }]);
    const outcomes = (await replayed(texts.join("\n"))).filter(({ type }) => type === "outcome");
    expect(outcomes.at(-1)).toMatchObject({ result: "ok", passthrough: true, verdict: "match" });
  });

  test("keeps IOMMUs apart by the names that events and registers have for them, as many as there may be", () => {
    const named = log(
      "iotab_begin 1",
      "riscv_iommu_cmd (null): command 0x1 0x0",
      "riscv_iommu_cmd 00:01.0: command 0x1 0x0",
      "iotab_register 00:01.0 ddtp 0x1",
    );
    expect(of(named.texts, "reg").map(({ iommu, value }) => [iommu, value])).toEqual([["00:01.0", "0x1"]]);
    const id = (i: number) =>
      `${(i >> 5).toString(16).padStart(2, "0")}:${(i & 31).toString(16).padStart(2, "0")}.0`;
    const commands = Array.from({ length: 66 }, (_, i) => `riscv_iommu_cmd ${id(i)}: command 0x2 0x0`);
    const { texts, report } = log(...commands);
    expect(of(texts, "cmd").map(({ iommu }) => iommu)).toEqual(Array.from({ length: 64 }, (_, i) => id(i)));
    expect(report.lost.get("iommus")?.count).toBe(2);
  });
});

describe("an emulator that does not start", () => {
  const started = (...words: string[]) =>
    launch(words, new TraceFolder(join(folder, "rec")), new Ending(50), () => {});
  /** A program that says what a QEMU would say of its plugin. */
  const says = (text: string) => ["sh", "-c", 'echo "$0" >&2; exit 1', text];

  test.runIf(hasCompiler).each<[string, string[], RegExp]>([
    [
      "a program that is not there",
      ["/nowhere/qemu"],
      /^\/nowhere\/qemu: expected QEMU to start, found no such file or folder \(ENOENT\)$/,
    ],
    ["a program that ends", ["true"], /^true: expected QEMU to start, found exit status 0$/],
    [
      "one that complains",
      says("qemu: -device x: no such device"),
      /found exit status 1; it says: qemu: -device x: no such device$/,
    ],
    [
      "one whose plugins see no stores",
      says("plugin requires API version 7, but this QEMU supports only up to version 1"),
      /only up to version 1; recording stores needs a QEMU of 9\.2 or later \(plugin interface 4\): attach with --qmp/,
    ],
    [
      "one that is newer than we are",
      says("plugin requires API version 7, but this QEMU supports only a minimum version of 9"),
      /supports only a minimum version of 9$/,
    ],
    [
      "one that goes to the background",
      ["qemu", "-daemonize"],
      /^expected a QEMU that stays in the foreground, found -daemonize$/,
    ],
  ])("%s", async (_, words, message) => {
    await expect(started(...words)).rejects.toThrow(message);
  });
});

describe("what a launch leaves behind", () => {
  test("nothing without a compiler", async () => {
    const recording = run(["record", "-o", join(folder, "rec"), "--", "qemu-system-x86_64"], {
      env: { CC: "/nowhere/cc", XDG_CACHE_HOME: folder, TMPDIR: folder },
    });
    expect(await recording).toMatchObject({
      status: 2,
      stderr: expect.stringMatching(
        /\/nowhere\/cc: expected a C compiler, to build the plugin that records stores \(set CC\), found no such file or folder \(ENOENT\)/,
      ),
    });
    expect(readdirSync(folder)).toEqual(["pasid-replay"]);
  });

  test.runIf(hasCompiler)("no QEMU that waits, after Ctrl-C", async () => {
    const pidFile = join(folder, "pid");
    const scratch = mkdtempSync(join(tmpdir(), "scratch-"));
    const waits = ["sh", "-c", `echo $$ > ${pidFile}; exec sleep 600`];
    const child = start(["record", "-o", join(folder, "rec"), "--", ...waits], {
      env: { ...process.env, TMPDIR: scratch },
    });
    const over = ended(child);
    while (!existsSync(pidFile) || readFileSync(pidFile, "utf8") === "")
      await new Promise((resolve) => setTimeout(resolve, 20));
    child.kill("SIGINT");
    expect(await over).toMatchObject({ status: 130 });
    const pid = Number(readFileSync(pidFile, "utf8"));
    expect(() => process.kill(pid, 0)).toThrow("ESRCH");
    expect(readdirSync(scratch)).toEqual([]);
    rmSync(scratch, { recursive: true });
  });
});

describe("the trace of a launch", () => {
  const STORES = [
    "iotab_page 0x1000000 zero",
    "iotab_store 0x1000008 8 0x1001001",
    "iotab_store 0x1000010 4 0x7",
  ];

  /** What is made of a log, where memory ends as if it had all stores. */
  async function written(log: readonly string[]) {
    const target = new TraceFolder(join(folder, "rec"));
    writeFileSync(target.log, `${["iotab_begin 1", ...log].join("\n")}\n`);
    const iommu = { id: "dmar0", model: "intel", registers: new Map([["rtaddr", 0x1000000n]]) } as const;
    const captured = { iommus: [iommu], pages: new Map(), tables: new Map(), spent: false };
    const page = Buffer.alloc(4096);
    page.writeBigUInt64LE(0x1001001n, 8);
    page.writeUInt32LE(7, 16);
    const { check } = await writeTrace(target, {
      ...{ version: { major: 11, minor: 1, micro: 0 }, machine: [], start: captured, end: captured },
      ...{ notes: [], why: "time", stores: { pages: new Map([[0x1000, page]]) } },
    });
    const text = readFileSync(target.trace, "utf8");
    rmSync(target.path, { recursive: true });
    return { check, text };
  }

  test("is exact with every store, and says of each one that is lost that it is not", async () => {
    const whole = await written(STORES);
    expect(whole.check).toEqual({ pages: 1, bytes: 0, frames: [] });
    expect(whole.text).toContain(
      '"label":"self-check: memory at the start and the recorded stores give all 1 pages',
    );
    for (const [i, bytes] of [
      [1, 3],
      [2, 1],
    ] as const) {
      const torn = await written(STORES.toSpliced(i, 1));
      expect(torn.check).toEqual({ pages: 1, bytes, frames: [0x1000] });
      expect(torn.text).toMatch(/"type":"loss","what":"stores","severity":"error".*not exact: /);
      expect(torn.text).not.toContain("self-check");
    }
    const late = await written([STORES[0]!, STORES[2]!, STORES[1]!, "iotab_store 0x1000008 8 0x0"]);
    expect(late.check).toMatchObject({ bytes: 3 });
  });
});

describe("the check at the end", () => {
  const page = (byte: number) => Buffer.alloc(4096).fill(byte, 8, 16);

  test("counts what differs, and says where", () => {
    const known = new KnownMemory();
    known.mem(JSON.stringify({ type: "mem", addr: "0x1000", data: page(7).toString("hex") }));
    expect(selfCheckText(selfCheck(known.now, { pages: new Map([[1, page(7)]]) }))).toBe(
      "memory at the start and the recorded stores give all 1 pages of tables and queues as they are at the end, byte for byte",
    );
    const check = selfCheck(known.now, {
      pages: new Map([
        [1, page(8)],
        [2, page(0)],
      ]),
    });
    // A page that nothing is known of differs as a whole.
    expect(check).toEqual({ pages: 2, bytes: 8 + 4096, frames: [1, 2] });
    expect(selfCheckText(check)).toMatch(
      /^not exact: .* differ .* in 4104 bytes of 2 of 2 pages \(0x1000, 0x2000\)$/,
    );
  });
});
