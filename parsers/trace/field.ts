/**
 * Kinds of field that a record may have. A record type is declared once, as a table of these (schema.ts); its
 * TypeScript type, its validation with the messages, and its JSON Schema come from that one declaration.
 *
 * Validation decodes: a 64-bit quantity becomes two 32-bit halves, a device name a `Device`.
 */
import { registerKey, type Word64 } from "../../walkers/registers.ts";
import { DEVICE_NAME, type Device, type Devices } from "./devices.ts";
import { show } from "./show.ts";

/**
 * Why a record could not be used: "json" not JSON (or not one line of it), "schema" a field is missing, of the
 * wrong type or none of the known names, "range" of the right type and out of range, "io" the input broke off.
 */
export type ErrorCode = "json" | "schema" | "range" | "io";

export type JsonSchema = { readonly [keyword: string]: unknown };

/** The state of one record's validation: what decoding needs, and the first problem found. */
export class Check {
  readonly devices: Devices;
  code: ErrorCode | "" = "";
  message = "";

  constructor(devices: Devices) {
    this.devices = devices;
  }

  get ok(): boolean {
    return this.code === "";
  }

  reset(): void {
    this.code = "";
    this.message = "";
  }

  /** Reports a problem (only the first one of a record counts). */
  fail(code: ErrorCode, path: string, expected: string, found: string): void {
    if (this.code !== "") return;
    this.code = code;
    this.message = `${path}: expected ${expected}, found ${found}`;
  }
}

/** What a plain value of a field looks like in the text of a record. Absent: a scanner leaves the record to LineReader. */
export type Plain =
  /** "0x…": halves. */
  | { readonly kind: "hex64" }
  /** Within the bounds: a number. */
  | { readonly kind: "integer"; readonly least: number; readonly most: number }
  /** 1 or 0. */
  | { readonly kind: "boolean" }
  /** One of these: its place among them. */
  | { readonly kind: "choice"; readonly names: readonly string[] }
  /** The number of a device. */
  | { readonly kind: "device" }
  /** A text that is not empty: its number among names. */
  | { readonly kind: "name" }
  /** A text, hex digits, a text or a number, an object, and whatever there is: where they are. */
  | { readonly kind: "text" | "hexBytes" | "opaque" | "object" | "any" };

export interface Field<T> {
  readonly doc: string;
  readonly plain?: Plain;
  /** May be left out. */
  readonly optional?: true;
  /** An object's own fields. */
  readonly fields?: Fields;
  /** Decodes a JSON value; where it is not what it should be, reports that and returns undefined. */
  read(value: unknown, path: string, check: Check): T | undefined;
  schema(): JsonSchema;
}

export type OptionalField<T> = Field<T> & { readonly optional: true };
export type Fields = { readonly [name: string]: Field<unknown> };
/** Fields of which only the schema is needed. */
export type DescribedFields = { readonly [name: string]: Pick<Field<unknown>, "schema" | "optional"> };
export type TypeOf<F> = F extends Field<infer T> ? T : never;

type OptionalNames<S> = { [K in keyof S]: S[K] extends { readonly optional: true } ? K : never }[keyof S];
type Flat<T> = { [K in keyof T]: T[K] };
/** The type of an object with these fields. */
export type ObjectOf<S> = Flat<
  { readonly [K in Exclude<keyof S, OptionalNames<S>>]: TypeOf<S[K]> } & {
    readonly [K in OptionalNames<S>]?: TypeOf<S[K]>;
  }
>;

export function optional<T>(field: Field<T>): OptionalField<T> {
  return { ...field, optional: true };
}

const HEX64 = /^0[xX][0-9a-fA-F]+$/;
const HEX64_DIGITS = 16;
const HEX64_EXPECTED = '"0x" and 1 to 16 hex digits';

