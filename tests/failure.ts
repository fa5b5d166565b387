/**
 * How a promise fails. In place of Bun's `expect(promise).rejects`, which runs the event loop
 * inside itself until the promise settles: whatever waits for an outer turn of the loop meanwhile,
 * the promise's own work too, may then wait for ever.
 */

/** @throws {Error} if it does not fail */
export async function failureOf(promise: Promise<unknown>): Promise<unknown> {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw new Error("It did not fail");
}
