/**
 * How many walks may still be made. Tables that point back into themselves hold more entries than anybody can visit
 * (512 to the power of their levels): the levels bound a walk, and this bounds how many there are.
 */
export class Budget {
  left: number;
  readonly all: number;

  constructor(walks: number) {
    this.all = walks;
    this.left = walks;
  }

  get spent(): number {
    return this.all - this.left;
  }
}
