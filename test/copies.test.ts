import { describe, expect, test } from "vitest";
import { Invalidation } from "../walkers/invalidation.ts";
import { WalkRequest } from "../walkers/request.ts";
import { WalkResult } from "../walkers/result.ts";

/** Gives every field a value that no other has, of whatever type: it is copied, not looked at. */
function marked<T extends object>(object: T): T {
  Object.keys(object).forEach((key, i) => {
    (object as Record<string, unknown>)[key] = `${key} ${i}`;
  });
  return object;
}

describe("a copy has every field of what is reused", () => {
  test("an invalidation", () => {
    const inv = marked(new Invalidation());
    expect({ ...inv.clone() }).toEqual({ ...inv });
  });

  test("a request", () => {
    const request = marked(new WalkRequest());
    expect({ ...request.clone() }).toEqual({ ...request });
  });

  test("the result of a walk", () => {
    const result = marked(new WalkResult());
    const copy = new WalkResult();
    copy.copyFrom(result);
    expect({ ...copy }).toEqual({ ...result });
  });
});
