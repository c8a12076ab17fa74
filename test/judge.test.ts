import { expect, test } from "vitest";
import { DmaRecord, TraceNames } from "../parsers/trace/records.ts";
import type { UnitCaches } from "../pipeline/caches/unit-caches.ts";
import { Outcome } from "../pipeline/iommus/outcome.ts";
import { Comparison } from "../pipeline/verdicts/comparison.ts";
import { Judge } from "../pipeline/verdicts/judge.ts";
import { WalkRequest } from "../walkers/request.ts";
import { FAULT, OK, WalkResult } from "../walkers/result.ts";

test("the pages of a request that are looked at in caches are bounded, however long it is", () => {
  let looks = 0;
  const now = new WalkResult();
  now.status = OK;
  now.pageShift = 12;
  const caches = {
    walkAgain: () => now,
    holdsUninvalidated: () => {
      looks++;
      return false;
    },
    // A cache may hold a translation of any page.
    explain: (_: WalkRequest, accept: (walk: WalkResult) => boolean) => {
      looks++;
      return accept(now) ? 1 : -1;
    },
    culprit: null,
  } as unknown as UnitCaches;
  const judge = new Judge(new Comparison(new TraceNames(), "record", "exact"));
  const record = new DmaRecord();
  record.len = 2 ** 32 - 1;
  const outcome = new Outcome();
  outcome.begin(now);
  judge.judge(record, new WalkRequest(), outcome, caches, true);
  expect(outcome.verdict).toBe("");
  expect(looks).toBeLessThan(100_000);

  // Each page may have been translated as observed: a million of them are not looked up to say so.
  looks = 0;
  outcome.begin(now);
  outcome.status = FAULT;
  record.observed.present = true;
  record.observed.result = OK;
  judge.judge(record, new WalkRequest(), outcome, caches, true);
  expect(outcome.verdict).toBe("unknown");
  expect(looks).toBeLessThan(100_000);
});
