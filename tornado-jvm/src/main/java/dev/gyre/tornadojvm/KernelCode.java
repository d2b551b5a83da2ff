package dev.gyre.tornadojvm;

import java.io.IOException;
import java.io.InputStream;
import java.io.Serializable;
import java.lang.classfile.ClassFile;
import java.lang.classfile.ClassModel;
import java.lang.classfile.CodeElement;
import java.lang.classfile.CodeModel;
import java.lang.classfile.Label;
import java.lang.classfile.MethodModel;
import java.lang.classfile.Opcode;
import java.lang.classfile.TypeKind;
import java.lang.classfile.instruction.ArrayLoadInstruction;
import java.lang.classfile.instruction.ArrayStoreInstruction;
import java.lang.classfile.instruction.BranchInstruction;
import java.lang.classfile.instruction.ConstantInstruction;
import java.lang.classfile.instruction.ConvertInstruction;
import java.lang.classfile.instruction.FieldInstruction;
import java.lang.classfile.instruction.IncrementInstruction;
import java.lang.classfile.instruction.InvokeInstruction;
import java.lang.classfile.instruction.LabelTarget;
import java.lang.classfile.instruction.LoadInstruction;
import java.lang.classfile.instruction.LocalVariable;
import java.lang.classfile.instruction.LookupSwitchInstruction;
import java.lang.classfile.instruction.NewPrimitiveArrayInstruction;
import java.lang.classfile.instruction.OperatorInstruction;
import java.lang.classfile.instruction.ReturnInstruction;
import java.lang.classfile.instruction.StackInstruction;
import java.lang.classfile.instruction.StoreInstruction;
import java.lang.classfile.instruction.TableSwitchInstruction;
import java.lang.classfile.instruction.ThrowInstruction;
import java.lang.classfile.instruction.TypeCheckInstruction;
import java.lang.constant.ClassDesc;
import java.lang.constant.MethodTypeDesc;
import java.lang.invoke.SerializedLambda;
import java.lang.reflect.Method;
import java.util.ArrayDeque;
import java.util.Arrays;
import java.util.Deque;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import uk.ac.manchester.tornado.api.exceptions.TornadoRuntimeException;

/// The method of a kernel, found from a method reference, and which of its array arguments it reads and writes according to
/// its bytecode. TornadoVM derives the same from the same bytecode, and never uploads an array that is only written.
public final class KernelCode {
    /// Whether a kernel reads or writes an argument.
    public enum Access {
        NONE, READ, WRITE, READ_WRITE;

        Access and(Access o) {
            return values()[ordinal() | o.ordinal()];
        }

        public boolean reads() {
            return this == READ || this == READ_WRITE;
        }

        boolean writes() {
            return this == WRITE || this == READ_WRITE;
        }
    }

    private static final String CONTEXT = "uk/ac/manchester/tornado/api/KernelContext";
    private static final String ARRAYS = "uk/ac/manchester/tornado/api/types/arrays/";
    /// The analysis of each class of kernels, kept because bytecode does not change.
    private static final ClassValue<Analysis> KNOWN = new ClassValue<>() {
        @Override
        protected Analysis computeValue(Class<?> kernels) {
            ClassLoader loader = kernels.getClassLoader();
            return new Analysis(loader == null ? ClassLoader.getSystemClassLoader() : loader);
        }
    };

    private final String name;
    private final Access[] accesses;

    private KernelCode(String name, Access[] accesses) {
        this.name = name;
        this.accesses = accesses;
    }

    /// The method that `lambda`, a serializable method reference or lambda expression without captured values, calls.
    static KernelCode of(Serializable lambda) {
        try {
            Method replace = lambda.getClass().getDeclaredMethod("writeReplace");
            replace.setAccessible(true);
            SerializedLambda s = (SerializedLambda) replace.invoke(lambda);
            if (s.getCapturedArgCount() != 0)
                throw new TornadoRuntimeException(s.getImplMethodName() + " captures values; pass them as arguments");
            Class<?> owner =
                    Class.forName(s.getImplClass().replace('/', '.'), false, lambda.getClass().getClassLoader());
            return of(owner, s.getImplMethodName(), s.getImplMethodSignature());
        } catch (ReflectiveOperationException e) {
            throw new TornadoRuntimeException("cannot find the method behind " + lambda + ": " + e);
        }
    }

    /// The static method `name` of descriptor `descriptor` in `owner`.
    public static KernelCode of(Class<?> owner, String name, String descriptor) {
        return new KernelCode(owner.getName() + "." + name,
                KNOWN.get(owner).accesses(owner.getName().replace('.', '/'), name,
                        MethodTypeDesc.ofDescriptor(descriptor)));
    }

    public String name() {
        return name;
    }

    /// Access of the kernel to its argument `i`; NONE for scalars.
    public Access access(int i) {
        return accesses[i];
    }

