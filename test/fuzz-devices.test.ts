import { spawn } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { afterAll, describe, expect, it, vi } from "vitest";
import { KnownFindings } from "../cli/fuzz/known-findings.ts";
import { knownOfQemu } from "../cli/fuzz/known-of-qemu.ts";
import type { DeviceFailure } from "../pipeline/fuzz/port.ts";
import { ProcessDevice } from "../pipeline/fuzz/process-device.ts";
import { helloOfDevice, readAnswer, readHello } from "../pipeline/fuzz/protocol.ts";
import { NO_LIMITS } from "../walkers/fuzz/world.ts";
import { cli, ended, run, start } from "./support/cli.ts";

const folder = mkdtempSync(join(tmpdir(), "pasid-fuzz-"));
afterAll(() => rmSync(folder, { recursive: true }));

const REQUEST = { type: "dma", seq: 1, dev: "00:03.0", addr: "0x1000" };

/** A device that answers line by line, by the code of a function of a record and how many came before it. */
function device(name: string, answers: string): string {
  const path = join(folder, `${name}.mjs`);
  writeFileSync(
    path,
    `import { createInterface } from "node:readline";
     const HELLO = { type: "hello", protocol: 1, name: "test", model: "amd" };
     const say = (record) => process.stdout.write(JSON.stringify(record) + "\\n");
     for await (const line of createInterface({ input: process.stdin })) {
       const record = JSON.parse(line);
       if (record.type === "hello") say(HELLO);
       else if (record.type === "reset") say({ type: "reset" });
       else if (record.type === "dma") { ${answers} }
     }`,
  );
  return `node ${path}`;
}

async function failureOf(command: string, timeout = 20_000): Promise<DeviceFailure> {
  const port = await ProcessDevice.start(command, timeout);
  try {
    return await port.run([REQUEST]).then(
      () => expect.unreachable("expected a failure"),
      (error) => error,
    );
  } finally {
    await port.close();
  }
}

describe.concurrent("a device that fails", () => {
  it("ends: with its status and its last words", async () => {
    const failure = await failureOf(device("dies", 'console.error("out of tables"); process.exit(3);'));
    expect(failure).toMatchObject({
      kind: "died",
      message: "the device ended with status 3; it said: out of tables",
    });
  });

  it("says nothing", async () => {
    const failure = await failureOf(device("hangs", ""), 3000);
    expect(failure).toMatchObject({
      kind: "hung",
      message: "expected an answer within 3 s, found none",
    });
  });

  it("answers another request", async () => {
    const failure = await failureOf(device("late", 'say({ type: "observed", seq: 7, result: "msi" });'));
    expect(failure).toMatchObject({ kind: "nonsense", message: "observed.seq: expected 1, found 7" });
  });

  it("does not start", async () => {
    const start = ProcessDevice.start("exit 5", 20_000);
    await expect(start).rejects.toMatchObject({
      kind: "start",
      message: "the device ended with status 5",
    });
  });
});

it("skips what it cannot do", async () => {
  const port = await ProcessDevice.start(
    device("skips", 'say({ type: "observed", seq: record.seq, result: "skipped" });'),
    20_000,
  );
  expect(await port.run([REQUEST, { ...REQUEST, seq: 2 }])).toEqual([undefined, undefined]);
  await port.close();
});

it.each(readdirSync("samples/fuzz"))("what is known of QEMU names sections: samples/fuzz/%s", (name) => {
  const known = new KnownFindings([join("samples/fuzz", name)]);
  for (const pattern of known.unused) expect(known.reasonOf(pattern)).toMatch(/\(.*(\d\.\d|Sv39|tr_).*\)$/);
  expect(known.has("SMMUv3 stream table entry.S2R: mismatch: ok → 0x13")).toBe(false);
});

it.each([
  [7.2, "intel", ["qemu-7.2-intel", "qemu-intel"]],
  [11.1, "intel", ["qemu-11.1-intel", "qemu-intel"]],
  [9.2, "amd", ["qemu-7.2-10.0-amd", "qemu-amd"]],
  [12, "amd", ["qemu-11.1-amd", "qemu-amd"]],
  [10.2, "arm-smmuv3", ["qemu-10.0-11.1-arm-smmuv3", "qemu-arm-smmuv3"]],
] as const)("what is known of QEMU %s, %s", (version, model, names) => {
  const files = knownOfQemu(version, model).map((path) => basename(path, ".ignore"));
  expect(files).toEqual(expect.arrayContaining([...names]));
  expect(files).not.toContain(version === 7.2 ? "qemu-11.1-intel" : `qemu-7.2-${model}`);
});

