import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { inspectImage, type RunQemuImg } from '../../src/qemu/qemu-img.ts';
import { capture, VERSIONS } from '../captures.ts';
import { image, MiB, tag } from '../model.ts';

let directory = '';

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'kvmsnap-image-'));
});

afterEach(() => {
  rmSync(directory, { recursive: true });
});

function file(name: string): string {
  const path = join(directory, name);
  writeFileSync(path, 'x');
  return path;
}

const said = (stdout: string, stderr = '', exitCode: number | null = 0) => ({ stdout, stderr, exitCode });

/** A qemu-img to which only these images are images, each with what it is laid over. */
function qemuImg(
  backingOf: Readonly<Record<string, string | null>>,
): RunQemuImg & { readonly calls: string[][] } {
  const calls: string[][] = [];
  const info = (path: string) => ({
    filename: path,
    format: 'qcow2',
    'virtual-size': MiB,
    ...(backingOf[path] ? { 'full-backing-filename': backingOf[path] } : {}),
  });
  const chainOf = (path: string): string[] => [path, ...(backingOf[path] ? chainOf(backingOf[path]) : [])];
  const run = async (args: readonly string[]) => {
    calls.push([...args]);
    const path = args.at(-1) ?? '';
    const chain = args.includes('--backing-chain') ? chainOf(path) : [path];
    const failing = chain.find((link) => backingOf[link] === undefined);
    if (failing !== undefined) return said('', `qemu-img: Could not open '${failing}': it is so\n`, 1);
    return said(JSON.stringify(args.includes('--backing-chain') ? chain.map(info) : info(path)));
  };
  return Object.assign(run, { calls });
}

const answering =
  (...chain: object[]): RunQemuImg =>
  async () =>
    said(
      JSON.stringify(chain.map((link) => ({ filename: '/a', format: 'qcow2', 'virtual-size': 1, ...link }))),
    );

const activeOf = async (run: RunQemuImg) => {
  const found = await inspectImage(run, '/a');
  return found.kind === 'seen' ? found.chain[0] : found;
};

describe.each(VERSIONS)('the QEMU beside libvirt %s', (version) => {
  const links = [
    { path: '/vm/b-fix-vda.extmem1', backing: '/vm/b-fix-vda.ext1' },
    { path: '/vm/b-fix-vda.ext1', backing: '/vm/b-fix-vda.qcow2' },
    { path: '/vm/b-fix-vda.qcow2', backing: '/vm/base.qcow2' },
    { path: '/vm/base.qcow2', backing: null },
  ];
  const bytes = expect.toSatisfy((n: number) => Number.isInteger(n) && n > 0);

  test('a chain, with the format of the image and not of the file under it', async () => {
    const found = await inspectImage(async () => said(capture(version, 'qemu-img-chain.out')), '/x');
    expect(found).toEqual({
      kind: 'seen',
      chain: links.map(({ path, backing }) =>
        image({
          path,
          backing,
          allocatedBytes: bytes,
          tags: path.endsWith('vda.qcow2') ? expect.anything() : [],
        }),
      ),
    });
  });

  test('the snapshots inside, with their memory', async () => {
    const run = async () => said(`[${capture(version, 'qemu-img-U.out')}]`);
    const seconds = expect.closeTo(1_795_426_500, -2);
    const at = { createdAtSeconds: seconds };
    expect(await activeOf(run)).toMatchObject({
      path: '/vm/b-fix-vda.qcow2',
      tags: [
        tag('off1', { ...at, id: '1' }),
        tag(expect.stringMatching(/^\d+$/), { ...at, id: '2' }),
        tag('run1', { ...at, id: '3', vmStateBytes: bytes }),
      ],
    });
  });

  test('a locked image, should -U not do', async () => {
    const run = async () => said('', capture(version, 'qemu-img-locked.err'), 1);
    expect(await inspectImage(run, file('a'))).toMatchObject({
      kind: 'broken',
      why: 'unreadable',
      detail: expect.stringMatching(/^Could not open .*Failed to get shared "write" lock/),
    });
  });
});

describe('what an image is marked with', () => {
  const specific = (data: object) => ({ 'format-specific': { type: 'qcow2', data } });

  test.each([
    ['version 2', specific({ compat: '0.10', 'refcount-bits': 16 }), {}],
    ['raw, which says little', { format: 'raw' }, { format: 'raw', refcountBits: null }],
    ['corrupt', specific({ corrupt: true, 'refcount-bits': 16 }), { corrupt: true }],
    ['dirty', { 'dirty-flag': true, ...specific({ 'refcount-bits': 16 }) }, { dirty: true }],
    ['encrypted', { encrypted: true, ...specific({ 'refcount-bits': 16 }) }, { encrypted: true }],
    ['data elsewhere', specific({ 'data-file': '/d', 'refcount-bits': 16 }), { dataFile: '/d' }],
    ['refcounts of one bit', specific({ 'refcount-bits': 1 }), { refcountBits: 1 }],
    [
      'a backing file by its short name',
      { 'backing-filename': 'base' },
      { backing: 'base', refcountBits: null },
    ],
    [
      'vmdk',
      { format: 'vmdk', ...specific({ cid: 1, extents: [] }) },
      { format: 'vmdk', refcountBits: null },
    ],
  ])('%s', async (_, info, marks) => {
    expect(await activeOf(answering(info))).toEqual(
      image({ path: '/a', virtualBytes: 1, allocatedBytes: 0, clusterBytes: null, ...marks }),
    );
  });

  test('names of snapshots are text, whatever they look like', async () => {
    const names = ['007', 'two\nlines', '快照', '  ', ''];
    const snapshots = names.map((name, i) => ({ id: String(i), name, 'vm-state-size': 0, 'date-sec': i }));
    expect(await activeOf(answering({ snapshots }))).toMatchObject({ tags: names.map((name) => ({ name })) });
  });
});

