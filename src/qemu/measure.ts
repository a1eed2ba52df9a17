import * as z from 'zod/mini';
import { INTERPRETED, understand } from '../errors.ts';

/** `qemu-img measure --output=json`. Format: QEMU's qapi/block-core.json, BlockMeasureInfo. */
const Measured = z.object({ required: z.int() });

/** The bytes that the new file needs. Throws `refused` for other texts. */
export const parseMeasured = (stdout: string): number =>
  understand('qemu-img about the size of a copy', () => z.parse(Measured, JSON.parse(stdout), INTERPRETED))
    .required;
