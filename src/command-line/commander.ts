import type * as typed from '@commander-js/extra-typings';
import * as commander from 'commander';

/**
 * commander with the types of extra-typings, which infer the parameters of an action from the flags and parsers of its
 * command. Only the types of that package are used.
 */
export const { Argument, Command, CommanderError, InvalidArgumentError, Option } =
  commander as unknown as typeof typed;

/** Any command, for code that only reads it: help, man page, completion. */
export type AnyCommand = typed.CommandUnknownOpts;

/** A command under construction, with the options that were added so far. */
export type CommandOf<Args extends unknown[], Values extends typed.OptionValues> = typed.Command<
  Args,
  Values
>;

/** The values of a command's options, as its action receives them; each may be absent. */
export type OptionsOf<C> = C extends { opts(): infer Values }
  ? { readonly [Key in keyof Values]?: Flag<Values[Key]> | undefined }
  : never;

/** An option without a value is true or absent; code that calls an action directly may also pass false. */
type Flag<Value> = [Exclude<Value, undefined>] extends [boolean] ? boolean : Value;

export type { Help, OptionValues } from '@commander-js/extra-typings';
