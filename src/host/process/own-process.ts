import { readFileSync, readlinkSync } from 'node:fs';

/** Tells whether the process that wrote something down still runs, on this boot of this host. */

/** A word for this process: boot of the host, PID namespace, PID and start time. Empty if the system does not tell (proc(5)). */
export function ownProcess(): string {
  try {
    return [...place(), readlinkSync('/proc/self'), startOf('self')].join(' ');
  } catch {
    return '';
  }
}

/** Whether the process of that word runs; null if that cannot be seen from here. */
export function stillRuns(word: string): boolean | null {
  const [boot, namespace, pid = '', started] = word.split(' ');
  try {
    const [ourBoot, ourNamespace] = place();
    if (boot !== ourBoot || namespace !== ourNamespace) return null;
  } catch {
    return null;
  }
  try {
    return startOf(pid) === started;
  } catch {
    return false;
  }
}

const place = (): [boot: string, namespace: string] => [
  readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim(),
  readlinkSync('/proc/self/ns/pid'),
];

/** The 22nd field; the second one, the name of the program, may contain blanks and parentheses. A zombie has ended. */
function startOf(pid: string): string {
  const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  if (fields[0] === 'Z' || fields[0] === 'X') throw new Error('it has ended');
  return fields[19] ?? '';
}
