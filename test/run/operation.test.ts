// The one way in which kvmsnap changes something: which steps come when, and that none is left out.
import { describe, expect, test } from 'vitest';
import { KvmsnapError } from '../../src/errors.ts';
import type { RuledFinding } from '../../src/model/rule.ts';
import type { Context } from '../../src/run/context.ts';
import { type Backup, type Operation, operate, skip } from '../../src/run/operation.ts';
import type { WriteEnd } from '../../src/run/write.ts';
import { fakeHost } from './fake-host.ts';

interface Facts {
  readonly loss: string;
  readonly prepared?: true;
}

type Change = Operation<Facts, string, string, string>;

const DONE: WriteEnd = { kind: 'done', stderr: '' };
const LOSS = 'the notes of June';

/** A change of which each step writes down that it was taken. `losses`: what is lost, at each load; the last stays. */
function change(
  losses: readonly string[] = [LOSS],
  parts: Partial<Change> = {},
  backup: Backup | null = null,
) {
  const steps: string[] = [];
  let loads = 0;
  const operation: Change = {
    async load(_, again) {
      steps.push(again ? 'load again' : 'load');
      const loss = losses[Math.min(loads++, losses.length - 1)] ?? '';
      return { loss };
    },
    rules: [
      {
        cannot: () => 'cannot change it',
        find: ({ loss }) => {
          steps.push('rules');
          return loss === 'impossible' ? [refusal] : [];
        },
        force: false,
      },
    ],
    settled: ({ loss }) => (loss === '' ? 'nothing to do' : null),
    plan: (_, { loss }) => `would lose ${loss}`,
    consent: {
      asks: (_, { loss }) => ({
        consequences: [loss],
        notes: [`${loss} will be lost`],
        question: async () => ({ details: [], asks: `Lose ${loss}?` }),
      }),
      async backup() {
        steps.push('backup');
        return backup;
      },
    },
    async prepare(_, facts) {
      steps.push('prepare');
      return { ...facts, prepared: true };
    },
    write: {
      subject: (_, { loss }) => `the loss of ${loss}`,
      async run(_, { prepared, loss }) {
        steps.push(`write ${loss}${prepared ? '' : ' unprepared'}`);
        return DONE;
      },
    },
    log: skip('nobody reads it'),
    async verify(_, { loss }) {
      steps.push('verify');
      return { done: `lost ${loss}` };
    },
    residue(_, __, seen) {
      steps.push('residue');
      return [{ what: `left: ${seen}` }];
    },
    ...parts,
  };
  return { operation, steps };
}

const BACKUP: Backup = { done: 'the backup is complete' };

const refusal: RuledFinding = {
  what: 'it is held',
  rule: 'held',
  severity: 'error',
  unsupported: false,
};

/** A run in a script, or with a person who gives this answer. */
function run(answer: boolean | null = null, settings: Partial<Context['settings']> = {}) {
  const host = fakeHost();
  const ctx = host.context(settings);
  const questions: string[] = [];
  const ask = async (question: string) => {
    questions.push(question);
    return answer ?? false;
  };
  const terminal = { ...ctx.terminal, hasPerson: answer !== null, ask };
  return { ctx: { ...ctx, terminal }, questions, notes: host.notes };
}

const busy = () => new KvmsnapError('busy', 'another job holds it');

