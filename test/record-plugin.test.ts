/** The plugin that records stores, with a program for a QEMU: stores that QEMU's plugins are not told of. */
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ASKED, LOGGED, PageMap } from "../cli/record/page-map.ts";
import { type AskedStore, StoreChannel } from "../cli/record/store-channel.ts";
import { ROOT } from "./support/cli.ts";

const compiler = spawnSync("cc", ["--version"]).status === 0;
const RAM = { first: 0x1000000n, last: 0x10fffffn, host: 0x700000000000n };
/** Where the guest's kernel has memory: virtual less physical. */
const KERNEL = 0xffff000000000000n;

describe.skipIf(!compiler).each([4, 7])("the plugin for interface %d", (api) => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "plugin-"));
    const words = ["-O1", "-Wall", "-Wextra", "-Werror", `-DPLUGIN_API=${api}`, "-o", join(folder, "host")];
    const built = spawnSync("cc", [...words, join(ROOT, "test/fixtures/plugin/host.c"), "-lpthread"], {
      encoding: "utf8",
    });
    if (built.status !== 0) throw new Error(built.stderr);
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  /** @returns what the plugin logs, its questions, and how many stores it has not seen */
  async function run(machine: string, steps: readonly string[]) {
    const asked: AskedStore[] = [];
    const map = new PageMap(join(folder, `map-${Math.random()}`), 1n << 32n);
    map.describe([RAM], []);
    map.watch(0x1000, LOGGED);
    map.watch(0x1001, LOGGED);
    map.watch(0x1003, LOGGED | ASKED);
    map.watch(0x1004, LOGGED);
    map.enable(true);
    const socket = join(folder, `socket-${Math.random()}`);
    const channel = await StoreChannel.open(socket, (store) => {
      asked.push(store);
      return "";
    });
    const child = spawn(join(folder, "host"), [machine, `map=${map.path}`, `socket=${socket}`]);
    const out: Buffer[] = [];
    child.stdout.on("data", (data) => out.push(data));
    child.stdin.end(steps.map((step) => `${step}\n`).join(""));
    const status = await new Promise((resolve) => child.on("close", resolve));
    const { unseen } = map;
    channel.close();
    map.close();
    const log = Buffer.concat(out).toString().split("\n").slice(1, -1);
    return { status, log, asked, unseen };
  }

  const va = (address: bigint) => (KERNEL + address).toString(16);
  const storeTo = (address: bigint, value: string) => `store ${va(address)} ${address.toString(16)} ${value}`;
  const words = (from: number, count: number, value = "0x0") =>
    Array.from({ length: count }, (_, i) => `iotab_store 0x${(from + 8 * i).toString(16)} 8 ${value}`);
  /** Memory is full of ones, and it is known where the kernel has it. */
  const BEGIN = ["fill 1000000 10000 ff", storeTo(0x1001000n, "1")];
  const BEGUN = ["iotab_store 0x1001000 8 0x1"];
  const END = storeTo(0x1004000n, "2");
  const ENDED = ["iotab_store 0x1004000 8 0x2"];

  // DDI 0487, C5.3: DC ZVA, X3; Zicboz: cbo.zero (a4).
  test.each([
    ["aarch64", 0xd50b7423, 3],
    ["aarch64", 0xd50b7483, 3],
    ["riscv64", 0x0047200f, 14],
  ])("on %s, a block that instruction %i clears", async (machine, code, register) => {
    const ran = await run(machine, [
      ...[...BEGIN, `insn ${code.toString(16)}`, `register ${register} ${va(0x1000e10n)}`],
      // The block around the address is what is cleared.
      ...["before", "fill 1000e00 40 0", END],
      // One that is not watched.
      ...[`register ${register} ${va(0x1002e00n)}`, "before", "fill 1002e00 40 0", storeTo(0x1002000n, "3")],
    ]);
    expect(ran).toEqual({
      status: 0,
      unseen: 0,
      asked: [],
      log: [...BEGUN, ...words(0x1000e00, 8), ...ENDED],
    });
  });

  test("each of several blocks, in order, and what leads to tables is asked about", async () => {
    const block = (address: bigint) => [
      `register 3 ${va(address)}`,
      "before",
      `fill ${address.toString(16)} 40 0`,
    ];
    const ran = await run("aarch64", [
      ...[...BEGIN, "insn d50b7423", ...block(0x1003000n), ...block(0x1003040n), END],
    ]);
    expect(ran.log).toEqual([...BEGUN, ...words(0x1003000, 16), ...ENDED]);
    expect(ran.asked.map(({ address, bytes, value }) => [Number(address), bytes, value])).toEqual(
      Array.from({ length: 16 }, (_, i) => [0x1003000 + 8 * i, 8, 0n]),
    );
  });

  // DDI 0487, C6.2: SETP, SETM, SETE [X0]!, X2!, X1; CPYFM, CPYP [X0]!, [X1]!, X2!.
  test.each([
    ["SETP", 0x19c10440, 0x1000ff0n, 0x20n],
    // Behind the first, the size is what is left, below zero, and the address the end.
    ["SETM", 0x19c14440, 0x1001010n, -0x20n],
    ["SETE", 0x19c18440, 0x1001010n, -0x20n],
    ["CPYFM", 0x19410440, 0x1001010n, -0x20n],
    ["CPYP", 0x1d010440, 0x1000ff0n, 0x20n],
  ])("what %s writes, across pages", async (_, code, address, size) => {
    const ran = await run("aarch64", [
      ...[...BEGIN, `insn ${code.toString(16)}`, `register 0 ${va(address)}`],
      ...[`register 2 ${BigInt.asUintN(64, size).toString(16)}`, "before", "fill 1000ff0 20 ab", END],
    ]);
    const value = `0x${"ab".repeat(8)}`;
    expect(ran.log).toEqual([
      ...[...BEGUN, ...words(0x1000ff0, 3, value), ...words(0x1001008, 1, value)],
      ...ENDED,
    ]);
  });

  test("nothing of other instructions, and of none on machines that have no such", async () => {
    // STR X0, [X1]; LDP; SYS #3, C7, C4, #2, X3; DC ZVA, XZR; cbo.clean (a4), cbo.inval (a4).
    const codes = ["f9000020", "a9400440", "d50b7443", "d50b743f"];
    const steps = (...all: string[]) => all.flatMap((code) => [`insn ${code}`, "before"]);
    expect((await run("aarch64", steps(...codes))).log).toEqual(["-", "-", "-", "-"]);
    expect((await run("riscv64", steps("0017200f", "0007200f", "d50b7423"))).log).toEqual(["-", "-", "-"]);
    expect((await run("x86_64", steps("d50b7423", "0047200f"))).log).toEqual(["-", "-"]);
  });

  test("what is cleared of a stretch that is larger than all of memory", async () => {
    const ran = await run("aarch64", [
      ...[...BEGIN, "insn 19c10440", `register 0 ${va(0x1000000n)}`, "register 2 ffffffffffffff", "before"],
      ...["fill 1003000 8 0", END],
    ]);
    expect(new Set(ran.log)).toEqual(new Set([...BEGUN, ...words(0x1003000, 1), ...ENDED]));
    expect(ran.status).toBe(0);
  });
});
