import fc from 'fast-check';

/** One character of any plane but NUL, which no argument and no text of libvirt holds. Cheaper than fast-check's `binary`. */
export const anyCharacter: fc.Arbitrary<string> = fc
  .oneof(fc.integer({ min: 1, max: 0xd7ff }), fc.integer({ min: 0xe000, max: 0x10ffff }))
  .map((codePoint) => String.fromCodePoint(codePoint));

/** Whatever a name can hold that may end up in an argument, with what shells and virsh heed in it often. */
export const anyName: fc.Arbitrary<string> = fc.string({
  unit: fc.oneof(fc.constantFrom(...'\'"\\;#$`&|<>(){}[]*?!~=,%@/-. \t\n0a快é'), anyCharacter),
  maxLength: 24,
});
