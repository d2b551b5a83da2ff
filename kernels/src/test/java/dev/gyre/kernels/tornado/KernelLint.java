package dev.gyre.kernels.tornado;

import java.lang.classfile.Attributes;
import java.lang.classfile.ClassModel;
import java.lang.classfile.CodeElement;
import java.lang.classfile.CodeModel;
import java.lang.classfile.Instruction;
import java.lang.classfile.Label;
import java.lang.classfile.MethodModel;
import java.lang.classfile.Opcode;
import java.lang.classfile.TypeAnnotation;
import java.lang.classfile.TypeAnnotation.LocalVarTarget;
import java.lang.classfile.TypeKind;
import java.lang.classfile.attribute.CodeAttribute;
import java.lang.classfile.instruction.BranchInstruction;
import java.lang.classfile.instruction.ConstantInstruction;
import java.lang.classfile.instruction.FieldInstruction;
import java.lang.classfile.instruction.IncrementInstruction;
import java.lang.classfile.instruction.InvokeDynamicInstruction;
import java.lang.classfile.instruction.InvokeInstruction;
import java.lang.classfile.instruction.LoadInstruction;
import java.lang.classfile.instruction.LocalVariable;
import java.lang.classfile.instruction.NewMultiArrayInstruction;
import java.lang.classfile.instruction.NewObjectInstruction;
import java.lang.classfile.instruction.NewPrimitiveArrayInstruction;
import java.lang.classfile.instruction.NewReferenceArrayInstruction;
import java.lang.classfile.instruction.OperatorInstruction;
import java.lang.classfile.instruction.StoreInstruction;
import java.lang.classfile.instruction.ThrowInstruction;
import java.lang.constant.ClassDesc;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.Set;

/// Finds in the bytecode of kernels what TornadoVM 5.2 silently compiles wrongly, or does not compile. The stand-in runs
/// plain Java and would not notice.
///
/// Three silent faults cannot be seen in a kernel and are dealt with elsewhere: an array of which only a part is written (the
/// stand-in leaves garbage in the rest), a grid that is not a multiple of its work groups, and a kernel without a grid
/// ([TaskGraphs] gives each task one, rounded up). An argument that is a power of two becomes a constant divisor on the
/// device, which is wrong for negative dividends; this is not checked, and indices are never negative.
final class KernelLint {
    private static final String TORNADO = "uk/ac/manchester/tornado/api/";
    private static final String PARALLEL = "Luk/ac/manchester/tornado/api/annotations/Parallel;";
    private static final String REDUCE = "Luk/ac/manchester/tornado/api/annotations/Reduce;";

    /// Calls that are wrong on some device, with the reason.
    private static final Map<String, String> CALLS = Map.ofEntries(
            Map.entry("java/lang/Math.fma", "Math.fma does not compile; write a * b + c"),
            Map.entry("java/lang/Math.round", "Math.round does not compile; use floor(x + 0.5f)"),
            Map.entry("java/lang/Float.float16ToFloat", "float16ToFloat is compiled as a conversion of an int"),
            Map.entry("java/lang/Float.floatToFloat16", "floatToFloat16 is compiled as a conversion to int"),
            Map.entry("java/lang/Float.intBitsToFloat", "reinterpreted bits do not compile inside arithmetic"),
            Map.entry("java/lang/Float.floatToIntBits", "floatToIntBits does not compile"),
            Map.entry("java/lang/Float.floatToRawIntBits", "floatToRawIntBits does not compile inside arithmetic"),
            Map.entry("java/lang/Float.isNaN", "isNaN is always false under OpenCL's relaxed arithmetic"),
            Map.entry("java/lang/Float.isInfinite", "isInfinite is always false under OpenCL's relaxed arithmetic"),
            Map.entry("java/lang/Float.isFinite", "isFinite is always true under OpenCL's relaxed arithmetic"),
            Map.entry("java/lang/Double.isNaN", "isNaN is always false under OpenCL's relaxed arithmetic"),
            Map.entry("java/lang/Double.isInfinite", "isInfinite is always false under OpenCL's relaxed arithmetic"),
            Map.entry("java/lang/Double.isFinite", "isFinite is always true under OpenCL's relaxed arithmetic"),
            Map.entry("java/lang/Math.floorMod", "floorMod is not an instruction of a device; keep operands positive"));

