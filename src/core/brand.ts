/** A string or number that a `parse*` function has checked. Only that function can make one. */
declare const brand: unique symbol;

export type Brand<Value, Name extends string> = Value & { readonly [brand]: Name };
