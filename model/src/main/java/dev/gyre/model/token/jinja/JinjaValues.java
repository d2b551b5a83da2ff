package dev.gyre.model.token.jinja;

import dev.gyre.model.token.jinja.Jinja.Undefined;
import dev.gyre.model.token.jinja.JinjaSyntax.Failure;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Comparator;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;

/// Python's behaviour of template values: truth, text, comparison, arithmetic, and the filters, tests and methods
/// that chat templates use.
final class JinjaValues {
    private static final String WHITE = " \t\n\r\u000b\f";

    private JinjaValues() {
    }

    static boolean truth(@Nullable Object v) {
        return switch (v) {
            case null -> false;
            case Undefined _ -> false;
            case Boolean b -> b;
            case Long n -> n != 0;
            case Double d -> d != 0;
            case String s -> !s.isEmpty();
            case List<?> l -> !l.isEmpty();
            case Map<?, ?> m -> !m.isEmpty();
            default -> true;
        };
    }

    /// Python's `str`.
    static String text(@Nullable Object v) {
        return switch (v) {
            case null -> "None";
            case Undefined _ -> "";
            case String s -> s;
            default -> representation(v);
        };
    }

    /// Python's `repr`.
    private static String representation(@Nullable Object v) {
        return switch (v) {
            case null -> "None";
            case Boolean b -> b ? "True" : "False";
            case String s -> {
                char quote = s.contains("'") && !s.contains("\"") ? '"' : '\'';
                String body = s.replace("\\", "\\\\").replace("\n", "\\n").replace("\t", "\\t").replace("\r", "\\r");
                yield quote + (quote == '\'' ? body.replace("'", "\\'") : body) + quote;
            }
            case List<?> l -> l.stream().map(JinjaValues::representation).collect(Collectors.joining(", ", "[", "]"));
            case Map<?, ?> m -> m.entrySet().stream()
                    .map(e -> representation(e.getKey()) + ": " + representation(e.getValue()))
                    .collect(Collectors.joining(", ", "{", "}"));
            default -> v.toString();
        };
    }

    /// What a loop goes over: items of a list, keys of a mapping, characters of a text.
    static List<@Nullable Object> items(int line, @Nullable Object v) {
        return switch (v) {
            case List<?> l -> new ArrayList<@Nullable Object>(l);
            case Map<?, ?> m -> new ArrayList<@Nullable Object>(m.keySet());
            case String s -> new ArrayList<@Nullable Object>(s.codePoints().mapToObj(Character::toString).toList());
            case Undefined _ -> new ArrayList<>();
            case null -> throw new Failure(line, "None has no items");
            default -> throw new Failure(line, text(v) + " has no items");
        };
    }

    /// What map, select and reject go over: nothing of None, and of all else that is false.
    private static List<@Nullable Object> each(int line, @Nullable Object v) {
        return truth(v) ? items(line, v) : new ArrayList<>();
    }

    static boolean equal(@Nullable Object a, @Nullable Object b) {
        if (a instanceof Undefined && b instanceof Undefined)
            return true;
        if (number(a) instanceof Double x && number(b) instanceof Double y)
            return x.doubleValue() == y.doubleValue();
        return Objects.equals(a, b);
    }

    /// Numbers and truth values as Python compares them, null for all else.
    private static @Nullable Double number(@Nullable Object v) {
        return switch (v) {
            case Long n -> (double) n;
            case Double d -> d;
            case Boolean b -> b ? 1.0 : 0.0;
            case null, default -> null;
        };
    }

    static boolean holds(int line, String operator, @Nullable Object a, @Nullable Object b) {
        return switch (operator) {
            case "==" -> equal(a, b);
            case "!=" -> !equal(a, b);
            case "in" -> contains(line, b, a);
            case "not in" -> !contains(line, b, a);
            case "<" -> order(line, a, b) < 0;
            case "<=" -> order(line, a, b) <= 0;
            case ">" -> order(line, a, b) > 0;
            case ">=" -> order(line, a, b) >= 0;
            default -> throw new Failure(line, "unknown comparison " + operator);
        };
    }

    private static int order(int line, @Nullable Object a, @Nullable Object b) {
        if (number(a) instanceof Double x && number(b) instanceof Double y)
            return Double.compare(x, y);
        if (a instanceof String x && b instanceof String y)
            return x.compareTo(y);
        throw new Failure(line, "cannot compare " + text(a) + " and " + text(b));
    }

    private static boolean contains(int line, @Nullable Object in, @Nullable Object item) {
        return switch (in) {
            case String s -> item instanceof String part && s.contains(part);
            case Map<?, ?> m -> m.containsKey(item);
            case null, default -> items(line, in).stream().anyMatch(x -> equal(x, item));
        };
    }