    /// Words and built-in functions of OpenCL C that a kernel may not be named after; CUDA C shares most.
    private static final Set<String> WORDS = Set.of("kernel", "global", "local", "constant", "private", "generic",
            "half",
            "bool", "uchar", "uint", "ulong", "ushort", "image", "event", "pipe", "sampler", "vector", "register",
            "inline",
            "step", "smoothstep", "mix", "sign", "clamp", "dot", "cross", "length", "distance", "normalize", "degrees",
            "radians", "fract", "modf", "rotate", "select", "shuffle", "any", "all", "min", "max", "abs", "mad", "fma",
            "exp", "log", "pow", "sqrt", "rsqrt", "cbrt", "sin", "cos", "tan", "tanh", "floor", "ceil", "round", "rint",
            "trunc", "hypot", "erf", "remainder", "nan", "isnan", "barrier", "prefetch", "printf", "popcount", "clz");

    /// Types and qualifiers of OpenCL that Java does not have: a parameter of such a name does not compile there. (One that
    /// is named like a function, `sin`, hides it.)
    private static final Set<String> KEYWORDS = Set.of("kernel", "global", "local", "constant", "generic", "half",
            "bool",
            "uchar", "uint", "ulong", "ushort", "pipe", "register", "inline", "signed", "unsigned", "auto", "extern",
            "typedef", "struct", "union", "sizeof", "restrict", "quad", "complex");

    private KernelLint() {
    }

    /// Findings about all methods of a class of kernels, each as `method: what is wrong`.
    static List<String> check(ClassModel kernels) {
        List<String> out = new ArrayList<>();
        for (MethodModel m : kernels.methods()) {
            String name = m.methodName().stringValue();
            if (!name.startsWith("<") && !name.startsWith("lambda$") && m.code().isPresent())
                for (String complaint : new Method(m, (CodeAttribute) m.code().get()).check())
                    out.add(name + ": " + complaint);
        }
        return out;
    }

    private static final class Method {
        private final MethodModel method;
        private final CodeAttribute code;
        private final List<Instruction> instructions = new ArrayList<>();
        private final List<Integer> at = new ArrayList<>();
        private final List<String> out = new ArrayList<>();

        Method(MethodModel method, CodeAttribute code) {
            this.method = method;
            this.code = code;
            int bci = 0;
            for (CodeElement e : (CodeModel) code)
                if (e instanceof Instruction i) {
                    instructions.add(i);
                    at.add(bci);
                    bci += i.sizeInBytes();
                }
        }

        List<String> check() {
            List<TypeAnnotation> parallel = parallelLoops();
            boolean context = parameters().stream().anyMatch(p -> p.descriptorString().endsWith("/KernelContext;"));
            if (!parallel.isEmpty() || context)
                entry();
            if (!parameters().isEmpty() && code.elementStream().noneMatch(LocalVariable.class::isInstance))
                out.add("no LocalVariableTable; compile with -g");
            boolean local = instructions.stream().anyMatch(Method::allocatesLocalMemory);
            for (int k = 0; k < instructions.size(); k++)
                instruction(k, local);
            loops(parallel);
            return out;
        }

        private List<ClassDesc> parameters() {
            return method.methodTypeSymbol().parameterList();
        }

        private void entry() {
            if (WORDS.contains(method.methodName().stringValue()))
                out.add("named like a word of OpenCL");
            code.elementStream().forEach(x -> {
                if (x instanceof LocalVariable v && KEYWORDS.contains(v.name().stringValue()))
                    out.add("a variable is named like a word of OpenCL, " + v.name().stringValue());
            });
            for (ClassDesc p : parameters()) {
                String d = p.descriptorString();
                if (d.equals("Z"))
                    out.add("boolean parameter; pass an int");
                if (d.endsWith("/HalfFloatArray;") || d.endsWith("/BFloat16Array;"))
                    out.add("16-bit float array; pass a ShortArray and decode by table");
            }
            method.findAttribute(Attributes.runtimeVisibleParameterAnnotations())
                    .ifPresent(a -> a.parameterAnnotations()
                            .forEach(l -> l.forEach(x -> reduce(x.className().stringValue()))));
            method.findAttribute(Attributes.runtimeVisibleTypeAnnotations()).ifPresent(
                    a -> a.annotations().forEach(x -> reduce(x.annotation().className().stringValue())));
        }

