import { expect, test } from 'vitest';
import { backingLocation } from '../../src/qemu/backing-name.ts';

const json = (value: unknown) => `json:${JSON.stringify(value)}`;

test.each([
  ['/vm/base', '/vm/base', null],
  ['base', '/images/base', null],
  ['../base', '/images/../base', null],
  ['./nbd:x', '/images/./nbd:x', null],
  ['dir/a:b', '/images/dir/a:b', null],
  ['file:/vm/base', '/vm/base', null],
  ['file:///vm/base', '///vm/base', null],
  ['host_device:/dev/vg/lv', '/dev/vg/lv', null],
  [json({ driver: 'qcow2', file: { driver: 'file', filename: '/vm/base' } }), '/vm/base', 'qcow2'],
  [json({ driver: 'raw', file: { driver: 'host_device', filename: '/dev/vg/lv' } }), '/dev/vg/lv', 'raw'],
  [json({ driver: 'qcow2', 'file.driver': 'file', 'file.filename': '/vm/base' }), '/vm/base', 'qcow2'],
  [json({ driver: 'file', filename: '/vm/base' }), '/vm/base', null],
])('%s is a file', (name, path, format) => {
  expect(backingLocation(name, '/images/top')).toEqual({ kind: 'file', path, format });
});

test.each([
  'nbd://host/x',
  'nbd:127.0.0.1:10809',
  'nbd+unix:///?socket=/run/x',
  'https://host/x',
  'ssh://host/x',
  'rbd:pool/x',
  'fat:/etc',
  'file:base',
  'json:',
  'json:{',
  'json:7',
  json({ driver: 'qcow2', file: { driver: 'nbd', host: '127.0.0.1' } }),
  json({ driver: 'qcow2', file: { driver: 'file', filename: 'base' } }),
  json({ driver: 'qcow2', file: 'node' }),
  json({ driver: 'nbd', path: '/run/x' }),
])('%s is not followed', (name) => {
  expect(backingLocation(name, '/images/top')).toEqual({ kind: 'elsewhere', name });
});
