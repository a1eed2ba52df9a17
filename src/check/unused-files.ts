/** Files beside a VM's images that were made for it, and that nothing of it uses any more (hazard 23). */

/** What a file's first bytes tell of it. */
export interface FileHead {
  readonly path: string;
  /** The UUID of the VM whose memory it holds. */
  readonly memoryOf: string | null;
  /** The absolute path of the file that it is laid over. */
  readonly over: string | null;
}

export interface UnusedFileFinding {
  readonly path: string;
  /** The file that it is an overlay of; null: it holds memory. */
  readonly over: string | null;
}

/**
 * Of these files, those with the VM's memory, and overlays of its images or of one another, that are not its own
 * (`own`, from `namedFiles`) and not among `others`, the files of other machines.
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

/** What files that are in use lie on, as far as it is among these. */
function filesBelow(heads: readonly FileHead[], users: ReadonlySet<string>): Set<string> {
  const over = new Map(heads.map((head) => [head.path, head.over]));
  const found = new Set<string>();
  for (const user of users) {
    for (let path = over.get(user); path && !found.has(path); path = over.get(path)) found.add(path);
  }
  return found;
}
