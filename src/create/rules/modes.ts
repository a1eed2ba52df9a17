/** The kinds of snapshot that a rule of a create holds for (`modes`); a rule without any holds for all. */

export const INTERNAL = ['internal'] as const;

/** Those that make new files: with the memory, or of the disks alone. */
export const EXTERNAL = ['external', 'disk-only'] as const;

/** Those that save the memory of a running VM. */
export const WITH_MEMORY = ['internal', 'external'] as const;
