import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { classes, compare, type Item, lines } from "./support/diff-streams.ts";

type Edit = "keep" | "change" | "delete" | "insert";

const edits = (changes: number) =>
  fc.array(
    fc.oneof(
      { weight: 40, arbitrary: fc.constant<Edit>("keep") },
      { weight: changes, arbitrary: fc.constantFrom<Edit>("change", "delete", "insert") },
    ),
    { maxLength: 600 },
  );

/** Requests that are all different, and the same ones edited. */
function edited(script: readonly Edit[]) {
  const a: Item[] = [];
  const b: Item[] = [];
  let next = 1;
  for (const edit of script) {
    const item = { id: next++ };
    if (edit !== "insert") a.push(item);
    if (edit !== "delete") b.push(edit === "change" ? { ...item, pa: item.id + 1 } : item);
  }
  const count = (edit: Edit) => script.filter((other) => other === edit).length;
  return { a, b, changed: count("change"), deleted: count("delete"), inserted: count("insert") };
}

const numbered = (items: readonly Item[]) => items.map((item) => ({ ...item, seq: item.id }));

describe("edits of a stream of different requests are found again", () => {
  const expected = (script: ReturnType<typeof edited>) => ({
    ...(script.changed > 0 ? { address: script.changed } : {}),
    ...(script.deleted > 0 ? { "only-in-a": script.deleted } : {}),
    ...(script.inserted > 0 ? { "only-in-b": script.inserted } : {}),
  });

  test.each([
    ["few", 2],
    ["many", 60],
  ])("by content, %s of them", async (_, weight) => {
    await fc.assert(
      fc.asyncProperty(edits(weight), async (script) => {
        const { a, b, ...counts } = edited(script);
        const compared = await compare(lines(a), lines(b), { alignment: "content" });
        expect(classes(compared)).toEqual(expected({ a, b, ...counts }));
        expect(compared.result.unaligned.stretches).toBe(0);
      }),
      { numRuns: 60 },
    );
  });

  test("by seq", async () => {
    await fc.assert(
      fc.asyncProperty(edits(20), async (script) => {
        const { a, b, ...counts } = edited(script);
        const compared = await compare(lines(numbered(a)), lines(numbered(b)));
        expect(compared.result.leftSeq).toBeNull();
        expect(classes(compared)).toEqual(expected({ a, b, ...counts }));
      }),
      { numRuns: 60 },
    );
  });

  test("a block that is missing is one, however long, up to the window", async () => {
    const all = Array.from({ length: 9000 }, (_, i) => ({ id: i + 1 }));
    const without = [...all.slice(0, 1000), ...all.slice(6000)];
    const compared = await compare(lines(all), lines(without), { alignment: "content", window: 8192 });
    expect(classes(compared)).toEqual({ "only-in-a": 5000 });
    expect(compared.result.counts.same).toBe(4000);
    const back = await compare(lines(without), lines(all), { alignment: "content", window: 8192 });
    expect(classes(back)).toEqual({ "only-in-b": 5000 });
  });

  test("beyond the window nothing is invented, and what was given up is said", async () => {
    const all = Array.from({ length: 3000 }, (_, i) => ({ id: i + 1 }));
    const without = [...all.slice(0, 100), ...all.slice(1100)];
    const { result } = await compare(lines(all), lines(without), { alignment: "content", window: 256 });
    const { unaligned, counts } = result;
    expect(counts.same).toBe(100);
    expect(counts.byClass.get("only-in-a")).toBe(2900);
    expect(counts.byClass.get("only-in-b")).toBe(1900);
    expect(unaligned.a).toBeGreaterThan(2000);
    expect(unaligned).toMatchObject({ lineA: 101, lineB: 101 });
  });
});

describe("requests that repeat", () => {
  const few = fc.array(fc.record({ id: fc.integer({ min: 1, max: 4 }), pa: fc.constantFrom(1, 2) }), {
    maxLength: 300,
  });

  test("are aligned to a valid script: order is kept and nothing is lost", async () => {
    await fc.assert(
      fc.asyncProperty(few, few, async (a, b) => {
        const { result, records } = await compare(lines(a), lines(b), { alignment: "content", window: 64 });
        const onlyA = new Set(records.filter((r) => r.class === "only-in-a").map((r) => r.line_a! - 1));
        const onlyB = new Set(records.filter((r) => r.class === "only-in-b").map((r) => r.line_b! - 1));
        const pairedA = a.filter((_, i) => !onlyA.has(i));
        const pairedB = b.filter((_, j) => !onlyB.has(j));
        expect(pairedA.map(({ id }) => id)).toEqual(pairedB.map(({ id }) => id));
        const differ = pairedA.filter((item, i) => item.pa !== pairedB[i]!.pa).length;
        expect(result.counts).toMatchObject({
          compared: pairedA.length,
          differ,
          same: pairedA.length - differ,
        });
      }),
      { numRuns: 150 },
    );
  });

  test("and whose period is broken once", async () => {
    const ring = Array.from({ length: 5000 }, (_, i) => ({ id: (i % 256) + 1 }));
    const skipped = [...ring.slice(0, 700), ...ring.slice(703)];
    const compared = await compare(lines(ring), lines(skipped), { alignment: "content" });
    expect(classes(compared)).toEqual({ "only-in-a": 3 });
    const far = [...ring.slice(0, 700), ...ring.slice(800)];
    expect(classes(await compare(lines(ring), lines(far), { alignment: "content" }))).toEqual({
      "only-in-a": 100,
    });
  });
});

