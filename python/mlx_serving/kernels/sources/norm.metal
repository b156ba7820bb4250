// RMSNorm of one row by one threadgroup, forward and backward. Sums are float.

inline float group_sum(
    float value, threadgroup float* parts, uint thread, uint lane, uint simdgroup, uint simdgroups) {
  value = metal::simd_sum(value);
  threadgroup_barrier(mem_flags::mem_threadgroup);
  if (lane == 0) parts[simdgroup] = value;
  threadgroup_barrier(mem_flags::mem_threadgroup);
  return metal::simd_sum(lane < simdgroups ? parts[lane] : 0.0f);
}
