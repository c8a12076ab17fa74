import fc from "fast-check";
import { expect, it } from "vitest";
import { equal, identical } from "./support/many.ts";
import { AW4, PASIDS, pasidEntry, scalableMachine, type VtdMachine } from "./support/vtd-machine.ts";
import { type ReferenceEntry, referenceWalk } from "./support/vtd-reference.ts";

/** Frames of the tables: entries point among them, and few of their entries are used. */
const TABLES = 0x40_0000n;
const FRAMES = 6;
const SLOTS = [0n, 1n, 255n, 256n, 511n];
const HOST_WIDTH = 46;

const frames = Array.from({ length: FRAMES }, (_, i) => TABLES + 0x1000n * BigInt(i));
const target = fc.oneof(
  { weight: 12, arbitrary: fc.constantFrom(...frames) },
  { weight: 2, arbitrary: fc.constantFrom(0n, 0x4000_0000n, 0xfee0_0000n, 0x7f_c000_0000n) },
  { weight: 1, arbitrary: fc.constantFrom(0x2000n, 0x3fff_0000_0000n, 1n << 45n) },
);
/** Mostly open entries of either stage (bits 2:0 are P, R/W, U/S or R, W, X), with some bit flipped now and then. */
const flags = fc.oneof(
  { weight: 8, arbitrary: fc.constantFrom(0x27n, 0x67n) },
  { weight: 3, arbitrary: fc.constantFrom(0xa7n, 0xe7n) },
  { weight: 3, arbitrary: fc.bigInt(0n, 0xfffn) },
);
const noise = fc.oneof(
  { weight: 14, arbitrary: fc.constant(0n) },
  { weight: 1, arbitrary: fc.nat(63).map((n) => 1n << BigInt(n)) },
);
const word = fc.tuple(target, flags, noise).map(([t, f, n]) => BigInt.asUintN(64, (t | f) ^ n));
const address = fc
  .tuple(
    fc.array(fc.constantFrom(...SLOTS), { minLength: 5, maxLength: 5 }),
    fc.bigInt(0n, 0xfffn),
    fc.constantFrom(39n, 47n, 48n, 57n, 64n),
  )
  .map(([indices, offset, width]) => {
    const iova = indices.reduce((a, index, i) => a | (index << BigInt(12 + 9 * i)), offset);
    return width === 64n ? BigInt.asUintN(64, BigInt.asIntN(48, iova)) : iova & ((1n << width) - 1n);
  });
const ask = fc.record({
  address,
  access: fc.constantFrom("r" as const, "w" as const, "rw" as const),
  privileged: fc.boolean(),
});
/** A second stage that maps the tables, frame by frame, to themselves; by its number of levels. */
const IDENTITY = 0x50_0000n;
const identityRoot = (levels: number) => IDENTITY + 0x1000n * BigInt(levels - 1);
const entry: fc.Arbitrary<ReferenceEntry> = fc
  .record({
    kind: fc.constantFrom("first" as const, "second" as const, "nested" as const, "nested" as const),
    firstRoot: fc.constantFrom(...frames),
    firstLevels: fc.constantFrom(4, 5),
    secondRoot: fc.constantFrom(...frames),
    secondLevels: fc.constantFrom(3, 4, 5),
    supervisor: fc.boolean(),
    writeProtect: fc.boolean(),
    identity: fc.constantFrom(true, true, true, false),
  })
  .map(({ identity, ...e }) =>
    identity && e.kind === "nested" ? { ...e, secondRoot: identityRoot(e.secondLevels) } : e,
  );
/** Rights and noise of the identity's leaves. */
const leaves = fc.array(
  fc.oneof(
    { weight: 12, arbitrary: fc.constant(3n) },
    { weight: 1, arbitrary: fc.constantFrom(0n, 1n, 1n, 2n, 0x4000_0000_0000_0003n, 0x803n) },
  ),
  { minLength: FRAMES, maxLength: FRAMES },
);

/** Levels 1 to 5 at IDENTITY, one frame each; besides the tables, the second GiB is mapped. */
function putIdentity(m: VtdMachine, rights: readonly bigint[]): void {
  const table = (level: number) => IDENTITY + 0x1000n * BigInt(level - 1);
  for (let level = 5; level > 1; level--) m.put(table(level), table(level - 1) | 3n);
  m.put(table(2) + 8n * (TABLES >> 21n), table(1) | 3n);
  m.put(table(3) + 8n, 0x8000_0083n);
  rights.forEach((r, i) => {
    m.put(table(1) + 8n * BigInt(i), frames[i]! | r);
  });
}
const tables = fc.array(fc.array(word, { minLength: SLOTS.length, maxLength: SLOTS.length }), {
  minLength: FRAMES,
  maxLength: FRAMES,
});

const TYPES = { first: 1n, second: 2n, nested: 3n };

function words(e: ReferenceEntry): bigint[] {
  const third =
    e.firstRoot | (e.supervisor ? 1n : 0n) | (e.firstLevels === 5 ? 4n : 0n) | (e.writeProtect ? 0x10n : 0n);
  return [e.secondRoot | (BigInt(e.secondLevels - 2) << 2n) | (TYPES[e.kind] << 6n) | 1n, 9n, third];
}

function memoryOf(m: VtdMachine) {
  return (at: bigint) => (m.memory.frames.has(Number(at >> 12n)) ? m.memory.read64(at) : undefined);
}

it("agrees with the reference walk on random tables of both stages", () => {
  const seenFaults = new Set<string>();
  let mapped = 0;
  fc.assert(
    fc.property(
      tables,
      leaves,
      entry,
      fc.array(ask, { minLength: 4, maxLength: 8 }),
      (contents, rights, e, asks) => {
        const m = scalableMachine(pasidEntry(0n, 0n, AW4), {}, { output_bits: HOST_WIDTH, input_bits: 52 });
        m.put(PASIDS + 64n, ...words(e));
        putIdentity(m, rights);
        contents.forEach((row, f) => {
          row.forEach((w, i) => {
            m.put(frames[f]! + 8n * SLOTS[i]!, w);
          });
        });
        const unit = { read: memoryOf(m), hostWidth: HOST_WIDTH, guestWidth: 52 };
        for (const { address: at, access, privileged } of asks) {
          const expected = referenceWalk(unit, e, {
            address: at,
            read: access !== "w",
            write: access !== "r",
            privileged,
          });
          const seen = m.ask(at, { pasid: 1, access, priv: privileged });
          if ("fault" in expected) {
            seenFaults.add(expected.fault);
            identical(seen.name, expected.fault);
            const { stage, level } = expected;
            equal({ stage: seen.stage, level: seen.level }, { stage, level });
          } else {
            mapped++;
            equal({ pa: seen.pa, page: seen.page, perm: seen.perm }, expected);
          }
        }
      },
    ),
    { numRuns: 1500, seed: 20 },
  );
  // The comparison is worth something only if the walks end in many ways.
  expect(mapped).toBeGreaterThan(300);
  expect([...seenFaults].sort()).toEqual(
    expect.arrayContaining(["SFS.1", "SFS.2", "SFS.3", "SFS.5", "SFS.8", "SGN.1", "SGN.2", "SGN.5", "SGN.6"]),
  );
  expect([...seenFaults]).toEqual(
    expect.arrayContaining(["SGN.7", "SGN.8.1", "SPT.6", "SSS.1", "SSS.2", "SSS.3", "SFS.6", "SFS.7"]),
  );
});
