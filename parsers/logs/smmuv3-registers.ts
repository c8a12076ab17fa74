/** Registers by their offset (IHI 0070, 6.2) that decide what is walked, with their bytes. */
export const SMMUV3_REGISTERS: ReadonlyMap<number, { readonly name: string; readonly bytes: number }> =
  new Map([
    [0x0, { name: "idr0", bytes: 4 }],
    [0x4, { name: "idr1", bytes: 4 }],
    [0xc, { name: "idr3", bytes: 4 }],
    [0x14, { name: "idr5", bytes: 4 }],
    [0x1c, { name: "aidr", bytes: 4 }],
    [0x20, { name: "cr0", bytes: 4 }],
    [0x44, { name: "gbpa", bytes: 4 }],
    [0x80, { name: "strtab_base", bytes: 8 }],
    [0x88, { name: "strtab_base_cfg", bytes: 4 }],
  ]);
