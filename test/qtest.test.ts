/** QEMU's qtest protocol, spoken to a machine that answers as it is told. */
import { mkdtempSync, rmSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { Qtest } from "../pipeline/emulator/qtest.ts";

const TIMEOUT = 500;
let folder: string;
let qtest: Qtest;
let machine: Socket;
/** What came at once. */
let received: string[];
/** Answers what came at once. */
let respond: (text: string) => void;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "pasid-qtest-"));
  qtest = new Qtest(TIMEOUT, null);
  const server = await qtest.listen(join(folder, "socket"));
  machine = connect(join(folder, "socket"));
  machine.setEncoding("utf8");
  received = [];
  respond = (text) => machine.write(text.replaceAll(/[^\n]+\n/g, "OK\n"));
  machine.on("data", (text: string) => {
    received.push(text);
    respond(text);
  });
  await qtest.connected();
  server.close();
});

afterEach(() => {
  qtest.close();
  machine.destroy();
  rmSync(folder, { recursive: true });
});

it("sends what is asked together at once, after what was written before, and gives each its own answer", async () => {
  respond = () => machine.write("OK\nOK 0x11\nIRQ raise 0\nOK 0x2");
  qtest.write32(0x10n, 5);
  const answers = Promise.all([qtest.read32(0x20n), qtest.readBytes(0x30n, 2)]);
  // The last line comes in two pieces.
  setTimeout(() => machine.write("233\n"), 20);
  expect(await answers).toEqual([0x11, Buffer.from([0x22, 0x33])]);
  expect(received).toEqual(["writel 0x10 0x5\nreadl 0x20\nread 0x30 0x2\n"]);
});

it("gives answers to the first who asked, where a second one asks before they come", async () => {
  respond = () => {};
  const first = qtest.read32(0x20n);
  await new Promise((settle) => setTimeout(settle, 20));
  const second = qtest.read32(0x24n);
  await new Promise((settle) => setTimeout(settle, 20));
  expect(received).toEqual(["readl 0x20\n", "readl 0x24\n"]);
  machine.write("OK 0x1\nOK 0x2\n");
  expect(await Promise.all([first, second])).toEqual([1, 2]);
});

it("has nothing to wait for where nothing was sent", async () => {
  expect(await qtest.flush()).toEqual([]);
  expect(received).toEqual([]);
});

it("says which command was refused", async () => {
  respond = () => machine.write("OK\nFAIL Unknown command\n");
  qtest.send("clock_step 1");
  qtest.send("dance");
  await expect(qtest.flush()).rejects.toMatchObject({
    kind: "nonsense",
    message: 'dance: expected OK, found "FAIL Unknown command"',
  });
});

it("fails all who wait where the machine goes away, and who asks afterwards", async () => {
  respond = () => machine.end();
  const died = { kind: "died", message: "the emulator closed its connection" };
  await expect(qtest.read32(0x20n)).rejects.toMatchObject(died);
  await expect(qtest.read32(0x24n)).rejects.toMatchObject(died);
});

it("waits no longer than it may", async () => {
  respond = () => {};
  await expect(qtest.read32(0x20n)).rejects.toMatchObject({
    kind: "hung",
    message: "expected an answer within 0.5 s, found none",
  });
});