    /// Follows references through the operand stack, one pass over the code in order. That suffices for what javac makes of
    /// loops and conditional expressions: at a label the stack is that of the first jump to it, and empty at loop heads.
    private static final class Analysis {
        private final ClassLoader loader;
        private final Map<String, ClassModel> classes = new HashMap<>();
        private final Map<String, Access[]> known = new HashMap<>();

        Analysis(ClassLoader loader) {
            this.loader = loader;
        }

        /// Access by argument (not by slot) of a static method.
        synchronized Access[] accesses(String owner, String name, MethodTypeDesc type) {
            String key = owner + "." + name + type.descriptorString();
            Access[] done = known.get(key);
            if (done != null)
                return done;
            Access[] out = new Access[type.parameterCount()];
            Arrays.fill(out, Access.NONE);
            known.put(key, out);
            CodeModel code = code(owner, name, type);
            if (code != null)
                new Walk(this, type, out).run(code);
            return out;
        }

        private @Nullable CodeModel code(String owner, String name, MethodTypeDesc type) {
            if (owner.startsWith("java/") || owner.startsWith("uk/ac/manchester/tornado/"))
                return null;
            ClassModel c = classes.computeIfAbsent(owner, this::parse);
            for (MethodModel m : c.methods())
                if (m.methodName().equalsString(name) && m.methodTypeSymbol().equals(type)) {
                    CodeModel code = m.code().orElseThrow(() -> new TornadoRuntimeException(owner + "." + name
                            + " has no body"));
                    if (type.parameterCount() > 0 && code.elementStream().noneMatch(LocalVariable.class::isInstance))
                        throw new TornadoRuntimeException(owner.replace('/', '.') + "." + name
                                + " has no LocalVariableTable; compile kernels with -g");
                    return code;
                }
            throw new TornadoRuntimeException("no method " + name + type.displayDescriptor() + " in " + owner);
        }

        private ClassModel parse(String owner) {
            try (InputStream in = loader.getResourceAsStream(owner + ".class")) {
                if (in == null)
                    throw new TornadoRuntimeException("no class file of " + owner.replace('/', '.'));
                return ClassFile.of().parse(in.readAllBytes());
            } catch (IOException e) {
                throw new TornadoRuntimeException("cannot read the class file of " + owner + ": " + e.getMessage());
            }
        }
    }

    /// One method: values on the stack are argument numbers, or -1 for anything else; long and double take two places.
    private static final class Walk {
        private final Analysis analysis;
        private final Access[] out;
        private final Map<Integer, Integer> locals = new HashMap<>();
        private final Map<Label, List<Integer>> atLabel = new HashMap<>();
        private Deque<Integer> stack = new ArrayDeque<>();
        private boolean reachable = true;

        Walk(Analysis analysis, MethodTypeDesc type, Access[] out) {
            this.analysis = analysis;
            this.out = out;
            int slot = 0;
            for (int i = 0; i < type.parameterCount(); i++) {
                locals.put(slot, i);
                slot += TypeKind.from(type.parameterType(i)).slotSize();
            }
        }

        void run(CodeModel code) {
            for (CodeElement e : code)
                if (e instanceof LabelTarget t)
                    enter(t.label());
                else
                    if (reachable)
                        step(e);
        }

        private void enter(Label label) {
            List<Integer> saved = atLabel.get(label);
            if (!reachable)
                stack = saved == null ? new ArrayDeque<>() : new ArrayDeque<>(saved);
            reachable = true;
        }

        private void step(CodeElement e) {
            switch (e) {
                case LoadInstruction i -> push(i.typeKind() == TypeKind.REFERENCE ? local(i.slot()) : -1, i.typeKind());
                case StoreInstruction i -> {
                    int v = pop(i.typeKind());
                    locals.put(i.slot(), i.typeKind() == TypeKind.REFERENCE ? v : -1);
                }
                case ConstantInstruction i -> push(-1, i.typeKind());
                case OperatorInstruction i -> operator(i.opcode(), i.typeKind());
                case ConvertInstruction i -> {
                    pop(i.fromType());
                    push(-1, i.toType());
                }
                case ArrayLoadInstruction i -> {
                    pop(2);
                    push(-1, i.typeKind());
                }
                case ArrayStoreInstruction i -> {
                    pop(i.typeKind());
                    pop(2);
                }
                case NewPrimitiveArrayInstruction _ -> {
                }
                case FieldInstruction i -> field(i);
                case InvokeInstruction i -> invoke(i);
                case TypeCheckInstruction i -> {
                    if (i.opcode() == Opcode.INSTANCEOF) {
                        pop(1);
                        push(-1, TypeKind.INT);
                    }
                }
                case StackInstruction i -> shuffle(i.opcode());
                case BranchInstruction i -> branch(i);
                case LookupSwitchInstruction i -> {
                    pop(1);
                    jump(i.defaultTarget());
                    i.cases().forEach(c -> jump(c.target()));
                    reachable = false;
                }
                case TableSwitchInstruction i -> {
                    pop(1);
                    jump(i.defaultTarget());
                    i.cases().forEach(c -> jump(c.target()));
                    reachable = false;
                }
                case ReturnInstruction _,ThrowInstruction _ -> reachable = false;
                case java.lang.classfile.Instruction i -> {
                    if (!(i instanceof IncrementInstruction) && i.opcode() != Opcode.NOP)
                        throw new TornadoRuntimeException("a kernel cannot use the instruction " + i.opcode());
                }
                default -> {
                }
            }
        }

