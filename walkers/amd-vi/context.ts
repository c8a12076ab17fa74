import type { Binding } from "../request.ts";

/** A decoded device table entry, or a bound device's configuration in the same terms. */
export class DeviceContext {
  /** V, and for a bound device 1: the entry says something; 0 forwards every address untranslated. */
  valid = 0;
  /** TV. */
  translate = 0;
  /** READ | WRITE of IR and IW. */
  perm = 0;
  /** Level of the host tables' root, 1 to 6; 0: GPAs are SPAs. */
  mode = 0;
  /** Frame of the host tables' root. */
  hostRoot = 0;
  /** DomainID; -1 where there is none. */
  domain = -1;
  /** Guest translation is in force: GV, GTEn and a supporting IOMMU. */
  guest = 0;
  /** GIOV: requests without PASID use PASID 0. */
  giov = 0;
  /** GLX: levels of the guest CR3 table, less one. */
  glx = 0;
  /** Frame of the guest CR3 table's root. */
  gcr3Root = 0;
  /** That frame is guest-physical (GCR3TRPMode); otherwise system-physical. */
  gcr3RootGuest = 0;
  /** Levels of the guest page tables: 4 or 5. */
  guestLevels = 4;
  /** One more than the largest PASID. */
  pasidLimit = 0;
  /** I: the device may keep translations by itself (ATS). */
  iotlb = 0;
  /** SA: no IO_PAGE_FAULT event is logged. */
  suppress = 0;
  /** EX: the device may use the exclusion range. */
  exclusion = 0;
  /** IoCtl and SysMgt: what becomes of port I/O and of system management messages. */
  portIo = 0;
  systemManagement = 0;

  copyFrom(d: DeviceContext): void {
    this.valid = d.valid;
    this.translate = d.translate;
    this.perm = d.perm;
    this.mode = d.mode;
    this.hostRoot = d.hostRoot;
    this.domain = d.domain;
    this.guest = d.guest;
    this.giov = d.giov;
    this.glx = d.glx;
    this.gcr3Root = d.gcr3Root;
    this.gcr3RootGuest = d.gcr3RootGuest;
    this.guestLevels = d.guestLevels;
    this.pasidLimit = d.pasidLimit;
    this.iotlb = d.iotlb;
    this.suppress = d.suppress;
    this.exclusion = d.exclusion;
    this.portIo = d.portIo;
    this.systemManagement = d.systemManagement;
  }
}

/** What the guest CR3 table says of a PASID, or that this request does not use it. */
export class PasidContext {
  /** The request is translated by guest tables first. */
  guest = 0;
  /** Frame (GPA) of the guest page tables' root. */
  root = 0;
}

/** A compiled `pasid_table_config`. */
export class AmdViBinding implements Binding {
  readonly model = "amd";
  readonly device = new DeviceContext();
}
