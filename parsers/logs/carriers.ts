/**
 * What carries a message through consoles, journals and mail, and is no part of it. Carriers nest: a quoted mail may hold
 * a journal, and that the kernel's own time stamps.
 */
import { stripVTControlCharacters } from "node:util";
import type { LogLine } from "./format.ts";
import { traceEventLine } from "./ftrace-line.ts";

const CR = 0x0d;
const SPACE = 0x20;
const GREATER = 0x3e;
const LESS = 0x3c;
const PAREN = 0x28;
const BRACKET = 0x5b;
const LETTER_K = 0x6b;

/** QEMU before 10.1 with `-msg timestamp=on`: thread id, seconds since the epoch. */
const QEMU_STAMP = /^(\d{1,10})@(\d{1,12}\.\d{1,9}):/;
/** QEMU since 10.1, and journals with `-o short-iso` and the like; the kernel of a journal follows a host name. */
const ISO_STAMP = /^(\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d)?) /;
/** syslog (RFC 3164): Nov 30 02:34:51. */
const SYSLOG_STAMP =
  /^((?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) [ \d]\d \d\d:\d\d:\d\d(?:\.\d{1,9})?) /;
/** Host and program behind the stamp of a journal. */
const JOURNAL_SOURCE = /^[\w.:-]+ [\w./@-]+(?:\[\d+\])?: ?/;
/** The same, where the stamp may be QEMU's or dmesg's own: messages look like programs, too. */
const KERNEL_SOURCE = /^[\w.:-]+ kernel: ?/;
/** A stamp of local time, as journals and syslog daemons write it. */
const LOCAL_TIME = /[+-]\d\d:?\d\d$/;
/** Priority of `dmesg --raw`, /dev/kmsg or a serial console. */
const PRIORITY = /^<\d{1,3}>/;
/** The kernel's time stamp: seconds since boot. */
const KERNEL_STAMP = /^\[ {0,11}(\d{1,11}\.\d{6})\] ?/;
/** What `dmesg --ctime` makes of it. */
const CTIME_STAMP = /^\[((?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) \w{3} [ \d]\d \d\d:\d\d:\d\d(?:\.\d+)? \d{4})\] ?/;
/** Thread or CPU behind it (CONFIG_PRINTK_CALLER). */
const PRINTK_CALLER = /^\[ {0,6}([TC]\d{1,10})\] ?/;
/** What lines of trace events have, and hardly others: the CPU (see ftrace-line.ts). */
const TRACE_CPU = /\d\)? +\[\d{3,5}\] /;
/** A journal of which only the program's name is left. */
const BARE_SOURCE = /^kernel: (?=\[)/;
const XEN = /^\(XEN\) ?/;

/** A line whose carriers have been taken off; used again for each line. */
export class CarriedLine implements LogLine {
  number = 0;
  text = "";
  ts = "";
  origin = "";

  /** Takes the carriers off a line. */
  take(number: number, raw: string): void {
    this.number = number;
    this.ts = "";
    this.origin = "";
    let text = withoutEnd(raw);
    if (text.includes("\u001b")) text = stripVTControlCharacters(text);
    // Each turn takes something off, so there are no more of them than there are bytes.
    for (let before = -1; before !== text.length; ) {
      before = text.length;
      text = this.#strip(text);
    }
    this.text = text;
  }

  #strip(text: string): string {
    const event = this.ts === "" && TRACE_CPU.test(text) ? traceEventLine(text) : undefined;
    if (event !== undefined) {
      this.ts = event.time.replace(/^0+(?=\d)/, "");
      this.origin = event.task;
      return `${event.system === undefined ? "" : `${event.system}:`}${event.event}: ${event.text}`;
    }
    const first = text.charCodeAt(0);
    if (first === GREATER) return text.slice(text.charCodeAt(1) === SPACE ? 2 : 1);
    if (first === LESS) return text.replace(PRIORITY, "");
    if (first === PAREN) return text.replace(XEN, "");
    if (first === BRACKET) return this.#bracketed(text);
    if (first >= 0x30 && first <= 0x39) return this.#numbered(text);
    if (first === LETTER_K && BARE_SOURCE.test(text)) return text.replace(BARE_SOURCE, "");
    const syslog = first >= 0x41 && first <= 0x53 ? SYSLOG_STAMP.exec(text) : null;
    if (syslog === null) return text;
    this.#stamp(JSON.stringify(syslog[1]));
    return text.slice(syslog[0].length).replace(JOURNAL_SOURCE, "");
  }

  #bracketed(text: string): string {
    const kernel = KERNEL_STAMP.exec(text);
    if (kernel !== null) {
      // The kernel's clock is the finest, whatever stood before it.
      this.ts = kernel[1]!.replace(/^0+(?=\d)/, "");
      return text.slice(kernel[0].length);
    }
    const caller = this.ts === "" ? null : PRINTK_CALLER.exec(text);
    if (caller !== null) {
      this.origin = caller[1]!;
      return text.slice(caller[0].length);
    }
    const ctime = CTIME_STAMP.exec(text);
    if (ctime === null) return text;
    this.#stamp(JSON.stringify(ctime[1]));
    return text.slice(ctime[0].length);
  }

  #numbered(text: string): string {
    const qemu = QEMU_STAMP.exec(text);
    if (qemu !== null) {
      this.origin = qemu[1]!;
      this.#stamp(qemu[2]!.replace(/^0+(?=\d)/, ""));
      return text.slice(qemu[0].length);
    }
    const iso = ISO_STAMP.exec(text);
    if (iso === null) return text;
    this.#stamp(`"${iso[1]}"`);
    const rest = text.slice(iso[0].length);
    const journal = LOCAL_TIME.test(iso[1]!) && !iso[1]!.includes(",");
    return rest.replace(journal ? JOURNAL_SOURCE : KERNEL_SOURCE, "");
  }

  /** The outermost stamp is the one that orders a journal. */
  #stamp(json: string): void {
    if (this.ts === "") this.ts = json;
  }
}

/** Without carriage returns and blanks at the end; those at the beginning tell a line that goes on. */
function withoutEnd(raw: string): string {
  let end = raw.length;
  while (end > 0) {
    const c = raw.charCodeAt(end - 1);
    if (c !== CR && c !== SPACE && c !== 0x09 && c !== 0) break;
    end--;
  }
  return end === raw.length ? raw : raw.slice(0, end);
}
