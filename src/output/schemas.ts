import * as z from 'zod/mini';
import { DOCUMENTS } from './contract.ts';

/**
 * The contract as JSON Schema (draft 2020-12), by the name of the document. Members that a later version adds are
 * valid, as the contract says.
 */
export function jsonSchemas(): Record<string, object> {
  return Object.fromEntries(
    Object.entries(DOCUMENTS).map(([name, schema]) => [
      name,
      {
        title: `kvmsnap ${name}`,
        ...z.toJSONSchema(schema, {
          override: ({ jsonSchema }) => {
            delete jsonSchema.additionalProperties;
          },
        }),
      },
    ]),
  );
}
