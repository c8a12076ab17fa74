#!/usr/bin/env node
import * as module from "node:module";

// Node 22.8 and later keep what they have compiled; before, there is nothing to turn on.
(module as { enableCompileCache?: () => unknown }).enableCompileCache?.();
const { run } = await import("./run.ts");
run();
