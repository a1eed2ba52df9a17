import { describe, expect, test } from 'vitest';
import {
  connectionFailure,
  countErrors,
  lostConnection,
  virshFailure,
  virshMessage,
} from '../../src/libvirt/virsh-error.ts';
import { capture, VERSIONS } from '../captures.ts';

/** Texts that the four versions printed, but for those marked. */
const TEXTS = {
  busy: `error: Failed to delete snapshot s0
error: Timed out during operation: cannot acquire state change lock (held by monitor=remoteDispatchDomainSnapshotCreateXML)
`,
  /** Not captured: the same in the daemon's own language, of which only the API's name is sure. */
  busyInChinese:
    'error: 操作超时：无法获得状态更改锁（由 monitor=remoteDispatchDomainSnapshotCreateXML 持有）\n',
  noDaemon: `error: failed to connect to the hypervisor
error: Failed to connect socket to '/var/run/libvirt/libvirt-sock': Connection refused
`,
  noSocket: `error: failed to connect to the hypervisor
error: Failed to connect socket to '/nonexistent': No such file or directory
`,
  notInGroup: `error: failed to connect to the hypervisor
error: Failed to connect socket to '/var/run/libvirt/libvirt-sock': Permission denied
`,
  /** Not captured, the labs having no polkit: src/remote/remote_driver.c and src/util/virpolkit.c. */
  polkit: `error: failed to connect to the hypervisor
error: authentication unavailable: no polkit agent available to authenticate action 'org.libvirt.unix.manage'
`,
  badUri: `error: failed to connect to the hypervisor
error: no connection driver available for bogus:///system
`,
  badUriOn7: `error: failed to connect to the hypervisor
error: Failed to connect socket to '/var/run/libvirt/virtbogusd-sock': No such file or directory
`,
  noModularDaemon: `error: failed to connect to the hypervisor
error: Failed to connect socket to '/var/run/libvirt/virtqemud-sock': No such file or directory
`,
  noSsh: `2026-11-23 09:11:09.114+0000: 14560: info : libvirt version: 11.3.0, package: 11.3.0-3+deb13u3 (Debian)
2026-11-23 09:11:09.114+0000: 14560: info : hostname: vm
2026-11-23 09:11:09.114+0000: 14560: warning : virFileClose:133 : Tried to close invalid fd 4
error: failed to connect to the hypervisor
error: Cannot find 'ssh' in path: No such file or directory
`,
  noRuntimeDirectory: `error: failed to connect to the hypervisor
error: Cannot create user runtime directory '/nonexistent/.cache/libvirt': Permission denied
`,
  refusedByTcp: `error: failed to connect to the hypervisor
error: unable to connect to server at '127.0.0.1:1': Connection refused
`,
  badPath: `error: failed to connect to the hypervisor
error: internal error: unexpected qemu URI path '/nosuch', try qemu:///system
`,
  lost: `error: Disconnected from qemu:///system due to end of file
error: End of file while reading data: Input/output error
`,
  readOnly: 'error: operation forbidden: read only access prevents virDomainSnapshotCreateXML\n',
  guestAgent: 'error: Guest agent is not responding: QEMU guest agent is not connected\n',
  monitorLost: 'error: internal error: End of file from qemu monitor\n',
} as const;

