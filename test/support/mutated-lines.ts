/** Lines that say the same in another way, or something else, or nothing: what a reader of requests must not trip over. */
import type { Random } from "./mutated-trace.ts";

/** What values become. */
const VALUES = [
  "0",
  "-0",
  "-1",
  "1.5",
  "1e3",
  "007",
  "4294967295",
  "4294967296",
  "1048575",
  "1048576",
  "999999999999999",
  "9007199254740991",
  "12345678901234567890",
  '""',
  '"0x0"',
  '"0XFf"',
  '"0xffffffffffffffff"',
  '"0x10000000000000000"',
  '"0x"',
  '"0x12g4"',
  '"r"',
  '"rw"',
  '"é"',
  '"\\u0041"',
  '"a\\"b"',
  "true",
  "false",
  "null",
  "[1,[2]]",
  '{"a":{}}',
  '{"result":"ok"}',
  '{"result":"ok","pa":"0x1000"}',
  '{"pa":"0x1000","result":"ok"}',
  '{"result":"fault","code":"0x71"}',
  '{"result":"msi"}',
  '"00fF"',
  '"00f"',
  '["0x1","0x2"]',
  '[ "0x1" , "0X2","0x3","0x4" ]',
  '["0x1"]',
  '["0x1","0x2","0x3","0x4","0x5"]',
  "{}",
];
const NAMES = [
  "type",
  "dev",
  "addr",
  "iommu",
  "pasid",
  "len",
  "access",
  "priv",
  "seq",
  "ts",
  "observed",
  "data",
  "by",
  "assumed",
  "note",
  "x",
];
const BLANKS = ["", "", "", " ", "\t", "  ", "\r", " \t "];

function pick<T>(list: readonly T[], random: Random): T {
  return list[random(list.length)]!;
}

/** A line of the trace, changed in one to three ways. */
export function mutatedLine(line: string, random: Random): string {
  let text = line;
  for (let times = 1 + random(3); times > 0; times--) text = mutatedOnce(text, random);
  return text;
}

function mutatedOnce(line: string, random: Random): string {
  const way = random(10);
  if (way === 0) return line.slice(0, random(line.length + 1));
  if (way === 1)
    return insertedAt(
      line,
      random,
      pick(["\u0000", "\u0007", "\u007f", "é", "\\", '"', "}", ",", "\t"], random),
    );
  if (way === 2) return `${pick(BLANKS, random)}${line}${pick(BLANKS, random)}`;
  if (way === 3) return random(2) === 0 ? "" : `${line}${pick(["x", " {}", ",", "\u2028"], random)}`;
  if (way === 4 && line.length > 0) {
    const at = random(line.length);
    return line.slice(0, at) + String.fromCharCode(32 + random(95)) + line.slice(at + 1);
  }
  const members = membersOf(line);
  if (members === null) return line;
  if (way === 5) members.push([pick(NAMES, random), pick(VALUES, random)]);
  if (way === 6) members.splice(random(members.length), 1);
  if (way === 7 && members.length > 0) pick(members, random)[1] = pick(VALUES, random);
  if (way === 8 && members.length > 0) {
    const member = pick(members, random);
    if (random(2) === 0) members.push([...member]);
    else member[0] = escaped(member[0], random);
  }
  for (let i = members.length - 1; i > 0; i--) {
    const j = random(i + 1);
    [members[i], members[j]] = [members[j]!, members[i]!];
  }
  const blank = () => (random(4) === 0 ? pick(BLANKS, random) : "");
  const texts = members.map(([name, value]) => `${blank()}"${name}"${blank()}:${blank()}${value}${blank()}`);
  return `{${texts.join(",")}}`;
}

function insertedAt(line: string, random: Random, text: string): string {
  const at = random(line.length + 1);
  return line.slice(0, at) + text + line.slice(at);
}

/** Names and texts of values of an object, or null. */
function membersOf(line: string): [string, string][] | null {
  try {
    const value: unknown = JSON.parse(line);
    if (typeof value !== "object" || value === null) return null;
    return Object.entries(value).map(([name, member]) => [name, JSON.stringify(member)]);
  } catch {
    return null;
  }
}

/** A name with one of its characters as an escape. */
function escaped(name: string, random: Random): string {
  if (name.length === 0) return name;
  const at = random(name.length);
  const code = name.charCodeAt(at).toString(16).padStart(4, "0");
  return `${name.slice(0, at)}\\u${code}${name.slice(at + 1)}`;
}
