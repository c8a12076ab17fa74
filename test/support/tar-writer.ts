/** A tar archive for tests, header by header (POSIX.1-1988 ustar, pax and GNU long names). */
const BLOCK = 512;

export interface TarMember {
  readonly name: string;
  readonly data?: Uint8Array | string;
  /** "0" a file, "2" a symbolic link, "5" a folder, "x" pax records, "L" GNU's long name. */
  readonly type?: "0" | "2" | "5" | "x" | "L";
  readonly link?: string;
  /** "ustar\0" + "00", or GNU's "ustar  \0". */
  readonly gnu?: boolean;
}

export function tarOf(members: readonly TarMember[]): Buffer {
  return Buffer.concat([...members.map(memberOf), Buffer.alloc(2 * BLOCK)]);
}

function memberOf({ name, data = "", type = "0", link = "", gnu = false }: TarMember): Buffer {
  const body = Buffer.from(data as string);
  const header = Buffer.alloc(BLOCK);
  header.write(name, 0, 100, "latin1");
  header.write("0000644\0", 100, "latin1");
  header.write("0000000\0", 108, "latin1");
  header.write("0000000\0", 116, "latin1");
  header.write(`${body.length.toString(8).padStart(11, "0")}\0`, 124, "latin1");
  header.write("00000000000\0", 136, "latin1");
  header.write("        ", 148, "latin1");
  header.write(type, 156, "latin1");
  header.write(link, 157, 100, "latin1");
  header.write(gnu ? "ustar  \0" : "ustar\x0000", 257, "latin1");
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  const padding = Buffer.alloc((BLOCK - (body.length % BLOCK)) % BLOCK);
  return Buffer.concat([header, body, padding]);
}

/** One pax record: its length counts itself. */
export function paxRecord(key: string, value: string): string {
  const rest = ` ${key}=${value}\n`;
  let length = rest.length + 1;
  while (`${length}${rest}`.length !== length) length = `${length}${rest}`.length;
  return `${length}${rest}`;
}
