import { createServer, type Server, type Socket } from "node:net";

/** A store that the plugin wants looked at. */
export interface AskedStore {
  readonly address: bigint;
  readonly bytes: number;
  /** Its low 64 bits. */
  readonly value: bigint;
}

export type StoreAnswer = (store: AskedStore) => string | Promise<string>;

const QUESTION_BYTES = 32;

/** Where the plugin asks: a virtual processor waits for each answer. */
export class StoreChannel {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  questions = 0;

  private constructor(server: Server) {
    this.#server = server;
  }

  /** @param answer lines for the log, each with its newline; the plugin waits until they are there, and asks no other */
  static async open(path: string, answer: StoreAnswer): Promise<StoreChannel> {
    const server = createServer();
    const channel = new StoreChannel(server);
    server.on("connection", (socket) => channel.#serve(socket, answer));
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(path, resolve);
    });
    return channel;
  }

  close(): void {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
  }

  #serve(socket: Socket, answer: StoreAnswer): void {
    let before = Promise.resolve();
    const reply = (text: string) => {
      const bytes = Buffer.from(text);
      const length = Buffer.alloc(4);
      length.writeUInt32LE(bytes.length);
      socket.write(Buffer.concat([length, bytes]));
    };
    let rest: Buffer = Buffer.alloc(0);
    this.#sockets.add(socket);
    socket.on("error", () => {});
    socket.on("close", () => this.#sockets.delete(socket));
    socket.on("data", (data: Buffer) => {
      rest = rest.length === 0 ? data : Buffer.concat([rest, data]);
      for (; rest.length >= QUESTION_BYTES; rest = rest.subarray(QUESTION_BYTES)) {
        this.questions++;
        const address = rest.readBigUInt64LE(0);
        const store = { address, bytes: Number(rest.readBigUInt64LE(8)), value: rest.readBigUInt64LE(16) };
        before = before
          .then(async () => reply(await answer(store)))
          .catch(() => {
            socket.destroy();
          });
      }
    });
  }
}