    static Object arithmetic(int line, String operator, @Nullable Object a, @Nullable Object b) {
        if (operator.equals("+") && a instanceof String x && b instanceof String y)
            return x + y;
        if (operator.equals("+") && a instanceof List<?> x && b instanceof List<?> y) {
            List<@Nullable Object> both = new ArrayList<>(x);
            both.addAll(y);
            return both;
        }
        if (operator.equals("*") && a instanceof String s && b instanceof Long n && n * s.length() < 1_000_000)
            return s.repeat((int) Math.max(0, n));
        if (number(a) == null || number(b) == null)
            throw new Failure(line, "cannot compute " + describe(a) + " " + operator + " " + describe(b));
        if (a instanceof Double || b instanceof Double || operator.equals("/"))
            return arithmetic(line, operator, Objects.requireNonNull(number(a)).doubleValue(),
                    Objects.requireNonNull(number(b)).doubleValue());
        long x = whole(a);
        long y = whole(b);
        try {
            return switch (operator) {
                case "+" -> Math.addExact(x, y);
                case "-" -> Math.subtractExact(x, y);
                case "*" -> Math.multiplyExact(x, y);
                case "//" -> Math.floorDiv(x, y);
                case "%" -> Math.floorMod(x, y);
                case "**" -> (long) Math.pow(x, y);
                default -> throw new Failure(line, "unknown operator " + operator);
            };
        } catch (ArithmeticException e) {
            throw new Failure(line, x + " " + operator + " " + y + ": " + e.getMessage());
        }
    }

    private static long whole(@Nullable Object v) {
        return v instanceof Long n ? n : Boolean.TRUE.equals(v) ? 1 : 0;
    }

    private static double arithmetic(int line, String operator, double x, double y) {
        return switch (operator) {
            case "+" -> x + y;
            case "-" -> x - y;
            case "*" -> x * y;
            case "/" -> x / y;
            case "//" -> Math.floor(x / y);
            case "%" -> x - y * Math.floor(x / y);
            case "**" -> Math.pow(x, y);
            default -> throw new Failure(line, "unknown operator " + operator);
        };
    }

    private static String describe(@Nullable Object v) {
        return v instanceof Undefined u ? "the undefined '" + u.name() + "'" : representation(v);
    }

    static @Nullable Object slice(int line, @Nullable Object of, @Nullable Long from, @Nullable Long to,
            @Nullable Long step) {
        List<@Nullable Object> items = items(line, of);
        long by = step == null ? 1 : step;
        if (by == 0)
            throw new Failure(line, "a slice cannot step by 0");
        long n = items.size();
        long start = from == null ? by > 0 ? 0 : n - 1 : clamp(from, n, by);
        long end = to == null ? by > 0 ? n : -1 : clamp(to, n, by);
        List<@Nullable Object> part = new ArrayList<>();
        for (long i = start; by > 0 ? i < end : i > end; i += by)
            part.add(items.get((int) i));
        return of instanceof String ? part.stream().map(String::valueOf).collect(Collectors.joining()) : part;
    }

    private static long clamp(long i, long n, long by) {
        long at = i < 0 ? i + n : i;
        return by > 0 ? Math.clamp(at, 0, n) : Math.clamp(at, -1, n - 1);
    }

    static boolean test(int line, String name, @Nullable Object v, List<@Nullable Object> args) {
        return switch (name) {
            case "defined" -> !(v instanceof Undefined);
            case "undefined" -> v instanceof Undefined;
            case "none" -> v == null;
            case "string" -> v instanceof String;
            case "mapping" -> v instanceof Map<?, ?>;
            case "sequence" -> v instanceof List<?> || v instanceof String || v instanceof Map<?, ?>;
            case "iterable" -> v instanceof List<?> || v instanceof String || v instanceof Map<?, ?>
                    || v instanceof Undefined;
            case "number" -> v instanceof Long || v instanceof Double || v instanceof Boolean;
            case "integer" -> v instanceof Long;
            case "float" -> v instanceof Double;
            case "boolean" -> v instanceof Boolean;
            case "true" -> Boolean.TRUE.equals(v);
            case "false" -> Boolean.FALSE.equals(v);
            case "callable" -> v instanceof Jinja.Function;
            case "odd" -> v instanceof Long n && Math.floorMod(n, 2L) == 1;
            case "even" -> v instanceof Long n && Math.floorMod(n, 2L) == 0;
            case "divisibleby" -> v instanceof Long n && argument(line, name, args) instanceof Long d && n % d == 0;
            case "equalto", "eq", "sameas" -> equal(v, argument(line, name, args));
            case "ne" -> !equal(v, argument(line, name, args));
            case "lt", "lessthan" -> order(line, v, argument(line, name, args)) < 0;
            case "gt", "greaterthan" -> order(line, v, argument(line, name, args)) > 0;
            case "le" -> order(line, v, argument(line, name, args)) <= 0;
            case "ge" -> order(line, v, argument(line, name, args)) >= 0;
            case "in" -> contains(line, argument(line, name, args), v);
            case "lower" -> v instanceof String s && s.equals(s.toLowerCase(Locale.ROOT));
            case "upper" -> v instanceof String s && s.equals(s.toUpperCase(Locale.ROOT));
            default -> throw new Failure(line, "the test '" + name + "' is not supported");
        };
    }

