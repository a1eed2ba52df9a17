// Boot sectors for VMs that need no operating system. The BIOS loads one at 0x7c00, in real mode.

/** Physical address of the 32-bit word through which a guest shows how far it is. */
export const MARK_ADDRESS = 0x600;

/** What `fill` leaves at MARK_ADDRESS when the memory is full. */
export const FILLED = 0xf111ed;

/** Adds 1 to the mark at each tick of the timer, 18.2 times a second, and sleeps in between. */
const COUNTER = [
  '6631c0', //        7c00         xor   eax, eax
  '8ed8', //          7c03         mov   ds, ax
  '66a30006', //      7c05         mov   [0x600], eax
  'fb', //            7c09         sti
  'f4', //            7c0a  again: hlt
  '66ff060006', //    7c0b         inc   dword [0x600]
  'ebf8', //          7c10         jmp   again
];

/** Sleeps for ever. */
const IDLE = [
  'fa', //            7c00         cli
  'f4', //            7c01  again: hlt
  'ebfd', //          7c02         jmp   again
];

/** Fills memory from 1 MiB upward with pseudorandom words, sets the mark to FILLED and sleeps for ever. */
const FILL_BEFORE_COUNT = [
  'fa', //            7c00         cli
  '6631c0', //        7c01         xor   eax, eax
  '8ed8', //          7c04         mov   ds, ax
  '66a30006', //      7c06         mov   [0x600], eax
  '0f0116687c', //    7c0a         lgdt  [gdtr]
  '0f20c0', //        7c0f         mov   eax, cr0
  '0c01', //          7c12         or    al, 1
  '0f22c0', //        7c14         mov   cr0, eax
  'ea1c7c0800', //    7c17         jmp   8:start32
  '66b81000', //      7c1c start32: mov  ax, 16
  '8ed8', //          7c20         mov   ds, ax
  '8ec0', //          7c22         mov   es, ax
  'b878563412', //    7c24         mov   eax, 0x12345678
  'bf00001000', //    7c29         mov   edi, 0x100000
  'b9', //            7c2e         mov   ecx, COUNT
];
const FILL_AFTER_COUNT = [
  '69c00d661900', //  7c33  next:  imul  eax, eax, 1664525
  '055ff36e3c', //    7c39         add   eax, 1013904223
  'ab', //            7c3e         stosd
  'e2f2', //          7c3f         loop  next
  'c70500060000ed11f100', // 7c41  mov   dword [0x600], 0xf111ed
  'f4', //            7c4b  again: hlt
  'ebfd', //          7c4c         jmp   again
  '6690', //          7c4e         nop
  '0000000000000000', // 7c50 gdt: null
  'ffff0000009acf00', // 7c58      8: code, all 4 GiB
  'ffff00000092cf00', // 7c60      16: data, all 4 GiB
  '1700507c0000', //  7c68  gdtr:  its size - 1, its address
];

/**
 * Half of a pair whose serial ports are connected: counts in the mark when a byte comes in, writes the mark to the second sector of its
 * disk, and only then sends a byte. So neither can write more than one number ahead of the other. 1 at READY_ADDRESS: it listens.
 */
const PAIR_BEGIN = [
  '31c0', //          7c00         xor   ax, ax
  '8ed88ec08ed0', //  7c02         mov   ds, ax; mov es, ax; mov ss, ax
  'bc007c', //        7c08         mov   sp, 0x7c00
  '6631f6', //        7c0b         xor   esi, esi
  '6689360006', //    7c0e         mov   [0x600], esi
  '66c7060406', //    7c13         mov   dword [0x604], 1
  '01000000',
];
const PAIR_LOOP = [
  'bafd03', //        7c1c  wait:  mov   dx, 0x3fd
  'ec', //            7c1f         in    al, dx
  'a801', //          7c20         test  al, 1
  '74f8', //          7c22         jz    wait
  'baf803', //        7c24         mov   dx, 0x3f8
  'ec', //            7c27         in    al, dx
  '6646', //          7c28  write: inc   esi
  '6689360006', //    7c2a         mov   [0x600], esi
  'bb0006', //        7c2f         mov   bx, 0x600
  'b80103', //        7c32         mov   ax, 0x0301
  'b90200', //        7c35         mov   cx, 2
  'ba8000', //        7c38         mov   dx, 0x80
  'cd13', //          7c3b         int   0x13
  'baf803', //        7c3d         mov   dx, 0x3f8
  'b054', //          7c40         mov   al, 'T'
  'ee', //            7c42         out   dx, al
  'ebd7', //          7c43         jmp   wait
];
/** Writes first, before it waits for a byte. */
const PAIR_FIRST = ['eb0c']; // 7c1c   jmp   write

/** Physical address of the word that is 1 when half of a pair listens. */
export const READY_ADDRESS = 0x604;

function sector(...code: readonly string[]): Buffer {
  const bytes = Buffer.alloc(512);
  bytes.write(code.join(''), 'hex');
  bytes.writeUInt16LE(0xaa55, 510);
  return bytes;
}

/** What a VM of the lab runs: `fill` needs a few MiB of memory more than it fills. */
export type Boot = 'counter' | 'idle' | 'first of a pair' | 'second of a pair' | { readonly fill: number };

/** The 512 bytes that do it. */
export function bootSector(boot: Boot): Buffer {
  if (boot === 'counter') return sector(...COUNTER);
  if (boot === 'idle') return sector(...IDLE);
  if (boot === 'first of a pair') return sector(...PAIR_BEGIN, ...PAIR_FIRST, ...PAIR_LOOP);
  if (boot === 'second of a pair') return sector(...PAIR_BEGIN, ...PAIR_LOOP);
  const count = Buffer.alloc(4);
  count.writeUInt32LE(boot.fill * 262_144);
  return sector(...FILL_BEFORE_COUNT, count.toString('hex'), ...FILL_AFTER_COUNT);
}
