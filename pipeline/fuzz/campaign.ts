import type { VendorFuzzing } from "../../walkers/fuzz/vendor-fuzzing.ts";
import type { WorldRecord } from "../../walkers/fuzz/world.ts";
import type { IommuModel } from "../../walkers/models.ts";
import { VENDORS } from "../../walkers/registry.ts";
import type { DeviceAnswer } from "../device/answer.ts";
import { FuzzCoverage } from "./coverage.ts";
import { type Expectations, ExpectedDepartures, NOTHING_EXPECTED } from "./expected-departures.ts";
import { ask, failingWorld, kindOfFailure, placeOfFailure, shrinkFailing } from "./failing-worlds.ts";
import { type Departure, judgeWorld, observedRecords } from "./judge.ts";
import { DeviceFailure, type DevicePort } from "./port.ts";
import { refusedCommands } from "./refused-commands.ts";
import { type Shown, shrink } from "./shrink.ts";
import { asKnown, kindOf, type Signature, signaturesOf } from "./signature.ts";
import { type WorldCase, WorldMaker } from "./world-maker.ts";

export interface CampaignOptions {
  readonly seed: number;
  /** Worlds at most. */
  readonly worlds: number;
  /** Tells whether to go on: asked before each world, with how many worlds and requests there were. */
  readonly goesOn: (worlds: number, requests: number) => boolean;
  /** Ends at once what is made small; `goesOn` ends the rest. */
  readonly signal?: AbortSignal | undefined;
  /** Departures whose signature it accepts are expected: they are counted, and not shrunk. */
  readonly isKnown: (signature: string) => boolean;
  /** What else is known of the device; absent: nothing. */
  readonly expected?: Expectations;
  readonly shrinks: boolean;
  /** Told of each kind of departure when it is found for the first time. */
  readonly onFinding: (finding: Finding) => void | Promise<void>;
  /**
   * Told of a world that the device did not survive, before what it failed at is looked for, unless that was found before
   * or is known; or of a world that we did not survive, with another error, which is thrown then.
   */
  readonly onFailure: (failure: Error, world: WorldCase) => void | Promise<void>;
}

/** A kind of departure, or of failing to answer. */
export interface Finding {
  readonly signature: Signature;
  readonly known: boolean;
  /** Of the world that showed it first. */
  readonly world: number;
  /** The smallest trace that shows it, with what was observed where the device answered. */
  readonly records: readonly WorldRecord[];
  /** Line of the request that shows it: its record's index, plus one. */
  readonly line: number;
  /** What the device did in place of answering; null: it answered. */
  readonly failure: DeviceFailure | null;
  /** Runs of the device that shrinking took. */
  readonly runs: number;
  /** Requests that showed it; worlds, where the device did not answer. */
  requests: number;
}

export interface CampaignReport {
  readonly worlds: number;
  readonly requests: number;
  /** Requests that the device could not make. */
  readonly unanswered: number;
  readonly findings: readonly Finding[];
  /** Requests of departures that no finding was kept of. */
  readonly further: number;
  /** Requests that expected mistakes explain. */
  readonly excused: number;
  /** Worlds that the device did not survive. */
  readonly failures: number;
  /** What ended the campaign before its time; null: nothing did. */
  readonly gaveUp: DeviceFailure | null;
  readonly coverage: FuzzCoverage;
}

/** Failures in a row that nobody expected, after which a device is given up. */
const MOST_FAILURES = 5;
/** New findings that are kept: a device that is wrong in more ways than these is to be mended first. */
const MOST_FINDINGS = 200;

