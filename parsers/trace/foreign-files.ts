/** Files that hold what we could use, in a form that only their own tools read. */

interface ForeignFile {
  /** How it begins. */
  readonly magic: readonly number[];
  readonly name: string;
  /** The command that turns it into text; `FILE` stands for it. */
  readonly command: string;
}

const ascii = (text: string) => [...text].map((c) => c.charCodeAt(0));

/** The longest beginning that tells one. */
export const FOREIGN_MAGIC_BYTES = 8;

const FOREIGN: readonly ForeignFile[] = [
  {
    magic: [0x17, 0x08, 0x44, ...ascii("traci")],
    name: "a trace-cmd file (trace.dat)",
    command: "trace-cmd report FILE > trace.txt",
  },
  { magic: ascii("PERFILE2"), name: "a perf.data file", command: "perf script -i FILE > trace.txt" },
  {
    magic: ascii("LPKSHHRH"),
    name: "a systemd journal",
    command: "journalctl --file FILE -k -o short-monotonic > dmesg.txt",
  },
  {
    magic: [0xc1, 0x1f, 0xfc, 0xc1],
    name: "a CTF trace",
    command: "babeltrace2 FOLDER > trace.txt",
  },
];

/** What a file is that is read by other tools, and how: undefined where it is none that is known. */
export function foreignFile(path: string, head: Uint8Array): string | undefined {
  const found = FOREIGN.find(({ magic }) => magic.every((byte, i) => head[i] === byte));
  if (found === undefined) return undefined;
  return `expected text, found ${found.name}: use ${found.command.replace("FILE", path === "-" ? "it" : path)}`;
}
