package dev.gyre.model.token.jinja;

import dev.gyre.model.token.jinja.JinjaLexer.Kind;
import dev.gyre.model.token.jinja.JinjaLexer.Token;
import dev.gyre.model.token.jinja.JinjaSyntax.Arguments;
import dev.gyre.model.token.jinja.JinjaSyntax.Call;
import dev.gyre.model.token.jinja.JinjaSyntax.Expr;
import dev.gyre.model.token.jinja.JinjaSyntax.Failure;
import dev.gyre.model.token.jinja.JinjaSyntax.Node;
import dev.gyre.model.token.jinja.JinjaSyntax.Signature;
import dev.gyre.model.token.jinja.JinjaSyntax.Target;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.HashSet;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/// Reads a template by Jinja's grammar, with the loopcontrols extension and transformers' `generation` tag.
public final class JinjaParser {
    /// Expressions inside each other, brackets and statements inside each other.
    private static final int DEPTH = 250;
    private static final int NESTED = 80;
    private static final Set<String> COMPARISONS = Set.of("==", "!=", "<", "<=", ">", ">=");
    private static final Set<String> SPECIAL = Set.of("caller", "varargs", "kwargs");
    private static final Set<String> TEMPLATES = Set.of("include", "import", "from", "extends");

    /// What a macro's body reads and sets of the names that Jinja gives it.
    private record Specials(Set<String> open, Set<String> read) {
    }

    private final List<Token> tokens;
    private int next;
    private int nested;
    private final Map<Expr, Integer> depths = new IdentityHashMap<>();
    private final Deque<Specials> macros = new ArrayDeque<>();
    private final Set<String> blocks = new HashSet<>();
    /// Loops that `break` and `continue` can end here, and all loops around.
    private int breakable;
    private int loops;
    /// Inside `if`, filters and tests are looked up when they are needed.
    private boolean soft;
    /// Filters and tests that do not exist, in the tag being read.
    private final List<Failure> unknown = new ArrayList<>();

    private JinjaParser(List<Token> tokens) {
        this.tokens = tokens;
    }

    public static List<Node> parse(String source) {
        var parser = new JinjaParser(JinjaLexer.read(source));
        List<Node> body = new ArrayList<>();
        parser.body(body, Set.of());
        return body;
    }

    private Token peek() {
        return tokens.get(next);
    }

    private Token ahead() {
        return tokens.get(Math.min(next + 1, tokens.size() - 1));
    }

    private Token take() {
        Token t = tokens.get(next);
        if (t.kind() != Kind.END)
            next++;
        return t;
    }

    private boolean accept(String operator) {
        boolean is = peek().operator(operator);
        if (is)
            next++;
        return is;
    }

    private boolean acceptName(String name) {
        boolean is = peek().name(name);
        if (is)
            next++;
        return is;
    }

    private void expect(String operator) {
        if (!accept(operator))
            throw new Failure(peek().line(), "'" + operator + "' is expected, not " + peek().shown());
    }

    private void expectName(String name) {
        if (!acceptName(name))
            throw new Failure(peek().line(), "'" + name + "' is expected, not " + peek().shown());
    }

    private void finish(Kind end) {
        if (peek().kind() != end)
            throw new Failure(peek().line(), "unexpected " + peek().shown());
        if (!unknown.isEmpty())
            throw unknown.getFirst();
        next++;
    }

    private String name() {
        Token t = take();
        if (t.kind() != Kind.NAME)
            throw new Failure(t.line(), "a name is expected, not " + t.shown());
        return t.text();
    }

    /// Parses up to a tag whose first word is in `ends`, which is taken and returned; "" at the end of the template.
    private String body(List<Node> into, Set<String> ends) {
        if (++nested > NESTED)
            throw new Failure(peek().line(), "more than " + NESTED + " blocks inside each other");
        while (true) {
            Token t = take();
            switch (t.kind()) {
                case DATA -> into.add(new JinjaSyntax.Text(t.text()));
                case VARIABLE_BEGIN -> {
                    into.add(new JinjaSyntax.Output(tuple(Kind.VARIABLE_END)));
                    finish(Kind.VARIABLE_END);
                }
                case BLOCK_BEGIN -> {
                    Token word = take();
                    if (word.kind() != Kind.NAME)
                        throw new Failure(word.line(), "the name of a tag is expected, not " + word.shown());
                    if (ends.contains(word.text())) {
                        nested--;
                        return word.text();
                    }
                    into.add(statement(word, ends));
                    finish(Kind.BLOCK_END);
                }
                default -> {
                    if (!ends.isEmpty())
                        throw new Failure(t.line(), "the template ends where one of " + new TreeSet<>(ends)
                                + " is expected");
                    return "";
                }
            }
        }
    }