/** Asks a device about one world after another, and finds out where it is wrong. */
export async function fuzz(port: DevicePort, options: CampaignOptions): Promise<CampaignReport> {
  const { model, limits } = port.identity;
  const { maker, coverage, fuzzing } = await newWorldMaker(model, limits, options.seed);
  const campaign = new Campaign(port, fuzzing, options, coverage);
  for (let worlds = 0; worlds < options.worlds && options.goesOn(worlds, campaign.requests); worlds++) {
    const world = maker.next();
    try {
      await campaign.world(world);
    } catch (error) {
      if (!(error instanceof DeviceFailure)) {
        await options.onFailure(error as Error, world);
        throw error;
      }
      campaign.gaveUp = error;
    }
    if (campaign.gaveUp !== null) break;
    if (coverage.takeNews().length > 0) maker.keep(world);
  }
  return campaign.report();
}

export async function newWorldMaker(
  model: IommuModel,
  limits: DevicePort["identity"]["limits"],
  seed: number,
): Promise<{
  readonly maker: WorldMaker;
  readonly coverage: FuzzCoverage;
  readonly fuzzing: VendorFuzzing;
}> {
  const vendor = VENDORS[model];
  const fuzzing = await vendor.fuzzing();
  const coverage = new FuzzCoverage(vendor, fuzzing, refusedCommands(model, limits));
  return { maker: new WorldMaker(model, vendor, fuzzing, limits, coverage, seed), coverage, fuzzing };
}

/** A world that a device departs from. */
interface Departing extends Shown {
  readonly answers: readonly (DeviceAnswer | undefined)[];
  /** All of them, in the order of their lines, and the one that is shown. */
  readonly departures: readonly Departure[];
  readonly departure: Departure;
}

class Campaign {
  gaveUp: DeviceFailure | null = null;
  requests = 0;
  readonly #port: DevicePort;
  readonly #fuzzing: VendorFuzzing;
  readonly #options: CampaignOptions;
  readonly #coverage: FuzzCoverage;
  readonly #expected: ExpectedDepartures;
  readonly #codeAliases: Expectations["codeAliases"];
  readonly #findings = new Map<string, Finding>();
  /** Findings by the signature that they had before they were shrunk. */
  readonly #aliases = new Map<string, Finding>();
  #worlds = 0;
  #unanswered = 0;
  #further = 0;
  #failures = 0;
  #failuresInRow = 0;

  constructor(port: DevicePort, fuzzing: VendorFuzzing, options: CampaignOptions, coverage: FuzzCoverage) {
    this.#port = port;
    this.#fuzzing = fuzzing;
    this.#options = options;
    this.#coverage = coverage;
    const expected = options.expected ?? NOTHING_EXPECTED;
    this.#expected = new ExpectedDepartures(expected, port.identity.limits);
    this.#codeAliases = expected.codeAliases;
  }