describe('asking', () => {
  test('the whole chain at once, also in use, and never a path that means something else', async () => {
    const path = file('-o,nbd:json:');
    const run = qemuImg({ [path]: null });
    await inspectImage(run, path);
    expect(run.calls).toEqual([['info', '-U', '--output=json', '--backing-chain', '--', path]]);
  });

  test.each(['', 'not json', '{}', '[]', '[{"format":"qcow2"}]'])(
    'an answer like %j is none, and no fact',
    async (text) => {
      await expect(inspectImage(async () => said(text), '/a')).rejects.toMatchObject({ code: 'refused' });
    },
  );
});

describe('what is wrong with an image is the answer', () => {
  const broken = (why: string, path: string) => ({
    kind: 'broken',
    why,
    path,
    detail: expect.stringMatching(/./),
  });

  test('it is missing', async () => {
    const path = join(directory, 'gone');
    expect(await inspectImage(qemuImg({}), path)).toEqual(broken('missing', path));
  });

  test('so is a link to nowhere', async () => {
    const path = join(directory, 'link');
    symlinkSync(join(directory, 'gone'), path);
    expect(await inspectImage(qemuImg({}), path)).toEqual(broken('missing', path));
  });

  test('its directory is a file', async () => {
    const path = join(file('a'), 'b');
    expect(await inspectImage(qemuImg({}), path)).toEqual(broken('missing', path));
  });

  test('a backing file is missing, two links down', async () => {
    const [top, middle, gone] = [file('top'), file('middle'), join(directory, 'gone')];
    const run = qemuImg({ [top]: middle, [middle]: gone });
    expect(await inspectImage(run, top)).toEqual(broken('backing-missing', gone));
  });

  test('it is no image', async () => {
    const path = file('a');
    expect(await inspectImage(qemuImg({}), path)).toEqual({
      ...broken('unreadable', path),
      detail: `Could not open '${path}': it is so`,
    });
  });

  test('its backing file is no image', async () => {
    const [top, base] = [file('top'), file('base')];
    expect(await inspectImage(qemuImg({ [top]: base }), top)).toEqual(broken('unreadable', base));
  });

  test('its backing file is on a server that does not answer', async () => {
    const top = file('top');
    const run = qemuImg({ [top]: 'nbd://host/x' });
    expect(await inspectImage(run, top)).toEqual(broken('unreadable', 'nbd://host/x'));
  });

  test('its chain is a ring', async () => {
    const [a, b] = [file('a'), file('b')];
    const ring = qemuImg({ [a]: b, [b]: a });
    const run: RunQemuImg = (args) =>
      args.includes('--backing-chain') ? Promise.resolve(said('', 'qemu-img: a loop\n', 1)) : ring(args);
    expect(await inspectImage(run, a)).toEqual({ ...broken('unreadable', a), detail: 'a loop' });
  });

  test('unless it was only being written to when first looked at', async () => {
    const path = file('a');
    const [now, before] = [qemuImg({ [path]: null }), qemuImg({})];
    let looks = 0;
    const run: RunQemuImg = (args) => (++looks <= 2 ? before(args) : now(args));
    expect(await inspectImage(run, path)).toMatchObject({ kind: 'seen' });
  });

  test('qemu-img was killed, without a word', async () => {
    expect(await inspectImage(async () => said('', '', null), file('a'))).toMatchObject({
      kind: 'broken',
      why: 'unreadable',
      detail: 'qemu-img failed without a word',
    });
  });

  // root may read everything, so the refusal is put into the file system's mouth
  test.each(['EACCES', 'EPERM'])(
    'this user may not read it (%s), or one under it: then nobody looked',
    async (code) => {
      const [top, base] = [file('top'), file('base')];
      const closed = new Set<string>();
      vi.resetModules();
      vi.doMock('node:fs/promises', async (original) => ({
        ...(await original<typeof import('node:fs/promises')>()),
        access: async (path: string) => {
          if (closed.has(path)) throw Object.assign(new Error(code), { code });
        },
      }));
      const { inspectImage: inspect } = await import('../../src/qemu/qemu-img.ts');
      vi.doUnmock('node:fs/promises');
      const unseen = { kind: 'unseen', why: 'permission', format: null, source: "machine's XML" };
      const run = qemuImg({ [top]: base });
      expect(await inspect(run, top)).toMatchObject({ kind: 'broken' });
      for (const path of [base, top]) {
        closed.add(path);
        expect(await inspect(run, top)).toEqual(unseen);
      }
    },
  );
});
