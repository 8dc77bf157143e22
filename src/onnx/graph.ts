// What a graph's names are used for.

import type { GraphProto, ModelProto, NodeProto, TensorProto } from './schema.js';

/** The version of ONNX's own operators that a model is written in. */
export function opsetOf({ opsetImport }: ModelProto): number {
  const own = opsetImport.find(({ domain }) => domain === '' || domain === 'ai.onnx');
  return Number(own?.version ?? 1n);
}

/** The graphs inside a node: bodies of loops and branches, which see the names of the graph around them. */
export function innerGraphs(node: NodeProto): GraphProto[] {
  return node.attribute.flatMap(({ g, graphs }) => (g ? [g, ...graphs] : graphs));
}

/** A graph and all graphs inside its nodes. */
export function allGraphs(graph: GraphProto): GraphProto[] {
  return [graph, ...graph.node.flatMap(innerGraphs).flatMap(allGraphs)];
}

/** All tensors: initializers and those in attributes (of Constant, say). */
export function allTensors(graph: GraphProto): TensorProto[] {
  return allGraphs(graph).flatMap(({ initializer, node }) => [
    ...initializer,
    ...node.flatMap(({ attribute }) => attribute.flatMap(({ t }) => (t ? [t] : []))),
  ]);
}

/** How often each name is read, by nodes at any depth or as an output. */
export function countUses(graph: GraphProto): Map<string, number> {
  const uses = new Map<string, number>();
  for (const { node, output } of allGraphs(graph)) {
    for (const name of [...node.flatMap(({ input }) => input), ...output.map((value) => value.name)])
      uses.set(name, (uses.get(name) ?? 0) + 1);
  }
  return uses;
}

/** Makes names that nothing in a graph has. */
export class FreshNames {
  readonly #taken: Set<string>;

  constructor(graph: GraphProto) {
    this.#taken = new Set(
      allGraphs(graph).flatMap(({ node, input, initializer }) => [
        ...node.flatMap(({ name, output }) => [name, ...output]),
        ...[...input, ...initializer].map(({ name }) => name),
      ]),
    );
  }

  /** `wanted`, or with a number behind it. */
  make(wanted: string): string {
    let name = wanted;
    for (let number = 2; this.#taken.has(name); number++) name = `${wanted}_${number}`;
    this.#taken.add(name);
    return name;
  }
}
