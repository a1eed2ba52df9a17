import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { type FailureCode, KvmsnapError } from '../../../src/errors.ts';
import { type DomainReading, readDomain } from '../../../src/libvirt/domains.ts';
import type { Context, Settings } from '../../../src/run/context.ts';
import {
  type ActionResult,
  concludeDomains,
  type DomainOutcome,
  forEachDomain,
  type Outcome,
} from '../../../src/run/for-each-domain.ts';
import type { Target } from '../../../src/vm/select.ts';
import { type FakeHost, fakeHost } from '../fake-host.ts';

const host = fakeHost();
const reading = await readDomain(host.libvirt.virsh, 'b-fix');

const readingOf = (name: string): DomainReading => ({ ...reading, domain: { ...reading.domain, name } });

function target(name: string, { named = false, failure }: { named?: boolean; failure?: KvmsnapError } = {}) {
  return { vm: { name, uuid: `uuid of ${name}` }, reading: failure ?? readingOf(name), named };
}

const completed = (value: string, ...failures: KvmsnapError[]): ActionResult<string> => ({
  value,
  failures,
  succeeded: 1,
});

const error = (code: FailureCode, message = `it was ${code}`) => new KvmsnapError(code, message);

const NOTHING = () => false;

interface Run {
  readonly jobs?: number;
  readonly skips?: (failure: KvmsnapError) => boolean;
  readonly settings?: Partial<Settings>;
}

/** Each VM's outcome, value and the codes of its failures. */
async function run(
  targets: readonly Target[],
  act: (name: string, ctx: Context) => Promise<ActionResult<string>>,
  { jobs = 1, skips = NOTHING, settings = {} }: Run = {},
) {
  const results = await forEachDomain(
    host.context(settings),
    { targets, single: false },
    { jobs, skips },
    (ctx, { domain }) => act(domain.name, ctx),
  );
  return results.map(({ vm, outcome, value, failures }) => [
    vm.name,
    outcome,
    value,
    failures.map(({ code }) => code),
  ]);
}

