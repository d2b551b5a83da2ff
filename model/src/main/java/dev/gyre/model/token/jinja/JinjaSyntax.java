package dev.gyre.model.token.jinja;

import java.util.List;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/// A chat template as a tree, made by [JinjaParser].
public final class JinjaSyntax {
    private JinjaSyntax() {
    }

    /// A template that cannot be read, or cannot be rendered.
    public static final class Failure extends RuntimeException {
        private static final long serialVersionUID = 1;

        Failure(int line, String problem) {
            super("line " + line + ": " + problem);
        }
    }

    /// What is wrong in an expression, before its line is known; the expression's line is added where it is evaluated.
    static final class Problem extends RuntimeException {
        private static final long serialVersionUID = 1;

        Problem(String problem) {
            super(problem, null, false, false);
        }
    }

    public sealed interface Node {
    }

    record Text(String text) implements Node {
    }

    record Output(Expr value) implements Node {
    }

    /// `if` and `elif` branches in order; `otherwise` for none of them.
    record If(List<Expr> tests, List<List<Node>> bodies, List<Node> otherwise) implements Node {
    }

    record For(int line, Target target, Expr items, @Nullable Expr condition, boolean recursive, List<Node> body,
            List<Node> otherwise) implements Node {
    }

    record Assign(int line, Target target, Expr value) implements Node {
    }

    /// `set a`...`endset`; `filter` is applied to the [Body] if there is one.
    record Capture(int line, Target target, @Nullable Expr filter, List<Node> body) implements Node {
    }

    record Macro(int line, Signature signature, List<Node> body) implements Node {
    }

    /// `call f(..)`: `body` is the `caller` that `f` receives.
    record CallBlock(int line, Call call, Signature signature, List<Node> body) implements Node {
    }

    record FilterBlock(int line, Expr filter, List<Node> body) implements Node {
    }

    record With(int line, List<Target> targets, List<Expr> values, List<Node> body) implements Node {
    }

    record Block(int line, String name, boolean scoped, List<Node> body) implements Node {
    }

    /// transformers' mark around what the assistant says.
    record Generation(int line, List<Node> body) implements Node {
    }

    record Break() implements Node {
    }

    record Continue() implements Node {
    }

    /// Parameters of a macro or of a call block; `special` holds those of `caller`, `varargs` and `kwargs` that the body
    /// reads.
    record Signature(String name, List<String> parameters, List<@Nullable Expr> defaults, Set<String> special) {
    }

    /// Where a value is put.
    sealed interface Target {
    }

    record NameTarget(String name) implements Target {
    }

    /// `ns.attribute`
    record FieldTarget(String name, String attribute) implements Target {
    }

    record TupleTarget(List<Target> parts) implements Target {
    }

    sealed interface Expr {
        int line();
    }

    record Const(int line, @Nullable Object value) implements Expr {
    }

    record Name(int line, String name) implements Expr {
    }

    record ListOf(int line, List<Expr> items) implements Expr {
    }

    record TupleOf(int line, List<Expr> items) implements Expr {
    }

    record DictOf(int line, List<Expr> keys, List<Expr> values) implements Expr {
    }

    record Attribute(int line, Expr of, String name) implements Expr {
    }

    record Index(int line, Expr of, Expr index) implements Expr {
    }

    record Slice(int line, Expr of, @Nullable Expr from, @Nullable Expr to, @Nullable Expr step) implements Expr {
    }

    /// `f(a, b=c, *d, **e)`
    record Arguments(List<Expr> positional, List<String> names, List<Expr> named, @Nullable Expr more,
            @Nullable Expr moreNamed) {
    }

    record Call(int line, Expr function, Arguments arguments) implements Expr {
    }

    /// The text of the block that a filter is applied to.
    record Body(int line) implements Expr {
    }

    record Filter(int line, String name, Expr of, Arguments arguments) implements Expr {
    }

    record Test(int line, String name, Expr of, Arguments arguments) implements Expr {
    }

    record Not(int line, Expr of) implements Expr {
    }

    record Sign(int line, boolean negative, Expr of) implements Expr {
    }

    /// `and`, `or`, `+`, `-`, `*`, `/`, `//`, `%`, `**`.
    record Binary(int line, String operator, Expr left, Expr right) implements Expr {
    }

    /// `a ~ b ~ c`
    record Concat(int line, List<Expr> parts) implements Expr {
    }

    /// `a < b <= c`: every neighbour pair must hold.
    record Compare(int line, Expr first, List<String> operators, List<Expr> others) implements Expr {
    }

    record Conditional(int line, Expr test, Expr then, @Nullable Expr otherwise) implements Expr {
    }
}
