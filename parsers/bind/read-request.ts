import { readInput } from "./input.ts";
import type { BindRequest } from "./request.ts";
import { requestOfBytes } from "./request-bytes.ts";
import { requestOfJson } from "./request-json.ts";

/**
 * Reads what a VMM asks to bind: JSON, or the bytes of the C structure, raw or as hex digits.
 * @returns the request, or a sentence that says what was expected and what was found
 */
export function readRequest(bytes: Uint8Array): BindRequest | string {
  const input = readInput(bytes);
  if (typeof input === "string") return input;
  return input.kind === "json" ? requestOfJson(input.value) : requestOfBytes(input.bytes);
}
