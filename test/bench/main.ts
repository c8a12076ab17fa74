/**
 * Benchmarks; `--help` says how they are called. First tasks within this process (trace reading, guest memory, walks of every vendor, caches, outcomes), then whole runs of
 * the built command beside jq, and where there is a C compiler beside a near-limit: narrow and wide traces and one of a DMA
 * API, the library, diff, start-up; with `--large` memory and times at ten times the length; and on very many different
 * pages. To add tasks, write a file with an `add…Tasks(bench)` and list
 * it below. The first number in a task's name is how many things one iteration does.
 */
import { Bench, type Task } from "tinybench";
import build from "../support/build.ts";
import { countOf, toolArguments } from "../support/tool-arguments.ts";
import { addCacheTasks, cachedPages } from "./caches.ts";
import { endToEnd, memoryByLength, startUp } from "./end-to-end.ts";
import { addMemoryTasks } from "./memory.ts";
import { addOutcomeWriterTasks } from "./outcome-writer.ts";
import { addScannerTasks } from "./scanner.ts";
import { addVendorWalkTasks } from "./vendor-walks.ts";
import { addWalkTasks } from "./walks.ts";

const USAGE = `npm run bench -- [--requests 1000000] [--rounds 5] [--skip-tasks] [--skip-end-to-end] [--large]
  [--pages 10000000] [--skip-pages]

Tasks within one process, then whole runs beside jq and a near-limit in C, then runs on very many pages.
--large: memory and times at ten times the length.`;

const { values } = toolArguments(
  USAGE,
  {
    requests: { type: "string", default: "1000000" },
    rounds: { type: "string", default: "5" },
    "skip-tasks": { type: "boolean", default: false },
    "skip-end-to-end": { type: "boolean", default: false },
    large: { type: "boolean", default: false },
    pages: { type: "string", default: "10000000" },
    "skip-pages": { type: "boolean", default: false },
  },
  ({ requests, rounds, pages }) => {
    for (const [name, text] of Object.entries({ requests, rounds, pages })) countOf(`--${name}`, text);
  },
);

if (!values["skip-tasks"]) {
  const bench = new Bench({ time: 500, warmupTime: 200 });
  addScannerTasks(bench);
  addMemoryTasks(bench);
  await addWalkTasks(bench);
  await addVendorWalkTasks(bench);
  await addCacheTasks(bench);
  addOutcomeWriterTasks(bench);
  await bench.run();
  for (const task of bench.tasks) console.log(taskLine(task));
}
if (!values["skip-end-to-end"] || !values["skip-pages"]) build();
const sizes = { requests: Number(values.requests), rounds: Number(values.rounds) };
if (!values["skip-end-to-end"]) {
  startUp(sizes);
  endToEnd(sizes);
}
if (values.large) memoryByLength(sizes);
if (!values["skip-pages"]) cachedPages({ pages: Number(values.pages), rounds: Number(values.rounds) });

/** A task's median: how long one thing takes, and how many there are in a second. */
function taskLine(task: Task): string {
  const { result } = task;
  if (result.state !== "completed")
    throw new Error(`${task.name}: ${"error" in result ? result.error : result.state}`);
  const things = Number(/\d[\d,]*/.exec(task.name)?.[0].replaceAll(",", "") ?? 1);
  const nanoseconds = (result.latency.p50 * 1e6) / things;
  const rate = Math.round(1e9 / nanoseconds).toLocaleString("en");
  return `${task.name.padEnd(76)} ${nanoseconds.toFixed(1).padStart(9)} ns ${rate.padStart(13)} /s`;
}
