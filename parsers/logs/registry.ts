import type { LogFormat } from "./format.ts";
import { KERNEL } from "./kernel.ts";
import { QEMU_SMMUV3 } from "./qemu-smmuv3.ts";
import { TRACE_EVENTS } from "./trace-buffer.ts";

/** Every format of logs that is known; where two take a line, the first one has it. */
export const LOG_FORMATS: readonly LogFormat[] = [QEMU_SMMUV3, TRACE_EVENTS, KERNEL];
