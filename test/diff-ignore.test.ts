import { describe, expect, test } from "vitest";
import { IgnoreRules, ignoreRule, ignoreRuleFromText } from "../pipeline/diff/ignore-rules.ts";
import { globMatches } from "../pipeline/filter/glob.ts";
import { compare } from "./support/diff-streams.ts";

const dma = (seq: number, request: string, observed: string) =>
  `{"type":"dma","seq":${seq},${request},"observed":${observed}}\n`;
const fault = (code: string, more = "") => `{"result":"fault","code":"${code}"${more}}`;

const REQUESTS = [
  '"dev":"00:03.0","pasid":5,"addr":"0x1000"',
  '"dev":"00:03.1","pasid":6,"addr":"0x1fff","access":"w"',
  '"dev":"0000:01:00.0","addr":"0xffff000000000000"',
  '"dev":"00:03.0","pasid":7,"addr":"0x2000"',
];
const A = [
  fault("0x58"),
  fault("0x58"),
  '{"result":"ok","pa":"0x1"}',
  fault("0x71", ',"reason":"PTE_FETCH"'),
];
const B = [
  fault("0x5b"),
  fault("0x50"),
  '{"result":"fault","reason":"PERMISSION"}',
  fault("0x72", ',"reason":"PERMISSION"'),
];
const stream = (answers: readonly string[]) =>
  REQUESTS.map((request, i) => dma(i, request, answers[i]!)).join("");

test.each([
  ["*0*0*0*0*0*0*0*0*x", "0".repeat(3000), false],
  ["*0*0*0*0*0*0*0*0*", "0".repeat(3000), true],
  ["0x5*", "0X58", true],
  ["??:0?.*", "00:03.7", true],
  ["*a?c*", "xabbabc", true],
  ["*a?c", "xabcd", false],
  ["", "", true],
  ["", "a", false],
  ["**", "", true],
  ["a.c", "abc", false],
])("the pattern %s: a step for each character of it and of the text", (pattern, text, matches) => {
  let looks = 0;
  const counted = new Proxy(Object(text.toLowerCase()), {
    get: (of, key) => {
      if (key === "toLowerCase") return () => counted;
      looks++;
      return Reflect.get(of, key);
    },
  });
  expect(globMatches(pattern, counted)).toBe(matches);
  expect(looks).toBeLessThan(4 * (pattern.length + 1) * (text.length + 1));
});

/** Which of the four differences a rule takes. */
async function taken(rule: Record<string, unknown>): Promise<number[]> {
  const ignore = new IgnoreRules([ignoreRule({ reason: "test", ...rule }, "rule", true)], "2026-01-01");
  const { records, result } = await compare(stream(A), stream(B), { ignore });
  const left = records.map((record) => record.seq);
  const found = [0, 1, 2, 3].filter((seq) => !left.includes(seq));
  expect(result.counts.total).toBe(4 - found.length);
  expect(ignore.rules[0]!.count).toBe(found.length);
  return found;
}

describe("a rule matches by", () => {
  test.each([
    [{ class: "code" }, [0, 1, 3]],
    [{ class: ["result", "only-in-a"] }, [2]],
    [{ class: "*" }, [0, 1, 2, 3]],
    [{ dev: "00:03.0" }, [0, 3]],
    [{ dev: "0000:00:03.0" }, [0, 3]],
    [{ dev: "devid:0x18" }, [0, 3]],
    [{ dev: "00:03.*" }, [0, 1, 3]],
    [{ dev: "0000:*" }, [0, 1, 2, 3]],
    [{ dev: ["00:03.1", "01:00.0"] }, [1, 2]],
    [{ pasid: 5 }, [0]],
    [{ pasid: "5-6" }, [0, 1]],
    [{ pasid: "5-" }, [0, 1, 3]],
    [{ pasid: ["none", 7] }, [2, 3]],
    [{ addr: "0x1000" }, [0]],
    [{ addr: "0x1000-0x1fff" }, [0, 1]],
    [{ addr: "0x2000-0xffffffffffffffff" }, [2, 3]],
    [{ access: "w" }, [1]],
    [{ codes: ["0x58", "0x5b"] }, [0]],
    [{ codes: "0x58:0x5*" }, [0, 1]],
    [{ codes: ["*", "0x072"] }, [3]],
    [{ codes: ["none", "none"] }, [2]],
    [{ reasons: ["PTE_FETCH", "PERMISSION"] }, [3]],
    [{ reasons: ["none", "PERMISSION"] }, [2]],
    [{ results: ["ok", "fault"] }, [2]],
    [{ class: "code", dev: "00:03.0", codes: ["0x58", "*"] }, [0]],
    [{ class: "code", pasid: "none" }, []],
  ])("%j", async (rule, expected) => {
    expect(await taken(rule)).toEqual(expected);
  });
});