describe('in a script', () => {
  test('takes all steps in their order, and says what is lost', async () => {
    const { operation, steps } = change();
    const { ctx, notes } = run();
    expect(await operate(ctx, operation)).toEqual({ done: `lost ${LOSS}` });
    expect(steps).toEqual(['load', 'rules', 'backup', 'prepare', `write ${LOSS}`, 'verify']);
    expect(notes).toEqual([`note: ${LOSS} will be lost`]);
  });

  test('what is so already is not done', async () => {
    const { operation, steps } = change(['']);
    expect(await operate(run().ctx, operation)).toEqual({ done: 'nothing to do' });
    expect(steps).toEqual(['load', 'rules']);
  });

  test('what a rule refuses is not written', async () => {
    const { operation, steps } = change(['impossible']);
    await expect(operate(run().ctx, operation)).rejects.toMatchObject({
      code: 'check',
      message: 'cannot change it: it is held',
    });
    expect(steps).toEqual(['load', 'rules']);
  });

  test('a backup makes old what was loaded; what has come since is refused, and the backup is told', async () => {
    const fine = change([LOSS], {}, BACKUP);
    await operate(run().ctx, fine.operation);
    expect(fine.steps.slice(0, 5)).toEqual(['load', 'rules', 'backup', 'load again', 'rules']);
    expect(fine.steps.slice(5)).toEqual(['prepare', `write ${LOSS}`, 'verify']);

    const { operation, steps } = change([LOSS, 'the notes of July'], {}, BACKUP);
    await expect(operate(run().ctx, operation)).rejects.toMatchObject({
      code: 'check',
      message: expect.stringMatching(/the notes of July; the backup is complete$/),
    });
    expect(steps).not.toContain('prepare');
  });

  test('what became impossible during a backup is refused', async () => {
    const { operation, steps } = change([LOSS, 'impossible'], {}, BACKUP);
    await expect(operate(run().ctx, operation)).rejects.toMatchObject({ code: 'check' });
    expect(steps).not.toContain('prepare');
  });
});

describe('a dry run', () => {
  test('loads, checks, and tells its plan; nothing is asked, kept or written', async () => {
    const { operation, steps } = change();
    const { ctx, questions } = run(true, { dryRun: true });
    expect(await operate(ctx, operation)).toEqual({ planned: `would lose ${LOSS}` });
    expect(steps).toEqual(['load', 'rules']);
    expect(questions).toEqual([]);
  });

  test('the same of a change that asks nobody', async () => {
    const { operation, steps } = change([LOSS], { consent: skip('nothing is lost') });
    expect(await operate(run(null, { dryRun: true }).ctx, operation)).toEqual({
      planned: `would lose ${LOSS}`,
    });
    expect(steps).toEqual(['load', 'rules']);
  });

  test('refuses as the run would', async () => {
    const { operation } = change(['impossible']);
    await expect(operate(run(null, { dryRun: true }).ctx, operation)).rejects.toMatchObject({
      code: 'check',
    });
  });
});

describe('a person', () => {
  test('is asked once, and everything is loaded again after the answer', async () => {
    const { operation, steps } = change();
    const { ctx, questions } = run(true);
    await operate(ctx, operation);
    expect(questions).toEqual([`Lose ${LOSS}?`]);
    expect(steps.slice(0, 4)).toEqual(['load', 'rules', 'load again', 'rules']);
    expect(steps).toContain(`write ${LOSS}`);
  });

  test('who declines changes nothing', async () => {
    const { operation, steps } = change();
    await expect(operate(run(false).ctx, operation)).rejects.toMatchObject({
      code: 'declined',
      exitCode: 10,
    });
    expect(steps).toEqual(['load', 'rules']);
  });

  test('is asked anew about what has changed meanwhile', async () => {
    const { operation, steps } = change([LOSS, 'the notes of July']);
    const { ctx, questions } = run(true);
    await operate(ctx, operation);
    expect(questions).toHaveLength(2);
    expect(questions[1]).toContain('the notes of July');
    expect(steps).toContain('write the notes of July');
  });

  test('is not asked with --yes', async () => {
    const { operation } = change();
    const { ctx, questions } = run(true, { yes: true });
    await operate(ctx, operation);
    expect(questions).toEqual([]);
  });
});

