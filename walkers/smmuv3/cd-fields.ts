import { Cd } from "./cd.ts";

const v = Cd.reader("V");
const endi = Cd.reader("ENDI");
const ips = Cd.reader("IPS");
const affd = Cd.reader("AFFD");
const wxn = Cd.reader("WXN");
const pan = Cd.reader("PAN");
const aa64 = Cd.reader("AA64");
const hd = Cd.reader("HD");
const ha = Cd.reader("HA");
const haft = Cd.reader("HAFT");
const s = Cd.reader("S");
const r = Cd.reader("R");
const a = Cd.reader("A");
const asid = Cd.reader("ASID");
const epan = Cd.reader("EPAN");
const ds = Cd.reader("DS");

/** Readers of one half's fields. */
class HalfReader {
  readonly txsz;
  readonly tg;
  readonly epd;
  readonly tbi;
  readonly had;
  readonly e0pd;
  readonly ttbFrame;
  readonly ttbOffset;

  constructor(half: 0 | 1) {
    this.txsz = Cd.reader(`T${half}SZ`);
    this.tg = Cd.reader(`TG${half}`);
    this.epd = Cd.reader(`EPD${half}`);
    this.tbi = Cd.reader(`TBI${half}`);
    this.had = Cd.reader(`HAD${half}`);
    this.e0pd = Cd.reader(`E0PD${half}`);
    this.ttbFrame = Cd.reader(`TTB${half}`);
    this.ttbOffset = Cd.offsetReader(`TTB${half}`);
  }
}
const LOW = new HalfReader(0);
const HIGH = new HalfReader(1);

/** The fields of TTB0's or TTB1's half of the input addresses. */
export class CdHalfFields {
  txsz = 0;
  tg = 0;
  epd = 0;
  tbi = 0;
  had = 0;
  e0pd = 0;
  ttbFrame = 0;
  ttbOffset = 0;

  read(of: HalfReader, view: DataView, at: number): void {
    this.epd = of.epd(view, at);
    this.txsz = of.txsz(view, at);
    this.tg = of.tg(view, at);
    this.tbi = of.tbi(view, at);
    this.had = of.had(view, at);
    this.e0pd = of.e0pd(view, at);
    this.ttbFrame = of.ttbFrame(view, at);
    this.ttbOffset = of.ttbOffset(view, at);
  }
}

/**
 * A context descriptor's fields as its bits have them: each is read once, for the rules (rules-cd.ts) and for what walks
 * need (substream-context.ts). Reused.
 */
export class CdFields {
  valid = 0;
  endi = 0;
  ips = 0;
  affd = 0;
  wxn = 0;
  pan = 0;
  aa64 = 0;
  hd = 0;
  ha = 0;
  haft = 0;
  s = 0;
  r = 0;
  a = 0;
  asid = 0;
  epan = 0;
  ds = 0;
  readonly low = new CdHalfFields();
  readonly high = new CdHalfFields();

  /** Reads the descriptor at byte `at` of `view`. */
  read(view: DataView, at: number): this {
    this.valid = v(view, at);
    if (this.valid === 0) return this;
    this.endi = endi(view, at);
    this.ips = ips(view, at);
    this.affd = affd(view, at);
    this.wxn = wxn(view, at);
    this.pan = pan(view, at);
    this.aa64 = aa64(view, at);
    this.hd = hd(view, at);
    this.ha = ha(view, at);
    this.haft = haft(view, at);
    this.s = s(view, at);
    this.r = r(view, at);
    this.a = a(view, at);
    this.asid = asid(view, at);
    this.epan = epan(view, at);
    this.ds = ds(view, at);
    this.low.read(LOW, view, at);
    this.high.read(HIGH, view, at);
    return this;
  }
}
