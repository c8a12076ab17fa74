/** Results are reused, copied and kept as numbers: a field that one of these forgets would show another walk's value. */
import { expect, it } from "vitest";
import { Outcome } from "../pipeline/iommus/outcome.ts";
import type { Fault } from "../walkers/fault.ts";
import { TABLE_MODELS } from "../walkers/models.ts";
import { FAULT, OK, WalkResult } from "../walkers/result.ts";
import { TranslationCache } from "../walkers/translation-cache.ts";

const fault: Fault = { code: 3, name: "three", reason: "ACCESS", source: "", text: "" };

/** What only faults have. */
const OF_FAULTS = [
  ...[
    "status",
    "fault",
    "reason",
    "otherFault",
    "stage",
    "level",
    "faultClass",
    "entryFrame",
    "entryOffset",
    "entryHi",
    "entryLo",
  ],
  ...["entryKnown", "recorded", "hole", "hasFaultAddr", "faultHi", "faultLo", "flags"],
];

/** Fields with values that they do not have at first (flags where `n` is odd); those of `except` as they are at first. */
function filled(n: number, except: readonly string[] = []): WalkResult {
  const given = { model: TABLE_MODELS[n], fault, otherFault: fault, reason: "ACCESS", faultClass: "TT" };
  const result = new WalkResult();
  for (const [name, first] of Object.entries(result)) {
    if (except.includes(name)) continue;
    const other =
      typeof first === "number"
        ? first + n
        : typeof first === "boolean"
          ? first !== (n % 2 === 1)
          : undefined;
    const value = Object.hasOwn(given, name) ? given[name as keyof typeof given] : other;
    if (value === undefined) throw new Error(`what may ${name} be? Say so here`);
    Object.assign(result, { [name]: value });
  }
  return result;
}

it("a result that is reset has nothing left of what it was", () => {
  const result = filled(1);
  result.reset();
  expect(result).toEqual(new WalkResult());
});

it("a copy has every field", () => {
  const copy = new WalkResult();
  copy.copyFrom(filled(1));
  expect(copy).toEqual(filled(1));
});

it("a kept translation has every field but those of faults, after another was kept too", () => {
  const cache = new TranslationCache();
  const results = [1, 2].map((n) => filled(n, [...OF_FAULTS, "offset"]));
  results.forEach((result, i) => {
    cache.keep(1 + i, 0, 0x1000, result);
  });
  for (const i of [0, 1, 0]) {
    expect(cache.find(1 + i, 0, 0x1000)).toBe(true);
    expect(cache.result).toEqual(results[i]);
  }
});

it("an outcome that begins is what the walk says, with nothing left of the one before", () => {
  for (const status of [OK, FAULT]) {
    const walk = Object.assign(filled(1), { status });
    const fresh = new Outcome();
    const reused = new Outcome();
    reused.begin(Object.assign(filled(2), { status: FAULT }));
    reused.run(1, 2, 3);
    Object.assign(reused, { verdict: "stale", difference: "pa", changedLine: 4 });
    for (const outcome of [fresh, reused]) outcome.begin(walk);
    // Runs are counted; what only faults have is read of a fault alone.
    for (const [name, value] of Object.entries(fresh))
      if (!name.startsWith("run") && (status === FAULT || !OF_FAULTS.includes(name)))
        expect([name, reused[name as keyof Outcome]]).toEqual([name, value]);
    expect(reused.runs).toBe(0);
    // What both a walk and an outcome have, one has from the other.
    for (const [name, value] of Object.entries(walk))
      if (name in reused && (status === FAULT || !OF_FAULTS.includes(name)))
        expect([name, reused[name as keyof Outcome]]).toEqual([name, value]);
  }
});
