import fc from "fast-check";
import { afterAll, describe, expect, it } from "vitest";
import { TraceMemory } from "../parsers/memory/guest-memory.ts";
import { openSnapshot } from "../parsers/memory/open-snapshot.ts";
import { ByteOracle } from "./support/byte-oracle.ts";
import { elfCore } from "./support/elf-writer.ts";
import { SnapshotFolder } from "./support/snapshot-folder.ts";

const folder = new SnapshotFolder();
afterAll(() => folder.remove());

const TOP = 1n << 64n;
/** Where the action is: the bottom, an ordinary place, beyond what a double can address, and the top. */
const CORE = 0x8000_0000n;
const WINDOWS = [0n, CORE, 0x001f_ffff_ffff_f000n, 0xf_ffff_ffff_e000n, TOP - 0x4000n];
const WINDOW = 0x4000;

const halves = (n: bigint): [number, number] => [Number(n >> 32n) | 0, Number(n & 0xffff_ffffn) | 0];

const place = fc
  .tuple(
    fc.constantFrom(...WINDOWS),
    fc.oneof(
      fc.nat(WINDOW - 1),
      fc.nat(WINDOW / 8 - 1).map((n) => 8 * n),
    ),
  )
  .map(([window, at]) => window + BigInt(at));
/** Sizes with a liking for page borders; clipped at 2^64 by the users. */
const size = fc.oneof(
  fc.integer({ min: 0, max: 80 }),
  fc.integer({ min: 0, max: 0x2800 }),
  fc.constant(4096),
);
const clip = (address: bigint, count: number): number =>
  Number(address + BigInt(count) > TOP ? TOP - address : BigInt(count));
/** Zeros and repeated bytes are frequent: writes that change nothing are worth testing. */
const data = fc.tuple(fc.constantFrom(0, 0, 1, 0xa5), fc.nat(255), size).map(([fill, step, count]) => {
  const bytes = new Uint8Array(count).fill(fill);
  if (step > 128) for (let i = 0; i < count; i++) bytes[i] = (i * step) & 0xff;
  return bytes;
});

interface SegmentSpec {
  paddr: bigint;
  data: Uint8Array;
  memsz: bigint;
}

/** Segments that do not overlap, some of them touching, with and without zeros behind their bytes. */
const segments = fc
  .array(fc.tuple(fc.constantFrom(0, 0, 8, 0x800, 0x1000, 0x1234), data, fc.constantFrom(0, 0, 24, 0x1800)), {
    minLength: 1,
    maxLength: 6,
  })
  .map((parts) => {
    const out: SegmentSpec[] = [];
    let at = CORE;
    for (const [gap, bytes, zeros] of parts) {
      at += BigInt(gap);
      out.push({ paddr: at, data: bytes, memsz: BigInt(bytes.length + zeros) });
      at += BigInt(bytes.length + zeros);
    }
    return out;
  });

type Step =
  | { op: "ram"; at: bigint; size: number }
  | { op: "mem"; at: bigint; data: Uint8Array; hex: boolean }
  | { op: "fetch"; at: bigint; bytes: number }
  | { op: "again"; pick: number }
  | { op: "snapshot"; segments: SegmentSpec[]; gap: number };

const fetchBytes = fc.constantFrom(4, 8, 8, 16, 32, 64);
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 2, arbitrary: fc.record({ op: fc.constant("ram" as const), at: place, size }) },
  {
    weight: 6,
    arbitrary: fc.record({ op: fc.constant("mem" as const), at: place, data, hex: fc.boolean() }),
  },
  {
    weight: 8,
    arbitrary: fc
      .tuple(place, fetchBytes)
      .map(([at, bytes]) => ({ op: "fetch" as const, at: at & ~(BigInt(bytes) - 1n), bytes })),
  },
  { weight: 6, arbitrary: fc.record({ op: fc.constant("again" as const), pick: fc.nat(63) }) },
  {
    weight: 1,
    arbitrary: fc.record({
      op: fc.constant("snapshot" as const),
      segments,
      gap: fc.constantFrom(0, 1, 0xa00),
    }),
  },
);

