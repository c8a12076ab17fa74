#!/usr/bin/env node
import * as module from "node:module";
import { load } from "./load.ts";

const { enableCompileCache } = module as { enableCompileCache?: () => unknown };
// Node 22.8 and later keep by themselves what they have compiled.
if (enableCompileCache === undefined) load<typeof import("./run.ts")>("./run.js").run();
else {
  enableCompileCache();
  import("./run.ts").then(({ run }) => run());
}
