import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pathToFileURL } from "node:url";
import { gzipSync } from "node:zlib";
import { describe, expect, test, vi } from "vitest";
import { cli, FIXTURE, ROOT, temporaryFolder } from "./support/cli.ts";

/** The built package, by its own name: through the export map of package.json. */
const entry = createRequire(import.meta.url).resolve("pasid-replay");
const { Iommu, LibraryError, Memory, isTraceError, replay, replayBytes } = (await import(
  pathToFileURL(entry).href
)) as typeof import("../pipeline/library/index.ts");

const folder = temporaryFolder();

async function collect<T>(values: AsyncIterable<T>): Promise<T[]> {
  const out: T[] = [];
  for await (const value of values) out.push(value);
  return out;
}

describe("replay", () => {
  test("gives the records that the command writes, from every kind of input", async () => {
    const expected = (await cli([FIXTURE])).stdout;
    const bytes = readFileSync(FIXTURE);
    const half = Math.floor(bytes.length / 2);
    const inputs = [
      FIXTURE,
      pathToFileURL(FIXTURE),
      bytes,
      gzipSync(bytes),
      Readable.from([bytes.subarray(0, half), bytes.subarray(half)]),
      new Blob([bytes]).stream() as unknown as AsyncIterable<Uint8Array>,
      (async function* () {
        yield bytes.toString("utf8");
      })(),
    ];
    for (const input of inputs)
      expect(Buffer.concat(await collect(replayBytes(input))).toString()).toBe(expected);
    const records = await collect(replay(FIXTURE));
    expect(records).toEqual(
      expected
        .trimEnd()
        .split("\n")
        .map((line) => JSON.parse(line)),
    );
  });

  test("takes the options of the command", async () => {
    const faults = await collect(replay(FIXTURE, { only: ["faults"], stats: false }));
    expect(faults.map((r) => r.type === "outcome" && r.name)).toEqual(["SFS.2", "SGN.6", "SPT.2"]);
    expect((await collect(replay(FIXTURE, { only: [] }))).map((r) => r.type)).toEqual(["stats", "summary"]);
  });

  test("leaving early closes the input", async () => {
    const lines = readFileSync(FIXTURE, "utf8").trimEnd().split("\n");
    const input = new Readable({ read() {} });
    input.push(`${lines.slice(0, 10).join("\n")}\n`);
    for await (const record of replay(input)) {
      expect(record).toMatchObject({ type: "outcome", line: 10 });
      break;
    }
    expect(input.destroyed).toBe(true);
  });

  test("leaving early ends a generator and a web stream, too", async () => {
    const line = `${readFileSync(FIXTURE, "utf8").trimEnd().split("\n").slice(0, 10).join("\n")}\n`;
    let ended = false;
    async function* generator() {
      try {
        for (;;) yield line;
      } finally {
        ended = true;
      }
    }
    for await (const _ of replay(generator())) break;
    await vi.waitFor(() => expect(ended).toBe(true));
    let cancelled = false;
    const web = new ReadableStream<Uint8Array>({
      pull: (controller) => controller.enqueue(Buffer.from(line)),
      cancel() {
        cancelled = true;
      },
    });
    for await (const _ of replay(web as unknown as AsyncIterable<Uint8Array>)) break;
    await vi.waitFor(() => expect(cancelled).toBe(true));
  });

  test.each([
    [FIXTURE, { only: ["stale", "fault"] }, "only: expected one of"],
    [FIXTURE, { compare: "all" }, 'compare: expected one of result, pa, code, record, found "all"'],
    [FIXTURE, { paGranularity: 1 }, "paGranularity: expected one of exact, page, found 1"],
    [FIXTURE, { memoryLimit: "1G" }, 'memoryLimit: expected a number of bytes, found "1G"'],
    [FIXTURE, { maxLineBytes: 0 }, "maxLineBytes: expected a number of bytes, found 0"],
    [
      FIXTURE,
      { memoryLimit: Number.POSITIVE_INFINITY },
      "memoryLimit: expected a number of bytes, found Infinity",
    ],
    [
      FIXTURE,
      { snapshotCacheBytes: Number.NaN },
      "snapshotCacheBytes: expected a number of bytes, found NaN",
    ],
    [FIXTURE, { allowPaths: "/data" }, 'allowPaths: expected an array of paths, found "/data"'],
    [FIXTURE, { allowPaths: [5] }, "allowPaths: expected a string, found 5"],
    [FIXTURE, { only: 5 }, "only: expected an array of names, found 5"],
    [FIXTURE, { only: "stale" }, "only: expected an array of names"],
    [FIXTURE, { iotlb: "64x4" }, "iotlb: expected an array of { entries, ways }"],
    [FIXTURE, { iotlb: [{ entries: 64, ways: 5 }] }, "iotlb: expected ways that divide 64 entries"],
    [FIXTURE, { caches: "no" }, 'caches: expected true or false, found "no"'],
    [FIXTURE, { directory: 5 }, "directory: expected a string, found 5"],
    [FIXTURE, { memorylimit: 5 }, "options: expected one of directory, allowPaths, "],
    [FIXTURE, null, "options: expected an object, found null"],
    [null, {}, "input: expected a path, a URL, bytes or a stream of bytes, found null"],
    [5, {}, "found number"],
  ])("refuses %j with %j", async (input, options, message) => {
    await expect(collect(replay(input as never, options as never))).rejects.toMatchObject({
      name: "LibraryError",
      code: "argument",
      message: expect.stringContaining(message),
    });
  });

  test("chunks that are no bytes are a TraceError", async () => {
    const numbers = Readable.from([5]);
    await expect(collect(replay(numbers))).rejects.toMatchObject({ name: "TraceError", code: "unreadable" });
  });

  test("throws a TraceError where there is no trace, and hands on no half of a broken one", async () => {
    const none = await collect(replay(join(folder, "none"))).catch((error: unknown) => error);
    expect(isTraceError(none) && none.code).toBe("missing");
    const broken = Readable.from(
      (async function* () {
        yield readFileSync(FIXTURE);
        throw Object.assign(new Error("the line is dead"), { code: "EIO" });
      })(),
    );
    const records = await collect(replay(broken));
    expect(records.filter((r) => r.type === "outcome").length).toBe(5);
    expect(records.find((r) => r.type === "error")).toMatchObject({ code: "io" });
  });
});

