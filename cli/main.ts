#!/usr/bin/env node
/**
 * Starts the command. This file has nothing that an old Node cannot read, and loads what has only where it can be run: so an
 * old one says what it is lacking, instead of what it does not understand.
 */
import * as module from "node:module";
import { load } from "./load.ts";

/** The oldest Node that runs the rest: `engines` of package.json. */
const NEEDED = [20, 19];

const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
if (major < NEEDED[0]! || (major === NEEDED[0] && minor < NEEDED[1]!)) {
  process.stderr.write(
    `pasid-replay needs Node ${NEEDED.join(".")} or later; this is ${process.versions.node}\n`,
  );
  process.exitCode = 2;
} else {
  const { enableCompileCache } = module as { enableCompileCache?: () => unknown };
  // Node 22.8 and later keep by themselves what they have compiled.
  if (enableCompileCache === undefined) load<typeof import("./run.ts")>("./run.js").run();
  else {
    enableCompileCache();
    import("./run.ts").then(({ run }) => run());
  }
}