describe('what a failure means', () => {
  test.each([
    ['busy', 'busy', /another job/],
    ['busyInChinese', 'busy', /another job/],
    ['noDaemon', 'unreachable', /libvirtd seems not to run/],
    ['noSocket', 'unreachable', /libvirtd seems not to run/],
    ['notInGroup', 'unreachable', /join the group libvirt and log in again/],
    ['polkit', 'unreachable', /run as root, or join the group libvirt/],
    ['badUri', 'unreachable', /check the connection URI/],
    ['badUriOn7', 'unreachable', /check the connection URI/],
    ['noModularDaemon', 'unreachable', /libvirtd seems not to run/],
    ['noSsh', 'unreachable', /ssh needs a key or an agent/],
    ['noRuntimeDirectory', 'unreachable', /--connect qemu:\/\/\/system/],
    ['refusedByTcp', 'unreachable', /check the connection URI/],
    ['badPath', 'unreachable', /check the connection URI/],
    ['readOnly', 'refused', undefined],
    ['guestAgent', 'refused', undefined],
  ] as const)('%s: %s', (text, code, hint) => {
    const failure = virshFailure('it failed', TEXTS[text]);
    expect(failure.code).toBe(code);
    if (hint === undefined) expect(failure.hint).toBeUndefined();
    else expect(failure.hint).toMatch(hint);
  });

  test.each(VERSIONS)('libvirt %s: what is missing or exists already is only refused', (version) => {
    for (const file of ['dom-none.err', 'current-none.err', 'create-dup.err', 'delete-ext1.err'])
      expect(virshFailure('it failed', capture(version, file))).toMatchObject({
        code: 'refused',
        hint: undefined,
      });
  });

  test.each(['before-polkit-update', 'authentication-fixed', 'libvirt-sock', 'state change lock'])(
    'a snapshot called %j does not change what is meant',
    (name) => {
      const text = `error: operation failed: domain moment ${name} already exists\n`;
      expect(virshFailure('it failed', text).code).toBe('refused');
    },
  );
});

describe('no connection', () => {
  test.each(Object.keys(TEXTS) as (keyof typeof TEXTS)[])('is what it is, whatever the text: %s', (text) => {
    expect(connectionFailure(TEXTS[text]).code).toBe('unreachable');
  });

  test('in a language that nobody foresaw', () => {
    expect(connectionFailure('错误：什么\n')).toMatchObject({
      code: 'unreachable',
      message: 'cannot reach libvirt: 错误：什么',
    });
  });
});

describe("virsh's own words", () => {
  test('are not what the library logs in between, unless that is all', () => {
    expect(virshMessage(TEXTS.noSsh)).toBe(
      "failed to connect to the hypervisor; Cannot find 'ssh' in path: No such file or directory",
    );
    const logged = '2026-11-23 09:11:09.114+0000: 14560: error : virFileClose:133 : oh';
    expect(virshMessage(logged)).toBe(logged);
  });

  test('that each command of a batch repeats are told once', () => {
    const once = virshMessage(TEXTS.noDaemon);
    expect(virshMessage(TEXTS.noDaemon.repeat(9))).toBe(once);
    expect(virshMessage(`${TEXTS.noDaemon}error: other\n${TEXTS.noDaemon}`)).toBe(`${once}; other`);
  });

  test.each([
    [
      TEXTS.noDaemon,
      /^failed to connect to the hypervisor; Failed to connect socket to .*: Connection refused$/,
    ],
    ['\nerror: a\n  \nb: error: c\n\n', /^a; b: error: c$/],
    ['error: a\nerror: b\nerror: a\nerror: b\n', /^a; b$/],
    ['', /^virsh failed without an error message$/],
    ['\n', /^virsh failed without an error message$/],
  ])('%j', (stderr, message) => {
    expect(virshMessage(stderr)).toMatch(message);
  });

  test.each([
    ['', 0],
    ['setlocale: No such file or directory\n', 0],
    [TEXTS.noSsh, 2],
    ['error: a\nhint: error: b\nerror: c\n', 2],
  ])('errors in %j: %i', (stderr, errors) => {
    expect(countErrors(stderr)).toBe(errors);
  });

  test.each(VERSIONS)('libvirt %s: one command, one error', (version) => {
    for (const file of ['dom-none.err', 'current-none.err', 'batch.err'])
      expect([file, countErrors(capture(version, file))]).toEqual([file, 1]);
  });
});

describe('a connection lost in the middle', () => {
  test.each(Object.keys(TEXTS) as (keyof typeof TEXTS)[])('%s', (text) => {
    expect(lostConnection(TEXTS[text])).toBe(text === 'lost');
  });
});