describe('consent that was given before', () => {
  const given = { given: 'in a test', consequences: ({ loss }: Facts) => [loss], notes: () => ['gone then'] };
  /** Busy at the first try to write. */
  const busyOnce = (steps: string[]): Change['write'] => ({
    subject: () => 'it',
    async run() {
      steps.push('write');
      if (steps.filter((step) => step === 'write').length === 1) throw busy();
      return DONE;
    },
  });

  test('is not asked for, and what is lost is said', async () => {
    const { operation, steps } = change([LOSS], { consent: given });
    const { ctx, questions, notes } = run(true);
    await operate(ctx, operation);
    expect([questions, notes]).toEqual([[], ['note: gone then']]);
    expect(steps).toEqual(['load', 'rules', 'prepare', `write ${LOSS}`, 'verify']);
  });

  test('holds after a wait for the same thing', async () => {
    const { operation, steps } = change([LOSS], { consent: given });
    await operate(run(null, { wait: 60 }).ctx, { ...operation, write: busyOnce(steps) });
    expect(steps.filter((step) => step !== 'rules' && step !== 'prepare')).toEqual([
      ...['load', 'write', 'load again', 'write', 'verify'],
    ]);
  });

  test('and not for what has come meanwhile', async () => {
    const { operation, steps } = change([LOSS, 'the notes of July'], { consent: given });
    const ended = operate(run(null, { wait: 60 }).ctx, { ...operation, write: busyOnce(steps) });
    await expect(ended).rejects.toMatchObject({ code: 'check' });
    expect(steps.filter((step) => step === 'write')).toHaveLength(1);
  });
});

describe('a signal', () => {
  test('before the write lets nothing be written', async () => {
    const { operation, steps } = change();
    const { ctx } = run();
    const load: Change['load'] = async (...args) => {
      const facts = await operation.load(...args);
      ctx.interrupts.raise('SIGTERM');
      return facts;
    };
    await expect(operate(ctx, { ...operation, load })).rejects.toMatchObject({ exitCode: 143 });
    expect(steps.join()).not.toContain('write');
  });

  test('during the write lets it come to its end, and be verified', async () => {
    const { operation, steps } = change();
    const { ctx, notes } = run();
    const write: Change['write'] = {
      ...operation.write,
      async run() {
        ctx.interrupts.raise('SIGTERM');
        return DONE;
      },
    };
    expect(await operate(ctx, { ...operation, write })).toEqual({ done: `lost ${LOSS}` });
    expect(steps).toContain('verify');
    expect(ctx.interrupts.pending?.exitCode).toBe(143);
    expect(notes.join()).toContain('libvirt cannot cancel this');
  });
});

describe('a write that failed', () => {
  const failing: Change['verify'] = async () => ({
    failure: new KvmsnapError('refused', 'it is as it was'),
    seen: 'a paused VM',
  });

  test('tells what it has left behind', async () => {
    const { operation, steps } = change([LOSS], { verify: failing });
    await expect(operate(run().ctx, operation)).rejects.toMatchObject({
      code: 'refused',
      message: 'it is as it was; left: a paused VM',
    });
    expect(steps.at(-1)).toBe('residue');
  });

  test('or the failure alone', async () => {
    const { operation } = change([LOSS], { verify: failing, residue: skip('it leaves nothing') });
    await expect(operate(run().ctx, operation)).rejects.toMatchObject({ message: 'it is as it was' });
  });
});

describe('the log of the system', () => {
  const logged = async (parts: Parameters<typeof change>[1], settings = {}) => {
    const lines: unknown[] = [];
    const { operation } = change([''].concat(LOSS).slice(1), {
      log: ({ loss }) => ({ action: 'lose', vm: loss, snapshots: [] }),
      ...parts,
    });
    const ctx: Context = {
      ...fakeHost().context({ yes: true, ...settings }),
      recordAction: async (entry, result) => void lines.push([entry.action, entry.vm, result]),
    };
    const outcome = await operate(ctx, operation).catch((error: Error) => error.message);
    return { lines, outcome };
  };

  test('has a change that was made, and one that failed', async () => {
    expect((await logged({})).lines).toEqual([['lose', LOSS, 'done']]);
    const failing = { verify: async () => ({ failure: new KvmsnapError('refused', 'no'), seen: 'x' }) };
    const { lines, outcome } = await logged({ ...failing, residue: skip('none') });
    expect([lines, outcome]).toEqual([[['lose', LOSS, 'failed: no']], 'no']);
  });

  test('has none that was only planned', async () => {
    expect((await logged({}, { dryRun: true })).lines).toEqual([]);
  });
});
