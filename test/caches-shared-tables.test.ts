/** Devices that share their tables: contexts that decode alike are of one kind, and what one has left is there for all. */
import { afterEach, describe, expect, it, vi } from "vitest";
import { ContextKinds } from "../pipeline/caches/held/context-kinds.ts";
import { VersionedMemory } from "../pipeline/caches/history/versioned-memory.ts";
import { AmdViWalker } from "../walkers/amd-vi/walker.ts";
import { Radix, Scenario, X86_64 } from "./support/cache-scenario.ts";

const A = 0x1000_0000n;
const OLD = 0x8000_0000n;
const NEW = 0x9000_0000n;
const [FIRST, SECOND] = ["00:03.0", "00:04.0"];

/** Two devices bound to one PASID table (VT-d 5.10, 9.5 and 9.6), with a first stage behind PASID 5. */
function shared() {
  const s = new Scenario("intel", {});
  const table = new Radix(s, X86_64);
  const [directory, pasids] = [s.allocate(), s.allocate()];
  s.put(directory, pasids | 1n).put(pasids + 5n * 64n, 0x41n, 9n, table.root, 0n);
  const config = { model: "intel", base_ptr: `0x${directory.toString(16)}`, pasid_bits: 12 };
  for (const dev of [FIRST, SECOND]) s.add({ type: "bind", dev, config });
  const rebind = (dev: string) => s.add({ type: "bind", dev, config });
  return { s, table, rebind, dma: (dev: string, addr: bigint) => s.dma({ dev, pasid: 5, addr }) };
}

afterEach(() => {
  vi.restoreAllMocks();
});

describe("two devices that share a PASID table", () => {
  it("what one has left in the IOTLB outlives its binding while the other is bound", async () => {
    const { s, table, dma } = shared();
    table.map(A, OLD);
    dma(SECOND, A);
    dma(FIRST, A);
    s.add({ type: "unbind", dev: FIRST });
    table.map(A, NEW);
    const changed = s.lines.length;
    const seq = dma(SECOND, A);
    const result = await s.run();
    expect(result.outcome(seq)).toMatchObject({ verdict: "hazard", changed_line: changed });
    expect(result.rules()).toEqual(["missing-invalidation"]);
  });

  it("nothing is left where nobody of the kind is bound any more", async () => {
    const { s, table, dma, rebind } = shared();
    table.map(A, OLD);
    dma(FIRST, A);
    for (const dev of [FIRST, SECOND]) s.add({ type: "unbind", dev });
    table.map(A, NEW);
    rebind(SECOND);
    const seq = dma(SECOND, A);
    const result = await s.run();
    expect(result.outcome(seq).verdict).toBeUndefined();
    expect(result.rules()).toEqual([]);
  });

  it("that each uses what the other has used takes no walk of the past", async () => {
    const read = vi.spyOn(VersionedMemory.prototype, "readAsOf");
    const { s, table, dma } = shared();
    for (let page = 0n; page < 64n; page++) table.map(A + page * 4096n, OLD + page * 4096n);
    for (let round = 0; round < 2; round++)
      for (let page = 0n; page < 64n; page++) for (const dev of [FIRST, SECOND]) dma(dev, A + page * 4096n);
    const run = await s.run();
    expect(run.of("outcome")).toHaveLength(4 * 64);
    expect(read).not.toHaveBeenCalled();
  });
});

describe("kinds of contexts", () => {
  const walker = new AmdViWalker({
    generation: 0,
    view: new DataView(new ArrayBuffer(8)),
    at: 0,
    fetch: () => false,
  });
  const pair = (hostRoot: number, root = 7, place = 0) => ({
    device: { context: Object.assign(walker.newDevice(), { hostRoot, place }) },
    process: { context: Object.assign(walker.newPasidContext(), { root }) },
  });

  it("are told apart by every field but those of the entry's place", () => {
    const kinds = new ContextKinds(["place"]);
    const enter = (p: ReturnType<typeof pair>) => {
      const kind = kinds.of(p);
      kinds.enter(kind, p);
      return kind;
    };
    const one = enter(pair(1));
    expect(enter(pair(1, 7, 99))).toBe(one);
    // Beyond 32 bits too: frames have 40 and more.
    const others = [pair(2), pair(1, 8), pair(1 + 2 ** 32), pair(1 + 2 ** 40)].map(enter);
    expect(new Set([one, ...others]).size).toBe(5);
  });

  it("stay until the last of them has gone", () => {
    const kinds = new ContextKinds<ReturnType<typeof pair>>([]);
    const [a, b] = [pair(1), pair(1)];
    const kind = kinds.of(a);
    kinds.enter(kind, a);
    kinds.enter(kinds.of(b), b);
    kinds.leave(kind, a, 17);
    expect(kinds.heirOf(17)).toBe(b);
    expect(kinds.heirOf(18)).toBeUndefined();
    kinds.leave(kind, b, 18);
    expect(kinds.heirOf(17)).toBeUndefined();
    expect(kinds.heirOf(18)).toBeUndefined();
    expect(kinds.of(pair(1))).not.toBe(kind);
  });
});
