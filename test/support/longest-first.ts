import { basename } from "node:path";
import { BaseSequencer, type TestSpecification } from "vitest/node";

/** What waits for others, or takes longest: begun last, it would have cores stand idle at the end. */
const FIRST = [
  "slurm",
  "caches-mutations",
  "fuzz-devices",
  "record-qemu",
  "fuzz-qemu",
  "report-browser",
  "cli-replay",
  "fuzz-campaign",
  "cli-built",
].map((name) => `${name}.test.ts`);

/** Begins with what takes long: where nothing has run yet, as on a fresh clone, vitest would know of their sizes alone. */
export class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    return [...sorted].sort((a, b) => placeOf(a) - placeOf(b));
  }
}

function placeOf({ moduleId }: TestSpecification): number {
  const place = FIRST.indexOf(basename(moduleId));
  return place < 0 ? FIRST.length : place;
}