    /// The end of the opening tag, and the statements up to one of `ends`.
    private String statements(List<Node> into, String... ends) {
        accept(":");
        finish(Kind.BLOCK_END);
        return body(into, Set.of(ends));
    }

    /// Statements that are a scope of their own, where filters and tests must exist.
    private <T> T scope(Supplier<T> part) {
        boolean before = soft;
        soft = false;
        T result = part.get();
        soft = before;
        return result;
    }

    /// Statements that no `break` leaves.
    private List<Node> closed(String end) {
        int before = breakable;
        breakable = 0;
        List<Node> body = inner(end);
        breakable = before;
        return body;
    }

    private List<Node> inner(String end) {
        return scope(() -> {
            List<Node> body = new ArrayList<>();
            statements(body, end);
            return body;
        });
    }

    private Node statement(Token word, Set<String> ends) {
        int line = word.line();
        return switch (word.text()) {
            case "if" -> branches();
            case "for" -> loop(line);
            case "set" -> assignment(line);
            case "macro" -> macro(line);
            case "call" -> call(line);
            case "filter" -> {
                Expr filter = filter(new JinjaSyntax.Body(line), true);
                yield new JinjaSyntax.FilterBlock(line, filter, inner("endfilter"));
            }
            case "with" -> with(line);
            case "block" -> block(line);
            case "print" -> print(line);
            case "generation" -> new JinjaSyntax.Generation(line, closed("endgeneration"));
            case "break", "continue" -> {
                if (breakable == 0)
                    throw new Failure(line, "'" + word.text() + "' is in no loop");
                yield word.text().equals("break") ? new JinjaSyntax.Break() : new JinjaSyntax.Continue();
            }
            case "else", "elif", "endif", "endfor", "endset", "endmacro", "endcall", "endfilter", "endwith",
                    "endblock", "endgeneration" -> throw new Failure(line, "'" + word.text() + "' has no beginning"
                            + (ends.isEmpty() ? "" : "; one of " + new TreeSet<>(ends) + " is expected"));
            default -> throw new Failure(line, "the tag '" + word.text() + "' is not supported"
                    + (TEMPLATES.contains(word.text()) ? ": a chat template is one file" : ""));
        };
    }

    private Node branches() {
        List<Expr> tests = new ArrayList<>();
        List<List<Node>> bodies = new ArrayList<>();
        List<Node> otherwise = new ArrayList<>();
        boolean before = soft;
        soft = true;
        String end;
        do {
            tests.add(tuple(Kind.BLOCK_END, false));
            List<Node> body = new ArrayList<>();
            end = statements(body, "elif", "else", "endif");
            bodies.add(body);
        } while (end.equals("elif"));
        if (end.equals("else"))
            statements(otherwise, "endif");
        soft = before;
        return new JinjaSyntax.If(tests, bodies, otherwise);
    }

    private Node loop(int line) {
        loops++;
        Target target = target(false);
        expectName("in");
        Expr items = tuple(Kind.BLOCK_END, false);
        return scope(() -> {
            Expr condition = acceptName("if") ? expression() : null;
            boolean recursive = acceptName("recursive");
            List<Node> body = new ArrayList<>();
            List<Node> otherwise = new ArrayList<>();
            breakable++;
            String end = statements(body, "else", "endfor");
            breakable--;
            int before = breakable;
            if (recursive)
                breakable = 0;
            if (end.equals("else"))
                statements(otherwise, "endfor");
            breakable = before;
            loops--;
            return new JinjaSyntax.For(line, target, items, condition, recursive, body, otherwise);
        });
    }

    private Node assignment(int line) {
        Target target = target(true);
        if (accept("="))
            return new JinjaSyntax.Assign(line, target, tuple(Kind.BLOCK_END));
        Expr filter = peek().operator("|") ? filter(new JinjaSyntax.Body(line), false) : null;
        return new JinjaSyntax.Capture(line, target, filter, inner("endset"));
    }

