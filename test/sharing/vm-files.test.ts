import { describe, expect, test } from 'vitest';
import type { NamedFile } from '../../src/model/domain-files.ts';
import { filesUsed, mergeUses, type VmDefinitions } from '../../src/sharing/vm-files.ts';
import { snapshot } from '../model.ts';

const VM = { name: 'web-2', uuid: '0f3a', state: 'shutoff' };

const file = (path: string, changes: Partial<NamedFile> = {}): NamedFile => ({
  path,
  format: 'qcow2',
  target: 'vda',
  readonly: false,
  nvram: false,
  below: false,
  ...changes,
});

const CHAINS: Readonly<Record<string, readonly string[]>> = {
  '/clone': ['/base'],
  '/e1': ['/clone', '/base'],
  '/split': ['/data'],
  '/e2': ['/split', '/data'],
};

/** By path, how it is used, of those uses that say the most. */
function uses(changes: Partial<VmDefinitions>) {
  const all = filesUsed(
    { vm: VM, live: null, inactive: [], saved: [], snapshots: [], ...changes },
    (path, format) =>
      format === 'qcow2'
        ? (CHAINS[path] ?? []).map((below) => ({
            path: below,
            kind: below === '/data' ? ('data' as const) : ('below' as const),
            isOwn: below === '/data' && path === '/split',
          }))
        : [],
  );
  const paths = [...new Set(all.map(({ path }) => path))];
  return Object.fromEntries(
    paths.map((path) => [
      path,
      mergeUses(all.filter((use) => use.path === path)).map(
        ({ kind, open, writes, snapshots }) =>
          `${kind}${open ? ' open' : ''}${writes ? ' written' : ''}${snapshots.map((name) => ` ${name}`).join('')}`,
      ),
    ]),
  );
}

describe('definitions', () => {
  test('off: the disk, and what lies beneath', () => {
    expect(uses({ inactive: [file('/clone')] })).toEqual({ '/clone': ['disk written'], '/base': ['below'] });
  });

  test('running: open is what QEMU has, and not what the next start brings', () => {
    expect(uses({ live: [file('/clone')], inactive: [file('/clone'), file('/next')] })).toEqual({
      '/clone': ['disk open written'],
      '/base': ['below open'],
      '/next': ['disk written'],
    });
  });

  test('what is raw lies on nothing, whatever its header says; what is read-only is not written to', () => {
    const raw = file('/clone', { format: 'raw', readonly: true });
    expect(uses({ inactive: [raw] })).toEqual({ '/clone': ['disk'] });
  });

  test('what the definition itself says to be beneath', () => {
    expect(uses({ live: [file('/a', { below: true, readonly: true })] })).toEqual({ '/a': ['below open'] });
  });

  test('a separate data file is written to like the image, but not that of a backing file', () => {
    expect(uses({ inactive: [file('/split')] })['/data']).toEqual(['data written']);
    expect(uses({ inactive: [file('/e2')] })['/data']).toEqual(['data']);
  });

  test('what a managed save names, though the definition names it no more', () => {
    expect(uses({ inactive: [file('/next')], saved: [file('/clone')] })).toEqual({
      '/next': ['disk written'],
      '/clone': ['saved written'],
      '/base': ['saved'],
    });
  });
});

describe('snapshots', () => {
  const internal = (name: string, source: string) => ({
    ...snapshot(name, { disks: [{ target: 'vda', location: 'internal', source }] }),
    files: [file(source)],
  });

  test('internal: a tag in the image, and the content of what that lies on', () => {
    expect(uses({ snapshots: [internal('s1', '/clone'), internal('s2', '/clone')] })).toEqual({
      '/clone': ['tags s1 s2'],
      '/base': ['state s1 s2'],
    });
  });

  test('external: the state is the file below the overlay, and the memory', () => {
    const external = {
      ...snapshot('e1', {
        memory: { location: 'external', file: '/e1.mem' },
        disks: [{ target: 'vda', location: 'external', source: '/e1' }],
      }),
      files: [file('/clone')],
    };
    expect(uses({ snapshots: [external] })).toEqual({
      '/e1': ['named e1'],
      '/clone': ['state e1'],
      '/base': ['state e1'],
      '/e1.mem': ['state e1'],
    });
  });

  test('a disk that is no part of it is named', () => {
    const part = {
      ...internal('s1', '/a'),
      files: [file('/a'), file('/iso', { target: 'sda', format: 'raw' })],
    };
    expect(uses({ snapshots: [part] })).toEqual({ '/a': ['tags s1'], '/iso': ['named s1'] });
  });

  test('NVRAM in qcow2 has the snapshot too', () => {
    const vars = file('/vars', { target: null, nvram: true });
    expect(uses({ snapshots: [{ ...internal('s1', '/a'), files: [file('/a'), vars] }] })).toMatchObject({
      '/vars': ['tags s1'],
    });
  });

  test('what the definition uses as well is told too', () => {
    expect(uses({ inactive: [file('/a')], snapshots: [internal('s1', '/a')] })).toEqual({
      '/a': ['disk written', 'tags s1'],
    });
  });
});
