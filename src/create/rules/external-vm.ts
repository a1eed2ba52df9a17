import { type Domain, isActive } from '../../model/domain.ts';
import { chainOf } from '../../model/image.ts';
import { ifBefore, KNOWS_ENCRYPTED_BASE } from '../../model/libvirt-versions.ts';
import { virshWord } from '../../model/quote.ts';
import type { Finding, Rule } from '../../model/rule.ts';
import { diskInText } from '../../model/text.ts';
import { wantsMemory } from '../plan.ts';
import type { Agent, CreateFacts } from './facts.ts';
import { EXTERNAL } from './modes.ts';

/** Rules of an external snapshot about the VM and its guest agent. */

export const EXTERNAL_VM_RULES: readonly Rule<CreateFacts>[] = [
  {
    id: 'network-overlay',
    hazards: [30],
    severity: 'error',
    unsupported: true,
    modes: ['disk-only'],
    find: ({ domain, plan }) =>
      isActive(domain.state)
        ? []
        : plan.disks
            .filter(({ target }) => domain.disks.some((d) => d.target === target && d.storage === 'network'))
            .map(({ target }) => ({
              what: `disk ${target} is on the network, and libvirt creates overlays for such disks only while the VM runs`,
              hint: 'start the VM first',
              command: `virsh start ${virshWord(domain)}`,
            })),
  },
  {
    id: 'encrypted-base',
    hazards: [],
    severity: 'error',
    unsupported: true,
    modes: EXTERNAL,
    find: ({ domain, plan, images, daemonVersion }) =>
      plan.disks.flatMap(({ target, source }) => {
        const chain = chainOf(images.get(target));
        // libvirt reads the header of a raw image too, and then tries to decrypt it itself
        const byGuest = chain.some(({ looksLike }) => looksLike?.format === 'luks');
        if (!byGuest && !chain.some(({ encrypted }) => encrypted)) return [];
        const what = `${diskInText({ target, source })}: the image ${byGuest ? 'looks like luks (the guest encrypts it)' : 'is encrypted'}, and`;
        const older = ifBefore(
          daemonVersion,
          KNOWS_ENCRYPTED_BASE,
          'creates an overlay for it that cannot be opened',
        );
        if (older !== null) return [{ what: `${what} ${older}` }];
        if (isActive(domain.state)) return [];
        return [
          {
            what: `${what} after libvirt has created an overlay for it while the VM is off, the VM cannot be started any more`,
            hint: 'start the VM first',
            command: `virsh start ${virshWord(domain)}`,
          },
        ];
      }),
  },
  {
    id: 'memory-of-off-vm',
    hazards: [],
    severity: 'error',
    find: ({ domain, plan }) =>
      !isActive(domain.state) && (wantsMemory(plan.spec) || plan.spec.live)
        ? [
            {
              what: 'the VM is off, so there is no memory to save',
              hint: `leave out ${wantsMemory(plan.spec) ? '--memspec' : '--live'}`,
            },
          ]
        : [],
  },
  {
    id: 'quiesce',
    hazards: [],
    severity: 'error',
    unsupported: true,
    modes: ['disk-only'],
    find: ({ domain, plan, agent }) =>
      plan.spec.quiesce && isActive(domain.state) && agent === 'no-channel'
        ? [AGENT_FINDINGS[agent](domain)]
        : [],
  },
  {
    // a run over many VMs takes those that are off too, and libvirt ignores the option for them
    id: 'quiesce-of-off-vm',
    hazards: [],
    severity: 'warning',
    modes: ['disk-only'],
    find: ({ domain, plan }) =>
      plan.spec.quiesce && !isActive(domain.state)
        ? [{ what: 'the VM is off, so there is no guest to freeze, and --quiesce has no effect' }]
        : [],
  },
  {
    // not `unsupported`: the agent may answer again tomorrow
    id: 'guest-agent',
    hazards: [],
    severity: 'error',
    modes: ['disk-only'],
    find: ({ domain, plan, agent }) =>
      plan.spec.quiesce && isActive(domain.state) && agent && agent !== 'answers' && agent !== 'no-channel'
        ? [AGENT_FINDINGS[agent](domain)]
        : [],
  },
  {
    id: 'saved-beneath',
    hazards: [11],
    severity: 'error',
    modes: ['disk-only'],
    // the managed save contains a definition of its own, which names the images below the new overlays
    find: ({ domain }) =>
      domain.managedSave
        ? [
            {
              what: "the VM's memory is in a managed save, and when the VM starts from it, it writes to the present images, below the overlays",
              hint: 'start the VM first (or discard its saved memory with virsh managedsave-remove)',
              command: `virsh start ${virshWord(domain)}`,
            },
          ]
        : [],
  },
];

const AGENT_FINDINGS: Readonly<Record<Exclude<Agent, 'answers'>, (domain: Domain) => Finding>> = {
  'no-channel': () => ({
    what: 'the VM has no channel for a guest agent, so its file systems cannot be frozen',
    hint: "add <channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel> to the devices in its XML, and install qemu-guest-agent in the guest",
  }),
  'not-connected': () => ({
    what: 'no guest agent is connected, so the guest file systems cannot be frozen',
    hint: 'install and start qemu-guest-agent in the guest, or leave out --quiesce',
  }),
  silent: () => ({
    what: 'the guest agent does not answer, so the guest file systems cannot be frozen',
    hint: 'restart qemu-guest-agent in the guest, or leave out --quiesce',
  }),
  // whoever froze them relies on it, and thawing them after our snapshot would end that freeze too
  frozen: (domain) => ({
    what: 'the guest file systems are already frozen, possibly by a backup',
    hint: 'wait until they are thawed; if nothing is going to thaw them any more, thaw them yourself',
    command: `virsh domfsthaw ${virshWord(domain)}`,
  }),
};