describe('each of several VMs', () => {
  const names = ['a', 'b', 'c', 'd', 'e'];
  const targets = names.map((name) => target(name));

  test.each([
    [1, 1],
    [2, 2],
    [4, 4],
    [99, 5],
  ])('with %i jobs: %i at once, never more, and the results in order', async (jobs, most) => {
    let underWay = 0;
    let seen = 0;
    const results = await run(
      targets,
      async (name) => {
        seen = Math.max(seen, ++underWay);
        await sleep(5 - names.indexOf(name)); // the later ones end first
        underWay--;
        return completed(`did ${name}`);
      },
      { jobs },
    );
    expect(seen).toBe(most);
    expect(results).toEqual(names.map((name) => [name, 'done', `did ${name}`, []]));
  });

  test('what one throws stops no other', async () => {
    const results = await run(targets, async (name) => {
      if (name === 'b') throw error('busy');
      return name === 'd' ? completed('half', error('refused')) : completed(name);
    });
    expect(results).toEqual([
      ['a', 'done', 'a', []],
      ['b', 'failed', null, ['busy']],
      ['c', 'done', 'c', []],
      ['d', 'failed', 'half', ['refused']],
      ['e', 'done', 'e', []],
    ]);
  });

  test('one that could not be read fails, and nothing is done to it', async () => {
    const touched: string[] = [];
    const results = await run([target('a', { failure: error('refused') }), target('b')], async (name) => {
      touched.push(name);
      return completed(name);
    });
    expect(results.map(([, outcome]) => outcome)).toEqual(['failed', 'done']);
    expect(touched).toEqual(['b']);
  });

  test('is skipped for what skips say, unless it was called by its own name', async () => {
    const results = await run(
      [target('a'), target('b', { named: true }), target('c')],
      async (name) => {
        throw error(name === 'c' ? 'busy' : 'check');
      },
      { skips: ({ code }) => code === 'check' },
    );
    expect(results.map(([name, outcome]) => [name, outcome])).toEqual([
      ['a', 'skipped'],
      ['b', 'failed'],
      ['c', 'failed'],
    ]);
  });

  test('in a dry run is planned', async () => {
    const results = await run([target('a')], async (name) => completed(name), { settings: { dryRun: true } });
    expect(results).toEqual([['a', 'planned', 'a', []]]);
  });

  test('after a signal those under way come to their end, and the rest is not reached', async () => {
    const results = await run(
      targets,
      (name, ctx) =>
        ctx.interrupts.protect(name, async () => {
          if (name === 'b') ctx.interrupts.raise('SIGTERM');
          await sleep(1);
          return completed(name);
        }),
      { jobs: 2 },
    );
    expect(results.map(([name, outcome]) => [name, outcome])).toEqual([
      ['a', 'done'],
      ['b', 'done'],
      ['c', 'not reached'],
      ['d', 'not reached'],
      ['e', 'not reached'],
    ]);
  });

  test.each([
    ['is only looked at is not reached', false, ['not reached', 'not reached', 'not reached']],
    ['is written to fails, for nobody waits for its end', true, ['failed', 'failed', 'not reached']],
  ])('what %s when the time is over', async (_, isWriting, outcomes) => {
    const results = await run(
      targets.slice(0, 3),
      (name, ctx) => {
        const look = async () => {
          if (name === 'b') ctx.interrupts.expire(3);
          await sleep(1);
          ctx.interrupts.stop.throwIfAborted();
          return completed(name);
        };
        return isWriting ? ctx.interrupts.protect(name, look) : look();
      },
      { jobs: 2 },
    );
    expect(results.map(([, outcome]) => outcome)).toEqual(outcomes);
  });

  test('a bug is thrown, once the others are at their end', async () => {
    const ended: string[] = [];
    const bug = run(
      targets,
      async (name) => {
        if (name === 'a') throw new TypeError('a bug');
        await sleep(2);
        ended.push(name);
        return completed(name);
      },
      { jobs: 2 },
    );
    await expect(bug).rejects.toThrow('a bug');
    expect(ended).toContain('b');
  });
});

function result(name: string, outcome: Outcome, ...failures: KvmsnapError[]): DomainOutcome<string> {
  const { vm } = target(name);
  const isDone = outcome === 'done' || outcome === 'planned';
  return { vm, state: 'running', outcome, value: null, failures, succeeded: isDone ? 1 : 0 };
}

function conclude(
  results: readonly DomainOutcome<unknown>[],
  { strict = false, output = 'table' }: { strict?: boolean; output?: Settings['output'] } = {},
) {
  const { context, notes }: FakeHost = fakeHost();
  const conclusion = concludeDomains(context({ output }), results, { strict, parts: 'deletions' });
  return { notes, ends: conclusion && [conclusion.code, conclusion.message] };
}