/** A 64-bit quantity: "0x" and up to 16 hex digits of any case and padding; as two int32 halves. */
export function hex64(doc: string): Field<Word64> {
  return {
    doc,
    plain: { kind: "hex64" },
    read(value, path, check) {
      if (typeof value !== "string" || !HEX64.test(value)) {
        check.fail("schema", path, HEX64_EXPECTED, show(value));
        return undefined;
      }
      const digits = value.length - 2;
      if (digits > HEX64_DIGITS) {
        check.fail("range", path, HEX64_EXPECTED, `${show(value)} (${digits} digits)`);
        return undefined;
      }
      return {
        hi: Number.parseInt(value.slice(2, -8) || "0", 16) | 0,
        lo: Number.parseInt(digits > 8 ? value.slice(-8) : value.slice(2), 16) | 0,
      };
    },
    schema: () => ({ type: "string", pattern: "^0[xX][0-9a-fA-F]{1,16}$", description: doc }),
  };
}

/** A number of bytes: as a 64-bit quantity, or as a JSON number. */
export function size64(doc: string): Field<Word64> {
  const hex = hex64(doc);
  return {
    doc,
    read(value, path, check) {
      if (typeof value !== "number") return hex.read(value, path, check);
      if (Number.isSafeInteger(value) && value >= 0) return { hi: (value / 2 ** 32) | 0, lo: value | 0 };
      check.fail("range", path, `an integer 0 to ${Number.MAX_SAFE_INTEGER}`, show(value));
      return undefined;
    },
    schema: () => ({
      anyOf: [hex.schema(), { type: "integer", minimum: 0, maximum: Number.MAX_SAFE_INTEGER }],
      description: doc,
    }),
  };
}

/** Bytes as hex digits, without "0x"; kept as text. */
export function hexBytes(doc: string): Field<string> {
  return {
    doc,
    plain: { kind: "hexBytes" },
    read(value, path, check) {
      if (typeof value !== "string" || !/^[0-9a-fA-F]*$/.test(value)) {
        check.fail("schema", path, 'hex digits without "0x"', show(value));
        return undefined;
      }
      if (value.length % 2 !== 0) {
        check.fail("schema", path, "an even number of hex digits", `${value.length} digits`);
        return undefined;
      }
      return value;
    },
    schema: () => ({ type: "string", pattern: "^([0-9a-fA-F]{2})*$", description: doc }),
  };
}

/** An integer from `min` to `max`, both included. */
export function integer(min: number, max: number, doc: string): Field<number> {
  const expected = min === max ? `${min}` : `an integer ${min} to ${max}`;
  return {
    doc,
    plain: { kind: "integer", least: min, most: max },
    read(value, path, check) {
      if (typeof value !== "number" || !Number.isInteger(value)) {
        check.fail("schema", path, expected, show(value));
        return undefined;
      }
      if (value < min || value > max) {
        check.fail("range", path, expected, show(value));
        return undefined;
      }
      return value + 0;
    },
    schema: () => ({ type: "integer", minimum: min, maximum: max, description: doc }),
  };
}

export function boolean(doc: string): Field<boolean> {
  return {
    doc,
    plain: { kind: "boolean" },
    read(value, path, check) {
      if (typeof value === "boolean") return value;
      check.fail("schema", path, "true or false", show(value));
      return undefined;
    },
    schema: () => ({ type: "boolean", description: doc }),
  };
}

/** Any text that is not empty. */
export function text(doc: string): Field<string> {
  return {
    doc,
    plain: { kind: "name" },
    read(value, path, check) {
      if (typeof value === "string" && value !== "") return wellFormed(value);
      check.fail("schema", path, "a string that is not empty", show(value));
      return undefined;
    },
    schema: () => ({ type: "string", minLength: 1, description: doc }),
  };
}

/** Half of a surrogate pair, which JSON can escape and UTF-8 cannot say: a name is the same however it is read. */
const LONE_SURROGATE = /\p{Cs}/gu;

function wellFormed(text: string): string {
  return text.replace(LONE_SURROGATE, "\ufffd");
}

/** The name of a register or capability. Specifications write them in capitals, the contract in lower case. */
export function registerName(doc: string): Field<string> {
  const { read, schema } = text(doc);
  return {
    doc,
    schema,
    read(value, path, check) {
      const name = read(value, path, check);
      return name === undefined ? undefined : registerKey(name);
    },
  };
}

