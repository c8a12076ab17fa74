import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    globalSetup: ["test/support/build.ts"],
    // Against hanging, not a measure of time: what must not take long is counted.
    testTimeout: 120_000,
    hookTimeout: 120_000,
    // The default leaves a core to others: on the two of a small machine, everything then runs one after another.
    maxWorkers: "100%",
    coverage: { include: ["walkers/**", "parsers/**", "pipeline/**", "cli/**"] },
  },
});
