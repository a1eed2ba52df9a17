import { Ajv2020 } from 'ajv/dist/2020.js';

/** What is wrong with a document by its JSON Schema, as a script's author would check it; empty when nothing is. */
export function schemaProblems(schema: object, document: unknown): string[] {
  // the schema's own pattern says of a time what its format says
  const validate = new Ajv2020({ allErrors: true, validateFormats: false }).compile(schema);
  validate(document);
  return (validate.errors ?? []).map(({ instancePath, message }) => `${instancePath} ${message}`);
}