        private void reduce(String annotation) {
            if (annotation.equals(REDUCE) && !out.contains("@Reduce gives wrong sums"))
                out.add("@Reduce gives wrong sums");
        }

        private static boolean allocatesLocalMemory(Instruction i) {
            return i instanceof InvokeInstruction c && c.owner().asInternalName().equals(TORNADO + "KernelContext")
                    && c.name().stringValue().startsWith("allocate");
        }

        private void instruction(int k, boolean local) {
            if (swaps(k))
                out.add("two variables swapped, which in a loop gives both the same value; compute them anew in each turn");
            switch (instructions.get(k)) {
                case OperatorInstruction i -> operator(k, i.opcode());
                case InvokeInstruction i -> {
                    call(i, local);
                    if (i.name().equalsString("bf16FromFloat") && !storedOrWidened(k + 1))
                        out.add("arithmetic on a BF16 number's bits, which CUDA keeps in 16 bits; convert them to long");
                }
                case InvokeDynamicInstruction _ -> out.add("invokedynamic");
                case ThrowInstruction _ -> out.add("throw does not compile");
                case FieldInstruction i -> {
                    if (i.opcode() == Opcode.GETSTATIC && i.typeSymbol().isArray())
                        out.add("static array " + i.name() + " does not compile; pass it as an argument");
                    if (i.opcode() == Opcode.PUTSTATIC)
                        out.add("writes the static field " + i.name());
                }
                case NewPrimitiveArrayInstruction _,NewReferenceArrayInstruction _,NewMultiArrayInstruction _ ->
                        out.add("private array, which a device does not clear");
                case NewObjectInstruction i -> out.add("creates a " + i.className().asInternalName());
                default -> {
                }
            }
        }

        private boolean storedOrWidened(int k) {
            return instructions.get(k).opcode() == Opcode.I2L
                    || instructions.get(k) instanceof InvokeInstruction c
                            && c.owner().asInternalName().endsWith("Array");
        }

        /// `t = x; x = y; y = t` where all are locals.
        private boolean swaps(int k) {
            if (k + 6 > instructions.size())
                return false;
            int[] slot = new int[6];
            for (int i = 0; i < 6; i++)
                if (i % 2 == 0 && instructions.get(k + i) instanceof LoadInstruction l)
                    slot[i] = l.slot();
                else
                    if (i % 2 == 1 && instructions.get(k + i) instanceof StoreInstruction s)
                        slot[i] = s.slot();
                    else
                        return false;
            return slot[0] == slot[3] && slot[2] == slot[5] && slot[1] == slot[4];
        }

        private void operator(int k, Opcode op) {
            switch (op) {
                case IUSHR, LUSHR -> out.add(">>> is compiled as >>; mask the sign instead");
                case IMUL -> {
                    if (k > 0 && instructions.get(k - 1) instanceof ConstantInstruction c
                            && c.constantValue() instanceof Integer n && Math.abs((long) n) > 0xffff)
                        out.add("overflow of an int is undefined in C; multiply longs below 2^32");
                }
                case IDIV, IREM, LDIV, LREM -> {
                    if (k > 0 && instructions.get(k - 1) instanceof ConstantInstruction c
                            && c.constantValue() instanceof Number n && n.longValue() > 1
                            && Long.bitCount(n.longValue()) == 1)
                        out.add("signed division by a power of two is wrong for negative operands; shift or mask");
                }
                case FCMPL, FCMPG, DCMPL, DCMPG -> comparison(k, op);
                default -> {
                }
            }
        }

