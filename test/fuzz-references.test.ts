import { expect, it } from "vitest";
import { fuzz } from "../pipeline/fuzz/campaign.ts";
import { REFERENCES, ReferencePort } from "./fuzz/references/machine.ts";

const CASES = Object.entries(REFERENCES).flatMap(([model, device]) =>
  [false, true].map((keeps) => ({ model, device, keeps })),
);

it.each(CASES)(
  "$model, which keeps translations: $keeps; our walker and the reference agree",
  async ({ device, keeps }) => {
    const report = await fuzz(new ReferencePort(device, keeps), {
      ...{ seed: keeps ? 5 : 4, worlds: 14, shrinks: false },
      goesOn: () => true,
      isKnown: () => false,
      onFinding() {},
      onFailure(failure) {
        throw failure;
      },
    });
    expect(report.findings.map(({ signature, records }) => ({ text: signature.text, records }))).toEqual([]);
    expect(report.unanswered / report.requests).toBeLessThan(0.1);
  },
);
