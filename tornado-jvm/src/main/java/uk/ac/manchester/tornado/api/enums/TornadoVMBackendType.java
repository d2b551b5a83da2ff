package uk.ac.manchester.tornado.api.enums;

/// Code generators of TornadoVM; JAVA is this stand-in.
public enum TornadoVMBackendType {
    OPENCL, METAL, PTX, CUDA, SPIRV, JAVA, VIRTUAL
}