/** Any text, the empty one too. */
export function anyText(doc: string): Field<string> {
  return {
    doc,
    plain: { kind: "text" },
    read(value, path, check) {
      if (typeof value === "string") return wellFormed(value);
      check.fail("schema", path, "a string", show(value));
      return undefined;
    },
    schema: () => ({ type: "string", description: doc }),
  };
}

/** A number or a string that means something to its producer only and is carried along. */
export function opaque(doc: string): Field<number | string> {
  return {
    doc,
    plain: { kind: "opaque" },
    read(value, path, check) {
      if (typeof value === "number" || typeof value === "string") return value;
      check.fail("schema", path, "a number or a string", show(value));
      return undefined;
    },
    schema: () => ({ type: ["number", "string"], description: doc }),
  };
}

/** One of a few names. */
export function oneOf<const N extends string>(names: readonly N[], doc: string): Field<N> {
  const expected = listOf(names.map((name) => `"${name}"`));
  return {
    doc,
    plain: { kind: "choice", names },
    read(value, path, check) {
      if ((names as readonly unknown[]).includes(value)) return value as N;
      check.fail("schema", path, expected, show(value));
      return undefined;
    },
    schema: () => (names.length === 1 ? { const: names[0] } : { enum: names, description: doc }),
  };
}

export function device(doc: string): Field<Device> {
  return {
    doc,
    plain: { kind: "device" },
    read(value, path, check) {
      const parsed = typeof value === "string" ? check.devices.parse(value) : "syntax";
      if (typeof parsed === "object") return parsed;
      check.fail(parsed === "range" ? "range" : "schema", path, DEVICE_NAME.expected, show(value));
      return undefined;
    },
    schema: () => ({ type: "string", pattern: DEVICE_NAME.pattern, description: doc }),
  };
}

/** A list of `min` to `max` values of one kind. */
export function list<T>(items: Field<T>, min: number, max: number, doc: string): Field<readonly T[]> {
  return {
    doc,
    read(value, path, check) {
      if (!Array.isArray(value) || value.length < min || value.length > max) {
        check.fail("schema", path, `an array of ${min} to ${max}`, show(value));
        return undefined;
      }
      return value.map((item, i) => items.read(item, `${path}[${i}]`, check) as T);
    },
    schema: () => ({ type: "array", minItems: min, maxItems: max, items: items.schema(), description: doc }),
  };
}

/** An object whose fields are named after registers or capabilities; see `registerName`. */
export function mapOf<T>(values: Field<T>, doc: string): Field<ReadonlyMap<string, T>> {
  return {
    doc,
    read(value, path, check) {
      if (!isObject(value)) {
        check.fail("schema", path, "an object", show(value));
        return undefined;
      }
      const out = new Map<string, T>();
      for (const [name, item] of Object.entries(value))
        out.set(
          registerKey(wellFormed(name)),
          values.read(item, `${path}.${show(name).slice(1, -1)}`, check) as T,
        );
      return out;
    },
    schema: () => ({ type: "object", additionalProperties: values.schema(), description: doc }),
  };
}

/** An object with these fields; others are ignored. */
export function object<const S extends Fields>(fields: S, doc: string): Field<ObjectOf<S>> {
  const entries = Object.entries(fields);
  return {
    doc,
    plain: { kind: "object" },
    fields,
    read(value, path, check) {
      if (!isObject(value)) {
        check.fail("schema", path, "an object", show(value));
        return undefined;
      }
      const out: Record<string, unknown> = {};
      for (const [name, field] of entries) {
        const item = value[name];
        if (item === undefined && field.optional === true) continue;
        out[name] = field.read(item, path === "" ? name : `${path}.${name}`, check);
        if (!check.ok) return undefined;
      }
      return out as ObjectOf<S>;
    },
    schema: () => objectSchema(fields, doc),
  };
}

export function objectSchema(fields: DescribedFields, doc: string): JsonSchema {
  const entries = Object.entries(fields);
  return {
    type: "object",
    required: entries.filter(([, field]) => field.optional !== true).map(([name]) => name),
    properties: Object.fromEntries(entries.map(([name, field]) => [name, field.schema()])),
    description: doc,
  };
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function listOf(names: readonly string[]): string {
  if (names.length === 1) return names[0]!;
  return `${names.slice(0, -1).join(", ")} or ${names.at(-1)}`;
}