    private static @Nullable Object argument(int line, String name, List<@Nullable Object> args) {
        if (args.isEmpty())
            throw new Failure(line, "'" + name + "' needs an argument");
        return args.getFirst();
    }

    static @Nullable Object filter(int line, String name, @Nullable Object v, List<@Nullable Object> args,
            Map<String, @Nullable Object> named) {
        return switch (name) {
            case "default", "d" -> v instanceof Undefined
                    || (args.size() > 1 ? truth(args.get(1)) : truth(named.get("boolean"))) && !truth(v)
                            ? args.isEmpty() ? named.getOrDefault("default_value", "") : args.getFirst()
                            : v;
            case "safe", "string" -> text(v);
            case "trim" -> strip(text(v), args, true, true);
            case "upper" -> text(v).toUpperCase(Locale.ROOT);
            case "lower" -> text(v).toLowerCase(Locale.ROOT);
            case "capitalize" -> capitalize(text(v));
            case "title" -> title(text(v));
            case "replace" -> method(line, "replace", text(v), args);
            case "length", "count" -> (long) items(line, v).size();
            case "list" -> items(line, v);
            case "first" -> items(line, v).isEmpty() ? new Undefined("first") : items(line, v).getFirst();
            case "last" -> items(line, v).isEmpty() ? new Undefined("last") : items(line, v).getLast();
            case "reverse" -> {
                List<@Nullable Object> all = items(line, v);
                Collections.reverse(all);
                yield v instanceof String ? join(all, "") : all;
            }
            case "join" -> {
                Object attribute = named.get("attribute");
                List<@Nullable Object> all = items(line, v);
                if (attribute != null)
                    all.replaceAll(x -> lookup(x, text(attribute)));
                yield join(all, args.isEmpty() ? "" : text(args.getFirst()));
            }
            case "items" -> v instanceof Undefined ? List.of() : method(line, "items", v, List.of());
            case "int" -> integer(v, args);
            case "float" -> number(v) instanceof Double d ? d : parsed(text(v));
            case "abs" -> v instanceof Long n ? (Object) Math.abs(n) : number(v) instanceof Double d ? Math.abs(d) : v;
            case "tojson" -> JinjaJson.write(v, named.get("indent") instanceof Long n ? n.intValue() : -1);
            case "indent" -> indent(text(v), args, named);
            case "unique" -> new ArrayList<@Nullable Object>(new LinkedHashSet<>(items(line, v)));
            case "sort" -> {
                List<@Nullable Object> all = items(line, v);
                all.sort((a, b) -> order(line, a, b));
                yield all;
            }
            case "dictsort" -> {
                List<@Nullable Object> pairs = items(line, method(line, "items", v, List.of()));
                pairs.sort(Comparator.comparing(p -> text(((List<?>) Objects.requireNonNull(p)).getFirst())
                        .toLowerCase(Locale.ROOT)));
                yield pairs;
            }
            case "map" -> {
                List<@Nullable Object> all = each(line, v);
                Object attribute = named.get("attribute");
                if (attribute != null)
                    all.replaceAll(x -> lookup(x, text(attribute)));
                else
                    all.replaceAll(x -> filter(line, text(argument(line, name, args)), x,
                            args.subList(1, args.size()), Map.of()));
                yield all;
            }
            case "select", "reject" -> {
                List<@Nullable Object> all = each(line, v);
                boolean keep = name.equals("select");
                all.removeIf(x -> keep != (args.isEmpty() ? truth(x)
                        : test(line, text(args.getFirst()), x, args.subList(1, args.size()))));
                yield all;
            }
            case "selectattr", "rejectattr" -> {
                List<@Nullable Object> all = each(line, v);
                boolean keep = name.equals("selectattr");
                String key = text(argument(line, name, args));
                all.removeIf(x -> keep != (args.size() == 1 ? truth(lookup(x, key))
                        : test(line, text(args.get(1)), lookup(x, key), args.subList(2, args.size()))));
                yield all;
            }
            default -> throw new Failure(line, "the filter '" + name + "' is not supported");
        };
    }

