import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { ROOT } from "./support/cli.ts";
import { replayed } from "./support/logs.ts";

const loss = (severity: string, count: number) =>
  JSON.stringify({
    type: "loss",
    what: "some-events",
    severity,
    count,
    first_line: 3,
    message: "they are gone",
  });

test("what is not in a trace is a finding of its severity, with how many there are", async () => {
  const records = await replayed([loss("error", 7), loss("warning", 1), loss("info", 2)].join("\n"));
  expect(records.slice(0, 3)).toEqual([
    {
      type: "finding",
      line: 1,
      severity: "error",
      rule: "events-lost",
      message: "some-events: 7: they are gone",
      what: "some-events",
      count: 7,
      first_line: 3,
    },
    expect.objectContaining({ line: 2, severity: "warning", rule: "trace-incomplete", count: 1 }),
    expect.objectContaining({ line: 3, severity: "info", rule: "trace-imprecise", count: 2 }),
  ]);
});

test("QEMU says how many events it dropped: a replay of its binary trace says so, too", async () => {
  const records = await replayed(readFileSync(join(ROOT, "samples/logs/qemu-simple-v4.bin")));
  const finding = records.find(({ rule }) => rule === "events-lost");
  expect(finding).toMatchObject({ severity: "error", what: "dropped-events", count: 7 });
});
