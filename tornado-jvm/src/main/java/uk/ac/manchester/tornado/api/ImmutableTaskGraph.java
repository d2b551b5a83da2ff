package uk.ac.manchester.tornado.api;

import dev.gyre.tornadojvm.Graph;

/// A frozen task graph.
public class ImmutableTaskGraph {
    private final Graph graph;

    ImmutableTaskGraph(Graph graph) {
        this.graph = graph;
    }

    Graph graph() {
        return graph;
    }
}
