import { sentence } from "../../pipeline/words/sentence.ts";
import { fieldsWithin, structureLines } from "../../pipeline/words/structure.ts";
import {
  type CommandCoverage,
  commandCoverage,
  type DecodedCommand,
  formatCommand,
} from "../../walkers/commands/command.ts";
import type { DecodedField } from "../../walkers/layout.ts";
import { hex, joined } from "../../walkers/word64.ts";

/** A command for a person: one line in the vendor's syntax, its fields, what is wrong with it, what it covers. */
export function commandText(command: DecodedCommand): string {
  const lines = [formatCommand(command)];
  const source = command.layout === null ? "" : `  [${command.layout.source}]`;
  lines[0] += source;
  for (const line of structureLines(words(command), given(command), [])) lines.push(`  ${line}`);
  for (const problem of command.problems) {
    const bits = problem.bits === "" ? "" : ` (bits ${problem.bits})`;
    const field = problem.field === "" ? "" : `${problem.field}${bits}: `;
    lines.push(`  ${problem.kind}: ${field}${problem.message} [${problem.source}]`);
  }
  const coverage = coverageOf(command);
  if (coverage !== undefined) {
    lines.push(`  Covers: ${sentence(coverage.covers)}`);
    lines.push(`  Does not cover: ${sentence(coverage.doesNotCover)}`);
  }
  if (command.completion) lines.push("  A completion: what was issued before it has taken effect.");
  return `${lines.join("\n")}\n`;
}

export function commandJson(command: DecodedCommand): string {
  const coverage = coverageOf(command);
  const record = {
    type: "command",
    model: command.model,
    data: words(command).map(hex),
    name: command.name,
    text: formatCommand(command),
    fields: Object.fromEntries(given(command).map((field) => [field.name, hex(field.value)])),
    completion: command.completion,
    problems: command.problems,
    ...(coverage === undefined ? {} : { covers: coverage.covers, does_not_cover: coverage.doesNotCover }),
  };
  return `${JSON.stringify(record)}\n`;
}

function coverageOf(command: DecodedCommand): CommandCoverage | undefined {
  return commandCoverage(command.model).find((row) => row.command === command.name);
}

/** The fields that lie in the words that there are. */
function given(command: DecodedCommand): DecodedField[] {
  return fieldsWithin(command.fields, 64 * command.words.length);
}

function words(command: DecodedCommand): bigint[] {
  return command.words.map((word) => joined(word.hi, word.lo));
}