    /// `a.b.c` of a mapping.
    private static @Nullable Object lookup(@Nullable Object v, String path) {
        Object at = v;
        for (String key : path.split("\\.", -1))
            at = at instanceof Map<?, ?> m && m.containsKey(key) ? m.get(key) : new Undefined(key);
        return at;
    }

    private static Object integer(@Nullable Object v, List<@Nullable Object> args) {
        if (number(v) instanceof Double d)
            return d.longValue();
        try {
            return Long.parseLong(text(v).strip());
        } catch (NumberFormatException e) {
            return !args.isEmpty() && args.getFirst() instanceof Long n ? n : (long) parsed(text(v));
        }
    }

    private static double parsed(String s) {
        try {
            return Double.parseDouble(s.strip());
        } catch (NumberFormatException e) {
            return 0;
        }
    }

    private static String indent(String s, List<@Nullable Object> args, Map<String, @Nullable Object> named) {
        Object width = args.isEmpty() ? named.get("width") : args.getFirst();
        boolean first = truth(args.size() > 1 ? args.get(1) : named.get("first"));
        String pad = width instanceof String w ? w : " ".repeat(width instanceof Long n ? n.intValue() : 4);
        String[] lines = s.split("\n", -1);
        for (int i = 0; i < lines.length; i++)
            if ((i > 0 || first) && !lines[i].isEmpty())
                lines[i] = pad + lines[i];
        return String.join("\n", lines);
    }

    private static String join(List<@Nullable Object> items, String separator) {
        return items.stream().map(JinjaValues::text).collect(Collectors.joining(separator));
    }

    private static String capitalize(String s) {
        return s.isEmpty() ? s : s.substring(0, 1).toUpperCase(Locale.ROOT) + s.substring(1).toLowerCase(Locale.ROOT);
    }

    private static String title(String s) {
        var text = new StringBuilder();
        boolean inside = false;
        for (char c : s.toCharArray()) {
            text.append(inside ? Character.toLowerCase(c) : Character.toUpperCase(c));
            inside = Character.isLetter(c);
        }
        return text.toString();
    }

    /// Removes any of the given characters (white space if none) from the ends.
    private static String strip(String s, List<@Nullable Object> args, boolean left, boolean right) {
        String set = args.isEmpty() || args.getFirst() == null ? null : text(args.getFirst());
        int from = 0;
        int to = s.length();
        while (left && from < to && strips(set, s.charAt(from)))
            from++;
        while (right && to > from && strips(set, s.charAt(to - 1)))
            to--;
        return s.substring(from, to);
    }

    private static boolean strips(@Nullable String set, char c) {
        return set == null ? WHITE.indexOf(c) >= 0 || Character.isWhitespace(c) || Character.isSpaceChar(c)
                : set.indexOf(c) >= 0;
    }

    /// A Python method of a text, a list or a mapping.
    static @Nullable Object method(int line, String name, @Nullable Object of, List<@Nullable Object> args) {
        return switch (of) {
            case String s -> method(line, name, s, args);
            case Map<?, ?> m -> switch (name) {
                case "items" -> m.entrySet().stream().map(e -> {
                    List<@Nullable Object> pair = new ArrayList<>();
                    pair.add(e.getKey());
                    pair.add(e.getValue());
                    return pair;
                }).toList();
                case "keys" -> new ArrayList<@Nullable Object>(m.keySet());
                case "values" -> new ArrayList<@Nullable Object>(m.values());
                case "get" -> {
                    Object key = argument(line, name, args);
                    yield m.containsKey(key) ? m.get(key) : args.size() > 1 ? args.get(1) : null;
                }
                default -> throw new Failure(line, "a mapping has no method '" + name + "' here");
            };
            case List<?> l -> switch (name) {
                case "index" -> (long) l.indexOf(argument(line, name, args));
                case "count" -> l.stream().filter(x -> equal(x, argument(line, name, args))).count();
                default -> throw new Failure(line, "a list has no method '" + name + "' here");
            };
            case Undefined u -> throw new Failure(line, "'" + u.name() + "' is undefined, it has no '" + name + "'");
            case null, default -> throw new Failure(line, describe(of) + " has no method '" + name + "'");
        };
    }

