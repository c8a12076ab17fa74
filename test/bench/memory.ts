import type { Bench } from "tinybench";
import { TraceMemory } from "../../parsers/memory/guest-memory.ts";

/** Calls per task iteration: a single one is below the clock's resolution. */
const CALLS = 1000;

/** Guest memory: what a walk pays per table entry, and a trace per `mem` record. Each iteration is 1000 calls. */
export function addMemoryTasks(bench: Bench): void {
  addFetchTasks(bench);
  addWriteTasks(bench);
}

function addFetchTasks(bench: Bench): void {
  const memory = new TraceMemory();
  memory.ram(0, 0, 0, 0x4000_0000);
  const tables = Float64Array.from({ length: 256 }, (_, i) => 0x1234 + 37 * i);
  for (const frame of tables) memory.write(0, frame << 12, new Uint8Array(8).fill(1));
  bench.add("memory: 1000 fetches of 8 bytes, 256 tables", () => {
    let sum = 0;
    for (let i = 0; i < CALLS; i++) {
      memory.fetch(tables[i & 255]!, (i << 3) & 0xff8, 8);
      sum += memory.view.getInt32(memory.at, true);
    }
    return sum;
  });
  let state = 1;
  bench.add("memory: 1000 fetches of 8 bytes, anywhere in 1 GiB of RAM", () => {
    let sum = 0;
    for (let i = 0; i < CALLS; i++) {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0;
      memory.fetch(state >>> 14, 0x10, 8);
      sum += memory.view.getInt32(memory.at, true);
    }
    return sum;
  });
}

function addWriteTasks(bench: Bench): void {
  const memory = new TraceMemory();
  memory.ram(0, 0, 0, 0x4000_0000);
  const entry = Buffer.from("6730001000000080");
  const page = Buffer.from("67300010000000a0".repeat(512));
  bench.add("memory: 1000 mem records of 8 bytes, 4 MiB of tables", () => {
    for (let i = 0; i < CALLS; i++) memory.writeHex(entry, 0, entry.length, 0, Math.imul(i, 4200) & ~7);
  });
  bench.add("memory: 1000 mem records of a page, 4 MiB of tables", () => {
    for (let i = 0; i < CALLS; i++) memory.writeHex(page, 0, page.length, 0, i << 12);
  });
}
