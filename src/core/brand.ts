/** A string or number that has passed a rule; only that rule's `parse*` function makes one. */
declare const brand: unique symbol;

export type Brand<Value, Name extends string> = Value & { readonly [brand]: Name };
