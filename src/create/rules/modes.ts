/** The kinds of snapshot that a rule of a create applies to (`modes`); a rule without any applies to all. */

export const INTERNAL = ['internal'] as const;

/** Those that create new files: with the memory, or only of the disks. */
export const EXTERNAL = ['external', 'disk-only'] as const;

/** Those that save the memory of a running VM. */
export const WITH_MEMORY = ['internal', 'external'] as const;
