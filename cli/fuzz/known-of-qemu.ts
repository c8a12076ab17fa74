import { readdirSync } from "node:fs";
import { packagePath } from "../../parsers/package-files.ts";
import type { IommuModel } from "../../walkers/models.ts";

/** Of the package: what is known of QEMU, a file for each IOMMU and for those versions that its name says. */
const FOLDER = "samples/fuzz";
const NAME = /^qemu-(?:([\d.]+)-)?(?:([\d.]+)-)?(.+)\.ignore$/;

/**
 * The files of what is known of an IOMMU of a QEMU: `qemu-MODEL.ignore`, and of those for one version, or from one to another,
 * those that it is of. A version later than all of them is taken for the latest.
 * @param version major and minor: 7.2
 */
export function knownOfQemu(version: number, model: IommuModel): string[] {
  const files = readdirSync(packagePath(FOLDER)).flatMap((file) => {
    const [, from, to, of] = NAME.exec(file) ?? [];
    return of === model ? [{ file, from: Number(from ?? 0), to: Number(to ?? from ?? Infinity) }] : [];
  });
  const latest = Math.max(...files.map(({ to }) => to).filter(Number.isFinite));
  const looked = Math.min(version, latest);
  return files
    .filter(({ from, to }) => from <= looked && looked <= to)
    .map(({ file }) => packagePath(`${FOLDER}/${file}`));
}