    private static Object method(int line, String name, String s, List<@Nullable Object> args) {
        return switch (name) {
            case "strip" -> strip(s, args, true, true);
            case "lstrip" -> strip(s, args, true, false);
            case "rstrip" -> strip(s, args, false, true);
            case "upper" -> s.toUpperCase(Locale.ROOT);
            case "lower" -> s.toLowerCase(Locale.ROOT);
            case "capitalize" -> capitalize(s);
            case "title" -> title(s);
            case "startswith" -> anyOf(args, s::startsWith);
            case "endswith" -> anyOf(args, s::endsWith);
            case "removeprefix" -> s.startsWith(text(argument(line, name, args)))
                    ? s.substring(text(args.getFirst()).length())
                    : s;
            case "removesuffix" -> s.endsWith(text(argument(line, name, args)))
                    ? s.substring(0, s.length() - text(args.getFirst()).length())
                    : s;
            case "find" -> (long) s.indexOf(text(argument(line, name, args)));
            case "rfind" -> (long) s.lastIndexOf(text(argument(line, name, args)));
            case "isdigit" -> !s.isEmpty() && s.chars().allMatch(Character::isDigit);
            case "join" -> join(items(line, argument(line, name, args)), s);
            case "count" -> {
                String part = text(argument(line, name, args));
                yield part.isEmpty() ? s.length() + 1L : (long) (s.length() - s.replace(part, "").length())
                        / part.length();
            }
            case "replace" -> {
                if (args.size() < 2)
                    throw new Failure(line, "'replace' needs two arguments");
                long limit = args.size() > 2 && args.get(2) instanceof Long n && n >= 0 ? n : Long.MAX_VALUE;
                yield replace(s, text(args.get(0)), text(args.get(1)), limit);
            }
            case "splitlines" -> new ArrayList<@Nullable Object>(s.lines().toList());
            case "split" -> split(s, args);
            case "rsplit" -> {
                Object separator = args.isEmpty() ? null : args.getFirst();
                if (separator == null || args.size() < 2)
                    yield split(s, args);
                yield rsplit(s, text(separator), args.get(1) instanceof Long n ? n : -1);
            }
            default -> throw new Failure(line, "a text has no method '" + name + "' here");
        };
    }

    private static boolean anyOf(List<@Nullable Object> args, java.util.function.Predicate<String> test) {
        if (args.isEmpty())
            return false;
        return args.getFirst() instanceof List<?> l ? l.stream().anyMatch(x -> test.test(text(x)))
                : test.test(text(args.getFirst()));
    }

    private static String replace(String s, String from, String to, long limit) {
        if (from.isEmpty())
            return s;
        var text = new StringBuilder();
        int at = 0;
        for (long n = 0; n < limit; n++) {
            int hit = s.indexOf(from, at);
            if (hit < 0)
                break;
            text.append(s, at, hit).append(to);
            at = hit + from.length();
        }
        return text.append(s.substring(at)).toString();
    }

    private static List<@Nullable Object> split(String s, List<@Nullable Object> args) {
        List<@Nullable Object> parts = new ArrayList<>();
        long limit = args.size() > 1 && args.get(1) instanceof Long n && n >= 0 ? n : Long.MAX_VALUE;
        Object separator = args.isEmpty() ? null : args.getFirst();
        if (separator == null) {
            String rest = s.stripLeading();
            while (!rest.isEmpty() && parts.size() < limit) {
                int end = 0;
                while (end < rest.length() && !Character.isWhitespace(rest.charAt(end)))
                    end++;
                parts.add(rest.substring(0, end));
                rest = rest.substring(end).stripLeading();
            }
            if (!rest.isEmpty())
                parts.add(rest);
            return parts;
        }
        String by = text(separator);
        int at = 0;
        for (int hit = s.indexOf(by); hit >= 0 && parts.size() < limit && !by.isEmpty(); hit = s.indexOf(by, at)) {
            parts.add(s.substring(at, hit));
            at = hit + by.length();
        }
        parts.add(s.substring(at));
        return parts;
    }

    private static List<@Nullable Object> rsplit(String s, String by, long limit) {
        List<@Nullable Object> parts = new ArrayList<>();
        int end = s.length();
        for (int hit = s.lastIndexOf(by); hit >= 0 && (limit < 0 || parts.size() < limit)
                && !by.isEmpty(); hit = hit == 0 ? -1 : s.lastIndexOf(by, hit - by.length())) {
            parts.add(s.substring(hit + by.length(), end));
            end = hit;
        }
        parts.add(s.substring(0, end));
        Collections.reverse(parts);
        return parts;
    }
}
