#include "kv_codes.h"

namespace kr::ops {
namespace {

int64_t place(const int64_t* strides, int b, int head, int token) {
  return b * strides[0] + head * strides[1] + token * strides[2];
}

}  // namespace

void KvCodes::read(int b, int head, int begin, int end, float* out) const {
  const auto bytes = int64_t(bytes_of(kind));
  float scratch[2][kCodeGroupsMax];
  const auto floats = [&](const char* at, float* into) -> const float* {
    if (kind == FloatKind::f32) return reinterpret_cast<const float*>(at);
    kernels().to_float(at, kind, into, groups.count);
    return into;
  };
  for (int t = begin; t < end; t++, out += head_dim())
    kernels().read_codes(codes + place(code_strides, b, head, t),
                         floats(scales + place(scale_strides, b, head, t) * bytes, scratch[0]),
                         floats(biases + place(bias_strides, b, head, t) * bytes, scratch[1]),
                         groups, out);
}

void KvCodes::write(int b, int head, int token, const float* x) const {
  const auto bytes = int64_t(bytes_of(kind));
  float found[2][kCodeGroupsMax];
  kernels().write_codes(x, groups, codes + place(code_strides, b, head, token), found[0], found[1]);
  kernels().from_float(found[0], kind, scales + place(scale_strides, b, head, token) * bytes,
                       groups.count);
  kernels().from_float(found[1], kind, biases + place(bias_strides, b, head, token) * bytes,
                       groups.count);
}

}  // namespace kr::ops
