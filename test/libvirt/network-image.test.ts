import { describe, expect, test } from 'vitest';
import { networkImage } from '../../src/libvirt/xml/network-image.ts';

const nbd = (name: string, host: Record<string, string>) => networkImage({ protocol: 'nbd', name, host });

describe('networkImage', () => {
  test('is the same text for the same image', () => {
    expect(nbd('x', { name: 'localhost' })).toBe('nbd://localhost:10809/x');
    expect(nbd('/x', { name: '127.0.0.1', port: '10809', transport: 'tcp' })).toBe('nbd://localhost:10809/x');
    expect(nbd('x', { name: 'STORE' })).toBe(nbd('x', { name: 'store' }));
    expect(nbd('x', { transport: 'unix', socket: '/run/x' })).toBe('nbd://unix:/run/x/x');
  });

  test('differs by server, port and name', () => {
    const texts = [nbd('x', { name: 'a' }), nbd('x', { name: 'b' }), nbd('y', { name: 'a' })];
    expect(new Set([...texts, nbd('x', { name: 'a', port: '1' })]).size).toBe(4);
  });

  test('does not depend on the host where each host leads to the same cluster', () => {
    const rbd = (name: string) => networkImage({ protocol: 'rbd', name: 'pool/image', host: { name } });
    expect([rbd('mon1'), rbd('mon2')]).toEqual(['rbd:pool/image', 'rbd:pool/image']);
  });

  test('is null for a disk that is not on the network', () => {
    expect(networkImage({ protocol: undefined, name: undefined, host: undefined })).toBeNull();
  });
});
