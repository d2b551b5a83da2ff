package dev.gyre.model.token.jinja;

import dev.gyre.model.token.jinja.JinjaSyntax.Failure;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/// The words of a template, with white space as transformers renders templates: trim_blocks and lstrip_blocks on, one line
/// break at the end of the source dropped.
final class JinjaLexer {
    enum Kind {
        DATA, VARIABLE_BEGIN, VARIABLE_END, BLOCK_BEGIN, BLOCK_END, NAME, STRING, INTEGER, FLOAT, OPERATOR, END
    }

    record Token(Kind kind, String text, int line) {
        boolean operator(String operator) {
            return kind == Kind.OPERATOR && text.equals(operator);
        }

        boolean name(String name) {
            return kind == Kind.NAME && text.equals(name);
        }

        String shown() {
            return switch (kind) {
                case DATA -> "text";
                case VARIABLE_BEGIN, VARIABLE_END, BLOCK_BEGIN, BLOCK_END -> text;
                case END -> "the end of the template";
                case STRING -> "a string";
                default -> "'" + text + "'";
            };
        }
    }

    private static final int LONGEST = 2_000_000;
    private static final int LONGEST_NUMBER = 400;
    private static final Pattern FLOAT = Pattern.compile(
            "(?<!\\.)([0-9]+_)*[0-9]+((\\.([0-9]+_)*[0-9]+)?[eE][+\\-]?([0-9]+_)*[0-9]+|\\.([0-9]+_)*[0-9]+)");
    private static final Pattern INTEGER = Pattern.compile(
            "0[bB](_?[01])+|0[oO](_?[0-7])+|0[xX](_?[0-9a-fA-F])+|[1-9](_?[0-9])*|0(_?0)*");
    private static final List<String> OPERATORS = List.of("**", "//", "==", "!=", "<=", ">=", "+", "-", "*", "/", "%",
            "~", "<", ">", "=", "(", ")", "[", "]", "{", "}", ",", ":", ".", "|", ";");

    private final String source;
    private final List<Token> tokens = new ArrayList<>();
    private final Matcher floats;
    private final Matcher integers;
    private int at;
    private int line = 1;
    /// Whether what was read last ends in a line break, so that the next text starts a line.
    private boolean lineStarts = true;

    private JinjaLexer(String source) {
        this.source = source;
        this.floats = FLOAT.matcher(source).useTransparentBounds(true);
        this.integers = INTEGER.matcher(source);
    }

    static List<Token> read(String source) {
        if (source.length() > LONGEST)
            throw new Failure(1, "the template has more than " + LONGEST + " characters");
        String s = source.replace("\r\n", "\n").replace('\r', '\n');
        var lexer = new JinjaLexer(s.endsWith("\n") ? s.substring(0, s.length() - 1) : s);
        lexer.root();
        return lexer.tokens;
    }

    private void add(Kind kind, String text) {
        tokens.add(new Token(kind, text, line));
    }

    private void advance(int to) {
        for (int i = at; i < to; i++)
            if (source.charAt(i) == '\n')
                line++;
        if (to > at)
            lineStarts = source.charAt(to - 1) == '\n';
        at = to;
    }

    private void root() {
        while (at < source.length()) {
            int open = nextTag();
            if (open < 0) {
                data(source.substring(at));
                break;
            }
            char tag = source.charAt(open + 1);
            char sign = signAt(open + 2);
            text(open, sign, tag != '{');
            int raw = tag == '%' ? rawBegin(open) : -1;
            if (raw >= 0) {
                raw(raw);
                continue;
            }
            String word = source.substring(open, open + 2);
            if (tag == '#') {
                advance(open + (sign == ' ' ? 2 : 3));
                comment();
                continue;
            }
            add(tag == '{' ? Kind.VARIABLE_BEGIN : Kind.BLOCK_BEGIN, word);
            advance(open + (sign == ' ' ? 2 : 3));
            tag(tag == '%');
        }
        add(Kind.END, "");
    }

    private char signAt(int i) {
        char c = i < source.length() ? source.charAt(i) : ' ';
        return c == '-' || c == '+' ? c : ' ';
    }

    private int nextTag() {
        for (int i = source.indexOf('{', at); i >= 0 && i + 1 < source.length(); i = source.indexOf('{', i + 1))
            if ("{%#".indexOf(source.charAt(i + 1)) >= 0)
                return i;
        return -1;
    }

