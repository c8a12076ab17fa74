import { IOMMU_MODELS, type IommuModel } from "../../walkers/models.ts";
import type { Word64 } from "../../walkers/registers.ts";
import { VENDORS } from "../../walkers/registry.ts";
import type { Vendor } from "../../walkers/vendor.ts";
import { LibraryError, unknownName } from "./library-error.ts";
import { frameAndOffset } from "./memory.ts";

/** @throws LibraryError ("argument") for a model that is none */
export function vendorOf(model: IommuModel): Vendor {
  if (!IOMMU_MODELS.includes(model)) throw unknownName("model", IOMMU_MODELS, model);
  return VENDORS[model];
}

/** 64-bit words, lowest address first. @throws LibraryError ("argument") for what is none */
export function wordsOf(words: readonly bigint[]): Word64[] {
  if (!Array.isArray(words))
    throw new LibraryError("argument", `words: expected an array of bigint, found ${typeof words}`);
  return words.map((word, i) => frameAndOffset(`words[${i}]`, word));
}

/**
 * The bytes of a structure, little-endian; words at the end that are not given are zero.
 * @param least how many must be given
 * @throws LibraryError ("argument") for too many or too few
 */
export function bytesOfWords(words: readonly bigint[], bytes: number, least = 1): DataView {
  const most = Math.ceil(bytes / 8);
  const given = wordsOf(words);
  if (given.length < least || given.length > most)
    throw new LibraryError(
      "argument",
      `words: expected ${least === most ? most : `${least} to ${most}`}, found ${given.length}`,
    );
  const view = new DataView(new ArrayBuffer(most * 8));
  for (const [i, word] of words.entries()) view.setBigUint64(i * 8, word, true);
  return view;
}
