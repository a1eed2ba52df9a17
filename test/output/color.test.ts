import { describe, expect, test } from 'vitest';
import { createPaint } from '../../src/output/color.ts';

/** The red, green and blue of the 216 colors from 16 on (xterm). */
function rgbOf(index: number): number[] {
  const levels = [0, 95, 135, 175, 215, 255];
  const place = index - 16;
  return [Math.floor(place / 36), Math.floor(place / 6) % 6, place % 6].map((n) => levels[n] ?? 0);
}

/** Relative luminance by WCAG 2. */
function luminance(rgb: readonly number[]): number {
  const [red = 0, green = 0, blue = 0] = rgb.map((value) => {
    const part = value / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

const contrast = (one: number, other: number): number =>
  (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);

describe('colors can be read on white and on black', () => {
  test.each(['good', 'warn', 'bad'] as const)('%s, with 256 colors', (tone) => {
    // biome-ignore lint/suspicious/noControlCharactersInRegex: it is what colors are made of
    const [, index] = /\x1b\[38;5;(\d+)m/.exec(createPaint(2)(tone, 'x')) ?? [];
    const light = luminance(rgbOf(Number(index)));
    expect(contrast(light, luminance([255, 255, 255]))).toBeGreaterThan(4);
    expect(contrast(light, luminance([0, 0, 0]))).toBeGreaterThan(4);
  });

  test('with sixteen: no yellow, green, cyan or blue', () => {
    const tones = ['plain', 'strong', 'faint', 'good', 'warn', 'bad'] as const;
    expect(tones.map((tone) => createPaint(1)(tone, 'x')).join('')).not.toMatch(/\[(3[2346]|9\d)m/);
  });
});
