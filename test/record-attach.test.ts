/** Attaching to a QEMU: the protocol, what is left behind, and what goes wrong. The emulator is one of the test's. */
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { attach } from "../cli/record/attach.ts";
import { Ending } from "../cli/record/ending.ts";
import { writeTrace } from "../cli/record/trace.ts";
import { TraceFolder } from "../cli/record/trace-folder.ts";
import { QmpClient, socketAddress } from "../parsers/qemu/qmp.ts";
import { openTrace } from "../parsers/trace/source.ts";
import { replayTrace } from "../pipeline/replay/run.ts";
import { ended, start } from "./support/cli.ts";
import { type FakeMachine, FakeQemu } from "./support/fake-qemu.ts";

let folder: string;
let socket: string;
let fake: FakeQemu | null = null;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "record-"));
  socket = join(folder, "qmp");
});

afterEach(async () => {
  await fake?.close();
  fake = null;
  rmSync(folder, { recursive: true, force: true });
});

const REQUESTS = [
  "vtd_iotlb_page_update IOTLB page update sid 0x28 iova 0x200010 slpte 0x1010003 domain 0x7",
  "vtd_dmar_translate dev 00:05.00 iova 0x200000 -> gpa 0x1010000 mask 0xfff",
  "vtd_dmar_fault sid 0x28 fault 6 addr 0x300000 write 0",
  "",
].join("\n");

/** A legacy-mode machine: 00:05.0 in domain 7, 3 levels, 0x200000 mapped to 0x1010000 (VT-d 5.10, 9.1, 9.3, 9.8). */
function machine(more: Partial<FakeMachine> = {}): FakeMachine {
  const page = (...words: [number, bigint][]) => {
    const bytes = Buffer.alloc(4096);
    for (const [at, word] of words) bytes.writeBigUInt64LE(word, at);
    return bytes;
  };
  return {
    regions: "address-space: memory\r\n    00000000fed90000-00000000fed9022f (prio 0, i/o): intel_iommu\r\n",
    registers: {
      "0xfed90008": 0xd2008c22260206n,
      "0xfed90010": 0xf00f4an,
      "0xfed9001c": 0xc7000000n,
      "0xfed90020": 0x1000000n,
      "0xfed90080": 0n,
      "0xfed90088": 0n,
      "0xfed90090": 0x1006000n,
    },
    pages: new Map([
      [0x1000, page([0, 0x1001001n])],
      [0x1001, page([0x280, 0x1002001n], [0x288, 0x701n])],
      [0x1002, page([0, 0x1003003n])],
      [0x1003, page([8, 0x1004003n])],
      [0x1004, page([0, 0x1010003n])],
    ]),
    events: new Map([
      ["vtd_dmar_translate", false],
      ["vtd_iotlb_page_update", false],
      ["vtd_dmar_fault", true],
      ["vtd_ir_remap", false],
    ]),
    log: REQUESTS,
    ...more,
  };
}

async function record(ms = 30) {
  const said: string[] = [];
  const target = new TraceFolder(join(folder, "rec"));
  const recording = await attach(socket, target, new Ending(ms), (text) => said.push(text));
  return { recording, target, said, ...(await writeTrace(target, recording)) };
}

async function verdicts(target: TraceFolder) {
  const chunks: Buffer[] = [];
  const source = await openTrace(target.trace);
  await replayTrace(
    source,
    { write: (chunk) => void chunks.push(Buffer.from(chunk)) },
    { directory: target.path },
  );
  const records = Buffer.concat(chunks)
    .toString()
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));
  return records
    .filter(({ type }) => type === "outcome")
    .map(({ result, verdict }) => `${result} ${verdict}`);
}

