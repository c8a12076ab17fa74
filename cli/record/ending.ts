import type { QmpClient } from "../../parsers/qemu/qmp.ts";
import { takeInterrupt } from "../signals.ts";

/** Why a recording has ended. */
export type Why = "time" | "interrupt" | "guest" | "gone";

/** When a recording ends: after a time, on Ctrl-C, when the guest shuts down or resets, or when QEMU is gone. */
export class Ending {
  readonly #ms: number | undefined;
  #guest = false;
  #onGuest = () => {};

  /** @param ms for how long; undefined: until one of the others */
  constructor(ms: number | undefined) {
    this.#ms = ms;
  }

  /** Before the machine goes on: what its guest does at once ends the recording, too. */
  watch(client: QmpClient): void {
    client.onEvent = ({ event }) => {
      if (event !== "SHUTDOWN" && event !== "RESET") return;
      this.#guest = true;
      this.#onGuest();
    };
  }

  /** @param client that is watched */
  async of(client: QmpClient): Promise<Why> {
    let timer: NodeJS.Timeout | undefined;
    let cancel = () => {};
    try {
      return await new Promise<Why>((resolve) => {
        if (this.#ms !== undefined) timer = setTimeout(() => resolve("time"), this.#ms);
        cancel = takeInterrupt(() => resolve("interrupt"));
        this.#onGuest = () => resolve("guest");
        if (this.#guest) resolve("guest");
        client.closed.then(() => resolve("gone"));
      });
    } finally {
      clearTimeout(timer);
      cancel();
      client.onEvent = null;
    }
  }
}
