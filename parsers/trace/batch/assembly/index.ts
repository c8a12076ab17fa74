/** What the module offers; parsers/trace/batch/machine.ts says what each does. */
export { answer, faulted, looked, written } from "./answer";
export { enterName, scan } from "./scan";
export { makeDigits } from "./write";
