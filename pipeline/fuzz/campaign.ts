import type { VendorFuzzing } from "../../walkers/fuzz/vendor-fuzzing.ts";
import type { WorldRecord } from "../../walkers/fuzz/world.ts";
import type { IommuModel } from "../../walkers/models.ts";
import { VENDORS } from "../../walkers/registry.ts";
import type { DeviceAnswer } from "../device/answer.ts";
import { FuzzCoverage } from "./coverage.ts";
import { type Departure, judgeWorld, observedRecords } from "./judge.ts";
import { DeviceFailure, type DevicePort } from "./port.ts";
import { type Shown, shrink } from "./shrink.ts";
import { kindOf, type Signature, signaturesOf } from "./signature.ts";
import { type WorldCase, WorldMaker } from "./world-maker.ts";

export interface CampaignOptions {
  readonly seed: number;
  /** Worlds at most. */
  readonly worlds: number;
  /** Tells whether to go on: asked before each world. */
  readonly goesOn: () => boolean;
  /** Departures whose signature it accepts are expected: they are counted, and not shrunk. */
  readonly isKnown: (signature: string) => boolean;
  readonly shrinks: boolean;
  /** Told of each kind of departure when it is found for the first time. */
  readonly onFinding: (finding: Finding) => void | Promise<void>;
  /** Told of a world that the device did not survive; or that we did not, with another error, which is thrown then. */
  readonly onFailure: (failure: Error, world: WorldCase) => void | Promise<void>;
}

/** A kind of departure. */
export interface Finding {
  readonly signature: Signature;
  readonly known: boolean;
  /** Of the world that showed it first. */
  readonly world: number;
  /** The smallest trace that shows it, with what was observed. */
  readonly records: readonly WorldRecord[];
  readonly departure: Departure;
  /** Runs of the device that shrinking took. */
  readonly runs: number;
  /** Requests that showed it. */
  requests: number;
}

export interface CampaignReport {
  readonly worlds: number;
  readonly requests: number;
  /** Requests that the device could not make. */
  readonly unanswered: number;
  readonly findings: readonly Finding[];
  readonly failures: number;
  readonly coverage: FuzzCoverage;
}

/** Failures in a row after which a device is given up. */
const MOST_FAILURES = 5;
/** Findings that are kept: a device that is wrong in more ways than these is to be mended first. */
const MOST_FINDINGS = 200;

/** Asks a device about one world after another, and finds out where it is wrong. */
export async function fuzz(port: DevicePort, options: CampaignOptions): Promise<CampaignReport> {
  const { model, limits } = port.identity;
  const { maker, coverage, fuzzing } = await newWorldMaker(model, limits, options.seed);
  const campaign = new Campaign(port, fuzzing, options);
  let inRow = 0;
  for (let worlds = 0; worlds < options.worlds && options.goesOn() && inRow < MOST_FAILURES; worlds++) {
    const world = maker.next();
    try {
      await campaign.world(world, coverage);
      inRow = 0;
    } catch (error) {
      if (!(error instanceof DeviceFailure)) await options.onFailure(error as Error, world);
      if (!(error instanceof DeviceFailure) || error.kind === "start") throw error;
      inRow++;
      campaign.failures++;
      // What it reaches counts all the same.
      judgeWorld(world.records, coverage);
      await options.onFailure(error, world);
    }
    if (coverage.takeNews().length > 0) maker.keep(world);
  }
  return { ...campaign.report(), coverage };
}

export async function newWorldMaker(
  model: IommuModel,
  limits: DevicePort["identity"]["limits"],
  seed: number,
): Promise<{ readonly maker: WorldMaker; readonly coverage: FuzzCoverage; readonly fuzzing: VendorFuzzing }> {
  const vendor = VENDORS[model];
  const fuzzing = await vendor.fuzzing();
  const coverage = new FuzzCoverage(vendor, fuzzing);
  return { maker: new WorldMaker(model, vendor, fuzzing, limits, coverage, seed), coverage, fuzzing };
}

/** A world that a device departs from. */
interface Departing extends Shown {
  readonly answers: readonly (DeviceAnswer | undefined)[];
  readonly departure: Departure;
}

class Campaign {
  failures = 0;
  readonly #port: DevicePort;
  readonly #fuzzing: VendorFuzzing;
  readonly #options: CampaignOptions;
  readonly #findings = new Map<string, Finding>();
  /** Findings by the signature that they had before they were shrunk. */
  readonly #aliases = new Map<string, Finding>();
  #worlds = 0;
  #requests = 0;
  #unanswered = 0;

  constructor(port: DevicePort, fuzzing: VendorFuzzing, options: CampaignOptions) {
    this.#port = port;
    this.#fuzzing = fuzzing;
    this.#options = options;
  }

  async world({ number, records }: WorldCase, coverage: FuzzCoverage): Promise<void> {
    const answers = await this.#port.run(records);
    this.#worlds++;
    this.#requests += answers.length;
    this.#unanswered += answers.filter((answer) => answer === undefined).length;
    const observed = observedRecords(records, answers);
    const departures = judgeWorld(observed, coverage);
    const signatures = signaturesOf(observed, departures, this.#fuzzing);
    for (const [i, departure] of departures.entries())
      await this.#departs(number, { records, answers, departure, line: departure.line }, signatures[i]!);
  }

  async #departs(world: number, shown: Departing, first: Signature): Promise<void> {
    const known = this.#findings.get(first.text) ?? this.#aliases.get(first.text);
    if (known !== undefined) {
      known.requests++;
      return;
    }
    if (this.#findings.size >= MOST_FINDINGS) return;
    const expected = this.#options.isKnown(first.text);
    const small = this.#options.shrinks && !expected ? await this.#shrink(shown, first) : { shown, runs: 0 };
    const records = observedRecords(small.shown.records, small.shown.answers);
    const signature = signaturesOf(records, [small.shown.departure], this.#fuzzing)[0]!;
    const same = this.#findings.get(signature.text);
    if (same !== undefined) {
      same.requests++;
      this.#aliases.set(first.text, same);
      return;
    }
    const finding: Finding = {
      signature,
      known: this.#options.isKnown(signature.text) || expected,
      world,
      records,
      departure: small.shown.departure,
      runs: small.runs,
      requests: 1,
    };
    this.#findings.set(signature.text, finding);
    this.#aliases.set(first.text, finding);
    await this.#options.onFinding(finding);
  }

  #shrink(found: Departing, { where, decided }: Signature) {
    const kind = kindOf(found.departure);
    const { regs } = this.#port.identity.limits;
    const shows = async (records: readonly WorldRecord[]): Promise<Departing | null> => {
      try {
        const answers = await this.#port.run(records);
        const observed = observedRecords(records, answers);
        const departure = judgeWorld(observed).find((one) => kindOf(one) === kind);
        if (departure === undefined) return null;
        // What one field decides is not to become what another one does.
        if (decided && signaturesOf(observed, [departure], this.#fuzzing)[0]!.where !== where) return null;
        return { records, answers, departure, line: departure.line };
      } catch (error) {
        if (error instanceof DeviceFailure && error.kind !== "start") return null;
        throw error;
      }
    };
    return shrink(found, shows, (register) => regs[register] !== undefined);
  }

  report(): Omit<CampaignReport, "coverage"> {
    return {
      worlds: this.#worlds,
      requests: this.#requests,
      unanswered: this.#unanswered,
      findings: [...this.#findings.values()],
      failures: this.failures,
    };
  }
}