/** The tables of the fixture, written word by word. */
function tables(): InstanceType<typeof Memory> {
  const memory = new Memory();
  memory.addRam(0n, 0x8000n);
  const words: [bigint, bigint][] = [
    [0x1000n, 0x2001n],
    [0x2140n, 0x41n],
    [0x2148n, 3n],
    [0x2150n, 0x3000n],
    [0x37f0n, 0x4007n],
    [0x4000n, 0x5007n],
    [0x5000n, 0x6007n],
    [0x6000n, 0x9999_9007n],
    [0x6008n, 0x1234_5007n],
    [0x6018n, 0x1234_7005n],
  ];
  for (const [address, word] of words)
    memory.write(address, new Uint8Array(new BigUint64Array([word]).buffer));
  return memory;
}

describe("Iommu", () => {
  const bound = (memory = tables()) => {
    const iommu = new Iommu("intel", memory);
    iommu.bind("00:03.0", { model: "intel", base: 0x1000n });
    return iommu;
  };
  const device = "00:03.0";

  test("walks a request with addresses as bigint", () => {
    const outcome = bound().walk({ device, pasid: 5, address: 0x7f00_0000_0ff0n, bytes: 32, access: "w" });
    expect(outcome).toEqual({
      result: "ok",
      model: "intel",
      runs: [
        { address: 0x9999_9ff0n, bytes: 16 },
        { address: 0x1234_5000n, bytes: 16 },
      ],
      pageBytes: 4096,
      rights: { read: true, write: true, execute: false },
      domain: 3,
      asid: undefined,
      passthrough: false,
      reads: 12,
    });
  });

  test("says what faults, where and why", () => {
    const iommu = bound();
    const denied = iommu.walk({ device: 0x18, pasid: 5, address: 0x7f00_0000_3000n, access: "w" });
    expect(denied).toMatchObject({
      result: "fault",
      reason: "PERMISSION",
      stage: 1,
      level: 1,
      entry: { address: 0x6018n, value: 0x1234_7005n },
      address: 0x7f00_0000_3000n,
      recorded: true,
      hole: false,
    });
    const later = iommu.walk({ device, pasid: 5, address: 0x7f00_0000_1ff8n, bytes: 16 });
    expect(later).toMatchObject({ result: "fault", reason: "PTE_FETCH", address: 0x7f00_0000_2000n });
  });

  test("sees memory and bindings change", () => {
    const memory = tables();
    const iommu = bound(memory);
    const request = { device, pasid: 5, address: 0x7f00_0000_1000n };
    expect(iommu.walk(request).result).toBe("ok");
    memory.write(0x6008n, new Uint8Array(8));
    expect(iommu.walk(request)).toMatchObject({ result: "fault", reason: "PTE_FETCH" });
    expect(iommu.unbind(device)).toBe(true);
    expect(iommu.unbind(device)).toBe(false);
    // Without its binding it is walked from the root table, at 0 where no register says otherwise.
    const unbound = iommu.walk({ device, address: request.address });
    expect(unbound).toMatchObject({ result: "fault", reason: "BAD_DEVICE_CONTEXT", entry: { address: 0n } });
  });

  test("inspects what a walk reads", () => {
    const [page] = bound().inspect({ device, pasid: 5, address: 0x7f00_0000_1000n });
    expect(page!.steps.map((step) => step.address)).toEqual([
      ...[0x1000n, 0x2140n],
      ...[0x37f0n, 0x4000n, 0x5000n, 0x6008n],
    ]);
    expect(page!.steps.at(-1)!.fields.find((field) => field.name === "ADDR")!.text).toBe("0x12345000");
  });

  test("inspects the first pages of a long request, and the one where it faults", () => {
    const memory = tables();
    // 400 pages that all map the same frame, from index 8 on; the next one is not present.
    const entries = new BigUint64Array(400).fill(0x1234_5007n);
    memory.write(0x6008n + 7n * 8n, new Uint8Array(entries.buffer));
    const pages = bound(memory).inspect({ device, pasid: 5, address: 0x7f00_0000_8000n, bytes: 500 * 4096 });
    expect(pages).toHaveLength(64);
    expect(
      pages
        .slice(0, 63)
        .every((page, i) => page.skipped === 0 && page.address === 0x7f00_0000_8000n + BigInt(i) * 0x1000n),
    ).toBe(true);
    expect(pages[63]).toMatchObject({ address: 0x7f00_0019_8000n, skipped: 400 - 63, result: { status: 1 } });
    expect(pages[63]!.steps.at(-1)!.words).toEqual([0n]);
  });

  // A caller without a compiler makes all sorts of mistakes: none may pass for something else.
  const careless = (value: unknown) => value as never;
  test.each<[code: string, message: string, (iommu: InstanceType<typeof Iommu>) => unknown]>([
    [
      "argument",
      'model: expected one of intel, arm-smmuv3, amd, riscv, found "ibm"',
      () => new Iommu(careless("ibm"), tables()),
    ],
    [
      "argument",
      "props.output_bits: expected an integer 32 to 64, found 5",
      () => new Iommu("amd", tables(), { props: { output_bits: 5 } }),
    ],
    [
      "argument",
      "cap: expected a bigint, found number",
      () => new Iommu("intel", tables(), { registers: { cap: careless(5) } }),
    ],
    [
      "argument",
      "address: expected a 64-bit number, found -1",
      (iommu) => iommu.walk({ device, address: -1n }),
    ],
    [
      "argument",
      "address: expected a bigint, found number",
      (iommu) => iommu.walk({ device, address: careless(4096) }),
    ],
    ["argument", "address + bytes - 1", (iommu) => iommu.walk({ device, address: 2n ** 64n - 1n, bytes: 2 })],
    [
      "argument",
      "pasid: expected 0 to 1048575, found 1048576",
      (iommu) => iommu.walk({ device, address: 0n, pasid: 2 ** 20 }),
    ],
    [
      "argument",
      'access: expected one of r, w, rw, x, found "q"',
      (iommu) => iommu.walk({ device, address: 0n, access: careless("q") }),
    ],
    ["argument", 'found "nobody"', (iommu) => iommu.walk({ device: "nobody", address: 0n })],
    [
      "argument",
      "device: expected an id of 16 bits, found 65536",
      (iommu) => iommu.walk({ device: 2 ** 16, address: 0n }),
    ],
    [
      "argument",
      "device: expected an id of 16 bits, found sid:0x10000",
      (iommu) => iommu.walk({ device: "sid:0x10000", address: 0n }),
    ],
    [
      "binding",
      "model: expected a table of intel, found riscv",
      (iommu) => iommu.bind(device, { model: "riscv", base: 0n }),
    ],
    [
      "memory",
      "expected a memory file, found no such file (ENOENT)",
      () => Memory.fromFile(join(folder, "none")),
    ],
    [
      "argument",
      'format: expected one of auto, elf, raw, lime, kdump, found "zip"',
      () => Memory.fromFile(FIXTURE, { format: careless("zip") }),
    ],
    ["memory", "expected it to end at 2^64", () => tables().write(2n ** 64n - 4n, new Uint8Array(8))],
    ["argument", "data: expected a Uint8Array, found string", () => tables().write(0n, careless("00"))],
    ["argument", "bytes: expected 0 to", () => tables().read(0n, -1)],
    ["argument", "bytes: expected 0 to", () => tables().read(0n, 2 ** 60)],
  ])("refuses what makes no sense: %s, %s", (code, message, call) => {
    const iommu = bound();
    let error: unknown;
    try {
      call(iommu);
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toBeInstanceOf(LibraryError);
    expect(error).toMatchObject({ code, message: expect.stringContaining(message) });
  });
});

describe("Memory", () => {
  test("reads across pages, and not from holes", () => {
    const memory = new Memory();
    memory.write(0xffcn, Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8));
    expect(memory.read(0xffdn, 6)).toEqual(Uint8Array.of(2, 3, 4, 5, 6, 7));
    expect(memory.read(0xffdn, 8)).toBeNull();
  });

  test("opens a file, raw at its base", () => {
    const path = join(folder, "memory.raw");
    writeFileSync(path, Buffer.from("0011223344556677", "hex"));
    const memory = Memory.fromFile(path, { format: "raw", base: 0x8000_0000n });
    expect(memory.read(0x8000_0002n, 3)).toEqual(Uint8Array.of(0x22, 0x33, 0x44));
    expect(memory.takeProblem()).toBeNull();
    memory.close();
  });
});