    private Node with(int line) {
        List<Target> targets = new ArrayList<>();
        List<Expr> values = new ArrayList<>();
        return scope(() -> {
            while (peek().kind() != Kind.BLOCK_END) {
                if (!targets.isEmpty())
                    expect(",");
                targets.add(target(false));
                expect("=");
                values.add(expression());
            }
            return new JinjaSyntax.With(line, targets, values, inner("endwith"));
        });
    }

    private Node block(int line) {
        String name = name();
        if (!blocks.add(name))
            throw new Failure(line, "the block '" + name + "' is there twice");
        boolean scoped = acceptName("scoped");
        if (peek().name("required"))
            throw new Failure(line, "'required' blocks are not supported: a chat template is one file");
        List<Node> body = closed("endblock");
        acceptName(name);
        return new JinjaSyntax.Block(line, name, scoped, body);
    }

    private Node print(int line) {
        List<Expr> values = new ArrayList<>();
        while (peek().kind() != Kind.BLOCK_END) {
            if (!values.isEmpty())
                expect(",");
            values.add(expression());
        }
        return new JinjaSyntax.Output(deep(new JinjaSyntax.Concat(line, values), values));
    }

    private Node macro(int line) {
        String name = name();
        stored(line, name);
        var specials = new Specials(new HashSet<>(SPECIAL), new HashSet<>());
        Signature s = scope(() -> signature(line, name, specials));
        return new JinjaSyntax.Macro(line, s, macroBody("endmacro", s, specials));
    }

    private Node call(int line) {
        var specials = new Specials(new HashSet<>(SPECIAL), new HashSet<>());
        Signature s = scope(() -> peek().operator("(") ? signature(line, "caller", specials)
                : new Signature("caller", List.of(), List.of(), specials.read));
        if (!(expression() instanceof Call c))
            throw new Failure(line, "'call' needs a call of a macro");
        return new JinjaSyntax.CallBlock(line, c, s, macroBody("endcall", s, specials));
    }

    private List<Node> macroBody(String end, Signature s, Specials specials) {
        macros.push(specials);
        List<Node> body = closed(end);
        macros.pop();
        int caller = s.parameters().indexOf("caller");
        if (caller >= 0 && specials.read.contains("caller") && s.defaults().get(caller) == null)
            throw new Failure(peek().line(), "a parameter named 'caller' needs a default");
        specials.read.removeAll(s.parameters());
        return body;
    }

    private Signature signature(int line, String name, Specials specials) {
        List<String> parameters = new ArrayList<>();
        List<@Nullable Expr> defaults = new ArrayList<>();
        boolean optional = false;
        expect("(");
        while (!accept(")")) {
            if (!parameters.isEmpty())
                expect(",");
            String p = name();
            if (parameters.contains(p))
                throw new Failure(line, "the parameter '" + p + "' is there twice");
            parameters.add(p);
            Expr value = accept("=") ? expression() : null;
            if (value == null && optional)
                throw new Failure(line, "the parameter '" + p + "' needs a default, as those before it have one");
            optional |= value != null;
            defaults.add(value);
        }
        return new Signature(name, parameters, defaults, specials.read);
    }

    private void stored(int line, String name) {
        if (loops > 0 && name.equals("loop"))
            throw new Failure(line, "'loop' cannot be set in a loop");
        if (Set.of("true", "false", "none", "True", "False", "None").contains(name))
            throw new Failure(line, "'" + name + "' cannot be set");
        for (Specials s : macros)
            s.open.remove(name);
    }

    /// `a`, `a, b`, `(a, (b, c))`, and `a.b` where `fields` are allowed.
    private Target target(boolean fields) {
        List<Target> parts = new ArrayList<>();
        boolean tuple = false;
        while (parts.isEmpty() || accept(",")) {
            tuple |= !parts.isEmpty();
            if (!parts.isEmpty() && peek().kind() != Kind.NAME && !peek().operator("("))
                break;
            if (!parts.isEmpty() && peek().name("in"))
                break;
            parts.add(part(fields));
        }
        return tuple ? new JinjaSyntax.TupleTarget(parts) : parts.getFirst();
    }

    private Target part(boolean fields) {
        if (accept("(")) {
            if (++nested > NESTED)
                throw new Failure(peek().line(), "more than " + NESTED + " brackets inside each other");
            // in brackets Jinja reads an expression, which no attribute can be set in
            Target t = target(false);
            expect(")");
            nested--;
            return t;
        }
        int line = peek().line();
        String name = name();
        if (fields && accept("."))
            return new JinjaSyntax.FieldTarget(name, name());
        stored(line, name);
        return new JinjaSyntax.NameTarget(name);
    }