it("takes codes that stand for others, and mistakes by name, as known", () => {
  const path = join(mkdtempSync(join(tmpdir(), "known-")), "known.ndjson");
  writeFileSync(
    path,
    '{"code_alias":"0x41=0x2,0x79=0x5,0x79=0x6","reason":"a"}\n{"bug":"pasid-reserved","reason":"b"}\n',
  );
  const known = new KnownFindings([path, path]);
  expect(known.codeAliases).toEqual(
    new Map([
      [0x41, new Set([2])],
      [0x79, new Set([5, 6])],
    ]),
  );
  expect(known.bugs).toEqual(["pasid-reserved", "pasid-reserved"]);
  for (const [line, message] of [
    [
      '{"code_alias":"0x41","reason":"a"}',
      /known\.ndjson:1: expected a code of the specification and a recorded one/,
    ],
    ['{"code_alias":"0x41=0x2"}', /known\.ndjson:1: expected \{"signature": a pattern, "reason"/],
    ['{"bug":"a","code_alias":"0x41=0x2","reason":"a"}', /known\.ndjson:1: expected \{"signature"/],
  ] as const) {
    writeFileSync(path, line);
    expect(() => new KnownFindings([path])).toThrow(message);
  }
});

describe("the protocol", () => {
  it("says all limits, and reads them again", () => {
    const hello = {
      name: "a",
      model: "arm-smmuv3" as const,
      window: 7,
      limits: {
        ...NO_LIMITS,
        regs: { idr0: 0xd44101bn },
        devices: [48],
        memory: { base: 0x4000_0000n, bytes: 0x1000_0000n },
        pagesInMemory: true,
        accesses: ["r", "w"] as const,
        pasid: false,
        priv: false,
        untranslated: false,
        len: 8,
      },
    };
    expect(readHello(helloOfDevice(hello))).toEqual(hello);
  });

  it.each([
    ['{"type":"observed","seq":1}', "observed.result"],
    ['{"type":"observed","seq":1,"result":"ok"}', "observed.pa: expected an address"],
    ['{"type":"observed","seq":1,"result":"fault","code":7}', "observed.code"],
    ['{"type":"reset"}', "expected the answer to request 1"],
    ["ok", "expected a JSON object"],
  ])("refuses the answer %s", (line, message) => {
    expect(() => readAnswer(line, 1)).toThrow(message);
  });

  it.each([
    ['{"type":"hello","protocol":2,"model":"amd"}', "hello.protocol: expected 1, found 2"],
    ['{"type":"hello","protocol":1,"model":"vtd"}', "hello.model: expected one of"],
    ['{"type":"hello","protocol":1,"model":"amd","window":0}', "hello.window"],
    [
      '{"type":"hello","protocol":1,"model":"amd","supports":{"devices":["x"]}}',
      "hello.supports.devices: expected names",
    ],
    ['{"type":"hello","protocol":1,"model":"amd","supports":{"access":["rwx"]}}', "hello.supports.access"],
    ['{"type":"hello","protocol":1,"model":"amd","suports":{}}', 'found "suports"; did you mean supports?'],
    ['{"type":"hello","protocol":1,"model":"amd","supports":{"pasids":true}}', "did you mean pasid?"],
    ['{"type":"hello","protocol":1,"model":"amd","supports":{"len":0}}', "hello.supports.len: expected 1 to"],
    [
      '{"type":"hello","protocol":1,"model":"amd","supports":{"props":{"pasid_bits":1000}}}',
      "hello.supports.props.pasid_bits: expected an integer 0 to 64",
    ],
    [
      '{"type":"hello","protocol":1,"model":"amd","supports":{"memory":{"base":"0x0","size":"0x1000"}}}',
      "hello.supports.memory.size: expected at least 0x10000",
    ],
    [
      '{"type":"hello","protocol":1,"model":"amd","supports":{"memory":{"base":"0xffffffffff000","size":"0x10000"}}}',
      "hello.supports.memory: expected an end at 0x10000000000000 at most",
    ],
  ])("refuses the hello %s", (line, message) => {
    expect(() => readHello(line)).toThrow(message);
  });
});

describe.concurrent("at the command line", () => {
  const dut = "dist/cli/main.js dut --model amd --bug suppress-all";

  it("finds a planted bug, keeps its trace and its walk; then it is known", async () => {
    const out = join(folder, "found");
    const args = ["fuzz", "--dut", dut, "--seed", "3", "--worlds", "6"];
    const ran = await cli([...args, "--out", out]);
    expect(ran).toMatchObject({ status: 1, stderr: "" });
    expect(ran.stdout).toMatch(/^seed 3; pasid-replay dut, amd\n/);
    expect(ran.stdout).toContain("fault conditions");
    expect(ran.stdout).toMatch(/fault conditions +\d+ of \d+\n {4}not: [A-Z]/);
    const reached = [...ran.stdout.matchAll(/ (\d+) of (\d+)\n/g)].map(
      ([, count, of]) => Number(of) - Number(count),
    );
    const notReached = readFileSync(join(out, "not-reached.txt"), "utf8");
    expect(notReached.trimEnd().split("\n")).toHaveLength(reached.reduce((sum, count) => sum + count, 0));
    const names = readdirSync(out)
      .sort()
      .filter((name) => /^\d/.test(name));
    expect(names.length % 2).toBe(0);
    const replayed = await cli([join(out, names[0]!), "--only", "mismatches", "--no-stats"]);
    expect(replayed.stdout).toContain('"diff":"record"');
    expect(readFileSync(join(out, names[1]!), "utf8")).toContain("Device table entry at");

    const known = join(folder, "known.ndjson");
    writeFileSync(known, '{"signature":"*(record)","reason":"SA is not implemented"}\n');
    const again = await run([...args, "--ignore-file", known]);
    expect(again).toMatchObject({ status: 0, stderr: "" });
    expect(again.stdout).toMatch(/known:\n {2}\d+ × SA is not implemented\n/);
  });

  it("asks again about traces that were kept: of a device that is mended, and of one that is not", async () => {
    const out = join(folder, "again");
    const found = await cli([
      "fuzz",
      "--dut",
      dut,
      "--seed",
      "3",
      "--worlds",
      "6",
      "--no-shrink",
      "--out",
      out,
    ]);
    expect(found.status).toBe(1);
    const traces = readdirSync(out)
      .filter((name) => name.endsWith(".ndjson"))
      .map((name) => join(out, name));
    const again = await run(["fuzz", "--dut", dut, ...traces]);
    expect(again).toMatchObject({ status: 1, stderr: "" });
    expect(again.stdout).toMatch(/^pasid-replay dut, amd\n\S+01-\S+: .*\(record\)/);
    const mended = await run(["fuzz", "--dut", "dist/cli/main.js dut --model amd", ...traces]);
    expect(mended).toMatchObject({ status: 0, stderr: "" });
    expect(mended.stdout).toContain(
      `${traces.length} traces, ${mended.stdout.match(/\d+(?= requests:)/)} requests: ${traces.length} right, 0 that`,
    );
    const bug = join(folder, "bug.ignore");
    writeFileSync(bug, '# of the device\n{"bug":"suppress-all","reason":"SA is not implemented"}\n');
    const known = await run(["fuzz", "--dut", dut, ...traces, "--ignore-file", bug]);
    expect(known).toMatchObject({ status: 0, stderr: "" });
    expect(known.stdout).toMatch(/01-\S+: known: mistakes that it is known to make\n/);
    const dead = await run(["fuzz", "--dut", device("dies-thrice", "process.exit(1);"), traces[0]!]);
    expect(dead).toMatchObject({ status: 2, stderr: "" });
    expect(dead.stdout).toContain(`${traces[0]}: died: the device ended with status 1\n`);
  });

  it("names what it cannot ask about", async () => {
    const [spoilt, other, none] = ["spoilt", "other", "none"].map((name) => join(folder, `${name}.ndjson`));
    writeFileSync(spoilt!, '{"type":"ram","addr":"0x0","size":"0x1000"}\n{"type":\n');
    writeFileSync(other!, '{"type":"iommu","id":"a","model":"riscv"}\n');
    writeFileSync(
      none!,
      '{"type":"iommu","id":"a","model":"amd"}\n{"type":"mem","addr":"zero","data":"00"}\n',
    );
    const args = ["fuzz", "--dut", "dist/cli/main.js dut --model amd"];
    const ran = await run([...args, spoilt!, other!, none!, join(folder, "absent.ndjson")]);
    expect(ran.status).toBe(2);
    expect(ran.stderr.split("\n")).toMatchObject([
      expect.stringContaining(`${spoilt}:2: expected a record`),
      `pasid-replay: ${other}: line 1: iommu.model: expected "amd", found "riscv"`,
      expect.stringMatching(/none.ndjson: line 2: mem.addr: expected .*, found "zero"/),
      expect.stringContaining("absent.ndjson: "),
      "",
    ]);
    expect(ran.stdout).toContain("0 right, 0 that depart, 0 known, 0 not answered, 4 not asked");
    const usage = await run([...args, "--seed", "1", spoilt!]);
    expect(usage.stderr).toContain("--seed: expected none beside traces");
  });

  it("a device that fails: status 2, and where its world is", async () => {
    const command = device("dies-again", "process.exit(1);");
    const ran = await cli(["fuzz", "--dut", command, "--seed", "3", "--worlds", "1", "--out", folder]);
    expect(ran.status).toBe(2);
    expect(ran.stderr).toContain(
      `world 1 of seed 3: the device ended with status 1; kept in ${join(folder, "world-3-1.ndjson")}`,
    );
  });

  it("a device ends with us, even where we are killed and it does not listen", async () => {
    const said = join(folder, "pid");
    const command = device(
      "stays",
      `await import("node:fs").then((fs) => fs.writeFileSync(${JSON.stringify(said)}, String(process.pid)));
       setInterval(() => {}, 1000); await new Promise(() => {});`,
    );
    const args = ["dist/cli/main.js", "fuzz", "--dut", command, "--worlds", "1", "--timeout", "60s"];
    const fuzzer = spawn(process.execPath, args, { stdio: "ignore" });
    await vi.waitFor(() => expect(readFileSync(said, "utf8")).not.toBe(""), 20_000);
    fuzzer.kill("SIGKILL");
    const pid = Number(readFileSync(said, "utf8"));
    await vi.waitFor(() => expect(() => process.kill(pid, 0)).toThrow("ESRCH"), 20_000);
  });

  it("sums up what it has on Ctrl-C, and lets its device end", async () => {
    const child = start([
      "fuzz",
      "--dut",
      dut,
      "--seed",
      "3",
      "--time",
      "10m",
      "--out",
      join(folder, "interrupted"),
    ]);
    const ran = ended(child);
    await new Promise((resolve) => child.stdout!.once("data", resolve));
    child.kill("SIGINT");
    expect(await ran).toMatchObject({ stderr: "", signal: null });
    expect((await ran).status).toBeLessThan(2);
    expect((await ran).stdout).toMatch(
      /^seed 3; .*\n\d+ worlds, \d+ requests: \d+ kinds of departure\n.*reached:\n/s,
    );
  });

  it("the reference walkers, which cache nothing, depart nowhere", async () => {
    const reference = "npx tsx test/fuzz/reference-device.ts amd";
    const ran = await cli(["fuzz", "--dut", reference, "--seed", "3", "--worlds", "4", "--timeout", "60s"]);
    expect(ran).toMatchObject({ status: 0, stderr: "" });
    expect(ran.stdout).toMatch(/4 worlds, \d{3} requests.*: 0 kinds of departure/);
  });

  it("usage", async () => {
    expect(await cli(["fuzz"])).toMatchObject({ status: 2, stdout: "" });
    expect((await cli(["fuzz", "--dut", dut, "--known"])).stderr).toContain("--known: expected --qemu");
    const against = await cli(["fuzz", "--dut", dut, "--against", dut, "--ignore-file", "none"]);
    expect(against.stderr).toContain("--ignore-file: expected none beside --against");
    const bug = await cli(["dut", "--model", "intel", "--bug", "upper-writes"]);
    expect(bug).toMatchObject({ status: 2, stderr: expect.stringContaining("did you mean upper-write?") });
    const listed = await cli(["dut", "--model", "riscv", "--list-bugs"]);
    expect(listed.stdout.split("\n").length).toBeGreaterThan(40);
  });
});
