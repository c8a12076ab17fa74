/** "bb:dd.f" of a 16-bit requester id: bus, device, function (PCI Express 6.0, 2.2.6.2). */
export function pciName(id: number): string {
  const two = (n: number) => n.toString(16).padStart(2, "0");
  return `${two((id >>> 8) & 0xff)}:${two((id >>> 3) & 0x1f)}.${id & 7}`;
}