describe("a machine that runs", () => {
  test("is recorded: its requests are replayed by the tables that it had", async () => {
    fake = await FakeQemu.open(socket, machine());
    const { target, said, recording } = await record();
    expect(await verdicts(target)).toEqual(["ok match", "fault match"]);
    expect(said).toEqual([
      expect.stringMatching(/^QEMU 10\.0\.13: dmar0 \(intel_iommu, 5 pages of tables\)/),
    ]);
    expect(recording.why).toBe("time");
    expect(readdirSync(target.path).sort()).toEqual([
      "end.lime",
      "qemu.log",
      "registers.ndjson",
      "start.lime",
      "trace.ndjson",
    ]);
  });

  test.runIf(process.platform === "linux")(
    "says where QEMU has come to write its log elsewhere",
    async () => {
      for (const [kept, notes] of [
        [true, []],
        [false, [expect.stringMatching(/^somebody had QEMU write its log elsewhere while recording /)]],
      ] as const) {
        fake = await FakeQemu.open(socket, machine());
        let log = -1;
        // This process is the QEMU.
        fake.override = (_, line) => {
          const [, path] = /^logfile (.*qemu\.log)$/.exec(line) ?? [];
          if (path !== undefined) log = openSync(path, "a");
          return undefined;
        };
        fake.onCont = () => {
          if (!kept && log >= 0) closeSync(log);
          log = kept ? log : -1;
        };
        const { recording, target } = await record();
        if (kept) closeSync(log);
        expect(recording.notes.filter((note) => note.includes("elsewhere"))).toEqual(notes);
        rmSync(target.path, { recursive: true });
        fake.onCont = () => {};
        await fake.close();
      }
    },
  );

  test("stands still while it is looked at, and is left as it was", async () => {
    fake = await FakeQemu.open(socket, machine());
    await record();
    const orders = fake.asked.filter((what) => /^(?:stop|cont|logfile|trace-event-set)/.test(what));
    const switched = [
      "trace-event-set-state vtd_dmar_translate",
      "trace-event-set-state vtd_iotlb_page_update",
    ];
    expect(orders).toEqual([
      "stop",
      expect.stringMatching(/^logfile .*rec\/qemu\.log$/),
      ...switched,
      "cont",
      "stop",
      ...switched,
      "logfile /dev/null",
      "cont",
    ]);
    // What was on stays on, and what says nothing was never switched on.
    expect([...fake.machine.events]).toEqual([...machine().events]);
    expect(fake.running).toBe(true);
    const between = (from: number, to: number) =>
      fake!.asked.slice(from, to).some((what) => what.startsWith("xp /512gx"));
    expect(between(fake.asked.indexOf("stop"), fake.asked.indexOf("cont"))).toBe(true);
    expect(between(fake.asked.indexOf("cont"), fake.asked.lastIndexOf("stop"))).toBe(false);
  });

  test("that is reset says that its tables were lost", async () => {
    const { registers, ...more } = machine();
    const now = { ...registers };
    fake = await FakeQemu.open(socket, { ...more, registers: now });
    fake.onCont = () => {
      now["0xfed90020"] = 0n;
    };
    const { recording } = await record();
    expect(recording.notes).toContainEqual(expect.stringMatching(/^dmar0 was reset while recording/));
  });

  test("that stood still is not started", async () => {
    fake = await FakeQemu.open(socket, machine());
    fake.running = false;
    const { said } = await record();
    expect(said.at(-1)).toMatch(/^the machine is paused, and stays so/);
    expect(fake.asked).not.toContain("cont");
    expect(fake.asked).not.toContain("stop");
  });

  test("whose tables grow is recorded with what there is at the end", async () => {
    const grown = machine({
      log: `${REQUESTS}vtd_iotlb_page_update IOTLB page update sid 0x28 iova 0x405020 slpte 0x1013003 domain 0x7\nvtd_dmar_translate dev 00:05.00 iova 0x405000 -> gpa 0x1013000 mask 0xfff\n`,
    });
    fake = await FakeQemu.open(socket, grown);
    fake.onCont = () => {
      const l1 = Buffer.alloc(4096);
      l1.writeBigUInt64LE(0x1013003n, 5 * 8);
      grown.pages.set(0x1005, l1);
      grown.pages.get(0x1003)!.writeBigUInt64LE(0x1005003n, 16);
    };
    const { target } = await record();
    expect(await verdicts(target)).toEqual(["ok match", "fault match", "ok match"]);
    expect(readFileSync(target.trace, "utf8")).toContain('"assumed":["data"]');
  });

  test("that is given more memory has the tables in it as they are at the end, and says so", async () => {
    const grown = machine();
    fake = await FakeQemu.open(socket, grown);
    fake.override = (command) =>
      command === "query-memory-devices" && grown.pages.has(0x100000)
        ? { return: [{ type: "dimm", data: { id: "dimm1", addr: 0x100000000, size: 0x40000000 } }] }
        : undefined;
    fake.onCont = () => {
      grown.pages.set(0x100000, Buffer.alloc(4096, 1));
      grown.pages.get(0x1003)!.writeBigUInt64LE(0x100000003n, 16);
    };
    const { recording } = await record();
    expect(recording.notes).toEqual([
      "memory was plugged in while recording (dimm1, 0x100000000 to 0x13fffffff): what tables were in it is known of the end alone",
    ]);
    expect(recording.start.pages.has(0x100000)).toBe(false);
    expect(recording.end!.pages.get(0x100000)).toEqual(Buffer.alloc(4096, 1));
  });

  test("and whose devices do nothing has its tables in the trace all the same", async () => {
    fake = await FakeQemu.open(socket, machine({ log: "" }));
    const { target, report } = await record();
    expect(report.formats).toEqual([]);
    expect(readFileSync(target.trace, "utf8")).toMatch(
      /"type":"iommu","id":"dmar0","model":"intel","regs":\{"cap":"0xd2008c22260206",.*"rtaddr":"0x1000000"/,
    );
  });

  test("ends the recording when its guest shuts down", async () => {
    fake = await FakeQemu.open(socket, machine());
    fake.onCont = () => setTimeout(() => fake!.send('{"event":"SHUTDOWN","data":{"guest":true}}\r\n'), 5);
    const { recording } = await record(60_000);
    expect(recording.why).toBe("guest");
    expect(recording.end).not.toBeNull();
  });

  test("that is gone before the end leaves a trace that says so", async () => {
    fake = await FakeQemu.open(socket, machine());
    fake.onCont = () => setTimeout(() => fake!.crash(), 5);
    const { recording, target } = await record(60_000);
    expect(recording.why).toBe("gone");
    expect(await verdicts(target)).toEqual(["ok match", "fault match"]);
    expect(readFileSync(target.trace, "utf8")).toMatch(
      /"type":"loss","what":"end-memory","severity":"error"/,
    );
    expect(existsSync(target.end)).toBe(false);
  });
});

describe("a machine that is not left as it was found", () => {
  const isAsBefore = () => {
    expect(fake!.running).toBe(true);
    expect([...fake!.machine.events]).toEqual([...machine().events]);
  };

  test("goes on where the connection ends while it stands still", async () => {
    fake = await FakeQemu.open(socket, machine());
    let once = true;
    fake.override = (_, line) => {
      if (!once || !line.startsWith("xp /512gx")) return undefined;
      once = false;
      fake!.crash();
      return null;
    };
    await expect(record()).rejects.toThrow(/expected QEMU to answer, found the connection closed$/);
    isAsBefore();
  });

  test("has its events switched off where the connection ends, or says nonsense, while it runs", async () => {
    for (const [name, happens] of [
      ["closed", () => fake!.crash()],
      ["nonsense", () => fake!.send("(qemu) what?\r\n")],
    ] as const) {
      fake = await FakeQemu.open(socket, machine());
      let once = true;
      fake.onCont = () => {
        if (once) setTimeout(happens, 5);
        once = false;
      };
      const { recording } = await record(60_000);
      expect(recording.why, name).toBe("gone");
      expect(recording.notes).toEqual([]);
      isAsBefore();
      expect(fake.logfile).toBe("/dev/null");
      await fake.close();
      rmSync(join(folder, "rec"), { recursive: true });
    }
  });

  test("goes on although its events cannot be switched off, and the recording says so", async () => {
    fake = await FakeQemu.open(socket, machine());
    let asked = 0;
    fake.override = (command) =>
      command === "trace-event-set-state" && ++asked > 2
        ? { error: { class: "GenericError", desc: "no" } }
        : undefined;
    const { recording, target } = await record();
    expect(fake.running).toBe(true);
    expect(fake.logfile).toBe("/dev/null");
    expect(recording.notes).toEqual([
      expect.stringMatching(/^QEMU is not as it was \(.*trace-event-set-state: QEMU says: no$/),
    ]);
    expect(await verdicts(target)).toEqual(["ok match", "fault match"]);
  });

  test("goes on although a second Ctrl-C comes while it is restored", async () => {
    const qemu = await FakeQemu.open(socket, machine());
    fake = qemu;
    const child = start(["record", "--qmp", socket, "-o", join(folder, "rec")]);
    const over = ended(child);
    let asked = 0;
    fake.override = (command) => {
      // Two are switched on, and then off again.
      if (command !== "trace-event-set-state" || ++asked !== 3) return undefined;
      child.kill("SIGINT");
      setTimeout(() => qemu.send('{"return":{}}\r\n'), 100);
      qemu.machine.events.set("vtd_dmar_translate", false);
      return null;
    };
    fake.onCont = () => setTimeout(() => asked === 2 && child.kill("SIGINT"), 300);
    expect(await over).toMatchObject({ status: 130 });
    isAsBefore();
  });

  test("goes on where Ctrl-C comes before the recording has begun, and nothing is left of it", async () => {
    fake = await FakeQemu.open(socket, machine());
    const child = start(["record", "--qmp", socket, "-o", join(folder, "rec")]);
    const over = ended(child);
    fake.override = (command, line) => {
      if (command !== "human-monitor-command" || !line.startsWith("logfile /") || !line.includes("rec"))
        return undefined;
      child.kill("SIGINT");
      setTimeout(() => {
        writeFileSync(line.slice(8), "");
        fake!.logfile = line.slice(8);
        fake!.send('{"return":""}\r\n');
      }, 100);
      return null;
    };
    expect(await over).toMatchObject({ status: 130 });
    expect(fake.asked.filter((what) => /^(?:stop|cont)/.test(what))).toEqual(["stop", "cont"]);
    isAsBefore();
    expect(existsSync(join(folder, "rec"))).toBe(false);
  });

  test("leaves no half-written trace where Ctrl-C comes twice", async () => {
    fake = await FakeQemu.open(socket, machine());
    const child = start(["record", "--qmp", socket, "-o", join(folder, "rec")]);
    const over = ended(child);
    fake.onCont = () => setTimeout(() => fake!.running && child.kill("SIGINT"), 300);
    let stops = 0;
    fake.override = (command) => {
      // The machine is looked at again, and what comes after it follows at once.
      if (command !== "stop" || ++stops !== 2) return undefined;
      child.kill("SIGINT");
      return undefined;
    };
    expect(await over).toMatchObject({ status: 130, stderr: expect.not.stringContaining("not as it was") });
    isAsBefore();
    expect(readdirSync(join(folder, "rec")).filter((name) => name.endsWith(".tmp"))).toEqual([]);
  });

  test("is gone for good: there is nothing to restore, and nothing to say", async () => {
    fake = await FakeQemu.open(socket, machine());
    fake.onCont = () => setTimeout(() => fake!.close(), 5);
    const { recording } = await record(60_000);
    expect(recording).toMatchObject({ why: "gone", notes: [] });
    fake = null;
  });

  test("ends the recording when its guest resets, and goes on", async () => {
    fake = await FakeQemu.open(socket, machine());
    fake.onCont = () => setTimeout(() => fake!.send('{"event":"RESET","data":{"guest":true}}\r\n'), 5);
    const { recording } = await record(60_000);
    expect(recording.why).toBe("guest");
    isAsBefore();
  });
});

/** As `info mtree -o` has it; without an id, the owner is the platform's. */
function riscvRegion(base: number, id?: string): string {
  const at = (address: number) => address.toString(16).padStart(16, "0");
  const owner = id === undefined ? "path=/machine/unattached/device[14]/iommu" : `id=${id}`;
  return `    ${at(base)}-${at(base + 0xfff)} (prio 0, i/o): riscv-iommu-regs owner:{dev ${owner}}\r\n`;
}

/** The platform's IOMMU and the one of 00:01.0: 00:06.0 has 0x200000 at 0x1010000 by the first, at 0x1020000 by the second. */
function severalIommus(log: string): FakeMachine {
  const registers: Record<string, bigint> = {};
  const pages = new Map<number, Buffer>();
  const word = (frame: number, at: number, value: bigint) => {
    const page = pages.get(frame) ?? Buffer.alloc(4096);
    pages.set(frame, page);
    page.writeBigUInt64LE(value, at);
  };
  // RISC-V IOMMU 1.0, 2.1 (extended format), 5.8; Sv39: a page of 4 KiB, V R W U A D.
  for (const [base, frame, leaf] of [
    [0x3010000, 0x1000, 0x1010n],
    [0x40000000, 0x1100, 0x1020n],
  ] as const) {
    const next = (n: number) => BigInt(frame + n) << 10n;
    const values = [0x78c2cf4f10n, 0n, next(0) | 2n, 0n, 0n, 0n];
    for (const [i, offset] of [0, 8, 0x10, 0x18, 0x20, 0x24].entries())
      registers[`0x${(base + offset).toString(16)}`] = values[i]!;
    word(frame, 0x30 * 64, 1n);
    word(frame, 0x30 * 64 + 24, (8n << 60n) | BigInt(frame + 1));
    word(frame + 1, 0, next(2) | 1n);
    word(frame + 2, 8, next(3) | 1n);
    word(frame + 3, 0, (leaf << 10n) | 0xd7n);
  }
  const regions = riscvRegion(0x3010000) + riscvRegion(0x40000000, "00:01.0");
  const events = new Map([
    ["riscv_iommu_dma", false],
    ["riscv_iommu_cmd", false],
  ]);
  return machine({ regions, registers, pages, events, log });
}

describe("a machine with several IOMMUs whose events name them", () => {
  const request = (id: string, to: string) =>
    `riscv_iommu_dma ${id}: translate 0000:06.0 #0 RO 0x200010 -> ${to}\n`;
  const records = (target: TraceFolder) =>
    readFileSync(target.trace, "utf8")
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line));

  test("has the registers, requests and commands of each", async () => {
    const command = (id: string, word: string) => `riscv_iommu_cmd ${id}: command ${word} 0x0\n`;
    const log = [
      request("(null)", "0x1010010"),
      request("00:01.0", "0x1020010"),
      command("00:01.0", "0x1"),
      command("(null)", "0x2"),
      request("00:01.0", "0x1010010"),
      request("(null)", "0x1020010"),
    ];
    fake = await FakeQemu.open(socket, severalIommus(log.join("")));
    const { target, said, report } = await record();
    const names = (type: string) =>
      records(target)
        .filter((each) => each.type === type)
        .map(({ id, iommu, regs, data }) => [id ?? iommu, regs?.ddtp ?? data?.[0]]);
    expect(names("iommu")).toEqual([
      ["riscv-iommu", "0x400002"],
      ["00:01.0", "0x440002"],
    ]);
    expect(names("cmd")).toEqual([
      ["00:01.0", "0x1"],
      ["riscv-iommu", "0x2"],
    ]);
    expect(names("dma").map(([id]) => id)).toEqual(["riscv-iommu", "00:01.0", "riscv-iommu"]);
    // What the other would have answered is wrong; only where tables were invalidated may it be of new ones.
    expect([...report.lost].map(([what, { count }]) => [what, count])).toEqual([["tables-changed", 1]]);
    expect(await verdicts(target)).toEqual(["ok match", "ok match", "ok mismatch"]);
    expect(said[0]).toContain(
      "riscv-iommu (riscv-iommu-regs, 4 pages of tables), 00:01.0 (riscv-iommu-regs, 4 pages of tables)",
    );
  });

  test("has those in its trace that did nothing", async () => {
    fake = await FakeQemu.open(socket, severalIommus(request("00:01.0", "0x1020010")));
    const { target } = await record();
    const iommus = records(target).filter(({ type }) => type === "iommu");
    expect(iommus.map(({ id, regs }) => [id, regs.ddtp])).toEqual([
      ["00:01.0", "0x440002"],
      ["riscv-iommu", "0x400002"],
    ]);
  });

  test("lends none the registers of another, and says which came late", async () => {
    const { regions, ...more } = severalIommus(request("00:01.0", "0x1010010"));
    fake = await FakeQemu.open(socket, { ...more, regions: riscvRegion(0x3010000) });
    let asked = 0;
    fake.override = (_, line) => (line === "info mtree -o" && ++asked > 1 ? { return: regions } : undefined);
    const { target, report } = await record();
    expect(await verdicts(target)).toEqual([]);
    expect([...report.lost.values()].map(({ count }) => count)).toEqual([1]);
    expect(records(target).map(({ label }) => label)).toContain(
      "the guest gave the registers of 00:01.0 their place (0x40000000) while recording: they were not read, and what it translates is not known",
    );
  });
});

