const { Segmenter } = Intl;

/**
 * Stands for `Intl.Segmenter` in what is built: packages that measure text make one as they are loaded, which takes longer
 * than to replay a small trace, and text is measured for help and for lines that are too long alone.
 */
export class LazySegmenter {
  #segmenter: Intl.Segmenter | undefined;

  segment(text: string): Intl.Segments {
    this.#segmenter ??= new Segmenter();
    return this.#segmenter.segment(text);
  }
}
