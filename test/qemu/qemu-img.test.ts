import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { HostFiles } from '../../src/host/files.ts';
import { chainPaths } from '../../src/model/image.ts';
import { parseInfo } from '../../src/qemu/info.ts';
import { inspectImage, type RunQemuImg, readChain } from '../../src/qemu/qemu-img.ts';
import { capture, VERSIONS } from '../captures.ts';
import { localFiles } from '../host/local-files.ts';
import { image, MiB, tag } from '../model.ts';
import { qcow2Header, signature, vmdkDescriptor } from './headers.ts';

let directory = '';

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'kvmsnap-image-'));
});

afterEach(() => {
  rmSync(directory, { recursive: true });
});

const said = (stdout: string, stderr = '', exitCode: number | null = 0) => ({ stdout, stderr, exitCode });

/** An image on the disk, laid over another; with the format that it records for that. */
function imageFile(name: string, backing?: string, backingFormat: string | undefined = 'qcow2'): string {
  const path = join(directory, name);
  const names = backing === undefined ? {} : { backing, ...(backingFormat && { backingFormat }) };
  writeFileSync(path, qcow2Header(names));
  return path;
}

/** A qemu-img to which only these images are images, each with the name of what it is laid over. */
function qemuImg(
  backingOf: Readonly<Record<string, string | null>>,
): RunQemuImg & { readonly calls: string[][] } {
  const calls: string[][] = [];
  const run = async (args: readonly string[]) => {
    calls.push([...args]);
    const path = args.at(-1) ?? '';
    const backing = backingOf[path];
    if (backing === undefined) return said('', `qemu-img: Could not open '${path}': it is so\n`, 1);
    const below = backing && { 'backing-filename': backing, 'backing-filename-format': 'qcow2' };
    return said(JSON.stringify({ filename: path, format: 'qcow2', 'virtual-size': MiB, ...(below || {}) }));
  };
  return Object.assign(run, { calls });
}

const inspect = (run: RunQemuImg, path: string, format = 'qcow2') =>
  inspectImage({ qemuImg: run, files: localFiles }, { path, format });

const answering =
  (info: object): RunQemuImg =>
  async () =>
    said(JSON.stringify({ filename: '/a', format: 'qcow2', 'virtual-size': 1, ...info }));

