/** Files next to a VM's images that were made for the VM and that it does not use any more (hazard 23). */

/** What the first bytes of a file tell about it. */
export interface FileHead {
  readonly path: string;
  /** The UUID of the VM whose memory the file holds. */
  readonly memoryOf: string | null;
  /** The absolute path of its backing file. */
  readonly over: string | null;
}

export interface UnusedFileFinding {
  readonly path: string;
  /** Its backing file; null if the file holds memory. */
  readonly over: string | null;
}

/**
 * Those of the files that hold the VM's memory, or are overlays of its images or of one another, and are neither its
 * own files (`own`, from `namedFiles`) nor those of other VMs (`others`).
 */
export function unusedFilesAmong(
  heads: readonly FileHead[],
  uuid: string,
  own: ReadonlySet<string>,
  others: ReadonlySet<string>,
): UnusedFileFinding[] {
  const free = heads.filter(({ path }) => !own.has(path) && !others.has(path));
  const below = new Set(own);
  const overlays = new Map<string, UnusedFileFinding>();
  for (let before = -1; overlays.size > before; ) {
    before = overlays.size;
    for (const { path, over } of free) {
      if (over === null || !below.has(over)) continue;
      overlays.set(path, { path, over });
      below.add(path);
    }
  }
  const used = filesBelow(heads, others);
  return free.flatMap(({ path, memoryOf }) =>
    memoryOf === uuid
      ? [{ path, over: null }]
      : [overlays.get(path)].flatMap((overlay) => (overlay && !used.has(path) ? [overlay] : [])),
  );
}

/** The backing files of files in use, as far as they are among these files. */
function filesBelow(heads: readonly FileHead[], users: ReadonlySet<string>): Set<string> {
  const over = new Map(heads.map((head) => [head.path, head.over]));
  const found = new Set<string>();
  for (const user of users) {
    for (let path = over.get(user); path && !found.has(path); path = over.get(path)) found.add(path);
  }
  return found;
}