/** Real memory and oracle side by side. */
class Pair {
  readonly memory = new TraceMemory();
  readonly oracle = new ByteOracle();
  #files = 0;

  apply(s: Step): void {
    const { memory, oracle } = this;
    if (s.op === "ram") {
      const n = clip(s.at, s.size);
      expect(memory.ram(...halves(s.at), 0, n)).toBeNull();
      oracle.ram(s.at, BigInt(n));
    } else if (s.op === "mem") {
      const bytes = s.data.subarray(0, clip(s.at, s.data.length));
      if (s.hex) {
        const text = Buffer.from(`xx${Buffer.from(bytes).toString("hex")}yy`);
        expect(memory.writeHex(text, 2, text.length - 2, ...halves(s.at))).toBeNull();
      } else expect(memory.write(...halves(s.at), bytes)).toBeNull();
      oracle.write(s.at, bytes);
    } else if (s.op === "snapshot") {
      const name = `core${this.#files++}`;
      folder.write(name, elfCore(s.segments, { gap: s.gap }));
      const opened = openSnapshot(name, folder.path, { chunkBytes: 4096 });
      if (!opened.ok) throw new Error(opened.error);
      memory.replace(opened.image);
      oracle.replace(s.segments);
    }
  }

  fetch(at: bigint, bytes: number): string | null {
    if (!this.memory.fetch(Number(at >> 12n), Number(at & 0xfffn), bytes)) return null;
    const { view, at: start } = this.memory;
    return Buffer.from(view.buffer, view.byteOffset + start, bytes).toString("hex");
  }
}

describe("GuestMemory", () => {
  it("holds the bytes that a map from address to byte holds", () => {
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 60, size: "max" }), (steps) => {
        const pair = new Pair();
        const asked: [bigint, number][] = [];
        try {
          for (const s of steps) {
            pair.apply(s);
            const again = s.op === "again" ? asked[s.pick % Math.max(1, asked.length)] : undefined;
            const [at, bytes] = s.op === "fetch" ? [s.at, s.bytes] : (again ?? [0n, 0]);
            if (bytes === 0) continue;
            asked.push([at, bytes]);
            expect(pair.fetch(at, bytes)).toBe(pair.oracle.read(at, bytes));
          }
        } finally {
          pair.memory.close();
        }
      }),
      { numRuns: 100 },
    );
  });

  it("changes its generation when a fetch may give something else, and for no other frames", () => {
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 60, size: "max" }), (steps) => {
        const pair = new Pair();
        const { memory, oracle } = pair;
        // What was fetched since the generation changed last.
        let generation = memory.generation;
        let answers = new Map<string, string | null>();
        let frames = new Set<bigint>();
        let missed = false;
        try {
          for (const s of steps) {
            const touched = s.op === "mem" ? [...s.data.keys()].map((i) => s.at + BigInt(i)) : [];
            const before = touched.map((a) => oracle.bytes.get(a));
            pair.apply(s);
            if (memory.generation === generation) {
              if (s.op === "mem" || s.op === "ram")
                for (const [key, answer] of answers) {
                  const [at, bytes] = key.split("/") as [string, string];
                  expect(oracle.read(BigInt(at), Number(bytes))).toBe(answer);
                }
            } else {
              // A change needs a byte that differs in a frame that was fetched; RAM, a fetch that failed.
              if (s.op === "mem") {
                const changed = touched.some(
                  (a, i) => before[i] !== oracle.bytes.get(a) && frames.has(a >> 12n),
                );
                expect(changed).toBe(true);
              } else if (s.op === "ram") expect(missed).toBe(true);
              else expect(s.op).toBe("snapshot");
              generation = memory.generation;
              answers = new Map();
              frames = new Set();
              missed = false;
            }
            if (s.op === "fetch") {
              const answer = pair.fetch(s.at, s.bytes);
              answers.set(`${s.at}/${s.bytes}`, answer);
              frames.add(s.at >> 12n);
              missed ||= answer === null;
              expect(memory.generation).toBe(generation);
            }
          }
        } finally {
          memory.close();
        }
      }),
      { numRuns: 100 },
    );
  });
});