    /// The text before a tag: stripped for '-', without the indentation of a line that a block tag starts.
    private void text(int to, char sign, boolean block) {
        String text = source.substring(at, to);
        if (sign == '-') {
            text = PythonText.strip(text, null, false, true);
        } else
            if (sign != '+' && block) {
                int start = text.lastIndexOf('\n') + 1;
                if ((start > 0 || lineStarts) && PythonText.strip(text.substring(start), null, true, false).isEmpty())
                    text = text.substring(0, start);
            }
        data(text);
        advance(to);
    }

    private void data(String text) {
        if (!text.isEmpty())
            add(Kind.DATA, text);
    }

    private int white(int from) {
        int i = from;
        while (i < source.length() && PythonText.isSpace(source.charAt(i)))
            i++;
        return i;
    }

    /// The end of `{% raw %}` at `open`, or -1 if another tag is there.
    private int rawBegin(int open) {
        int i = white(open + (signAt(open + 2) == ' ' ? 2 : 3));
        if (!source.startsWith("raw", i))
            return -1;
        i = white(i + 3);
        if (source.startsWith("-%}", i))
            return white(i + 3);
        return source.startsWith("%}", i) ? i + 2 : -1;
    }

    private void raw(int begin) {
        advance(begin);
        for (int open = source.indexOf("{%", at); open >= 0; open = source.indexOf("{%", open + 1)) {
            char sign = signAt(open + 2);
            int i = white(open + (sign == ' ' ? 2 : 3));
            if (!source.startsWith("endraw", i))
                continue;
            int end = blockEnd(white(i + 6));
            if (end < 0)
                continue;
            text(open, sign, true);
            advance(end);
            return;
        }
        if (at < source.length())
            throw new Failure(line, "'raw' has no 'endraw'");
    }

    /// Where a block tag that closes at `i` ends, what it trims included; -1 if none closes there.
    private int blockEnd(int i) {
        if (source.startsWith("+%}", i))
            return i + 3;
        if (source.startsWith("-%}", i))
            return white(i + 3);
        if (source.startsWith("%}", i))
            return source.startsWith("\n", i + 2) ? i + 3 : i + 2;
        return -1;
    }

    private void comment() {
        int close = source.indexOf("#}", at);
        // Jinja misses the end only where something follows
        if (close < 0 && at == source.length())
            return;
        if (close < 0)
            throw new Failure(line, "a comment does not end");
        char sign = close > at ? signAt(close - 1) : ' ';
        int end = sign == '-' ? white(close + 2)
                : sign == ' ' && source.startsWith("\n", close + 2) ? close + 3 : close + 2;
        advance(end);
    }

    private int variableEnd(int i) {
        if (source.startsWith("-}}", i))
            return white(i + 3);
        return source.startsWith("}}", i) ? i + 2 : -1;
    }

    private void tag(boolean block) {
        int begun = line;
        Deque<Character> open = new ArrayDeque<>();
        while (true) {
            if (open.isEmpty()) {
                int end = block ? blockEnd(at) : variableEnd(at);
                if (end >= 0) {
                    add(block ? Kind.BLOCK_END : Kind.VARIABLE_END, block ? "%}" : "}}");
                    advance(end);
                    return;
                }
            }
            advance(white(at));
            if (at >= source.length())
                throw new Failure(begun, "a tag is not closed by '" + (block ? "%}" : "}}") + "'");
            if (!open.isEmpty() || (block ? blockEnd(at) : variableEnd(at)) < 0)
                word(open);
        }
    }

    private void word(Deque<Character> open) {
        char c = source.charAt(at);
        if (c >= '0' && c <= '9') {
            int limit = Math.min(source.length(), at + LONGEST_NUMBER);
            boolean real = floats.region(at, limit).lookingAt();
            if (!real)
                integers.region(at, limit).lookingAt();
            int end = real ? floats.end() : integers.end();
            if (end == at + LONGEST_NUMBER)
                throw new Failure(line, "a number of " + LONGEST_NUMBER + " characters or more");
            add(real ? Kind.FLOAT : Kind.INTEGER, source.substring(at, end).replace("_", ""));
            advance(end);
        } else if (c == '_' || Character.isUnicodeIdentifierStart(source.codePointAt(at))) {
            int end = at;
            while (end < source.length() && (source.charAt(end) == '_'
                    || Character.isUnicodeIdentifierPart(source.codePointAt(end))
                            && !Character.isIdentifierIgnorable(source.codePointAt(end))))
                end += Character.charCount(source.codePointAt(end));
            add(Kind.NAME, source.substring(at, end));
            advance(end);
        } else if (c == '\'' || c == '"') {
            string(c);
        } else {
            String op = OPERATORS.stream().filter(o -> source.startsWith(o, at)).findFirst()
                    .orElseThrow(() -> new Failure(line, "unexpected character '" + shown(c) + "'"));
            if ("([{".contains(op))
                open.push(op.equals("(") ? ')' : op.equals("[") ? ']' : '}');
            else
                if (")]}".contains(op) && (open.isEmpty() || open.pop() != op.charAt(0)))
                    throw new Failure(line, "'" + op + "' closes nothing that is open");
            add(Kind.OPERATOR, op);
            advance(at + op.length());
        }
    }