    private <E extends Expr> E deep(E e, List<? extends Expr> parts) {
        int depth = 0;
        for (Expr p : parts)
            depth = Math.max(depth, depths.getOrDefault(p, 0));
        if (depth >= DEPTH)
            throw new Failure(e.line(), "more than " + DEPTH + " expressions inside each other");
        depths.put(e, depth + 1);
        return e;
    }

    private <E extends Expr> E deep(E e, @Nullable Expr... parts) {
        List<Expr> all = new ArrayList<>();
        for (Expr p : parts)
            if (p != null)
                all.add(p);
        return deep(e, all);
    }

    private <E extends Expr> E deep(E e, Expr of, Arguments a) {
        List<Expr> all = new ArrayList<>(a.positional());
        all.add(of);
        all.addAll(a.named());
        if (a.more() != null)
            all.add(a.more());
        if (a.moreNamed() != null)
            all.add(a.moreNamed());
        return deep(e, all);
    }

    private Expr tuple(@Nullable Kind end) {
        return tuple(end, true);
    }

    /// An expression, or several with commas between them, which are a tuple.
    private Expr tuple(@Nullable Kind end, boolean conditional) {
        int line = peek().line();
        List<Expr> items = new ArrayList<>();
        boolean comma = false;
        do {
            comma = !items.isEmpty();
            if (comma && (peek().kind() == end || peek().operator(")") || peek().name("recursive")))
                break;
            items.add(conditional ? expression() : or());
        } while (accept(","));
        return comma || items.size() > 1 ? deep(new JinjaSyntax.TupleOf(line, items), items) : items.getFirst();
    }

    private Expr expression() {
        if (++nested > NESTED)
            throw new Failure(peek().line(), "more than " + NESTED + " brackets inside each other");
        int line = peek().line();
        int known = unknown.size();
        Expr value = or();
        boolean before = soft;
        if (peek().name("if")) {
            // the filters of a conditional expression are looked up when they are needed, those before 'if' included
            unknown.subList(known, unknown.size()).clear();
            soft = true;
        }
        value = conditional(line, value);
        soft = before;
        nested--;
        return value;
    }

    private Expr conditional(int line, Expr first) {
        Expr value = first;
        while (acceptName("if")) {
            Expr test = or();
            Expr otherwise = acceptName("else") ? expression() : null;
            value = deep(new JinjaSyntax.Conditional(line, test, value, otherwise), test, value, otherwise);
        }
        return value;
    }

    private Expr or() {
        Expr left = and();
        while (peek().name("or")) {
            int line = take().line();
            left = binary(line, "or", left, and());
        }
        return left;
    }

    private Expr binary(int line, String operator, Expr left, Expr right) {
        return deep(new JinjaSyntax.Binary(line, operator, left, right), left, right);
    }

    private Expr and() {
        Expr left = not();
        while (peek().name("and")) {
            int line = take().line();
            left = binary(line, "and", left, not());
        }
        return left;
    }

    private Expr not() {
        int line = peek().line();
        if (!acceptName("not"))
            return comparison();
        if (++nested > NESTED)
            throw new Failure(line, "more than " + NESTED + " 'not' behind each other");
        Expr of = not();
        nested--;
        return deep(new JinjaSyntax.Not(line, of), of);
    }

    private Expr comparison() {
        int line = peek().line();
        Expr first = sum();
        List<String> operators = new ArrayList<>();
        List<Expr> all = new ArrayList<>(List.of(first));
        while (true) {
            if (peek().kind() == Kind.OPERATOR && COMPARISONS.contains(peek().text())) {
                operators.add(take().text());
            } else if (acceptName("in")) {
                operators.add("in");
            } else if (peek().name("not") && ahead().name("in")) {
                next += 2;
                operators.add("not in");
            } else {
                return operators.isEmpty() ? first
                        : deep(new JinjaSyntax.Compare(line, first, operators, all.subList(1, all.size())), all);
            }
            all.add(sum());
        }
    }

    private Expr sum() {
        Expr left = concatenation();
        while (peek().operator("+") || peek().operator("-")) {
            Token op = take();
            left = binary(op.line(), op.text(), left, concatenation());
        }
        return left;
    }

    private Expr concatenation() {
        int line = peek().line();
        List<Expr> parts = new ArrayList<>(List.of(product()));
        while (accept("~"))
            parts.add(product());
        return parts.size() == 1 ? parts.getFirst() : deep(new JinjaSyntax.Concat(line, parts), parts);
    }

