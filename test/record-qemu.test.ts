/**
 * A real QEMU, of PASID_REPLAY_QEMU or the PATH, and a guest of a page of C. Where there is none, or no C compiler, this is
 * skipped, and says so.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { cli, ROOT, records, run } from "./support/cli.ts";

const QEMU = (process.env.PASID_REPLAY_QEMU || "qemu-system-x86_64").split(" ");
const version = /version (\d+)\.(\d+)/.exec(
  spawnSync(QEMU[0]!, [...QEMU.slice(1), "--version"], { encoding: "utf8" }).stdout ?? "",
);
const compiler = spawnSync("cc", ["--version"]).status === 0;
const missing = version === null ? `no ${QEMU[0]}` : compiler ? "" : "no cc";
/** Plugins are told what is stored since 9.2. */
const stores =
  version !== null && (Number(version[1]) > 9 || (Number(version[1]) === 9 && Number(version[2]) >= 2));

if (missing !== "") console.warn(`test/record-qemu.test.ts is skipped: ${missing}`);

describe.skipIf(missing !== "")("a guest under a real QEMU", () => {
  let folder: string;
  let running: ChildProcess | null = null;

  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "record-qemu-"));
    for (const [name, more] of [
      ["once", []],
      ["forever", ["-DFOREVER"]],
    ] as const) {
      const built = spawnSync(
        "cc",
        [...FLAGS, ...more, "-o", join(folder, name), join(ROOT, "test/fixtures/guest/guest.c")],
        { encoding: "utf8" },
      );
      if (built.status !== 0) throw new Error(built.stderr);
    }
  });

  afterAll(() => {
    running?.kill("SIGKILL");
    rmSync(folder, { recursive: true, force: true });
  });

  const command = (guest: string) => [...QEMU, ...MACHINE, "-kernel", join(folder, guest)];
  const outcomes = async (trace: string) =>
    records((await cli([trace])).stdout)
      .filter(({ type }) => type === "outcome")
      .map(({ addr, result, verdict }) => `${addr} ${result} ${verdict}`);

  test("is attached to while it runs, and every request is as its tables say", async () => {
    const socket = join(folder, "qmp");
    const console = join(folder, "console");
    const words = [
      ...command("forever"),
      "-qmp",
      `unix:${socket},server=on,wait=off`,
      "-debugcon",
      `file:${console}`,
    ];
    running = spawn(words[0]!, words.slice(1), { stdio: "ignore" });
    // The firmware takes its time.
    await expect
      .poll(() => existsSync(console) && readFileSync(console).length > 0, { timeout: 90_000 })
      .toBe(true);
    const out = join(folder, "attached");
    const ran = await run(["record", "--qmp", socket, "-o", out, "--for", "1s"]);
    expect(ran.stderr).toMatch(
      /QEMU \d+\.\d+\.\d+: dmar0 \(intel_iommu, \d+ pages of tables\); stood still for/,
    );
    expect(ran.status).toBe(0);
    const found = await outcomes(join(out, "trace.ndjson"));
    expect(found.length).toBeGreaterThan(0);
    expect(found.filter((text) => !text.endsWith(" match"))).toEqual([]);
    running.kill("SIGKILL");
    running = null;
  });

  test.skipIf(!stores)("is recorded from power-on with all stores, byte for byte", async () => {
    const out = join(folder, "launched");
    const env = { XDG_CACHE_HOME: folder };
    const ran = await cli(["record", "-o", out, "--", ...command("once")], { env });
    expect(ran.stderr).toMatch(
      /give all \d+ pages of tables and queues as they are at the end, byte for byte/,
    );
    expect(ran.status).toBe(0);
    expect(await outcomes(join(out, "trace.ndjson"))).toEqual([
      "0x200000 ok match",
      "0x201008 ok match",
      "0x200010 ok match",
      "0x405020 ok match",
      ...["0x300000", "0x300004", "0x300008", "0x30000c"].map((addr) => `${addr} fault match`),
    ]);
    expect(readFileSync(join(out, "trace.ndjson"), "utf8")).toContain('{"type":"mark","label":"self-check: ');
  });

  test.skipIf(stores)("is not started by a QEMU that is too old for it, which is said", async () => {
    const ran = await cli(["record", "-o", join(folder, "old"), "--", ...command("once")], {
      env: { XDG_CACHE_HOME: folder },
    });
    expect(ran.stderr).toMatch(
      /recording stores needs a QEMU of 9\.2 or later \(plugin interface 4\): attach with --qmp/,
    );
    expect(ran.status).toBe(2);
  });
});

/** A freestanding 32-bit program at 1 MiB. */
const FLAGS = [
  ..."-m32 -march=i586 -O1 -ffreestanding -fno-pic -fno-pie -no-pie -fno-stack-protector".split(" "),
  ..."-fno-asynchronous-unwind-tables -nostdlib -static -Wl,-Ttext=0x100000,-e,start,--build-id=none".split(
    " ",
  ),
  ..."-z noseparate-code".split(" "),
];
const MACHINE = [
  ..."-nodefaults -display none -machine q35 -accel tcg -m 64M".split(" "),
  ..."-device intel-iommu -device edu,addr=05.0,dma_mask=0xffffffffffffffff".split(" "),
];
