import type { Prepared, Taken } from '../take.ts';

/** One of the VMs of which a snapshot is taken at one moment. */

/** How its guest is kept from writing until its snapshot is complete; `still`: it does not run. */
export type Holding = 'paused' | 'frozen' | 'still';

export interface Member {
  readonly prepared: Prepared;
  readonly holding: Holding;
}

/** The UUID and the name of its VM. */
export const vmOf = ({ prepared: { reading } }: Member): { readonly uuid: string; readonly name: string } =>
  reading.domain;

/** The snapshot of one of the VMs. */
export interface TakenTogether extends Taken {
  /** The longest time for which its guest can have stood; null if it did not run. */
  readonly heldMilliseconds: number | null;
}
