import { availableParallelism } from "node:os";
import { defineConfig } from "vitest/config";
import { LongestFirst } from "./test/support/longest-first.ts";

export default defineConfig({
  test: {
    globalSetup: ["test/support/build.ts"],
    sequence: { sequencer: LongestFirst },
    setupFiles: ["test/support/seed.ts"],
    // Against hanging only: what must not take long is counted in the tests, not timed.
    testTimeout: 120_000,
    hookTimeout: 120_000,
    // One more than there are cores: workers wait for the commands that they start.
    maxWorkers: availableParallelism() + 1,
    coverage: { include: ["walkers/**", "parsers/**", "pipeline/**", "cli/**"] },
    // The files share the product's modules, which keep no state: loading them anew took a third of the time.
    isolate: false,
  },
});
