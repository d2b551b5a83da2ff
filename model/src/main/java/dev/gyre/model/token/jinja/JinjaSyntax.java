package dev.gyre.model.token.jinja;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/// The part of Jinja that chat templates are written in, as a tree. White space as transformers renders templates:
/// trim_blocks and lstrip_blocks on, one line break at the end of the source dropped.
public final class JinjaSyntax {
    /// A template that cannot be read, or cannot be rendered.
    public static final class Failure extends RuntimeException {
        private static final long serialVersionUID = 1;

        Failure(int line, String problem) {
            super("line " + line + ": " + problem);
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

    record For(int line, List<String> names, Expr items, @Nullable Expr condition, List<Node> body,
            List<Node> otherwise) implements Node {
    }

    /// `set a = v`, `set a, b = v`, `set ns.a = v` (then `attribute` is set).
    record Assign(int line, List<String> names, @Nullable String attribute, Expr value) implements Node {
    }

    /// `set a`...`endset`.
    record Capture(String name, List<Node> body) implements Node {
    }

    record Macro(int line, String name, List<String> parameters, Map<String, Expr> defaults, List<Node> body)
            implements
            Node {
    }

    /// transformers' mark around what the assistant says.
    record Generation(List<Node> body) implements Node {
    }

    record Break() implements Node {
    }

    record Continue() implements Node {
    }

    sealed interface Expr {
    }

    record Const(@Nullable Object value) implements Expr {
    }

    record Name(int line, String name) implements Expr {
    }

    record Items(List<Expr> items) implements Expr {
    }

    record Dict(List<Expr> keys, List<Expr> values) implements Expr {
    }

    record Attribute(int line, Expr of, String name) implements Expr {
    }

    record Index(int line, Expr of, Expr index) implements Expr {
    }

    record Slice(int line, Expr of, @Nullable Expr from, @Nullable Expr to, @Nullable Expr step) implements Expr {
    }

    record Call(int line, Expr function, List<Expr> arguments, Map<String, Expr> named) implements Expr {
    }

    record Filter(int line, String name, Expr of, List<Expr> arguments, Map<String, Expr> named) implements Expr {
    }

    record Test(int line, String name, Expr of, List<Expr> arguments) implements Expr {
    }

    record Not(Expr of) implements Expr {
    }

    record Negative(int line, Expr of) implements Expr {
    }

    /// `and`, `or`, `+`, `-`, `*`, `/`, `//`, `%`, `**`, `~`.
    record Binary(int line, String operator, Expr left, Expr right) implements Expr {
    }

    /// `a < b <= c`: every neighbour pair must hold.
    record Compare(int line, Expr first, List<String> operators, List<Expr> others) implements Expr {
    }

    record Conditional(Expr test, Expr then, @Nullable Expr otherwise) implements Expr {
    }

    private enum Kind {
        NAME, STRING, NUMBER, OPERATOR, END
    }

    private record Token(Kind kind, String text, int line) {
        boolean is(String operatorOrName) {
            return (kind == Kind.OPERATOR || kind == Kind.NAME) && text.equals(operatorOrName);
        }
    }

    private static final List<String> OPERATORS = List.of("**", "//", "==", "!=", "<=", ">=", "+", "-", "*", "/", "%",
            "~", "<", ">", "=", "(", ")", "[", "]", "{", "}", ",", ":", ".", "|");
    private static final Set<String> COMPARISONS = Set.of("==", "!=", "<", "<=", ">", ">=");

    private final String source;
    private int at;
    private int line = 1;
    /// Tokens of the tag being parsed, and the next of them.
    private List<Token> tokens = List.of();
    private int next;
    /// Whether the text before the next tag may be an indentation: it starts a line.
    private boolean lineStarts = true;
    private boolean stripNext;
    private boolean trimNext;

    private JinjaSyntax(String source) {
        String s = source.replace("\r\n", "\n");
        this.source = s.endsWith("\n") ? s.substring(0, s.length() - 1) : s;
    }

    public static List<Node> parse(String source) {
        List<Node> body = new ArrayList<>();
        new JinjaSyntax(source).body(body, Set.of());
        return body;
    }

    /// Parses up to a tag whose first word is in `ends`, which is returned with its tokens current; "" at the end.
    private String body(List<Node> into, Set<String> ends) {
        while (true) {
            String tag = text(into);
            if (tag.isEmpty()) {
                if (!ends.isEmpty())
                    throw new Failure(line, "the template ends where " + ends + " is expected");
                return "";
            }
            if (tag.equals("{{")) {
                into.add(new Output(expression()));
                finish();
                continue;
            }
            Token word = take();
            if (ends.contains(word.text))
                return word.text;
            into.add(statement(word, ends));
        }
    }

    /// Takes text up to the next variable or block tag, reads that tag's tokens and returns how it opens.
    private String text(List<Node> into) {
        var text = new StringBuilder();
        while (true) {
            int open = nextTag();
            String chunk = source.substring(at, open < 0 ? source.length() : open);
            line += count(chunk);
            if (stripNext)
                chunk = chunk.stripLeading();
            else
                if (trimNext && chunk.startsWith("\n")) {
                    chunk = chunk.substring(1);
                    lineStarts = true;
                }
            boolean starts = lineStarts;
            lineStarts = false;
            stripNext = false;
            trimNext = false;
            if (open < 0) {
                append(into, text.append(chunk));
                at = source.length();
                return "";
            }
            String tag = source.substring(open, open + 2);
            char sign = open + 2 < source.length() ? source.charAt(open + 2) : ' ';
            if (sign == '-')
                chunk = chunk.stripTrailing();
            else
                if (sign != '+' && !tag.equals("{{")) {
                    int lineAt = chunk.lastIndexOf('\n') + 1;
                    if ((lineAt > 0 || starts) && chunk.substring(lineAt).isBlank())
                        chunk = chunk.substring(0, lineAt);
                }
            text.append(chunk);
            at = open + (sign == '-' || sign == '+' ? 3 : 2);
            if (tag.equals("{#")) {
                int close = source.indexOf("#}", at);
                if (close < 0)
                    throw new Failure(line, "a comment does not end");
                line += count(source.substring(at, close));
                closed(source.charAt(close - 1), true);
                at = close + 2;
                continue;
            }
            append(into, text);
            tokenize(tag.equals("{{") ? "}}" : "%}");
            return tag;
        }
    }

    private static void append(List<Node> into, StringBuilder text) {
        if (!text.isEmpty())
            into.add(new Text(text.toString()));
    }

    private int nextTag() {
        for (int i = source.indexOf('{', at); i >= 0 && i + 1 < source.length(); i = source.indexOf('{', i + 1))
            if ("{%#".indexOf(source.charAt(i + 1)) >= 0)
                return i;
        return -1;
    }

    private void closed(char sign, boolean block) {
        stripNext = sign == '-';
        trimNext = block && sign != '+' && sign != '-';
    }

    private static int count(String s) {
        return (int) s.chars().filter(c -> c == '\n').count();
    }

    private void tokenize(String close) {
        List<Token> all = new ArrayList<>();
        int depth = 0;
        while (true) {
            while (at < source.length() && Character.isWhitespace(source.charAt(at)))
                if (source.charAt(at++) == '\n')
                    line++;
            if (at >= source.length())
                throw new Failure(line, "a tag is not closed by '" + close + "'");
            char c = source.charAt(at);
            if (depth == 0) {
                boolean signed = (c == '-' || c == '+') && source.startsWith(close, at + 1);
                if (signed || source.startsWith(close, at)) {
                    closed(signed ? c : ' ', close.equals("%}"));
                    at += signed ? 3 : 2;
                    break;
                }
            }
            if (c == '\'' || c == '"') {
                all.add(new Token(Kind.STRING, string(c), line));
            } else if (Character.isDigit(c)) {
                int from = at;
                while (at < source.length() && (Character.isLetterOrDigit(source.charAt(at)) || source.charAt(at) == '_'
                        || source.charAt(at) == '.' && at + 1 < source.length()
                                && Character.isDigit(source.charAt(at + 1))))
                    at++;
                all.add(new Token(Kind.NUMBER, source.substring(from, at).replace("_", ""), line));
            } else if (Character.isLetter(c) || c == '_') {
                int from = at;
                while (at < source.length()
                        && (Character.isLetterOrDigit(source.charAt(at)) || source.charAt(at) == '_'))
                    at++;
                all.add(new Token(Kind.NAME, source.substring(from, at), line));
            } else {
                String op = OPERATORS.stream().filter(o -> source.startsWith(o, at)).findFirst()
                        .orElseThrow(() -> new Failure(line, "unexpected character '" + c + "'"));
                depth += "([{".contains(op) ? 1 : ")]}".contains(op) ? -1 : 0;
                all.add(new Token(Kind.OPERATOR, op, line));
                at += op.length();
            }
        }
        all.add(new Token(Kind.END, "end of tag", line));
        tokens = all;
        next = 0;
    }

    private String string(char quote) {
        var text = new StringBuilder();
        for (at++; at < source.length() && source.charAt(at) != quote; at++) {
            char c = source.charAt(at);
            if (c == '\n')
                line++;
            if (c != '\\' || at + 1 >= source.length()) {
                text.append(c);
                continue;
            }
            char e = source.charAt(++at);
            switch (e) {
                case 'n' -> text.append('\n');
                case 't' -> text.append('\t');
                case 'r' -> text.append('\r');
                case '\\', '\'', '"' -> text.append(e);
                case '\n' -> line++;
                case 'x', 'u', 'U' -> {
                    int digits = e == 'x' ? 2 : e == 'u' ? 4 : 8;
                    try {
                        text.appendCodePoint(Integer.parseInt(source.substring(at + 1, at + 1 + digits), 16));
                    } catch (IllegalArgumentException | IndexOutOfBoundsException x) {
                        throw new Failure(line, "'\\" + e + "' needs " + digits + " hexadecimal digits");
                    }
                    at += digits;
                }
                default -> text.append('\\').append(e);
            }
        }
        if (at >= source.length())
            throw new Failure(line, "a string is not closed");
        at++;
        return text.toString();
    }

    private Node statement(Token word, Set<String> ends) {
        return switch (word.text) {
            case "if" -> branches();
            case "for" -> loop(word.line);
            case "set" -> assignment(word.line);
            case "macro" -> macro(word.line);
            case "generation" -> {
                finish();
                List<Node> body = new ArrayList<>();
                body(body, Set.of("endgeneration"));
                finish();
                yield new Generation(body);
            }
            case "break" -> {
                finish();
                yield new Break();
            }
            case "continue" -> {
                finish();
                yield new Continue();
            }
            case "else", "elif", "endif", "endfor", "endset", "endmacro",
                    "endgeneration" -> throw new Failure(word.line,
                            "'" + word.text + "' has no beginning" + (ends.isEmpty() ? "" : "; one of " + ends
                                    + " is expected"));
            default -> throw new Failure(word.line, "the tag '" + word.text + "' is not supported");
        };
    }

    private Node branches() {
        List<Expr> tests = new ArrayList<>();
        List<List<Node>> bodies = new ArrayList<>();
        List<Node> otherwise = new ArrayList<>();
        String end;
        do {
            tests.add(expression());
            finish();
            List<Node> body = new ArrayList<>();
            end = body(body, Set.of("elif", "else", "endif"));
            bodies.add(body);
        } while (end.equals("elif"));
        if (end.equals("else")) {
            finish();
            body(otherwise, Set.of("endif"));
        }
        finish();
        return new If(tests, bodies, otherwise);
    }

    private Node loop(int line) {
        List<String> names = names();
        expect("in");
        Expr items = or();
        Expr condition = accept("if") ? expression() : null;
        finish();
        List<Node> body = new ArrayList<>();
        List<Node> otherwise = new ArrayList<>();
        if (body(body, Set.of("else", "endfor")).equals("else")) {
            finish();
            body(otherwise, Set.of("endfor"));
        }
        finish();
        return new For(line, names, items, condition, body, otherwise);
    }

    private Node assignment(int line) {
        List<String> names = names();
        String attribute = names.size() == 1 && accept(".") ? name() : null;
        if (attribute == null && names.size() == 1 && peek().kind == Kind.END) {
            finish();
            List<Node> body = new ArrayList<>();
            body(body, Set.of("endset"));
            finish();
            return new Capture(names.getFirst(), body);
        }
        expect("=");
        Expr value = expression();
        if (peek().is(",")) {
            List<Expr> items = new ArrayList<>(List.of(value));
            while (accept(","))
                items.add(expression());
            value = new Items(items);
        }
        finish();
        return new Assign(line, names, attribute, value);
    }

    private Node macro(int line) {
        String name = name();
        expect("(");
        List<String> parameters = new ArrayList<>();
        Map<String, Expr> defaults = new LinkedHashMap<>();
        while (!accept(")")) {
            if (!parameters.isEmpty())
                expect(",");
            String p = name();
            parameters.add(p);
            if (accept("="))
                defaults.put(p, expression());
        }
        finish();
        List<Node> body = new ArrayList<>();
        body(body, Set.of("endmacro"));
        accept(name);
        finish();
        return new Macro(line, name, parameters, defaults, body);
    }

    private List<String> names() {
        boolean bracket = accept("(");
        List<String> names = new ArrayList<>(List.of(name()));
        while (accept(","))
            names.add(name());
        if (bracket)
            expect(")");
        return names;
    }

    private String name() {
        Token t = take();
        if (t.kind != Kind.NAME)
            throw new Failure(t.line, "a name is expected, not '" + t.text + "'");
        return t.text;
    }

    private Token peek() {
        return tokens.get(next);
    }

    private Token take() {
        Token t = tokens.get(next);
        if (t.kind != Kind.END)
            next++;
        return t;
    }

    private boolean accept(String text) {
        if (!peek().is(text))
            return false;
        next++;
        return true;
    }

    private void expect(String text) {
        Token t = take();
        if (!t.is(text))
            throw new Failure(t.line, "'" + text + "' is expected, not '" + t.text + "'");
    }

    private void finish() {
        if (peek().kind != Kind.END)
            throw new Failure(peek().line, "unexpected '" + peek().text + "'");
    }

    private Expr expression() {
        Expr value = or();
        while (accept("if")) {
            Expr test = or();
            value = new Conditional(test, value, accept("else") ? expression() : null);
        }
        return value;
    }

    private Expr or() {
        Expr left = and();
        while (peek().is("or"))
            left = new Binary(take().line, "or", left, and());
        return left;
    }

    private Expr and() {
        Expr left = not();
        while (peek().is("and"))
            left = new Binary(take().line, "and", left, not());
        return left;
    }

    private Expr not() {
        return accept("not") ? new Not(not()) : comparison();
    }

    private Expr comparison() {
        Expr first = sum();
        int at = peek().line;
        List<String> operators = new ArrayList<>();
        List<Expr> others = new ArrayList<>();
        while (true) {
            if (peek().kind == Kind.OPERATOR && COMPARISONS.contains(peek().text)) {
                operators.add(take().text);
            } else if (accept("in")) {
                operators.add("in");
            } else if (peek().is("not") && tokens.get(next + 1).is("in")) {
                next += 2;
                operators.add("not in");
            } else {
                return operators.isEmpty() ? first : new Compare(at, first, operators, others);
            }
            others.add(sum());
        }
    }

    private Expr sum() {
        Expr left = concatenation();
        while (peek().is("+") || peek().is("-")) {
            Token op = take();
            left = new Binary(op.line, op.text, left, concatenation());
        }
        return left;
    }

    private Expr concatenation() {
        Expr left = product();
        while (peek().is("~"))
            left = new Binary(take().line, "~", left, product());
        return left;
    }

    private Expr product() {
        Expr left = power();
        while (peek().is("*") || peek().is("/") || peek().is("//") || peek().is("%")) {
            Token op = take();
            left = new Binary(op.line, op.text, left, power());
        }
        return left;
    }

    private Expr power() {
        Expr left = filtered(signed());
        while (peek().is("**"))
            left = new Binary(take().line, "**", left, filtered(signed()));
        return left;
    }

    /// A sign binds tighter than `**` and filters, other than in Python.
    private Expr signed() {
        if (peek().is("-"))
            return new Negative(take().line, signed());
        return accept("+") ? signed() : postfix(primary());
    }

    private Expr primary() {
        Token t = take();
        return switch (t.kind) {
            case STRING -> {
                // neighbouring strings are one, as in Python
                var text = new StringBuilder(t.text);
                while (peek().kind == Kind.STRING)
                    text.append(take().text);
                yield new Const(text.toString());
            }
            case NUMBER -> number(t);
            case NAME -> switch (t.text) {
                case "true", "True" -> new Const(true);
                case "false", "False" -> new Const(false);
                case "none", "None" -> new Const(null);
                default -> new Name(t.line, t.text);
            };
            case OPERATOR -> switch (t.text) {
                case "(" -> {
                    List<Expr> items = new ArrayList<>();
                    boolean tuple = list(items, ")");
                    yield tuple || items.isEmpty() ? new Items(items) : items.getFirst();
                }
                case "[" -> {
                    List<Expr> items = new ArrayList<>();
                    list(items, "]");
                    yield new Items(items);
                }
                case "{" -> dict();
                default -> throw new Failure(t.line, "a value is expected, not '" + t.text + "'");
            };
            case END -> throw new Failure(t.line, "a value is expected before the end of the tag");
        };
    }

    private static Expr number(Token t) {
        try {
            return t.text.matches("\\d+") ? new Const(Long.parseLong(t.text)) : new Const(Double.parseDouble(t.text));
        } catch (NumberFormatException e) {
            throw new Failure(t.line, "'" + t.text + "' is not a number");
        }
    }

    /// Items up to `close`; true if there was a comma.
    private boolean list(List<Expr> items, String close) {
        boolean comma = false;
        while (!accept(close)) {
            if (!items.isEmpty()) {
                expect(",");
                comma = true;
                if (accept(close))
                    break;
            }
            items.add(expression());
        }
        return comma;
    }

    private Expr dict() {
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
        return new Dict(keys, values);
    }

    private Expr postfix(Expr start) {
        Expr e = start;
        while (true) {
            Token t = peek();
            if (accept(".")) {
                Token name = take();
                e = name.kind == Kind.NUMBER ? new Index(t.line, e, number(name)) : attribute(t.line, e, name);
            } else if (accept("[")) {
                e = subscript(t.line, e);
            } else if (accept("(")) {
                List<Expr> arguments = new ArrayList<>();
                e = new Call(t.line, e, arguments, arguments(arguments));
            } else {
                return e;
            }
        }
    }

    private Expr filtered(Expr start) {
        Expr e = start;
        while (true) {
            Token t = peek();
            if (accept("|")) {
                String name = name();
                List<Expr> arguments = new ArrayList<>();
                Map<String, Expr> named = accept("(") ? arguments(arguments) : Map.of();
                e = new Filter(t.line, name, e, arguments, named);
            } else if (accept("is")) {
                boolean negated = accept("not");
                e = test(t.line, e);
                if (negated)
                    e = new Not(e);
            } else {
                return e;
            }
        }
    }

    private static Expr attribute(int line, Expr of, Token name) {
        if (name.kind != Kind.NAME)
            throw new Failure(line, "a name is expected after '.', not '" + name.text + "'");
        return new Attribute(line, of, name.text);
    }

    private Expr test(int line, Expr of) {
        String name = name();
        List<Expr> arguments = new ArrayList<>();
        if (accept("("))
            arguments(arguments);
        else
            if (peek().kind == Kind.STRING || peek().kind == Kind.NUMBER || peek().is("[") || peek().kind == Kind.NAME
                    && !Set.of("and", "or", "not", "else", "if", "is", "in").contains(peek().text))
                arguments.add(postfix(primary()));
        return new Test(line, name, of, arguments);
    }

    private Expr subscript(int line, Expr of) {
        Expr from = peek().is(":") ? null : expression();
        if (from != null && accept("]"))
            return new Index(line, of, from);
        expect(":");
        Expr to = peek().is(":") || peek().is("]") ? null : expression();
        Expr step = accept(":") && !peek().is("]") ? expression() : null;
        expect("]");
        return new Slice(line, of, from, to, step);
    }

    private Map<String, Expr> arguments(List<Expr> positional) {
        Map<String, Expr> named = new LinkedHashMap<>();
        boolean first = true;
        while (!accept(")")) {
            if (!first) {
                expect(",");
                if (accept(")"))
                    break;
            }
            first = false;
            if (peek().kind == Kind.NAME && tokens.get(next + 1).is("=")) {
                String name = name();
                expect("=");
                named.put(name, expression());
            } else {
                positional.add(expression());
            }
        }
        return named;
    }
}
