import { printableLine } from "../../parsers/trace/show.ts";
import { CliError, reasonOf, systemCode } from "../errors.ts";

/** Set to show the stack of an error that should not have happened. */
const DEBUG_VARIABLE = "PASID_REPLAY_DEBUG";

/** What standard error says about an error that ended the command. */
export function complaint(error: unknown): string {
  const debug = process.env[DEBUG_VARIABLE] !== undefined && error instanceof Error ? `${error.stack}\n` : "";
  return `pasid-replay: ${printableLine(oneLine(sentence(error)))}\n${hint(error)}${debug}`;
}

function sentence(error: unknown): string {
  if (error instanceof CliError || isTraceError(error)) return error.message;
  if (systemCode(error) !== undefined) return `${pathOf(error)}${reasonOf(error)}`;
  const what = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  return `internal error: ${what}`;
}

function hint(error: unknown): string {
  if (error instanceof CliError && error.usage)
    return `Try 'pasid-replay ${error.command === "" ? "" : `${error.command} `}--help'.\n`;
  if (error instanceof CliError) return "";
  if (isTraceError(error) || systemCode(error) !== undefined) return "";
  return `This is a bug in pasid-replay: please report it, with the output under ${DEBUG_VARIABLE}=1.\n`;
}

/** By its name: the class is loaded only where a trace is read. */
function isTraceError(error: unknown): error is Error {
  return error instanceof Error && error.name === "TraceError";
}

function pathOf(error: unknown): string {
  const path = (error as { path?: unknown }).path;
  return typeof path === "string" ? `${path}: found ` : "";
}

function oneLine(text: string): string {
  return text
    .split(/[\r\n]+/)
    .map((line) => line.trim())
    .filter((line) => line !== "")
    .join(" ");
}
