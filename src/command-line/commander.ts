import type * as typed from '@commander-js/extra-typings';
import * as commander from 'commander';

/**
 * commander with the types of extra-typings: what an action is given is inferred from the flags and parsers of its
 * command. Of that package nothing but the types is used.
 */
export const { Argument, Command, CommanderError, InvalidArgumentError, Option } =
  commander as unknown as typeof typed;

/** Any command, for what only reads it: help, man page, completion. */
export type AnyCommand = typed.CommandUnknownOpts;

/** A command in the making: what has been added to it so far. */
export type CommandOf<Args extends unknown[], Values extends typed.OptionValues> = typed.Command<
  Args,
  Values
>;

/** The values of a command's options, as its action gets them; each may be absent. */
export type OptionsOf<C> = C extends { opts(): infer Values }
  ? { readonly [Key in keyof Values]?: Flag<Values[Key]> | undefined }
  : never;

/** An option without a value is true or absent; no one who calls an action himself has to know. */
type Flag<Value> = [Exclude<Value, undefined>] extends [boolean] ? boolean : Value;

export type { Help, OptionValues } from '@commander-js/extra-typings';
