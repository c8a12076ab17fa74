/** A vendor whose invalidation commands are not known: its traces are replayed, and no command is advised. */
import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { afterAll, beforeAll, expect, it } from "vitest";
import { bytesSource } from "../parsers/trace/source.ts";
import { replayTrace } from "../pipeline/replay/run.ts";
import { decodeCommand, formatCommand } from "../walkers/commands/command.ts";
import { VENDORS } from "../walkers/registry.ts";

const { commands, advice } = VENDORS.intel;
beforeAll(() => void Object.assign(VENDORS.intel, { commands: null, advice: null }));
afterAll(() => void Object.assign(VENDORS.intel, { commands, advice }));

const SAMPLE = new URL("../samples/intel/intel-11.1-fs-inval-s1.ndjson.gz", import.meta.url);

async function replay(): Promise<Record<string, unknown>[]> {
  const chunks: Uint8Array[] = [];
  await replayTrace(bytesSource(gunzipSync(readFileSync(SAMPLE))), {
    write: (bytes) => void chunks.push(Uint8Array.from(bytes)),
  });
  const lines = Buffer.concat(chunks).toString("utf8").trimEnd().split("\n");
  return lines.map((line) => JSON.parse(line));
}

it("is replayed: entries go stale for want of an invalidation that is known, and no command is advised", async () => {
  const records = await replay();
  const { errors, findings, records: read } = records.at(-1) as Record<string, Record<string, number>>;
  expect(read!.cmd).toBeGreaterThan(0);
  expect(errors).toBe(0);
  expect(findings!["missing-invalidation"]).toBeGreaterThan(0);
  for (const { rule, command } of records)
    if (rule === "missing-invalidation") expect(command).toBeUndefined();
});

it("its commands are unknown, and nothing is wrong with them", () => {
  const words = [
    { hi: 0, lo: 0x50022 },
    { hi: 0, lo: 0 },
  ];
  const command = decodeCommand("intel", words);
  expect(command).toMatchObject({ name: "unknown", problems: [], invalidation: null, completion: false });
  expect(formatCommand(command)).toBe("unknown command, opcode 0x22: 0x50022 0x0");
});