    private static String shown(char c) {
        return c < ' ' || c == 0x7f ? "U+%04X".formatted((int) c) : String.valueOf(c);
    }

    private void string(char quote) {
        int end = at + 1;
        while (end < source.length() && source.charAt(end) != quote)
            end += source.charAt(end) == '\\' ? 2 : 1;
        if (end >= source.length())
            throw new Failure(line, "a string is not closed");
        add(Kind.STRING, unescaped(source.substring(at + 1, end)));
        advance(end + 1);
    }

    /// Python's "unicode-escape" of the text whose characters beyond ASCII are escaped first.
    private String unescaped(String s) {
        if (s.indexOf('\\') < 0)
            return s;
        var text = new StringBuilder();
        for (int i = 0; i < s.length(); i++) {
            char c = s.charAt(i);
            if (c != '\\') {
                text.append(c);
                continue;
            }
            int e = s.codePointAt(++i);
            int octal = i;
            while (octal < Math.min(i + 3, s.length()) && s.charAt(octal) >= '0' && s.charAt(octal) <= '7')
                octal++;
            if (octal > i) {
                text.append((char) Integer.parseInt(s.substring(i, octal), 8));
                i = octal - 1;
                continue;
            }
            switch (e) {
                case 'n' -> text.append('\n');
                case 't' -> text.append('\t');
                case 'r' -> text.append('\r');
                case 'a' -> text.append('\u0007');
                case 'b' -> text.append('\b');
                case 'f' -> text.append('\f');
                case 'v' -> text.append('\u000b');
                case '\\', '\'', '"' -> text.append((char) e);
                case '\n' -> {
                    // a line break behind a backslash is left out
                }
                case 'N' -> throw new Failure(line, "the escape '\\N{..}' is not supported; write the character");
                case 'x', 'u', 'U' -> {
                    int digits = e == 'x' ? 2 : e == 'u' ? 4 : 8;
                    text.appendCodePoint(codePoint(s, i + 1, digits, (char) e));
                    i += digits;
                }
                default -> {
                    // an unknown escape keeps its backslash; behind it the escape of a character beyond ASCII is text
                    text.append('\\');
                    if (e < 0x80)
                        text.append((char) e);
                    else
                        text.append(e < 0x100 ? "x%02x".formatted(e)
                                : e < 0x10000 ? "u%04x".formatted(e) : "U%08x".formatted(e));
                    i += Character.charCount(e) - 1;
                }
            }
        }
        return text.toString();
    }

    private int codePoint(String s, int from, int digits, char escape) {
        int value = 0;
        for (int i = from; i < from + digits; i++) {
            int digit = i < s.length() && s.charAt(i) < 0x80 ? Character.digit(s.charAt(i), 16) : -1;
            if (digit < 0)
                throw new Failure(line, "'\\" + escape + "' needs " + digits + " hexadecimal digits");
            value = value * 16 + digit;
        }
        if (!Character.isValidCodePoint(value) || value >= 0xd800 && value < 0xe000)
            throw new Failure(line, "'\\" + escape + s.substring(from, from + digits) + "' is no character");
        return value;
    }

    /// The value of an integer word.
    static long integer(Token t) {
        String s = t.text();
        int base = s.length() < 2 ? 10 : switch (s.charAt(1)) {
            case 'x', 'X' -> 16;
            case 'o', 'O' -> 8;
            case 'b', 'B' -> 2;
            default -> 10;
        };
        try {
            return Long.parseLong(base == 10 ? s : s.substring(2), base);
        } catch (NumberFormatException e) {
            throw new Failure(t.line(), "the number " + s + " is beyond 64 bits, which is not supported");
        }
    }

    static double real(Token t) {
        try {
            return Double.parseDouble(t.text());
        } catch (NumberFormatException e) {
            throw new Failure(t.line(), "'" + t.text() + "' is not a number");
        }
    }
}