    private Expr product() {
        Expr left = power();
        while (peek().operator("*") || peek().operator("/") || peek().operator("//") || peek().operator("%")) {
            Token op = take();
            left = binary(op.line(), op.text(), left, power());
        }
        return left;
    }

    private Expr power() {
        Expr left = unary(true);
        while (peek().operator("**")) {
            int line = take().line();
            left = binary(line, "**", left, unary(true));
        }
        return left;
    }

    /// A sign binds tighter than `**` and filters, other than in Python.
    private Expr unary(boolean filters) {
        Token t = peek();
        Expr e;
        if (t.operator("-") || t.operator("+")) {
            if (++nested > NESTED)
                throw new Failure(t.line(), "more than " + NESTED + " signs behind each other");
            next++;
            Expr of = unary(false);
            nested--;
            e = deep(new JinjaSyntax.Sign(t.line(), t.text().equals("-"), of), of);
        } else {
            e = primary();
        }
        e = postfix(e);
        return filters ? filtered(e) : e;
    }

    private Expr primary() {
        Token t = take();
        return switch (t.kind()) {
            case STRING -> {
                // neighbouring strings are one, as in Python
                var text = new StringBuilder(t.text());
                while (peek().kind() == Kind.STRING)
                    text.append(take().text());
                yield new JinjaSyntax.Const(t.line(), text.toString());
            }
            case INTEGER -> new JinjaSyntax.Const(t.line(), JinjaLexer.integer(t));
            case FLOAT -> new JinjaSyntax.Const(t.line(), JinjaLexer.real(t));
            case NAME -> switch (t.text()) {
                case "true", "True" -> new JinjaSyntax.Const(t.line(), true);
                case "false", "False" -> new JinjaSyntax.Const(t.line(), false);
                case "none", "None" -> new JinjaSyntax.Const(t.line(), null);
                default -> {
                    for (Specials s : macros)
                        if (s.open.contains(t.text()))
                            s.read.add(t.text());
                    yield new JinjaSyntax.Name(t.line(), t.text());
                }
            };
            case OPERATOR -> switch (t.text()) {
                case "(" -> brackets(t.line());
                case "[" -> {
                    List<Expr> items = new ArrayList<>();
                    while (!accept("]")) {
                        if (!items.isEmpty()) {
                            expect(",");
                            if (accept("]"))
                                break;
                        }
                        items.add(expression());
                    }
                    yield deep(new JinjaSyntax.ListOf(t.line(), items), items);
                }
                case "{" -> dict(t.line());
                default -> throw new Failure(t.line(), "a value is expected, not " + t.shown());
            };
            default -> throw new Failure(t.line(), "a value is expected, not " + t.shown());
        };
    }

    private Expr brackets(int line) {
        if (accept(")"))
            return new JinjaSyntax.TupleOf(line, List.of());
        Expr e = tuple(null);
        expect(")");
        return e;
    }

    private Expr dict(int line) {
        List<Expr> keys = new ArrayList<>();
        List<Expr> values = new ArrayList<>();
        while (!accept("}")) {
            if (!keys.isEmpty()) {
                expect(",");
                if (accept("}"))
                    break;
            }
            keys.add(expression());
            expect(":");
            values.add(expression());
        }
        List<Expr> all = new ArrayList<>(keys);
        all.addAll(values);
        return deep(new JinjaSyntax.DictOf(line, keys, values), all);
    }

    private Expr postfix(Expr start) {
        Expr e = start;
        while (true) {
            Token t = peek();
            if (accept(".")) {
                Token name = take();
                if (name.kind() == Kind.INTEGER)
                    e = deep(new JinjaSyntax.Index(t.line(), e,
                            new JinjaSyntax.Const(t.line(), JinjaLexer.integer(name))), e);
                else
                    if (name.kind() == Kind.NAME)
                        e = deep(new JinjaSyntax.Attribute(t.line(), e, name.text()), e);
                    else
                        throw new Failure(t.line(), "a name is expected after '.', not " + name.shown());
            } else if (accept("[")) {
                e = subscript(t.line(), e);
            } else if (peek().operator("(")) {
                e = call(t.line(), e);
            } else {
                return e;
            }
        }
    }

    private Call call(int line, Expr function) {
        Arguments a = arguments();
        return deep(new Call(line, function, a), function, a);
    }

