"""What a PromQL query reads."""

import promql_parser


def metrics_in(query: str) -> set[str]:
    """Return the names of the metrics that a query reads."""
    found = set()

    def visit(node: promql_parser.Expr) -> None:
        match node:
            case promql_parser.VectorSelector():
                found.add(node.name)
            case promql_parser.MatrixSelector():
                found.add(node.vector_selector.name)

    promql_parser.walk(promql_parser.parse(query), visit)
    return {name for name in found if name}
