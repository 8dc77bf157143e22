// What session.h says of element types.
#include "runtime/session.h"

namespace manyscale::runtime {

const char* element_type_name(ElementType type) noexcept {
  switch (type) {
    case ElementType::kFloat32: return "float32";
    case ElementType::kUint8: return "uint8";
    case ElementType::kInt8: return "int8";
    case ElementType::kUint16: return "uint16";
    case ElementType::kInt16: return "int16";
    case ElementType::kInt32: return "int32";
    case ElementType::kInt64: return "int64";
    case ElementType::kString: return "string";
    case ElementType::kBool: return "bool";
    case ElementType::kFloat16: return "float16";
    case ElementType::kFloat64: return "float64";
    case ElementType::kUint32: return "uint32";
    case ElementType::kUint64: return "uint64";
    case ElementType::kComplex64: return "complex64";
    case ElementType::kComplex128: return "complex128";
    case ElementType::kBfloat16: return "bfloat16";
    case ElementType::kOther: break;
  }
  return "other";
}

int64_t input_element_bytes(ElementType type) noexcept { return type == ElementType::kUint8 ? 1 : output_element_bytes(type); }

int64_t output_element_bytes(ElementType type) noexcept {
  switch (type) {
    case ElementType::kFloat32: return 4;
    case ElementType::kFloat16:
    case ElementType::kBfloat16: return 2;
    default: return 0;
  }
}

}  // namespace manyscale::runtime
