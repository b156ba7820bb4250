#include "kv_codes.h"

namespace kr::ops {

CodeArrays code_arrays(const Arrays& arrays, int group_size, int bits) {
  require(bits == 4 || bits == 8, "bits must be 4 or 8");
  require(group_size == 32 || group_size == 64 || group_size == kCodeGroupMax,
          "group_size must be 32, 64 or 128");
  require(arrays.size() == 3, "keys and values are codes, scales and biases");
  const CodeArrays found{arrays[0], arrays[1], arrays[2]};
  for (const mx::array& a : arrays)
    require(a.ndim() == 4 && a.shape(0) == found.codes.shape(0) &&
                a.shape(1) == found.heads() && a.shape(2) == found.tokens(),
            "codes, scales and biases must be of the same heads and tokens");
  require(found.codes.dtype() == mx::uint32, "codes must be of uint32");
  require(is_float(found.scales.dtype()) && found.scales.dtype() == found.biases.dtype(),
          "scales and biases must be of one float type");
  const int groups = found.scales.shape(3);
  require(groups > 0 && groups <= kCodeGroupsMax && found.biases.shape(3) == groups &&
              found.dim(bits) == groups * group_size,
          "heads must be whole groups");
  return found;
}

KvCodes codes_of(const mx::array& codes, const mx::array& scales, const mx::array& biases,
                 int group_size, int bits) {
  KvCodes found;
  found.groups = {scales.shape(3), group_size, bits};
  found.codes = reinterpret_cast<uint8_t*>(const_cast<uint32_t*>(codes.data<uint32_t>()));
  found.scales = const_cast<char*>(scales.data<char>());
  found.biases = const_cast<char*>(biases.data<char>());
  found.kind = kind_of(scales);
  for (int i = 0; i < 3; i++) {
    found.code_strides[i] = codes.strides()[i] * int64_t(codes.itemsize());
    found.scale_strides[i] = scales.strides()[i];
    found.bias_strides[i] = biases.strides()[i];
  }
  return found;
}

}  // namespace kr::ops
