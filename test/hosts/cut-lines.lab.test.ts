// Lines that are cut, and processes that are killed, while two hosts work: nothing half is left, and the next run ends well.
// `npm run stress` does it in hundreds of rounds. kvm1 is this lab, kvm2 has a libvirtd of its own, and one server serves both.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { kvmsnap } from '../lab/cli.ts';
import { isSystemLab, virsh } from '../lab/lab.ts';
import { tags } from '../scene/disk.ts';
import { type OwnLab, startOwnLab } from '../scene/own-lab.ts';
import { chanceFrom, chooseSeed, randomFrom } from '../scene/random.ts';
import { hasSshd, type SshHosts, startSshHosts } from '../scene/ssh-host.ts';
import { cleanUp, defineVm, pathOf } from '../scene/vm.ts';
import { cutRounds, type Fleet, jobsEnded, shortLine } from './cut-lines.ts';

const ROUNDS = Number(process.env['KVMSNAP_ROUNDS'] ?? 3);

let hosts: SshHosts;
let other: OwnLab;
let fleet: Fleet;
let line: ReturnType<typeof shortLine>;

beforeAll(async () => {
  if (!isSystemLab || !hasSshd) return;
  other = await startOwnLab();
  line = shortLine();
  hosts = await startSshHosts(['kvm1', 'kvm2', 'bad'], {
    config: ['MaxStartups 2', 'MaxSessions 2'],
    client: ['Host bad', `  ${line.command}`],
    inside: { kvm2: other.inside },
  });
  const web = defineVm({ name: 'web', disks: [{ size: '16M' }] });
  const image = other.defineLike(web);
  fleet = {
    environment: {
      ...{ PATH: hosts.path, XDG_RUNTIME_DIR: hosts.directory },
      ...{ HOME: hosts.directory, XDG_STATE_HOME: hosts.directory },
    },
    cut: hosts.cut,
    places: [
      { host: 'kvm1', image: pathOf(web), virsh },
      { host: 'kvm2', image, virsh: other.virsh },
    ],
  };
});
afterAll(async () => {
  hosts?.stop();
  await other?.stop();
  return cleanUp();
});

describe.runIf(isSystemLab && hasSshd)('two hosts', () => {
  test(`${ROUNDS} kills leave nothing wrong`, { timeout: 600_000 + ROUNDS * 60_000 }, async () => {
    const seed = chooseSeed();
    expect(await cutRounds(fleet, ROUNDS, seed), `KVMSNAP_SEED=${seed}`).toEqual([]);
  });

  test('a line that ends after some bytes is no success, unless the work was done', {
    timeout: 600_000,
  }, async () => {
    const seed = chooseSeed();
    const chance = chanceFrom(randomFrom(seed));
    const image = fleet.places[0]?.image ?? '';
    for (const bytes of [
      chance.between(0, 6000),
      chance.between(6000, 60_000),
      chance.between(60_000, 400_000),
    ]) {
      const name = `after-${bytes}`;
      line.limit(bytes);
      const { code, stderr } = await kvmsnap(['create-as', 'bad:web', name], { env: fleet.environment });
      await jobsEnded();
      const isThere = tags(image).some((tag) => tag.name === name);
      expect(virsh('snapshot-list', 'web', '--name').includes(name), name).toBe(isThere);
      if (code === 0) expect(isThere, name).toBe(true);
      else
        expect({ code, stderr }).toMatchObject({
          code: 8,
          stderr: expect.stringMatching(/host bad|to bad was/),
        });
    }
  });
});
