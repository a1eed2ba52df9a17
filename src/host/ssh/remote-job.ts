import { KvmsnapError } from '../../errors.ts';
import { kvmsnapLine } from '../../model/quote.ts';
import type { Connection } from './connection.ts';
import { HostAway } from './host-away.ts';
import type { RemoteExecOptions } from './remote-exec.ts';
import { type Reply, ShellFailure } from './shell.ts';

/**
 * A command on a host that changes something. It is started detached from the connection, with its output, its messages and its exit
 * code in files there, so that it ends as it would have ended, whatever happens to the connection and to kvmsnap; after a new
 * connection its result is found again. What runs that were killed have left is removed by a later one.
 */

type Options = Pick<
  RemoteExecOptions,
  'connection' | 'mostBytes' | 'note' | 'sleep' | 'now' | 'newId' | 'onWrite'
>;

/** Seconds that starting it, or asking for its result, may take. */
const ASK_SECONDS = 45;
/** How long the host may be unreachable before kvmsnap gives up on the result. */
const ABSENCE_SECONDS = 60;
const BETWEEN_ATTEMPTS_MS = 1000;

/** In the directory for temporary files of all users; its name is a random word, and only its owner can use it. */
const directoryOf = (id: string): string => `/tmp/kvmsnap.${id}`;

/**
 * Runs the line to its end. Null if it has ended without a result (the host was restarted, or it was killed). Throws `unreachable` if
 * the host cannot be reached again, and then the command may still be running.
 */
export async function runJob(options: Options, line: string): Promise<Reply | null> {
  const directory = await start(options, line);
  options.onWrite();
  const reply = await result(options, directory);
  // in the background; a later run removes it otherwise
  options.connection.once(`rm -rf ${directory}`, limits(0)).catch(() => undefined);
  return reply;
}

const limits = (mostBytes: number) => ({ mostBytes, seconds: ASK_SECONDS });

async function start(options: Options, line: string): Promise<string> {
  const { connection, newId } = options;
  for (;;) {
    const directory = directoryOf(newId());
    try {
      const reply = await connection.once(startScript(directory, line), limits(0));
      if (reply.code === 0) return directory;
      throw new KvmsnapError(
        'check',
        `cannot write to ${directory} on ${connection.name}, so nothing was done: ${reply.stderr.toString('utf8').trim()}`,
      );
    } catch (error) {
      // without a connection, it was not sent
      const isUnanswered = error instanceof HostAway && error.code === 'timed-out';
      if (!(error instanceof ShellFailure || isUnanswered)) throw error;
      options.onWrite();
      // the directory decides: if it can be made now, the command was not started, and never will be
      const claim = await again(options, `mkdir -m 700 ${directory} && : >${directory}/rc`);
      if (claim.code !== 0) return directory;
    }
  }
}

/** The result of a job that was started. */
async function result(options: Options, directory: string): Promise<Reply | null> {
  for (;;) {
    const { stdout } = await again(options, waitScript(directory, options.mostBytes));
    const [, code, outBytes] = /^done (\d{1,3}) (\d{1,10})\n/.exec(stdout.toString('latin1', 0, 32)) ?? [];
    if (code !== undefined) {
      const from = stdout.indexOf('\n') + 1;
      const to = from + Number(outBytes);
      return { stdout: stdout.subarray(from, to), stderr: stdout.subarray(to), code: Number(code) };
    }
    if (!stdout.toString('latin1', 0, 8).startsWith('running')) return null;
  }
}

/** Runs a script that may be run twice, and connects again for as long as the host may be absent. */
async function again(options: Options, script: string): Promise<Reply> {
  const { connection, note, sleep, now, mostBytes } = options;
  let since: number | null = null;
  for (;;) {
    try {
      return await connection.once(script, limits(2 * mostBytes));
    } catch (error) {
      if (!(error instanceof ShellFailure || error instanceof HostAway)) throw error;
      if (since === null)
        note(
          `warning: the connection to ${connection.name} was lost; the work continues there, and kvmsnap is connecting again`,
        );
      since ??= now();
      if (now() - since >= ABSENCE_SECONDS * 1000) throw lost(connection);
      await sleep(BETWEEN_ATTEMPTS_MS);
    }
  }
}

const lost = ({ name }: Connection): HostAway =>
  new HostAway(
    'unreachable',
    `the connection to ${name} was lost; what kvmsnap has started there may still be running`,
    {
      hint: `when ${name} can be reached again, look how it ended`,
      command: kvmsnapLine('list', [], '--all', '--host', name),
    },
  );

/** The end of the text of the job; a line cannot be equal, because it is random. */
function startScript(directory: string, line: string): string {
  const end = directory.slice(directory.lastIndexOf('.') + 1);
  return `find /tmp -maxdepth 1 -type d -name 'kvmsnap.*' -user "$(id -u)" -mmin +60 -exec test -e '{}/rc' ';' -exec rm -rf '{}' ';' 2>/dev/null || :
mkdir -m 700 ${directory} && cat >${directory}/job <<'${end}' && {
trap '' HUP
{ ${line}
} </dev/null >${directory}/out 2>${directory}/err
echo $? >${directory}/ended && mv ${directory}/ended ${directory}/rc
${end}
S=; command -v setsid >/dev/null 2>&1 && S=setsid
$S sh ${directory}/job </dev/null >/dev/null 2>&1 &
echo $! >${directory}/pid; }`;
}

/** Waits for a second at most. A process that has just ended may not have been seen to end, so the file counts first. */
function waitScript(directory: string, most: number): string {
  return `d=${directory}; i=0; p=$(cat $d/pid 2>/dev/null)
while [ ! -e $d/rc ] && [ $i -lt 40 ]; do
kill -0 "\${p:-x}" 2>/dev/null || { [ -d $d ] && [ -z "$p" ] || { sleep 1; break; }; p=$(cat $d/pid 2>/dev/null); }
sleep 0.025 2>/dev/null || { sleep 1; break; }
i=$((i+1)); done
if [ -e $d/rc ]; then
o=$(($(wc -c <$d/out) + 0)); [ $o -le ${most} ] || o=${most}
echo "done $(cat $d/rc) $o"; head -c $o $d/out; head -c 65536 $d/err
elif kill -0 "\${p:-x}" 2>/dev/null; then echo running
else echo gone; fi`;
}
