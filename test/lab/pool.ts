// Vitest's workers for the tests of the lab: each file has one, in a fresh lab with a libvirtd of its own.
import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  BaseSequencer,
  type PoolOptions,
  type PoolRunnerInitializer,
  type PoolWorker,
  type TestSpecification,
  type WorkerRequest,
} from 'vitest/node';

const enter = fileURLToPath(new URL('./enter.sh', import.meta.url));

/** How long enter.sh may take to end all that runs in its lab, before it is killed. */
const END_MS = 20_000;

/** As vitest's own worker of the pool `forks`, but its process is started by enter.sh. */
class LabWorker implements PoolWorker {
  readonly name = 'lab';
  readonly cacheFs = true;
  readonly #options: PoolOptions;
  #process: ChildProcess | undefined;

  constructor(options: PoolOptions) {
    this.#options = options;
  }

  get #child(): ChildProcess {
    if (!this.#process) throw new Error('this lab has not been started');
    return this.#process;
  }

  on(event: string, callback: (argument: unknown) => void): void {
    this.#child.on(event, callback);
  }

  off(event: string, callback: (argument: unknown) => void): void {
    this.#child.off(event, callback);
  }

  send(message: WorkerRequest): void {
    this.#child.send(message);
  }

  deserialize(data: unknown): unknown {
    return data;
  }

  async start(): Promise<void> {
    const { distPath, env, execArgv } = this.#options;
    const worker = join(distPath, 'workers', 'forks.js');
    this.#process = spawn(enter, ['--tests', process.execPath, ...execArgv, worker], {
      env,
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
      serialization: 'advanced',
      // a process group of its own: whatever a test does to its group, it does not end the test run
      detached: true,
    });
  }

  /** Resolves when nothing of the lab is left. */
  async stop(): Promise<void> {
    const child = this.#child;
    if (child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill();
    const timer = setTimeout(() => child.kill('SIGKILL'), END_MS);
    await ended;
    clearTimeout(timer);
  }
}

export const labPool: PoolRunnerInitializer = {
  name: 'lab',
  createPoolWorker: (options) => new LabWorker(options),
};

/** Files that take minutes, however small they are. */
const LONG = /\/(worlds|stress|ending)\/|\/(space-fuzz|parallel|which-vms|examples)\.lab/;

/** So that none of those is begun when all others are done: they first, then vitest's own order. */
export class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    const isLong = ({ moduleId }: TestSpecification) => LONG.test(moduleId);
    return [...sorted.filter(isLong), ...sorted.filter((file) => !isLong(file))];
  }
}