test("the first rule that matches takes a difference; one that took nothing is stale", async () => {
  const rules = [
    ignoreRule({ name: "narrow", class: "code", pasid: 5, reason: "known" }, "1", true),
    ignoreRule({ name: "wide", class: "code", reason: "known" }, "2", true),
    ignoreRule({ name: "never", class: "verdict", reason: "known" }, "3", true),
  ];
  const ignore = new IgnoreRules(rules, "2026-01-01");
  await compare(stream(A), stream(B), { ignore });
  expect(rules.map(({ count }) => count)).toEqual([1, 2, 0]);
  expect(ignore.stale.map(({ name }) => name)).toEqual(["never"]);
});

test("a rule applies through its last day", async () => {
  const rule = () => ignoreRule({ class: "code", reason: "until fixed", expires: "2026-03-31" }, "r", true);
  const left = async (today: string) =>
    (await compare(stream(A), stream(B), { ignore: new IgnoreRules([rule()], today) })).records.length;
  expect(await left("2026-03-31")).toBe(1);
  expect(await left("2026-04-01")).toBe(4);
  const ignore = new IgnoreRules([rule()], "2026-04-01");
  expect(ignore.expired).toHaveLength(1);
  expect(ignore.stale).toHaveLength(0);
});

test("differences in what is asked are ignored too", async () => {
  const ignore = new IgnoreRules([ignoreRuleFromText("class=only-in-a|only-in-b,pasid=5")], "2026-01-01");
  const { records, result } = await compare(stream(A), stream(A).split("\n").slice(1).join("\n"), { ignore });
  expect(records).toEqual([]);
  expect(result.counts).toMatchObject({ compared: 3, same: 3, total: 0 });
});

test("the form of the command line says the same", async () => {
  const rule = ignoreRuleFromText("class=code, codes=0x58:0x5*, dev=00:03.0|00:03.1");
  expect(rule.name).toBe("class=code, codes=0x58:0x5*, dev=00:03.0|00:03.1");
  const { result } = await compare(stream(A), stream(B), { ignore: new IgnoreRules([rule], "2026-01-01") });
  expect(rule.count).toBe(2);
  expect(result.counts.total).toBe(2);
});

describe("a rule is refused", () => {
  test.each([
    [{ class: "code" }, "reason: expected why the difference is expected, found nothing"],
    [
      { reason: "x" },
      "expected one of class, dev, pasid, addr, access, at, results, codes, reasons, found none",
    ],
    [{ class: "codes", reason: "x" }, 'class: expected "*" or one of result, address'],
    [{ clas: "code", reason: "x" }, 'found a field "clas"'],
    [{ dev: "00:03", reason: "x" }, 'dev: expected a device, or a pattern with "*", found "00:03"'],
    [{ pasid: "5-4", reason: "x" }, "pasid: expected a PASID"],
    [{ addr: "4 KiB", reason: "x" }, "addr: expected an address"],
    [{ codes: "0x58", reason: "x" }, "codes: expected a pair"],
    [{ codes: ["0x58"], reason: "x" }, "codes: expected a pair"],
    [{ access: "read", reason: "x" }, "access: expected one of r, w, rw, x"],
    [{ class: "code", reason: " " }, "reason: expected a string that is not empty"],
    [{ class: "code", reason: "x", expires: "2026-02-30" }, "expires: expected a date"],
    [{ class: "code", reason: "x", expires: "soon" }, "expires: expected a date"],
    ["class=code", "expected an object"],
  ])("%j", (rule, message) => {
    expect(() => ignoreRule(rule, "r", true)).toThrow(message);
  });

  test("with the name of another", () => {
    const rule = () => ignoreRule({ name: "same", class: "code", reason: "x" }, "r", true);
    expect(() => new IgnoreRules([rule(), rule()], "2026-01-01")).toThrow('found "same" twice');
  });
});