    private Expr filtered(Expr start) {
        Expr e = start;
        while (true) {
            if (peek().operator("|"))
                e = filter(e, false);
            else
                if (peek().name("is"))
                    e = test(e);
                else
                    if (peek().operator("("))
                        e = call(peek().line(), e);
                    else
                        return e;
        }
    }

    private String dotted() {
        var name = new StringBuilder(name());
        while (accept("."))
            name.append('.').append(name());
        return name.toString();
    }

    /// @param inline whether the first filter has no `|` before it
    private Expr filter(Expr start, boolean inline) {
        Expr e = start;
        boolean first = inline;
        while (first || accept("|")) {
            first = false;
            int line = peek().line();
            String name = dotted();
            if (!soft && !JinjaFilters.known(name))
                unknown.add(new Failure(line, "there is no filter '" + name + "'"));
            Arguments a = peek().operator("(") ? arguments() : none();
            e = deep(new JinjaSyntax.Filter(line, name, e, a), e, a);
        }
        return e;
    }

    private static Arguments none() {
        return new Arguments(List.of(), List.of(), List.of(), null, null);
    }

    private Expr test(Expr of) {
        int line = take().line();
        boolean negated = acceptName("not");
        String name = dotted();
        if (!soft && !JinjaTests.known(name))
            unknown.add(new Failure(line, "there is no test '" + name + "'"));
        Token t = peek();
        Arguments a = none();
        if (t.operator("(")) {
            a = arguments();
        } else
            if ((t.kind() == Kind.NAME || t.kind() == Kind.STRING || t.kind() == Kind.INTEGER
                    || t.kind() == Kind.FLOAT || t.operator("[") || t.operator("{"))
                    && !Set.of("else", "or", "and").contains(t.text())) {
                        if (t.name("is"))
                            throw new Failure(line, "one 'is' cannot follow another");
                        a = new Arguments(List.of(postfix(primary())), List.of(), List.of(), null, null);
                    }
        Expr e = deep(new JinjaSyntax.Test(line, name, of, a), of, a);
        return negated ? deep(new JinjaSyntax.Not(line, e), e) : e;
    }

    private Expr subscript(int line, Expr of) {
        List<Expr> items = new ArrayList<>();
        boolean slices = false;
        while (!accept("]")) {
            if (!items.isEmpty())
                expect(",");
            Expr from = peek().operator(":") ? null : expression();
            if (from != null && !peek().operator(":")) {
                items.add(from);
                continue;
            }
            expect(":");
            Expr to = partEnds() ? null : expression();
            Expr step = accept(":") && !partEnds() ? expression() : null;
            slices = true;
            items.add(deep(new JinjaSyntax.Slice(line, of, from, to, step), of, from, to, step));
        }
        if (items.size() == 1)
            return slices ? items.getFirst()
                    : deep(new JinjaSyntax.Index(line, of, items.getFirst()), of, items.getFirst());
        if (slices)
            throw new Failure(line, "several slices in one '[..]' are not supported");
        Expr tuple = deep(new JinjaSyntax.TupleOf(line, items), items);
        return deep(new JinjaSyntax.Index(line, of, tuple), of, tuple);
    }

    private boolean partEnds() {
        return peek().operator(":") || peek().operator("]") || peek().operator(",");
    }

    private Arguments arguments() {
        int line = peek().line();
        expect("(");
        List<Expr> positional = new ArrayList<>();
        List<String> names = new ArrayList<>();
        List<Expr> named = new ArrayList<>();
        Expr more = null;
        Expr moreNamed = null;
        boolean first = true;
        while (!accept(")")) {
            if (!first) {
                expect(",");
                if (accept(")"))
                    break;
            }
            first = false;
            boolean name = peek().kind() == Kind.NAME && ahead().operator("=");
            if (moreNamed != null || more != null && !name && !peek().operator("**")
                    || !named.isEmpty() && !name && !peek().operator("*") && !peek().operator("**"))
                throw new Failure(line, "an argument stands behind named ones or behind '*'");
            if (accept("*")) {
                more = expression();
            } else if (accept("**")) {
                moreNamed = expression();
            } else if (name) {
                String n = name();
                if (names.contains(n))
                    throw new Failure(line, "the argument '" + n + "' is there twice");
                expect("=");
                names.add(n);
                named.add(expression());
            } else {
                positional.add(expression());
            }
        }
        return new Arguments(positional, names, named, more, moreNamed);
    }
}