test("the types serve a user's strict compiler", () => {
  const user = join(folder, "user");
  mkdirSync(join(user, "node_modules"), { recursive: true });
  symlinkSync(ROOT, join(user, "node_modules/pasid-replay"));
  writeFileSync(join(user, "package.json"), '{"type":"module"}');
  const code = `
    import { Iommu, Memory, replay, type OutcomeRecord } from "pasid-replay";
    const outcomes: OutcomeRecord[] = [];
    for await (const record of replay("-")) if (record.type === "outcome") outcomes.push(record);
    const walked = new Iommu("riscv", new Memory()).walk({ device: "did:7", address: 1n });
    export const pa: bigint | undefined = walked.result === "ok" ? walked.runs[0]?.address : undefined;
    // @ts-expect-error addresses are bigint
    new Memory().addRam(0, 4096);
  `;
  writeFileSync(join(user, "user.ts"), code);
  const options = ["--noEmit", "--strict", "--target", "es2023", "--module", "nodenext", "--types", "node"];
  const roots = ["--typeRoots", join(ROOT, "node_modules/@types")];
  const compiler = join(ROOT, "node_modules/.bin/tsc");
  execFileSync(compiler, [...options, ...roots, "user.ts"], { cwd: user, stdio: "pipe" });
});

describe("what callers without a compiler pass", () => {
  const memory = new Memory();
  const argument = { name: "LibraryError", code: "argument" };

  test.each([
    ["model", () => new Iommu("Intel" as never, memory)],
    ["memory", () => new Iommu("intel", {} as never)],
    ["settings", () => new Iommu("intel", memory, null as never)],
    ["registers.cap", () => new Iommu("intel", memory, { registers: { cap: 5 as never } })],
    ["path", () => Memory.fromFile(5 as never)],
    ["cacheBytes", () => Memory.fromFile(FIXTURE, { cacheBytes: Number.NaN })],
    ["request", () => new Iommu("intel", memory).walk(null as never)],
    ["device", () => new Iommu("intel", memory).walk({ device: null as never, address: 0n })],
    ["address", () => new Iommu("intel", memory).walk({ device: 1, address: 5 as never })],
    ["table", () => new Iommu("intel", memory).bind(1, undefined as never)],
    [
      "pasidBits",
      () => new Iommu("intel", memory).bind(1, { model: "intel", base: 0n, pasidBits: Number.NaN }),
    ],
    [
      "stage2.levels",
      () =>
        new Iommu("riscv", memory).bind(1, {
          model: "riscv",
          base: 0n,
          stage2: { format: "riscv-x4", root: 0n, levels: Number.NaN },
        }),
    ],
    [
      "arm.s1dss",
      () => new Iommu("arm-smmuv3", memory).bind(1, { model: "arm-1lvl", base: 0n, arm: { s1dss: 3 } }),
    ],
  ])("is refused where it makes no sense: %s", (_, call) => {
    expect(call).toThrow(expect.objectContaining(argument));
  });

  test("registers may be spelt as specifications do", () => {
    const walk = (registers: Readonly<Record<string, bigint>>) =>
      new Iommu("intel", new Memory(), { registers }).walk({ device: 0x18, address: 0x5000n });
    // Translation is not enabled: bit 31 of GSTS_REG is clear.
    expect(walk({ GSTS: 0n })).toMatchObject({ result: "ok", passthrough: true });
    expect(walk({ gsts: 0n })).toEqual(walk({ GSTS: 0n }));
  });
});