  /** @throws DeviceFailure where the device cannot be asked any more */
  async world(world: WorldCase): Promise<void> {
    const { records } = world;
    const answers = await ask(this.#port, records);
    if (answers instanceof DeviceFailure) {
      // What it reaches counts all the same.
      judgeWorld(records, this.#coverage);
      return this.#fails(world, answers);
    }
    this.#failuresInRow = 0;
    this.#worlds++;
    this.requests += answers.length;
    this.#unanswered += answers.filter((answer) => answer === undefined).length;
    const observed = observedRecords(records, answers);
    const departures = this.#expected.judge(observed, world.world, this.#coverage);
    const signatures = signaturesOf(observed, departures, this.#codeAliases, false, this.#fuzzing);
    for (const [i, departure] of departures.entries())
      await this.#departs(
        world,
        { records, answers, departures, departure, line: departure.line },
        asKnown(signatures[i]!, this.#options.isKnown),
      );
  }

  async #fails(world: WorldCase, failure: DeviceFailure): Promise<void> {
    this.#failures++;
    const kind = kindOfFailure(failure);
    const expected = this.#options.isKnown(kind);
    const again = this.#aliases.get(kind);
    if (!expected && !again?.known && ++this.#failuresInRow >= MOST_FAILURES) this.gaveUp = failure;
    if (again !== undefined) {
      again.requests++;
      return;
    }
    if (!expected) await this.#options.onFailure(failure, world);
    const failing = failingWorld(world.records, failure);
    const shrinks = this.#options.shrinks && !expected;
    const { shown, runs } = shrinks
      ? await shrinkFailing(this.#port, failing, this.#options.signal)
      : { shown: failing, runs: 0 };
    const where = shrinks ? await placeOfFailure(this.#port, shown) : "";
    const text = where === "" ? kind : `${where}: ${kind}`;
    const finding: Finding = {
      signature: {
        ...{ text, where, decided: where.includes("."), expected: "an answer", observed: kind },
        also: () => [],
      },
      known: expected || this.#options.isKnown(text),
      world: world.number,
      records: shown.records,
      line: shown.line,
      failure,
      runs,
      requests: 1,
    };
    this.#findings.set(text, finding);
    this.#aliases.set(kind, finding);
    await this.#options.onFinding(finding);
  }

  async #departs(world: WorldCase, shown: Departing, first: Signature): Promise<void> {
    const known = this.#findings.get(first.text) ?? this.#aliases.get(first.text);
    if (known !== undefined) {
      known.requests++;
      return;
    }
    const expected = this.#options.isKnown(first.text);
    if (!expected && [...this.#findings.values()].filter((one) => !one.known).length >= MOST_FINDINGS) {
      this.#further++;
      return;
    }
    const small =
      this.#options.shrinks && !expected ? await this.#shrink(world, shown, first) : { shown, runs: 0 };
    const records = observedRecords(small.shown.records, small.shown.answers);
    const signature = this.#signatureOf(records, small.shown, small.runs > 0);
    const same = this.#findings.get(signature.text);
    if (same !== undefined) {
      same.requests++;
      this.#aliases.set(first.text, same);
      return;
    }
    const finding: Finding = {
      signature,
      known: this.#options.isKnown(signature.text) || expected,
      world: world.number,
      records,
      line: small.shown.line,
      failure: null,
      runs: small.runs,
      requests: 1,
    };
    this.#findings.set(signature.text, finding);
    this.#aliases.set(first.text, finding);
    await this.#options.onFinding(finding);
  }

  /** What came before counts: a translation that the device should not have is used again from its caches. */
  #signatureOf(
    records: readonly WorldRecord[],
    { departures, departure }: Pick<Departing, "departures" | "departure">,
    shrunk: boolean,
  ): Signature {
    const before = departures.slice(0, departures.indexOf(departure) + 1);
    const [signature] = signaturesOf(records, before, this.#codeAliases, shrunk, this.#fuzzing).slice(-1);
    return asKnown(signature!, this.#options.isKnown);
  }

  #shrink({ world }: WorldCase, found: Departing, { where, decided }: Signature) {
    // What the device answers so even where nothing was there before is no answer from a cache.
    const kind = kindOf(found.departure);
    let kinds = [kind, kind.replace(/^stale-after-invalidation/, "mismatch")];
    const { regs, props } = this.#port.identity.limits;
    const shows = async (records: readonly WorldRecord[]): Promise<Departing | null> => {
      const answers = await ask(this.#port, records);
      if (answers instanceof DeviceFailure) return null;
      const observed = observedRecords(records, answers);
      const departures = this.#expected.judge(observed, world);
      const departure = departures.find((one) => kinds.includes(kindOf(one)));
      if (departure === undefined) return null;
      // What one field decides is not to become what another one does.
      if (decided && this.#signatureOf(observed, { departures, departure }, false).where !== where)
        return null;
      if (kindOf(departure) !== kind) kinds = [kindOf(departure)];
      return { records, answers, departures, departure, line: departure.line };
    };
    const isFixed = (name: string) => regs[name] !== undefined || props[name] !== undefined;
    return shrink(found, shows, isFixed, { signal: this.#options.signal });
  }

  report(): CampaignReport {
    return {
      worlds: this.#worlds,
      requests: this.requests,
      unanswered: this.#unanswered,
      findings: [...this.#findings.values()],
      further: this.#further,
      excused: this.#expected.excused,
      failures: this.#failures,
      gaveUp: this.gaveUp,
      coverage: this.#coverage,
    };
  }
}
