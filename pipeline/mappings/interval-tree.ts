/** A range of numbers that something stands for, in a tree. */
interface Interval<T> {
  /** Both ends included. */
  readonly first: number;
  readonly last: number;
  /** Number in the order of coming: no two of a tree have the same. */
  readonly order: number;
  readonly value: T;
  /** By which it lies above others: at random, so that no order of coming makes the tree deep. */
  readonly rank: number;
  left: Interval<T> | null;
  right: Interval<T> | null;
  /** The greatest `last` and `order` in and below it. */
  maxLast: number;
  maxOrder: number;
}

type Tree<T> = Interval<T> | null;

/**
 * Ranges, of which the latest that touch another one are found without looking at the rest: a treap by their first numbers
 * (Seidel and Aragon, Randomized search trees, 1996). To insert, to remove and to find one takes the logarithm of how many
 * there are.
 */
export class IntervalTree<T> {
  #root: Tree<T> = null;

  get isEmpty(): boolean {
    return this.#root === null;
  }

  insert(first: number, last: number, order: number, value: T): void {
    const rank = Math.random();
    const node = { first, last, order, value, rank, left: null, right: null, maxLast: last, maxOrder: order };
    this.#root = inserted(this.#root, node);
  }

  remove(first: number, order: number): void {
    this.#root = removed(this.#root, first, order);
  }

  /** All that touch a range, both ends included, by their first numbers. */
  touching(first: number, last: number): T[] {
    const found: T[] = [];
    collect(this.#root, first, last, found);
    return found;
  }

  /** The latest that touch a range, both ends included, the latest first: so many at most. */
  latest(first: number, last: number, most: number): T[] {
    const found: Interval<T>[] = [];
    collectLatest(this.#root, first, last, most, found);
    return found.map(({ value }) => value);
  }
}

function collect<T>(tree: Tree<T>, first: number, last: number, found: T[]): void {
  if (tree === null || tree.maxLast < first) return;
  collect(tree.left, first, last, found);
  if (tree.first > last) return;
  if (tree.last >= first) found.push(tree.value);
  collect(tree.right, first, last, found);
}

function collectLatest<T>(
  tree: Tree<T>,
  first: number,
  last: number,
  most: number,
  found: Interval<T>[],
): void {
  if (tree === null || tree.maxLast < first) return;
  if (found.length === most && tree.maxOrder < found.at(-1)!.order) return;
  const { left, right } = tree;
  const isBefore = tree.first <= last;
  const laterLeft = left !== null && (right === null || left.maxOrder > right.maxOrder);
  if (laterLeft) collectLatest(left, first, last, most, found);
  if (isBefore) collectLatest(right, first, last, most, found);
  if (!laterLeft) collectLatest(left, first, last, most, found);
  if (isBefore && tree.last >= first) keep(found, tree, most);
}

/** Adds one to the latest, the latest first. */
function keep<T>(found: Interval<T>[], one: Interval<T>, most: number): void {
  let at = found.length;
  while (at > 0 && found[at - 1]!.order < one.order) at--;
  found.splice(at, 0, one);
  if (found.length > most) found.pop();
}

function isLeftOf<T>(first: number, order: number, tree: Interval<T>): boolean {
  return first < tree.first || (first === tree.first && order < tree.order);
}

function inserted<T>(tree: Tree<T>, node: Interval<T>): Interval<T> {
  if (tree === null) return node;
  if (node.rank > tree.rank) {
    [node.left, node.right] = split(tree, node);
    return summed(node);
  }
  if (isLeftOf(node.first, node.order, tree)) tree.left = inserted(tree.left, node);
  else tree.right = inserted(tree.right, node);
  return summed(tree);
}

/** What is left of a node, and what is right of it. */
function split<T>(tree: Tree<T>, node: Interval<T>): [Tree<T>, Tree<T>] {
  if (tree === null) return [null, null];
  if (isLeftOf(node.first, node.order, tree)) {
    const [left, right] = split(tree.left, node);
    tree.left = right;
    return [left, summed(tree)];
  }
  const [left, right] = split(tree.right, node);
  tree.right = left;
  return [summed(tree), right];
}

function removed<T>(tree: Tree<T>, first: number, order: number): Tree<T> {
  if (tree === null) return null;
  if (tree.order === order) return joined(tree.left, tree.right);
  if (isLeftOf(first, order, tree)) tree.left = removed(tree.left, first, order);
  else tree.right = removed(tree.right, first, order);
  return summed(tree);
}

/** Of two trees, of which all of the one is left of all of the other. */
function joined<T>(left: Tree<T>, right: Tree<T>): Tree<T> {
  if (left === null) return right;
  if (right === null) return left;
  if (left.rank > right.rank) {
    left.right = joined(left.right, right);
    return summed(left);
  }
  right.left = joined(left, right.left);
  return summed(right);
}

function summed<T>(tree: Interval<T>): Interval<T> {
  const { left, right } = tree;
  tree.maxLast = Math.max(tree.last, left?.maxLast ?? 0, right?.maxLast ?? 0);
  tree.maxOrder = Math.max(tree.order, left?.maxOrder ?? 0, right?.maxOrder ?? 0);
  return tree;
}
