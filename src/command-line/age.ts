import { ageSeconds, parseSpan, saysMonthsByM } from '../model/input/span.ts';
import { unfit } from './values.ts';

/** Ages as values of options, in a file of their own because every run loads the other values. */

/** An age as it was typed, and in seconds. */
export interface Age {
  readonly seconds: number;
  readonly says: string;
}

/** `90min`, `26h`, `8d`, `6mo`: how old something may be. */
export function parseAge(text: string): Age {
  const span = parseSpan(text);
  if (span === null) throw unfit('expected a time span', 'write for example 90min, 26h, 8d, 2w or 6mo');
  if (saysMonthsByM(text))
    throw unfit("'m' may mean minutes or months", 'write min or mo, such as 90min or 6mo');
  return { seconds: ageSeconds(span), says: text };
}
