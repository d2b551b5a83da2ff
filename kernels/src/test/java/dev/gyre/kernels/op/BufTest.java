package dev.gyre.kernels.op;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import org.junit.jupiter.api.Test;

class BufTest {
    @Test
    void viewOfAViewStartsWithinTheRoot() {
        Buf root = Buf.param("all", 100);
        Buf layer = root.view("layer", 40, 6, 5);
        Buf row = layer.view("row", 10, 5);
        assertThat(row.root()).isSameAs(root);
        assertThat(row.offset()).isEqualTo(50);
        assertThat(row.isView()).isTrue();
        assertThat(row.role()).isEqualTo(Buf.Role.PARAM);
        assertThat(root.root()).isSameAs(root);
        assertThat(root.isView()).isFalse();
    }

    @Test
    void viewThatLeavesItsBufferIsRejectedWithBothNames() {
        Buf root = Buf.param("all", 10);
        Buf view = root.view("tail", 6, 4);
        assertThatIllegalArgumentException().isThrownBy(() -> root.view("x", 7, 4)).withMessageContaining("x")
                .withMessageContaining("all (10) F32");
        assertThatIllegalArgumentException().isThrownBy(() -> root.view("x", -1, 1));
        // one element further would still be inside the root
        assertThatIllegalArgumentException().isThrownBy(() -> root.view("head", 0, 4).view("x", 1, 4));
        assertThat(view.view("empty", 4, 0).size()).isZero();
    }

    @Test
    void storageTypesAreForWeightsOnly() {
        assertThatIllegalArgumentException().isThrownBy(() -> Buf.of("x", DType.BF16, Buf.Role.PARAM, 3));
        assertThatIllegalArgumentException().isThrownBy(() -> Buf.input("x", DType.NF4, 4));
        assertThat(Buf.weight("w", DType.NF4, 3, 4).size()).isEqualTo(12);
        assertThatIllegalArgumentException().isThrownBy(() -> Buf.weight("w", DType.NF4, 8).view("v", 0, 4));
    }

    @Test
    void sizesAreProductsAndOverflowIsAnError() {
        assertThat(Buf.input("scalar", DType.I32).size()).isEqualTo(1);
        assertThat(Buf.activation("x", 70_000, 70_000).size()).isEqualTo(4_900_000_000L);
        assertThatThrownBy(() -> Buf.activation("x", 70_000, 70_000).length()).isInstanceOf(ArithmeticException.class);
        assertThatThrownBy(() -> Buf.activation("x", 1 << 30, 1 << 30, 1 << 30))
                .isInstanceOf(ArithmeticException.class);
        assertThatIllegalArgumentException().isThrownBy(() -> Buf.activation("x", 3, -1));
    }

    @Test
    void equalFieldsDoNotMakeOneBuffer() {
        assertThat(Buf.param("p", 3)).isNotEqualTo(Buf.param("p", 3));
    }

    @Test
    void bytesOfElementTypes() {
        assertThat(DType.F32.bytes(7)).isEqualTo(28);
        assertThat(DType.I32.bytes(7)).isEqualTo(28);
        assertThat(DType.BF16.bytes(7)).isEqualTo(14);
        assertThat(DType.NF4.bytes(7)).isEqualTo(4);
    }
}