        private int local(int slot) {
            return locals.getOrDefault(slot, -1);
        }

        private void push(int v, TypeKind kind) {
            for (int i = 0; i < kind.slotSize(); i++)
                stack.push(v);
        }

        private void pop(int slots) {
            for (int i = 0; i < slots; i++)
                stack.pop();
        }

        private int pop(TypeKind kind) {
            int v = -1;
            for (int i = 0; i < kind.slotSize(); i++)
                v = stack.pop();
            return v;
        }

        private void operator(Opcode op, TypeKind kind) {
            switch (op) {
                case ARRAYLENGTH -> {
                    pop(1);
                    push(-1, TypeKind.INT);
                }
                case INEG, LNEG, FNEG, DNEG -> {
                }
                case LSHL, LSHR, LUSHR -> pop(1);
                case LCMP, DCMPL, DCMPG -> {
                    pop(4);
                    push(-1, TypeKind.INT);
                }
                case FCMPL, FCMPG -> {
                    pop(2);
                    push(-1, TypeKind.INT);
                }
                default -> pop(kind);
            }
        }

        private void field(FieldInstruction i) {
            TypeKind kind = TypeKind.from(i.typeSymbol());
            switch (i.opcode()) {
                case GETSTATIC -> push(-1, kind);
                case PUTSTATIC -> pop(kind);
                case GETFIELD -> {
                    pop(1);
                    push(-1, kind);
                }
                default -> {
                    pop(kind);
                    pop(1);
                }
            }
        }

        private void invoke(InvokeInstruction i) {
            MethodTypeDesc type = i.typeSymbol();
            int n = type.parameterCount();
            int[] args = new int[n];
            for (int a = n - 1; a >= 0; a--)
                args[a] = pop(TypeKind.from(type.parameterType(a)));
            String owner = i.owner().asInternalName();
            if (i.opcode() != Opcode.INVOKESTATIC) {
                int receiver = stack.pop();
                if (owner.startsWith(ARRAYS) && receiver >= 0)
                    touch(receiver, ofCall(i.name().stringValue()));
                if (owner.equals(CONTEXT)) // mmaStore, atomicAdd: the SDK takes both for reading and writing
                    for (int a : args)
                        if (a >= 0)
                            touch(a, Access.READ_WRITE);
            } else {
                Access[] inner = analysis.accesses(owner, i.name().stringValue(), type);
                for (int a = 0; a < n; a++)
                    if (args[a] >= 0)
                        touch(args[a], inner[a]);
            }
            ClassDesc result = type.returnType();
            push(-1, TypeKind.from(result));
        }

        private static Access ofCall(String method) {
            if (method.equals("getSize"))
                return Access.NONE;
            return method.startsWith("get") ? Access.READ : Access.WRITE;
        }

        private void touch(int argument, Access access) {
            out[argument] = out[argument].and(access);
        }

        private void branch(BranchInstruction i) {
            switch (i.opcode()) {
                case GOTO, GOTO_W -> {
                }
                case IF_ICMPEQ, IF_ICMPNE, IF_ICMPLT, IF_ICMPGE, IF_ICMPGT, IF_ICMPLE, IF_ACMPEQ, IF_ACMPNE -> pop(2);
                default -> pop(1);
            }
            jump(i.target());
            if (i.opcode() == Opcode.GOTO || i.opcode() == Opcode.GOTO_W)
                reachable = false;
        }

        private void jump(Label target) {
            atLabel.putIfAbsent(target, List.copyOf(stack));
        }

        private void shuffle(Opcode op) {
            switch (op) {
                case POP -> pop(1);
                case POP2 -> pop(2);
                case DUP -> insert(1, 1);
                case DUP_X1 -> insert(1, 2);
                case DUP_X2 -> insert(1, 3);
                case DUP2 -> insert(2, 2);
                case DUP2_X1 -> insert(2, 3);
                case DUP2_X2 -> insert(2, 4);
                default -> {
                    int a = stack.pop();
                    int b = stack.pop();
                    stack.push(a);
                    stack.push(b);
                }
            }
        }

        /// Copies the top `count` places to below the top `depth`.
        private void insert(int count, int depth) {
            int[] top = new int[depth];
            for (int k = 0; k < depth; k++)
                top[k] = stack.pop();
            for (int k = count - 1; k >= 0; k--)
                stack.push(top[k]);
            for (int k = depth - 1; k >= 0; k--)
                stack.push(top[k]);
        }
    }
}
