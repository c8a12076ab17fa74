import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { type CampaignReport, type Finding, fuzz } from "../../pipeline/fuzz/campaign.ts";
import { DeviceFailure, type DevicePort } from "../../pipeline/fuzz/port.ts";
import type { WorldCase } from "../../pipeline/fuzz/world-maker.ts";
import { CliError, reasonOf } from "../errors.ts";
import { EXIT_FOUND, EXIT_OK, EXIT_TROUBLE, type ExitStatus } from "../exit-status.ts";
import { makeFolder } from "../make-folder.ts";
import type { Output } from "../output.ts";
import { say } from "../say.ts";
import { type Bounds, Course } from "./course.ts";
import { coverageText, fileName, leftOutText, notReachedText, traceText, walkOf } from "./findings-text.ts";
import type { KnownFindings } from "./known-findings.ts";
import { expectationsOf, mistakesNamed } from "./mistakes.ts";

/** File of what was not reached, beside what was found. */
const NOT_REACHED = "not-reached.txt";

export interface FuzzSettings extends Bounds {
  readonly seed: number;
  /** Folder for what is found; undefined: it is only told. */
  readonly out: string | undefined;
  readonly known: KnownFindings;
  readonly shrinks: boolean;
}

/** Fuzzes a device, and says what was found. */
export async function fuzzDevice(port: DevicePort, settings: FuzzSettings, out: Output): Promise<ExitStatus> {
  const { codeAliases } = settings.known;
  const mistakes = await mistakesNamed(port.identity.model, settings.known.bugs);
  const course = await Course.begin(settings);
  await out.write(`seed ${settings.seed}; ${port.identity.name}, ${port.identity.model}\n`);
  const told = new Findings(port, settings, course.over(out));
  const report = await fuzz(port, {
    seed: settings.seed,
    worlds: settings.worlds,
    goesOn: course.goesOn,
    signal: course.signal,
    isKnown: settings.known.has,
    expected: expectationsOf(mistakes, codeAliases),
    shrinks: settings.shrinks,
    onFinding: (finding) => told.finding(finding),
    onFailure: (failure, world) => {
      course.hide();
      told.failure(failure, world);
    },
  }).finally(() => course.end());
  await out.write(summaryText(report, settings.known));
  if (settings.out !== undefined) {
    keep(settings.out, NOT_REACHED, notReachedText(report.coverage));
    await out.write(`  all that was not: ${join(settings.out, NOT_REACHED)}\n`);
  }
  await out.write(leftOutText(port.identity.model, port.identity.limits));
  const fresh = report.findings.filter(({ known }) => !known);
  if (report.gaveUp !== null) throw new CliError(`the device was given up: ${report.gaveUp.message}`);
  if (fresh.some(({ failure }) => failure !== null)) return EXIT_TROUBLE;
  return fresh.length > 0 ? EXIT_FOUND : EXIT_OK;
}

/** What stops a campaign before it has begun. */
export function startFailure(error: unknown): unknown {
  return error instanceof DeviceFailure ? new CliError(`the device does not start: ${error.message}`) : error;
}

class Findings {
  readonly #port: DevicePort;
  readonly #settings: FuzzSettings;
  readonly #out: Pick<Output, "write">;
  #count = 0;

  constructor(port: DevicePort, settings: FuzzSettings, out: Pick<Output, "write">) {
    this.#port = port;
    this.#settings = settings;
    this.#out = out;
  }

  async finding({ signature, known, world, records, line, runs }: Finding): Promise<void> {
    if (known) return;
    const number = ++this.#count;
    const name = fileName(number, signature.text);
    const trace = traceText(records, `${this.#comment(world)}; ${signature.text}`);
    const isRequest = records[line - 1]!.type === "dma";
    const walk = isRequest ? await walkOf(`${name}.ndjson`, trace, line) : "";
    const requests = records.filter(({ type }) => type === "dma").length;
    const text =
      `${number}. ${signature.text}\n` +
      `  expected ${signature.expected}, observed ${signature.observed}\n` +
      `  world ${world}; ${records.length} records, ${requests} of them requests, after ${runs} runs of the device\n`;
    await this.#out.write(`\n${text}`);
    if (this.#settings.out === undefined) {
      await this.#out.write(`\n${indented(walk)}`);
      return;
    }
    keep(this.#settings.out, `${name}.ndjson`, trace);
    keep(this.#settings.out, `${name}.txt`, `${text}\n${walk}`);
    await this.#out.write(`  ${join(this.#settings.out, `${name}.txt`)}\n`);
  }

  failure(failure: Error, { number, records }: WorldCase): void {
    const name = `world-${this.#settings.seed}-${number}.ndjson`;
    const folder = this.#settings.out ?? ".";
    keep(folder, name, traceText(records, `${this.#comment(number)}; ${failure.message}`));
    say(`world ${number} of seed ${this.#settings.seed}: ${failure.message}; kept in ${join(folder, name)}`);
  }

  #comment(world: number): string {
    return `${this.#port.identity.name}: seed ${this.#settings.seed}, world ${world}`;
  }
}

export function keep(folder: string, name: string, text: string): void {
  const path = join(folder, name);
  try {
    makeFolder(folder);
    writeFileSync(path, text);
  } catch (error) {
    throw new CliError(`${path}: expected to write, found ${reasonOf(error)}`);
  }
}

function indented(text: string): string {
  return text.replaceAll(/^(?=.)/gm, "    ");
}

function summaryText(report: CampaignReport, known: KnownFindings): string {
  const { worlds, requests, unanswered, findings, further, excused, failures, coverage } = report;
  const fresh = findings.filter((finding) => !finding.known);
  const expected = findings.filter((finding) => finding.known);
  const lines = [
    "",
    `${worlds} worlds, ${requests} requests${unanswered > 0 ? `, ${unanswered} of them not made` : ""}: ` +
      `${fresh.length} kinds of departure${expected.length > 0 ? `, and ${expected.length} known ones` : ""}`,
  ];
  for (const { signature, requests: count } of fresh) lines.push(`  ${count} × ${signature.text}`);
  if (further > 0) lines.push(`  ${further} × others: more kinds than ${fresh.length} are not kept`);
  if (failures > 0) lines.push(`${failures} worlds that the device did not survive`);
  if (expected.length > 0 || excused > 0) lines.push("known:");
  if (excused > 0) lines.push(`  ${excused} × what the mistakes ${known.bugs.join(", ")} explain`);
  for (const [reason, count] of byReason(expected, known)) lines.push(`  ${count} × ${reason}`);
  for (const unused of known.unused) lines.push(`known, but not found: ${unused}`);
  lines.push("reached:");
  return `${lines.join("\n")}\n${coverageText(coverage)}`;
}

/** How many requests there were for each reason to expect them. */
function byReason(findings: readonly Finding[], known: KnownFindings): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const { signature, requests } of findings) {
    const reason = known.reasonOf(signature.text);
    counts.set(reason, (counts.get(reason) ?? 0) + requests);
  }
  return counts;
}
