import { linesText } from "../../pipeline/words/lines.ts";
import { paint, paintAs } from "../../pipeline/words/paint.ts";
import { sentence } from "../../pipeline/words/sentence.ts";
import type { Checked } from "../check-files.ts";

const INDENT = "  ";

/** Findings for a person: each with its rule's sentence and source. */
export function checkText(checked: readonly Checked[]): string {
  return checked.map((one) => linesText(lines(one))).join("\n");
}

/** Findings as records of the trace contract; the configuration is the only line of its input. */
export function checkJson(checked: readonly Checked[]): string {
  return checked
    .flatMap(({ host, findings }) =>
      findings.map(({ rule, message, pasid }) => ({
        type: "finding",
        line: 1,
        severity: rule.severity,
        rule: rule.id,
        ...(host.id === "" ? {} : { iommu: host.id }),
        ...(pasid === undefined ? {} : { pasid }),
        message,
      })),
    )
    .map((record) => `${JSON.stringify(record)}\n`)
    .join("");
}

function lines({ host, request, findings }: Checked): string[] {
  const where = host.id === "" ? host.model : `${host.id}, ${host.model}`;
  const head = `${request.kind} on ${where}: ${count(findings.length)}`;
  return [
    head,
    ...findings.flatMap(({ rule, message }) => [
      `${INDENT}${paintAs(rule.severity)} ${paint("strong", rule.id)}: ${message}`,
      `${INDENT}${INDENT}${sentence(rule.text)} [${rule.source}]`,
    ]),
  ];
}

function count(findings: number): string {
  if (findings === 0) return "nothing speaks against it";
  return findings === 1 ? "1 finding" : `${findings} findings`;
}