describe("what cannot be recorded", () => {
  const failure =
    (more: Partial<FakeMachine> = {}, override?: FakeQemu["override"]) =>
    async () => {
      fake = await FakeQemu.open(socket, machine(more));
      if (override !== undefined) fake.override = override;
      await record();
    };

  test.each([
    [
      "a socket that is not there",
      "qmp",
      /qmp: expected the QMP socket of a running QEMU, found no such socket \(ENOENT\)$/,
    ],
    ["a file", "file", /found a socket that nobody listens on, or no socket \(ECONNREFUSED\)$/],
  ])("%s", async (_, name, message) => {
    writeFileSync(join(folder, "file"), "");
    socket = join(folder, name);
    await expect(record()).rejects.toThrow(message);
  });

  test.each<[string, string, RegExp]>([
    [
      "something that is no QMP",
      "SSH-2.0-OpenSSH\r\n",
      /expected a QMP message \(a JSON object\), found "SSH-2\.0-OpenSSH"$/,
    ],
    ["JSON of another kind", '{"hello":1}\r\n', /expected a QMP message .*, found "\{\\"hello\\":1\}"$/],
    [
      "a greeting without a version",
      '{"QMP":{}}\r\n',
      /expected QMP's greeting, found "\{\\"QMP\\":\{\}\}"$/,
    ],
  ])("%s", async (_, greeting, message) => {
    await expect(failure({}, (command) => (command === "greeting" ? greeting : undefined))()).rejects.toThrow(
      message,
    );
  });

  test("one that never answers", async () => {
    fake = await FakeQemu.open(socket, machine());
    fake.override = (command) => (command === "query-status" ? null : undefined);
    const client = await QmpClient.open(socket);
    await expect(client.execute("query-status", {}, 20)).rejects.toThrow(
      /query-status: expected an answer within 0\.02 s, found none$/,
    );
    expect(client.gone).toBe(true);
    await expect(client.execute("stop")).rejects.toThrow(/expected an answer within/);
  });

  test("one that is too old", async () => {
    await expect(failure({ version: { major: 6, minor: 2, micro: 0 } })()).rejects.toThrow(
      /expected QEMU 7\.2 or later, found 6\.2\.0$/,
    );
  });

  test("a machine without an IOMMU", async () => {
    await expect(failure({ regions: "address-space: memory\r\n" })()).rejects.toThrow(
      /expected a machine with an IOMMU \(intel_iommu, arm-smmuv3, amdvi-mmio, riscv-iommu-regs in "info mtree"\), found none$/,
    );
  });

  test("a machine whose only IOMMU is a PCI function that the guest has not mapped", async () => {
    const pci = "  Bus  0, device   1, function 0:\r\n    Class 2054: PCI device 1b36:0014\r\n";
    await expect(
      failure({ regions: "address-space: memory\r\n" }, (_, line) =>
        line === "info pci" ? { return: pci } : undefined,
      )(),
    ).rejects.toThrow(
      /found a riscv-iommu-pci whose registers the guest has given no place yet: attach with --qmp/,
    );
  });

  // Where a file system takes no folders, and says that there is none, mkdir -p would try again and again.
  test.runIf(process.platform === "linux")("into a folder that can be nowhere", () => {
    expect(() => new TraceFolder("/proc/nowhere/of/mine")).toThrow(
      /^\/proc\/nowhere\/of\/mine: expected to make a folder, found no such file or folder \(ENOENT\)$/,
    );
    const deep = join(folder, "some", "folders", "deep");
    expect(existsSync(new TraceFolder(deep).path)).toBe(true);
    writeFileSync(join(folder, "a-file"), "");
    expect(() => new TraceFolder(join(folder, "a-file", "in"))).toThrow(
      /found a file where a folder must be/,
    );
  });

  test("a machine with two that its events call the same", async () => {
    const regions = riscvRegion(0x40000000, "00:00.0") + riscvRegion(0x48000000, "00:00.0");
    await expect(failure({ regions })()).rejects.toThrow(
      /found two that they call 00:00\.0 \(registers at 0x40000000 and 0x48000000\): .* give them different slots$/,
    );
  });

  test("a QEMU without its trace events: the machine goes on", async () => {
    await expect(failure({ events: new Map() })()).rejects.toThrow(
      /expected a QEMU with trace events vtd_\* \(intel\), found none$/,
    );
    expect(fake!.running).toBe(true);
    expect(fake!.asked.at(-1)).toBe("cont");
  });

  test("a log that QEMU may not write: the machine goes on", async () => {
    const refuse: FakeQemu["override"] = (_, line) =>
      line.startsWith("logfile") ? { return: "Error opening logfile: Permission denied\r\n" } : undefined;
    await expect(failure({}, refuse)()).rejects.toThrow(
      /expected QEMU to write its log there .*, found: Error opening logfile: Permission denied$/,
    );
    expect(fake!.running).toBe(true);
  });

  test("a register that cannot be read, a page that is not whole", async () => {
    await expect(failure({ registers: {} })()).rejects.toThrow(
      /register cap at 0xfed90008: expected a value, found none$/,
    );
    await fake!.close();
    rmSync(join(folder, "rec"), { recursive: true });
    const half: FakeQemu["override"] = (_, line) =>
      line === "xp /512gx 0x1000000" ? { return: "01000000: 0x0000000001001001\r\n" } : undefined;
    await expect(failure({}, half)()).rejects.toThrow(/xp \/512gx 0x1000000: expected 512 words, found 1$/);
  });

  test("an order that QEMU refuses", async () => {
    const refuse: FakeQemu["override"] = (command) =>
      command === "stop" ? { error: { class: "GenericError", desc: "not now" } } : undefined;
    await expect(failure({}, refuse)()).rejects.toThrow(/stop: QEMU says: not now$/);
  });

  test("a folder that cannot be made", async () => {
    writeFileSync(join(folder, "rec"), "");
    await expect(record()).rejects.toThrow(/rec: expected to make a folder, found .*\(EEXIST\)|EEXIST$/);
  });

  test("a folder with something in it", async () => {
    mkdirSync(join(folder, "rec"));
    writeFileSync(join(folder, "rec", "mine"), "");
    await expect(record()).rejects.toThrow(/rec: expected an empty folder, or none, found mine$/);
  });
});

test("sockets are paths, or host and port", () => {
  expect(socketAddress("/run/vm.qmp")).toEqual({ path: "/run/vm.qmp" });
  expect(socketAddress("unix:/run/vm.qmp")).toEqual({ path: "/run/vm.qmp" });
  expect(socketAddress("tcp:localhost:4444")).toEqual({ host: "localhost", port: 4444 });
  expect(socketAddress(":4444")).toEqual({ host: "localhost", port: 4444 });
  expect(socketAddress("dir/x:1")).toEqual({ path: "dir/x:1" });
});