const activeOf = async (run: RunQemuImg) => {
  const found = await inspect(run, '/a');
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

  test('the links of a chain, each with the format of the image and not of the file under it', () => {
    const infos: unknown[] = JSON.parse(capture(version, 'qemu-img-chain.out'));
    expect(infos.map((info, i) => parseInfo(links[i]?.path ?? '', JSON.stringify(info), null))).toEqual(
      links.map(({ path, backing }) => ({
        below: backing === null ? null : { name: backing, format: 'qcow2' },
        image: image({
          path,
          backing,
          allocatedBytes: bytes,
          tags: path.endsWith('vda.qcow2') ? expect.anything() : [],
        }),
      })),
    );
  });

  test('the snapshots inside, with their memory', async () => {
    const info = capture(version, 'qemu-img-U.out');
    const seconds = expect.closeTo(1_795_426_500, -2);
    const at = { createdAtSeconds: seconds };
    expect(parseInfo('/vm/b-fix-vda.qcow2', info, null).image).toMatchObject({
      tags: [
        tag('off1', { ...at, id: '1' }),
        tag(expect.stringMatching(/^\d+$/), { ...at, id: '2' }),
        tag('run1', { ...at, id: '3', vmStateBytes: bytes }),
      ],
    });
  });

  test('a locked image, should -U not do', async () => {
    const run = async () => said('', capture(version, 'qemu-img-locked.err'), 1);
    expect(await inspect(run, imageFile('a'))).toMatchObject({
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
      'something of another host below it',
      { 'backing-filename': 'nbd://host/base' },
      { backing: 'nbd://host/base', refcountBits: null },
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
  test('the format is named, the image may be in use, and a path never means something else', async () => {
    const path = imageFile('-o,nbd:json:');
    const run = qemuImg({ [path]: null });
    await inspect(run, path);
    expect(run.calls).toEqual([['info', '-U', '--output=json', '-f', 'qcow2', '--', path]]);
  });

  test('a data file is not opened, which older QEMU does', async () => {
    const path = join(directory, 'a,b');
    writeFileSync(path, qcow2Header({ dataFile: '/etc/shadow' }));
    const run = qemuImg({});
    await inspect(run, path);
    const options = `driver=qcow2,file.filename=${path.replace(',', ',,')},data-file.driver=null-co`;
    expect(run.calls[0]).toEqual(['info', '-U', '--output=json', '--image-opts', '--', options]);
  });

  test('a chain of any length is one process, or none', async () => {
    imageFile('0');
    for (let i = 1; i < 50; i++) imageFile(String(i), String(i - 1));
    const top = join(directory, '49');
    const run = qemuImg({ [top]: '48' });
    for (const look of [inspectImage, readChain]) {
      const found = await look({ qemuImg: run, files: localFiles }, { path: top, format: 'qcow2' });
      expect(chainPaths(found)).toHaveLength(50);
      expect(chainPaths(found).at(-1)).toBe(join(directory, '0'));
    }
    expect(run.calls).toHaveLength(1);
  });

  test.each(['', 'not json', '{}', '[]', '{"format":"qcow2"}'])(
    'an answer like %j is none, and no fact',
    async (text) => {
      await expect(inspect(async () => said(text), '/a')).rejects.toMatchObject({ code: 'refused' });
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
    expect(await inspect(qemuImg({}), path)).toEqual(broken('missing', path));
  });

  test('so is a link to nowhere', async () => {
    const path = join(directory, 'link');
    symlinkSync(join(directory, 'gone'), path);
    expect(await inspect(qemuImg({}), path)).toEqual(broken('missing', path));
  });

  test('its directory is a file', async () => {
    const path = join(imageFile('a'), 'b');
    expect(await inspect(qemuImg({}), path)).toEqual(broken('missing', path));
  });

  test('a backing file is missing, two links down', async () => {
    const gone = join(directory, 'gone');
    const [top, middle] = [imageFile('top', 'middle'), imageFile('middle', gone)];
    const run = qemuImg({ [top]: middle });
    expect(await inspect(run, top)).toEqual(broken('backing-missing', gone));
    expect(await readChain({ qemuImg: run, files: localFiles }, { path: top, format: 'qcow2' })).toEqual(
      broken('backing-missing', gone),
    );
  });

  test('it is no image: then it is raw, which libvirt says it is not', async () => {
    const path = join(directory, 'a');
    writeFileSync(path, 'x');
    expect(await inspect(qemuImg({}), path)).toMatchObject({
      kind: 'seen',
      chain: [{ format: 'raw', virtualBytes: 512 }],
    });
  });

  test('QEMU does not take it', async () => {
    const path = imageFile('a');
    expect(await inspect(qemuImg({}), path)).toEqual({
      ...broken('unreadable', path),
      detail: `Could not open '${path}': it is so`,
    });
  });

  test('its backing file is no image', async () => {
    const base = join(directory, 'base');
    writeFileSync(base, 'x');
    const top = imageFile('top', base);
    expect(await inspect(qemuImg({ [top]: base }), top)).toEqual(broken('unreadable', base));
  });

  test.each(['a', 'b'])('its chain is a loop, from %s', async (name) => {
    imageFile('a', 'b');
    imageFile('b', 'a');
    const path = join(directory, name);
    const found = await readChain({ qemuImg: qemuImg({}), files: localFiles }, { path, format: 'qcow2' });
    expect(found).toEqual({ ...broken('unreadable', path), detail: 'its backing chain is a loop' });
  });

  test('unless it was only being written to when first looked at', async () => {
    const path = imageFile('a');
    const [now, before] = [qemuImg({ [path]: null }), qemuImg({})];
    let looks = 0;
    const run: RunQemuImg = (args) => (++looks === 1 ? before(args) : now(args));
    expect(await inspect(run, path)).toMatchObject({ kind: 'seen' });
  });

  test('qemu-img was killed, without a word', async () => {
    expect(await inspect(async () => said('', '', null), imageFile('a'))).toMatchObject({
      kind: 'broken',
      why: 'unreadable',
      detail: 'qemu-img failed without an error message',
    });
  });

  // root may read everything, so the refusal is put into the file system's mouth
  test.each(['EACCES', 'EPERM'])(
    'this user may not read it (%s), or one under it: then nobody looked',
    async (code) => {
      const base = imageFile('base');
      const top = imageFile('top', base);
      const closed = new Set<string>();
      const files: HostFiles = {
        ...localFiles,
        open: async (path) => {
          if (closed.has(path)) throw Object.assign(new Error(code), { code });
          return localFiles.open(path);
        },
      };
      const unseen = { kind: 'unseen', why: 'permission', format: null, source: "VM's XML" };
      const tools = { qemuImg: qemuImg({ [top]: base }), files };
      expect(await inspectImage(tools, { path: top, format: 'qcow2' })).toMatchObject({ kind: 'seen' });
      for (const path of [base, top]) {
        closed.add(path);
        expect(await inspectImage(tools, { path: top, format: 'qcow2' })).toEqual(unseen);
      }
    },
  );
});

describe('what a guest has written is never followed', () => {
  const chainOf = async (path: string, format: string, formatsBelow?: ReadonlyMap<string, string>) => {
    const place = { path, format, ...(formatsBelow && { formatsBelow }) };
    const found = await readChain({ qemuImg: qemuImg({}), files: localFiles }, place);
    if (found.kind !== 'seen') return found;
    return found.chain.map(({ path, format, looksLike, backing }) => [
      path.slice(directory.length + 1),
      format,
      looksLike?.format ?? null,
      backing,
    ]);
  };

  test('a raw image ends the chain, whatever it looks like', async () => {
    expect(await chainOf(imageFile('a', '/etc/shadow'), 'raw')).toEqual([['a', 'raw', 'qcow2', null]]);
  });

  test('so does one that the image above records as raw', async () => {
    const base = imageFile('base', '/etc/shadow');
    const top = imageFile('top', 'base', 'raw');
    expect(await chainOf(top, 'qcow2')).toEqual([
      ['top', 'qcow2', null, base],
      ['base', 'raw', 'qcow2', null],
    ]);
  });

  test("or that the VM's XML calls raw, before what the image records", async () => {
    const base = imageFile('base', '/etc/shadow');
    const top = imageFile('top', 'base', 'qcow2');
    expect(await chainOf(top, 'qcow2', new Map([[base, 'raw']]))).toEqual([
      ['top', 'qcow2', null, base],
      ['base', 'raw', 'qcow2', null],
    ]);
  });

  test.each([
    ['looks raw', Buffer.from('x'), 'raw'],
    ['looks like LUKS', signature('LUKSº¾'), 'raw'],
    ['is qcow2 and lies on nothing', qcow2Header(), 'qcow2'],
  ])('of no recorded format, and it %s', async (_, bytes, format) => {
    writeFileSync(join(directory, 'base'), bytes);
    const top = imageFile('top', 'base', '');
    expect(await chainOf(top, 'qcow2')).toEqual([
      ['top', 'qcow2', null, join(directory, 'base')],
      ['base', format, format === 'raw' && bytes.length > 1 ? 'luks' : null, null],
    ]);
  });

  test.each([
    ['names a backing file', qcow2Header({ backing: '/etc/shadow' })],
    ['names a data file', qcow2Header({ dataFile: '/etc/shadow' })],
    ['is a descriptor', vmdkDescriptor('/etc/shadow')],
  ])('of no recorded format, and it %s: libvirt refuses to start the VM', async (_, bytes) => {
    const base = join(directory, 'base');
    writeFileSync(base, bytes);
    expect(await chainOf(imageFile('top', 'base', ''), 'qcow2')).toMatchObject({
      kind: 'broken',
      why: 'format-unrecorded',
      path: base,
    });
  });

  test.each(['nbd://127.0.0.1/x', 'nbd:127.0.0.1:10809', 'https://host/x', 'json:{"driver":"nbd"}'])(
    'a name like %s leaves this host: the chain is seen as far as it goes',
    async (backing) => {
      expect(await chainOf(imageFile('top', backing, 'raw'), 'qcow2')).toEqual([
        ['top', 'qcow2', null, backing],
      ]);
    },
  );

  test('a pipe is never opened, be it the image or one below', async () => {
    const pipe = join(directory, 'pipe');
    spawnSync('mkfifo', [pipe]);
    const run = qemuImg({});
    const noFile = { kind: 'broken', why: 'unreadable', path: pipe, detail: /neither a file/ };
    for (const path of [pipe, imageFile('top', 'pipe', 'raw')]) {
      const found = await readChain(
        { qemuImg: run, files: localFiles },
        { path, format: path === pipe ? 'raw' : 'qcow2' },
      );
      expect(found).toMatchObject({ ...noFile, detail: expect.stringMatching(noFile.detail) });
    }
    expect(await inspect(run, pipe, 'raw')).toMatchObject({ kind: 'broken', why: 'unreadable' });
    expect(run.calls).toEqual([]);
  });
});
