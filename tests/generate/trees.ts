/** Arbitraries: nodes and small valid trees. */
import fc from "fast-check";
import { sha256 } from "../../src/core/digest.ts";
import { type NodeId, parseId, ROOT_ID } from "../../src/core/identifier.ts";
import type { Content, NodeState } from "../../src/core/node.ts";
import { legalName } from "./names.ts";

/** The n-th node id: readable in failures. */
export function nodeId(number: number): NodeId {
  return parseId<NodeId>(number.toString(16).padStart(32, "0"));
}

/** A file of these bytes, one chunk. */
export function fileOf(text: string): Content {
  const digest = sha256(text);
  return {
    kind: "file",
    manifest: digest,
    depth: 0,
    sha256: digest,
    size: new TextEncoder().encode(text).length,
    executable: false,
    mtimeNs: "1700000000123456789",
  };
}

export function nodeContent(): fc.Arbitrary<Content> {
  return fc.oneof(
    fc.constant<Content>({ kind: "directory" }),
    fc.constantFrom("", "one", "two", "three").map(fileOf),
    fc.constantFrom("a", "../b", "/etc/passwd").map(
      (target): Content => ({
        kind: "symlink",
        target,
      }),
    ),
  );
}

/**
 * A valid tree, parents before children: one name once a directory, only directories have children.
 */
export function smallTree(nodesMax = 12): fc.Arbitrary<readonly NodeState[]> {
  const draft = fc.record({ parent: fc.nat(), name: legalName(), content: nodeContent() });
  return fc.array(draft, { maxLength: nodesMax }).map((drafts) => {
    const nodes: NodeState[] = [];
    const directories: NodeId[] = [ROOT_ID];
    for (const { parent: chosen, name, content } of drafts) {
      const parent = directories[chosen % directories.length] ?? ROOT_ID;
      if (nodes.some((node) => node.parent === parent && node.name === name)) continue;
      const node: NodeState = { id: nodeId(nodes.length + 1), parent, name, content };
      nodes.push(node);
      if (content.kind === "directory") directories.push(node.id);
    }
    return nodes;
  });
}
