import type { AnyCommand } from '../command-line/commander.ts';
import { jsonSchemas } from '../output/schemas.ts';
import type { Context } from '../run/context.ts';
import type { ManualOptions } from './command.ts';
import { manPage, manualTables } from './man-page.ts';

/** `manual`: prints the man page, or as JSON the manual's tables or the documents' schemas. For the build and the tests. */
export async function manual(
  ctx: Pick<Context, 'terminal'>,
  program: AnyCommand,
  { tables, schemas }: ManualOptions,
): Promise<void> {
  const json = (value: object) => `${JSON.stringify(value, null, 2)}\n`;
  if (schemas) ctx.terminal.print(json(jsonSchemas()));
  else ctx.terminal.print(tables ? json(manualTables(program)) : manPage(program));
}