describe("seq", () => {
  const all = Array.from({ length: 400 }, (_, i) => ({ id: i + 1, seq: i }));

  test("a request that is another one under the same seq is said to be one", async () => {
    const other = all.map((item) => (item.seq === 7 ? { ...item, id: 9999 } : item));
    const { result, records } = await compare(lines(all), lines(other));
    expect(records).toHaveLength(1);
    expect(records[0]).toMatchObject({
      line_a: 8,
      line_b: 8,
      seq: 7,
      addr: "0x8000",
      class: "request",
      a: { addr: "0x8000", result: "ok", pa: "0x8000" },
      b: { addr: "0x270f000", result: "ok", pa: "0x270f000" },
    });
    expect(result.counts.compared).toBe(399);
  });

  test("that counts records is left where a request was inserted", async () => {
    const more = [...all.slice(0, 150), { id: 9999 }, ...all.slice(150)].map(({ id }, seq) => ({ id, seq }));
    const compared = await compare(lines(all), lines(more));
    expect(classes(compared)).toEqual({ "only-in-b": 1 });
    expect(compared.result.alignedBy).toBe("content");
    expect(compared.result.leftSeq).toMatchObject({ lineA: 151, lineB: 151 });
    const forced = await compare(lines(all), lines(more), { alignment: "seq" });
    expect(classes(forced)).toEqual({ request: 250, "only-in-b": 1 });
  });

  test("that starts elsewhere is not followed", async () => {
    const shifted = all.map((item) => ({ ...item, seq: item.seq + 1000 }));
    const shiftedByOne = all.map((item) => ({ ...item, seq: item.seq + 1 }));
    expect(classes(await compare(lines(all), lines(shiftedByOne)))).toEqual({});
    // Without a seq in common, nothing speaks against it.
    expect(classes(await compare(lines(all), lines(shifted)))).toEqual({
      "only-in-a": 400,
      "only-in-b": 400,
    });
  });

  test("that does not rise is left, or refused where it was asked for", async () => {
    const twice = [...all, ...all];
    const { result } = await compare(lines(twice), lines(twice));
    expect(result.counts.same).toBe(800);
    expect(result.leftSeq).toMatchObject({
      lineA: 401,
      lineB: 401,
      reason: "seq of the first stream does not rise",
    });
    await expect(compare(lines(twice), lines(twice), { alignment: "seq" })).rejects.toThrow(
      "line 401 of the first",
    );
  });

  test("that some requests do not have", async () => {
    const partly = all.map(({ id, seq }) => (seq === 200 ? { id } : { id, seq }));
    const { result } = await compare(lines(partly), lines(all));
    expect(result.counts.same).toBe(400);
    expect(result.leftSeq?.lineA).toBe(201);
  });

  test("begins anew with the output of another trace", async () => {
    const outcome = (seq: number, pa: string) =>
      `{"type":"outcome","line":${seq + 5},"seq":${seq},"dev":"00:03.0","addr":"0x1000","len":1,"access":"r","model":"intel","result":"ok","pa":"${pa}","reads":4}`;
    const text = (pa: string) =>
      `${['{"type":"trace","path":"a"}', outcome(0, "0x1"), outcome(1, "0x2"), '{"type":"trace","path":"b"}', outcome(0, pa)].join("\n")}\n`;
    const { result, records } = await compare(text("0x3"), text("0x4"));
    expect(result).toMatchObject({ alignedBy: "seq", leftSeq: null, counts: { same: 2, differ: 1 } });
    expect(records[0]).toMatchObject({ line_a: 5, line_b: 5, seq: 0, class: "address" });
  });
});

test("the result does not depend on how the input comes", async () => {
  const { a, b } = edited(
    Array.from(
      { length: 3000 },
      (_, i): Edit => (i % 97 === 0 ? "delete" : i % 89 === 0 ? "insert" : i % 83 === 0 ? "change" : "keep"),
    ),
  );
  const whole = await compare(lines(a), lines(b));
  for (const step of [1000, 4093, 50_000]) {
    const { records, result } = await compare(lines(a), lines(b), { step });
    expect(records).toEqual(whole.records);
    expect(result.counts).toEqual(whole.result.counts);
  }
});