describe('the end of a run', () => {
  const raw = () => error('check', 'c is raw');

  test('all went well', () => {
    expect(conclude([result('a', 'done'), result('b', 'planned')])).toEqual({ ends: null, notes: [] });
  });

  test('some failed: each is said with its VM, its hint and its command, then how many', () => {
    const failure = new KvmsnapError('check', 'disk vda is missing', {
      hint: 'bring it back',
      command: 'cp x y',
    });
    const { ends, notes } = conclude([
      result('a', 'failed', failure),
      result('b', 'done'),
      result('c', 'failed', error('busy', 'c is busy')),
    ]);
    expect(ends).toEqual(['partial', '2 of 3 VMs failed']);
    expect(notes).toEqual([
      'error: a: disk vda is missing\nhint: bring it back\n        cp x y',
      'error: c is busy',
    ]);
  });

  test.each<[string, FailureCode, FailureCode[]]>([
    ['all for one cause: that', 'exists', ['exists', 'exists']],
    ['all, for several causes: partial', 'partial', ['exists', 'busy']],
  ])('%s', (_, code, codes) => {
    const results = codes.map((each, n) => result(`m${n}`, 'failed', error(each)));
    expect(conclude(results).ends).toEqual([code, '2 of 2 VMs failed']);
  });

  test('the only one that was tried failed: it is said once, by whoever prints what was thrown', () => {
    const { ends, notes } = conclude([
      result('a', 'failed', error('busy')),
      result('c', 'skipped', raw()),
      result('d', 'not reached'),
    ]);
    expect(ends).toEqual(['busy', 'it was busy']);
    expect(notes).toEqual(['skipped c: c is raw', 'note: work on 1 VM was not started: d']);
  });

  test('a skip is no failure beside a success, and is said', () => {
    const { ends, notes } = conclude([result('a', 'done'), result('c', 'skipped', raw())]);
    expect(ends).toBeNull();
    expect(notes).toEqual(['skipped c: c is raw']);
  });

  test('with --strict it is one, and is said as one', () => {
    const { ends, notes } = conclude([result('a', 'done'), result('c', 'skipped', raw())], { strict: true });
    expect(ends).toEqual(['partial', '1 of 2 VMs skipped']);
    expect(notes).toEqual(['error: c is raw']);
  });

  test('nothing but skips is no success', () => {
    const { ends, notes } = conclude([result('a', 'skipped', raw()), result('c', 'skipped', raw())]);
    expect(ends).toEqual(['check', '2 of 2 VMs skipped']);
    expect(notes).toEqual(['error: a: c is raw', 'error: c is raw']);
  });

  test('failed, skipped and not reached are counted apart', () => {
    const { ends } = conclude([
      result('a', 'failed', error('busy')),
      result('b', 'failed', error('check')),
      result('c', 'skipped', raw()),
      result('d', 'done'),
      result('e', 'not reached'),
      result('f', 'not reached'),
    ]);
    expect(ends).toEqual(['partial', '2 of 6 VMs failed, 1 skipped, 2 not reached']);
  });

  test('a VM of which a part failed, alone: how many parts', () => {
    const part = { ...result('a', 'failed', error('busy', 'a is busy')), succeeded: 2 };
    const { ends, notes } = conclude([part]);
    expect(ends).toEqual(['partial', '1 of 3 deletions failed']);
    expect(notes).toEqual(['error: a is busy']);
  });

  test('beside a JSON document, which holds all this, only the end is said', () => {
    const { ends, notes } = conclude(
      [result('a', 'failed', error('busy')), result('b', 'done'), result('d', 'not reached')],
      { output: 'json' },
    );
    expect(ends?.[0]).toBe('partial');
    expect(notes).toEqual([]);
  });
});

describe('the line of progress', () => {
  async function lines(names: readonly string[], single: boolean): Promise<string[]> {
    const shown: string[] = [];
    const context = host.context();
    const terminal = { ...context.terminal, progress: (text: string) => shown.push(text) };
    await forEachDomain(
      { ...context, terminal },
      { targets: names.map((name) => target(name)), single },
      { jobs: 1, skips: NOTHING },
      async (ctx) => {
        ctx.terminal.progress('half');
        ctx.terminal.note('a warning');
        return completed('');
      },
    );
    return shown;
  }

  test('tells how many of how many are done, for how long, and what is under way; in the end it is cleared', async () => {
    const notes = host.notes.length;
    expect(await lines(['a', 'b'], false)).toEqual([
      expect.stringMatching(/^0\/2 VMs, .*; a$/),
      expect.stringMatching(/^0\/2 VMs, .*; a: half$/),
      expect.stringMatching(/^1\/2 VMs, .*; b$/),
      expect.stringMatching(/^1\/2 VMs, .*; b: half$/),
      '',
    ]);
    expect(host.notes.slice(notes)).toEqual(['a: a warning', 'b: a warning']);
  });

  test('of one VM is its own', async () => {
    expect(await lines(['a'], true)).toEqual(['half']);
  });
});
