/**
 * Ends a process and all that it has started: otherwise a hanging ssh of virsh would keep the pipe open, and kvmsnap
 * waiting.
 */
export function killGroup(pid: number | undefined, signal: NodeJS.Signals = 'SIGKILL'): void {
  try {
    if (pid !== undefined) process.kill(-pid, signal);
  } catch {
    // it has ended by itself
  }
}