        /// TornadoVM compiles `x >= y` as `not x < y`, which is true for NaN on a device that has it (CUDA). The compiler uses
        /// one form of the comparison for `>` and `>=`, the other for `<` and `<=`; the jump after it distinguishes them.
        private void comparison(int k, Opcode op) {
            boolean greater = op == Opcode.FCMPL || op == Opcode.DCMPL;
            if (k + 1 < instructions.size() && instructions.get(k + 1) instanceof BranchInstruction b
                    && (greater ? b.opcode() == Opcode.IFLT || b.opcode() == Opcode.IFGE
                            : b.opcode() == Opcode.IFGT || b.opcode() == Opcode.IFLE))
                out.add((greater ? ">=" : "<=") + " of floats holds for NaN; write the opposite with "
                        + (greater ? "<" : ">"));
            if (k > 1 && instructions.get(k - 1) instanceof LoadInstruction y
                    && instructions.get(k - 2) instanceof LoadInstruction x && x.slot() == y.slot())
                out.add("a number compared with itself, which is always equal under OpenCL's relaxed arithmetic");
        }

        private void call(InvokeInstruction i, boolean local) {
            String owner = i.owner().asInternalName();
            String name = i.name().stringValue();
            String why = CALLS.get(owner + "." + name);
            if (why != null)
                out.add(why);
            if (owner.equals(TORNADO + "KernelContext") && name.equals("atomicAdd")
                    && !i.typeSymbol().parameterType(0).descriptorString().endsWith("IntArray;"))
                out.add("only ints have an atomicAdd on every device");
            if (local && i.opcode() == Opcode.INVOKESTATIC
                    && i.typeSymbol().parameterList().stream().anyMatch(ClassDesc::isArray))
                out.add("local array handed to " + name + ", which would use its byte offset as index");
        }

        private List<TypeAnnotation> parallelLoops() {
            return code.findAttribute(Attributes.runtimeVisibleTypeAnnotations()).stream()
                    .flatMap(a -> a.annotations().stream())
                    .filter(a -> a.annotation().className().equalsString(PARALLEL)).toList();
        }

        /// One nest of loops `for (@Parallel int i = 0; i < n; i++)`, at most three deep.
        private void loops(List<TypeAnnotation> parallel) {
            record Loop(int slot, int from, int to) {
            }
            List<Loop> loops = new ArrayList<>();
            for (TypeAnnotation a : parallel)
                if (a.targetInfo() instanceof LocalVarTarget t)
                    for (var range : t.table())
                        loops.add(new Loop(range.index(), bci(range.startLabel()), bci(range.endLabel())));
            loops.sort(Comparator.comparingInt(Loop::from));
            if (loops.size() > 3)
                out.add("more than three @Parallel loops");
            for (int k = 1; k < loops.size(); k++)
                if (loops.get(k).to() > loops.get(k - 1).to())
                    out.add("two @Parallel nests; the second becomes a dimension of the first");
            for (Loop l : loops)
                loop(l.slot(), l.from(), l.to());
        }

        private void loop(int slot, int from, int to) {
            int init = at.indexOf(from) - 1;
            if (!(init > 0 && instructions.get(init) instanceof StoreInstruction s && s.slot() == slot
                    && instructions.get(init - 1) instanceof ConstantInstruction c && Integer.valueOf(0).equals(
                            c.constantValue())))
                out.add("a @Parallel loop does not start at 0");
            // i < n is: load i, load n, branch
            if (init + 3 < instructions.size() && instructions.get(init + 2) instanceof LoadInstruction n
                    && n.slot() < parameterSlots() && instructions.get(init + 3) instanceof BranchInstruction)
                out.add("a bare parameter bounds a @Parallel loop; TornadoVM would take the grid's size for it, write n & ALL");
            for (int k = init + 1; k < instructions.size() && at.get(k) < to; k++)
                if (instructions.get(k) instanceof IncrementInstruction i && i.slot() == slot && i.constant() != 1
                        || instructions.get(k) instanceof StoreInstruction s && s.slot() == slot)
                    out.add("a @Parallel loop does not step by 1");
        }

        private int parameterSlots() {
            return parameters().stream().mapToInt(p -> TypeKind.from(p).slotSize()).sum();
        }

        private int bci(Label label) {
            return code.labelToBci(label);
        }
    }
}
