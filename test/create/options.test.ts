import { describe, expect, test } from 'vitest';
import { checkSpec, checkXmlOptions, toSnapshotSpec } from '../../src/create/options.ts';
import { parseDiskspec, parseMemspec } from '../../src/libvirt/disk-spec.ts';
import { INTERNAL_SPEC } from '../../src/model/input/snapshot-spec.ts';

/** An option's value as it comes from the command line. */
function typed<Spec>(text: string, spec: Spec | null) {
  if (spec === null) throw new Error(`${text} cannot be read`);
  return { text, spec };
}

const memspec = typed('/m', parseMemspec('/m'));
const diskspec = [typed('vda', parseDiskspec('vda'))];

describe('options of create', () => {
  test('become a spec', () => {
    expect(toSnapshotSpec({ metadata: true })).toEqual(INTERNAL_SPEC);
    expect(toSnapshotSpec({ memspec, diskspec, live: true, halt: true, metadata: false })).toMatchObject({
      memory: { file: '/m' },
      disks: [{ disk: 'vda' }],
      live: true,
      halt: true,
      noMetadata: true,
    });
    expect(
      toSnapshotSpec({ diskOnly: true, quiesce: true, reuseExternal: true, atomic: true }),
    ).toMatchObject({
      diskOnly: true,
      quiesce: true,
      reuse: true,
      atomic: true,
    });
  });

  test('that contradict each other are an error', () => {
    expect(() => checkSpec(toSnapshotSpec({ quiesce: true }))).toThrow(/--quiesce needs --disk-only/);
  });
});

describe('--xml', () => {
  const xml = 's.xml';

  test.each([
    {},
    { xml },
    { xml, diskOnly: true, live: true, metadata: true },
    { xml, redefine: true, current: true, metadata: true },
  ])('goes with %o', (options) => {
    expect(() => checkXmlOptions(options)).not.toThrow();
  });

  test.each([
    [{ redefine: true }, /--redefine needs the XML/],
    [{ xml, current: true }, /--current needs --redefine/],
    [{ xml, diskspec }, /--diskspec cannot be combined with --xml/],
    [{ xml, printXml: true }, /--print-xml cannot be combined with --xml/],
    [{ xml, redefine: true, diskOnly: true }, /--disk-only cannot be combined with --redefine/],
    [{ xml, redefine: true, metadata: false }, /cannot be combined with --no-metadata/],
  ])('does not with %o', (options, says) => {
    expect(() => checkXmlOptions(options)).toThrow(says);
  });
});
