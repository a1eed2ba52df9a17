import { KvmsnapError } from '../../errors.ts';
import { isMarkOf } from '../process/running.ts';
import { parseRecord, type RunFiles, type RunRecord } from '../run-files.ts';
import type { Connection } from './connection.ts';

/** What runs of kvmsnap on a host that is reached over ssh leave for others to see: they protect what they read there. */

const LIMITS = { mostBytes: 16 * 1024 * 1024, seconds: 45 };

/** As RunFiles. `begin` is refused, because what protects a run is its process, which is not on that host. */
export const createRemoteRunFiles = (connection: Connection): RunFiles => ({
  async begin({ command }) {
    throw new KvmsnapError(
      'usage',
      `${command} does not work on other hosts; run kvmsnap on ${connection.name} itself`,
    );
  },
  abandoned: async () => [],
  forget: async () => undefined,
  async list() {
    const { stdout } = await connection.read(LIST_SCRIPT, LIMITS);
    const texts = stdout.toString('utf8').split('\0');
    const found: RunRecord[] = [];
    for (let i = 0; i + 1 < texts.length; i += 2) {
      const record = parseRecord(texts[i + 1] ?? '');
      if (record && isMarkOf(record.owner, texts[i] ?? '')) found.push(record);
    }
    return found;
  },
});

/** For each record: what /proc tells about its process (nothing if that has ended), and the record, each with a NUL at its end. */
const LIST_SCRIPT = `for d in /run/kvmsnap/*-* /run/user/*/kvmsnap/*-*; do
if [ -r "$d/record.json" ]; then p=\${d##*/}; p=\${p%%-*}
case $p in *[!0-9]*|'') ;; *) printf '%s\\0%s\\0' "$(cat "/proc/$p/stat" 2>/dev/null)" "$(cat "$d/record.json")";; esac
fi; done`;
