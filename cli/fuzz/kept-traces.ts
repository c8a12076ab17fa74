import { openInput } from "../../parsers/bind/input-file.ts";
import { isTraceError } from "../../parsers/trace/errors.ts";
import { isObject } from "../../parsers/trace/field.ts";
import { type Answered, askAgain, NotForDevice } from "../../pipeline/fuzz/ask-again.ts";
import type { Expectations } from "../../pipeline/fuzz/expected-departures.ts";
import { DeviceFailure, type DevicePort } from "../../pipeline/fuzz/port.ts";
import type { WorldRecord } from "../../walkers/fuzz/world.ts";
import { CliError } from "../errors.ts";
import { EXIT_FOUND, EXIT_OK, EXIT_TROUBLE, type ExitStatus } from "../exit-status.ts";
import { textOfInput } from "../input-text.ts";
import type { Output } from "../output.ts";
import { say } from "../say.ts";
import type { KnownFindings } from "./known-findings.ts";
import { expectationsOf, mistakesNamed } from "./mistakes.ts";

const EXPECTED = "a trace that fuzz has kept or emitted";

/** Asks a device about traces that were kept: one line for each, and a sum. */
export async function askAboutTraces(
  port: DevicePort,
  paths: readonly string[],
  known: KnownFindings,
  out: Output,
): Promise<ExitStatus> {
  const counts = { right: 0, departs: 0, known: 0, failed: 0, unasked: 0, trouble: 0 };
  let requests = 0;
  await out.write(`${port.identity.name}, ${port.identity.model}\n`);
  const mistakes = await mistakesNamed(port.identity.model, known.bugs);
  const expected = expectationsOf(mistakes, known.codeAliases);
  for (const path of paths) {
    const answered = await ofTrace(port, path, expected, known);
    if (answered === null) {
      counts.trouble++;
      continue;
    }
    requests += answered.requests;
    const kinds = [...new Set(answered.signatures)];
    const fresh = kinds.filter((signature) => !known.has(signature));
    if (answered.unanswered === answered.requests && !answered.failed) counts.unasked++;
    else if (kinds.length === 0 && answered.excused === 0) counts.right++;
    else if (fresh.length === 0) counts.known++;
    else if (answered.failed) counts.failed++;
    else counts.departs++;
    await out.write(`${path}: ${verdictOf(answered, kinds, fresh)}\n`);
  }
  await out.write(
    `${paths.length} traces, ${requests} requests: ${counts.right} right, ${counts.departs} that depart, ` +
      `${counts.known} known, ${counts.failed} not answered, ${counts.unasked + counts.trouble} not asked\n`,
  );
  if (counts.trouble + counts.failed > 0) return EXIT_TROUBLE;
  return counts.departs > 0 ? EXIT_FOUND : EXIT_OK;
}

/** @returns null where the device cannot be asked about it, which is said @throws CliError where it cannot be asked at all */
async function ofTrace(
  port: DevicePort,
  path: string,
  expected: Expectations,
  known: KnownFindings,
): Promise<Answered | null> {
  try {
    return await askAgain(port, await readRecords(path), expected, known.has);
  } catch (error) {
    if (error instanceof DeviceFailure) throw new CliError(`the device was given up: ${error.message}`);
    if (error instanceof NotForDevice) say(`${path}: ${error.message}`);
    else if (error instanceof CliError || isTraceError(error)) say(error.message);
    else throw error;
    return null;
  }
}

function verdictOf(
  { requests, unanswered, excused }: Answered,
  kinds: readonly string[],
  fresh: readonly string[],
): string {
  if (fresh.length > 0) return fresh.join("; ");
  const known = excused > 0 ? [...kinds, "mistakes that it is known to make"] : kinds;
  if (known.length > 0) return `known: ${known.join("; ")}`;
  if (unanswered === requests)
    return `nothing asked, as ${requests === 1 ? "its request" : "its requests"} cannot be made`;
  return `right${unanswered > 0 ? `, but ${unanswered} of ${requests} requests cannot be made` : ""}`;
}

async function readRecords(path: string): Promise<WorldRecord[]> {
  const text = await textOfInput(await openInput(path, EXPECTED), EXPECTED);
  return text
    .split("\n")
    .flatMap((line, i) => (line.trim() === "" ? [] : [recordOf(`${path}:${i + 1}`, line)]));
}

function recordOf(place: string, line: string): WorldRecord {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    value = line;
  }
  if (isObject(value) && typeof value.type === "string") return value as WorldRecord;
  throw new CliError(
    `${place}: expected a record of ${EXPECTED}, found ${JSON.stringify(value).slice(0, 80)}`,
  );
}
