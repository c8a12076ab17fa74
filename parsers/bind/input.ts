import { anyContentOf, headOf } from "../magic.ts";

/** What a file of a configuration or of capabilities holds: JSON, or bytes, raw or as hex digits. */
export type Input =
  | { readonly kind: "json"; readonly value: unknown }
  | { readonly kind: "bytes"; readonly bytes: Uint8Array };

const HEX_TEXT = /^[0-9a-fA-F]{2}(\s*[0-9a-fA-F]{2})*$/;
/** White space and what is printed: all that JSON and hex digits are made of, but for JSON's strings. */
const TEXT = /^[\t\n\r\x20-\uffff]*$/;

/**
 * Tells by content what a file holds.
 * @returns it, or a sentence that says what was expected and what was found
 */
export function readInput(bytes: Uint8Array): Input | string {
  if (bytes.length === 0) return "expected JSON, hex digits or bytes, found nothing";
  const content = anyContentOf(headOf(bytes));
  if (content !== undefined) return `expected JSON, hex digits or bytes of a structure, found ${content}`;
  const text = textOf(bytes);
  if (text === undefined) return { kind: "bytes", bytes };
  if (HEX_TEXT.test(text)) return { kind: "bytes", bytes: Buffer.from(text.replace(/\s+/g, ""), "hex") };
  if (text === "") return "expected JSON, hex digits or bytes, found white space alone";
  try {
    return { kind: "json", value: JSON.parse(text) };
  } catch (error) {
    const what = /^[{["]/.test(text)
      ? `JSON that breaks off or is malformed (${(error as Error).message})`
      : "";
    return `expected JSON, hex digits (two a byte, without "0x") or bytes, found ${what || "other text"}`;
  }
}

/** The bytes as text, without byte order mark and space around; undefined where they are none. */
function textOf(bytes: Uint8Array): string | undefined {
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    return TEXT.test(text) ? text.trim() : undefined;
  } catch {
    return undefined;
  }
}
