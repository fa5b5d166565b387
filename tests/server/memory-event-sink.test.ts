/** The model of an EventSink passes the contract that it is a model of. Rules: M1, M3. */
import { eventSinkContract } from "../contracts/event-sink-contract.ts";
import { keyOf, MemoryEventSink } from "./memory-event-sink.ts";

eventSinkContract("memory", async () => {
  const sink = new MemoryEventSink();
  return {
    sink,
    rows: async (log) =>
      sink.rows.filter((row) => row.log === keyOf(log)).map(({ log: _, ...row }) => row),
    drop: () => sink.close(),
  };
});
